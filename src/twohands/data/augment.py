"""Augment samples consistently with their labels (view, colour, mirror), and degrade masks as a network would.

Pure functions of (sample, generator): the same seed gives the same bytes, and arguments are not changed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from twohands.config import AugmentConfig
from twohands.geometry.camera import Camera
from twohands.geometry.record import Array
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.model import mirrored
from twohands.types import HandParameters, RGBDFrame, Sample, TwoHands
from twohands.views import box_centers, region_camera, roll_matrix, view, view_masks

LARGEST_STEP = 3
"""Largest number of pixels by which an imperfect mask grows or shrinks."""
SAME_SURFACE = 0.04
"""Difference in depth, in metres, within which a mask may leak into its surroundings."""
SMALLEST_REST = 0.3
"""Smallest size of an imperfect mask, as a fraction of the true mask."""


def augmented(
    sample: Sample, size: int, config: AugmentConfig, rng: np.random.Generator, region: str = "frame"
) -> Sample:
    """Return the sample at network size, from a random view, in random colours, perhaps mirrored. A hand counts as
    absent when the centre of its box of joints is outside the new image.
    """
    roll = float(rng.uniform(-1, 1) * config.rotation)
    zoom = float(np.exp(rng.uniform(-1, 1) * np.log1p(config.scale)))
    shift = rng.uniform(-1, 1, 2) * config.translation * size
    square = region_camera(sample.frame.camera, sample.masks, size, region)
    sample = turned(sample, _turned_camera(square, roll, zoom, shift), roll)
    frame = replace(
        sample.frame,
        rgb=_jittered(sample.frame.rgb, config.colour, rng),
        depth=_noisy(sample.frame.depth, config.depth_noise, rng),
    )
    sample = _without_hands_outside(replace(sample, frame=frame))
    return mirror(sample) if rng.uniform() < config.mirror else sample


def turned(sample: Sample, camera: Camera, roll: float) -> Sample:
    """Return the sample seen by `camera`, at the same position, turned by `roll` radians about the optical axis."""
    masks = None if sample.masks is None else view_masks(sample.masks, sample.frame.camera, camera, roll)
    sample = replace(sample, frame=view(sample.frame, camera, roll), masks=masks)
    if roll == 0:
        return sample
    rotation = roll_matrix(roll)
    hands, parameters = sample.hands, sample.hands.parameters
    if parameters is not None:
        wrist = rotation @ matrix_from_axis_angle(parameters.rotation)
        parameters = replace(
            parameters, rotation=axis_angle_from_matrix(wrist), translation=parameters.translation @ rotation.T
        )
    vertices = None if hands.vertices is None else hands.vertices @ rotation.T
    return replace(
        sample, hands=replace(hands, vertices=vertices, joints=hands.joints @ rotation.T, parameters=parameters)
    )


def mirror(sample: Sample) -> Sample:
    """Return the mirrored sample: columns, the camera and x change, and the left hand becomes the right one."""
    frame = sample.frame
    return replace(
        sample,
        frame=RGBDFrame(_flip(frame.rgb, -1), _flip(frame.depth, -1), frame.camera.mirror()),
        hands=_mirrored_hands(sample.hands),
        masks=None if sample.masks is None else _flip(_flip(sample.masks, -1), -3),
        visibility=None if sample.visibility is None else _flip(sample.visibility, -2),
        visible_fraction=None if sample.visible_fraction is None else _flip(sample.visible_fraction, -1),
        presence_known=None if sample.presence_known is None else _flip(sample.presence_known, -1),
    )


def imperfect_masks(
    masks: np.ndarray, depth: np.ndarray, config: AugmentConfig, rng: np.random.Generator
) -> np.ndarray:
    """Return masks (2, H, W) bool with a network's typical errors; depth (H, W) metres limits where they leak."""
    result = masks.copy()
    for hand in range(2):
        if rng.uniform() >= config.mask_noise or not masks[hand].any():
            continue
        kind, step = rng.integers(5), int(rng.integers(1, LARGEST_STEP + 1))
        changed = _imperfect(int(kind), step, masks[hand], masks[1 - hand], depth, rng)
        if changed.sum() >= SMALLEST_REST * masks[hand].sum():
            result[hand] = changed
    return result


def _imperfect(
    kind: int, step: int, mask: np.ndarray, other: np.ndarray, depth: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the mask with one of five faults: shrunk, grown, a hole, leaked to similar depth or to the other hand."""
    if kind == 0:
        return ndimage.binary_erosion(mask, iterations=step)
    if kind == 1:
        return ndimage.binary_dilation(mask, iterations=step)
    rows, columns = np.nonzero(mask)
    chosen = int(rng.integers(len(rows)))
    if kind == 2:
        radius = rng.uniform(0.1, 0.35) * np.sqrt(len(rows))
        v, u = np.ogrid[: mask.shape[0], : mask.shape[1]]
        return mask & ((v - rows[chosen]) ** 2 + (u - columns[chosen]) ** 2 > radius**2)
    near = (np.abs(depth - np.median(depth[mask])) < SAME_SURFACE) & (depth > 0)
    grown = ndimage.binary_dilation(mask, iterations=4 * step)
    return mask | (grown & (near if kind == 3 else other))


def _turned_camera(camera: Camera, roll: float, zoom: float, shift: np.ndarray) -> Camera:
    """Return a camera with `zoom` times the focal length that shows the old centre `shift` (2,) pixels off centre."""
    if roll == 0 and zoom == 1 and not shift.any():
        return camera
    K = np.array(camera.K)
    K[:2, :2] *= zoom
    middle = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2, 1])
    ray = roll_matrix(roll) @ (np.linalg.inv(camera.K) @ middle)
    K[:2, 2] = middle[:2] + shift - np.diag(K)[:2] * ray[:2]
    return Camera(K.astype(camera.K.dtype), camera.width, camera.height)


def _jittered(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Return `rgb` with brightness, contrast, saturation and the gain of each channel changed by up to `strength`.

    Black marks pixels outside the picture; it stays black and does not count for the contrast.
    """
    brightness, contrast, saturation = 1 + strength * rng.uniform(-1, 1, 3)
    gains = 1 + strength / 4 * rng.uniform(-1, 1, 3)
    if strength == 0:
        return rgb
    changed = rgb * (brightness * gains).astype(np.float32)[:, None, None]
    grey = changed.mean(axis=0, keepdims=True)
    changed = grey + np.float32(saturation) * (changed - grey)
    seen = rgb.any(axis=0)
    level = changed.sum() / np.float32(max(1, 3 * seen.sum()))
    return np.clip(level + np.float32(contrast) * (changed - level), 0, 1) * seen


def _noisy(depth: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """Return depth with Gaussian noise where there is a reading."""
    if deviation == 0:
        return depth
    noise = rng.normal(scale=deviation, size=depth.shape).astype(depth.dtype)
    return np.where(depth > 0, np.maximum(depth + noise, np.float32(1e-3)), depth)


def _without_hands_outside(sample: Sample) -> Sample:
    camera = sample.frame.camera
    u, v = box_centers(sample).T
    inside = (u > -0.5) & (u < camera.width - 0.5) & (v > -0.5) & (v < camera.height - 0.5)
    if inside.all():
        return sample
    kept = sample.hands.present * inside.astype(sample.hands.present.dtype)
    masks = None if sample.masks is None else sample.masks & inside[:, None, None]
    return replace(sample, hands=replace(sample.hands, present=kept), masks=masks)


def _mirrored_hands(hands: TwoHands) -> TwoHands:
    x = np.array([-1, 1, 1], dtype=hands.joints.dtype)
    parameters: HandParameters | None = hands.parameters
    return TwoHands(
        vertices=None if hands.vertices is None else _flip(hands.vertices * x, -3),
        joints=_flip(hands.joints * x, -3),
        present=_flip(hands.present, -1),
        parameters=None if parameters is None else mirrored(parameters),
        quality=None if hands.quality is None else hands.quality.map(lambda values: _flip(values, -1)),
    )


def _flip(values: Array, axis: int) -> Array:
    return np.ascontiguousarray(np.flip(values, axis=axis))
