"""Read a folder of pictures: `rgb/*` and `depth/*`, paired by file stem, and the intrinsics."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from twohands import files
from twohands.intrinsics import read_intrinsics
from twohands.types import RGBDFrame

COLOUR_FOLDERS = ("rgb", "color")
DEPTH_FOLDERS = ("depth",)
INTRINSICS_FILES = (
    "cam_K.txt",
    "K.txt",
    "intrinsics.txt",
    "camera_intrinsic.json",
    "camera_intrinsics.json",
    "intrinsics.json",
    "intrinsics.npy",
)


class FolderRecording:
    """Frames of a folder in the order of the numbers in their stems.

    Raises FileNotFoundError or ValueError at once when the folder cannot be used; a single unreadable frame raises
    only when it is opened. Intrinsics without an image size are taken to have the size of the first image.
    """

    def __init__(self, folder: str | Path, depth_unit: float | None = None, intrinsics: Any = None):
        folder = Path(folder)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; give a folder with rgb/, depth/ and cam_K.txt")
        if not folder.is_dir():
            raise FileNotFoundError(f"folder {folder} does not exist; give a folder with rgb/, depth/ and cam_K.txt")
        self.depth_unit = depth_unit
        self.colour = _by_stem(_subfolder(folder, COLOUR_FOLDERS), files.COLOUR_SUFFIXES)
        if not self.colour:
            raise ValueError(f"{folder} has no colour image in rgb/; put PNG or JPEG files there")
        self.depth = _by_stem(_subfolder(folder, DEPTH_FOLDERS), files.DEPTH_SUFFIXES)
        if not set(self.colour) & set(self.depth):
            raise ValueError(f"{folder} has no depth image with the stem of a colour image; name the pairs alike")
        self.folder = folder
        self.ids = sorted(self.colour, key=_in_order)
        found = read_intrinsics(_intrinsics_file(folder) if intrinsics is None else intrinsics)
        self.intrinsics = replace(found, size=found.size or self._first_size())

    def __len__(self) -> int:
        return len(self.ids)

    def open(self, frame_id: str) -> tuple[RGBDFrame, float]:
        """Return the frame with this stem and its depth unit; raise FileNotFoundError or ValueError if unreadable."""
        if frame_id not in self.depth:
            raise FileNotFoundError(f"no depth image with the stem {frame_id}; add it or remove the colour image")
        return open_frame(self.colour[frame_id], self.depth[frame_id], self.intrinsics, self.depth_unit)

    def state(self, frame_id: str) -> np.ndarray:
        """Return (2, 2) int64: bytes and time of change in ns of the colour and of the depth file; 0 if missing."""
        paths = [folder.get(frame_id) for folder in (self.colour, self.depth)]
        found = [path.stat() if path is not None and path.exists() else None for path in paths]
        return np.array([(stat.st_size, stat.st_mtime_ns) if stat else (0, 0) for stat in found], dtype=np.int64)

    def _first_size(self) -> tuple[int, int] | None:
        """Return width and height of the first readable image."""
        for frame_id in self.ids:
            try:
                return files.image_size(self.colour[frame_id])
            except ValueError:
                continue
        return None


def open_frame(
    rgb: str | Path, depth: str | Path, intrinsics: Any, depth_unit: float | None = None
) -> tuple[RGBDFrame, float]:
    """Read a frame from files like `RGBDFrame.open`; return it and the depth unit in metres with which it was read."""
    colour, measured = files.read_rgb(rgb), files.read_depth(depth)
    found = read_intrinsics(intrinsics)
    unit = found.unit_of(measured, depth_unit)
    return RGBDFrame.from_arrays(colour, measured, found, unit), unit


def _in_order(stem: str) -> tuple[list[str | Decimal], str]:
    """Return a key that sorts stems by the numbers in them, 2 before 10 and 0.25 before 0.5."""
    parts = re.split(r"(\d+(?:\.\d+)?)", stem)  # texts and numbers alternate
    return [Decimal(part) if place % 2 else part for place, part in enumerate(parts)], stem


def _subfolder(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).is_dir():
            return folder / name
    raise ValueError(f"{folder} has no folder {' or '.join(f'{name}/' for name in names)}; put the images there")


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    images = [path for path in folder.iterdir() if path.suffix.lower() in suffixes and not path.name.startswith(".")]
    found = {path.stem: path for path in images}
    if len(found) < len(images):
        twice = next(path for path in images if found[path.stem] != path)
        raise ValueError(f"{folder} has two images with the stem {twice.stem}; remove one")
    return found


def _intrinsics_file(folder: Path) -> Path:
    for name in INTRINSICS_FILES:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has no cam_K.txt; write the colour camera's 3x3 intrinsics there")
