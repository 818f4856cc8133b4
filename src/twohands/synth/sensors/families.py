"""Choice of the depth camera of a frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from twohands.geometry.camera import Camera
from twohands.synth.config import SENSOR_FAMILIES, SynthConfig
from twohands.synth.rendering.render import Materials, Surfaces, draw
from twohands.synth.sensors.active_stereo import sample_active_stereo
from twohands.synth.sensors.basic import sample_depth_camera
from twohands.synth.sensors.lidar import sample_lidar
from twohands.synth.sensors.mount import sample_misregistration
from twohands.synth.sensors.registration import in_steps
from twohands.synth.sensors.structured_light import sample_structured_light
from twohands.synth.sensors.time_of_flight import sample_time_of_flight

FAMILY_FRACTIONS = {"time_of_flight": 0.50, "active_stereo": 0.25, "structured_light": 0.10, "lidar": 0.15}
"""Fraction of the frames of `mixed` that each family measures."""
_SAMPLERS = {
    "time_of_flight": sample_time_of_flight,
    "active_stereo": sample_active_stereo,
    "structured_light": sample_structured_light,
    "lidar": sample_lidar,
}


class DepthSensor(Protocol):
    """A depth camera beside a colour camera."""

    def measure(self, rng: np.random.Generator, surfaces: Surfaces, materials: Materials, color: Camera) -> np.ndarray:
        """Return depth registered to `color`, (H, W) uint16 in steps of `STEP`, 0 where there is no reading."""
        ...


@dataclass(frozen=True)
class IdealSensor:
    """A sensor without noise and holes: exact depth of the given surfaces at the colour camera's pixel centres."""

    def measure(self, rng: np.random.Generator, surfaces: Surfaces, materials: Materials, color: Camera) -> np.ndarray:
        """Return depth (H, W) uint16 in steps of `STEP`, 0 where there is no surface."""
        return in_steps(draw(surfaces, color)[0])


def sample_sensor(rng: np.random.Generator, config: SynthConfig, color: Camera) -> DepthSensor:
    """Sample the depth camera of one frame from the family that `config.sensor` names."""
    if config.sensor == "basic":
        return sample_depth_camera(rng, color)
    if config.sensor == "ideal":
        return IdealSensor()
    family = config.sensor
    if family == "mixed":
        family = rng.choice(SENSOR_FAMILIES, p=[FAMILY_FRACTIONS[name] for name in SENSOR_FAMILIES])
    return _SAMPLERS[family](rng, color, sample_misregistration(rng, color, config.registration))
