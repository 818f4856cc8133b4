"""Frames of a camera that is connected: they end after some seconds, with Ctrl-C, or when the camera is unplugged."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from twohands.intrinsics import Intrinsics
from twohands.sources.source import Entry
from twohands.types import RGBDFrame

_log = logging.getLogger(__name__)
WAIT = 1000
"""Milliseconds after which a camera that sends nothing is asked whether it is still there."""
PATIENCE = 10.0
"""Seconds without images after which a camera that is still there is given up."""
PAUSE = 0.01
"""Seconds between two questions to a camera that answers with nothing at once."""


class Shot(NamedTuple):
    """Colour and the depth that is aligned to it, in memory of their own: the SDKs use theirs again."""

    seconds: float  # of the camera's clock, when colour was taken
    depth_seconds: float
    rgb: np.ndarray  # (H, W, 3) uint8, red first
    steps: np.ndarray  # (H, W) uint16
    unit: float  # metres of one step


class Camera(Protocol):
    """A camera that has been started, behind its maker's SDK."""

    @property
    def name(self) -> str:
        """Model and serial number."""
        ...

    @property
    def intrinsics(self) -> Intrinsics:
        """Intrinsics of the colour stream, with its image size and its lens."""
        ...

    def shot(self) -> Shot | None:
        """Return the next pair of images, None if none came within WAIT."""
        ...

    def is_connected(self) -> bool:
        """Return whether the camera is still there."""
        ...

    def stop(self) -> None:
        """Stop the camera; it is not used again."""
        ...


class LiveFrames:
    """The frames that a camera takes from the first iteration on, until it ends; then there are no more.

    An iteration that is given up can be followed by another one. Frames that the camera takes while one is worked on
    are left out.
    """

    length: int | None = None
    """Nobody knows it before the end."""

    def __init__(self, camera: Camera, seconds: float | None = None):
        """Take a camera that has been started, and the time in seconds after which the frames end."""
        self._camera, self._seconds = camera, seconds
        self._has_ended, self._taken = False, 0
        self.intrinsics = camera.intrinsics

    @property
    def about(self) -> str:
        """Name of the camera, size of its images, and how the frames end."""
        width, height = self.intrinsics.size or (0, 0)
        end = "Ctrl-C ends it" if self._seconds is None else f"for {self._seconds:g} s, or until Ctrl-C"
        return f"{self._camera.name}, live, colour {width}x{height}, depth aligned to colour; {end}"

    def __iter__(self) -> Iterator[Entry]:
        if self._has_ended:
            return
        with _interruptible() as interrupted:
            for shot in self._shots(interrupted):
                name = f"{self._taken:06d}_{round(shot.seconds * 1e9):019d}"
                self._taken += 1
                yield Entry(name, shot.seconds, partial(self._open, shot))
        self._has_ended = True
        self._camera.stop()

    def _shots(self, interrupted: threading.Event) -> Iterator[Shot]:
        """Yield pairs of images up to the end of the recording."""
        first, last, heard = None, None, time.monotonic()
        while not interrupted.is_set():
            shot = self._camera.shot()
            if shot is None:
                silence = time.monotonic() - heard
                if silence * 1000 >= WAIT and not self._camera.is_connected():
                    return self._tell("was unplugged")
                if silence >= PATIENCE:
                    return self._tell(f"has sent no images for {silence:.0f} s")
                time.sleep(PAUSE)
                continue
            heard = time.monotonic()
            if last is not None and (shot.seconds == last.seconds or shot.depth_seconds == last.depth_seconds):
                continue  # one of the two images was used already; the next pair may have it with its own partner
            first, last = shot.seconds if first is None else first, shot
            if self._seconds is not None and shot.seconds - first >= self._seconds:
                return None
            yield shot
            heard = time.monotonic()
        return None

    def _tell(self, what: str) -> None:
        kept = f"the {self._taken} frames until then are kept" if self._taken else "there are no frames"
        _log.warning("%s %s; %s", self._camera.name, what, kept)

    def _open(self, shot: Shot) -> RGBDFrame:
        return RGBDFrame.from_arrays(shot.rgb, shot.steps, self.intrinsics, shot.unit)


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets, instead of raising KeyboardInterrupt; the second one raises."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
        yield event
        return
    before = signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: object) -> None:
        event.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
