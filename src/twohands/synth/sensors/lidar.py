"""LiDAR of phones and tablets: a few hundred measured dots, completed to 256x192 with the colour image.

The completed depth is smooth: edges are spread over pixels, fingers are thickened, small holes are filled, and the
errors of several millimetres vary slowly over the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import minimum_filter

from twohands.geometry.camera import Camera
from twohands.synth.rendering.render import Materials, Surfaces, draw
from twohands.synth.sensors.mount import Misregistration, Mount
from twohands.synth.sensors.noise import blurred, broad_noise
from twohands.synth.sensors.registration import warp_surface

_LONG_SIDE = 256  # depth pixels
_BORDER = 4  # depth pixels seen beyond the colour image on every side
_FAR = 5.0  # metres, depth of pixels without a return


@dataclass(frozen=True)
class Lidar:
    """One LiDAR; its depth image is given in the colour camera's view."""

    mount: Mount
    noise: float  # metres, standard deviation
    calm: float  # depth pixels over which the error is correlated
    blur: float  # depth pixels
    thickening: float  # growth of near objects, depth pixels, 0 to 1
    range: tuple[float, float]  # metres

    def measure(self, rng: np.random.Generator, surfaces: Surfaces, materials: Materials, color: Camera) -> np.ndarray:
        """Return registered depth (H, W) uint16 in steps of `STEP`, 0 where there is no reading."""
        depth, _ = draw(surfaces, self.mount.camera)
        depth = np.where(depth > 0, np.minimum(depth, _FAR), _FAR)
        depth += self.thickening * (minimum_filter(depth, 3) - depth)
        depth = blurred(depth, self.blur)
        valid = (depth >= self.range[0]) & (depth <= self.range[1])
        depth = np.where(valid, depth + self.noise * broad_noise(rng, depth.shape, self.calm), 0.0)
        return warp_surface(depth, color, self.mount, largest_step=np.inf)


def sample_lidar(rng: np.random.Generator, color: Camera, error: Misregistration | None) -> Lidar:
    """Sample a LiDAR with 256 pixels along the image's longer side, or with the image's own if it has fewer."""
    ratio = max(1.0, max(color.width, color.height) / _LONG_SIDE)
    width, height = round(color.width / ratio), round(color.height / ratio)
    camera = color.resize(width, height).crop(-_BORDER, -_BORDER, width + 2 * _BORDER, height + 2 * _BORDER)
    return Lidar(
        mount=Mount(camera, np.eye(3), np.zeros(3), error),
        noise=float(rng.uniform(0.003, 0.008)),
        calm=float(rng.uniform(6.0, 16.0)),
        blur=float(rng.uniform(0.6, 1.2)),
        thickening=float(rng.uniform(0.2, 0.9)),
        range=(float(rng.uniform(0.18, 0.22)), float(rng.uniform(3.0, 4.5))),
    )
