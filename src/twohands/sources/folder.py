"""A folder of pictures: `rgb/*`, `depth/*` and the intrinsics, paired by file stem."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twohands import files
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
    """Frames of a folder in sorted order of their stems.

    Raises FileNotFoundError or ValueError at once when the folder cannot be used; a single unreadable frame raises
    only when it is opened.
    """

    def __init__(self, folder: str | Path, depth_unit: float | None = None, intrinsics: Any = None):
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"folder {folder} does not exist; give a folder with rgb/, depth/ and cam_K.txt")
        self.depth_unit = depth_unit
        self.colour = _by_stem(_subfolder(folder, COLOUR_FOLDERS), files.COLOUR_SUFFIXES)
        if not self.colour:
            raise ValueError(f"{folder} has no colour image in rgb/; put PNG or JPEG files there")
        self.depth = _by_stem(_subfolder(folder, DEPTH_FOLDERS), files.DEPTH_SUFFIXES)
        if not set(self.colour) & set(self.depth):
            raise ValueError(f"{folder} has no depth image with the stem of a colour image; name the pairs alike")
        self.intrinsics = files.intrinsics_matrix(files.read_intrinsics(intrinsics or _intrinsics_file(folder)))
        self.folder = folder
        self.ids = sorted(self.colour)

    def __len__(self) -> int:
        return len(self.ids)

    def open(self, frame_id: str) -> tuple[RGBDFrame, float]:
        """The frame with this stem and its depth unit; FileNotFoundError or ValueError when it cannot be read."""
        if frame_id not in self.depth:
            raise FileNotFoundError(f"no depth image with the stem {frame_id}; add it or remove the colour image")
        return open_frame(self.colour[frame_id], self.depth[frame_id], self.intrinsics, self.depth_unit)


def open_frame(
    rgb: str | Path, depth: str | Path, intrinsics: Any, depth_unit: float | None = None
) -> tuple[RGBDFrame, float]:
    """A frame from files, as `RGBDFrame.open`, and the depth unit in metres with which it was read."""
    colour, measured = files.read_rgb(rgb), files.read_depth(depth)
    unit = files.effective_depth_unit(measured, depth_unit)
    return RGBDFrame.from_arrays(colour, measured, files.read_intrinsics(intrinsics), unit), unit


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
