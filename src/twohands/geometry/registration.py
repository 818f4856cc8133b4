"""Register a depth image to the colour camera beside it: move every reading to the pixel where colour sees it.

Readings are splatted with a z-buffer in inverse depth, which is linear in the image along planes. Where the colour
image is finer than the depth image, readings are first interpolated between neighbours of one surface. Neither steps
nor holes are bridged, and a far point does not shine through the gaps between the readings of a near surface.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from twohands.geometry.camera import Camera

PointMap: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""A function from points (N, 2) on the plane z = 1 to points (N, 2) on it."""
LARGEST_RATIO = 1.047
"""Largest ratio of neighbouring depths on one surface, that of 45 degrees of slope at a coarse depth camera."""
LARGEST_SPACING = 1.6
"""Largest distance of splatted points in pixels at which the gaps of a surface are one pixel wide."""
SMALLEST = 1e-6
"""Depth in metres, or inverse depth, that stands for 0 in a division."""
STRIP = 32
"""Rows that are worked on at a time, so that they stay in the processor's cache."""


class Registration:
    """The way of depth images (H, W) of one camera into the image of another one; prepared once, used for each frame.

    `T_colour_from_depth` is (4, 4), metres. `undistort_depth` maps points as the depth camera's lens shows them to
    ideal ones, `distort_colour` maps ideal points to those in the colour image; None stands for a lens without
    distortion. Without `distort_colour`, depth belongs to the undistorted colour image.
    """

    def __init__(
        self,
        depth_camera: Camera,
        colour_camera: Camera,
        T_colour_from_depth: np.ndarray,
        undistort_depth: PointMap | None = None,
        distort_colour: PointMap | None = None,
    ):
        self._shape = depth_camera.height, depth_camera.width
        self._colour, self._distort = colour_camera, distort_colour
        T = np.asarray(T_colour_from_depth, dtype=np.float64)
        K = np.asarray(colour_camera.K, dtype=np.float64)
        self._K = K.astype(np.float32)
        rays = Camera(np.asarray(depth_camera.K, dtype=np.float64), depth_camera.width, depth_camera.height).rays()
        if undistort_depth is not None:
            rays[..., :2] = undistort_depth(rays[..., :2].reshape(-1, 2)).reshape(rays[..., :2].shape)
        to_colour = T[:3] if distort_colour is not None else K @ T[:3]  # to the plane z = 1, or to pixels
        turned = np.moveaxis(rays @ to_colour[:, :3].T, -1, 0)
        self._rays = np.ascontiguousarray(turned, dtype=np.float32)  # (3, H, W)
        self._shift = to_colour[:, 3].astype(np.float32)
        finer = np.max(np.asarray(colour_camera.focal) / np.asarray(depth_camera.focal))
        self._parts = max(1, math.ceil(finer / LARGEST_SPACING))

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """Return depth (H, W) float32 of the colour camera from depth of the depth camera; metres, 0 = no reading.

        Raise ValueError when the depth image does not have the size of its camera.
        """
        if depth.shape != self._shape:
            raise ValueError(
                f"depth is {depth.shape[1]}x{depth.shape[0]} but its camera has {self._shape[1]}x{self._shape[0]} "
                "pixels; give the intrinsics of this depth stream"
            )
        inverse = np.zeros((self._colour.height, self._colour.width), dtype=np.float32)
        for top in range(0, len(depth), STRIP):
            rows = slice(top, top + STRIP + 1)  # the next strip's first row, to interpolate up to it
            self._splat(np.asarray(depth[rows], dtype=np.float32), self._rays[:, rows], inverse)
        inverse = _close_gaps(inverse)
        return (inverse > 0) / np.maximum(inverse, np.float32(SMALLEST))

    def _splat(self, depth: np.ndarray, rays: np.ndarray, inverse: np.ndarray) -> None:
        """Add a strip of depth (h, W) with its rays (3, h, W) to the inverse depth (H, W) of the colour image."""
        w = (depth > 0) / np.maximum(depth, np.float32(SMALLEST))
        x, y, z = (ray + w * shift for ray, shift in zip(rays, self._shift, strict=True))
        scale = (z > 0) / np.maximum(z, np.float32(SMALLEST))  # 0 behind the colour camera
        u, v, w = x * scale, y * scale, w * scale
        if self._distort is not None:
            u, v = self._distort(np.stack([u, v], axis=-1).reshape(-1, 2)).T.reshape(2, *u.shape)
            u, v = u * self._K[0, 0] + self._K[0, 2], v * self._K[1, 1] + self._K[1, 2]
        height, width = inverse.shape
        seen = (w > 0) & (u > -1) & (u < width) & (v > -1) & (v < height)
        columns = np.flatnonzero(seen.any(axis=0))
        if not columns.size:
            return
        part = slice(max(columns[0] - 1, 0), columns[-1] + 2)
        planes = np.stack([u[:, part], v[:, part], w[:, part]])
        for axis in (1, 2) if self._parts > 1 else ():
            planes = _interpolate(planes, axis, self._parts)
        u, v, w = planes
        column, row = np.rint(u), np.rint(v)
        kept = np.flatnonzero((w > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height))
        places = (column.take(kept) + row.take(kept) * width).astype(np.intp)
        _nearest_wins(inverse.reshape(-1), places, w.take(kept))


def register(
    depth: np.ndarray,
    depth_camera: Camera,
    colour_camera: Camera,
    T_colour_from_depth: np.ndarray,
    undistort_depth: PointMap | None = None,
    distort_colour: PointMap | None = None,
) -> np.ndarray:
    """Return one depth image (h, w) in metres as (H, W) float32 of the colour camera; see `Registration`."""
    return Registration(depth_camera, colour_camera, T_colour_from_depth, undistort_depth, distort_colour)(depth)


def _interpolate(planes: np.ndarray, axis: int, parts: int) -> np.ndarray:
    """Return planes (u, v, w) with `parts` steps where one was along an axis; w is 0 between different surfaces."""
    lines = np.moveaxis(planes, axis, 0)  # (n, 3, m)
    first, second = lines[:-1], lines[1:]
    shape = [parts * (size - 1) + 1 if a == axis else size for a, size in enumerate(planes.shape)]
    finer = np.empty(shape, dtype=planes.dtype)
    finer_lines = np.moveaxis(finer, axis, 0)
    finer_lines[::parts] = lines
    one_surface = _agree(first[:, 2], second[:, 2])
    for k in range(1, parts):
        between = finer_lines[k::parts]
        between[...] = first + (second - first) * np.float32(k / parts)
        between[:, 2] *= one_surface
    return finer


def _agree(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return where two inverse depths may be of one surface; false where one has no reading."""
    return np.maximum(a, b) <= np.float32(LARGEST_RATIO) * np.minimum(a, b)


def _nearest_wins(buffer: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Set buffer[places] to the largest of its value and of all `values` given for the place."""
    buffer[places] = np.maximum(values, buffer.take(places))  # any of several; the others come back until none is left
    while (lost := np.flatnonzero(buffer.take(places) < values)).size:
        places, values = places.take(lost), values.take(lost)
        buffer[places] = values


def _close_gaps(inverse: np.ndarray) -> np.ndarray:
    """Return inverse depth (H, W) in which a pixel between two readings of one surface belongs to it.

    The pixel has no reading, or one from far behind that surface; the readings are left and right, or above and below.
    """
    closed = np.empty_like(inverse)
    for top in range(0, len(inverse), STRIP):
        first = max(top - 1, 0)
        rows = inverse[first : top + STRIP + 1].copy()
        _close(rows[:, :-2], rows[:, 1:-1], rows[:, 2:])
        _close(rows[:-2].copy(), rows[1:-1], rows[2:].copy())
        _close(rows[:, :-2], rows[:, 1:-1], rows[:, 2:])  # what the columns have closed completes other rows
        closed[top : top + STRIP] = rows[top - first : top - first + STRIP]
    return closed


def _close(before: np.ndarray, here: np.ndarray, after: np.ndarray) -> None:
    """Change `here` to the mean of both sides where they agree and it has nothing, or lies far behind them."""
    far, near = np.minimum(before, after), np.maximum(before, after)
    gap = (here * np.float32(LARGEST_RATIO) < far) & (near <= far * np.float32(LARGEST_RATIO))
    np.maximum(here, (far + near) * np.float32(0.5) * gap, out=here)
