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
    """Metres per depth step; default: 1 for floats; for integers the depth_scale of the intrinsics, or 0.001."""
    depth_registered: bool = False
    """Depth of another size already shows the colour camera's view (phones with LiDAR): scale it to that image."""
    mirrored: bool = False
    """Undo mirroring of colour, depth and intrinsics together, which no check can detect."""


@dataclass(frozen=True)
class SourceOptions(FrameOptions):
    """Choices for recordings that do not say everything themselves."""

    intrinsics: str | None = None
    """Intrinsics of the colour camera in place of the recording's: a file, or fx,fy,cx,cy."""
    source: Kind | None = None
    """Kind of the recording; by default it is recognised by its content. ros includes MCAP and RealSense files."""
    fps: float | None = None
    """Frames per second, for recordings without time stamps."""
    seconds: float | None = None
    """Seconds after which a camera is stopped; by default it runs until Ctrl-C."""
    color_topic: str | None = None
    """Topic of the colour images of a bag, or key of the colour stream of a LeRobot data set with several cameras."""
    depth_topic: str | None = None
    """Topic of the depth images of a bag."""
    info_topic: str | None = None
    """Topic of the CameraInfo of the colour camera of a bag."""
    episode: int | None = None
    """Number of the episode of a LeRobot data set."""
    max_delay: float | None = None
    """Largest time difference of colour and depth in a bag, in seconds; by default half a frame period."""
