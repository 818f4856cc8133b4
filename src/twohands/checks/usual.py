"""The rule by which a finding about frames is one about their recording."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from twohands.findings import Finding

USUAL = 0.2
"""Smallest fraction of the frames looked at that have a finding about the recording."""


def usual(frames: Iterable[tuple[str, Iterable[Finding]]]) -> list[Finding]:
    """Return the findings about a recording: the first one of every code that USUAL of the frames have.

    `frames`: names and findings of the frames looked at. The sentence ends with the number of those that have it, and
    with the first of them.
    """
    first: dict[str, tuple[Finding, str]] = {}
    counts: Counter[str] = Counter()
    total = 0
    for name, findings in frames:
        total += 1
        codes = set()
        for finding in findings:
            first.setdefault(finding.code, (finding, name))
            codes.add(finding.code)
        counts.update(codes)
    return [
        replace(finding, sentence=f"{finding} (in {counts[code]} of {total} frames, first {name})")
        for code, (finding, name) in first.items()
        if counts[code] >= USUAL * total
    ]
