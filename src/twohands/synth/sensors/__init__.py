"""Depth cameras: one file a family, a frame's camera is drawn by `sample_sensor`."""

from twohands.synth.sensors.families import DepthSensor, sample_sensor
from twohands.synth.sensors.registration import STEP

__all__ = ["STEP", "DepthSensor", "sample_sensor"]
