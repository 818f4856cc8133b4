"""A run over a recording: its parts are processed, then a sequential pass makes the result."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from twohands import __version__
from twohands.batch.account import Account
from twohands.batch.motion import has_times, is_unrelated, steady_rows, with_mesh
from twohands.batch.part import Done, Frames, PartRun, Selection
from twohands.batch.store import Store
from twohands.batch.workers import Job, in_parallel
from twohands.checks.timing import DepthTiming
from twohands.export import write_glb
from twohands.files import write_atomically
from twohands.findings import Finding
from twohands.overlay import draw_overlay
from twohands.pictures import contact_sheet
from twohands.predictor import Predictor, Stopwatch
from twohands.results import Row, hands_of_row
from twohands.sources.source import Source
from twohands.tracking import FPS

SHEET_PICTURES = 40
"""Largest number of overlays on a contact sheet, evenly spread."""
ASSUMED_TIMES = (
    f"the frames have no time stamps, so tracking assumes {FPS:g} frames a second; give --fps, or --no-tracking for "
    "unrelated frames"
)
UNRELATED = (
    "in most frames the hands are further from those of the previous frame than hands can move, so these frames are "
    "not a recording and each is processed on its own; pass --no-tracking"
)
"""Sentences of the notes."""


class Tracking(NamedTuple):
    """Options of the pass that makes hands steady, see `motion.steady`."""

    smooth: float = 0.5
    two_pass: bool = False


class Parallel(NamedTuple):
    """Number of processes, and how each gets a source and networks of its own: by functions of a module."""

    workers: int
    open_source: Callable[[], Source]
    load: Callable[[], Predictor]


class BatchRun:
    """A run over the chosen frames of a recording, with results in the folder `out`.

    `path` is the recording's file or folder; `settings` are what changes the rows beside it. With `tracking` the hands
    are followed from frame to frame and made steady.
    """

    def __init__(
        self,
        source: Source,
        path: Path,
        predictor: Predictor,
        out: Path,
        settings: dict[str, object],
        watch: Stopwatch,
        selection: Selection,
        tracking: Tracking | None,
        vertices: bool = True,
        parallel: Parallel | None = None,
    ):
        self.predictor, self.out, self.watch, self.tracking = predictor, out, watch, tracking
        self.faces = np.asarray(predictor.model.faces)
        self.selection, self.length = selection, selection.taken(source.length)
        self.reused = self.done = 0
        """Numbers of rows that were there already, and of those that are done now."""
        self.findings: list[Finding] = []
        """Findings about the recording, once the run is finished."""
        self.is_unrelated = False
        """True if the frames turned out not to be one recording, once a tracked run is finished."""
        own = {"version": __version__, "recording": str(path.resolve()), **selection._asdict()}
        own |= {"tracking": tracking is not None, "vertices": vertices}
        settings = {**own, **settings}
        self.store = Store(out, settings, predictor.model, tracking is not None, vertices)
        self.frames = Frames(source, selection)
        self._parts = PartRun(self.frames, path, predictor, self.store, watch)
        self._parallel = parallel
        if parallel is not None:
            place = selection, path, out, settings, tracking is not None, vertices
            self._job = Job(parallel.open_source, parallel.load, *place)

    @cached_property
    def _assumes_times(self) -> bool:
        return self.tracking is not None and not has_times(self.frames.source)

    @property
    def notes(self) -> list[Finding]:
        """Notes about the order and the times of the frames; that about the order once a tracked run is finished."""
        notes = []
        if self._assumes_times:
            notes.append(Finding("assumed_times", "note", ASSUMED_TIMES))
        if self.is_unrelated:
            notes.append(Finding("unrelated_frames", "note", UNRELATED))
        return notes

    def work(self) -> Generator[Done]:
        """Yield each frame of the recording once its row is stored."""
        frames = self._one_by_one() if self._parallel is None else self._by_workers(self._parallel.workers)
        with closing(frames):
            end = yield from self._counted(frames)
        self.store.remove_from(end)

    def _counted(self, frames: Generator[Done, None, int]) -> Generator[Done, None, int]:
        """Yield frames, count them and remove the pictures of those that are new; return what `frames` returns."""
        while True:
            try:
                frame = next(frames)
            except StopIteration as ending:
                return ending.value
            self.reused += frame.reused
            self.done += not frame.reused
            if not frame.reused:
                self._forget_pictures([frame.row])
            yield frame

    def _one_by_one(self) -> Generator[Done, None, int]:
        """Yield the frames of all parts and return the number of parts."""
        for number in count():
            frames = 0
            with closing(self._parts(number)) as part:
                for frame in part:
                    frames += 1
                    yield frame
            if frames < self.frames.size:
                return number + (frames > 0)
        raise AssertionError

    def _by_workers(self, workers: int) -> Generator[Done, None, int]:
        """Yield the frames as processes finish them and return the number of parts."""
        self.store.write_settings()
        return (yield from in_parallel(self._job, workers, self.frames.size, self.watch))

    def finish(self, overlays: bool = False, glb: bool = False, parquet: bool = False, whole: bool = True) -> Account:
        """Make the result of what was seen, with pictures and `hands.parquet` where wanted, and return its account.

        Unless the recording was read to its end (`whole`), the parts that are there make the result. `findings` are
        then those of the rows, and those about the timing.
        """
        account, names = Account(self.predictor.model), []
        for rows in self._results():
            with self.watch("write"):
                for row in rows:
                    account.add(row)
                    names.append(str(row["frame_id"]))
        if account.is_unusable:
            self.store.discard()
            return account
        timing = DepthTiming()
        for number in self.store.numbers():
            timing.add(self.store.timing(number))
        self.findings = [*account.usual_findings(), *account.size_findings(), *timing.findings()]
        self.store.merge(account.frames, self.findings)
        if parquet or self.store.parquet.exists():
            with self.watch("write"):
                self.store.write_parquet()
        self.store.write_summary(account.as_json())
        if whole:
            self.store.drop_all_rows()
        if overlays or glb:
            self._draw(overlays, glb)
        if overlays:
            self._sheet(names)
        return account

    def _results(self) -> Iterator[list[Row]]:
        """Yield the rows of the result part by part, once they are stored."""
        store, numbers = self.store, self.store.numbers()
        if self.tracking is None:
            yield from store.results()
            return
        self.is_unrelated = is_unrelated((store.seen(number) for number in numbers), self.selection)
        seen = (store.seen(number) for number in numbers)
        model = self.predictor.model
        steady = seen if self.is_unrelated else steady_rows(seen, self.selection, model, *self.tracking)
        for number, rows in zip(numbers, steady, strict=True):
            if self.is_unrelated:
                rows = [with_mesh(row, model) for row in rows]
            written, changed = store.write_result(number, rows)
            if changed:
                self._forget_pictures(written)
            yield written

    def _forget_pictures(self, rows: list[Row]) -> None:
        for name in (str(row["frame_id"]) for row in rows):
            for path in (self._overlay(name), self._glb(name)):
                if os.path.exists(path):
                    path.unlink()

    def _draw(self, overlays: bool, glb: bool) -> None:
        """Write the pictures and meshes of the result that are not there yet."""
        for number in self.store.numbers():
            known = {str(row["frame_id"]): row for row in self.store.result(number)}
            for entry in self.frames.part(number):
                row = known.get(entry.name)
                if row is None or str(row["error"]):
                    continue
                if not self.store.vertices:
                    row = with_mesh(row, self.predictor.model)
                if glb and not os.path.exists(self._glb(entry.name)):
                    with self.watch("write"):
                        write_glb(self._glb(entry.name), hands_of_row(row), self.faces)
                if overlays and not os.path.exists(self._overlay(entry.name)):
                    with self.watch("decode"):
                        frame = entry.open()
                    with self.watch("write"), write_atomically(self._overlay(entry.name)) as temporary:
                        picture = draw_overlay(frame, hands_of_row(row), self.faces)
                        Image.fromarray(picture).save(temporary, quality=90)

    def _sheet(self, names: list[str]) -> None:
        """Draw the contact sheet of the overlays that there are."""
        drawn = [name for name in names if os.path.exists(self._overlay(name))]
        if not drawn:
            return
        places = np.unique(np.linspace(0, len(drawn) - 1, SHEET_PICTURES).astype(int))
        chosen = [drawn[place] for place in places]
        pictures = [np.asarray(Image.open(self._overlay(name))) for name in chosen]
        with write_atomically(self.out / "overlays.jpg") as temporary:
            Image.fromarray(contact_sheet(pictures, chosen)).save(temporary, quality=88)

    def _overlay(self, frame_id: str) -> Path:
        return self.out / "overlays" / f"{frame_id}.jpg"

    def _glb(self, frame_id: str) -> Path:
        return self.out / "glb" / f"{frame_id}.glb"
