"""Recordings in places that fsspec knows (extra `fsspec`): they are copied to a temporary folder to be read.

An address is a local path, or a URL such as `s3://bucket/a.bag`.
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from twohands.sources.common import require
from twohands.sources.source import changes_of


class _Place(NamedTuple):
    """A file system of fsspec and a path in it."""

    system: Any
    path: str


def is_remote(address: str) -> bool:
    """Return whether an address is a URL."""
    return "://" in address


def is_pattern(address: str) -> bool:
    """Return whether an address has wildcards; a local path that exists has none."""
    return glob.has_magic(address) and not os.path.exists(address)


def matching(pattern: str) -> list[str]:
    """Return the sorted addresses that match a pattern (`**` stands for any folders)."""
    if not is_remote(pattern):
        return sorted(glob.glob(pattern, recursive=True))
    place = _place(pattern)
    with _readable(pattern):
        return sorted(place.system.unstrip_protocol(path) for path in place.system.glob(place.path))


def changes(address: str, without: Path | None = None) -> tuple[int, int]:
    """Return bytes and time of the last change in ns of a recording, see `changes_of`; 0 if it is missing."""
    if not is_remote(address):
        return changes_of(Path(address), without)
    place = _place(address)
    with _readable(address):
        found = _files(place)
        return sum(found.values()), max((_changed(place.system, path) for path in found), default=0)


@contextmanager
def staged(address: str) -> Iterator[Path]:
    """Yield the local path of a recording; that of a URL is a copy with the same times, which is removed at the end.

    The copy is in the folder for temporary files (the environment variable TMPDIR). Raise FileNotFoundError, or
    ValueError with the fix when the place cannot be read. Errors about the copy name the address.
    """
    if not is_remote(address):
        yield Path(address)
        return
    place = _place(address)
    if "/" not in place.path:
        raise ValueError(
            f"{address} is a whole bucket or disk; give a recording in it, or a pattern of several in quotes"
        )
    with _readable(address):
        found = _files(place)
    if not found:
        raise FileNotFoundError(f"recording {address} does not exist; check the address")
    with TemporaryDirectory(prefix="twohands-") as folder:
        copy = Path(folder) / PurePosixPath(place.path).name
        with _readable(address):
            for path in found:
                _copy(place.system, path, copy / PurePosixPath(path).relative_to(place.path))
        try:
            yield copy
        except (ValueError, FileNotFoundError) as error:
            error.args = (str(error).replace(str(copy), address.rstrip("/")),)
            raise


def _copy(system: Any, path: str, local: Path) -> None:
    """Copy a file with its time."""
    local.parent.mkdir(parents=True, exist_ok=True)
    system.get_file(path, str(local))
    time = _changed(system, path)
    os.utime(local, ns=(time, time))


@contextmanager
def _readable(address: str) -> Iterator[None]:
    """Raise ValueError with the address for errors of its place, of which each file system has its own."""
    try:
        yield
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{address} cannot be read ({reason}); check the address, the network and your credentials for this place"
        ) from error


def _place(address: str) -> _Place:
    fsspec = require("fsspec", "fsspec", "URLs")
    try:
        system, path = fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise ValueError(f"{address} needs another package: {error} (with pip)") from None
    except ValueError as error:
        what = f"{address} is not an address that fsspec knows ({error})"
        raise ValueError(f"{what}; copy the recording to a disk") from None
    return _Place(system, path.rstrip("/"))


def _files(place: _Place) -> dict[str, int]:
    """Return the size of each file of a recording by its path."""
    return {path: int(about["size"]) for path, about in place.system.find(place.path, detail=True).items()}


def _changed(system: Any, path: str) -> int:
    """Return the time of the last change of a file in ns, in whole microseconds; 0 where the place does not know it."""
    try:
        return round(system.modified(path).timestamp() * 1e6) * 1000
    except NotImplementedError:
        return 0
