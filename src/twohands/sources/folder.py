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

from twohands import files
from twohands.arrays import DepthSizeError
from twohands.intrinsics import read_intrinsics
from twohands.sources.layouts import find_intrinsics, find_layout, is_tum
from twohands.sources.source import Entry
from twohands.sources.times import read_times
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
    ):
        folder = Path(folder)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; give a folder with rgb/, depth/ and cam_K.txt")
        if not folder.is_dir():
            raise FileNotFoundError(f"folder {folder} does not exist; give a folder with rgb/, depth/ and cam_K.txt")
        self.depth_unit, self.depth_registered = depth_unit, depth_registered
        self.layout = find_layout(folder)
        self.colour, self.depth = self.layout.colour, self.layout.depth
        if depth_unit is None and is_tum(folder):
            raise DepthUnitError(
                f"{folder}/depth.txt says that this is a recording like TUM's, where a depth step is mostly 1/5000 m; "
                "pass --depth-unit 0.0002, or 0.001 for millimetres"
            )
        self.folder = folder
        self.ids = sorted(self.colour, key=_in_order)
        found = read_intrinsics(find_intrinsics(folder) if intrinsics is None else intrinsics)
        self.intrinsics = replace(found, size=found.size or self._usual_size())
        self.seconds = self.layout.seconds | read_times(folder)

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
            files = [images[frame_id] for images in (self.colour, self.depth) if frame_id in images]
            yield Entry(frame_id, self.seconds.get(frame_id), partial(self.open, frame_id), tuple(files))

    def open(self, frame_id: str) -> RGBDFrame:
        """Return the frame with this stem; raise FileNotFoundError or ValueError if it cannot be read."""
        if frame_id not in self.depth:
            raise FileNotFoundError(f"no depth image {self.layout.rule} {frame_id}; add it or remove the colour image")
        paths = self.colour[frame_id], self.depth[frame_id]
        return open_frame(*paths, self.intrinsics, self.depth_unit, self.depth_registered)

    def _usual_size(self) -> tuple[int, int] | None:
        """Return width and height of most images in a sample, so that the frames that are refused are the odd ones."""
        sizes: Counter[tuple[int, int]] = Counter()
        for frame_id in self.ids[:: math.ceil(len(self.ids) / SIZE_SAMPLES)]:
            with suppress(ValueError, FileNotFoundError):
                sizes[files.image_size(self.colour[frame_id])] += 1
        return sizes.most_common(1)[0][0] if sizes else None


class DepthUnitError(ValueError):
    """Error for a recording whose depth unit is in none of its files."""


def open_frame(
    rgb: str | Path,
    depth: str | Path,
    intrinsics: Any,
    depth_unit: float | None = None,
    depth_registered: bool = False,
    mirrored: bool = False,
) -> RGBDFrame:
    """Return a frame from files like `RGBDFrame.open`; errors name the options of the command line."""
    try:
        return RGBDFrame.open(rgb, depth, intrinsics, depth_unit, depth_registered, mirrored)
    except DepthSizeError as error:
        raise ValueError(error.remedy("--depth-registered")) from None


def _in_order(stem: str) -> tuple[list[str | Decimal], str]:
    """Return a key that sorts stems by the numbers in them, 2 before 10 and 0.25 before 0.5."""
    parts = re.split(r"(\d+(?:\.\d+)?)", stem)  # texts and numbers alternate
    return [Decimal(part) if place % 2 else part for place, part in enumerate(parts)], stem
