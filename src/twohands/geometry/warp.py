"""Pictures of a part of an image, seen through a plane projective map."""

from __future__ import annotations

import numpy as np
from PIL import Image

FARTHEST = 2
"""Sides of the picture beyond the image's border, up to which the border is repeated; what is further away is 0."""


def warped(image: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Return the picture (C, size, size) of an image (C, H, W) float32, bilinear; the image's border is repeated.

    matrix (3, 3) takes places of the picture to places of the image, homogeneous. Places are continuous: a pixel
    reaches from its integer coordinates to the next ones. Where the picture shrinks the image to half or less, the
    image's pixels are averaged first.
    """
    corners = _mapped(matrix, size * np.array([[0, 0], [1, 0], [0, 1], [1, 1]]))
    factor = max(int(np.linalg.norm(corners[1:3] - corners[0], axis=1).max() / size), 1)
    limits = np.array(image.shape[:0:-1])  # width, height
    first = np.clip(np.floor(corners.min(axis=0)).astype(int) - factor, 0, limits - 1)
    last = np.clip(np.ceil(corners.max(axis=0)).astype(int) + factor, first + 1, limits)
    planes = [Image.fromarray(plane[first[1] : last[1], first[0] : last[0]]) for plane in image]
    if factor > 1:
        planes = [plane.reduce(factor) for plane in planes]
    shape, corners = np.array(planes[0].size), (corners - first) / factor
    before = np.clip(np.ceil(-corners.min(axis=0)), 0, FARTHEST * size).astype(int)
    after = np.clip(np.ceil(corners.max(axis=0)) - shape, 0, FARTHEST * size).astype(int)
    if before.any() or after.any():
        border = ((before[1], after[1]), (before[0], after[0]))
        planes = [Image.fromarray(np.pad(np.asarray(plane), border, mode="edge")) for plane in planes]
    origin = first - factor * before
    into = np.array([[1, 0, -origin[0]], [0, 1, -origin[1]], [0, 0, factor]]) / factor @ matrix
    coefficients = tuple((into / into[2, 2]).ravel()[:8])
    return np.array(
        [
            plane.transform((size, size), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
            for plane in planes
        ]
    )


def _mapped(matrix: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return places (N, 2) under a projective map."""
    mapped = places @ matrix[:, :2].T + matrix[:, 2]
    return mapped[:, :2] / np.maximum(mapped[:, 2:], 1e-6)
