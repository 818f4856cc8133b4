"""Choose the topics of colour, depth and camera info among those of a recording, by their types and names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

IMAGES = ("Image", "RawImage", "CompressedImage")
INFOS = ("CameraInfo", "CameraCalibration")
UNREAD = {
    "Packet": "Theora video",
    "FFMPEGPacket": "video",
    "CompressedVideo": "video",
    "DisparityImage": "disparity",
}
"""Types of messages with images that are not read, and what they are."""
TRANSPORT = re.compile(r"/(compressed|compressedDepth)$")
"""End of a topic that has the same images in another code."""
REGISTERED = re.compile(r"aligned_depth|depth_aligned|depth_to_(?:colou?r|rgb)|registered", re.IGNORECASE)
"""Names of depth that is registered to colour: RealSense, Orbbec, Azure Kinect, ZED and OpenNI."""
SECOND_CHOICE = re.compile(r"(?:colou?r|rgb)_to_depth|rect|mono", re.IGNORECASE)
"""Names of colour images that were made from those of the camera."""
NAMED_COLOUR = re.compile(r"colou?r|rgb", re.IGNORECASE)
NOT_COLOUR = re.compile(r"(?:^|[/_])(?:ir|infra|fisheye|confidence|mask|disparity|thermal)", re.IGNORECASE)
MOST_LISTED = 12
"""Largest number of topics that a sentence lists."""


@dataclass(frozen=True)
class Topics:
    """The topics that are read."""

    colour: str
    depth: str
    colour_info: str | None  # None where the user gives the intrinsics
    depth_info: str | None

    @property
    def says_registered(self) -> bool:
        """True if the name of the depth topic says that it is registered to colour."""
        return bool(REGISTERED.search(self.depth))


def choose_topics(
    name: str,
    types: Mapping[str, str],
    colour: str | None = None,
    depth: str | None = None,
    info: str | None = None,
    needs_info: bool = True,
) -> Topics:
    """Return the topics to read among those of a recording (type by topic); `name` is that of the recording.

    Topics that are given are taken. Raise ValueError with the topics that there are and the option that chooses when
    colour, depth or camera info is missing, or several cameras have them.
    """
    for given, kinds in ((colour, IMAGES), (depth, IMAGES), (info, INFOS)):
        if given is not None and given not in types:
            raise ValueError(f"{name} has no topic {given}; it has {_listed(types)}")
        if given is not None and types[given] not in kinds:
            raise ValueError(f"topic {given} of {name} has messages {types[given]}; choose one with {kinds[0]}")
    images = [topic for topic, kind in types.items() if kind in IMAGES]
    depths = [topic for topic in images if _is_depth(topic)] if depth is None else [depth]
    colours = [topic for topic in images if _is_colour(topic) and topic != depth] if colour is None else [colour]
    if not depths:
        raise ValueError(
            f"{name} has no depth images; record depth too, or choose it with --depth-topic: "
            + _found(types, lambda topic: _is_depth(topic) or types[topic] == "DisparityImage", "compressedDepth")
        )
    if not colours:
        raise ValueError(
            f"{name} has no colour images; record colour too, or choose it with --color-topic: "
            + _found(types, _is_colour, "compressed (JPEG)")
        )
    beside = [topic for topic in colours if any(_shared(topic, other) for other in depths)]
    colour = _only(name, "colour", "--color-topic", _best(beside or colours, _colour_rank))
    closest = max(_shared(colour, topic) for topic in depths)
    near = [topic for topic in depths if _shared(colour, topic) == closest]
    depth = _only(name, "depth", "--depth-topic", _best(near, _depth_rank))
    if info is None and needs_info:
        info = _info_of(colour, types)
        if info is None:
            others = [topic for topic, kind in types.items() if kind in INFOS]
            raise ValueError(
                f"{name} has no camera info of {colour}{' (but ' + _listed(others) + ')' if others else ''}; record "
                f"{_folder(colour)}/camera_info too, choose it with --info-topic, or give --intrinsics fx,fy,cx,cy"
            )
    return Topics(colour, depth, info, _info_of(depth, types))


def _is_depth(topic: str) -> bool:
    base = TRANSPORT.sub("", topic)
    return "depth" in base.lower() and not re.search(r"(?:colou?r|rgb)_to_depth", base) and not NOT_COLOUR.search(base)


def _is_colour(topic: str) -> bool:
    return not topic.endswith("/compressedDepth") and not _is_depth(topic) and not NOT_COLOUR.search(topic)


def _colour_rank(topic: str) -> tuple[bool, bool]:
    return not NAMED_COLOUR.search(topic), bool(SECOND_CHOICE.search(topic))


def _depth_rank(topic: str) -> tuple[bool]:
    return (not REGISTERED.search(topic),)


def _best(topics: list[str], rank: Callable[[str], tuple[bool, ...]]) -> list[str]:
    lowest = min(rank(topic) for topic in topics)
    return [topic for topic in topics if rank(topic) == lowest]


def _only(name: str, kind: str, option: str, topics: list[str]) -> str:
    """Return the topic, or of one image in several codes the one that costs least; raise ValueError for several."""
    if len({TRANSPORT.sub("", topic) for topic in topics}) > 1:
        raise ValueError(f"{name} has several topics with {kind}: {_listed(topics)}; choose one with {option}")
    return min(topics, key=lambda topic: (bool(TRANSPORT.search(topic)), not topic.endswith("Depth"), topic))


def _info_of(image: str, types: Mapping[str, str]) -> str | None:
    """Return the camera info in the folder of an image's topic, or in the nearest one around it."""
    found = [topic for topic, kind in types.items() if kind in INFOS and f"{image}/".startswith(_camera_of(topic))]
    return max(found, key=lambda topic: len(_camera_of(topic)), default=None)


def _camera_of(info: str) -> str:
    """Return the folder with images that a topic of camera info is about, with its last slash."""
    return re.sub(r"(?:info/)?[^/]*$", "", info)


def _folder(topic: str) -> str:
    return TRANSPORT.sub("", topic).rpartition("/")[0]


def _shared(a: str, b: str) -> int:
    """Return the number of leading parts that two topics have in common."""
    pairs = zip(a.strip("/").split("/"), b.strip("/").split("/"), strict=False)
    return next((count for count, (x, y) in enumerate(pairs) if x != y), 0)


def _found(types: Mapping[str, str], is_wanted: Callable[[str], bool], instead: str) -> str:
    """Return which images there are, and which ones of the wanted kind are not read, with what to record instead."""
    images = [topic for topic, kind in types.items() if kind in IMAGES]
    unread = [f"{topic} ({UNREAD[kind]})" for topic, kind in types.items() if kind in UNREAD and is_wanted(topic)]
    there = f"its images are {_listed(images)}" if images else f"it has {_listed(types)}"
    return f"{there}; not read is {_listed(unread)}: record it raw or as {instead}" if unread else there


def _listed(topics: Iterable[str]) -> str:
    names = sorted(topics)
    rest = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    return (", ".join(names[:MOST_LISTED]) or "no topics") + rest
