"""Open videos and read their images one after the other; a file that was cut off is read as far as possible."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any


def open_video(av: ModuleType, path: Path) -> Any:
    """Return the open container of a video; raise ValueError with the fix if it cannot be read, or has no images."""
    try:
        container = av.open(str(path))
    except av.FFmpegError as error:
        raise ValueError(
            f"{path} is not a readable video ({error.strerror}): its index is missing if recording or copying was "
            "interrupted; copy it again"
        ) from None
    if not container.streams.video:
        raise ValueError(f"{path} has no images; copy it again")
    return container


def images_of(av: ModuleType, container: Any) -> Iterator[Any]:
    """Yield the images of an open video as stored: the mark to show them turned does not hold for depth."""
    for packet in packets_of(av, container):
        with suppress(av.FFmpegError):  # a damaged image; the next ones may be whole
            yield from packet.decode()


def packets_of(av: ModuleType, container: Any) -> Iterator[Any]:
    """Yield the coded images of an open video up to the end, or to where the file cannot be read."""
    try:
        yield from container.demux(container.streams.video[0])
    except av.FFmpegError:
        return
