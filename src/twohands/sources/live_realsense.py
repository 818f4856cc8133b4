"""A RealSense camera, by the package pyrealsense2."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from twohands.intrinsics import read_intrinsics
from twohands.sources.common import require
from twohands.sources.live import WAIT, Shot

SIZES = ((848, 480), (1280, 720))
"""Sizes of depth and colour that most cameras have; where they cannot be had together, the SDK chooses."""
RATE = 30


class RealSenseCamera:
    """The first RealSense camera that is connected: depth aligned to colour by the SDK, and no filters.

    Raise ValueError with the fix when there is none, or when it has no colour or no depth.
    """

    def __init__(self, config: Any = None):
        """Take a `config` of the SDK with a depth and an rgb8 colour stream in place of the usual ones."""
        self._rs = rs = _sdk()
        self._context = rs.context()
        self._pipeline = rs.pipeline(self._context)
        profile = self._started(self._configs() if config is None else [config])
        device = profile.get_device()
        facts = rs.camera_info.name, rs.camera_info.serial_number
        model, self._serial = (device.get_info(fact) if device.supports(fact) else "" for fact in facts)
        self.name = " ".join(filter(None, (model or "RealSense", self._serial)))
        colour = profile.get_stream(rs.stream.color).as_video_stream_profile()
        self.intrinsics = read_intrinsics(colour.intrinsics)
        self._align = rs.align(rs.stream.color)

    def shot(self) -> Shot | None:
        """Return the next pair of images, None if none came within WAIT."""
        try:
            arrived, frames = self._pipeline.try_wait_for_frames(WAIT)
            if not arrived or not frames.get_depth_frame() or not frames.get_color_frame():
                return None
            measured = frames.get_depth_frame()
            both = self._align.process(frames)
        except RuntimeError:  # the SDK's error for a camera that is gone
            return None
        colour, depth = both.get_color_frame(), both.get_depth_frame()
        rgb, steps = (np.array(image.get_data()) for image in (colour, depth))
        times = colour.get_timestamp() / 1000, measured.get_timestamp() / 1000
        return Shot(*times, rgb, steps, float(measured.get_units()))

    def is_connected(self) -> bool:
        """Return whether the camera is still there."""
        number = self._rs.camera_info.serial_number
        with suppress(RuntimeError):  # it may go while it is asked
            devices = self._context.query_devices()
            return self._serial in [device.get_info(number) for device in devices if device.supports(number)]
        return False

    def stop(self) -> None:
        """Stop the camera."""
        with suppress(RuntimeError):  # it may be gone
            self._pipeline.stop()

    def _configs(self) -> list[Any]:
        """Return what is tried: the usual sizes, then what the SDK chooses."""
        rs = self._rs
        usual, other = rs.config(), rs.config()
        for stream, form, size in zip(
            (rs.stream.depth, rs.stream.color), (rs.format.z16, rs.format.rgb8), SIZES, strict=True
        ):
            usual.enable_stream(stream, *size, form, RATE)
            other.enable_stream(stream, form, 0)
        return [usual, other]

    def _started(self, configs: list[Any]) -> Any:
        """Start the pipeline with the first possible config and return its profile."""
        reasons = []
        for config in configs:
            try:
                return self._pipeline.start(config)
            except RuntimeError as error:
                reasons.append(str(error))
        raise ValueError(
            f"no RealSense camera can be started ({'; '.join(dict.fromkeys(reasons))}); connect one with colour and "
            "depth, and close other programs that use it"
        )


def _sdk() -> Any:
    """Return pyrealsense2; on Linux it needs a library of the system that its wheel does not have."""
    try:
        return require("pyrealsense2", "realsense", "RealSense cameras")
    except ValueError as error:
        if "libusb" in str(error):
            raise ValueError(
                "pyrealsense2 needs the library libusb; install it with: sudo apt install libusb-1.0-0"
            ) from None
        raise
