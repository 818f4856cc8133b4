"""Structured light, as in the first Kinect: a projector of dots beside one infrared camera.

The axial noise is 0.0012 + 0.0019 (z - 0.4)^2 metres (Nguyen, Izadi and Lovell 2012); disparities come in eighths of a
pixel. Surfaces that the projector does not reach form a shadow of f b (1 / near - 1 / far) pixels. Contours have holes,
because the window of dots holds two surfaces there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from twohands.geometry.camera import Camera
from twohands.synth.rendering.render import Materials, Surfaces
from twohands.synth.sensors.mount import Misregistration, beside, coarseness, wider_camera
from twohands.synth.sensors.noise import broad_noise, window_noise
from twohands.synth.sensors.registration import warp_pixels
from twohands.synth.sensors.triangulation import Triangle

_WINDOW = 3  # depth pixels over which the noise is correlated
_WANDER = 1.5  # depth pixels over which the width of the contour holes is correlated
_STEEPEST = 0.6  # pixels of disparity to a pixel of the window; a steeper window counts as two surfaces


@dataclass(frozen=True)
class StructuredLight:
    """One camera with a projector of dots."""

    triangle: Triangle
    contour: int  # width of the holes along contours, depth pixels

    def measure(self, rng: np.random.Generator, surfaces: Surfaces, materials: Materials, color: Camera) -> np.ndarray:
        """Return registered depth (H, W) uint16 in steps of `STEP`, 0 where there is no reading."""
        camera = self.triangle.mount.camera
        wander = broad_noise(rng, (camera.height, camera.width), _WANDER)
        disparity, unreadable = self.triangle.disparity(surfaces, materials, wander)
        found = (disparity > 0) & ~unreadable & ~self._contours(disparity, wander)
        z = np.where(found, self.triangle.strength / np.where(found, disparity, 1), 0)
        noise = axial_noise(z) * window_noise(rng, z.shape, _WINDOW)
        measured = np.where(found, self.triangle.strength / np.maximum(z + noise, 0.05), 0)
        return warp_pixels(self.triangle.depth(measured), color, self.triangle.mount)

    def _contours(self, disparity: np.ndarray, wander: np.ndarray) -> np.ndarray:
        """Return the pixels within `contour` pixels, or one less, of another surface, varying along the contours."""
        wide, narrow = (_too_steep(disparity, 2 * reach + 1) for reach in (self.contour, self.contour - 1))
        return np.where(wander > 0, wide, narrow)


def axial_noise(z: np.ndarray) -> np.ndarray:
    """Return the depth's standard deviation in metres for a surface at z metres that faces the camera."""
    return 0.0012 + 0.0019 * (z - 0.4) ** 2


def sample_structured_light(rng: np.random.Generator, color: Camera, error: Misregistration | None) -> StructuredLight:
    """Sample a camera with about one colour pixel per depth pixel, its projector mostly on its right."""
    ratio = coarseness(color, rng.uniform(450, 600), 1.0, 1.3)
    camera = wider_camera(rng, color, ratio)
    side = rng.choice([-1.0, 1.0], p=[0.8, 0.2])
    triangle = Triangle(
        mount=beside(rng, camera, -side * rng.uniform(0.020, 0.030), error),
        baseline=float(-side * rng.uniform(0.060, 0.080)),
        weakest=float(rng.uniform(0.01, 0.05)),
        strongest=float(rng.uniform(5.0, 20.0)),
        step=1 / 8,
        range=(float(rng.uniform(0.20, 0.32)), float(rng.uniform(2.0, 4.0))),
    )
    return StructuredLight(triangle=triangle, contour=int(rng.integers(1, 3)))


def _too_steep(disparity: np.ndarray, window: int) -> np.ndarray:
    return maximum_filter(disparity, window) - minimum_filter(disparity, window) > _STEEPEST * window
