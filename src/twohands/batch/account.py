"""Summary of a run in little memory: its counts in one line, and the findings about the recording."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from twohands.checks.recording import check_hand_sizes, hand_sizes, sized
from twohands.checks.usual import Tally
from twohands.findings import Finding, findings_from_text
from twohands.hands import HandModel
from twohands.results import Row
from twohands.types import PRESENT, RIGHT, SIDE_NAMES


class Account:
    """Rows of a run counted one by one; `model` is their hand model."""

    def __init__(self, model: HandModel, rows: Iterable[Row] = ()):
        self._rest = np.asarray(model(model.neutral()).joints)[RIGHT]
        self.frames = self.doubtful = 0
        self.found = np.zeros(2, dtype=int)
        self.failed: list[tuple[str, str]] = []
        """Name and reason of the first frames that could not be used."""
        self.failures = 0
        self.findings, self.examined, self.usable = Tally(), Tally(), Tally()
        """Findings of all frames, of the examined ones, and of those that could be used."""
        self._residuals: list[float] = []
        self._sizes: list[np.ndarray] = []
        self._focal: list[float] = []
        for row in rows:
            self.add(row)

    def add(self, row: Row) -> None:
        """Count one more row."""
        name, found, findings = (
            str(row["frame_id"]),
            row["present"] >= PRESENT,
            findings_from_text(str(row["findings"])),
        )
        self.frames += 1
        self.found += found
        self.doubtful += int(np.sum(row["doubtful"]))
        self._residuals += [float(r) for r in row["depth_residual"][found] if np.isfinite(r)]
        self.findings.add(name, findings)
        if str(row["error"]):
            self.failures += 1
            self.failed = [*self.failed, (name, str(row["error"]))][:10]
        else:
            self.usable.add(name, findings)
        if row["examined"]:
            self.examined.add(name, findings)
        usable = sized(row["present"], row["fitted"], row["depth_support"])
        if usable.any() and "joints" in row:  # rows of a part that was seen lack them
            self._sizes.append(np.where(usable, hand_sizes(row["joints"], self._rest), np.nan))
            self._focal.append(float(row["K"][0, 0]))

    @property
    def residual(self) -> float:
        """Median distance of the found hands to the measured depth, metres; NaN if nothing could be compared."""
        return float(np.median(self._residuals)) if self._residuals else float("nan")

    def line(self) -> str:
        """Return one line: frames, found left / right, depth residual, failures, findings.

        Doubtful hands are counted, and findings by their code.
        """
        residual = f", median depth residual {self.residual * 1e3:.1f} mm" if self._residuals else ""
        failures = f", {self.failures} failed" if self.failures else ""
        sides = ", ".join(f"{name} found in {count}" for name, count in zip(SIDE_NAMES, self.found, strict=True))
        doubts = f" ({self.doubtful} of these hands doubtful)" if self.doubtful else ""
        findings = "".join(f", {code} in {count}" for code, count in self.findings.counts.most_common())
        return f"{self.frames} frames: {sides}{doubts}{residual}{failures}{findings}"

    @property
    def is_unusable(self) -> bool:
        """True if no frame could be used."""
        return self.failures == self.frames

    def raise_if_unusable(self, recording: object) -> None:
        """Raise ValueError with the first reason when no frame of the recording could be used."""
        if self.is_unusable:
            reason = self.failed[0][1] if self.failed else "it has no frame with colour and depth"
            raise ValueError(f"no frame of {recording} could be used; the first: {reason}")

    def usual_findings(self) -> list[Finding]:
        """Return the findings that hold for the recording, see `Tally.usual`.

        They are counted over the examined frames, or over all that could be used if none was examined.
        """
        return (self.examined if self.examined.total else self.usable).usual()

    def size_findings(self) -> list[Finding]:
        """Return the finding about the size of the fitted hands, see `check_hand_sizes`."""
        return check_hand_sizes(np.stack(self._sizes), float(np.median(self._focal))) if self._sizes else []

    def as_json(self) -> dict[str, object]:
        """Return the content of `summary.json`: counts, and every kind of finding with its first frame."""
        residual = round(self.residual, 6) if self._residuals else None
        kinds = {
            code: {"frames": count, "first": self.findings.first[code][1]}
            for code, count in self.findings.counts.most_common()
        }
        found = dict(zip(SIDE_NAMES, self.found.tolist(), strict=True))
        counts = {"frames": self.frames, "failed": self.failures, "found": found, "doubtful": self.doubtful}
        return {**counts, "depth_residual_median": residual, "findings": kinds}
