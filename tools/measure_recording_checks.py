"""Measure the checks over a recording on rendered frames: rates of findings with and without planted faults.

    python tools/measure_recording_checks.py timing --count 200
    python tools/measure_recording_checks.py size --people 10 --frames 20 --cache runs/people

`timing`: recordings with motion, made of rendered frames. The camera moves over a frame, or the hands of another frame
move in front of it, or both; every picture has its own noise, exposure and holes, and the cameras are not synchronised
to better than 0.3 frames. Depth is then taken from other frames, repeated, or left as it is.

`size`: frames of one person each are rendered and reconstructed with the focal length times `FACTORS`; recordings of 20
frames are drawn out of them with replacement, and people of adult sizes are made of the rendered ones by scaling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro
from PIL import Image

from twohands.checks.recording import ODD, SUPPORTED, bone_length, hand_sizes
from twohands.checks.timing import TIMING, DepthTiming
from twohands.fitting import HandFitter
from twohands.geometry.camera import Camera
from twohands.hands import free_hand
from twohands.locate import GuidedLocator
from twohands.synth.acts.placement import Staging, sample_staging
from twohands.synth.acts.poses import sample_shape
from twohands.synth.config import FULL
from twohands.synth.engine import SyntheticHands
from twohands.types import RGBDFrame, Sample

WIDTH, HEIGHT = 320, 240
MARGIN = 8
"""Number of further frames before and after a recording, from which late and early depth is taken."""
FACTORS = (1 / 1.5, 1 / 1.35, 1.0, 1.35, 1.5)
ADULTS = np.log(206 / 159) / 3.29
"""Standard deviation of the logarithm of adult hand lengths: 5 to 95 % are 159 to 206 mm."""
THRESHOLDS = (1.1, 1.15, 1.175, 1.2, 1.25, 1.3)
Order = Callable[[int, int], int]
"""Function from a frame's number and the number of frames to the frame whose depth it gets."""


def late(lag: int) -> Order:
    """Return the order of depth that is `lag` frames late."""
    return lambda time, _: time - lag


FAULTS: dict[str, Order] = {
    "none": late(0),
    **{f"late by {lag}": late(lag) for lag in (1, 2, 3, 5)},
    "early by 1": late(-1),
    "every 2nd repeated": lambda t, _: t // 2 * 2,
    "every 3rd repeated": lambda t, _: t - (t % 3 == 2),
    "a tenth frozen": lambda t, n: n // 2 if n // 2 <= t < n // 2 + n // 10 else t,
}


class OnePerson(SyntheticHands):
    """Frames of one person: the shape of the first frame in all."""

    def staging(self, index: int) -> Staging:
        shape = sample_shape(self._rng(0, "person"), self.split)
        return sample_staging(self._rng(index, "staging"), self.config, shape, self._rng(index, "acts"))


def path(rng: np.random.Generator, reach: np.ndarray) -> Callable[[float], np.ndarray]:
    """Return a smooth function of time in frames with values (n,) that stay within `reach` (n,)."""
    periods = rng.uniform(14, 60, (3, len(reach)))
    phases, parts = rng.uniform(0, 2 * np.pi, periods.shape), rng.dirichlet(np.ones(3), len(reach)).T
    return lambda time: reach * (parts * np.sin(2 * np.pi * time / periods + phases)).sum(axis=0)


def moving(
    scene: Sample, other: Sample, rng: np.random.Generator, count: int, kind: int | None = None
) -> list[RGBDFrame]:
    """Return `count` + 2 MARGIN consecutive frames: `scene` with the hands of `other` before it.

    Of kind 0 the hands move, of 1 the scene, of 2 both; None: one of these.
    """
    kind = int(rng.integers(3)) if kind is None else kind
    view = path(rng, np.array([12.0, 10.0, 0.08]) * rng.uniform(0.15, 1) * (kind != 0))
    hand = path(rng, np.array([55.0, 40.0]) * rng.uniform(0.25, 1) * (kind != 1))
    offset, flicker, noise = rng.uniform(-0.3, 0.3), rng.uniform(0, 0.06), rng.uniform(0.005, 0.03)
    assert other.masks is not None
    mask = other.masks.any(axis=0)
    behind, front = scene.frame, other.frame
    width, height = behind.camera.width, behind.camera.height
    camera = behind.camera.crop(width / 8, height / 8, 3 * width // 4, 3 * height // 4).resize(WIDTH, HEIGHT)
    frames = []
    for time in range(-MARGIN, count + MARGIN):
        colour = [_composed(behind.rgb[k], front.rgb[k], mask, view, hand, time, True) for k in range(3)]
        depth = _composed(behind.depth, front.depth, mask, view, hand, time + offset, False)
        gain = 1 + flicker * np.sin(time / 3) + flicker * rng.normal()
        rgb = np.clip(gain * np.stack(colour) + rng.normal(0, noise, (3, HEIGHT, WIDTH)), 0, 1)
        depth = depth + rng.normal(0, 0.0015, depth.shape) * (1 + depth**2)
        depth = np.where(rng.random(depth.shape) < 0.03, 0, np.where(depth > 0.05, np.round(depth, 3), 0))
        frames.append(RGBDFrame(np.round(rgb * 255).astype(np.float32) / 255, depth.astype(np.float32), camera))
    return frames


def _composed(
    behind: np.ndarray,
    front: np.ndarray,
    mask: np.ndarray,
    view: Callable[[float], np.ndarray],
    hand: Callable[[float], np.ndarray],
    time: float,
    smooth: bool,
) -> np.ndarray:
    """Return a plane (HEIGHT, WIDTH) at a time: `front` in `mask`, moved along `hand`, and `behind` elsewhere."""
    dx, dy = np.rint(hand(time)).astype(int)
    shown = np.roll(mask, (dy, dx), (0, 1))
    plane = Image.fromarray(np.where(shown, np.roll(front, (dy, dx), (0, 1)), behind).astype(np.float32))
    x, y, zoom = view(time)
    height, width = behind.shape
    scale = 0.75 * (1 + zoom)  # the view is three quarters of the frame
    left, top = 0.5 * width * (1 - scale) + x, 0.5 * height * (1 - scale) + y
    matrix = (scale * width / WIDTH, 0, left, 0, scale * height / HEIGHT, top)
    resampling = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(plane.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, matrix, resampling))


def paired(frames: Sequence[RGBDFrame], order: Order, margin: int = MARGIN) -> list[RGBDFrame]:
    """Return the frames without `margin` at both ends, each with the depth that `order` gives it."""
    count = len(frames) - 2 * margin
    return [replace(frames[margin + time], depth=frames[margin + order(time, count)].depth) for time in range(count)]


def codes(frames: Sequence[RGBDFrame]) -> set[str]:
    """Return the codes of the findings about the timing of consecutive frames."""
    checks = DepthTiming()
    for number, frame in enumerate(frames):
        checks.observe(number, f"{number:06d}", frame)
    return {finding.code for finding in checks.findings()}


def timing(count: int = 200, length: int = 40, drawn: int = 60, seed: int = 7) -> None:
    """Print how many of `count` recordings of `length` frames have each finding, for every planted fault.

    They are made of `drawn` rendered frames of the split train. Every fourth is also read with a stride of 3, and
    compared with a folder of unrelated frames.
    """
    dataset, rng = SyntheticHands(seed, "train", FULL), np.random.default_rng(seed)
    scenes = [halved(dataset[index]) for index in range(drawn)]
    found: dict[str, list[set[str]]] = {name: [] for name in FAULTS}
    found |= {"none, every 3rd frame": [], "unrelated frames": []}
    for number in range(count):
        scene, other = (scenes[place] for place in rng.choice(drawn, 2, replace=False))
        frames = moving(scene, other, rng, length)
        for name, order in FAULTS.items():
            found[name].append(codes(paired(frames, order)))
        if number % 4 == 0:
            found["none, every 3rd frame"].append(codes(moving(scene, other, rng, 3 * length)[::3]))
            others = rng.choice(drawn, min(length, drawn), replace=False)
            found["unrelated frames"].append(codes([scenes[place].frame for place in others]))
    print(f"| planted | recordings | {' | '.join(TIMING)} |\n|---|---|---|---|---|")
    for name, sets in found.items():
        print(f"| {name} | {len(sets)} | {' | '.join(str(sum(code in each for each in sets)) for code in TIMING)} |")


def halved(sample: Sample) -> Sample:
    """Return a sample with every second pixel of its frame and masks."""
    frame = sample.frame
    camera = frame.camera.resize(frame.camera.width // 2, frame.camera.height // 2)
    small = replace(frame, rgb=frame.rgb[:, ::2, ::2], depth=frame.depth[::2, ::2], camera=camera)
    assert sample.masks is not None
    return replace(sample, frame=small, masks=sample.masks[:, ::2, ::2])


def size(people: int = 10, frames: int = 20, seed: int = 51_000, cache: Path = Path("runs/people")) -> None:
    """Print the rates of `hand_size` for the focal length times FACTORS, over thresholds; sizes are kept in `cache`."""
    measured = [_person(person, frames, seed, cache) for person in range(people)]
    print("| person | true size | " + " | ".join(f"focal x {factor:.2f}" for factor in FACTORS) + " |")
    print("|---|---|" + "---|" * len(FACTORS))
    for person, (true, sizes) in enumerate(measured):
        medians = [f"{np.nanmedian(sizes[:, k]):.2f}" for k in range(len(FACTORS))]
        print(f"| {person} | {true:.2f} | {' | '.join(medians)} |")
    rng, draws = np.random.default_rng(seed), 400
    logs = {factor: [] for factor in FACTORS}
    for true, sizes in measured:
        for _ in range(draws):
            adult = rng.normal(0.0, ADULTS)
            for k, factor in enumerate(FACTORS):
                chosen = rng.choice(np.flatnonzero(np.isfinite(sizes[:, k])), 20)
                logs[factor].append(np.median(np.log(sizes[chosen, k] / true)) + adult)
    print(f"\n{people * draws} recordings of 20 frames, {people} people, adult sizes; found at most wrong by:")
    print("| threshold | " + " | ".join(f"focal x {factor:.2f}" for factor in FACTORS) + " |")
    print("|---|" + "---|" * len(FACTORS))
    for threshold in sorted({*THRESHOLDS, ODD}):
        rates = [np.mean(np.abs(logs[factor]) >= np.log(threshold)) for factor in FACTORS]
        print(f"| {threshold} | {' | '.join(f'{rate:.1%}' for rate in rates)} |")


def _person(person: int, frames: int, seed: int, cache: Path) -> tuple[float, np.ndarray]:
    """Return a person's true size, and the size (frames, len(FACTORS)) of the hands in each frame, NaN without one."""
    file = cache / f"{seed + person}-{frames}.npz"
    if file.exists():
        with np.load(file) as stored:
            return float(stored["true"]), stored["sizes"]
    dataset, model = OnePerson(seed + person, "train", FULL), free_hand()
    locate, fit = GuidedLocator(), HandFitter(model)
    rest = np.asarray(model(model.neutral()).joints)[1]
    sizes, true = np.full((frames, len(FACTORS)), np.nan), np.nan
    for index in range(frames):
        sample = dataset[index]
        true = float(bone_length(np.asarray(sample.hands.joints)[1]) / bone_length(rest))
        sizes[index] = [_size(sample.frame, factor, locate, fit, rest) for factor in FACTORS]
    cache.mkdir(parents=True, exist_ok=True)
    np.savez(file, true=true, sizes=sizes)
    return true, sizes


def _size(frame: RGBDFrame, factor: float, locate: GuidedLocator, fit: HandFitter, rest: np.ndarray) -> float:
    """Return the mean size of the usable hands of a frame whose focal length is taken `factor` times as long."""
    K = np.array(frame.camera.K)
    K[[0, 1], [0, 1]] *= factor
    frame = replace(frame, camera=Camera(K, frame.camera.width, frame.camera.height))
    hands = fit(frame, locate(frame))
    assert hands.quality is not None
    usable = hands.is_present & hands.quality.fitted & (hands.quality.depth_support >= SUPPORTED)
    return float(np.exp(np.mean(np.log(hand_sizes(hands.joints[usable], rest))))) if usable.any() else np.nan


if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"timing": timing, "size": size})
