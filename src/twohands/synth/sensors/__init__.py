"""Depth cameras, one module per family; `sample_sensor` draws the camera of a frame."""

from twohands.synth.sensors.families import DepthSensor, sample_sensor
from twohands.synth.sensors.registration import STEP

__all__ = ["STEP", "DepthSensor", "sample_sensor"]
