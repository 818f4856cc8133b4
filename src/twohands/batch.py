"""A run over a recording: one row per frame, stored at once, so that an interruption costs at most one frame."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from twohands import __version__
from twohands.checks.examiner import is_due
from twohands.checks.frame import advising_unit
from twohands.checks.recording import SUPPORTED, check_hand_sizes, hand_sizes
from twohands.checks.timing import TIMING, DepthTiming
from twohands.checks.usual import usual
from twohands.export import write_glb
from twohands.files import NotWrittenError, write_atomically
from twohands.findings import Finding, findings_from_text
from twohands.hands import HandModel
from twohands.overlay import draw_overlay
from twohands.pictures import contact_sheet
from twohands.predictor import Predictor, Stopwatch
from twohands.results import Row, RowStore, failed_row, hands_of_row, make_row
from twohands.sources.source import Entry, Source, changes_of
from twohands.types import PRESENT, RIGHT, RGBDFrame, TwoHands

SHEET_PICTURES = 40
"""Largest number of overlays on a contact sheet, evenly spread."""


def summary(rows: Sequence[Row]) -> str:
    """Return one line about the rows of a run: frames, found left / right, depth residual, failures, findings.

    Doubtful hands are counted, and findings by their code.
    """
    found = np.array([row["present"] for row in rows]) >= PRESENT
    residuals = np.array([row["depth_residual"] for row in rows])[found]
    measured = residuals[np.isfinite(residuals)]
    residual = f", median depth residual {np.median(measured) * 1e3:.1f} mm" if len(measured) else ""
    failed = sum(bool(str(row["error"])) for row in rows)
    failures = f", {failed} failed" if failed else ""
    left, right = found.sum(axis=0)
    doubtful = int(np.sum([row["doubtful"] for row in rows]))
    doubts = f" ({doubtful} of these hands doubtful)" if doubtful else ""
    codes = Counter(code for row in rows for code in {finding.code for finding in _findings(row)})
    findings = "".join(f", {code} in {count}" for code, count in codes.most_common())
    return f"{len(rows)} frames: left found in {left}, right found in {right}{doubts}{residual}{failures}{findings}"


def usual_findings(rows: Sequence[Row]) -> list[Finding]:
    """Return the findings that hold for a recording, see `usual`.

    The frames looked at are the examined ones, or all if none was examined.
    """
    examined = [row for row in rows if row["examined"]]
    looked_at = examined or [row for row in rows if not str(row["error"])]
    return usual((str(row["frame_id"]), _findings(row)) for row in looked_at)


def size_findings(rows: Sequence[Row], model: HandModel) -> list[Finding]:
    """Return the finding about the size of the fitted hands in the rows of a run, see `check_hand_sizes`."""
    usable = [row for row in rows if np.any(_sized(row))]
    if not usable:
        return []
    rest = np.asarray(model(model.neutral()).joints)[RIGHT]
    sizes = [np.where(_sized(row), hand_sizes(row["joints"], rest), np.nan) for row in usable]
    return check_hand_sizes(np.stack(sizes), float(np.median([row["K"][0, 0] for row in usable])))


def _sized(row: Row) -> np.ndarray:
    return row["fitted"] & (row["depth_support"] >= SUPPORTED)


def _findings(row: Row) -> tuple[Finding, ...]:
    return findings_from_text(str(row["findings"]))


class BatchRun:
    """A run over every `every`-th frame of a recording, with results in the folder `out`.

    `path` is the recording's file or folder; `settings` are what changes the rows beside it.
    """

    def __init__(
        self,
        source: Source,
        path: Path,
        predictor: Predictor,
        out: Path,
        settings: dict[str, object],
        watch: Stopwatch,
        every: int = 1,
    ):
        self.source, self.predictor, self.out, self.watch, self.every = source, predictor, out, watch, every
        self.faces = np.asarray(predictor.model.faces)
        self.reused = 0
        """Number of rows that were there already."""
        self.names: list[str] = []
        """Names of the frames that were drawn from the recording, in its order."""
        self.findings: list[Finding] = []
        """Findings about the recording, once the run is finished."""
        self.timing = DepthTiming()
        self._path = path
        self._K = np.full((3, 3), np.nan) if source.intrinsics is None else source.intrinsics.matrix
        own = {"version": __version__, "recording": str(path.resolve()), "every": every}
        self.store = RowStore(out, {**own, **settings}, self.faces, predictor.model.name)

    @cached_property
    def _whole(self) -> tuple[int, int]:
        return changes_of(self._path, self.out)

    @property
    def length(self) -> int | None:
        """Number of frames, None where only reading the recording tells."""
        return None if self.source.length is None else math.ceil(self.source.length / self.every)

    def work(self, overlays: bool, glb: bool) -> Iterator[Row]:
        """Yield each frame's row once it is stored.

        Finished frames only get missing pictures, unless one of their input files has changed.
        """
        before = 0
        for index, entry in enumerate(islice(self.source, 0, None, self.every)):
            self.names.append(entry.name)
            row = self._row(index, entry, before, overlays, glb)
            self._K = row["K"]
            before = int(np.sum(row["present"] >= PRESENT))
            yield row

    def _row(self, index: int, entry: Entry, before: int, overlays: bool, glb: bool) -> Row:
        """Return the row of frame `index`, which follows one with `before` hands; write what is not there yet."""
        name, inputs = entry.name, self._inputs(entry)
        row = self.store.rows.get(name)
        if row is not None and not np.array_equal(row["inputs"], inputs):
            row = None
            self._overlay(name).unlink(missing_ok=True)
            self._glb(name).unlink(missing_ok=True)
        new, frame = row is None, None
        self.reused += not new
        try:
            if row is None:
                frame = self._open(entry)
                with self.watch("examine"):
                    self.timing.observe(index, name, frame)
                with advising_unit(frame.depth_unit):
                    hands = self._reconstruct(frame, index, before)
                row = make_row(name, hands, frame.camera.K, inputs, entry.seconds)
            if overlays and not os.path.exists(self._overlay(name)):
                self._draw(frame or self._open(entry), row)
            if glb and not os.path.exists(self._glb(name)):
                with self.watch("write"):
                    write_glb(self._glb(name), hands_of_row(row), self.faces)
            if new:
                with self.watch("write"):
                    self.store.keep(row)
        except (ValueError, FileNotFoundError, NotWrittenError) as error:
            if isinstance(error, NotWrittenError) and not error.name_too_long:
                raise
            row = failed_row(name, str(error), self._K, self.predictor.model, inputs, entry.seconds)
            if new:
                self.store.keep(row)
        return row

    def _inputs(self, entry: Entry) -> np.ndarray:
        """Return (2, 2) int64: bytes and time of change in ns of the frame's files, or of the recording; 0 if none."""
        found = [changes_of(path) for path in entry.files] or [self._whole]
        return np.array([*found, (0, 0)][:2], dtype=np.int64)

    def _reconstruct(self, frame: RGBDFrame, index: int, before: int) -> TwoHands:
        """Return the hands of frame `index`, examined if it is due after a frame with `before` hands."""
        hands, examiner = self.predictor.reconstruct(frame, self.watch), self.predictor.examiner
        if examiner is None or not is_due(index, len(hands.present_sides), before):
            return hands
        with self.watch("examine"):
            return examiner.examine(frame, hands)

    def finish(self, overlays: bool, whole: bool = True) -> list[Row]:
        """Merge the rows into `hands.npz` and `hands.json`, draw the contact sheet, and return the rows.

        They are those of the frames drawn from the recording; unless it was read to its end (`whole`), those of an
        earlier run follow. `findings` are then those of the rows, and those about the timing of the frames that were
        processed now. Where rows were there already, the findings about the timing of earlier parts of the run are
        kept.
        """
        rows = self.store.available(self.names if whole else dict.fromkeys([*self.names, *self.store.rows]))
        timing = {finding.code: finding for finding in self.store.findings if self.reused and finding.code in TIMING}
        timing |= {finding.code: finding for finding in self.timing.findings()}
        self.findings = [*usual_findings(rows), *size_findings(rows, self.predictor.model), *timing.values()]
        self.store.merge(rows, self.findings)
        drawn = [str(row["frame_id"]) for row in rows if os.path.exists(self._overlay(str(row["frame_id"])))]
        if overlays and drawn:
            places = np.unique(np.linspace(0, len(drawn) - 1, SHEET_PICTURES).astype(int))
            chosen = [drawn[place] for place in places]
            pictures = [np.asarray(Image.open(self._overlay(frame_id))) for frame_id in chosen]
            with write_atomically(self.out / "overlays.jpg") as temporary:
                Image.fromarray(contact_sheet(pictures, chosen)).save(temporary, quality=88)
        return rows

    def _open(self, entry: Entry) -> RGBDFrame:
        with self.watch("decode"):
            return entry.open()

    def _overlay(self, frame_id: str) -> Path:
        return self.out / "overlays" / f"{frame_id}.jpg"

    def _glb(self, frame_id: str) -> Path:
        return self.out / "glb" / f"{frame_id}.glb"

    def _draw(self, frame: RGBDFrame, row: Row) -> None:
        with self.watch("write"):
            picture = draw_overlay(frame, hands_of_row(row), self.faces)
            with write_atomically(self._overlay(str(row["frame_id"]))) as temporary:
                Image.fromarray(picture).save(temporary, quality=90)
