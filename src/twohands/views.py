"""Resample a frame to the size of a network: the same code in training, evaluation and product.

Pixels move and the camera follows, so points keep their coordinates (or turn with the camera, when it rolls).
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from PIL import Image

from twohands.geometry.camera import Camera
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.types import RGBDFrame, Sample

SURROUNDINGS = 1.3
"""Side of the square around both hands, relative to the longer side of the box of their masks."""
LONGEST = 1600
"""Longer side of the largest frame that is drawn, pixels: larger frames are scaled down to it for pictures."""


def square_camera(camera: Camera, size: int) -> Camera:
    """Return the camera of the whole image, centred in a square of `size` pixels with zeros around it."""
    side = max(camera.width, camera.height)
    return camera.crop((camera.width - side) / 2, (camera.height - side) / 2, side, side).resize(size, size)


def hands_camera(camera: Camera, masks: np.ndarray, size: int) -> Camera:
    """Return the camera of a square of `size` pixels around masks (2, H, W) bool, or of the whole image if empty."""
    rows, columns = np.nonzero(masks.any(axis=0))
    if not len(rows):
        return square_camera(camera, size)
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
    side = math.ceil(SURROUNDINGS * (1 + (high - low).max()))
    left, top = (low + high - side + 1) / 2
    return camera.crop(float(left), float(top), side, side).resize(size, size)


def region_camera(camera: Camera, masks: np.ndarray | None, size: int, region: str) -> Camera:
    """Return the camera of the network's input for `NetworkConfig.region`; masks (2, H, W) bool or None."""
    if region == "frame" or masks is None:
        return square_camera(camera, size)
    return hands_camera(camera, masks, size)


def square_sample(sample: Sample, size: int) -> Sample:
    """Return the sample padded with zeros to a square and resized to `size` pixels; the 3D labels stay unchanged."""
    camera = square_camera(sample.frame.camera, size)
    masks = None if sample.masks is None else view_masks(sample.masks, sample.frame.camera, camera)
    return replace(sample, frame=view(sample.frame, camera), masks=masks)


def view(frame: RGBDFrame, camera: Camera, roll: float = 0.0) -> RGBDFrame:
    """Return the frame as `camera`, at the same position, sees it when turned by `roll` radians about the optical axis.

    A point p of the old camera frame is Rz(roll) p in the new one. Colour is bilinear, averaged where the image
    shrinks; depth is nearest; beyond the border both are 0.
    """
    matrix = _source_of(frame.camera, camera, roll)
    return RGBDFrame(_colours(frame, camera, matrix), _nearest(frame.depth, frame.camera, camera, matrix), camera)


def view_within(frame: RGBDFrame, longest: int) -> RGBDFrame:
    """Return the frame scaled down to `longest` pixels along its longer side; a frame that is no larger as it is."""
    camera = frame.camera
    scale = longest / max(camera.width, camera.height)
    if scale >= 1:
        return frame
    width, height = (max(1, round(scale * side)) for side in (camera.width, camera.height))
    return view(frame, camera.resize(width, height))


def view_masks(masks: np.ndarray, before: Camera, after: Camera, roll: float = 0.0) -> np.ndarray:
    """Return masks (*B, H, W) bool as (*B, h, w), read at exactly the pixels from which `view` takes depth."""
    return _nearest(masks, before, after, _source_of(before, after, roll))


def roll_matrix(roll: float) -> np.ndarray:
    """Return the rotation (3, 3) from a camera's frame to its frame after `roll` radians about the optical axis."""
    return matrix_from_axis_angle(np.array([0.0, 0.0, roll], dtype=np.float32))


def _source_of(before: Camera, after: Camera, roll: float) -> np.ndarray:
    """Return (2, 3): homogeneous new pixel -> old pixel; the map is affine, since the optical axis stays."""
    old, new = np.asarray(before.K, dtype=np.float64), np.asarray(after.K, dtype=np.float64)
    return (old @ roll_matrix(roll).T.astype(np.float64) @ np.linalg.inv(new))[:2]


def _colours(frame: RGBDFrame, camera: Camera, matrix: np.ndarray) -> np.ndarray:
    """Return the resampled colours (3, h, w) float32 in [0, 1]."""
    shrink = max(1, int(np.sqrt(abs(np.linalg.det(matrix[:, :2]))) + 1e-6))  # old pixels along a new one
    image = Image.fromarray(frame.rgb_uint8())
    if shrink > 1:
        image = image.reduce(shrink)
    shifted = matrix.copy()
    shifted[:, 2] += 0.5 - matrix[:, :2].sum(axis=1) / 2  # Pillow's pixels have their centres at halves
    turned = image.transform(
        (camera.width, camera.height),
        Image.Transform.AFFINE,
        (shifted / shrink).ravel().tolist(),
        Image.Resampling.BILINEAR,
    )
    return np.ascontiguousarray(np.asarray(turned).transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


def _nearest(values: np.ndarray, before: Camera, after: Camera, matrix: np.ndarray) -> np.ndarray:
    """Return values (*B, H, W) at the old pixels nearest to the new ones, (*B, h, w), 0 beyond the border."""
    u, v = np.arange(after.width), np.arange(after.height)[:, None]
    columns, rows = (np.floor(a * u + b * v + c + 0.5).astype(np.intp) for a, b, c in matrix)
    inside = (columns >= 0) & (columns < before.width) & (rows >= 0) & (rows < before.height)
    taken = values[..., rows.clip(0, before.height - 1), columns.clip(0, before.width - 1)]
    return np.where(inside, taken, np.zeros((), dtype=values.dtype))


def box_centers(sample: Sample) -> np.ndarray:
    """Return pixels (2, 2): centre of the box of each hand's projected joints; the image's centre for absent hands."""
    camera = sample.frame.camera
    present = sample.hands.is_present
    pixels = camera.project(np.where(present[:, None, None], sample.hands.joints, np.float32(1)))
    middle = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
    return np.where(present[:, None], (pixels.min(axis=1) + pixels.max(axis=1)) / 2, middle).astype(np.float32)
