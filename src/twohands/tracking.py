"""Track both hands through consecutive frames: a predictor with memory, a clock for time stamps, and `track`."""

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
    """Return whether a predictor can search for hands at expected positions and fits them, as tracking requires."""
    ways = ("find", "follow", "choose")
    return isinstance(predictor, TwoHandPredictor) and all(hasattr(predictor.locate, way) for way in ways)


def following(predictor: Predictor) -> tuple[TwoHandPredictor, Follower]:
    """Return a predictor that remembers the hands of earlier frames, and its memory.

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
    """Increasing times of frames; a frame whose time stamp is missing or does not increase is one period later."""

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
    """Yield the tracked and smoothed hands of one person for each frame, without using later frames (for live use).

    frames: a recording, its path, the name of a camera, or an iterable of frames or of (seconds, frame).
    predictor: predictor of method 'light' or 'landmarks'; by default `twohands.load()`.
    smooth: strength of the smoothing, from 0 (none) to 1.
    fps: frames per second if frames have no time stamps.

    In frames of a recording that cannot be used, and where a hand is lost, the hand is extrapolated from earlier frames
    for a moment (`status` is 'infilled'). Raise ValueError when the predictor cannot track.
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
