"""Facts that recordings of the RealSense SDK have beside their images: depth unit, extrinsics, lens model, times.

The SDK wrote ROS 1 bags (`.bag`) before version 2.58 and ROS 2 databases (`.db3`) since. Their topics begin with
`/device_0/sensor_1/Color_0`: device, sensor and stream.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from twohands.sources.ros_files import Container

STREAM = re.compile(r"(/device_\d+/sensor_\d+)/[A-Za-z]+_\d+(?=/)")
"""Beginning of the topics of one stream, and in it that of its sensor."""


def is_realsense(topic: str) -> bool:
    """Return whether a topic is of a stream in a recording of the SDK."""
    return STREAM.match(topic) is not None


def depth_unit(container: Container, depth: str) -> float | None:
    """Return metres per step of the depth topic's sensor, None where the recording does not have it."""
    sensor = STREAM.match(depth)[1]  # type: ignore[index]
    for name in ("Depth_Units", "Depth Units"):
        for message in container.messages([f"{sensor}/option/{name}/value"]):
            return float(message.value.data)
    return None


def T_colour_from_depth(container: Container, colour: str, depth: str) -> np.ndarray | None:
    """Return the transform (4, 4) between the streams of two topics, metres; None where the recording lacks it."""
    transforms = [_T_stream_from_reference(container, topic) for topic in (colour, depth)]
    shared = set(transforms[0]) & set(transforms[1])
    if not shared:
        return None
    reference = min(shared)
    return transforms[0][reference] @ np.linalg.inv(transforms[1][reference])


def lens_model(container: Container, topic: str) -> str | None:
    """Return the SDK's name of a stream's lens model; the camera info of .db3 files calls all of them plumb_bob."""
    stream = STREAM.match(topic)[0]  # type: ignore[index]
    for message in container.messages([f"{stream}/camera_info"]):
        if isinstance(getattr(message.value, "data", None), str):
            return _values(message.value.data).get("model")
    return None


def metadata_topic(container: Container, topic: str) -> str | None:
    """Return the topic with the camera's times of a stream, which in .db3 files are not those in the images."""
    found = f"{STREAM.match(topic)[0]}/image/metadata"  # type: ignore[index]
    return found if container.topics.get(found) == "String" else None


def metadata_stamp(message: Any) -> int | None:
    """Return the camera's time in ns of a metadata message."""
    try:
        return int(Decimal(_values(message.data)["timestamp"]) * 10**6)
    except (KeyError, InvalidOperation):
        return None


def _T_stream_from_reference(container: Container, topic: str) -> dict[str, np.ndarray]:
    """Return transforms (4, 4) from reference streams to that of a topic, by the reference's name."""
    begin = f"{STREAM.match(topic)[0]}/tf/"  # type: ignore[index]
    found = {}
    for message in container.messages([name for name in container.topics if name.startswith(begin)]):
        value, T = message.value, np.eye(4)
        if hasattr(value, "rotation"):
            rotation, shift = value.rotation, value.translation
            T[:3, :3] = Rotation.from_quat([rotation.x, rotation.y, rotation.z, rotation.w]).as_matrix()
            T[:3, 3] = shift.x, shift.y, shift.z
        else:
            values = {name: np.array(text.split(","), float) for name, text in _values(value.data).items()}
            T[:3, :3], T[:3, 3] = values["rotation"].reshape(3, 3).T, values["translation"]  # column by column
        found[message.topic.removeprefix(begin)] = T
    return found


def _values(text: str) -> dict[str, str]:
    """Return the values of a text like `fps=30;encoding=Z16` by name."""
    return dict(part.split("=", 1) for part in text.split(";") if "=" in part)
