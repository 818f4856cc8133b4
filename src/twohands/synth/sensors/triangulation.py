"""What depth from triangulation has in common: disparities, the light they need, and their sub-pixel steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.synth.rendering.render import Materials, Surfaces
from twohands.synth.sensors.mount import Mount
from twohands.synth.sensors.view import Finish, returned_light

_RAGGED = 0.35  # deviation of the logarithm of what is too dark


@dataclass(frozen=True)
class Triangle:
    """A depth camera and the second place, projector or camera, whose rays it crosses."""

    mount: Mount
    baseline: float  # metres from the depth camera to the second place, positive to the right
    weakest: float  # amplitude (white, head on, at 1 m is 1) below which nothing is matched
    strongest: float  # and above which the pattern drowns in the highlight
    step: float  # depth pixels, step of the disparities
    range: tuple[float, float]  # metres

    @property
    def strength(self) -> float:
        """Disparity times depth, pixels x metres."""
        return abs(self.baseline) * float(self.mount.camera.focal[0])

    def disparity(self, surfaces: Surfaces, materials: Materials, wander: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True disparity (h, w) float32 pixels, 0 where the second place does not see the surface; what is unreadable.

        Unreadable (h, w) are surfaces too dark, too grazing, or shining into the camera; `wander` (h, w), noise of
        deviation 1, frays the borders.
        """
        second = np.array([self.baseline, 0.0, 0.0])
        amplitude, first, _ = returned_light(surfaces, Finish.of(surfaces, materials), self.mount, second, samples=1)
        seen = amplitude > 0
        disparity = np.where(seen, self.strength * amplitude / np.where(seen, first, 1), 0)
        dark = self.weakest * np.exp(_RAGGED * wander)
        return disparity, seen & ((amplitude < dark) | (amplitude > self.strongest))

    def depth(self, disparity: np.ndarray) -> np.ndarray:
        """Disparity (h, w), 0 = none -> depth (h, w) metres from rounded disparities, 0 = none or out of range."""
        rounded = np.round(disparity / self.step) * self.step
        depth = np.where(rounded > 0, self.strength / np.maximum(rounded, self.step), 0)
        return np.where((depth >= self.range[0]) & (depth <= self.range[1]), depth, 0)
