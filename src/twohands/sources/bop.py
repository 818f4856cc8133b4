"""Read scenes in the format of the BOP benchmark: `rgb/` or `gray/`, `depth/`, and `scene_camera.json`.

The file has, by image number, `cam_K` (nine numbers, row by row) and `depth_scale` (millimetres per step).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twohands import files
from twohands.intrinsics import Intrinsics, intrinsics_matrix
from twohands.sources.source import Entry
from twohands.types import RGBDFrame
from twohands.values import read_text

CAMERAS = "scene_camera.json"


def is_bop(path: str | Path) -> bool:
    """Return whether a folder is a scene of BOP."""
    return (Path(path) / CAMERAS).is_file()


class BopScene:
    """Frames of a BOP scene in the order of their numbers, each with intrinsics and a depth unit of its own.

    Raises FileNotFoundError or ValueError at once when the scene cannot be used. A frame with a missing file raises
    only when it is opened. BOP has no time stamps.
    """

    intrinsics: Intrinsics | None = None
    """Every frame has its own."""

    def __init__(self, path: str | Path):
        self._path = Path(path)
        text = read_text(files.existing(self._path / CAMERAS, "intrinsics"), "copy it again")
        try:
            self._cameras: dict[int, Any] = {int(number): camera for number, camera in json.loads(text).items()}
        except (ValueError, AttributeError) as error:
            raise ValueError(f"{self._path / CAMERAS} is damaged or not BOP's ({error}); copy it again") from None
        folder = next((name for name in ("rgb", "gray") if (self._path / name).is_dir()), None)
        if folder is None or not (self._path / "depth").is_dir():
            raise ValueError(f"{path} lacks rgb/ (or gray/) or depth/; give one scene, such as test/000001")
        self._colour = _numbered(self._path / folder, files.COLOUR_SUFFIXES)
        self._depth = _numbered(self._path / "depth", files.DEPTH_SUFFIXES)
        if not self._colour:
            raise ValueError(f"{path} has no images in {folder}/; give one scene, such as test/000001")

    @property
    def about(self) -> str:
        """Number of images."""
        return f"BOP scene, {self.length} images, intrinsics and depth scale of each"

    @property
    def length(self) -> int:
        """Number of colour images."""
        return len(self._colour)

    def __iter__(self) -> Iterator[Entry]:
        for number in sorted(self._colour):
            yield Entry(self._colour[number].stem, None, partial(self._open, number))

    def _open(self, number: int) -> RGBDFrame:
        if number not in self._depth:
            raise FileNotFoundError(f"{self._path} has no depth image {number:06d}; add it or remove the colour image")
        camera = self._cameras.get(number)
        if (
            not isinstance(camera, dict)
            or "cam_K" not in camera
            or not isinstance(camera.get("depth_scale"), int | float)
        ):
            raise ValueError(f"{self._path / CAMERAS} has no cam_K and depth_scale of image {number}; complete it")
        rgb, depth = files.read_rgb(self._colour[number]), files.read_depth(self._depth[number])
        unit = float(camera["depth_scale"]) / 1000
        return RGBDFrame.from_arrays(rgb, depth, intrinsics_matrix(camera["cam_K"]), depth_unit=unit)


def _numbered(folder: Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    found = [path for path in folder.iterdir() if path.suffix.lower() in suffixes]
    return {int(path.stem): path for path in found if path.stem.isdecimal()}
