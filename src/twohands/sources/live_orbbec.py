"""An Orbbec camera, by the package pyorbbecsdk2."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np

from twohands.intrinsics import Intrinsics, read_intrinsics
from twohands.sources.common import decode_rgb, require
from twohands.sources.live import WAIT, Shot

FILTERS = (
    "OB_PROP_DEPTH_SOFT_FILTER_BOOL",
    "OB_PROP_DEPTH_NOISE_REMOVAL_FILTER_BOOL",
    "OB_PROP_DEPTH_POSTFILTER_BOOL",
    "OB_PROP_DEPTH_HOLEFILTER_BOOL",
)
"""Names of the properties of filters in the camera or its driver, which smooth depth and fill holes."""
COEFFICIENTS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
"""Names of the lens coefficients in OpenCV's order."""


class OrbbecCamera:
    """The first Orbbec camera that is connected: depth aligned to colour by the SDK, and filters off.

    Raise ValueError with the fix when there is none, or when it has no colour, no depth or no calibration.
    """

    def __init__(self) -> None:
        self._sdk = sdk = require("pyorbbecsdk", "orbbec", "Orbbec cameras")
        sdk.Context.set_logger_to_file(sdk.OBLogLevel.NONE, "")  # otherwise it makes a folder Log wherever one is
        try:
            self._pipeline = sdk.Pipeline()
            facts = self._pipeline.get_device().get_device_info()
            self._serial = facts.get_serial_number()
            self.name = f"{facts.get_name()} {self._serial}"
            self._turn_filters_off(self._pipeline.get_device())
            self._start()
        except (RuntimeError, sdk.OBError) as error:
            raise ValueError(
                f"no Orbbec camera can be started ({error}); connect one with colour and depth, and close other "
                "programs that use it"
            ) from None
        self._align = sdk.AlignFilter(align_to_stream=sdk.OBStreamType.COLOR_STREAM)
        self.intrinsics = self._intrinsics()

    def shot(self) -> Shot | None:
        """Return the next pair of images, None if none came within WAIT; raise ValueError for an unknown format."""
        sdk = self._sdk
        try:
            frames = self._pipeline.wait_for_frames(WAIT)
            if frames is None or frames.get_color_frame() is None or frames.get_depth_frame() is None:
                return None
            both = self._align.process(frames)
        except (RuntimeError, sdk.OBError):
            return None
        if both is None:
            return None
        colour, depth = frames.get_color_frame(), both.as_frame_set().get_depth_frame()
        if depth is None:
            return None
        steps = np.frombuffer(depth.get_data(), np.uint16).reshape(depth.get_height(), depth.get_width()).copy()
        times = colour.get_timestamp_us() / 1e6, frames.get_depth_frame().get_timestamp_us() / 1e6
        return Shot(*times, self._rgb(colour), steps, depth.get_depth_scale() / 1000)

    def is_connected(self) -> bool:
        """Return whether the camera is still there."""
        with suppress(RuntimeError, self._sdk.OBError):  # it may go while it is asked
            devices = self._sdk.Context().query_devices()
            numbers = range(devices.get_count())
            return self._serial in [devices.get_device_serial_number_by_index(number) for number in numbers]
        return False

    def stop(self) -> None:
        """Stop the camera."""
        with suppress(RuntimeError, self._sdk.OBError):  # it may be gone
            self._pipeline.stop()

    def _turn_filters_off(self, device: Any) -> None:
        for name in FILTERS:
            number = getattr(self._sdk.OBPropertyID, name)
            if device.is_property_supported(number, self._sdk.OBPermissionType.PERMISSION_WRITE):
                device.set_bool_property(number, False)

    def _start(self) -> None:
        """Start colour, without loss if the camera has it so, and depth of 16 bits."""
        sdk = self._sdk
        config = sdk.Config()
        wanted = (
            (sdk.OBSensorType.COLOR_SENSOR, (sdk.OBFormat.RGB, sdk.OBFormat.BGR, sdk.OBFormat.MJPG)),
            (sdk.OBSensorType.DEPTH_SENSOR, (sdk.OBFormat.Y16,)),
        )
        self._colour_profile = None
        for sensor, forms in wanted:
            profile = self._profile(self._pipeline.get_stream_profile_list(sensor), forms)
            self._colour_profile = self._colour_profile or profile
            config.enable_stream(profile)
        config.set_frame_aggregate_output_mode(sdk.OBFrameAggregateOutputMode.FULL_FRAME_REQUIRE)
        self._pipeline.enable_frame_sync()
        self._pipeline.start(config)

    def _profile(self, profiles: Any, forms: tuple[Any, ...]) -> Any:
        """Return the default profile of a sensor, in the first of some formats that it has."""
        usual = profiles.get_default_video_stream_profile()
        if usual.get_format() in forms:
            return usual
        for form in forms:
            for size in ((usual.get_width(), usual.get_height()), (0, 0)):  # 0 stands for any
                with suppress(RuntimeError, self._sdk.OBError):
                    return profiles.get_video_stream_profile(*size, form, 0)
        return usual

    def _intrinsics(self) -> Intrinsics:
        profile = self._colour_profile.as_video_stream_profile()  # type: ignore[union-attr]
        K, lens = profile.get_intrinsic(), profile.get_distortion()
        values: dict[str, Any] = {name: getattr(K, name) for name in ("fx", "fy", "cx", "cy")}
        if not values["fx"]:  # of profiles in some modes
            found = self._pipeline.get_camera_param()
            K, lens = found.rgb_intrinsic, found.rgb_distortion
            values = {name: getattr(K, name) for name in values}
        values |= {"width": profile.get_width(), "height": profile.get_height()}
        return read_intrinsics(values | {"D": [getattr(lens, name) for name in COEFFICIENTS]})

    def _rgb(self, colour: Any) -> np.ndarray:
        """Return a colour image as (H, W, 3) uint8, red first, in memory of its own."""
        forms, form = self._sdk.OBFormat, colour.get_format()
        if form == forms.MJPG:
            return decode_rgb(bytes(colour.get_data()), f"an image of {self.name}")
        if form not in (forms.RGB, forms.BGR):
            raise ValueError(f"{self.name} sends colour as {form}, which is not read; choose RGB or MJPG in its viewer")
        pixels = np.frombuffer(colour.get_data(), np.uint8).reshape(colour.get_height(), colour.get_width(), 3)
        return pixels.copy() if form == forms.RGB else np.ascontiguousarray(pixels[..., ::-1])
