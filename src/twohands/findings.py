"""`Finding`: something about a frame or its hands that the user should know, in one sentence with the remedy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["note", "warning"]
"""A note says what was done with the input; a warning says why the result may be wrong."""


@dataclass(frozen=True)
class Finding:
    """One finding about a frame, a hand or a recording; `str` is its sentence."""

    code: str
    """Kind of the finding, the same in every version: `depth_not_registered`, for example."""
    severity: Severity
    sentence: str
    """Measured fault and its remedy."""
    values: Mapping[str, float | str] = field(default_factory=dict)
    """The measured values by name; names end with their unit (`shift_px`)."""

    def __str__(self) -> str:
        return self.sentence


def findings_to_text(findings: Iterable[Finding]) -> str:
    """Return findings as a JSON list on one line, the form in which `hands.npz` stores them; empty for none."""
    plain = [asdict(finding) for finding in findings]
    return json.dumps(plain, allow_nan=False) if plain else ""


def findings_from_text(text: str) -> tuple[Finding, ...]:
    """Return the findings of a text that `findings_to_text` wrote."""
    return tuple(Finding(**finding) for finding in json.loads(text or "[]"))
