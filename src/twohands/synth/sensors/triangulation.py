"""Common parts of depth from triangulation: disparities, the light they need, and their sub-pixel steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.synth.rendering.render import Materials, Surfaces
from twohands.synth.sensors.mount import Mount
from twohands.synth.sensors.view import Finish, returned_light

_RAGGED = 0.35  # standard deviation of the logarithm of the darkness threshold


@dataclass(frozen=True)
class Triangle:
    """A depth camera and the second place, a projector or camera, that it triangulates with."""

    mount: Mount
    baseline: float  # metres from the depth camera to the second place, positive to the right
    weakest: float  # amplitude (white, head on, at 1 m is 1) below which nothing is matched
    strongest: float  # amplitude above which the highlight drowns the pattern
    step: float  # step of the disparities, depth pixels
    range: tuple[float, float]  # metres

    @property
    def strength(self) -> float:
        """Return disparity times depth, pixels x metres."""
        return abs(self.baseline) * float(self.mount.camera.focal[0])

    def disparity(self, surfaces: Surfaces, materials: Materials, wander: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the true disparity (h, w) float32 pixels, and the unreadable pixels (h, w) bool.

        The disparity is 0 where the second place does not see the surface. Surfaces too dark, too grazing, or shining
        into the camera are unreadable; `wander` (h, w), noise of standard deviation 1, frays the borders.
        """
        second = np.array([self.baseline, 0.0, 0.0])
        amplitude, first, _ = returned_light(surfaces, Finish.of(surfaces, materials), self.mount, second, samples=1)
        seen = amplitude > 0
        disparity = np.where(seen, self.strength * amplitude / np.where(seen, first, 1), 0)
        dark = self.weakest * np.exp(_RAGGED * wander)
        return disparity, seen & ((amplitude < dark) | (amplitude > self.strongest))

    def depth(self, disparity: np.ndarray) -> np.ndarray:
        """Return depth (h, w) metres from disparity (h, w) after rounding; 0 = none, in depth also out of range."""
        rounded = np.round(disparity / self.step) * self.step
        depth = np.where(rounded > 0, self.strength / np.maximum(rounded, self.step), 0)
        return np.where((depth >= self.range[0]) & (depth <= self.range[1]), depth, 0)
