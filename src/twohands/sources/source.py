"""The interface of every recording: its frames in order, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from twohands.intrinsics import Intrinsics
from twohands.types import RGBDFrame


@dataclass(frozen=True)
class Entry:
    """One frame of a recording before it is decoded.

    `open` returns the frame, with metric depth registered to colour. It raises ValueError or FileNotFoundError with the
    fix when only this frame cannot be used. Call it before the next entry is drawn.
    """

    name: str
    """Unique in the recording and fit for a file name."""
    seconds: float | None
    """Time stamp of the colour image, None where the recording has none."""
    open: Callable[[], RGBDFrame]
    files: tuple[Path, ...] = ()
    """Files of this frame alone, colour first; none where frames share a file."""


class Source(Protocol):
    """A recording. Each iteration over it is one pass in constant memory; passes can be repeated."""

    @property
    def about(self) -> str:
        """Kind and content of the recording in one sentence."""
        ...

    @property
    def length(self) -> int | None:
        """Number of frames, None if only reading everything would tell."""
        ...

    @property
    def intrinsics(self) -> Intrinsics | None:
        """Intrinsics of the colour camera in all frames, None if frames have their own."""
        ...

    def __iter__(self) -> Iterator[Entry]: ...


def changes_of(path: Path, without: Path | None = None) -> tuple[int, int]:
    """Return bytes and time of the last change in ns of a file, or of all files in a folder; 0 if it is missing.

    Files in the folder `without` are left out.
    """
    inner = path.rglob("*") if path.is_dir() else [path]
    stats = [file.stat() for file in inner if file.is_file() and without not in file.parents]
    return sum(stat.st_size for stat in stats), max((stat.st_mtime_ns for stat in stats), default=0)
