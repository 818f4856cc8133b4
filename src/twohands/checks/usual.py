"""The rule by which a finding about frames becomes one about their recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from twohands.findings import Finding

USUAL = 0.2
"""Smallest fraction of the frames examined that have a finding about the recording."""


class Tally:
    """Findings counted over frames: the first one of every code, its frame, and the number of frames that have it."""

    def __init__(self):
        self.first: dict[str, tuple[Finding, str]] = {}
        self.counts: Counter[str] = Counter()
        self.total = 0

    def add(self, name: str, findings: Iterable[Finding]) -> None:
        """Count one more frame."""
        self.total += 1
        codes = set()
        for finding in findings:
            self.first.setdefault(finding.code, (finding, name))
            codes.add(finding.code)
        self.counts.update(codes)

    def usual(self) -> list[Finding]:
        """Return the findings that USUAL of the frames have.

        The sentence ends with the number of those that have it, and with the first of them.
        """
        return [
            replace(finding, sentence=f"{finding} (in {self.counts[code]} of {self.total} frames, first {name})")
            for code, (finding, name) in self.first.items()
            if self.counts[code] >= USUAL * self.total
        ]


def usual(frames: Iterable[tuple[str, Iterable[Finding]]]) -> list[Finding]:
    """Return the findings about a recording that USUAL of its frames have, given by name, see `Tally`."""
    tally = Tally()
    for name, findings in frames:
        tally.add(name, findings)
    return tally.usual()
