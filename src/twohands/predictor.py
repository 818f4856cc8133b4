"""`TwoHandPredictor`: a frame in, two hands out. Check, locate, fit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from twohands.data.checks import check_frame, check_hand_size
from twohands.fitting import HandFitter
from twohands.hands import HandModel, free_hand
from twohands.locate import HandLocator
from twohands.types import LocatedHands, RGBDFrame, TwoHands

Locate = Callable[[np.ndarray], LocatedHands]


class Fit(Protocol):
    """What `HandFitter` does: `lift` prepares what is measured of the hands, the call fits them to it."""

    def lift(self, frame: RGBDFrame, located: LocatedHands, /) -> Any: ...

    def __call__(self, frame: RGBDFrame, located: LocatedHands, evidence: Any, /) -> TwoHands: ...


class Stopwatch:
    """Seconds of named steps: by the clock on the wall, and of this process's CPU."""

    def __init__(self):
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[step] = self.wall.get(step, 0.0) + time.perf_counter() - wall
            self.cpu[step] = self.cpu.get(step, 0.0) + time.process_time() - cpu

    def table(self) -> str:
        """A line for every step, in milliseconds."""
        lines = [f"{step:<8}{wall * 1e3:>10.0f}{self.cpu[step] * 1e3:>10.0f}" for step, wall in self.wall.items()]
        return "\n".join([f"{'step':<8}{'wall ms':>10}{'CPU ms':>10}", *lines])


class TwoHandPredictor:
    """Both hands of a frame: found in the colour image, fitted to landmarks and depth.

    `locate` takes rgb (3, H, W) float32 and returns LocatedHands; `fit` lifts and fits
    them and returns TwoHands with parameters and quality.
    """

    def __init__(self, model: HandModel | None = None, locate: Locate | None = None, fit: Fit | None = None):
        self.model = model or free_hand()
        self.locate = locate or HandLocator()
        self.fit = fit or HandFitter(self.model)
        self.timings: dict[str, float] = {}
        """CPU seconds of the steps of the last call: locate, lift, fit."""

    def __call__(self, frame: RGBDFrame, depth_unit: float | None = None, watch: Stopwatch | None = None) -> TwoHands:
        """The two hands in the camera frame of `frame`; `present` tells which of them are there.

        `depth_unit` (metres per step with which the depth was read) only helps to name the right one in an error.
        Raises ValueError with the remedy when the frame cannot be right: no depth, or hands of impossible size.
        """
        watch = watch or Stopwatch()
        check_frame(frame, depth_unit)
        with watch("locate"):
            located = self.locate(frame.rgb)
        found = np.asarray(located.present) >= 0.5
        pixels = np.where(found[:, None, None], located.pixels, np.nan)
        check_hand_size(pixels, frame.depth, frame.camera, depth_unit)
        with watch("lift"):
            evidence = self.fit.lift(frame, located)
        with watch("fit"):
            hands = self.fit(frame, located, evidence)
        self.timings = dict(watch.cpu)
        return hands
