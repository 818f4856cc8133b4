"""Time of flight, as in Azure Kinect and similar cameras.

A lamp stands beside the camera; surfaces that it does not reach have no reading. A pixel mixes the returns of
everything in it, weighted by amplitude, with a little stray light from all around. Where the mixture is too wide, too
weak or too bright there is no reading. The ranges enclose the values in frames of a head-mounted Azure Kinect, see
`tools/measure_depth_realism.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

from twohands.geometry.camera import Camera
from twohands.synth.rendering.render import Materials, Surfaces
from twohands.synth.sensors.mount import Misregistration, Mount, beside, coarseness, wider_camera
from twohands.synth.sensors.noise import blurred, mixed_noise
from twohands.synth.sensors.registration import warp_surface
from twohands.synth.sensors.view import Finish, returned_light

_SAMPLES = 2  # samples across a depth pixel
_STRAY_WINDOW = 7  # pixels; applied twice
_RAGGED = 0.15  # relative noise of the amplitude, which frays the borders of dark regions
_BROAD_NOISE = (0.75, 2.0)  # fraction of the variance and reach in depth pixels of the broad noise


@dataclass(frozen=True)
class TimeOfFlight:
    """One time-of-flight camera and its lamp."""

    mount: Mount
    lamp: np.ndarray  # (3,) metres, in the depth camera's frame
    noise: float  # metres, standard deviation at amplitude 1 (white, head on, at 1 m)
    blur: float  # depth pixels, deviation of the lens's point spread
    stray: float  # fraction of the light that spreads over about 4 pixels around
    spread: float  # largest relative deviation of the depths mixed in one pixel
    weakest: float  # amplitude below which there is no reading
    strongest: float  # amplitude above which the pixel is saturated
    largest_step: float  # largest relative step within 2x2 readings that the warp draws
    range: tuple[float, float]  # metres

    def measure(self, rng: np.random.Generator, surfaces: Surfaces, materials: Materials, color: Camera) -> np.ndarray:
        """Return registered depth (H, W) uint16 in steps of `STEP`, 0 where there is no reading."""
        sums = returned_light(surfaces, Finish.of(surfaces, materials), self.mount, self.lamp, _SAMPLES)
        amplitude, first, second = (self._through_lens(image) for image in sums)
        weight = np.maximum(amplitude, 1e-9)
        mean = first / weight
        deviation = np.sqrt(np.maximum(second / weight - mean * mean, 0))
        noise = mixed_noise(rng, mean.shape, *_BROAD_NOISE)
        readable = (amplitude * (1 + _RAGGED * noise) > self.weakest) & (amplitude < self.strongest)
        depth = np.where(readable & (deviation < self.spread * mean), mean + self.noise / np.sqrt(weight) * noise, 0.0)
        depth[(depth < self.range[0]) | (depth > self.range[1])] = 0
        return warp_surface(depth, color, self.mount, self.largest_step)

    def _through_lens(self, image: np.ndarray) -> np.ndarray:
        sharp = blurred(image, self.blur)
        wide = uniform_filter(uniform_filter(image, _STRAY_WINDOW), _STRAY_WINDOW)
        return (1 - self.stray) * sharp + self.stray * wide


def sample_time_of_flight(rng: np.random.Generator, color: Camera, error: Misregistration | None) -> TimeOfFlight:
    """Sample a camera with 1.4 to 2.5 colour pixels per depth pixel, mostly left of the colour camera."""
    camera = wider_camera(rng, color, coarseness(color, rng.uniform(220, 520), 1.4, 2.5))
    side = rng.choice([-1.0, 1.0], p=[0.8, 0.2])
    return TimeOfFlight(
        mount=beside(rng, camera, side * rng.uniform(0.020, 0.045), error),
        lamp=np.array([side * rng.uniform(0.006, 0.020), rng.normal(0.0, 0.004), 0.0]),
        noise=_log_uniform(rng, 0.0002, 0.0016),
        blur=float(rng.uniform(0.7, 1.4)),
        stray=float(rng.uniform(0.05, 0.18)),
        spread=float(rng.uniform(0.02, 0.09)),
        weakest=float(rng.uniform(0.003, 0.025)),
        strongest=float(rng.uniform(10.0, 40.0)),
        largest_step=_log_uniform(rng, 0.03, 0.15),
        range=(float(rng.uniform(0.20, 0.27)), float(rng.uniform(3.0, 5.5))),
    )


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))
