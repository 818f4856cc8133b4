"""Read folders of iPhone scanners that store ARKit's frames: images, and a JSON file with the intrinsics of each.

3D Scanner App: `frame_00012.jpg`, `frame_00012.json`, `depth_00012.png`, `conf_00012.png` in one folder. Polycam:
`keyframes/` with `images/`, `cameras/`, `depth/` and `confidence/`, whose files are named alike. Depth is uint16
millimetres of the LiDAR's size; a confidence of 0 marks readings that are not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from twohands import files
from twohands.arrays import is_same_aspect
from twohands.intrinsics import Intrinsics, read_intrinsics
from twohands.sources.common import decode_plane, drop_uncertain, scale_intrinsics
from twohands.sources.source import Entry
from twohands.types import RGBDFrame

FRAME = "frame_"
"""Beginning of the names of 3D Scanner App's images."""


class _Paths(NamedTuple):
    """Files of one frame; only the colour image is sure to be there."""

    colour: Path
    camera: Path
    depth: Path
    confidence: Path


def is_arkit(path: str | Path) -> bool:
    """Return whether a folder is of 3D Scanner App or Polycam: images with a JSON file for each of them."""
    return bool(_frames(Path(path)))


class ARKitScan:
    """Frames of a scan, each with intrinsics of its own. A frame without depth or intrinsics raises when it is opened.

    3D Scanner App stores the time of each frame, Polycam one without a stated unit, which is not used.
    """

    intrinsics: Intrinsics | None = None
    """Every frame has its own."""

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._frames = _frames(self._path)
        if not self._frames:
            raise ValueError(
                f"{path} has neither frame_00000.jpg with frame_00000.json, nor keyframes/images with "
                "keyframes/cameras; export all data of the scan (3D Scanner App: All Data, Polycam: Raw Data)"
            )

    @property
    def about(self) -> str:
        """Number of images."""
        return f"scan of ARKit, {self.length} images with intrinsics of each, LiDAR depth"

    @property
    def length(self) -> int:
        """Number of colour images."""
        return len(self._frames)

    def __iter__(self) -> Iterator[Entry]:
        for paths in self._frames:
            there = tuple(path for path in (paths.colour, paths.depth) if path.is_file())
            yield Entry(paths.colour.stem, _seconds(paths.camera), partial(self._open, paths), there)

    def _open(self, paths: _Paths) -> RGBDFrame:
        name = paths.colour.name
        if not paths.depth.is_file():
            raise FileNotFoundError(
                f"{self._path} has no {paths.depth.name}; the scanner stored no depth of this image"
            )
        rgb, depth = files.read_rgb(paths.colour), files.read_depth(paths.depth)
        (height, width), (rows, columns) = rgb.shape[:2], depth.shape
        if not is_same_aspect((width, height), (columns, rows)):
            raise ValueError(
                f"{name} has {width}x{height} pixels but depth {columns}x{rows}, another view: one of them was turned "
                "or cropped; export the scan again"
            )
        if paths.confidence.is_file():
            confidence = decode_plane(paths.confidence.read_bytes(), str(paths.confidence))
            depth = drop_uncertain(depth, confidence, paths.depth.name)
        found = read_intrinsics(files.existing(paths.camera, "intrinsics", "; export all data of the scan"))
        K = scale_intrinsics(found.matrix, found.size or (width, height), (width, height), name)
        return RGBDFrame.from_arrays(rgb, depth, K, depth_unit=0.001, depth_registered=True)


def _frames(folder: Path) -> list[_Paths]:
    """Return the files of the frames in order; none if the folder is no scan."""
    found = _scanner_app(folder) or _polycam(folder / "keyframes") or _polycam(folder)
    return found if any(paths.camera.is_file() for paths in found) else []


def _scanner_app(folder: Path) -> list[_Paths]:
    def paths(colour: Path) -> _Paths:
        number = colour.stem.removeprefix(FRAME)
        depth, confidence = (folder / f"{kind}_{number}.png" for kind in ("depth", "conf"))
        return _Paths(colour, colour.with_suffix(".json"), depth, confidence)

    return [paths(colour) for colour in _in_order(folder, FRAME)]


def _polycam(keyframes: Path) -> list[_Paths]:
    def paths(colour: Path) -> _Paths:
        depth, confidence = (keyframes / kind / f"{colour.stem}.png" for kind in ("depth", "confidence"))
        return _Paths(colour, keyframes / "cameras" / f"{colour.stem}.json", depth, confidence)

    return [paths(colour) for colour in _in_order(keyframes / "images", "")]


def _in_order(folder: Path, prefix: str) -> list[Path]:
    """Return the JPEG files of a folder that are named by a number after a prefix, in the order of the numbers."""
    found = folder.glob(f"{prefix}*.jpg") if folder.is_dir() else ()
    numbers = {path: path.stem.removeprefix(prefix) for path in found}
    return sorted((path for path in numbers if numbers[path].isdecimal()), key=lambda path: int(numbers[path]))


def _seconds(camera: Path) -> float | None:
    """Return the time that 3D Scanner App stores with a frame; None where it is missing."""
    try:
        values: Any = json.loads(camera.read_text(encoding="utf-8"))
        return float(values["time"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
