"""Stand-ins for the SDKs of depth cameras, as unfriendly as these: waits without images, and memory that is used again.

Every class has only methods that the SDK's class of that name has, which a test checks where the SDK is installed.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from recordings import colour_image, depth_image

WIDTH, HEIGHT = 64, 48
FOCAL = 61.5


class Script:
    """The events of a camera: numbers of frames, "old depth" (colour of the next one with the depth of the last one),
    "wait", "no depth", "error", and "unplug" at the end.
    """

    def __init__(self, events, unit=0.0001, lens=(0.0,) * 8, focal=FOCAL):
        self.events, self.unit, self.lens, self.focal = list(events), unit, lens, focal
        self.connected, self.stopped = True, False
        self.rgb = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        self.steps = np.zeros((HEIGHT, WIDTH), np.uint16)
        self.number = self.depth_number = 0

    def next(self):
        """Return the next event; the images of the frame before are overwritten."""
        event = self.events.pop(0) if self.events else "wait"
        if event == "unplug":
            self.connected = False
        if isinstance(event, int):
            self.number = self.depth_number = event
            self.rgb[:], self.steps[:] = colour_image(event), depth_image(event)
        if event == "old depth":
            self.number += 1
            self.rgb[:] = colour_image(self.number)
        return event


def realsense(script):
    """Return a module that stands in for pyrealsense2."""

    class device:
        def supports(self, fact):
            return True

        def get_info(self, fact):
            return {"name": "Intel RealSense D405", "serial_number": "0042"}[fact]

    class context:
        def query_devices(self):
            return [device()] if script.connected else []

    class config:
        def enable_stream(self, *wanted):
            self.wanted = wanted

    class video_stream_profile:
        def as_video_stream_profile(self):
            return self

        intrinsics = SimpleNamespace(
            fx=script.focal, fy=62.25, ppx=33.25, ppy=22.75, width=WIDTH, height=HEIGHT,
            model="distortion.inverse_brown_conrady", coeffs=list(script.lens[:5]),
        )  # fmt: skip

    class video_frame:
        def __init__(self, content, number=0):
            self.content, self.number = content, number

        def __bool__(self):
            return self.content is not None

        def get_data(self):
            return self.content

        def get_timestamp(self):
            return 1000 + 33.5 * self.number

        def get_units(self):
            return script.unit

    class composite_frame:
        def __init__(self, steps, aligned=False):
            self.steps, self.aligned = steps, aligned

        def get_color_frame(self):
            return video_frame(script.rgb, script.number)

        def get_depth_frame(self):
            if self.steps is None:
                return video_frame(None)
            return video_frame(self.steps if self.aligned else self.steps[:10], script.depth_number)

    class align:
        def __init__(self, stream):
            assert stream == "color"

        def process(self, frames):
            return composite_frame(frames.steps, aligned=True)

    class pipeline_profile:
        def get_device(self):
            return device()

        def get_stream(self, stream):
            return video_stream_profile()

    class pipeline:
        def __init__(self, context):
            pass

        def start(self, config):
            if not script.connected:
                raise RuntimeError("No device connected")
            if len(config.wanted) == 5 and script.focal != FOCAL:
                raise RuntimeError("Couldn't resolve requests")
            return pipeline_profile()

        def try_wait_for_frames(self, milliseconds):
            event = script.next()
            if event == "error":
                raise RuntimeError("Device disconnected. Failed to reconnect: timeout")
            if event in ("wait", "unplug"):
                return False, composite_frame(None)
            return True, composite_frame(None if event == "no depth" else script.steps)

        def stop(self):
            script.stopped = True
            if not script.connected:
                raise RuntimeError("Device disconnected")

    names = dict.fromkeys(("depth", "color"))
    return SimpleNamespace(
        context=context, config=config, pipeline=pipeline, align=align, device=device, composite_frame=composite_frame,
        pipeline_profile=pipeline_profile, video_frame=video_frame, video_stream_profile=video_stream_profile,
        stream=SimpleNamespace(**{name: name for name in names}),
        format=SimpleNamespace(z16="z16", rgb8="rgb8"),
        camera_info=SimpleNamespace(name="name", serial_number="serial_number"),
    )  # fmt: skip


def orbbec(script, form="RGB", mode_has_intrinsics=True):
    """Return a module that stands in for pyorbbecsdk; the script's unit is in metres, the SDK's in millimetres."""

    class OBError(Exception):
        pass

    class DeviceInfo:
        def get_name(self):
            return "Orbbec Gemini 336"

        def get_serial_number(self):
            return "CP0042"

    class Device:
        switched: ClassVar[dict[str, bool]] = {}

        def get_device_info(self):
            return DeviceInfo()

        def is_property_supported(self, number, permission):
            return number != "OB_PROP_DEPTH_HOLEFILTER_BOOL"

        def set_bool_property(self, number, value):
            self.switched[number] = value

    class DeviceList:
        def get_count(self):
            return int(script.connected)

        def get_device_serial_number_by_index(self, index):
            return "CP0042"

    class Context:
        def set_logger_to_file(level, folder):
            assert level == "NONE"

        def query_devices(self):
            return DeviceList()

    def intrinsic(focal):
        values = (focal, 62.25, 33.25, 22.75) if focal else (0.0,) * 4
        return SimpleNamespace(**dict(zip(("fx", "fy", "cx", "cy"), values, strict=True)), width=WIDTH, height=HEIGHT)

    lens = SimpleNamespace(**dict(zip(("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"), script.lens, strict=True)))

    class VideoStreamProfile:
        def __init__(self, form):
            self.form = form

        def get_format(self):
            return self.form

        def get_width(self):
            return WIDTH

        def get_height(self):
            return HEIGHT

        def as_video_stream_profile(self):
            return self

        def get_intrinsic(self):
            return intrinsic(script.focal if mode_has_intrinsics else 0)

        def get_distortion(self):
            return lens

    class StreamProfileList:
        def __init__(self, forms):
            self.forms = forms

        def get_default_video_stream_profile(self):
            return VideoStreamProfile(self.forms[0])

        def get_video_stream_profile(self, width, height, form, fps):
            if form not in self.forms:
                raise OBError("Invalid input, No matched video stream profile found!")
            return VideoStreamProfile(form)

    class ColorFrame:
        def __init__(self, content):
            self.content = content

        def get_data(self):
            return self.content

        def get_format(self):
            return form

        def get_width(self):
            return WIDTH

        def get_height(self):
            return HEIGHT

        def get_timestamp_us(self):
            return 1_000_000 + 33_500 * script.number

    class DepthFrame(ColorFrame):
        def get_timestamp_us(self):
            return 1_000_000 + 33_500 * script.depth_number

        def get_depth_scale(self):
            return script.unit * 1000

    class FrameSet:
        def __init__(self, aligned=False, has_depth=True):
            self.aligned, self.has_depth = aligned, has_depth

        def as_frame_set(self):
            return self

        def get_color_frame(self):
            content = script.rgb[..., ::-1] if form == "BGR" else script.rgb
            return ColorFrame(np.ascontiguousarray(content).ravel() if form == "BGR" else content.reshape(-1))

        def get_depth_frame(self):
            return DepthFrame(script.steps.view(np.uint8).reshape(-1)) if self.has_depth else None

    class AlignFilter:
        def __init__(self, align_to_stream):
            assert align_to_stream == "COLOR_STREAM"

        def process(self, frames):
            return FrameSet(aligned=True)

    class Config:
        def enable_stream(self, profile):
            assert profile.get_format() in ("Y16", form)

        def set_frame_aggregate_output_mode(self, mode):
            assert mode == "FULL_FRAME_REQUIRE"

    class Pipeline:
        def __init__(self):
            if not script.connected:
                raise RuntimeError("No device found")

        def get_device(self):
            return Device()

        def get_stream_profile_list(self, sensor):
            return StreamProfileList(["YUYV", form] if sensor == "COLOR_SENSOR" else ["Y16"])

        def enable_frame_sync(self):
            pass

        def get_camera_param(self):
            return SimpleNamespace(rgb_intrinsic=intrinsic(script.focal), rgb_distortion=lens)

        def start(self, config):
            pass

        def stop(self):
            script.stopped = True

        def wait_for_frames(self, milliseconds):
            event = script.next()
            if event == "error":
                raise OBError("usb error")
            if event in ("wait", "unplug"):
                return None
            return FrameSet(has_depth=event != "no depth")

    def names(*found):
        return SimpleNamespace(**{name: name for name in found})

    return SimpleNamespace(
        Pipeline=Pipeline, Config=Config, Context=Context, AlignFilter=AlignFilter, OBError=OBError, Device=Device,
        DeviceInfo=DeviceInfo, DeviceList=DeviceList, VideoStreamProfile=VideoStreamProfile, ColorFrame=ColorFrame,
        DepthFrame=DepthFrame, FrameSet=FrameSet, StreamProfileList=StreamProfileList,
        OBFormat=names("RGB", "BGR", "MJPG", "Y16", "YUYV"), OBSensorType=names("COLOR_SENSOR", "DEPTH_SENSOR"),
        OBStreamType=names("COLOR_STREAM"), OBPermissionType=names("PERMISSION_WRITE"),
        OBLogLevel=names("NONE"),
        OBFrameAggregateOutputMode=names("FULL_FRAME_REQUIRE"),
        OBPropertyID=names(
            "OB_PROP_DEPTH_SOFT_FILTER_BOOL", "OB_PROP_DEPTH_NOISE_REMOVAL_FILTER_BOOL",
            "OB_PROP_DEPTH_POSTFILTER_BOOL", "OB_PROP_DEPTH_HOLEFILTER_BOOL",
        ),
    )  # fmt: skip
