"""Read folders of the iPhone application Stray Scanner: a colour video, and depth and confidence images beside it.

`rgb.mp4`, `depth/000000.png` (uint16 millimetres) and `confidence/000000.png` (0 to 2) of the LiDAR's size,
`camera_matrix.csv` for the size of the video, `odometry.csv` with the time stamp of every frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twohands import files
from twohands.arrays import is_same_aspect
from twohands.intrinsics import read_intrinsics
from twohands.sources.common import decode_plane, drop_uncertain, require
from twohands.sources.source import Entry
from twohands.sources.times import table_rows
from twohands.sources.video import images_of, open_video, packets_of
from twohands.types import RGBDFrame

VIDEOS = ("rgb.mp4", "rgb.mov", "rgb.MOV", "rgb.m4v")
"""Names of the colour video."""


def is_stray(path: str | Path) -> bool:
    """Return whether a folder has a colour video beside a folder of depth images."""
    path = Path(path)
    return (path / "depth").is_dir() and any((path / name).is_file() for name in VIDEOS)


class StrayScanner:
    """Frames of a Stray Scanner folder: image N of the video with the depth image of number N.

    Raises FileNotFoundError or ValueError at once when the recording cannot be used. A frame without depth raises only
    when it is opened. A video that was cut off ends where it is cut.
    """

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._av = require("av", "video", "Colour videos")
        video = next((name for name in VIDEOS if (self._path / name).is_file()), None)
        if video is None:
            raise FileNotFoundError(f"{path} has no rgb.mp4; give the whole folder of the recording")
        self._video = self._path / video
        self.intrinsics = read_intrinsics(
            files.existing(self._path / "camera_matrix.csv", "intrinsics", "; export the whole folder from the phone")
        )
        self._depth, self._confidence = _numbered(self._path / "depth"), _numbered(self._path / "confidence")
        if not self._depth:
            raise FileNotFoundError(f"{path} has no images in depth/; export the whole folder from the phone")
        self._seconds = _times(self._path / "odometry.csv")
        with open_video(self._av, self._video) as container:
            self._size = (container.streams.video[0].width, container.streams.video[0].height)
            self._frames = container.streams.video[0].frames

    @property
    def about(self) -> str:
        """Sizes and number of images."""
        width, height = self._size
        return f"Stray Scanner, video {width}x{height}, {len(self._depth)} depth images in millimetres"

    @property
    def length(self) -> int | None:
        """Number of images that the video's header states."""
        return self._frames or None

    def __iter__(self) -> Iterator[Entry]:
        with open_video(self._av, self._video) as container:
            times = [
                packet.pts
                for packet in packets_of(self._av, container)
                if packet.pts is not None and not packet.is_discard
            ]
        number_of = {time: number for number, time in enumerate(sorted(times))}
        with open_video(self._av, self._video) as container:
            for image in images_of(self._av, container):
                number = number_of[image.pts]  # the decoder leaves out what it cannot decode
                yield Entry(f"{number:06d}", self._seconds.get(number), partial(self._open, number, image))

    def _open(self, number: int, image: Any) -> RGBDFrame:
        if number not in self._depth:
            raise FileNotFoundError(f"{self._path} has no depth image {number:06d}; the phone did not store it")
        rgb, depth = image.to_ndarray(format="rgb24"), files.read_depth(self._depth[number])
        (height, width), (rows, columns) = rgb.shape[:2], depth.shape
        if not is_same_aspect((width, height), (columns, rows)):
            raise ValueError(
                f"{self._video.name} has {width}x{height} pixels but depth {columns}x{rows}, another view: the "
                "video was turned or cropped after recording; give the one that the phone wrote"
            )
        if number in self._confidence:
            path = self._confidence[number]
            depth = drop_uncertain(depth, decode_plane(path.read_bytes(), str(path)), f"depth image {number:06d}")
        return RGBDFrame.from_arrays(rgb, depth, self.intrinsics, depth_unit=0.001, depth_registered=True)


def _numbered(folder: Path) -> dict[int, Path]:
    """Return the PNG files of a folder by their number; none without the folder."""
    found = folder.glob("*.png") if folder.is_dir() else ()
    return {int(path.stem): path for path in found if path.stem.isdecimal()}


def _times(path: Path) -> dict[int, float]:
    """Return the time stamps in seconds by frame number; none without the file."""
    if not path.is_file():
        return {}
    fix = "export it again or remove it"
    rows = table_rows(path, fix)
    try:
        return {int(row["frame"]): float(row["timestamp"]) for row in rows}
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path} has no columns timestamp, frame with numbers; {fix}") from None
