"""Open `.npy`, `.npz` and pickle files as named columns of which one row at a time is in memory.

Pickles are read by `hands.array_pickles`: nothing in them is executed.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from twohands.hands.array_pickles import ArrayUnpickler, Inert, read_pickle

SUFFIXES = (".npz", ".npy", ".pkl", ".pickle")
NUMPY, ZIP, PICKLE = b"\x93NUMPY", b"PK\x03\x04", b"\x80"
"""First bytes of the three kinds of files; pickles of the oldest protocols have no mark."""
SAVING = "numpy.savez(FILE, rgb=..., depth=..., K=...)"
"""Call that writes arrays as they are read."""
_FIX = f"copy it again, or save its arrays alone with {SAVING}"
_INERT = {
    *(
        (module, name)
        for module in ("pathlib", "pathlib._local")  # the latter in Python 3.13
        for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    ),
    *(("datetime", name) for name in ("datetime", "date", "time", "timedelta", "timezone")),
}
"""Classes of plain values that recorders put beside the images; they are read as inert objects."""
_LENS_MODELS = (
    *("none", "modified_brown_conrady", "inverse_brown_conrady", "ftheta", "brown_conrady", "kannala_brandt4"),
)
"""Members of pyrealsense2.distortion by their numbers."""


class _Unpickler(ArrayUnpickler):
    """Machine that also reads the enumerations of pyrealsense2 and other plain values, as inert objects."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "pyrealsense2" or (module, name) in _INERT:
            return Inert
        return super().find_class(module, name)


@dataclass(frozen=True)
class Column:
    """One named array of a file."""

    shape: Sequence[int]
    whole: Callable[[], Any]
    """Return all of it: an array, or the object that a file has instead."""
    rows: Callable[[], Iterator[Any]]
    """Yield the entries along the first axis, reading one at a time."""


def open_values(path: Path) -> Any:
    """Return what a file holds: columns by name, one column, or the lists and dictionaries of a pickle.

    Raise ValueError or FileNotFoundError with the fix when it is damaged or holds anything but arrays.
    """
    with path.open("rb") as stream:
        start = stream.read(len(NUMPY))
        if start.startswith(ZIP):
            return _archive(path)
        stream.seek(0)
        try:
            holds_object = start != NUMPY or _header(stream)[2].hasobject
            array = None if holds_object else np.load(path, mmap_mode="r")
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{path} is not a complete .npy file ({error}); save it with numpy.save") from None
        return column_of(array) if array is not None else _plain(read_pickle(stream, str(path), _Unpickler, _FIX))


def column_of(values: Any) -> Column:
    """Return the column of an array in memory or on disk, or of a list of arrays."""
    if isinstance(values, Column):
        return values
    if isinstance(values, list | tuple) and values and all(isinstance(value, np.ndarray) for value in values):
        return Column((len(values), *values[0].shape), lambda: np.asarray(values), lambda: iter(values))
    try:
        array = values if isinstance(values, np.ndarray) else np.asarray(values)
    except ValueError:  # rows of different lengths
        array = np.empty(0)
    return Column(array.shape, lambda: values, lambda: iter(array))


def _archive(path: Path) -> dict[str, Column]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith(".npy")]
            return {name.removesuffix(".npy"): _member(path, archive, name) for name in names}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError) as error:
        raise ValueError(
            f"{path} is not a complete .npz archive ({error}); copy it again or save it with numpy.savez"
        ) from None


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> Column:
    """Return the column of an archive's member, which is decompressed as its rows are asked for."""
    with archive.open(name) as stream:
        shape, fortran, dtype = _header(stream)
    damaged = (zipfile.BadZipFile, zlib.error, EOFError, OSError)

    def whole() -> Any:
        try:
            with zipfile.ZipFile(path) as again, again.open(name) as stream:
                if not dtype.hasobject:
                    return np.lib.format.read_array(stream, allow_pickle=False)
                _header(stream)
                return _plain(read_pickle(BytesIO(stream.read()), f"{name} in {path}", _Unpickler, _FIX))
        except damaged as error:
            raise ValueError(f"{name} in {path} is damaged ({error}); copy the file again") from None

    def rows() -> Iterator[Any]:
        if (fortran and len(shape) > 1) or dtype.hasobject:  # the first axis is not the slowest one
            yield from column_of(whole()).rows()
            return
        size = math.prod(shape[1:]) * dtype.itemsize
        try:
            with zipfile.ZipFile(path) as again, again.open(name) as stream:
                _header(stream)
                for _ in range(shape[0] if shape else 0):
                    content = stream.read(size)
                    if len(content) < size:
                        raise EOFError("it ends early")
                    yield np.frombuffer(content, dtype).reshape(shape[1:])
        except damaged as error:
            raise ValueError(f"{name} in {path} is damaged ({error}); copy the file again") from None

    return Column(shape, whole, rows)


def _header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, order (True for Fortran's) and type of the array in a stream, which is then at its content."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(stream)
    raise ValueError(f"version {version} of the format is for records, not for images")


def _plain(values: Any) -> Any:
    """Return values of a pickle with arrays of objects as lists, arrays of one object as the object, enums as names."""
    if isinstance(values, np.ndarray) and values.dtype.hasobject:
        return _plain(values.tolist())
    if isinstance(values, Mapping):
        return {str(name): _model(value) if name == "model" else _plain(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    return values


def _model(value: Any) -> Any:
    """Return the name of a lens model of pyrealsense2, whose pickle has its number."""
    number = value.state if isinstance(value, Inert) else None
    return _LENS_MODELS[number] if isinstance(number, int) and 0 <= number < len(_LENS_MODELS) else value
