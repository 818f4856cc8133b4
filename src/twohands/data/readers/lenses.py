"""Lenses that bend an image, and the image as a pinhole camera would have taken it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from twohands.data.readers.common import camera_of
from twohands.geometry.camera import Camera

STEP = 8
"""Pixels from one whose place in a bent image is computed to the next; in between it is about 0.01 pixels off."""


@dataclass(frozen=True)
class Fisheye:
    """A camera with the lens model FISHEYE624."""

    numbers: tuple[float, ...]  # fx, fy, cx, cy in pixels; k1 to k6 radial, p1, p2 tangential, s1 to s4 thin prism
    width: int
    height: int

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) metres, camera frame -> pixels (..., 2)."""
        fx, fy, cx, cy = self.numbers[:4]
        radial, (p1, p2, s1, s2, s3, s4) = self.numbers[4:10], self.numbers[10:]
        x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        aside = np.hypot(x, y)
        angle = np.arctan2(aside, z)
        powers = 1.0 + sum(k * angle ** (2 * order) for order, k in enumerate(radial, start=1))
        stretch = powers * angle / np.where(aside > 0, aside, 1.0)
        x, y = x * stretch, y * stretch
        squared = x * x + y * y
        bent_x = x + p1 * (squared + 2 * x * x) + 2 * p2 * x * y + s1 * squared + s2 * squared**2
        bent_y = y + p2 * (squared + 2 * y * y) + 2 * p1 * x * y + s3 * squared + s4 * squared**2
        return np.stack([fx * bent_x + cx, fy * bent_y + cy], axis=-1)

    def pinhole(self) -> Camera:
        """The pinhole camera of the resampled image. Raises ValueError when the numbers cannot be those of a camera."""
        return camera_of(self.numbers[:4], self.width, self.height)


def bent(plane: np.ndarray, lens: Sequence[float]) -> np.ndarray:
    """Points (..., 2) of the plane z = 1 where a lens of OpenCV's rational model (8 numbers) shows them."""
    k1, k2, p1, p2, k3, k4, k5, k6 = lens
    x, y = plane[..., 0], plane[..., 1]
    squared = x * x + y * y
    stretch = (1 + squared * (k1 + squared * (k2 + squared * k3))) / (
        1 + squared * (k4 + squared * (k5 + squared * k6))
    )
    return np.stack(
        [
            x * stretch + 2 * p1 * x * y + p2 * (squared + 2 * x * x),
            y * stretch + p1 * (squared + 2 * y * y) + 2 * p2 * x * y,
        ],
        axis=-1,
    )


def places(camera: Camera, see: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(H, W, 2) float32: the pixel of a bent image that each pixel of a pinhole camera shows.

    `see` tells it of rays: (N, 3) -> (N, 2). It is asked for every STEP-th pixel; the others lie linearly in between.
    """
    rows, columns = (np.arange(0, size + STEP, STEP, dtype=np.float64) for size in (camera.height, camera.width))
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    known = see(camera.unproject(pixels, np.ones(len(pixels)))).reshape(len(rows), len(columns), 2).astype(np.float32)
    down, across = _shares(camera.height, rows), _shares(camera.width, columns)
    return np.stack([down @ known[..., axis] @ across.T for axis in (0, 1)], axis=-1)


def _shares(size: int, known: np.ndarray) -> np.ndarray:
    """(size, N) float32: what each of the N known places counts for each of `size` ones."""
    return np.maximum(0, 1 - np.abs(np.arange(size)[:, None] - known) / STEP).astype(np.float32)


def resampled(rgb: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """(h, w, 3) uint8: an image (H, W, 3) uint8 at pixels (h, w, 2), bilinear; black where it has none."""
    where = pixels[..., 1], pixels[..., 0]
    channels = [map_coordinates(rgb[..., channel], where, output=np.uint8, order=1) for channel in range(3)]
    return np.stack(channels, axis=-1)
