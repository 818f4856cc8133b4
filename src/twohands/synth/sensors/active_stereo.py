"""Active stereo, as in RealSense D4xx: two infrared cameras and a texture projector between them.

The depth noise is z^2 subpixel / (f b) and is correlated over the matching window. Near contours the window takes the
nearer surface, which fattens objects. Surfaces that the second camera does not see form a band without reading on its
side, f b (1 / near - 1 / far) pixels wide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter, uniform_filter

from twohands.geometry.camera import Camera
from twohands.synth.rendering.render import Materials, Surfaces
from twohands.synth.sensors.mount import Misregistration, beside, coarseness, wider_camera
from twohands.synth.sensors.noise import broad_noise, window_noise
from twohands.synth.sensors.registration import warp_pixels
from twohands.synth.sensors.triangulation import Triangle

_BASELINES = (0.018, 0.050, 0.055, 0.065)
"""Baselines in metres: D405, D435, D415, and a wider one."""
_CONTOUR = 1.0  # pixels of disparity range within a window above which it holds two surfaces


@dataclass(frozen=True)
class ActiveStereo:
    """One stereo camera."""

    triangle: Triangle
    window: int  # depth pixels, odd
    subpixel: float  # standard deviation of the disparity, depth pixels
    fattening: int  # largest growth of near objects, depth pixels

    def measure(self, rng: np.random.Generator, surfaces: Surfaces, materials: Materials, color: Camera) -> np.ndarray:
        """Return registered depth (H, W) uint16 in steps of `STEP`, 0 where there is no reading."""
        camera = self.triangle.mount.camera
        wander = broad_noise(rng, (camera.height, camera.width), 0.5 * self.window)
        disparity, unreadable = self.triangle.disparity(surfaces, materials, wander)
        disparity = _smoothed(self._fattened(disparity, wander), self.window)
        noise = self.subpixel * window_noise(rng, disparity.shape, self.window)
        found = (disparity > 0) & ~unreadable & self._within_second_image(disparity)
        depth = self.triangle.depth(np.where(found, disparity + noise, 0))
        return warp_pixels(depth, color, self.triangle.mount)

    def _fattened(self, disparity: np.ndarray, wander: np.ndarray) -> np.ndarray:
        """Return the disparity with near objects grown by `fattening` pixels or one less, varying along contours."""
        more, less = (maximum_filter(disparity, 2 * reach + 1) for reach in (self.fattening, self.fattening - 1))
        near = np.where(wander > 0, more, less)
        return np.where(near - disparity > _CONTOUR, near, disparity)

    def _within_second_image(self, disparity: np.ndarray) -> np.ndarray:
        """Return the pixels whose match, `disparity` pixels to the other side, is inside the second image."""
        columns = np.arange(disparity.shape[1])
        match = columns - np.sign(self.triangle.baseline) * disparity
        return (match >= 0) & (match < disparity.shape[1])


def sample_active_stereo(rng: np.random.Generator, color: Camera, error: Misregistration | None) -> ActiveStereo:
    """Sample a stereo camera with 1 to 1.8 colour pixels per depth pixel, mostly left of the colour camera."""
    ratio = coarseness(color, rng.uniform(330, 640), 1.0, 1.8)
    camera = wider_camera(rng, color, ratio)
    side = rng.choice([-1.0, 1.0], p=[0.8, 0.2])
    triangle = Triangle(
        mount=beside(rng, camera, side * rng.uniform(0.0, 0.030), error),
        baseline=float(-side * rng.choice(_BASELINES)),
        weakest=float(rng.uniform(0.005, 0.03)),
        strongest=float(rng.uniform(8.0, 30.0)),
        step=1 / 32,
        range=(float(rng.uniform(0.10, 0.25)), float(rng.uniform(2.0, 6.0))),
    )
    return ActiveStereo(
        triangle=triangle,
        window=int(rng.choice([5, 7, 9])),
        subpixel=float(rng.uniform(0.05, 0.10)),
        fattening=int(rng.integers(1, 4)),
    )


def _smoothed(disparity: np.ndarray, window: int) -> np.ndarray:
    """Return the mean over the window where it holds a single surface, else the disparity itself."""
    high, low = maximum_filter(disparity, window), minimum_filter(disparity, window)
    return np.where(high - low < _CONTOUR, uniform_filter(disparity, window), disparity)
