"""Regions of the image around hands, and their pictures. Pixels (u, v): integer coordinates are pixel centres.

A region is (centre u, centre v, side, angle): pixels of the image and radians. Its picture shows the image rotated back
by the angle, so that the hand in it points up: angle 0 is a hand that points up in the image, pi / 2 one to the right.
"""

from __future__ import annotations

import numpy as np

from twohands.geometry.warp import warped
from twohands.hands.skeleton import KNUCKLES, WRIST

LANDMARK_SCALE, LANDMARK_SHIFT = 2.0, 0.1
"""Side of a region over the extent of BOUNDING_JOINTS, and shift to the fingers in extents."""
BOUNDING_JOINTS = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
"""Landmarks that bound a region: the palm and the first finger bones."""


def turn(vectors: np.ndarray, angle: np.ndarray | float) -> np.ndarray:
    """Rotate vectors (..., 2) by angles (...) in radians, from +u to +v."""
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = vectors[..., 0], vectors[..., 1]
    return np.stack([cos * u - sin * v, sin * u + cos * v], axis=-1)


def from_region(pixels: np.ndarray, region: np.ndarray, size: int) -> np.ndarray:
    """Convert pixels (..., 2) of a region's picture (size x size) to pixels (..., 2) of the image."""
    u, v, side, angle = region
    return turn((pixels + 0.5) * (side / size) - side / 2, angle) + np.array([u, v])


def upright_square(left: int, top: int, width: int, height: int) -> np.ndarray:
    """Return the upright region (4,) around a window of the image."""
    return np.array([left + (width - 1) / 2, top + (height - 1) / 2, max(width, height), 0.0])


def region_around(center: np.ndarray, upward: np.ndarray, shift: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return regions (N, 4) of `side` (N,), moved from a centre (N, 2) by `shift` (N,) pixels along `upward` (N, 2)."""
    angle = np.arctan2(upward[:, 0], -upward[:, 1])
    return np.column_stack([center + turn(np.stack([0 * shift, -shift], axis=-1), angle), side, angle])


def region_of_landmarks(pixels: np.ndarray) -> np.ndarray:
    """Return regions (N, 4) around hands with landmarks at `pixels` (N, 21, 2)."""
    index, middle, ring, _ = KNUCKLES
    upward = (pixels[:, index] + 2 * pixels[:, middle] + pixels[:, ring]) / 4 - pixels[:, WRIST]
    angle = np.arctan2(upward[:, 0], -upward[:, 1])
    upright = turn(pixels[:, BOUNDING_JOINTS], -angle[:, None])
    low, high = upright.min(axis=1), upright.max(axis=1)  # (N, 2)
    extent = high - low
    center = turn((low + high) / 2, angle)
    return region_around(center, upward, LANDMARK_SHIFT * extent[:, 1], LANDMARK_SCALE * extent.max(axis=1))


def sample(rgb: np.ndarray, region: np.ndarray, size: int) -> np.ndarray:
    """Return the region's picture (3, size, size) float32, bilinear; the image's border is repeated beyond it."""
    u, v, side, angle = region
    across, down = turn(np.eye(2) * (side / size), angle)
    corner = np.array([u, v]) + 0.5 - (across + down) * size / 2
    return warped(rgb, np.column_stack([[*across, 0], [*down, 0], [*corner, 1]]), size)
