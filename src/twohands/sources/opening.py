"""Open any recording: its kind is recognised by its content."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from twohands.sources.arrays import ArrayFrames, is_arrays
from twohands.sources.azure_kinect import AzureKinect, is_azure_kinect
from twohands.sources.bop import BopScene, is_bop
from twohands.sources.folder import FolderRecording
from twohands.sources.record3d import Record3D, is_record3d
from twohands.sources.ros import RosRecording
from twohands.sources.ros_files import is_ros
from twohands.sources.source import Source
from twohands.sources.stray import StrayScanner, is_stray

KNOWN = (
    "ROS 1 and 2 bags, MCAP, RealSense .bag and .db3, Azure Kinect .mkv, Record3D .r3d, .npz, .npy and pickled arrays, "
    "and folders of these, of Stray Scanner, of BOP, or with rgb/, depth/ and cam_K.txt"
)


@dataclass(frozen=True)
class SourceOptions:
    """Choices for recordings that do not say everything themselves."""

    depth_unit: float | None = None
    """Metres of one depth step, where the recording does not state it."""
    intrinsics: str | None = None
    """Intrinsics of the colour camera, where the recording has none: a file, or fx,fy,cx,cy."""
    color_topic: str | None = None
    """Topic of the colour images of a bag."""
    depth_topic: str | None = None
    """Topic of the depth images of a bag."""
    info_topic: str | None = None
    """Topic of the colour camera's CameraInfo of a bag."""
    max_delay: float | None = None
    """Largest difference in seconds between the time stamps of a colour and a depth image of a bag."""


def open_source(path: str | Path, options: SourceOptions | None = None) -> Source:
    """Return the frames of a recording: a bag, a file of a recorder, arrays, or a folder.

    Raise FileNotFoundError or ValueError with the fix when it cannot be used, also for options that its kind does not
    take.
    """
    path, options = Path(path), options or SourceOptions()
    if not os.path.exists(path):
        raise FileNotFoundError(f"recording {path} does not exist; check the path")
    for recognise, read in ((is_bop, BopScene), (is_stray, StrayScanner), (is_record3d, Record3D)):
        if recognise(path):
            _refuse_all(options, path)
            return read(path)
    if is_azure_kinect(path):
        _refuse_all(options, path)
        return AzureKinect(path)
    if is_ros(path):
        topics = options.color_topic, options.depth_topic, options.info_topic
        return RosRecording(path, *topics, options.intrinsics, options.depth_unit, options.max_delay)
    _refuse(options, ("color_topic", "depth_topic", "info_topic", "max_delay"), path)
    if is_arrays(path):
        return ArrayFrames(path, options.depth_unit, options.intrinsics)
    if path.is_file():
        raise ValueError(f"{path} is no recording of a known kind; known are {KNOWN}")
    return FolderRecording(path, options.depth_unit, options.intrinsics)


def _refuse_all(options: SourceOptions, path: Path) -> None:
    _refuse(options, tuple(vars(options)), path)


def _refuse(options: SourceOptions, names: tuple[str, ...], path: Path) -> None:
    """Raise ValueError for the first of these options that is given."""
    for name in names:
        if getattr(options, name) is not None:
            raise ValueError(f"{path} takes no --{name.replace('_', '-')}; leave it out")
