"""The camera of a frame, the level world around it, and where the person is: on its head, opposite or beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from twohands.geometry.camera import Camera
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.synth.config import SynthConfig
from twohands.types import RIGHT

_FACING = -0.7
"""Largest product of the person's and the camera's level directions at which the person faces the camera."""
_HALF_SHOULDERS = 0.17  # metres


@dataclass(frozen=True)
class View:
    """A camera and the level world around it: unit vectors (3,) in the camera frame."""

    camera: Camera
    right: np.ndarray
    forward: np.ndarray
    up: np.ndarray


@dataclass(frozen=True)
class Body:
    """A person relative to the camera: unit vectors (3,), and the middle between the hands, metres."""

    egocentric: bool
    forward: np.ndarray
    right: np.ndarray
    up: np.ndarray
    center: np.ndarray
    shoulders: np.ndarray | None  # (2, 3) metres; None: every arm draws its own, as the first engine does

    def outward(self, side: int) -> np.ndarray:
        """Return the direction from the middle of the body to one side."""
        return self.right if side == RIGHT else -self.right

    def shoulder(self, rng: np.random.Generator, side: int) -> np.ndarray:
        """Return or sample the shoulder (3,) metres; it is below the camera when that is on the head."""
        if self.shoulders is not None:
            return self.shoulders[side]
        aside = _HALF_SHOULDERS * self.outward(side)
        if self.egocentric:
            return aside - rng.uniform(0.20, 0.30) * self.up + rng.uniform(-0.08, 0.02) * self.forward
        return self.center + aside + rng.uniform(0.0, 0.30) * self.up - rng.uniform(0.25, 0.45) * self.forward


def faces_camera(view: View, body_forward: np.ndarray) -> bool:
    """Return whether a person who looks along `body_forward` (3,) faces the camera."""
    return bool(body_forward @ view.forward < _FACING)


def decide_view(rng: np.random.Generator, config: SynthConfig) -> SynthConfig:
    """Return the config of one frame: seen from the head or from outside, and from outside near or far away.

    Decided once, so that views that are hard to place are not rarer than the fractions say.
    """
    outside, far = rng.random() >= config.egocentric, rng.random() < config.far
    if not outside:
        return replace(config, egocentric=1.0)
    if not far:
        return replace(config, egocentric=0.0)
    nearest = min(config.distance[1], 0.6 * config.farthest)
    return replace(config, egocentric=0.0, distance=(nearest, config.farthest), smallest_hand=config.far_hand)


def sample_view(rng: np.random.Generator, config: SynthConfig, egocentric: bool) -> View:
    """Sample a camera that looks down at a table, as from a head, or level to downwards from opposite or beside."""
    focal = rng.uniform(*config.focal) * config.width
    center = (np.array([config.width, config.height]) - 1) / 2 + rng.normal(0.0, 0.01, 2) * config.width
    aspect = rng.normal(1.0, 0.002)
    K = np.array([[focal, 0.0, center[0]], [0.0, focal * aspect, center[1]], [0.0, 0.0, 1.0]])
    K = K.astype(np.float32).astype(np.float64)  # frames keep it as float32
    pitch = np.radians(rng.uniform(28.0, 78.0) if egocentric else rng.uniform(*config.pitch_outside))
    roll = np.radians(rng.normal(0.0, config.roll))
    turn = matrix_from_axis_angle(np.array([0.0, 0.0, roll]))
    up = turn @ np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
    forward = turn @ np.array([0.0, -np.sin(pitch), np.cos(pitch)])
    return View(Camera(K, config.width, config.height), np.cross(forward, up), forward, up)


def sample_body(rng: np.random.Generator, config: SynthConfig, view: View, egocentric: bool) -> Body:
    """Sample where the hands are in the picture, in which direction the person looks, and the shoulders."""
    beside = 0.5 * (1 - config.facing - config.behind)
    chances = [config.facing, beside, beside, config.behind]
    turn = rng.normal(0.0, 12.0) if egocentric else rng.choice([180, 90, -90, 0], p=chances) + rng.normal(0, 22)
    forward = matrix_from_axis_angle(np.radians(turn) * view.up) @ view.forward
    depth = config.distance[0] + (config.distance[1] - config.distance[0]) * rng.beta(1.6, 2.0)
    lower = 0.03 if egocentric else config.lower_outside
    offset = (rng.normal(0.0, [0.07, 0.06]) + [0.0, lower]) * [config.width, config.height]
    center = view.camera.unproject((view.camera.center + offset)[None], np.array([depth]))[0]
    body = Body(egocentric, forward, np.cross(forward, view.up), view.up, center, None)
    if egocentric or not config.level_shoulders:
        return body
    return replace(body, shoulders=_level_shoulders(rng, body))


def _level_shoulders(rng: np.random.Generator, body: Body) -> np.ndarray:
    """Sample the shoulders (2, 3) metres of a person who sits or stands upright; now and then the hands are raised."""
    above = rng.uniform(-0.22, 0.0) if rng.random() < 0.15 else rng.uniform(0.02, 0.42)
    middle = body.center + above * body.up - rng.uniform(0.22, 0.46) * body.forward + rng.normal(0, 0.05) * body.right
    lean = rng.normal(0.0, 0.015) * body.up + rng.normal(0.0, 0.03) * body.forward
    return np.stack([middle + sign * (_HALF_SHOULDERS * body.right + lean) for sign in (-1.0, 1.0)])
