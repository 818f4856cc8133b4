"""Examine frames spread over a recording and diagnose it.

Each line of the table covers some kinds of findings. A finding about frames becomes one about the recording if a fifth
of the examined frames have it. Findings from consecutive frames, time stamps and hand sizes are about the recording.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twohands.checks.examiner import Examiner, check
from twohands.checks.frame import DepthScaleError
from twohands.checks.hands_seen import check_seen
from twohands.checks.rate import check_times
from twohands.checks.recording import FEW, check_hand_sizes
from twohands.checks.registration import CODE as NOT_REGISTERED
from twohands.checks.registration import MIRROR_BACK
from twohands.checks.usual import USUAL, usual
from twohands.doctor.hands import CarefulPredictor
from twohands.doctor.look import Example, Look, example_of
from twohands.doctor.table import Check, table_of
from twohands.findings import Finding
from twohands.predictor import Predictor
from twohands.sources.opening import open_source
from twohands.sources.options import SourceOptions
from twohands.sources.source import Entry, Source
from twohands.types import RGBDFrame, TwoHands, no_hands

LOOKED_AT = 60
"""Largest number of frames whose hands are looked at, spread evenly."""
STRETCHES, STRETCH = 4, 40
"""Number and length of the stretches of consecutive frames in which depth and colour are compared in time."""
EXAMPLES, DRAWN = 3, 6
"""Number of frames on the page, and of those that are drawn, from which they are taken."""
UNIT = "depth_unit"
REFUSED = (UNIT, "unusable_frame", "unreadable_frame")
"""Findings of frames in which no hands were looked for."""
ONE_SIDE = "two_hands_of_one_side"
WITH_DEPTH = ("hands_out_of_range", "hands_small")
"""Findings about hands that mean nothing where depth is not that of the hands."""
MIRRORED = "depth_mirrored"
MIRRORED_SENTENCE = f"depth and colour are mirrored relative to each other; {MIRROR_BACK}"


@dataclass(frozen=True)
class Diagnosis:
    """Result of an examination: the table, the findings, and pictures."""

    recording: str
    """Kind and content of the recording."""
    frames: int
    looked_at: int
    checks: tuple[Check, ...]
    """Lines of the table."""
    findings: tuple[Finding, ...]
    """Warnings about the recording."""
    examples: tuple[Example, ...]
    depth_counts: np.ndarray
    """Number of readings (2, N) in steps of `look.BIN` metres: of all, and of those on hands."""

    @property
    def is_clean(self) -> bool:
        """True if nothing is wrong."""
        return not self.findings

    def as_dict(self) -> dict[str, Any]:
        """Return all but the pictures as plain values, for JSON."""
        return {
            "recording": self.recording,
            "frames": self.frames,
            "looked_at": self.looked_at,
            "clean": self.is_clean,
            "checks": [asdict(line) for line in self.checks],
            "findings": [asdict(finding) for finding in self.findings],
        }


class Examination:
    """The look at one recording with one predictor; `work` does it, `diagnosis` is what comes out."""

    def __init__(self, source: Source, predictor: Predictor):
        self._source, self._predictor = source, predictor
        self._examiner = predictor.examiner or Examiner(predictor.reconstruct)
        self._look = Look(predictor.model)
        self._examples: list[Example] = []

    def work(self) -> Iterator[str]:
        """Look at the frames, and yield the name of each that is decoded."""
        count = self._source.length
        count = sum(1 for _ in self._source) if count is None else count
        looked_at, consecutive = spread(count, LOOKED_AT), stretches(count)
        drawn = {looked_at[place] for place in spread(len(looked_at), DRAWN)}
        for index, entry in enumerate(self._source):
            self._look.seconds.append(entry.seconds)
            if index not in consecutive and index not in looked_at:
                continue
            frame = self._frame(entry, index in looked_at)
            if frame is not None and index in consecutive and frame.depth.any():
                self._look.timing.observe(index, entry.name, frame)
            if frame is not None and index in looked_at:
                self._see(entry.name, frame, index in drawn)
            yield entry.name

    def diagnosis(self) -> Diagnosis:
        """Return what the frames have told; raise ValueError when none could be read."""
        look = self._look
        if not look.found:
            reason = next((str(found[0]) for _, found in look.findings), "it has no frame with colour and depth")
            raise ValueError(f"no frame of the recording could be used; the first: {reason}")
        warnings = [finding for finding in usual(look.findings) if finding.severity == "warning"]
        warnings = [finding for finding in warnings if finding.code not in outvoted(look)]
        warnings += look.timing.findings() + check_times(look.seconds)
        focal = float(np.median([camera.K[0, 0] for camera in look.cameras]))
        warnings += check_hand_sizes(np.array(look.sizes).reshape(-1, 2), focal, FEW)
        searched = [1 for _, found in look.findings if not any(finding.code in REFUSED for finding in found)]
        if searched and not np.any(look.found):
            sentence = "no hands were found; check that they can be seen, upright and with their colours, on the page"
            warnings.append(Finding("no_hands", "warning", sentence))
        best = sorted(self._examples, key=lambda example: -example.interest)[:EXAMPLES]
        return Diagnosis(
            recording=self._source.about,
            frames=len(look.seconds),
            looked_at=len(look.findings),
            checks=table_of(look, warnings),
            findings=tuple(warnings),
            examples=tuple(example for example in self._examples if example in best),
            depth_counts=look.depth_counts,
        )

    def _frame(self, entry: Entry, looked_at: bool) -> RGBDFrame | None:
        """Return a frame, None where it cannot be read."""
        try:
            return entry.open()
        except (ValueError, FileNotFoundError) as error:
            if looked_at:
                self._look.findings.append((entry.name, (Finding("unreadable_frame", "warning", str(error)),)))
            return None

    def _see(self, name: str, frame: RGBDFrame, drawn: bool) -> None:
        """Look at one frame and its hands."""
        hands = self._hands(frame)
        findings, seen = list(hands.findings), check_seen(frame, self._look.see(frame, hands))
        elsewhere = [finding for finding in findings if finding.code == NOT_REGISTERED]
        findings += [finding for finding in seen if not elsewhere or finding.code not in WITH_DEPTH]
        if any(finding.values["mirrored"] for finding in elsewhere):
            findings.append(Finding(MIRRORED, "warning", MIRRORED_SENTENCE))
        self._look.findings.append((name, tuple(findings)))
        if drawn:
            warnings = sum(finding.severity == "warning" for finding in findings)
            faces = np.asarray(self._predictor.model.faces)
            self._examples.append(example_of(name, frame, hands, faces, warnings))

    def _hands(self, frame: RGBDFrame) -> TwoHands:
        """Return the hands with all findings about the frame; none, and the reason, where the frame is refused."""
        try:
            return self._examiner.examine(frame, self._predictor.reconstruct(frame))
        except DepthScaleError as error:
            values = {"judged_by": error.judged_by}
            reason = Finding(UNIT, "warning", error.sentence(frame.depth_unit), values)
        except ValueError as error:
            reason = Finding("unusable_frame", "warning", str(error))
        nothing = no_hands()
        return TwoHands(None, nothing.joints, nothing.present, findings=(reason, *check(frame)))


def outvoted(look: Look) -> set[str]:
    """Return the kinds of findings of frames against which the recording as a whole speaks.

    Two hands of one side, where more frames have a left and a right hand; mirrored depth, where fewer than half of
    the frames have it; and a depth unit that hands tell, where depth is not that of the hands.
    """
    counts = Counter(code for _, findings in look.findings for code in {finding.code for finding in findings})
    against = {ONE_SIDE} if counts[ONE_SIDE] < look.both_sides else set()
    if 2 * counts[MIRRORED] < len(look.findings):
        against.add(MIRRORED)
    units = [finding.values for _, findings in look.findings for finding in findings if finding.code == UNIT]
    if counts[NOT_REGISTERED] >= USUAL * len(look.findings) and all(unit["judged_by"] == "hands" for unit in units):
        against.add(UNIT)
    return against


def spread(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers from 0 to `count` - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)).tolist() if count else []


def stretches(count: int) -> set[int]:
    """Return the numbers of the frames in stretches spread over a recording of `count` frames."""
    if count <= STRETCHES * STRETCH:
        return set(range(count))
    starts = np.linspace(0, count - STRETCH, STRETCHES).round().astype(int).tolist()
    return {start + number for start in starts for number in range(STRETCH)}


def examine(
    recording: str | Path | Source, options: SourceOptions | None = None, predictor: Predictor | None = None
) -> Diagnosis:
    """Return the diagnosis of a recording, given as a path, which `open_source` opens with `options`, or already open.

    The result has `checks` (the lines of the table), `findings` (the warnings) and `is_clean`. Raise ValueError or
    FileNotFoundError with the fix when the recording cannot be used at all.
    """
    source = open_source(recording, options) if isinstance(recording, str | Path) else recording
    examination = Examination(source, predictor or CarefulPredictor())
    for _ in examination.work():
        pass
    return examination.diagnosis()
