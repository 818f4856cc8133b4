"""Write small recordings as ROS, Foxglove and the RealSense SDK write them, with their own libraries."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rosbags import rosbag1, rosbag2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from scipy.spatial.transform import Rotation

START = 1_700_000_000_123_456_789
"""Nanoseconds: more than a float of seconds can hold exactly."""
PERIOD = 33_333_333
K = np.array([[61.5, 0, 33.25], [0, 62.25, 22.75], [0, 0, 1]])
COLOUR, DEPTH = "/camera/color/image_raw", "/camera/aligned_depth_to_color/image_raw"
INFO = "/camera/color/camera_info"


def colour_image(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)


def depth_image(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """Steps uint16: a slope with noise, runs without a reading, and the frame's number in a corner."""
    rng = np.random.default_rng(number)
    steps = 400 + np.arange(width) * 3 + rng.integers(0, 20, (height, width))
    steps[10:14, 5:40] = 0
    steps[rng.random((height, width)) < 0.1] = 0
    steps[0, 0] = 1000 + number
    return steps.astype(np.uint16)


@dataclass
class Recorder:
    """Messages of one version of ROS in the order in which they are logged."""

    ros1: bool = False
    messages: list[tuple[str, str, int, Any]] = field(default_factory=list)

    def __post_init__(self):
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        if self.ros1:
            text, kind = "geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"
            self.store.register(get_types_from_msg(text, kind))

    def new(self, kind: str, *values: Any) -> Any:
        return self.store.types[kind](*values)

    def header(self, ns: int, frame: str) -> Any:
        stamp = self.new("builtin_interfaces/msg/Time", ns // 10**9, ns % 10**9)
        return self.new("std_msgs/msg/Header", *([0] if self.ros1 else []), stamp, frame)

    def add(self, topic: str, kind: str, ns: int, message: Any) -> None:
        self.messages.append((topic, kind, ns, message))

    def image(
        self, topic: str, ns: int, pixels: np.ndarray, encoding: str, frame="color", pad=0, logged=None, big=False
    ) -> None:
        """Add an image whose rows have `pad` more bytes than pixels."""
        rows = np.ascontiguousarray(pixels.astype(pixels.dtype.newbyteorder(">")) if big else pixels)
        rows = rows.view(np.uint8).reshape(len(pixels), -1)
        rows = np.concatenate([rows, np.full((len(rows), pad), 0xAB, np.uint8)], axis=1)
        values = self.header(ns, frame), *pixels.shape[:2], encoding, int(big), rows.shape[1], rows.reshape(-1)
        kind = "sensor_msgs/msg/Image"
        self.add(topic, kind, logged or ns, self.new(kind, *values))

    def compressed(self, topic: str, ns: int, form: str, content: bytes, frame="color") -> None:
        kind = "sensor_msgs/msg/CompressedImage"
        message = self.new(kind, self.header(ns, frame), form, np.frombuffer(content, np.uint8))
        self.add(topic, kind, ns, message)

    def info(self, topic: str, ns: int, matrix=K, width=64, height=48, D=(0.0,) * 5, P=None, model="plumb_bob") -> None:
        roi = self.new("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        P = np.zeros(12) if P is None else np.c_[P, np.zeros(3)].ravel()
        arrays = np.array(D, float), np.asarray(matrix, float).ravel(), np.eye(3).ravel(), P
        kind = "sensor_msgs/msg/CameraInfo"
        self.add(topic, kind, ns, self.new(kind, self.header(ns, "color"), height, width, model, *arrays, 0, 0, roi))

    def transform(self, parent: str, child: str, T_parent_from_child: np.ndarray, ns: int = START) -> None:
        rotation = self.new(
            "geometry_msgs/msg/Quaternion", *Rotation.from_matrix(T_parent_from_child[:3, :3]).as_quat().tolist()
        )
        shift = self.new("geometry_msgs/msg/Vector3", *T_parent_from_child[:3, 3].tolist())
        stamped = self.new(
            "geometry_msgs/msg/TransformStamped",
            self.header(ns, parent),
            child,
            self.new("geometry_msgs/msg/Transform", shift, rotation),
        )
        self.add("/tf_static", "tf2_msgs/msg/TFMessage", ns, self.new("tf2_msgs/msg/TFMessage", [stamped]))

    def write(self, path: Path, compression: str | None = None, surplus: bytes = b"") -> Path:
        """Write `path`: a ROS 1 bag, or a folder of ROS 2 with .mcap or .db3 by the path; return it.

        `surplus` follows every message, as in bags of the RealSense SDK.
        """
        if self.ros1:
            writer = rosbag1.Writer(path)
            if compression:
                writer.set_compression(rosbag1.Writer.CompressionFormat[compression])
            writer.chunk_threshold = 1 << 15
        else:
            plugin = rosbag2.StoragePlugin.MCAP if path.suffix == ".mcap" else rosbag2.StoragePlugin.SQLITE3
            path = path.with_suffix("")
            writer = rosbag2.Writer(path, version=9, storage_plugin=plugin)
        code = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        with writer:
            connections = {}
            for topic, kind in dict.fromkeys((topic, kind) for topic, kind, *_ in self.messages):
                connections[topic] = writer.add_connection(topic, kind, typestore=self.store)
            for topic, kind, ns, message in sorted(self.messages, key=lambda entry: entry[2]):
                writer.write(connections[topic], ns, bytes(code(message, kind)) + surplus)
        return path


def plain(count: int = 5, ros1: bool = False) -> Recorder:
    """Aligned depth and colour as a RealSense node publishes them."""
    recorder = Recorder(ros1)
    for k in range(count):
        ns = START + k * PERIOD
        recorder.info(INFO, ns)
        recorder.image(COLOUR, ns, colour_image(k), "rgb8")
        recorder.image(DEPTH, ns + 1000, depth_image(k), "16UC1")
    return recorder


def coded(pixels: np.ndarray, form: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **({"quality": 95} if form == "JPEG" else {}))
    return stream.getvalue()


def compressed_depth(steps: np.ndarray, rvl: bool = False, scale: float = 0.0, offset: float = 0.0) -> bytes:
    header = struct.pack("<iff", 0, scale, offset)
    if not rvl:
        return header + coded(steps, "PNG")
    return header + struct.pack("<ii", steps.shape[1], steps.shape[0]) + rvl_coded(steps)


def rvl_coded(steps: np.ndarray) -> bytes:
    """RVL, value by value, as in the paper's listing."""
    groups, values, place, previous = [], steps.ravel().tolist(), 0, 0

    def number(value: int) -> None:
        while True:
            group, value = value & 7, value >> 3
            groups.append(group | 8 if value else group)
            if not value:
                return

    while place < len(values):
        for zero in (True, False):
            begin = place
            while place < len(values) and (values[place] == 0) == zero:
                place += 1
            number(place - begin)
            for value in [] if zero else values[begin:place]:
                number(2 * (value - previous) if value >= previous else 2 * (previous - value) - 1)
                previous = value
    groups += [0] * (-len(groups) % 8)
    words = [sum(group << (28 - 4 * k) for k, group in enumerate(groups[i : i + 8])) for i in range(0, len(groups), 8)]
    return np.array(words, "<u4").tobytes()


def foxglove(path: Path, count: int = 4, compressed: bool = False) -> Path:
    """Write plain MCAP with Foxglove's protobuf messages."""
    from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
    from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
    from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
    from google.protobuf.timestamp_pb2 import Timestamp
    from mcap_protobuf.writer import Writer

    with path.open("wb") as stream, Writer(stream) as writer:
        for k in range(count):
            ns = START + k * PERIOD
            stamp = {"timestamp": Timestamp(seconds=ns // 10**9, nanos=ns % 10**9), "frame_id": "color"}
            info = CameraCalibration(**stamp, width=64, height=48, distortion_model="plumb_bob", D=[0.0] * 5)
            info.K.extend(K.ravel().tolist())
            rgb, steps = colour_image(k), depth_image(k)
            if compressed:
                images = (
                    CompressedImage(**stamp, data=coded(rgb, "PNG"), format="png"),
                    CompressedImage(**stamp, data=coded(steps, "PNG"), format="png"),
                )
            else:
                size = {"width": 64, "height": 48}
                images = (
                    RawImage(**stamp, **size, encoding="rgb8", step=192, data=rgb.tobytes()),
                    RawImage(**stamp, **size, encoding="16UC1", step=128, data=steps.tobytes()),
                )
            for topic, message in (
                ("/color/calibration", info),
                ("/color/image", images[0]),
                ("/depth/image", images[1]),
            ):
                writer.write_message(topic, message, log_time=ns, publish_time=ns)
    return path


def realsense(path: Path, T_colour_from_depth: np.ndarray, count: int = 4, unit: float = 0.0001) -> Path:
    """Write a recording of the RealSense SDK with its software device; raise ImportError without the SDK."""
    import time

    import pyrealsense2 as rs

    def intrinsics(width: int, height: int, focal: float) -> Any:
        found = rs.intrinsics()
        found.width, found.height, found.fx, found.fy = width, height, focal, focal
        found.ppx, found.ppy = width / 2 - 3, height / 2 + 2
        found.model, found.coeffs = rs.distortion.brown_conrady, [0, 0, 0, 0, 0]
        return found

    def stream(kind: Any, uid: int, size: tuple[int, int], form: Any, bytes_per_pixel: int, focal: float) -> Any:
        found = rs.video_stream()
        found.type, found.index, found.uid, found.fps = kind, 0, uid, 30
        (found.width, found.height), found.fmt, found.bpp = size, form, bytes_per_pixel
        found.intrinsics = intrinsics(*size, focal)
        return found

    device = rs.software_device()
    sensors = device.add_sensor("Stereo Module"), device.add_sensor("RGB Camera")
    profiles = (
        sensors[0].add_video_stream(stream(rs.stream.depth, 1, (64, 48), rs.format.z16, 2, 50)),
        sensors[1].add_video_stream(stream(rs.stream.color, 2, (96, 64), rs.format.rgb8, 3, 80)),
    )
    sensors[0].add_read_only_option(rs.option.depth_units, unit)
    extrinsics = rs.extrinsics()
    extrinsics.rotation = T_colour_from_depth[:3, :3].ravel(order="F").tolist()
    extrinsics.translation = T_colour_from_depth[:3, 3].tolist()
    profiles[0].register_extrinsics_to(profiles[1], extrinsics)
    recorder = rs.recorder(str(path), device)
    queue = rs.frame_queue(100)
    opened = recorder.query_sensors()
    for sensor, profile in zip(opened, profiles, strict=True):
        sensor.open(profile)
        sensor.start(queue)
    for k in range(count):
        pictures = depth_image(k), colour_image(k, 96, 64)
        for sensor, profile, picture, milliseconds in zip(sensors, profiles, pictures, (1000, 1002), strict=True):
            frame = rs.software_video_frame()
            frame.pixels, frame.stride, frame.bpp = picture, picture.strides[0], picture.strides[1]
            frame.timestamp, frame.domain = milliseconds + k * 33.3, rs.timestamp_domain.hardware_clock
            frame.frame_number, frame.profile = k, profile.as_video_stream_profile()
            if picture.ndim == 2:
                frame.depth_units = unit
            sensor.on_video_frame(frame)
            time.sleep(0.01)
    for sensor in opened:
        sensor.stop()
        sensor.close()
    del sensor, opened, recorder, sensors, device  # the file is closed with them
    return path


def with_hole(path: Path, begin: float = 0.5, size: int = 500) -> Path:
    """Put zeros into a file, as a damaged disk gives them."""
    content = bytearray(path.read_bytes())
    at = int(len(content) * begin)
    content[at : at + size] = bytes(size)
    path.write_bytes(content)
    return path


def cut(path: Path, fraction: float) -> Path:
    """Keep the first part of a file, as after a power failure."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * fraction)])
    return path
