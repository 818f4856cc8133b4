"""Depth images without a camera: values that are no measurement, and depth of another resolution."""

from __future__ import annotations

import numpy as np

LEAST_FILLED = 0.05
"""Smallest fraction of an image that one value fills where it may stand for "nothing measured"."""
BESIDE, MOST_BELOW, MOST_ABOVE = 0.05, 0.1, 0.001
"""Within a relative distance BESIDE of such a value are hardly any other readings, as fractions of its own number:
below it some of surfaces that a far plane clips, above it none. Noise puts readings on both sides of a wall's value.
"""
SURFACES = (0.1, 1.5)
"""Range, metres, in which such a value is taken for a surface: in rendered depth a wall may face the camera exactly."""
SPACING = 5
"""Distance, in pixels, of the readings that decide about such values."""
FEWEST_OTHERS = 0.01
"""Smallest fraction of an image with other values: an image of one value is left as it is."""
LARGEST_STEP = 0.025
"""Largest relative difference of neighbouring readings on one surface: 12 mm at half a metre."""


def marker_value(depth: np.ndarray) -> float | None:
    """Return a value of depth (H, W) in metres that was written where nothing was measured, None without one.

    It fills more than LEAST_FILLED of the image, with hardly any reading near it. A wall that faces the camera has
    some: noise and the smallest slant spread it over neighbouring values.
    """
    sample = depth[::SPACING, ::SPACING]
    values, counts = np.unique(sample[sample > 0], return_counts=True)
    total = np.concatenate([[0], np.cumsum(counts)])
    low, high = np.searchsorted(values, values * (1 - BESIDE)), np.searchsorted(values, values * (1 + BESIDE), "right")
    place = np.arange(len(values))
    below, above = total[place] - total[low], total[high] - total[place + 1]
    alone = (counts > LEAST_FILLED * sample.size) & (below <= MOST_BELOW * counts) & (above <= MOST_ABOVE * counts)
    alone &= len(sample[sample > 0]) - counts >= FEWEST_OTHERS * sample.size
    alone &= (values < SURFACES[0]) | (values > SURFACES[1])
    return float(values[alone][-1]) if alone.any() else None


def resized(depth: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return depth (h, w) metres as (height, width) of the same view; 0 stays "no reading".

    Inverse depth is interpolated linearly, so planes stay planes, where the four readings around a pixel are on one
    surface (LARGEST_STEP). Elsewhere the nearest reading is taken, so nothing is invented between two surfaces.
    """
    rows, columns = (_places(size, old) for size, old in zip((height, width), depth.shape, strict=True))
    first_row, first_column = (
        np.clip(np.floor(at), 0, size - 2).astype(np.int64)
        for at, size in zip((rows, columns), depth.shape, strict=True)
    )
    down, across = (rows - first_row)[:, None].astype(np.float32), (columns - first_column).astype(np.float32)
    corners = [depth[first_row + i][:, first_column + j] for i in (0, 1) for j in (0, 1)]
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    whole = (low > 0) & (high - low <= LARGEST_STEP * low)
    a, b, c, d = (1 / np.where(whole, corner, 1) for corner in corners)
    inverse = (a + (b - a) * across) * (1 - down) + (c + (d - c) * across) * down
    nearest = depth[_nearest(rows, depth.shape[0])][:, _nearest(columns, depth.shape[1])]
    return np.where(whole, 1 / np.where(whole, inverse, 1), nearest).astype(np.float32)


def _places(size: int, old: int) -> np.ndarray:
    """Return where the centres of `size` pixels are among `old` ones along the same side."""
    return (np.arange(size) + 0.5) * (old / size) - 0.5


def _nearest(places: np.ndarray, size: int) -> np.ndarray:
    return np.clip(np.rint(places), 0, size - 1).astype(np.int64)
