"""The first engine's time-of-flight camera, kept to the byte so that old frames can be drawn again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.geometry.camera import Camera
from twohands.synth.rendering.render import Materials, Surfaces
from twohands.synth.sensors.mount import Mount, beside, wider_camera
from twohands.synth.sensors.noise import blurred, mixed_noise
from twohands.synth.sensors.registration import warp_surface
from twohands.synth.sensors.view import Finish, returned_light

_SAMPLES = 2  # samples across a depth pixel


@dataclass(frozen=True)
class BasicSensor:
    """One time-of-flight camera and its place beside the colour camera."""

    mount: Mount
    illuminator: np.ndarray  # (3,) metres, in the depth camera's frame
    noise: float  # metres, standard deviation at amplitude 1 (white, head on, at 1 m)
    spread: float  # largest relative deviation of the depths mixed in one pixel
    weakest: float  # amplitude below which there is no reading
    largest_step: float  # largest relative step within 2x2 readings that the warp draws
    range: tuple[float, float]  # metres

    def measure(self, rng: np.random.Generator, surfaces: Surfaces, materials: Materials, color: Camera) -> np.ndarray:
        """Return `measure_depth` with this sensor."""
        return measure_depth(rng, surfaces, materials.infrared, color, self)


def sample_depth_camera(rng: np.random.Generator, color: Camera) -> BasicSensor:
    """Sample a depth camera with about the view of `color` and 1.2 to 2.1 colour pixels per depth pixel."""
    camera = wider_camera(rng, color, rng.uniform(1.2, 2.1))
    side = rng.choice([-1.0, 1.0], p=[0.8, 0.2])
    return BasicSensor(
        mount=beside(rng, camera, side * rng.uniform(0.015, 0.045)),
        illuminator=np.array([side * rng.uniform(0.006, 0.020), rng.normal(0.0, 0.004), 0.0]),
        noise=float(rng.uniform(0.0003, 0.0012)),
        spread=float(rng.uniform(0.04, 0.09)),
        weakest=float(rng.uniform(0.008, 0.03)),
        largest_step=float(rng.uniform(0.04, 0.10)),
        range=(float(rng.uniform(0.20, 0.27)), float(rng.uniform(2.0, 4.0))),
    )


def measure_depth(
    rng: np.random.Generator, surfaces: Surfaces, infrared: np.ndarray, color: Camera, sensor: BasicSensor
) -> np.ndarray:
    """Return registered depth (H, W) uint16 in steps of `STEP`, 0 where there is no reading.

    `infrared` (M,) is the reflectance of every material.
    """
    finish = Finish.dull(surfaces, infrared)
    sums = returned_light(surfaces, finish, sensor.mount, sensor.illuminator, _SAMPLES)
    amplitude, first, second = (0.85 * blurred(image, 0.8) + 0.15 * blurred(image, 1.5) for image in sums)
    weight = np.maximum(amplitude, 1e-9)
    mean = first / weight
    deviation = np.sqrt(np.maximum(second / weight - mean * mean, 0))
    valid = (amplitude > sensor.weakest) & (deviation < sensor.spread * mean)
    noise = sensor.noise / np.sqrt(weight) * mixed_noise(rng, mean.shape, 0.5, 1.8)
    depth = np.where(valid, mean + noise, 0.0)
    depth[(depth < sensor.range[0]) | (depth > sensor.range[1])] = 0
    return warp_surface(depth, color, sensor.mount, sensor.largest_step)
