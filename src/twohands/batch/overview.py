"""Overview of a run over many recordings: totals, failures, and one line for each recording."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from twohands.batch.recordings import Unit
from twohands.batch.unit import SUMMARY, Outcome
from twohands.files import write_atomically
from twohands.findings import Finding
from twohands.predictor import Stopwatch
from twohands.types import SIDE_NAMES


class Overview:
    """Outcomes of recordings counted one by one; `units` are all recordings that the run is to do."""

    def __init__(self, units: Iterable[Unit]):
        self._addresses = {unit.name: unit.address for unit in units}
        self.outcomes: dict[str, Outcome] = {}
        self.watch = Stopwatch()

    def add(self, outcome: Outcome) -> None:
        """Count one more recording."""
        self.outcomes[outcome.name] = outcome
        self.watch.add(dict(outcome.wall), dict(outcome.cpu))

    @property
    def failed(self) -> dict[str, str]:
        """Names of the recordings without a result, and why."""
        return {outcome.name: outcome.error for outcome in self.outcomes.values() if outcome.error}

    @property
    def is_whole(self) -> bool:
        """True if every recording has a result, and every frame could be used."""
        return len(self.outcomes) == len(self._addresses) and not self.failed and not self._total("failed")

    def line(self) -> str:
        """Return one line: recordings, frames, found left / right, failures."""
        there = sum(outcome.was_there for outcome in self.outcomes.values())
        before = f" ({there} were finished before)" if there else ""
        lost = f", {len(self.failed)} failed" if self.failed else ""
        frames = f", {self._total('failed')} frames failed" if self._total("failed") else ""
        sides = ", ".join(f"{name} found in {count}" for name, count in self._found().items())
        finished = f"{len(self.outcomes) - len(self.failed)} of {len(self._addresses)} recordings{before}"
        return f"{finished}, {self._total('frames')} frames: {sides}{lost}{frames}"

    def findings(self) -> list[Finding]:
        """Return the findings of the recordings, one of each kind, which names the first recording that has it."""
        found = []
        for code, places in self._kinds().items():
            (first, finding), others = places[0], len(places) - 1
            name = f"{first} and {others} more" if others else first
            found.append(Finding(code, finding.severity, f"{name}: {finding.sentence}", finding.values))
        return found

    def write(self, path: Path) -> None:
        """Write the overview as JSON; its content depends on the results alone, not on when they were made."""
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")

    def as_json(self) -> dict[str, object]:
        """Return totals, findings of recordings by kind, and for each recording its summary or why it failed."""
        recordings = {}
        for name, address in self._addresses.items():
            outcome = self.outcomes.get(name)
            about = {"error": "not done yet"} if outcome is None else {"error": outcome.error, **outcome.summary}
            recordings[name] = {"recording": address, **about}
        kinds = {code: {"recordings": len(places), "first": places[0][0]} for code, places in self._kinds().items()}
        return {
            "recordings": len(self._addresses),
            "finished": len(self.outcomes) - len(self.failed),
            "frames": self._total("frames"),
            "frames_failed": self._total("failed"),
            "found": self._found(),
            "doubtful": self._total("doubtful"),
            "findings": kinds,
            "of": recordings,
        }

    def _kinds(self) -> dict[str, list[tuple[str, Finding]]]:
        """Return the findings of each kind with the names of their recordings, in the order of the recordings."""
        kinds: dict[str, list[tuple[str, Finding]]] = {}
        for name in self._addresses:
            for finding in self.outcomes[name].findings if name in self.outcomes else ():
                kinds.setdefault(finding.code, []).append((name, finding))
        return kinds

    def _total(self, name: str) -> int:
        return sum(outcome.summary.get(name, 0) for outcome in self.outcomes.values())

    def _found(self) -> dict[str, int]:
        summaries = [outcome.summary for outcome in self.outcomes.values() if outcome.summary]
        return {side: sum(summary["found"][side] for summary in summaries) for side in SIDE_NAMES}


def path_of(out: Path, shard: str | None) -> Path:
    """Return the path of the overview of a run, or of a shard `I/N` of it."""
    name = Path(SUMMARY)
    return out / (name if shard is None else f"{name.stem}-{shard.replace('/', '-of-')}{name.suffix}")
