"""Read frames from dictionaries of arrays: `.npz`, `.npy`, pickles, or a folder of them, under their usual names.

A file holds one frame, frames stacked over time, or a list of dictionaries with one frame each. A folder holds such
files, or one `.npy` for all colour images and one for all depth images.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twohands.intrinsics import Intrinsics, read_intrinsics
from twohands.sources.array_files import NUMPY, PICKLE, SUFFIXES, ZIP, Column, column_of, open_values
from twohands.sources.layouts import INTRINSICS_FILES
from twohands.sources.source import Entry
from twohands.spellings import is_name
from twohands.types import RGBDFrame

BGR_NAMES = ("bgr", "bgrs", "bgr_image", "bgr_images")
COLOUR_NAMES = (
    *("rgb", "rgbs", "color", "colors", "colour", "colours", "image", "images", "img", "imgs"),
    *("rgb_image", "rgb_images", "rgb_img", "color_image", "color_images", "colour_image", "colour_images"),
    *BGR_NAMES,
)
DEPTH_NAMES = (
    *("depth", "depths", "aligned_depth", "depth_aligned", "depth_map", "depth_maps", "depthmap", "depth_image"),
    *("depth_images", "depth_img", "depth_imgs"),
)
INTRINSICS_NAMES = (
    *("k", "ks", "intrinsics", "intrinsic", "intrinsic_matrix", "intrinsics_matrix", "camera_matrix", "cameramatrix"),
    *("cam_k", "camera_k", "camera_intrinsics", "camera_intrinsic", "cam_intrinsics", "k_color", "k_rgb"),
    *("color_intrinsics", "rgb_intrinsics", "color_k", "rgb_k", "mtx", "camera"),
)
TIME_NAMES = ("timestamps", "timestamp", "time_stamps", "times", "time", "seconds", "stamps", "stamp", "ts", "t")
"""Names of arrays in lower case with _ between words; times may end in the unit, as in timestamps_ms."""
TIME_UNITS = {"s": 1, "sec": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
EPOCHS = ((1e17, 10**9), (1e14, 10**6), (1e11, 10**3))
"""Time stamps above each value are since 1970 in the unit beside it, in fractions of a second."""
MOST_NESTED = 3
"""Levels of lists and dictionaries in which frames are searched."""


def is_arrays(path: str | Path) -> bool:
    """Return whether a file is an array, an archive of arrays or a pickle, or whether a folder holds such files."""
    path = Path(path)
    if path.is_dir():
        return bool(_files(path)) and not (path / "depth").is_dir()
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        start = stream.read(len(NUMPY))
    named = path.suffix.lower() in SUFFIXES
    return (
        start == NUMPY or (start.startswith((PICKLE, ZIP)) and named) or (start.startswith(ZIP) and _has_arrays(path))
    )


class ArrayFrames:
    """Frames of dictionaries of arrays, in the order of the files' numbers and of the arrays' first axes.

    `depth_unit` in metres per step and `intrinsics`, any input of `read_intrinsics`, stand in for those of the files;
    `depth_registered` is that of `RGBDFrame.from_arrays`.
    Raises FileNotFoundError or ValueError at once when a single file cannot be used; a file among others raises when
    its frame is opened.
    """

    def __init__(
        self,
        path: str | Path,
        depth_unit: float | None = None,
        intrinsics: Any = None,
        depth_registered: bool = False,
    ):
        self._path = Path(path)
        self._depth_unit = depth_unit
        self._depth_registered = depth_registered
        self.intrinsics = None if intrinsics is None else read_intrinsics(intrinsics)
        if not self._path.exists():
            raise FileNotFoundError(f"recording {path} does not exist; check the path")
        self._files = _files(self._path) if self._path.is_dir() else [self._path]
        if not self._files:
            raise ValueError(f"{path} has no .npz, .npy or pickle files; give the file or the folder with them")
        self._stacks = _stacks(self._files) if self._path.is_dir() else {}
        first = self._tables(self._files[0])
        counts = [1 if (count := _count(table)) is None else count for table in first.values()]
        if self._is_one and not sum(counts):
            raise ValueError(f"{path} has colour and depth of 0 frames; record it again")
        self._length = sum(counts) if self._is_one else None
        self._intrinsics_of(next(iter(first.values())), 0)

    @property
    def about(self) -> str:
        """Number of files or frames."""
        what = f"{self._length} frames" if self._is_one else f"{len(self._files)} files"
        return f"dictionaries of arrays, {what}"

    @property
    def length(self) -> int | None:
        """Number of frames; None for a folder of files, each of which may have several."""
        return self._length

    def __iter__(self) -> Iterator[Entry]:
        for file in self._files[:1] if self._is_one else self._files:
            prefix = "" if self._is_one else file.stem
            try:
                tables = self._tables(file)
            except (ValueError, FileNotFoundError) as error:
                yield Entry(prefix or file.stem, None, partial(_refuse, error))
                continue
            several = len(tables) > 1
            for name, table in tables.items():
                yield from self._entries("_".join(filter(None, (prefix, name if several else ""))) or "", file, table)

    @property
    def _is_one(self) -> bool:
        return len(self._files) == 1 or bool(self._stacks)

    def _tables(self, file: Path) -> dict[str, dict[str, Any]]:
        """Return the dictionaries of a file that have colour and depth, by name."""
        if self._stacks:
            values: Any = self._stacks | self._beside()
        else:
            values = open_values(file)
        found = _with_images(values, {})
        if not found:
            names = ", ".join(list(values)[:8]) if isinstance(values, Mapping) else "an array without names"
            raise ValueError(f"{file} holds {names or 'nothing'}; name the colour image rgb, the depth image depth")
        for table in found.values():
            _check(table, file)
        return found

    def _beside(self) -> dict[str, Any]:
        """Return the intrinsics from a file beside stacks, and the time stamps."""
        named = {_plain_name(file.stem): file for file in self._path.glob("*.npy")}
        found = {name: open_values(file) for name, file in named.items() if _time_unit(name) is not None}
        at = next((self._path / name for name in INTRINSICS_FILES if (self._path / name).is_file()), None)
        at = at or next((named[name] for name in INTRINSICS_NAMES if name in named), None)
        return found | ({} if at is None else {"K": open_values(at) if at.suffix == ".npy" else read_intrinsics(at)})

    def _entries(self, name: str, file: Path, table: Mapping[str, Any]) -> Iterator[Entry]:
        """Yield the frames of one dictionary, one row of its arrays at a time."""
        colour_name, depth_name = (_find(table, names) or "" for names in (COLOUR_NAMES, DEPTH_NAMES))
        colour, depth, count = column_of(table[colour_name]), column_of(table[depth_name]), _count(table)
        is_bgr = _plain_name(colour_name) in BGR_NAMES
        seconds = _seconds(table, count or 1)
        if count is None:
            opened = partial(self._open, colour.whole, depth.whole, is_bgr, table, 0)
            yield Entry(name or file.stem, seconds[0], opened)
            return
        rows = zip(colour.rows(), depth.rows(), strict=True)
        for number in range(count):
            frame = "_".join(filter(None, (name, f"{number:06d}")))
            try:
                rgb, measured = next(rows)
            except ValueError as error:  # what follows in a damaged archive cannot be decompressed either
                yield Entry(frame, seconds[number], partial(_refuse, error))
                return
            opened = partial(self._open, partial(_same, rgb), partial(_same, measured), is_bgr, table, number)
            yield Entry(frame, seconds[number], opened)

    def _open(self, rgb: Any, depth: Any, is_bgr: bool, table: Mapping[str, Any], number: int) -> RGBDFrame:
        colour = _as_colour(np.asarray(rgb()), is_bgr)
        intrinsics = self._intrinsics_of(table, number)
        measured = np.squeeze(np.asarray(depth()))
        return RGBDFrame.from_arrays(colour, measured, intrinsics, self._unit_of(table), self._depth_registered)

    def _unit_of(self, table: Mapping[str, Any]) -> float | None:
        name = _find(table, ("depth_unit", "depth_units"))
        return self._depth_unit if self._depth_unit or not name else float(column_of(table[name]).whole())

    def _intrinsics_of(self, table: Mapping[str, Any], number: int) -> Intrinsics:
        if self.intrinsics is not None:
            return self.intrinsics
        name = _find(table, INTRINSICS_NAMES)
        shared = {key: _whole(value) for key, value in table.items() if is_name(key) and key != name}
        if name is None:
            if not {"fx", "fy"} <= set(shared):
                raise ValueError(f"{self._path} has no K; add the colour camera's 3x3 intrinsics, or give them with it")
            return read_intrinsics(shared)
        value, count = _whole(table[name]), _count(table)
        if isinstance(value, Intrinsics):
            return value
        if isinstance(value, Mapping):
            return read_intrinsics(shared | dict(value))
        matrix = np.asarray(value)
        each = matrix.ndim == 3 or (matrix.ndim == 2 and matrix.shape[1] == 4 and matrix.shape[0] not in (3, 4))
        if each and len(matrix) not in (1, count or 1):
            raise ValueError(
                f"{self._path} has {len(matrix)} intrinsics for {count or 1} frames; give one or one of each"
            )
        matrix = matrix[number if len(matrix) > 1 else 0] if each else matrix
        return read_intrinsics(shared | {"K": matrix.tolist()})


def _has_arrays(path: Path) -> bool:
    """Return whether an archive has arrays at its top, as numpy.savez writes them."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith(".npy") and "/" not in name for name in archive.namelist())


def _files(path: Path) -> list[Path]:
    """Return the files with arrays in a folder, by the numbers in their names, without those of intrinsics."""
    found = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name not in INTRINSICS_FILES]
    return sorted(found, key=lambda file: [int(part) if part.isdecimal() else part for part in _parts(file.stem)])


def _parts(stem: str) -> list[str]:
    return re.split(r"(\d+)", stem)


def _stacks(files: list[Path]) -> dict[str, Any]:
    """Return the colour and the depth file of a folder with one `.npy` for each; empty if there are none."""
    named = {_plain_name(file.stem): file for file in files if file.suffix.lower() == ".npy"}
    found = [_find(named, names) for names in (COLOUR_NAMES, DEPTH_NAMES)]
    return {name: open_values(named[name]) for name in found if name} if all(found) else {}


def _with_images(values: Any, shared: Mapping[str, Any], level: int = 0) -> dict[str, dict[str, Any]]:
    """Return the dictionaries with colour and depth among nested values, with what holds for all from around them."""
    if isinstance(values, Mapping):
        table = {**shared, **values}
        if _find(values, COLOUR_NAMES) and _find(values, DEPTH_NAMES):
            return {"": table}
        parts = values.items()
        shared = {name: value for name, value in table.items() if not isinstance(value, list)}
    elif isinstance(values, list):
        parts = [(f"{number:06d}", value) for number, value in enumerate(values)]
    else:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for name, value in parts if level < MOST_NESTED else ():
        inner = _with_images(value, shared, level + 1)
        keep = isinstance(values, list) or len(parts) > 1
        found |= {"_".join(filter(None, (name if keep else "", rest))): table for rest, table in inner.items()}
    return found


def _check(table: Mapping[str, Any], file: Path) -> None:
    """Raise ValueError when the numbers of colour and depth images differ."""
    count = _count(table)
    depth = column_of(table[_find(table, DEPTH_NAMES) or ""])
    if count is not None and (len(depth.shape) < 3 or depth.shape[0] != count):
        other = depth.shape[0] if len(depth.shape) > 2 else 1
        raise ValueError(f"{file} has {count} colour images but {other} depth images; save as many of both")


def _count(table: Mapping[str, Any]) -> int | None:
    """Return how many frames are stacked in a dictionary; None for a single frame."""
    shape = column_of(table[_find(table, COLOUR_NAMES) or ""]).shape
    return shape[0] if len(shape) == 4 else None


def _find(table: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the key of a dictionary that is spelled like the first possible one of some names."""
    keys = {_plain_name(key): key for key in table}
    return next((keys[name] for name in names if name in keys), None)


def _plain_name(key: str) -> str:
    """Return a name in lower case with _ between words."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", str(key)).lower()).strip("_")


def _time_unit(name: str) -> tuple[str, int | None] | None:
    """Return the plain name and steps per second, None where the name has none, of time stamps; None for others."""
    plain = _plain_name(name)
    stem, _, unit = plain.rpartition("_")
    if stem in TIME_NAMES and unit in TIME_UNITS:
        return stem, TIME_UNITS[unit]
    return (plain, None) if plain in TIME_NAMES else None


def _seconds(table: Mapping[str, Any], count: int) -> list[float | None]:
    """Return the time stamps of frames in seconds; None where the dictionary has none for all of them."""
    named = {found: key for key in table if (found := _time_unit(key)) is not None}
    if not named:
        return [None] * count
    (_, steps), key = min(named.items(), key=lambda item: TIME_NAMES.index(item[0][0]))
    try:
        times = np.asarray(_whole(table[key])).reshape(-1)
        largest = float(np.abs(times).max(initial=0))
    except (TypeError, ValueError):
        return [None] * count
    if len(times) != count or times.dtype.kind not in "uif":
        return [None] * count
    steps = steps or next((unit for limit, unit in EPOCHS if largest > limit), 1)
    return [time / steps for time in times.tolist()]


def _as_colour(rgb: np.ndarray, is_bgr: bool) -> np.ndarray:
    """Return colour as (H, W, 3), of bytes if it is in [0, 1], from channels first or last, with or without alpha."""
    if rgb.ndim == 3 and rgb.shape[0] in (3, 4) and rgb.shape[2] not in (3, 4):
        rgb = rgb.transpose(1, 2, 0)
    if rgb.ndim == 3 and rgb.shape[2] == 4:
        rgb = rgb[..., :3]
    if rgb.dtype.kind == "f" and rgb.size and 0 <= rgb.min() <= rgb.max() <= 1:
        rgb = np.rint(255 * rgb).astype(np.uint8)
    return rgb[..., ::-1] if is_bgr else rgb


def _whole(value: Any) -> Any:
    return value.whole() if isinstance(value, Column) else value


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _refuse(error: Exception) -> RGBDFrame:
    raise error
