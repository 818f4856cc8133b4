"""Follow both hands through frames in their order: a predictor that remembers, the time of frames, and `track`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from twohands.fitting import HandFitter
from twohands.motion import Follower, Steady
from twohands.motion.follow import Locator
from twohands.predictor import Predictor, TwoHandPredictor, load
from twohands.results import unseen
from twohands.sources.opening import open_source
from twohands.sources.source import Entry, Source
from twohands.types import RGBDFrame, TwoHands

FPS = 30.0
"""Frames a second that are assumed where frames have no times."""


def can_follow(predictor: Predictor) -> bool:
    """Return whether a predictor locates hands in a way that can look where they are expected, and then fits them."""
    ways = ("find", "follow", "choose")
    return isinstance(predictor, TwoHandPredictor) and all(hasattr(predictor.locate, way) for way in ways)


def following(predictor: Predictor) -> tuple[TwoHandPredictor, Follower]:
    """Return a predictor that remembers the hands of the frames before, and what it remembers them with.

    The given predictor is not changed. Raise ValueError when it cannot follow hands.
    """
    if not isinstance(predictor, TwoHandPredictor) or not can_follow(predictor):
        raise ValueError(
            "only methods that locate hands and fit them can follow hands; use the method 'light' or 'landmarks'"
        )
    follower = Follower(cast(Locator, predictor.locate))
    remembering = copy.copy(predictor)
    remembering.locate = follower
    if isinstance(predictor.fit, HandFitter):
        remembering.fit = predictor.fit.measuring()
    return remembering, follower


@dataclass
class Clock:
    """Times of frames that always rise; a frame without a time, or whose time does not rise, is one period later."""

    period: float = 1 / FPS
    """Seconds between frames without times."""
    stamp: float | None = None
    """Time stamp of the last frame, if it had one."""
    now: float | None = None
    """Time of the last frame."""

    def __call__(self, seconds: float | None) -> float:
        """Return the time of the next frame by its time stamp, in seconds."""
        if self.now is None:
            self.now = 0.0 if seconds is None else seconds
        else:
            step = 0.0 if seconds is None or self.stamp is None else seconds - self.stamp
            self.now += step if step > 0 else self.period
        self.stamp = seconds
        return self.now


def track(
    frames: str | Path | Source | Iterable[RGBDFrame | tuple[float, RGBDFrame]],
    predictor: Predictor | None = None,
    smooth: float = 0.5,
    fps: float = FPS,
) -> Iterator[TwoHands]:
    """Yield the hands of each frame of one person, followed and made steady without a look ahead, for live use.

    frames: a recording, its path, or frames as they come, alone or as (seconds, frame).
    predictor: what finds the hands, by default `twohands.load()`.
    smooth: strength of the smoothing in [0, 1]; 0 = none.
    fps: frames a second, where frames have no times.

    Frames of a recording that cannot be used have no hands of their own, and those of frames before for a moment.
    """
    predictor = predictor or load()
    remembering, follower = following(predictor)
    steady, clock = Steady(predictor.model, smooth), Clock(1 / fps)
    items = open_source(frames) if isinstance(frames, str | Path) else frames
    for number, item in enumerate(items):
        seconds, frame = item if isinstance(item, tuple) else (None, item)
        if isinstance(frame, Entry):
            seconds = frame.seconds
        now = clock(seconds)
        follower.at(now)
        yield steady(_seen(remembering, frame), now)
        steady.forget_before(number + 1)


def _seen(predictor: TwoHandPredictor, frame: RGBDFrame | Entry) -> TwoHands:
    """Return the hands of a frame alone; none where an entry of a recording cannot be used."""
    if isinstance(frame, RGBDFrame):
        return predictor.reconstruct(frame)
    try:
        return predictor.reconstruct(frame.open())
    except (ValueError, FileNotFoundError):
        return unseen(predictor.model)
