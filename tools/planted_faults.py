"""Faults of registration and of colour, planted into rendered frames.

A fault is a function of a random generator, a sample, its engine and its index; it returns the faulty frame and the
fault's size (pixels of a shift, factor of a scale, metres of a baseline), or None where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from twohands.synth.engine import SyntheticHands
from twohands.synth.sensors import STEP, sample_sensor
from twohands.synth.sensors.mount import Mount
from twohands.types import RGBDFrame, Sample

Planted = tuple[RGBDFrame, float] | None
Plant = Callable[[np.random.Generator, Sample, SyntheticHands, int], Planted]


def shift(rng: np.random.Generator, sample: Sample, engine: SyntheticHands, index: int) -> Planted:
    """Return depth moved by 8 to 60 pixels in any direction."""
    return _shifted(rng, sample.frame, 8, 60)


def small_shift(rng: np.random.Generator, sample: Sample, engine: SyntheticHands, index: int) -> Planted:
    """Return depth moved by 8 to 10 pixels in any direction."""
    return _shifted(rng, sample.frame, 8, 10)


def field_of_view(rng: np.random.Generator, sample: Sample, engine: SyntheticHands, index: int) -> Planted:
    """Return depth of a camera at the same place with another focal length."""
    scale = float(rng.choice([rng.uniform(0.6, 0.9), rng.uniform(1.1, 1.6)]))
    depth = sample.frame.depth
    rows, columns = (np.rint((np.arange(n) - (n - 1) / 2) / scale + (n - 1) / 2).astype(int) for n in depth.shape)
    outside = [(place < 0) | (place >= n) for place, n in zip((rows, columns), depth.shape, strict=True)]
    scaled = depth[np.clip(rows, 0, len(depth) - 1)][:, np.clip(columns, 0, depth.shape[1] - 1)]
    scaled[outside[0]], scaled[:, outside[1]] = 0, 0
    return replace(sample.frame, depth=scaled), scale


def beside(rng: np.random.Generator, sample: Sample, engine: SyntheticHands, index: int) -> Planted:
    """Return the readings as seen 15 to 60 mm beside, with another focal length, a tilt, more noise and more holes."""
    frame = sample.frame
    height, width = frame.depth.shape
    coarse = rng.uniform(1.4, 2.2)  # pixels of the frame along a pixel of the depth camera
    focal = float(rng.choice([rng.uniform(0.6, 0.95), rng.uniform(1.05, 1.4)])) * float(frame.camera.focal[0]) / coarse
    baseline = float(rng.uniform(0.015, 0.060))
    offset = np.array([rng.choice([-1, 1]) * baseline, rng.normal(0, 0.002), 0])
    points = (frame.camera.rays() * frame.depth[..., None])[frame.depth > 0] - offset
    rows, columns = int(height / coarse), int(width / coarse)
    center = np.array([columns - 1, rows - 1]) / 2 + focal * rng.normal(0, 0.01, 2)
    column, row = np.rint(points[:, :2] / points[:, 2:] * focal + center).astype(int).T
    z = points[:, 2] * (1 + rng.normal(0, 0.002, len(points)))
    kept = np.flatnonzero((column >= 0) & (column < columns) & (row >= 0) & (row < rows))
    kept = kept[np.argsort(-z[kept])]  # the nearest last
    own = np.zeros((rows, columns), np.float32)
    own[row[kept], column[kept]] = np.round(z[kept], 3)
    across = [np.minimum((np.arange(n) / coarse).astype(int), m - 1) for n, m in ((height, rows), (width, columns))]
    return replace(frame, depth=own[np.ix_(*across)]), baseline


def own_view(rng: np.random.Generator, sample: Sample, engine: SyntheticHands, index: int) -> Planted:
    """Return what a sensor of the engine measures in its own view, at the size of the colour image.

    LiDAR is left out: its depth comes in the view of the colour camera.
    """
    staging, scene = engine.scene(index)
    sensor: Any = sample_sensor(rng, engine.config, staging.view.camera)
    part = getattr(sensor, "triangle", sensor)
    mount: Mount = part.mount
    if not mount.translation.any():
        return None
    alone = replace(part, mount=Mount(mount.camera, np.eye(3), np.zeros(3)))
    sensor = alone if part is sensor else replace(sensor, triangle=alone)
    seen = scene.surfaces._replace(vertices=mount.from_color(scene.surfaces.vertices))
    height, width = sample.frame.depth.shape
    depth = sensor.measure(rng, seen, scene.materials, mount.camera.resize(width, height))
    return replace(sample.frame, depth=depth.astype(np.float32) * np.float32(STEP)), float(mount.translation[0])


def mirrored_depth(rng: np.random.Generator, sample: Sample, engine: SyntheticHands, index: int) -> Planted:
    """Return depth mirrored left to right."""
    return replace(sample.frame, depth=np.ascontiguousarray(sample.frame.depth[:, ::-1])), 0.0


def mirrored_color(rng: np.random.Generator, sample: Sample, engine: SyntheticHands, index: int) -> Planted:
    """Return colour mirrored left to right."""
    return replace(sample.frame, rgb=np.ascontiguousarray(sample.frame.rgb[..., ::-1])), 0.0


def blue_first(rng: np.random.Generator, sample: Sample, engine: SyntheticHands, index: int) -> Planted:
    """Return colour with red and blue exchanged; frames without hands are left out."""
    if not np.asarray(sample.hands.present).any():
        return None
    return replace(sample.frame, rgb=np.ascontiguousarray(sample.frame.rgb[::-1])), 0.0


FAULTS: dict[str, Plant] = {
    "shift": shift,
    "field_of_view": field_of_view,
    "beside": beside,
    "own_view": own_view,
    "mirrored_depth": mirrored_depth,
    "small_shift": small_shift,
    "mirrored_color": mirrored_color,
    "blue_first": blue_first,
}


def _shifted(rng: np.random.Generator, frame: RGBDFrame, least: float, most: float) -> Planted:
    size, angle = rng.uniform(least, most), rng.uniform(0, 2 * np.pi)
    right, down = round(size * np.cos(angle)), round(size * np.sin(angle))
    height, width = frame.depth.shape
    depth = np.zeros_like(frame.depth)
    depth[max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = frame.depth[
        max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return replace(frame, depth=depth), float(size)
