"""Read a recording: a folder of colour and depth images with the intrinsics, named as in `layouts`."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twohands import files
from twohands.arrays import DepthSizeError
from twohands.intrinsics import read_intrinsics
from twohands.sources.layouts import find_intrinsics, find_layout, is_tum
from twohands.sources.source import Entry
from twohands.types import RGBDFrame

SIZE_SAMPLES = 25
"""Number of images, evenly spread, that decide about the image size of a recording."""


class FolderRecording:
    """Frames of a folder in the order of the numbers in their stems.

    Raises FileNotFoundError or ValueError at once when the folder cannot be used; a single unreadable frame raises
    only when it is opened. Intrinsics without an image size are taken to have the size of most images.
    """

    def __init__(
        self,
        folder: str | Path,
        depth_unit: float | None = None,
        intrinsics: Any = None,
        depth_registered: bool = False,
        mirrored: bool = False,
    ):
        folder = Path(folder)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; give a folder with rgb/, depth/ and cam_K.txt")
        if not folder.is_dir():
            raise FileNotFoundError(f"folder {folder} does not exist; give a folder with rgb/, depth/ and cam_K.txt")
        self.depth_unit, self.depth_registered, self.mirrored = depth_unit, depth_registered, mirrored
        self.layout = find_layout(folder)
        self.colour, self.depth = self.layout.colour, self.layout.depth
        if depth_unit is None and is_tum(folder):
            raise ValueError(
                f"{folder}/depth.txt says that this is a recording like TUM's, where a depth step is mostly 1/5000 m; "
                "pass --depth-unit 0.0002, or 0.001 for millimetres"
            )
        self.folder = folder
        self.ids = sorted(self.colour, key=_in_order)
        found = read_intrinsics(find_intrinsics(folder) if intrinsics is None else intrinsics)
        self.intrinsics = replace(found, size=found.size or self._usual_size())

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def about(self) -> str:
        """Kind and content of the recording in one sentence."""
        return f"folder of {len(self)} images"

    @property
    def length(self) -> int | None:
        """Number of frames."""
        return len(self)

    def __iter__(self) -> Iterator[Entry]:
        for frame_id in self.ids:
            yield Entry(frame_id, None, partial(self._frame, frame_id))

    def _frame(self, frame_id: str) -> RGBDFrame:
        return self.open(frame_id)[0]

    def open(self, frame_id: str) -> tuple[RGBDFrame, float]:
        """Return the frame with this stem and its depth unit; raise FileNotFoundError or ValueError if unreadable."""
        if frame_id not in self.depth:
            raise FileNotFoundError(f"no depth image {self.layout.rule} {frame_id}; add it or remove the colour image")
        paths = self.colour[frame_id], self.depth[frame_id]
        return open_frame(*paths, self.intrinsics, self.depth_unit, self.depth_registered, self.mirrored)

    def state(self, frame_id: str) -> np.ndarray:
        """Return (2, 2) int64: bytes and time of change in ns of the colour and of the depth file; 0 if missing."""
        paths = [folder.get(frame_id) for folder in (self.colour, self.depth)]
        found = [path.stat() if path is not None and path.exists() else None for path in paths]
        return np.array([(stat.st_size, stat.st_mtime_ns) if stat else (0, 0) for stat in found], dtype=np.int64)

    def _usual_size(self) -> tuple[int, int] | None:
        """Return width and height of most images in a sample, so that the frames that are refused are the odd ones."""
        sizes: Counter[tuple[int, int]] = Counter()
        for frame_id in self.ids[:: math.ceil(len(self.ids) / SIZE_SAMPLES)]:
            with suppress(ValueError, FileNotFoundError):
                sizes[files.image_size(self.colour[frame_id])] += 1
        return sizes.most_common(1)[0][0] if sizes else None


def open_frame(
    rgb: str | Path,
    depth: str | Path,
    intrinsics: Any,
    depth_unit: float | None = None,
    depth_registered: bool = False,
    mirrored: bool = False,
) -> tuple[RGBDFrame, float]:
    """Read a frame from files like `RGBDFrame.open`; return it and the depth unit in metres with which it was read.

    Errors name the options of the command line.
    """
    colour, measured = files.read_rgb(rgb), files.read_depth(depth)
    found = read_intrinsics(intrinsics)
    unit = found.unit_of(measured, depth_unit)
    try:
        return RGBDFrame.from_arrays(colour, measured, found, unit, depth_registered, mirrored), unit
    except DepthSizeError as error:
        raise ValueError(error.remedy("--depth-registered")) from None


def _in_order(stem: str) -> tuple[list[str | Decimal], str]:
    """Return a key that sorts stems by the numbers in them, 2 before 10 and 0.25 before 0.5."""
    parts = re.split(r"(\d+(?:\.\d+)?)", stem)  # texts and numbers alternate
    return [Decimal(part) if place % 2 else part for place, part in enumerate(parts)], stem
