"""Ambient occlusion from the depth buffer alone: the fraction of ambient light that reaches every visible point."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

_REACH = 0.028  # metres; surfaces farther away than this do not darken a point
_TAPS = 12
_STRENGTH = 4.8  # a right-angled corner between two walls gets about half of the light, as it should
_LOWEST = 0.12  # cosine above the surface below which a neighbour counts as the surface itself
_LARGEST = 40.0  # pixels, bound of the search radius, which keeps near hands cheap
_SPIRAL = np.array([(math.sqrt((k + 0.5) / _TAPS), 2.399963 * k) for k in range(_TAPS)])  # golden angle


def open_fraction(inverse: np.ndarray, normals: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Return the fraction (H, W) float32 in [0, 1] of the surroundings that every pixel sees; 1 in the open.

    inverse (H, W) float32 1 / z (0 = nothing), normals (H, W, 3) float32 towards the camera, intrinsics fx, fy, cx, cy.
    The estimate samples neighbours without a horizon (after McGuire et al. 2011, The Alchemy screen-space ambient
    obscurance algorithm). It fades with distance, so a hand does not darken a far wall. The pattern of neighbours
    differs over 4x4 pixels and is averaged away within surfaces.
    """
    return _smooth(inverse, _obscure(inverse, normals, intrinsics, _SPIRAL))


@njit(cache=True, fastmath=True)
def _obscure(inverse, normals, intrinsics, spiral):
    """Return `open_fraction` before smoothing."""
    height, width = inverse.shape
    fx, fy, cx, cy = intrinsics
    result = np.ones((height, width), np.float32)
    cosines, sines = np.empty((16, _TAPS)), np.empty((16, _TAPS))
    for turn in range(16):
        for k in range(_TAPS):
            angle = spiral[k, 1] + 2 * math.pi * ((turn * 7) % 16) / 16
            cosines[turn, k], sines[turn, k] = spiral[k, 0] * math.cos(angle), spiral[k, 0] * math.sin(angle)
    for row in range(height):
        for column in range(width):
            if inverse[row, column] <= 0:
                continue
            z = 1 / np.float64(inverse[row, column])
            radius = min(_REACH * fx / z, _LARGEST)
            if radius < 1.5:
                continue
            x, y = (column - cx) / fx * z, (row - cy) / fy * z
            nx, ny, nz = normals[row, column]
            turn, total = 4 * (row & 3) + (column & 3), 0.0
            for k in range(_TAPS):
                r = row + math.floor(radius * sines[turn, k] + 0.5)
                c = column + math.floor(radius * cosines[turn, k] + 0.5)
                if r < 0 or r >= height or c < 0 or c >= width or inverse[r, c] <= 0:
                    continue
                depth = 1 / np.float64(inverse[r, c])
                dx, dy, dz = (c - cx) / fx * depth - x, (r - cy) / fy * depth - y, depth - z
                square = dx * dx + dy * dy + dz * dz
                fade = 1 - square / (_REACH * _REACH)
                if fade <= 0 or square < 1e-10:
                    continue
                cosine = (nx * dx + ny * dy + nz * dz) / math.sqrt(square)
                if cosine > _LOWEST:
                    total += (cosine - _LOWEST) * fade
            result[row, column] = max(0.0, 1 - _STRENGTH * total / _TAPS)
    return result


@njit(cache=True, fastmath=True)
def _smooth(inverse, values):
    """Return the mean of every pixel's 4x4 neighbours at about the same depth."""
    height, width = inverse.shape
    result = np.ones((height, width), np.float32)
    for row in range(height):
        for column in range(width):
            near = inverse[row, column]
            if near <= 0:
                continue
            low, high = near * np.float32(0.985), near * np.float32(1.015)
            total, count = np.float32(0), np.float32(0)
            for r in range(max(0, row - 2), min(height, row + 2)):
                for c in range(max(0, column - 2), min(width, column + 2)):
                    if low < inverse[r, c] < high:
                        total += values[r, c]
                        count += np.float32(1)
            result[row, column] = total / count
    return result
