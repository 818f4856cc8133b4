"""Active stereo, as in RealSense D4xx: two infrared cameras and a projector of texture between them.

The noise of the depth is z^2 subpixel / (f b) and agrees over the matching window; near contours the window takes the
nearer surface, which fattens things; what the second camera does not see is a band of f b (1 / near - 1 / far) pixels
without reading on its side.
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
"""Metres: D405, D435, D415, and a wider one."""
_CONTOUR = 1.0  # pixels of disparity within a window that are two surfaces and not one


@dataclass(frozen=True)
class ActiveStereo:
    """One stereo camera."""

    triangle: Triangle
    window: int  # depth pixels, odd
    subpixel: float  # deviation of the disparity, depth pixels
    fattening: int  # depth pixels that near things grow at most

    def measure(self, rng: np.random.Generator, surfaces: Surfaces, materials: Materials, color: Camera) -> np.ndarray:
        """Registered depth (H, W) uint16 in steps of `STEP`, 0 where there is no reading."""
        camera = self.triangle.mount.camera
        wander = broad_noise(rng, (camera.height, camera.width), 0.5 * self.window)
        disparity, unreadable = self.triangle.disparity(surfaces, materials, wander)
        disparity = _smoothed(self._fattened(disparity, wander), self.window)
        noise = self.subpixel * window_noise(rng, disparity.shape, self.window)
        found = (disparity > 0) & ~unreadable & self._within_second_image(disparity)
        depth = self.triangle.depth(np.where(found, disparity + noise, 0))
        return warp_pixels(depth, color, self.triangle.mount)

    def _fattened(self, disparity: np.ndarray, wander: np.ndarray) -> np.ndarray:
        """Near things grown by `fattening` pixels or one less, which wanders along their contours."""
        more, less = (maximum_filter(disparity, 2 * reach + 1) for reach in (self.fattening, self.fattening - 1))
        near = np.where(wander > 0, more, less)
        return np.where(near - disparity > _CONTOUR, near, disparity)

    def _within_second_image(self, disparity: np.ndarray) -> np.ndarray:
        """Where the match, `disparity` pixels towards the other side, lies inside the second camera's image."""
        columns = np.arange(disparity.shape[1])
        match = columns - np.sign(self.triangle.baseline) * disparity
        return (match >= 0) & (match < disparity.shape[1])


def sample_active_stereo(rng: np.random.Generator, color: Camera, error: Misregistration | None) -> ActiveStereo:
    """A stereo camera with 1 to 1.8 colour pixels to one of its own, most often to the left of the colour camera."""
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
    """The mean over the window where it holds a single surface."""
    high, low = maximum_filter(disparity, window), minimum_filter(disparity, window)
    return np.where(high - low < _CONTOUR, uniform_filter(disparity, window), disparity)
