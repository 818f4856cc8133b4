"""Apply a user's options to any recording: its frame rate, and that it is mirrored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from twohands.arrays import DepthSizeError, unmirrored
from twohands.intrinsics import Intrinsics
from twohands.sources.source import Entry, Source
from twohands.types import RGBDFrame


class Adjusted:
    """The frames of a recording, with times by the frame rate where it has none, and turned back if it is mirrored.

    Errors of its frames name the options of the command line.
    """

    def __init__(self, source: Source, fps: float | None, mirrored: bool):
        self._source, self._fps, self._mirrored = source, fps, mirrored

    @property
    def about(self) -> str:
        """Kind and content of the recording in one sentence."""
        return self._source.about

    @property
    def length(self) -> int | None:
        """Number of frames, None where only reading everything would tell."""
        return self._source.length

    @property
    def intrinsics(self) -> Intrinsics | None:
        """Intrinsics of all frames, None where frames have their own; of the images as they are stored."""
        return self._source.intrinsics

    def __iter__(self) -> Iterator[Entry]:
        for number, entry in enumerate(self._source):
            if entry.seconds is None and self._fps is not None:
                entry = replace(entry, seconds=number / self._fps)
            yield replace(entry, open=partial(self._open, entry.open))

    def _open(self, read: Callable[[], RGBDFrame]) -> RGBDFrame:
        try:
            frame = read()
        except DepthSizeError as error:
            raise ValueError(error.remedy("--depth-registered")) from None
        return _turned(frame) if self._mirrored else frame


def _turned(frame: RGBDFrame) -> RGBDFrame:
    """Return a frame with left and right exchanged, with the note about it."""
    rgb, depth, camera, notes = unmirrored(np.moveaxis(frame.rgb, 0, -1), frame.depth, frame.camera)
    turned = np.ascontiguousarray(np.moveaxis(rgb, -1, 0))
    return replace(frame, rgb=turned, depth=depth, camera=camera, findings=(*frame.findings, *notes))
