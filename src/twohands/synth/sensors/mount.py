"""Pose of a depth camera beside the colour camera, and the error of its calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from twohands.geometry.camera import Camera
from twohands.geometry.transforms import matrix_from_axis_angle

_REFERENCE_WIDTH = 640
_REFERENCE_DEPTH = 0.5  # metres, depth at which an error of the translation shifts the image by `_PIXELS`
_PIXELS, _MOST_PIXELS = 0.7, 2.0  # deviation and bound of the shift between colour and depth, at 640 pixels of width
_FOCAL, _MOST_FOCAL = 0.007, 0.03  # deviation and bound of the relative error of the focal length
_ROLL = 0.001  # radians, standard deviation


@dataclass(frozen=True)
class Misregistration:
    """Error of the calibration with which depth is warped to colour."""

    rotation: np.ndarray  # (3, 3) believed colour from true colour axes
    translation: np.ndarray  # (3,) metres, added in the colour camera's frame
    focal: float  # believed focal length of the depth camera over the true one


@dataclass(frozen=True)
class Mount:
    """A depth camera and its pose: p_color = rotation @ p_depth + translation."""

    camera: Camera
    rotation: np.ndarray  # (3, 3)
    translation: np.ndarray  # (3,) metres
    error: Misregistration | None = None

    def from_color(self, points: np.ndarray) -> np.ndarray:
        """Return points (*B, 3) of the colour camera's frame in the depth camera's frame."""
        return (points - self.translation) @ self.rotation

    def to_color(self, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return true and believed points (h, w, 3) in the colour camera's frame from depth (h, w) metres."""
        rays = self.camera.rays()
        points = rays * depth[..., None] @ self.rotation.T + self.translation
        if self.error is None:
            return points, points
        rays = rays / np.array([self.error.focal, self.error.focal, 1.0])
        rotation = self.error.rotation @ self.rotation
        return points, rays * depth[..., None] @ rotation.T + (self.translation + self.error.translation)


def coarseness(color: Camera, focal: float, finest: float, coarsest: float) -> float:
    """Return the colour pixels per depth pixel, within bounds; `focal` is the depth camera's in its own pixels."""
    return float(np.clip(float(color.focal[0]) / focal, finest, coarsest))


def wider_camera(rng: np.random.Generator, color: Camera, coarseness: float) -> Camera:
    """Sample a depth camera that, placed nearby, sees a little more than `color` does."""
    margin = rng.uniform(1.05, 1.25)
    width, height = (math.ceil(margin * size / coarseness) for size in (color.width, color.height))
    focal = float(color.focal[0]) / coarseness
    center = np.array([(width - 1) / 2, (height - 1) / 2]) + rng.normal(0.0, 0.01, 2) * width
    return Camera(np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1.0]]), width, height)


def beside(rng: np.random.Generator, camera: Camera, baseline: float, error: Misregistration | None = None) -> Mount:
    """Sample the mount of a nearly parallel depth camera `baseline` metres to the right of the colour camera."""
    tilt = np.array([rng.normal(0.0, 0.03), rng.normal(0.0, 0.01), rng.normal(0.0, 0.01)])
    translation = np.array([baseline, rng.normal(0.0, 0.003), rng.normal(0.0, 0.003)])
    return Mount(camera, matrix_from_axis_angle(tilt), translation, error)


def sample_misregistration(rng: np.random.Generator, color: Camera, scale: float) -> Misregistration | None:
    """Sample errors of calibration, all multiplied by `scale`; return None for a scale of 0.

    At 640 pixels of width, points at half a metre shift by 0.7 pixels (standard deviation), at most 2; a random part of
    this comes from the rotation, the rest from the translation. The focal length is off by 0.7 %, at most 3 %.
    """
    if scale == 0:
        return None
    shift = np.clip(rng.normal(0.0, _PIXELS, 2), -_MOST_PIXELS, _MOST_PIXELS) * scale * color.width / _REFERENCE_WIDTH
    tangent = shift / np.asarray(color.focal, dtype=np.float64)
    turned = rng.random()
    angles = np.array([-tangent[1] * turned, tangent[0] * turned, scale * rng.normal(0.0, _ROLL)])
    focal = 1 + scale * float(np.clip(rng.normal(0.0, _FOCAL), -_MOST_FOCAL, _MOST_FOCAL))
    translation = np.append((1 - turned) * tangent * _REFERENCE_DEPTH, 0.0)
    return Misregistration(matrix_from_axis_angle(angles), translation, focal)
