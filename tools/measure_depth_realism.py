"""Compare registered depth of real time-of-flight frames with renderings, and print a Markdown table.

The renderings have the size and focal length of the real frames and are seen from the head, with hands at 0.3 to 0.6 m.
Everything is measured along rows, in the same way on both. An edge is a step from a surface nearer than 0.75 m to one
that is 10 to 40 % farther. The upper bound excludes far rooms, since widths depend on the step. The foreground is
nearer than most of its surroundings, because real frames have no masks of the hands. Widths grow with the colour
pixels per depth pixel: 2.5 in frames of an Azure Kinect at 1280x720, 1.4 to 2.5 in the renderings.

Run: python tools/measure_depth_realism.py --real FOLDER --frames 24
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tyro
from scipy.ndimage import binary_closing, percentile_filter

from twohands.geometry.camera import Camera
from twohands.sources.folder import FolderRecording
from twohands.synth.config import FULL
from twohands.synth.engine import SyntheticHands
from twohands.synth.sensors import STEP, sample_sensor

NEAR = 0.75
"""Largest depth of the foreground in metres."""
STEPS = (1.1, 1.4)
"""Range of the depth behind an edge over the depth in front of it."""
WINDOW = 31  # pixels along each side of the window in which noise is the residual of a quadratic fit
REACH = 12  # pixels from an edge to its two undisturbed surfaces
FLYING = 0.05  # a flying pixel is at least this fraction of the step away from both surfaces


def main(real: Path, frames: int = 24, seed: int = 3) -> None:
    """Print statistics of the frames in folder `real` (rgb/, depth/, cam_K.txt) and of `frames` renderings."""
    recording = FolderRecording(real)
    measured = [np.asarray(recording.open(frame_id).depth, dtype=np.float64) for frame_id in recording.ids]
    height, width = measured[0].shape
    camera = Camera(np.asarray(recording.intrinsics), width, height)
    columns = [statistics(depths) for depths in (measured, renderings(camera, frames, seed))]
    print(f"| statistic | real ({len(measured)} frames) | rendered ({frames} frames) |")
    print("|---|---|---|")
    for name in columns[0]:
        print(f"| {name} | {columns[0][name]} | {columns[1][name]} |")


def renderings(camera: Camera, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yield depth (H, W) in metres of rendered frames with the size and focal length of this camera."""
    focal = float(camera.focal[0]) / camera.width
    config = replace(
        FULL,
        width=camera.width,
        height=camera.height,
        focal=(0.99 * focal, 1.01 * focal),
        distance=(0.3, 0.6),
        egocentric=1.0,
        sensor="time_of_flight",
    )
    dataset = SyntheticHands(seed, config=config)
    for index in range(count):
        staging, scene = dataset.scene(index)
        rng = np.random.default_rng([seed, index])
        sensor = sample_sensor(rng, config, staging.view.camera)
        yield STEP * sensor.measure(rng, scene.surfaces, scene.materials, staging.view.camera).astype(np.float64)


def statistics(depths: Iterable[np.ndarray]) -> dict[str, str]:
    """Return the rows of the table for depth images (H, W) in metres."""
    noise, correlation, bands, gaps, profiles, holes, holes_within = [], [], [], [], [], [], []
    for depth in depths:
        residuals = quadratic_residuals(depth)
        deviation = residuals.std(axis=(1, 2))
        if len(deviation):
            noise.append(np.median(deviation))
            correlation.append(lag_correlations(residuals[deviation < 1.5 * noise[-1]]))
        left, right = edges(depth)
        bands.append(right[:, 2] - right[:, 1] - 1)
        gaps.append(left[:, 2] - left[:, 1] - 1)
        profiles.append(edge_profiles(depth, left[gaps[-1] == 0]))
        holes.append((depth == 0).mean())
        holes_within.append((depth == 0)[foreground(depth)].mean())
    between = np.concatenate(profiles)  # (N, 2 REACH): 0 = foreground, 1 = background
    flying = ((between > FLYING) & (between < 1 - FLYING)).sum(axis=1)
    bleed = between[:, REACH]
    return {
        f"noise ({WINDOW}x{WINDOW} quadratic residual), quartiles over frames": _millimetres(noise),
        "correlation along x, lags 1-4": _numbers(np.median(correlation, axis=0), ".2f"),
        "hole band on the right of the foreground, 10/50/90 %": _quantiles(np.concatenate(bands)) + " px",
        "left edges without a hole": f"{np.mean(np.concatenate(gaps) == 0):.0%} of {len(np.concatenate(gaps))}",
        "holes": f"{np.mean(holes):.1%}",
        "holes within the foreground": f"{np.nanmean(holes_within):.1%}",
        "flying pixels across a left edge, mean": f"{flying.mean():.1f} px of {len(flying)} edges",
        "bleed into the first foreground pixel, mean": f"{bleed.mean():.1%}",
    }


def quadratic_residuals(depth: np.ndarray) -> np.ndarray:
    """Return the residuals (N, WINDOW, WINDOW) in metres of a quadratic fit to every window without holes."""
    rows, columns = (size // WINDOW for size in depth.shape)
    tiles = depth[: rows * WINDOW, : columns * WINDOW].reshape(rows, WINDOW, columns, WINDOW).transpose(0, 2, 1, 3)
    flat = tiles.reshape(-1, WINDOW * WINDOW)
    flat = flat[(flat > 0).all(axis=1)]
    y, x = np.mgrid[-1 : 1 : WINDOW * 1j, -1 : 1 : WINDOW * 1j]
    surface, _ = np.linalg.qr(np.stack([x**0, x, y, x * x, x * y, y * y], axis=-1).reshape(-1, 6))
    return (flat - flat @ surface @ surface.T).reshape(-1, WINDOW, WINDOW)


def lag_correlations(residuals: np.ndarray) -> list[float]:
    """Return the correlations of residuals (N, h, w) with themselves 1 to 4 columns away."""
    power = (residuals**2).mean()
    return [float((residuals[..., lag:] * residuals[..., :-lag]).mean() / power) for lag in range(1, 5)]


def edges(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return left and right foreground edges (N, 3): row, last column before and first after, with holes between."""
    rows, columns = np.nonzero(depth)
    same = rows[1:] == rows[:-1]
    pairs = np.stack([rows[:-1], columns[:-1], columns[1:]], axis=-1)[same]
    before, after = depth[pairs[:, 0], pairs[:, 1]], depth[pairs[:, 0], pairs[:, 2]]
    left = (after < NEAR) & _is_step(before / after)
    right = (before < NEAR) & _is_step(after / before)
    return pairs[left], pairs[right]


def edge_profiles(depth: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return the depth (N, 2 REACH) across left edges without a hole; 0 foreground, 1 background `REACH` away."""
    left = left[(left[:, 1] >= REACH) & (left[:, 2] < depth.shape[1] - REACH)]
    across = depth[left[:, :1], left[:, 1:2] + np.arange(1 - REACH, REACH + 1)]
    across = across[(across > 0).all(axis=1) & _is_step(across[:, 0] / np.maximum(across[:, -1], STEP))]
    near, far = across[:, -1:], across[:, :1]
    return (across - near) / (far - near)


def foreground(depth: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: pixels nearer than 0.75 m and than most of their surroundings, with small holes filled."""
    coarse = percentile_filter(depth[::8, ::8], 75, size=17)
    around = np.kron(coarse, np.ones((8, 8)))[: depth.shape[0], : depth.shape[1]]
    near = (depth > 0) & (depth < NEAR) & (STEPS[0] * depth < around)
    return binary_closing(near, np.ones((9, 9)))


def _is_step(ratio: np.ndarray) -> np.ndarray:
    return (ratio > STEPS[0]) & (ratio < STEPS[1])


def _millimetres(values: list[float]) -> str:
    return _numbers(np.percentile(values, (25, 50, 75)) * 1e3, ".2f", "/") + " mm"


def _quantiles(values: np.ndarray) -> str:
    return _numbers(np.percentile(values, (10, 50, 90)), ".0f", "/")


def _numbers(values: np.ndarray, style: str, between: str = " ") -> str:
    return between.join(format(float(value), style) for value in values)


if __name__ == "__main__":
    tyro.cli(main)
