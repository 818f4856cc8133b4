"""The contract of every recording: its frames in order, read one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from twohands.types import RGBDFrame


@dataclass(frozen=True)
class Entry:
    """One frame of a recording before it is decoded.

    `open` returns the frame: metric depth registered to colour. It raises ValueError or FileNotFoundError with the fix
    when this frame cannot be used; the other frames can. It works until the next entry is drawn.
    """

    name: str
    """Unique in the recording and fit for a file name."""
    seconds: float | None
    """Time stamp of the colour image, None where the recording has none."""
    open: Callable[[], RGBDFrame]


class Source(Protocol):
    """A recording: iterating over it is one pass in constant memory, and can be begun again."""

    @property
    def about(self) -> str:
        """Kind and content of the recording in one sentence."""
        ...

    @property
    def length(self) -> int | None:
        """Number of frames, None where only reading everything would tell."""
        ...

    def __iter__(self) -> Iterator[Entry]: ...
