"""Contact sheets and statistics of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_erosion

from twohands.files import write_atomically
from twohands.hands.skeleton import ROOT, SIDE_COLORS
from twohands.pictures import color_depth, contact_sheet, draw_skeleton
from twohands.types import Frames, Sample

CLOSE = 0.12
"""Metres between the roots of two hands below which they are called close."""
_MIDDLE_CHAIN = (0, 9, 10, 11, 12)  # wrist to the tip of the middle finger
_WIDTH = 640  # pixels of one frame, colour and depth
_OCCLUDED = 0.98  # a hand with a smaller visible fraction of its pixels has an occluder


@dataclass(frozen=True)
class Description:
    """Statistics of one frame: LEFT and RIGHT along pairs of values, zeros for absent hands."""

    present: tuple[bool, bool]
    visible_fraction: tuple[float, float]  # fraction of the hand's pixels that nothing else hides
    length: tuple[float, float]  # pixels from the wrist to the tip of the middle finger along the bones
    root_depth: tuple[float, float]  # metres
    root_distance: float | None  # metres between the two roots (joint 9); None unless both are there


def write_preview(
    frames: Frames, parts: Callable[[int], tuple[str, ...]], path: str | Path, count: int = 12, columns: int = 3
) -> Path:
    """Write a contact sheet of the first `count` frames, colour with the ground truth and depth, and return its path.

    Each frame is titled with its id and the `parts` of the engine that it shows (`SyntheticHands.parts`).
    """
    samples = [frames[index] for index in range(count)]
    pictures = [np.concatenate([draw_truth(s), color_depth(np.asarray(s.frame.depth))], axis=1) for s in samples]
    titles = [f"{sample.id}: {', '.join(parts(index))}" for index, sample in enumerate(samples)]
    sheet = contact_sheet(pictures, titles, columns, _WIDTH)
    with write_atomically(path) as temporary:
        Image.fromarray(sheet).save(temporary)
    return Path(path)


def draw_truth(sample: Sample) -> np.ndarray:
    """Return the colour image (H, W, 3) uint8 with the outlines of the masks and the bones of both hands."""
    picture = sample.frame.rgb_uint8()
    thickness = max(1, picture.shape[1] // 320)
    for side in range(2):
        mask = np.asarray(sample.masks)[side].astype(bool)
        inside = np.asarray(binary_erosion(mask, iterations=thickness), dtype=bool)
        picture[mask & ~inside] = SIDE_COLORS[side]
    image = Image.fromarray(picture)
    for side in sample.hands.present_sides:
        draw_skeleton(image, np.asarray(sample.hands.joints)[side], sample.frame.camera)
    return np.asarray(image)


def mix(frames: Frames, count: int) -> dict[str, Any]:
    """Return the composition of the first `count` frames: fractions of frames and hands, ranges of depth and size."""
    described = [describe(frames[index]) for index in range(count)]
    pairs = [d for d in described if d.root_distance is not None]
    hands = list(_hands(described))
    depths = [depth for _, depth, _ in hands]
    lengths = [length for *_, length in hands]
    return {
        "frames": count,
        "two_hands": _fraction(len(pairs), count),
        "one_hand": _fraction(sum(sum(d.present) == 1 for d in described), count),
        "no_hands": _fraction(sum(sum(d.present) == 0 for d in described), count),
        "hands_with_occluder": _fraction(sum(visible < _OCCLUDED for visible, *_ in hands), len(hands)),
        "hands_mostly_hidden": _fraction(sum(visible < 0.5 for visible, *_ in hands), len(hands)),
        "close_roots": _fraction(sum((d.root_distance or 0.0) < CLOSE for d in pairs), len(pairs)),
        "root_depth_m": _range(depths),
        "hand_length_px": _range(lengths),
    }


def mix_report(frames: Frames, count: int) -> str:
    """Return `mix` as lines of text."""
    statistics = mix(frames, count)
    lines = [f"frames: {count}"]
    for name, value in statistics.items():
        if name.endswith(("_m", "_px")):
            unit = "m" if name.endswith("_m") else "px"
            low, middle, high = (f"{number:.2f}" if unit == "m" else f"{number:.0f}" for number in value)
            lines.append(f"{name.rsplit('_', 1)[0].replace('_', ' ')}: {low} to {high} {unit}, median {middle}")
        elif name != "frames":
            lines.append(f"{name.replace('_', ' ')}: {100 * value:.1f} %")
    return "\n".join(lines)


def describe(sample: Sample) -> Description:
    """Return the statistics of one frame from its ground truth."""
    hands, shares = sample.hands, np.asarray(sample.visible_fraction)
    present = hands.is_present
    joints = np.asarray(hands.joints, dtype=np.float64)
    depth = np.maximum(joints[:, ROOT, 2], 0.1)
    lengths = (
        np.linalg.norm(np.diff(joints[:, list(_MIDDLE_CHAIN)], axis=1), axis=-1).sum(axis=1)
        * float(sample.frame.camera.focal[0])
        / depth
    )
    return Description(
        present=(bool(present[0]), bool(present[1])),
        visible_fraction=_pair(shares * present),
        length=_pair(lengths * present),
        root_depth=_pair(depth * present),
        root_distance=float(np.linalg.norm(joints[0, ROOT] - joints[1, ROOT])) if present.all() else None,
    )


def _pair(values: np.ndarray) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def _hands(described: list[Description]) -> Iterator[tuple[float, float, float]]:
    """Yield (visible fraction, root depth, length in pixels) of every present hand."""
    for d in described:
        for side in range(2):
            if d.present[side]:
                yield d.visible_fraction[side], d.root_depth[side], d.length[side]


def _fraction(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _range(values: list[float]) -> tuple[float, float, float]:
    """Return the smallest, median and largest value; zeros when there are none."""
    if not values:
        return 0.0, 0.0, 0.0
    return min(values), float(np.median(values)), max(values)
