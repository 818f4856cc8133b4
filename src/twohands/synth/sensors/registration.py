"""Registration of depth readings to the colour camera, in the two ways that devices use."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from twohands.geometry.camera import Camera
from twohands.synth.sensors.mount import Mount

STEP = 0.001
"""Metres per depth step of the frames."""
_ONE_SURFACE = 0.04  # relative step within one surface; there the nearest of noisy readings would be too near
_OVERLAP = 0.3  # colour pixels by which the squares of readings overlap, so that no cracks open between them


def in_steps(depth: np.ndarray) -> np.ndarray:
    """Convert depth in metres to uint16 steps of `STEP`; 0 stays 0."""
    return np.round(depth / STEP).astype(np.uint16)


def warp_surface(depth: np.ndarray, color: Camera, mount: Mount, largest_step: float) -> np.ndarray:
    """Register depth (h, w) metres, 0 = none, to (H, W) uint16 by drawing the surface through the readings.

    Blocks of 2x2 readings that span more than `largest_step` of the nearest one are left out. This makes holes along
    the contours that the colour camera sees from the other side.
    """
    pixels, z = _projected(depth, color, mount)
    return in_steps(_warp(depth, pixels, z, color.width, color.height, largest_step))


def warp_pixels(depth: np.ndarray, color: Camera, mount: Mount) -> np.ndarray:
    """Register depth (h, w) metres, 0 = none, to (H, W) uint16 by filling the square of every reading's pixel."""
    pixels, z = _projected(depth, color, mount)
    half = 0.5 * float(color.focal[0]) / float(mount.camera.focal[0]) + _OVERLAP
    return in_steps(_splat(depth, pixels, z, color.width, color.height, half))


def _projected(depth: np.ndarray, color: Camera, mount: Mount) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (h, w, 2) of the readings in the colour image, and their true depth (h, w) there."""
    points, believed = mount.to_color(depth)
    z = np.where(depth > 0, points[..., 2], 1.0)
    across = np.concatenate([believed[..., :2], np.where(depth > 0, believed[..., 2], 1.0)[..., None]], axis=-1)
    return color.project(across.reshape(-1, 3)).reshape(*z.shape, 2), z


@njit(cache=True)
def _splat(depth, pixels, z, width, height, half):
    """Draw a square of 2 x `half` pixels for every reading; the nearest surface wins, and on it the closest pixel."""
    image = np.zeros((height, width))
    away = np.zeros((height, width))
    for row in range(depth.shape[0]):
        for column in range(depth.shape[1]):
            if depth[row, column] <= 0:
                continue
            u, v = pixels[row, column]
            value = z[row, column]
            for b in range(max(0, math.ceil(v - half)), min(height - 1, math.floor(v + half)) + 1):
                for a in range(max(0, math.ceil(u - half)), min(width - 1, math.floor(u + half)) + 1):
                    old, distance = image[b, a], (a - u) ** 2 + (b - v) ** 2
                    nearer, same = value < (1 - _ONE_SURFACE) * old, value < (1 + _ONE_SURFACE) * old
                    if old == 0 or nearer or (same and distance < away[b, a]):
                        image[b, a], away[b, a] = value, distance
    return image


@njit(cache=True)
def _warp(depth, pixels, z, width, height, largest_step):
    """Draw every block of 2x2 readings (three at least) as triangles into the colour image; the nearest one wins."""
    image = np.zeros((height, width))
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    for row in range(depth.shape[0] - 1):
        for column in range(depth.shape[1] - 1):
            valid, low, high, missing = 0, 1e9, 0.0, -1
            for k in range(4):
                value = depth[row + corners[k, 0], column + corners[k, 1]]
                if value > 0:
                    valid += 1
                    low, high = min(low, value), max(high, value)
                else:
                    missing = k
            if valid < 3 or high - low > largest_step * low:
                continue
            for first in range(2 if valid == 4 else 1):
                # without a hole: (0, 1, 2) and (0, 2, 3); with one: the three others in order
                start = 0 if valid == 4 else (missing + 1) % 4
                second, third = (start + 1 + first) % 4, (start + 2 + first) % 4
                a, b, c = corners[start], corners[second], corners[third]
                _draw(
                    image,
                    *(
                        pixels[row + a[0], column + a[1]],
                        pixels[row + b[0], column + b[1]],
                        pixels[row + c[0], column + c[1]],
                    ),
                    *(z[row + a[0], column + a[1]], z[row + b[0], column + b[1]], z[row + c[0], column + c[1]]),
                )
    return image


@njit(cache=True)
def _draw(image, p, q, r, zp, zq, zr):
    """Draw one small triangle into `image`, depth linear in the image; back faces are left out."""
    area = (q[0] - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (q[1] - p[1])
    if area <= 1e-9:
        return
    left, right = math.ceil(min(p[0], q[0], r[0])), math.floor(max(p[0], q[0], r[0]))
    top, bottom = math.ceil(min(p[1], q[1], r[1])), math.floor(max(p[1], q[1], r[1]))
    for v in range(max(0, top), min(image.shape[0] - 1, bottom) + 1):
        for u in range(max(0, left), min(image.shape[1] - 1, right) + 1):
            b = ((u - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (v - p[1])) / area
            c = ((q[0] - p[0]) * (v - p[1]) - (u - p[0]) * (q[1] - p[1])) / area
            if b >= 0 and c >= 0 and b + c <= 1:
                value = zp + b * (zq - zp) + c * (zr - zp)
                if image[v, u] == 0 or value < image[v, u]:
                    image[v, u] = value
