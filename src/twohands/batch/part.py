"""Process one part of a run: a pure function of its frames, independent of the process and the time."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from twohands.batch.store import Part, Store
from twohands.checks.examiner import is_due
from twohands.checks.frame import advising_unit
from twohands.checks.timing import DepthTiming
from twohands.files import NotWrittenError
from twohands.predictor import Predictor, Stopwatch
from twohands.results import Row, failed_row, make_row
from twohands.sources.source import Entry, Source, changes_of
from twohands.tracking import Clock, following
from twohands.types import PRESENT, RGBDFrame, TwoHands

PART = 300
"""Number of frames of a part."""
NOTHING = np.zeros(0, dtype=np.uint8)
"""Memory of a run that does not follow hands."""


class Selection(NamedTuple):
    """Frames of a recording that are taken: every `every`-th from number `first` on, before number `last`."""

    first: int = 0
    last: int | None = None
    every: int = 1

    def taken(self, length: int | None) -> int | None:
        """Return how many frames of a recording of `length` frames are taken, None where that is unknown."""
        return None if length is None else len(range(length)[self.first : self.last : self.every])


class Done(NamedTuple):
    """A frame that is done; `row` has no vertices."""

    row: Row
    reused: bool  # its row was there already


class Frames:
    """The chosen frames of a recording in parts; going back to an earlier part begins the recording again."""

    size = PART
    """Number of frames of a part."""

    def __init__(self, source: Source, selection: Selection):
        self.source, self.selection = source, selection
        self._next = 0
        self._rest = self._entries()
        self._last: Entry | None = None

    def _entries(self) -> Iterator[Entry]:
        return islice(iter(self.source), *self.selection)

    def part(self, number: int) -> Iterator[Entry]:
        """Yield the entries of a part; none after the end of the recording."""
        if number * self.size < self._next:
            self._next, self._rest = 0, self._entries()
        for entry in self._rest:
            self._next, self._last = self._next + 1, entry
            if self._next > number * self.size:
                yield entry
                if self._next == (number + 1) * self.size:
                    return

    def undraw(self) -> None:
        """Put back the entry that was drawn last."""
        if self._last is not None:
            self._next, self._rest = self._next - 1, chain([self._last], self._rest)
            self._last = None


class PartRun:
    """Work on the parts of a run: frames in, parts of `store` out."""

    def __init__(self, frames: Frames, path: Path, predictor: Predictor, store: Store, watch: Stopwatch):
        """`path` is the recording's file or folder."""
        self.frames, self.predictor, self.store, self.watch = frames, predictor, store, watch
        self._path = path
        self._reconstruct, self._follower = predictor.reconstruct, None
        if store.tracked:
            remembering, self._follower = following(predictor)
            self._reconstruct = remembering.reconstruct

    @cached_property
    def _whole(self) -> tuple[int, int]:
        return changes_of(self._path, self.store.folder)

    def __call__(self, number: int) -> Generator[Done]:
        """Yield the frames of a part as they are done; none after the end of the recording.

        A part whose input files have not changed is not done again, and of others the rows that can be used. What is
        done when the iteration is closed early is written as a shorter part.
        """
        old = self.store.part(number)
        if old is not None and self._is_unchanged(number, old.rows):
            yield from (_done(row, True) for row in old.rows)
            return
        rows: list[Row] = []
        timing = DepthTiming()
        whole = False
        try:
            for row, reused in self._followed(number, timing) if self._follower else self._alone(number, timing, old):
                rows.append(row)
                yield _done(row, reused)
            whole = True
        finally:
            if rows and (whole or old is None or len(rows) > len(old.rows)):
                self.store.pack(number, rows, timing.record())
        self.store.drop_rows(rows)

    def _is_unchanged(self, number: int, rows: list[Row]) -> bool:
        """Return whether a part of the recording still has the frames of these rows, with the same input files."""
        entries = self.frames.part(number)
        for place, row in enumerate(rows):
            entry = next(entries, None)
            if entry is None:
                return False
            if entry.name != str(row["frame_id"]) or not np.array_equal(row["inputs"], self._inputs(entry)):
                if place == 0:
                    self.frames.undraw()
                return False
        return next(entries, None) is None

    def _alone(self, number: int, timing: DepthTiming, old: Part | None) -> Iterator[tuple[Row, bool]]:
        """Yield the rows of a part, each from its frame alone, and whether it was there already."""
        known = {str(row["frame_id"]): row for row in old.rows} if old is not None else {}
        last = None
        for index, entry in enumerate(self.frames.part(number), number * self.frames.size):
            row = self._usable(known.get(entry.name) or self.store.kept(entry.name)[0], entry)
            reused = row is not None
            if row is None:
                row = self._new(index, entry, timing, last)
            else:
                self._observe_again(index, entry, row, timing)
            yield row, reused
            last = row

    def _followed(self, number: int, timing: DepthTiming) -> Iterator[tuple[Row, bool]]:
        """Yield the rows of a part whose hands are followed from frame to frame, and whether they were there already.

        Those that were kept are used up to the first one that is missing: the later ones would not depend on it.
        """
        follower = self._follower
        assert follower is not None
        follower.forget()
        clock = Clock(self.frames.selection.every * Clock.period)
        last, memory, begun = None, NOTHING, False
        for index, entry in enumerate(self.frames.part(number), number * self.frames.size):
            follower.at(clock(entry.seconds))
            row, found = (None, NOTHING) if begun else self.store.kept(entry.name)
            row = self._usable(row, entry)
            reused = row is not None
            if row is not None:
                memory = found
                self._observe_again(index, entry, row, timing)
            else:
                if not begun and len(memory):
                    follower.recall(memory)
                begun = True
                row = self._new(index, entry, timing, last)
            yield row, reused
            last = row

    def _usable(self, row: Row | None, entry: Entry) -> Row | None:
        """Return the row that was there before if the frame's input files are the same."""
        return row if row is not None and np.array_equal(row["inputs"], self._inputs(entry)) else None

    def _observe_again(self, index: int, entry: Entry, row: Row, timing: DepthTiming) -> None:
        """Compare depth and colour of a frame whose row was there already with those of the frame before."""
        if str(row["error"]):
            return
        with suppress(ValueError, FileNotFoundError):
            frame = self._open(entry)
            with self.watch("examine"):
                timing.observe(index, entry.name, frame)

    def _new(self, index: int, entry: Entry, timing: DepthTiming, last: Row | None) -> Row:
        """Return the row of frame `index`, which follows the one with the row `last`, once it is stored."""
        name, inputs = entry.name, self._inputs(entry)
        try:
            frame = self._open(entry)
            with self.watch("examine"):
                timing.observe(index, name, frame)
            with advising_unit(frame.depth_unit):
                hands = self._hands(frame, index, 0 if last is None else int(np.sum(last["present"] >= PRESENT)))
            row = make_row(name, hands, frame.camera.K, inputs, entry.seconds)
        except (ValueError, FileNotFoundError) as error:
            row = self._failed(entry, str(error), inputs, last)
        try:
            with self.watch("write"):
                self.store.keep(row, NOTHING if self._follower is None else self._follower.memory())
        except NotWrittenError as error:
            if not error.name_too_long:
                raise
            return self._failed(entry, str(error), inputs, last)
        return row

    def _failed(self, entry: Entry, error: str, inputs: np.ndarray, last: Row | None) -> Row:
        """Return the row of a frame that could not be used; its intrinsics are those of the frame before."""
        intrinsics = self.frames.source.intrinsics
        K = np.full((3, 3), np.nan) if intrinsics is None else intrinsics.matrix
        return failed_row(
            entry.name, error, K if last is None else last["K"], self.predictor.model, inputs, entry.seconds
        )

    def _hands(self, frame: RGBDFrame, index: int, before: int) -> TwoHands:
        """Return the hands of frame `index`, examined if it is due after a frame with `before` hands."""
        hands, examiner = self._reconstruct(frame, self.watch), self.predictor.examiner
        if examiner is None or not is_due(index, len(hands.present_sides), before):
            return hands
        with self.watch("examine"):
            return examiner.examine(frame, hands)

    def _inputs(self, entry: Entry) -> np.ndarray:
        """Return (2, 2) int64: bytes and time of change in ns of the frame's files, or of the recording; 0 if none."""
        found = [changes_of(path) for path in entry.files] or [self._whole]
        return np.array([*found, (0, 0)][:2], dtype=np.int64)

    def _open(self, entry: Entry) -> RGBDFrame:
        with self.watch("decode"):
            return entry.open()


def _done(row: Row, reused: bool) -> Done:
    return Done({name: value for name, value in row.items() if name != "vertices"}, reused)
