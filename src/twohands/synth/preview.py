"""What frames look like, in pictures and in figures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from twohands.files import write_atomically
from twohands.hands.skeleton import BONES, FINGER_COLORS, SIDE_COLORS
from twohands.synth.engine import Description
from twohands.types import Sample

# polynomial fit of the colour map "turbo" (Mikhailov 2019, Apache-2.0), red, green, blue by rising power
_TURBO = np.array(
    [
        [0.13572138, 4.61539260, -42.66032258, 132.13108234, -152.94239396, 59.28637943],
        [0.09140261, 2.19418839, 4.84296658, -14.18503333, 4.27729857, 2.82956604],
        [0.10667330, 12.64194608, -60.58204836, 110.36276771, -89.90310912, 27.34824973],
    ]
)
CLOSE = 0.12
"""Metres between the roots of hands that count as close."""
_OCCLUDED = 0.98  # a hand with a smaller share of its pixels visible has an occluder


class Frames(Protocol):
    """A data set of samples, drawn or stored."""

    def __getitem__(self, index: int, /) -> Sample: ...

    def describe(self, index: int, /) -> Description: ...


def write_preview(frames: Frames, path: str | Path, count: int = 12, columns: int = 3, width: int = 480) -> Path:
    """A contact sheet of the first `count` frames: colour, the truth drawn into it, and depth; returns the path."""
    tiles = [_tile(frames[index], width) for index in range(count)]
    tall = max(tile.shape[0] for tile in tiles)
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * tall, columns * tiles[0].shape[1], 3), dtype=np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * tall, index % columns * tile.shape[1]
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    with write_atomically(path) as temporary:
        Image.fromarray(sheet).save(temporary)
    return Path(path)


def _tile(sample: Sample, width: int) -> np.ndarray:
    """Truth over colour, and depth beside it, (H, width, 3) uint8."""
    pictures = [draw_truth(sample), color_depth(np.asarray(sample.frame.depth))]
    height = round(pictures[0].shape[0] * (width // 2) / pictures[0].shape[1])
    halves = [Image.fromarray(picture).resize((width // 2, height), Image.Resampling.LANCZOS) for picture in pictures]
    return np.concatenate([np.asarray(half) for half in halves], axis=1)


def draw_truth(sample: Sample) -> np.ndarray:
    """The colour image with the outlines of the masks and the bones of both hands, (H, W, 3) uint8."""
    picture = sample.frame.rgb_uint8()
    thickness = max(1, picture.shape[1] // 320)
    for side in range(2):
        mask = np.asarray(sample.masks)[side].astype(bool)
        inside = np.asarray(binary_erosion(mask, iterations=thickness), dtype=bool)
        picture[mask & ~inside] = SIDE_COLORS[side]
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    for side in range(2):
        if sample.hands.present[side] > 0.5:
            pixels = sample.frame.camera.project(np.asarray(sample.hands.joints[side], dtype=np.float64))
            for parent, joint in BONES:
                ends = [tuple(pixels[parent]), tuple(pixels[joint])]
                pen.line(ends, fill=FINGER_COLORS[(joint - 1) // 4], width=thickness)
    return np.asarray(image)


def color_depth(depth: np.ndarray) -> np.ndarray:
    """Depth (H, W) metres -> (H, W, 3) uint8: near is red, far is blue, no reading is black."""
    valid = depth > 0
    near, far = np.percentile(depth[valid], (1, 95)) if valid.any() else (0.0, 1.0)
    level = 0.95 - 0.9 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1)
    color = np.clip(level[..., None] ** np.arange(6) @ _TURBO.T, 0, 1)
    return np.where(valid[..., None], color * 255, 0).astype(np.uint8)


def mix(frames: Frames, count: int) -> dict[str, Any]:
    """What the first `count` frames consist of."""
    described = [frames.describe(index) for index in range(count)]
    pairs = [d for d in described if d.root_distance is not None]
    hands = list(_hands(described))
    depths = [depth for _, depth, _ in hands]
    lengths = [length for *_, length in hands]
    return {
        "frames": count,
        "two_hands": _share(len(pairs), count),
        "one_hand": _share(sum(sum(d.present) == 1 for d in described), count),
        "no_hands": _share(sum(sum(d.present) == 0 for d in described), count),
        "hands_with_occluder": _share(sum(share < _OCCLUDED for share, *_ in hands), len(hands)),
        "hands_mostly_hidden": _share(sum(share < 0.5 for share, *_ in hands), len(hands)),
        "close_roots": _share(sum((d.root_distance or 0.0) < CLOSE for d in pairs), len(pairs)),
        "root_depth_m": _range(depths),
        "hand_length_px": _range(lengths),
    }


def mix_report(frames: Frames, count: int) -> str:
    """`mix` as lines of text."""
    figures = mix(frames, count)
    lines = [f"frames: {count}"]
    for name, value in figures.items():
        if name.endswith(("_m", "_px")):
            unit = "m" if name.endswith("_m") else "px"
            low, middle, high = (f"{number:.2f}" if unit == "m" else f"{number:.0f}" for number in value)
            lines.append(f"{name.rsplit('_', 1)[0].replace('_', ' ')}: {low} to {high} {unit}, median {middle}")
        elif name != "frames":
            lines.append(f"{name.replace('_', ' ')}: {100 * value:.1f} %")
    return "\n".join(lines)


def _hands(described: list[Description]) -> Iterator[tuple[float, float, float]]:
    """(visible share, root depth, length in pixels) of every hand that is there."""
    for d in described:
        for side in range(2):
            if d.present[side]:
                yield d.share[side], d.root_depth[side], d.length[side]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _range(values: list[float]) -> tuple[float, float, float]:
    """Smallest, median, largest."""
    if not values:
        return 0.0, 0.0, 0.0
    return min(values), float(np.median(values)), max(values)
