"""Measure hands of rendered sequences: frame by frame, followed and steady, and with two passes. Prints a table.

    python tools/measure_motion.py --seeds 1 2 --count 300 --method landmarks --sensor lidar
    python tools/measure_motion.py --seeds 1 --first 90 --count 60 --width 320

Each row is one way to read the same frames: `alone`, `followed` (from frame to frame, not smoothed), `online`
(followed and steady without a look ahead), `two passes`. Columns: `found`, the fraction of visible hands; `swaps`, the
hands that are nearer to the true hand of the other side; MPJPE in camera space; error of the acceleration; lag, the
shift in time at which the velocities of the palms agree best; from frame 60 on `bones`, the mean error of bone
lengths, and `size`, the mean error of their sum in a hand; `gaps`, the MPJPE and the largest error of hands that were
not seen in their frame, and how many there are. Twice, after a third and two thirds of the frames, a sheet of paper is
before the camera for `covered` frames; only `gaps` counts these frames.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import tyro

from twohands.choices import Method
from twohands.evaluation.metrics import acceleration_error
from twohands.hands.skeleton import BONES, PALM
from twohands.motion import Steady, steady
from twohands.predictor import Predictor, load
from twohands.results import unseen
from twohands.synth.config import FULL
from twohands.synth.sequence import HandSequence, render_sequence
from twohands.tracking import following
from twohands.types import RGBDFrame, TwoHands

SETTLED = 60
"""Number of the first frame whose bone lengths are measured, counted from the first one read."""
LAGS = np.arange(-4.0, 4.01, 0.1)
"""Lags in frames that are compared."""


@dataclass(frozen=True)
class Track:
    """Both hands of a sequence, T frames."""

    joints: np.ndarray  # (T, 2, 21, 3) metres; NaN where there is no hand
    unseen: np.ndarray  # (T, 2) bool: there is a hand, but not by its own frame


def main(
    seeds: tuple[int, ...] = (1,),
    count: int = 300,
    first: int = 0,
    method: Method = "landmarks",
    width: int = 640,
    split: str = "test",
    smooth: float = 0.5,
    depth_lag: int = 0,
    sensor: str = FULL.sensor,
    covered: int = 10,
) -> None:
    """Read `count` frames of each sequence, from frame `first` on, and print one table over all of them."""
    predictor = load(method)
    rows: dict[str, list[dict[str, float]]] = {}
    seconds: dict[str, float] = {"alone": 0.0, "followed": 0.0}
    for seed in seeds:
        config = replace(FULL, width=width, height=3 * width // 4, sensor=sensor)
        sequence = render_sequence(seed, split, config, first + count, depth_lag=depth_lag)
        hidden = np.zeros(count, dtype=bool)
        for start in (count // 3, 2 * count // 3):
            hidden[start : start + covered] = True
        read, truth, spent = readings(sequence, first, hidden, predictor, smooth)
        for name, hands in read.items():
            rows.setdefault(name, []).append(figures(track_of(hands), truth, hidden, 1 / sequence.rate))
        seconds = {name: seconds[name] + spent[name] for name in seconds}
    report(rows)
    costs = ", ".join(f"{name} {spent / (count * len(seeds)):.3f}" for name, spent in seconds.items())
    print(f"\nCPU s a frame: {costs}.")


def readings(
    sequence: HandSequence, first: int, hidden: np.ndarray, predictor: Predictor, smooth: float
) -> tuple[dict[str, list[TwoHands]], list[TwoHands], dict[str, float]]:
    """Return the hands by each way of reading frames from `first` on, the true ones, and CPU seconds by name.

    The camera is covered in the frames that are `hidden` (T,).
    """
    remembering, follower = following(predictor)
    alone, followed, truth, times = [], [], [], []
    spent = {"alone": 0.0, "followed": 0.0}
    for index, is_hidden in enumerate(hidden, start=first):
        sample, now = sequence[index], sequence.seconds(index)
        frame = with_paper(sample.frame) if is_hidden else sample.frame
        truth.append(sample.hands)
        times.append(now)
        start = time.process_time()
        alone.append(reconstructed(predictor.reconstruct, frame, predictor))
        middle = time.process_time()
        follower.at(now)
        followed.append(reconstructed(remembering.reconstruct, frame, predictor))
        spent["alone"] += middle - start
        spent["followed"] += time.process_time() - middle
    online = Steady(predictor.model, smooth)
    pairs = list(zip(times, followed, strict=True))
    read = {
        "alone": alone,
        "followed": followed,
        "online": [online(hands, now) for now, hands in pairs],
        "two passes": steady(pairs, predictor.model, smooth, two_pass=True),
    }
    return read, truth, spent


def with_paper(frame: RGBDFrame) -> RGBDFrame:
    """Return a frame of a sheet of paper close to the camera."""
    return replace(frame, rgb=np.full_like(frame.rgb, 0.85), depth=np.full_like(frame.depth, 0.25))


def reconstructed(read: Callable[[RGBDFrame], TwoHands], frame: RGBDFrame, predictor: Predictor) -> TwoHands:
    """Return the hands of a frame; none where it is refused."""
    try:
        return read(frame)
    except ValueError:
        return unseen(predictor.model)


def track_of(hands: list[TwoHands]) -> Track:
    """Return the joints of the hands of all frames."""
    present = np.array([h.is_present for h in hands])
    joints = np.where(present[..., None, None], np.array([h.joints for h in hands], dtype=np.float64), np.nan)
    return Track(joints, np.array([[status == "infilled" for status in h.status] for h in hands]))


def figures(track: Track, hands: list[TwoHands], hidden: np.ndarray, period: float) -> dict[str, float]:
    """Return the figures of one reading of a sequence; frames are `period` seconds apart, and (T,) are `hidden`."""
    true = np.array([h.joints for h in hands], dtype=np.float64)
    visible = np.array([h.is_present for h in hands])
    error = np.linalg.norm(track.joints - true, axis=-1).mean(axis=-1)  # (T, 2)
    other = np.linalg.norm(track.joints - true[:, ::-1], axis=-1).mean(axis=-1)
    there = np.isfinite(error)
    seen = there & visible & ~track.unseen & ~hidden[:, None]
    looked_for = visible & ~hidden[:, None]
    filled = error[there & track.unseen]
    lengths = [np.linalg.norm(np.diff(j[:, :, list(BONES)], axis=-2)[..., 0, :], axis=-1) for j in (track.joints, true)]
    bones = np.abs(lengths[0] - lengths[1])[SETTLED:].mean(axis=-1)[seen[SETTLED:]]
    size = np.abs(lengths[0].sum(axis=-1) / lengths[1].sum(axis=-1) - 1)[SETTLED:][seen[SETTLED:]]
    shaking = acceleration_error(np.where(seen[..., None, None], track.joints, np.nan), true, period)
    return {
        "found": float((there & looked_for).sum() / max(looked_for.sum(), 1)),
        "swaps": float((seen & (other < error)).sum()),
        "MPJPE mm": 1e3 * _mean(error[seen]),
        "acceleration m/s2": _mean(shaking[np.isfinite(shaking)]),
        "lag ms": 1e3 * period * lag(np.where(seen[..., None, None], track.joints, np.nan), true),
        "bones mm": 1e3 * _mean(bones),
        "size %": 100 * _mean(size),
        "gaps mm": 1e3 * _mean(filled),
        "largest mm": 1e3 * float(filled.max(initial=np.nan if not len(filled) else 0)),
        "gaps": float(len(filled)),
    }


def lag(joints: np.ndarray, true: np.ndarray) -> float:
    """Return by how many frames the palms' velocities are late, where their correlation with the true ones is best."""
    palms = [array[:, :, PALM].mean(axis=2) for array in (joints, true)]
    speed, true_speed = (np.diff(palm, axis=0) for palm in palms)  # (T - 1, 2, 3)
    moments = np.arange(len(speed), dtype=float)
    margin = int(np.ceil(LAGS.max()))
    known = np.isfinite(speed).all(axis=(-1))
    known[:margin], known[len(known) - margin :] = False, False
    if known.sum() < 2 * margin:
        return float("nan")

    def agreement(late: float) -> float:
        flat = true_speed.reshape(len(moments), -1)
        moved = np.stack([np.interp(moments - late, moments, column) for column in flat.T], axis=-1)
        pair = [values.reshape(speed.shape)[known].ravel() for values in (speed, moved)]
        return float(np.corrcoef(np.stack(pair))[0, 1])

    return float(LAGS[np.argmax([agreement(late) for late in LAGS])])


def report(rows: dict[str, list[dict[str, float]]]) -> None:
    """Print the means over sequences, and the sums of what is counted."""
    names = list(next(iter(rows.values()))[0])
    print(f"| reading | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for reading, found in rows.items():
        cells = []
        for name in names:
            values = np.array([figures[name] for figures in found])
            counted = name in ("swaps", "gaps")
            cells.append(f"{values.sum():.0f}" if counted else f"{_mean(values[np.isfinite(values)]):.3g}")
        print(f"| {reading} | {' | '.join(cells)} |")


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


if __name__ == "__main__":
    tyro.cli(main)
