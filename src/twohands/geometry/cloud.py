"""Clouds: depth pixels lifted to points in the camera frame."""

from __future__ import annotations

import numpy as np

from twohands.geometry.camera import Camera


def lift(
    depth: np.ndarray, camera: Camera, mask: np.ndarray | None = None, stride: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Points (N, 3) metres, camera frame, and the pixels (N, 2) (u, v) they come from.

    Every `stride`-th row and column of depth (H, W) metres is taken where there is a reading and, when a mask (H, W) is
    given, where that is true. N depends on the image and may be 0.
    """
    rows, columns = np.meshgrid(
        np.arange(0, depth.shape[0], stride), np.arange(0, depth.shape[1], stride), indexing="ij"
    )
    values = depth[rows, columns]
    chosen = values > 0 if mask is None else (values > 0) & mask[rows, columns]
    pixels = np.stack([columns[chosen], rows[chosen]], axis=1).astype(camera.K.dtype)
    return camera.unproject(pixels, values[chosen]), pixels
