"""Read arrays from files; malformed content raises ValueError, which `common.reading` turns into DamagedFileError."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from twohands.data.readers.common import reading

_T = TypeVar("_T")


def array_of(values: Any, *shape: int | None) -> np.ndarray:
    """Return float64 of this shape (None: any length). Raise ValueError for other shapes or numbers not finite."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except TypeError as error:
        raise ValueError(f"{error}; expected numbers of shape {shape}") from error
    fits = array.ndim == len(shape) and all(size in (None, own) for size, own in zip(shape, array.shape, strict=True))
    if not fits or not np.isfinite(array).all():
        raise ValueError(f"numbers of shape {array.shape}, expected {shape}, all finite")
    return array


def named_numbers(found: Any, name: str, count: int, finite: bool = True) -> np.ndarray:
    """Return found[name] as (count,) float64. Raise ValueError for other contents and, with `finite`, NaN and inf."""
    try:
        values = np.asarray(found[name], dtype=np.float64).reshape(-1)
    except (KeyError, TypeError, ValueError, IndexError):
        raise ValueError(f"there are no numbers {name}") from None
    if values.size != count or (finite and not np.isfinite(values).all()):
        raise ValueError(f"{name} has {values.size} numbers, expected {count}{', all finite' if finite else ''}")
    return values


def read_json(path: Path, parse: Callable[[Any], _T]) -> _T:
    """Return parse(content) of a JSON file. Raise DamagedFileError, also for another layout than `parse` expects."""

    def read(path: Path) -> _T:
        try:
            return parse(json.loads(path.read_text(encoding="utf-8")))
        except (TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not laid out as in the data set ({error})") from None
        except KeyError as error:
            raise ValueError(f"{path} has an entry without {error}, or with {error} for a value") from None

    return reading(path, read)


def load_array(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    """Return the array of an .npy file. Raise ValueError."""
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except (EOFError, TypeError) as error:
        raise ValueError(f"{path} is not an array ({error})") from None


def load_arrays(path: Path, *names: str) -> list[np.ndarray]:
    """Return these arrays of an .npz file. Raise ValueError, or KeyError for a name that it lacks."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return [archive[name] for name in names]
    except (zipfile.BadZipFile, zlib.error, EOFError, AttributeError, TypeError) as error:
        raise ValueError(f"{path} is not an archive of arrays ({error})") from None
