"""Open any recording: its kind is recognised by its content."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from twohands.sources.adjusted import Adjusted
from twohands.sources.arkit import ARKitScan, is_arkit
from twohands.sources.arrays import ArrayFrames, is_arrays
from twohands.sources.azure_kinect import AzureKinect, is_azure_kinect
from twohands.sources.bop import BopScene, is_bop
from twohands.sources.folder import FolderRecording
from twohands.sources.lerobot import LeRobotEpisode, is_lerobot
from twohands.sources.live import Camera, LiveFrames
from twohands.sources.live_orbbec import OrbbecCamera
from twohands.sources.live_realsense import RealSenseCamera
from twohands.sources.options import Kind, SourceOptions
from twohands.sources.record3d import Record3D, is_record3d
from twohands.sources.ros import RosRecording
from twohands.sources.ros_files import is_ros
from twohands.sources.source import Source
from twohands.sources.stray import StrayScanner, is_stray
from twohands.sources.unknown import what_it_is

KNOWN = (
    "ROS 1 and 2 bags, MCAP, RealSense .bag and .db3, Azure Kinect .mkv, Record3D .r3d, .npz, .npy and pickled arrays, "
    "LeRobot data sets, and folders of these, of Stray Scanner, 3D Scanner App and Polycam, of BOP, or with rgb/, "
    "depth/ and cam_K.txt"
)


class _Reader(NamedTuple):
    """Reader of one kind of recordings."""

    recognises: Callable[[Path], bool]
    read: Callable[[Path, SourceOptions], Source]
    takes: tuple[str, ...] = ()  # options that not every kind takes


def _ros(path: Path, options: SourceOptions) -> Source:
    topics = options.color_topic, options.depth_topic, options.info_topic
    unit, delay = options.depth_unit, options.max_delay
    return RosRecording(path, *topics, options.intrinsics, unit, delay, options.depth_registered)


def _lerobot(path: Path, options: SourceOptions) -> Source:
    return LeRobotEpisode(path, options.episode, options.color_topic, options.intrinsics, options.depth_registered)


_IMAGES = ("depth_unit", "intrinsics", "depth_registered")
_READERS: dict[Kind, _Reader] = {
    "bop": _Reader(is_bop, lambda path, _: BopScene(path)),
    "lerobot": _Reader(is_lerobot, _lerobot, ("episode", "color_topic", "intrinsics", "depth_registered")),
    "stray-scanner": _Reader(is_stray, lambda path, _: StrayScanner(path)),
    "arkit": _Reader(is_arkit, lambda path, _: ARKitScan(path)),
    "record3d": _Reader(is_record3d, lambda path, _: Record3D(path)),
    "azure-kinect": _Reader(is_azure_kinect, lambda path, _: AzureKinect(path)),
    "ros": _Reader(is_ros, _ros, (*_IMAGES, "color_topic", "depth_topic", "info_topic", "max_delay")),
    "arrays": _Reader(
        is_arrays,
        lambda path, options: ArrayFrames(path, options.depth_unit, options.intrinsics, options.depth_registered),
        _IMAGES,
    ),
    "folder": _Reader(
        Path.is_dir,
        lambda path, options: FolderRecording(path, options.depth_unit, options.intrinsics, options.depth_registered),
        _IMAGES,
    ),
}
"""Readers in the order in which they are asked whether they know a recording."""
_CAMERAS: dict[Kind, Callable[[], Camera]] = {"realsense": RealSenseCamera, "orbbec": OrbbecCamera}
"""Cameras that are connected, by the name that stands in place of a recording's path."""


def live_kind(path: str | Path, options: SourceOptions | None = None) -> Kind | None:
    """Return the kind of camera that stands in place of a recording's path, None for a recording.

    A file or folder of such a name is a recording, unless the options have the camera as source.
    """
    chosen = None if options is None else options.source
    if chosen is not None:
        return chosen if chosen in _CAMERAS else None
    return next((kind for kind in _CAMERAS if str(path) == kind and not os.path.exists(path)), None)


def open_source(path: str | Path, options: SourceOptions | None = None) -> Source:
    """Return a recording (a bag, a recorder's file, arrays, a folder) or a camera ("realsense", "orbbec").

    The result is an iterable of entries with `name`, `seconds` (the time stamp or None) and `open()`, which returns the
    `RGBDFrame`; see `sources.source`. Raise FileNotFoundError or ValueError with the fix when the recording cannot be
    used, or when its kind does not take one of the options.
    """
    path, options = Path(path), options or SourceOptions()
    camera = live_kind(path, options)
    if camera is not None:
        _refuse_others(options, ("seconds",), path)
        if options.seconds is not None and not options.seconds > 0:
            raise ValueError(f"--seconds must be more than 0; got {options.seconds:g}")
        return Adjusted(LiveFrames(_CAMERAS[camera](), options.seconds), options.fps, options.mirrored)
    if not os.path.exists(path):
        raise FileNotFoundError(f"recording {path} does not exist; check the path")
    if path.is_file() and not path.stat().st_size:
        raise ValueError(f"{path} is empty (0 bytes); copy or record it again")
    if options.fps is not None and not options.fps > 0:
        raise ValueError(f"--fps must be more than 0; got {options.fps:g}")
    recognised: Kind | None = next((kind for kind, reader in _READERS.items() if reader.recognises(path)), None)
    kind = options.source or recognised
    if kind is None:
        what = what_it_is(path)
        raise ValueError(f"{path} {what}" if what else f"{path} is not a recording of a known kind; known are {KNOWN}")
    reader = _READERS[kind]
    _refuse_others(options, reader.takes, path)
    try:
        source = reader.read(path, options)
    except ValueError as error:
        inside = _recordings_in(path) if kind == "folder" and type(error) is ValueError else []
        if not inside:
            raise
        raise ValueError(f"{error}; or give {inside[0]} in it, which is a recording") from None
    return Adjusted(source, options.fps, options.mirrored)


def _recordings_in(folder: Path) -> list[Path]:
    """Return what a folder holds that is a recording by itself, not images or arrays."""
    readers = [reader for kind, reader in _READERS.items() if kind not in ("folder", "arrays")]
    return [path for path in sorted(folder.iterdir()) if any(reader.recognises(path) for reader in readers)]


def _refuse_others(options: SourceOptions, takes: tuple[str, ...], path: Path) -> None:
    """Raise ValueError for the first option that is given although the recording's kind does not take it."""
    for name, value in vars(options).items():
        if name not in (*takes, "source", "fps", "mirrored") and value is not None and value is not False:
            raise ValueError(f"{path} takes no --{name.replace('_', '-')}; leave it out")
