"""Choices of how frames are read, shared by the commands that take a frame or a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal[
    "folder",
    "ros",
    "azure-kinect",
    "record3d",
    "stray-scanner",
    "arkit",
    "bop",
    "lerobot",
    "arrays",
    "realsense",
    "orbbec",
]
"""Kinds of recordings; `ros` stands for MCAP and RealSense's .bag and .db3 as well. The last two are cameras."""


@dataclass(frozen=True)
class FrameOptions:
    """Choices for frames that do not say everything themselves."""

    depth_unit: float | None = None
    """Metres of one depth step; default 1 for floats, for integers depth_scale of the intrinsics or 0.001."""
    depth_registered: bool = False
    """Depth of another size shows the view of colour (phones with LiDAR): scale it to colour's size."""
    mirrored: bool = False
    """Colour, depth and intrinsics are of a mirrored image: undo it. Nothing warns of one mirrored as a whole."""


@dataclass(frozen=True)
class SourceOptions(FrameOptions):
    """Choices for recordings that do not say everything themselves."""

    intrinsics: str | None = None
    """Intrinsics of the colour camera to use instead of the recording's: a file, or fx,fy,cx,cy."""
    source: Kind | None = None
    """Kind of the recording; by default it is recognised by its content. ros is for MCAP and RealSense as well."""
    fps: float | None = None
    """Frames per second, which gives the time stamps where the recording has none."""
    seconds: float | None = None
    """Seconds after which a camera is stopped; without it Ctrl-C stops it."""
    color_topic: str | None = None
    """Topic of the colour images of a bag, or key of those of a LeRobot data set with several cameras."""
    depth_topic: str | None = None
    """Topic of the depth images of a bag."""
    info_topic: str | None = None
    """Topic of the CameraInfo of the colour camera of a bag."""
    episode: int | None = None
    """Number of the episode of a LeRobot data set."""
    max_delay: float | None = None
    """Largest difference between the time stamps of the two images of a pair of a bag, in seconds."""
