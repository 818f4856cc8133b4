"""Models of lens distortion, and resampling of distorted images into pinhole images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from twohands.data.readers.common import camera_of
from twohands.geometry.camera import Camera

STEP = 8
"""Grid step, in pixels, at which positions in the distorted image are computed; interpolation errs by 0.01 pixels."""


@dataclass(frozen=True)
class Fisheye:
    """A camera with the lens model FISHEYE624."""

    numbers: tuple[float, ...]  # fx, fy, cx, cy in pixels; k1 to k6 radial, p1, p2 tangential, s1 to s4 thin prism
    width: int
    height: int

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return pixels (..., 2) of points (..., 3) metres in the camera frame."""
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
        """Return the pinhole camera of the resampled image. Raise ValueError when the numbers cannot be a camera's."""
        return camera_of(self.numbers[:4], self.width, self.height)


def bent(plane: np.ndarray, lens: Sequence[float]) -> np.ndarray:
    """Return distorted positions of points (..., 2) of the plane z = 1; lens: 8 numbers of OpenCV's rational model."""
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
    """Return (H, W, 2) float32: the pixel of a distorted image that each pixel of a pinhole camera shows.

    `see` maps rays (N, 3) to such pixels (N, 2). It is called for every STEP-th pixel and interpolated linearly.
    """
    rows, columns = (np.arange(0, size + STEP, STEP, dtype=np.float64) for size in (camera.height, camera.width))
    pixels = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    known = see(camera.unproject(pixels, np.ones(len(pixels)))).reshape(len(rows), len(columns), 2).astype(np.float32)
    down, across = _weights(camera.height, rows), _weights(camera.width, columns)
    return np.stack([down @ known[..., axis] @ across.T for axis in (0, 1)], axis=-1)


def _weights(size: int, known: np.ndarray) -> np.ndarray:
    """Return weights (size, N) float32 that interpolate `size` positions linearly from the N `known` ones."""
    return np.maximum(0, 1 - np.abs(np.arange(size)[:, None] - known) / STEP).astype(np.float32)


def resampled(rgb: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Return an image (H, W, 3) uint8 at pixels (h, w, 2) as (h, w, 3) uint8, bilinear; black outside the image."""
    where = pixels[..., 1], pixels[..., 0]
    channels = [map_coordinates(rgb[..., channel], where, output=np.uint8, order=1) for channel in range(3)]
    return np.stack(channels, axis=-1)
