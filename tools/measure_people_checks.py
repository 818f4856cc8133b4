"""Measure the findings about several people on rendered frames: false alarms, and planted hands of other people.

    python tools/measure_people_checks.py FOLDER --count 200

FOLDER holds stored frames (`twohands synth`) of a split that thresholds may be chosen on. Other people's hands are
planted by putting windows of frames side by side; half of the windows are mirrored, which exchanges the sides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from twohands import load
from twohands.evaluation.scoring import Forgiving, predictions, report_of
from twohands.geometry.camera import Camera
from twohands.predictor import Predictor
from twohands.shards import Shards
from twohands.types import LEFT, RIGHT, Frames, RGBDFrame, Sample, TwoHands, no_hands

CODES = ("two_hands_of_one_side", "more_than_two_hands", "hands_of_two_people")
SIMILAR_FOCAL = 1.15
"""Largest ratio of the focal lengths of two windows that are put side by side."""
VISIBLE, MARGIN = 0.5, 12
"""Smallest visible fraction of a planted hand, and its distance from the window's border in pixels."""
ON_THE_HAND = 0.35
"""Mean joint distance, in hand lengths, up to which a result is on a hand."""


@dataclass(frozen=True)
class Window:
    """A part of a frame, and the hands that are completely in it."""

    frame: RGBDFrame
    pixels: np.ndarray  # (2, 21, 2) true joints; NaN for a side without a hand in the window
    id: str

    @property
    def sides(self) -> list[int]:
        """Sides with a hand."""
        return [side for side in (LEFT, RIGHT) if np.isfinite(self.pixels[side]).all()]

    def mirror(self) -> Window:
        """Return the mirror image: a left hand becomes a right hand."""
        camera = self.frame.camera.mirror()
        rgb, depth = self.frame.rgb[..., ::-1], self.frame.depth[..., ::-1]
        pixels = np.stack([camera.width - 1 - self.pixels[..., 0], self.pixels[..., 1]], axis=-1)[::-1]
        frame = RGBDFrame(np.ascontiguousarray(rgb), np.ascontiguousarray(depth), camera)
        return Window(frame, pixels, f"{self.id}-mirrored")


def window(sample: Sample, left: int, width: int) -> Window | None:
    """Return the columns from `left` of a sample's frame; None if a hand is cut, small or hidden, or none is there."""
    frame = sample.frame
    camera, pixels = frame.camera, frame.camera.project(sample.hands.joints).astype(np.float64)
    inside = (pixels[..., 0] > left + MARGIN) & (pixels[..., 0] < left + width - 1 - MARGIN)
    inside &= (pixels[..., 1] > MARGIN) & (pixels[..., 1] < camera.height - 1 - MARGIN)
    outside = (pixels[..., 0] < left - MARGIN) | (pixels[..., 0] > left + width - 1 + MARGIN)
    there, visible = sample.hands.is_present, np.asarray(sample.visible_fraction) > VISIBLE
    whole, away = inside.all(axis=1) & visible, outside.all(axis=1) | ~there
    if not (there & whole).any() or not (whole | away).all() or np.ptp(pixels[there & whole], axis=1).max() < 60:
        return None
    columns = slice(left, left + width)
    cut = RGBDFrame(
        frame.rgb[..., columns].copy(), frame.depth[..., columns].copy(), camera.crop(left, 0, width, camera.height)
    )
    pixels[~(there & whole)] = np.nan
    return Window(cut, pixels - [left, 0], sample.id)


def windows(frames: Frames, count: int, width: int, hands: int) -> Iterator[Window]:
    """Yield at most one window with this number of hands from each of the first `count` frames."""
    for index in range(count):
        sample = frames[index]
        lefts = np.linspace(0, sample.frame.camera.width - width, 9).astype(int)
        found = [window(sample, int(left), width) for left in lefts]
        good = [cut for cut in found if cut is not None and len(cut.sides) == hands]
        if good:
            yield good[len(good) // 2]


def beside(first: Window, second: Window) -> Window:
    """Return two windows side by side, as seen by one camera: the second one's depth keeps the sizes of its hands."""
    a, b = first.frame, second.frame
    scale = float(a.camera.K[0, 0] / b.camera.K[0, 0])
    rgb = np.concatenate([a.rgb, b.rgb], axis=2)
    depth = np.concatenate([a.depth, b.depth * np.float32(scale)], axis=1)
    K = np.array(a.camera.K)
    K[:2, 2] = (rgb.shape[2] - 1) / 2, (rgb.shape[1] - 1) / 2
    camera = Camera(K, rgb.shape[2], rgb.shape[1])
    return Window(RGBDFrame(rgb, depth, camera), first.pixels, f"{first.id}+{second.id}")


def hand_on(hands: TwoHands, camera: Camera, pixels: np.ndarray) -> int | None:
    """Return the side of the result that is on the hand with true joints (21, 2); None if there is none."""
    for side in hands.present_sides:
        away = np.linalg.norm(camera.project(hands.joints[side]) - pixels, axis=1).mean()
        if away < ON_THE_HAND * np.ptp(pixels, axis=0).max():
            return side
    return None


def reconstructed(predictor: Predictor, frame: RGBDFrame) -> TwoHands:
    """Return the hands of a frame, none and no finding for one that is refused."""
    try:
        return predictor(frame)
    except ValueError:
        return no_hands()


def is_right(predictor: Predictor, cut: Window) -> bool:
    """Return whether all hands of a window are found on their sides when it is alone, and nothing else."""
    hands = reconstructed(predictor, cut.frame)
    on = [hand_on(hands, cut.frame.camera, cut.pixels[side]) == side for side in cut.sides]
    return all(on) and len(hands.present_sides) == len(cut.sides)


def planted(
    predictor: Predictor, ones: list[Window], others: list[Window], count: int, one_side: bool, seed: int
) -> Counter[str]:
    """Return counts over `count` pairs of windows: `found` findings, `right` results, hands on the `wrong_side`."""
    rng, counts = np.random.default_rng(seed), Counter()
    good: dict[str, bool] = {}
    for _ in range(50 * count):
        if counts["frames"] == count:
            break
        a, b = ones[rng.integers(len(ones))], others[rng.integers(len(others))]
        ratio = float(a.frame.camera.K[0, 0] / b.frame.camera.K[0, 0])
        a, b = (cut.mirror() if rng.random() < 0.5 else cut for cut in (a, b))
        if max(ratio, 1 / ratio) > SIMILAR_FOCAL or (one_side and a.sides != b.sides):
            continue
        for cut in (a, b):
            good.setdefault(cut.id, is_right(predictor, cut))
        if not good[a.id] or not good[b.id]:
            continue
        pair = (a, b) if rng.random() < 0.5 else (b, a)
        both = beside(*pair)
        hands = reconstructed(predictor, both.frame)
        shifted = [pair[0].pixels, pair[1].pixels + [pair[0].frame.camera.width, 0]]
        sides = [
            {s: hand_on(hands, both.frame.camera, p[s]) for s in cut.sides}
            for cut, p in zip(pair, shifted, strict=True)
        ]
        on = [sum(side is not None for side in of_one.values()) for of_one in sides]
        wrong = sum(side not in (None, truth) for of_one in sides for truth, side in of_one.items())
        code = CODES[0] if one_side else CODES[1]
        counts["frames"] += 1
        found = code in [finding.code for finding in hands.findings]
        counts["found"] += found
        counts["wrong_side"] += wrong > 0
        counts["two_people"] += min(on) > 0
        counts["nowhere"] += len(hands.present_sides) > sum(on)
        counts["right"] += found and not wrong and min(on) == 0 and max(on) == len(hands.present_sides) > 0
    return counts


def clean(predictor: Predictor, frames: Frames, count: int) -> tuple[str, Counter[str]]:
    """Return the table of scores and the number of each finding on the first `count` frames."""
    alarms: Counter[str] = Counter()

    def counted() -> Iterator[tuple[TwoHands | None, Sample]]:
        for hands, sample in predictions(Forgiving(predictor), (frames[index] for index in range(count))):
            alarms.update(finding.code for finding in (hands.findings if hands else ()) if finding.code in CODES)
            yield hands, sample

    return report_of(counted()).markdown(), alarms


def main(
    folder: tyro.conf.Positional[Path], count: int = 200, clean_count: int = 300, sources: int = 300, seed: int = 0
) -> None:
    """Print tables for clean frames and for `count` planted frames of every kind, from windows of `sources` frames."""
    frames, predictor = Shards(folder), load()
    predictor.examiner = None  # the findings about people are made without it
    single = list(windows(frames, sources, 320, 1))
    pairs = list(windows(frames, sources, 480, 2))
    print(
        "| planted | frames | finding | right result | wrong side | hands of two people | false positive |\n|---"
        + "|---" * 6
        + "|"
    )
    kinds = {"two hands of one side": (single, single, True), "three hands": (pairs, single, False)}
    for title, (ones, others, one_side) in (kinds | {"four hands": (pairs, pairs, False)}).items():
        counts = planted(predictor, ones, others, count, one_side, seed)
        cells = [counts[name] for name in ("frames", "found", "right", "wrong_side", "two_people", "nowhere")]
        print("| " + " | ".join([title, *map(str, cells)]) + " |", flush=True)
    table, alarms = clean(predictor, frames, clean_count)
    print(f"\nClean frames: {clean_count}; findings: {dict(alarms)}\n\n{table}")


if __name__ == "__main__":
    tyro.cli(main)
