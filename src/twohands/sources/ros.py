"""Read recordings of ROS 1, ROS 2, Foxglove (MCAP) and the RealSense SDK: colour, depth and camera info by topic."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from twohands import files
from twohands.findings import Finding
from twohands.geometry.camera import Camera
from twohands.geometry.distortion import Lens, lens_of
from twohands.geometry.registration import PointMap, Registration
from twohands.intrinsics import read_intrinsics
from twohands.sources import realsense_files as realsense
from twohands.sources.pairs import Pairs, Stamped
from twohands.sources.ros_files import open_container
from twohands.sources.ros_images import colour_of, depth_of, is_grey
from twohands.sources.ros_messages import Message
from twohands.sources.ros_topics import choose_topics
from twohands.sources.source import Entry
from twohands.types import RGBDFrame

_log = logging.getLogger(__name__)
REMEDY = (
    "record depth that is registered to colour (RealSense: align_depth.enable:=true and the topic "
    "aligned_depth_to_color; Orbbec: depth_registration:=true; Azure Kinect: depth_to_rgb)"
)
"""Remedy for depth that cannot be registered."""
MOST_DAMAGED = 30
"""Number of images at the beginning of which one must be readable."""


class RosRecording:
    """Frames of a recording: each depth image with the colour image nearest in time, half a period away at most.

    Topics are found by their types and names, and can be chosen. Depth of a camera of its own is registered to colour
    with the transforms in the recording. Raises FileNotFoundError or ValueError at once when the recording cannot be
    used; a damaged image raises only when it is opened.
    """

    length: int | None = None
    """The number of pairs is known only when all has been read."""

    def __init__(
        self,
        path: str | Path,
        colour_topic: str | None = None,
        depth_topic: str | None = None,
        info_topic: str | None = None,
        intrinsics: Any = None,
        depth_unit: float | None = None,
        largest_delay: float | None = None,
        depth_registered: bool = False,
    ):
        """Take intrinsics of colour in place of camera info (any input of `read_intrinsics`), metres per step of
        integer depth, the largest difference of the stamps of a pair in seconds, and whether depth of any size has the
        view of colour.
        """
        self._path = Path(path)
        self._container = open_container(self._path)
        with_images = {topic: kind for topic, kind in self._container.topics.items() if self._container.counts[topic]}
        name = self._path.name
        self._topics = choose_topics(name, with_images, colour_topic, depth_topic, info_topic, intrinsics is None)
        self._is_realsense = realsense.is_realsense(self._topics.depth)
        self._delay = None if largest_delay is None else round(largest_delay * 1e9)
        (colour, rgb), (depth, steps) = (
            self._first_image(topic, decode)
            for topic, decode in ((self._topics.colour, colour_of), (self._topics.depth, depth_of))
        )
        self._grey = is_grey(colour.value)
        pictures = rgb, steps
        self._sizes = [(picture.shape[1], picture.shape[0]) for picture in pictures]
        self._unit = self._depth_unit(pictures[1], depth_unit)
        if intrinsics is None and self._topics.colour_info is not None:
            intrinsics = self._camera_values(self._topics.colour, self._topics.colour_info)
        self.intrinsics = read_intrinsics(intrinsics)
        self._depth_registered = depth_registered
        frames = [_frame_id(message.value) for message in (colour, depth)]
        self._registration = None if self._is_registered(frames) else self._new_registration(*frames)

    @property
    def about(self) -> str:
        """Kind of the recording, topics, sizes and how depth comes to colour."""
        counts = [self._container.counts[topic] for topic in (self._topics.colour, self._topics.depth)]
        sizes = [f"{width}x{height}" for width, height in self._sizes]
        kind = "RealSense recording" if self._is_realsense else "ROS recording"
        how = "registered to colour" if self._registration is None else "moved into the colour camera here"
        return (
            f"{kind}, colour {self._topics.colour} ({counts[0]} images, {sizes[0]}), depth "
            f"{self._topics.depth} ({counts[1]} images, {sizes[1]}), {how}"
        )

    def __iter__(self) -> Iterator[Entry]:
        pairs = Pairs(self._delay)
        for number, (colour, depth) in enumerate(pairs.of(self._images())):
            name = f"{number:06d}_{colour.stamp:019d}"
            yield Entry(name, colour.stamp / 1e9, partial(self._open, colour.value, depth.value))
        if not pairs.found:
            far = "" if pairs.nearest is None else f"; the nearest are {pairs.nearest / 1e6:.0f} ms apart"
            raise ValueError(
                f"{self._path.name} has no depth image within {pairs.delay / 1e6:.0f} ms of a colour image{far}; "
                "record both streams with one clock, or allow more with --max-delay SECONDS"
            )
        if pairs.left_out:
            _log.warning(
                "%s: %d of %d colour images have no depth image within %.0f ms and are left out",
                self._path.name, pairs.left_out, pairs.left_out + pairs.found, pairs.delay / 1e6,
            )  # fmt: skip

    def _open(self, colour: Any, depth: Any) -> RGBDFrame:
        rgb, steps = colour_of(colour, self._topics.colour), depth_of(depth, self._topics.depth)
        unit = 1.0 if steps.dtype.kind == "f" else self._unit  # 32FC1 is in metres
        if self._registration is None:
            frame = RGBDFrame.from_arrays(rgb, steps, self.intrinsics, unit, self._depth_registered)
        else:
            registered = self._registration(files.depth_in_metres(steps, unit))
            frame = RGBDFrame.from_arrays(rgb, registered, self.intrinsics, depth_unit=1)
            unit = files.effective_depth_unit(steps, unit)
            frame = replace(frame, depth=registered, depth_unit=unit)  # it is in the image without distortion already
        if not self._grey:
            return frame
        sentence = f"{self._topics.colour} is grey; hands are found less reliably than in colour, so record colour"
        return replace(frame, findings=(*frame.findings, Finding("grey_image", "warning", sentence)))

    def _images(self) -> Iterator[Stamped]:
        """Yield the images of both topics with the times at which they were taken."""
        topics = {self._topics.colour: True, self._topics.depth: False}
        clocks = dict[str, str]()  # topic of images by the topic with their times
        if self._is_realsense:
            clocks = {found: topic for topic in topics if (found := realsense.metadata_topic(self._container, topic))}
        waiting = dict[str, Any]()
        for topic, logged, value in self._container.messages([*topics, *clocks]):
            if topic in clocks:
                image, stamp = waiting.pop(clocks[topic], None), realsense.metadata_stamp(value)
                if image is not None and stamp is not None:
                    yield Stamped(topics[clocks[topic]], stamp, image)
            elif topic in clocks.values():
                waiting[topic] = value
            else:
                yield Stamped(topics[topic], _stamp(value) or logged, value)

    def _first(self, topic: str) -> Message:
        found = next(iter(self._container.messages([topic])), None)
        if found is None:
            raise ValueError(f"no message of {topic} in {self._path.name} can be read; copy or record it again")
        return found

    def _first_image(self, topic: str, decode: Callable[[Any, str], np.ndarray]) -> tuple[Message, np.ndarray]:
        """Return the first image of a topic that is not damaged, and its pixels; raise the error of the first if the
        next ones are no better.
        """
        for message in islice(self._container.messages([topic]), MOST_DAMAGED):
            with suppress(ValueError):
                return message, decode(message.value, topic)
        first = self._first(topic)
        return first, decode(first.value, topic)

    def _depth_unit(self, depth: np.ndarray, given: float | None) -> float | None:
        """Return metres per step of integer depth: as given, as the RealSense SDK recorded it, or None: millimetres."""
        if given is not None or depth.dtype.kind == "f" or not self._is_realsense:
            return given
        found = realsense.depth_unit(self._container, self._topics.depth)
        if not found:
            raise ValueError(
                f"{self._path.name} does not have the depth unit of its sensor; give --depth-unit 0.001, or 0.0001 for "
                "a D405"
            )
        return found

    def _camera_values(self, image: str, info: str) -> dict[str, Any]:
        """Return K, lens and image size of a camera info message; of a rectified image, its P without a lens."""
        value = self._first(info).value
        values = {
            name.upper(): np.array(getattr(value, name))
            for name in ("K", "k", "D", "d", "P", "p")
            if hasattr(value, name)
        }
        if "rect" in image.rpartition("/")[2] and values["P"].size == 12 and values["P"].any():
            found: dict[str, Any] = {"K": values["P"].reshape(3, 4)[:, :3]}
        else:
            found = {"K": values["K"].reshape(3, 3)}
            if values["D"].any():
                model = realsense.lens_model(self._container, image) if self._is_realsense else None
                found |= {"D": values["D"].tolist(), "distortion_model": model or value.distortion_model}
        if value.width and value.height:
            found |= {"width": int(value.width), "height": int(value.height)}
        return found

    def _is_registered(self, frames: list[str]) -> bool:
        """Return whether depth has the colour camera's view, by its topic or the frame ids of colour and depth."""
        if self._depth_registered or self._is_realsense:
            return self._depth_registered
        if self._topics.says_registered and all(frames) and frames[0] != frames[1]:
            _log.warning(
                "%s: the depth %s is registered to a camera with the frame %r, but %s has %r; if these are two, "
                "choose topics of one with --color-topic and --depth-topic",
                self._path.name, self._topics.depth, frames[1], self._topics.colour, frames[0],
            )  # fmt: skip
        return self._topics.says_registered or (frames[0] == frames[1] and frames[0] != "")

    def _new_registration(self, colour_frame: str, depth_frame: str) -> Registration:
        name, topics = self._path.name, self._topics
        if self._is_realsense:
            T = realsense.T_colour_from_depth(self._container, topics.colour, topics.depth)
            lacks = "the extrinsics between them"
        else:
            T = _T_between(self._transforms(), colour_frame, depth_frame)
            lacks = f"no static transform between their frames {colour_frame!r} and {depth_frame!r} (/tf_static)"
        if topics.depth_info is None:
            lacks, T = f"no camera info of {topics.depth}", None
        if T is None:
            lacks = lacks if lacks.startswith("no ") else f"not {lacks}"
            raise ValueError(
                f"the depth {topics.depth} of {name} is not registered to {topics.colour}, and there is {lacks}; "
                + REMEDY
            )
        values = self._camera_values(topics.depth, topics.depth_info)  # type: ignore[arg-type]
        measured = read_intrinsics({name: values[name] for name in values if name not in ("D", "distortion_model")})
        colour_size, depth_size = self._sizes
        depth_camera = Camera(measured.of_image(*depth_size), *depth_size)
        colour_camera = Camera(self.intrinsics.of_image(*colour_size), *colour_size)
        return Registration(depth_camera, colour_camera, T, _ideal_points(values))

    def _transforms(self) -> dict[str, tuple[str, np.ndarray]]:
        """Return parent frame and T_parent_from_child (4, 4) by child frame."""
        found = {}
        topics = [topic for topic, kind in self._container.topics.items() if kind == "TFMessage" and "static" in topic]
        for message in self._container.messages(topics):
            for stamped in message.value.transforms:
                T, rotation, shift = np.eye(4), stamped.transform.rotation, stamped.transform.translation
                T[:3, :3] = Rotation.from_quat([rotation.x, rotation.y, rotation.z, rotation.w]).as_matrix()
                T[:3, 3] = shift.x, shift.y, shift.z
                found[stamped.child_frame_id.lstrip("/")] = stamped.header.frame_id.lstrip("/"), T
        return found


def _T_between(transforms: dict[str, tuple[str, np.ndarray]], to: str, start: str) -> np.ndarray | None:
    """Return T_to_from_start (4, 4) in a tree of frames, None if they are not connected."""
    ways = []
    for frame in (to, start):
        frame, T, seen = frame.lstrip("/"), np.eye(4), dict[str, np.ndarray]()
        while frame not in seen:
            seen[frame] = T
            if frame not in transforms:
                break
            parent, step = transforms[frame]
            frame, T = parent, step @ T
        ways.append(seen)
    shared = next((frame for frame in ways[0] if frame in ways[1]), None)
    return None if shared is None else np.linalg.inv(ways[0][shared]) @ ways[1][shared]


def _ideal_points(camera: dict[str, Any]) -> PointMap | None:
    """Return the map from points of a distorted depth image to ideal ones, None without distortion."""
    if "D" not in camera:
        return None
    lens = lens_of(camera["distortion_model"], camera["D"])
    opposite: dict[str, Literal["brown", "inverse"]] = {"brown": "inverse", "inverse": "brown"}
    if lens is None or lens.model not in opposite:
        raise ValueError(f"depth with the lens model {camera['distortion_model']} cannot be moved to colour; {REMEDY}")
    return Lens(opposite[lens.model], lens.coefficients).distort


def _stamp(message: Any) -> int:
    """Return the time of an image message in ns, 0 where it was not set; of ROS and Foxglove."""
    stamp = message.timestamp if hasattr(message, "timestamp") else message.header.stamp
    if hasattr(stamp, "seconds"):
        return stamp.seconds * 10**9 + stamp.nanos
    return stamp.sec * 10**9 + stamp.nanosec


def _frame_id(message: Any) -> str:
    return message.frame_id if hasattr(message, "frame_id") else message.header.frame_id
