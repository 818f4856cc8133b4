"""Clouds: depth pixels lifted to points in the camera frame (paper, section III-B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from twohands.geometry.camera import Camera
from twohands.geometry.record import Array, TensorRecord

HAND_RADIUS = 0.08
"""Largest distance in metres of a point from the mean depth of its hand. The paper prints 0.08 mm."""
FEWEST_FRACTION = 0.1
"""Fraction of a cloud's points below which a hand counts as absent: about 100 of the published 1024."""


def lift(
    depth: np.ndarray, camera: Camera, mask: np.ndarray | None = None, stride: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return points (N, 3) in metres, camera frame, and their pixels (N, 2), (u, v).

    Every `stride`-th row and column of depth (H, W) metres is taken where there is a reading and where the mask (H, W),
    if given, is true. N depends on the image and may be 0.
    """
    values = depth[::stride, ::stride]
    chosen = values > 0 if mask is None else (values > 0) & mask[::stride, ::stride]
    rows, columns = np.nonzero(chosen)
    pixels = np.stack([columns * stride, rows * stride], axis=1).astype(camera.K.dtype)
    return camera.unproject(pixels, values[chosen]), pixels


@dataclass(frozen=True)
class HandClouds(TensorRecord):
    """Measured points of each hand, N of them in random order."""

    points: Array  # (B, 2, N, 3) metres, camera frame; 0 where the hand is absent
    pixels: Array  # (B, 2, N, 2) (u, v), the pixel of every point
    valid: Array  # (B, 2) bool: enough pixels show the hand


def hand_clouds(
    depth: Array,
    masks: Array,
    camera: Camera,
    num_points: int,
    rngs: Sequence[np.random.Generator] | None = None,
    depth_range: tuple[float, float] = (0.2, 2.5),
) -> HandClouds:
    """Return the clouds of both hands from depth (B, H, W) metres and masks (B, 2, H, W) bool, NumPy or torch.

    Pixels of the mask within `depth_range` and within HAND_RADIUS of their mean depth are kept: a random subset of
    `num_points`, or all of them with repetitions. `rngs` holds one generator per frame; without them the choice is the
    same in every call. Either way a frame gives the same cloud alone and in a batch.
    """
    xp = array_namespace(depth)
    batch, _, width = depth.shape
    near, far = depth_range
    flat = xp.reshape(depth, (batch, -1))
    usable = xp.reshape(masks, (batch, 2, -1)) & ((flat > near) & (flat < far))[:, None, :]
    chosen, valid = [], []
    for image in range(batch):
        rng = rngs[image] if rngs else None
        for hand in range(2):
            index = xp.nonzero(usable[image, hand, :])[0]
            values = flat[image, :][index]
            if index.shape[0] > 0:
                index = index[xp.abs(values - xp.mean(values)) < HAND_RADIUS]
            valid.append(index.shape[0] >= FEWEST_FRACTION * num_points)
            order = _draw(index.shape[0], num_points, rng or np.random.default_rng(0)) if valid[-1] else None
            device = {"device": index.device}
            chosen.append(
                xp.zeros(num_points, dtype=index.dtype, **device)
                if order is None
                else index[xp.asarray(order, dtype=index.dtype, **device)]
            )
    index = xp.reshape(xp.stack(chosen), (batch, 2 * num_points))
    valid = xp.reshape(xp.asarray(valid, device=depth.device), (batch, 2))
    pixels = xp.astype(xp.stack([index % width, index // width], axis=-1), depth.dtype)
    points = camera.unproject(pixels, xp.take_along_axis(flat, index, axis=1))
    points, pixels = (xp.reshape(values, (batch, 2, num_points, -1)) for values in (points, pixels))
    seen = valid[..., None, None]
    zero = xp.zeros_like(depth[0, 0, 0])
    return HandClouds(xp.where(seen, points, zero), xp.where(seen, pixels, zero), valid)


def centers_on(masks: Array, centers: Array) -> Array:
    """Return centres (*B, 2), pixels, with those outside the box of their mask (*B, H, W) moved to its middle.

    Heat maps confuse the hands more often than masks do. A centre with an empty mask stays. NumPy or torch.
    """
    xp = array_namespace(masks)
    limits = [_ends(xp.any(masks, axis=axis), centers) for axis in (-2, -1)]  # of u, then of v
    low, high = (xp.stack([axis[end] for axis in limits], axis=-1) for end in (0, 1))
    outside = xp.any((centers < low) | (centers > high), axis=-1) & xp.any(masks, axis=(-2, -1))
    return xp.where(outside[..., None], (low + high) / 2, centers)


def _ends(line: Array, like: Array) -> tuple[Array, Array]:
    """Return the first and last true index (*B,) of every row (*B, N), in the type of `like`."""
    xp = array_namespace(line)
    numbers = xp.astype(line, xp.uint8)
    last = line.shape[-1] - 1 - xp.argmax(xp.flip(numbers, axis=-1), axis=-1)
    return xp.astype(xp.argmax(numbers, axis=-1), like.dtype), xp.astype(last, like.dtype)


def _draw(available: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return (count,) of the first `available` indices in random order, each once before any twice."""
    rounds = -(-count // available)
    return np.concatenate([rng.permutation(available) for _ in range(rounds)])[:count]
