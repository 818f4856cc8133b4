"""The work on one of many recordings: it is done once, and its failure does not affect the others.

`done.json`, beside the result, is written last. It holds the orders, bytes and time of change of the recording, and the
findings; a recording with such a file is not looked at again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from twohands.batch.orders import Orders
from twohands.batch.recordings import Unit
from twohands.files import NotWrittenError, write_atomically
from twohands.findings import Finding
from twohands.predictor import Predictor, Stopwatch
from twohands.sources.opening import open_source
from twohands.sources.remote import changes, staged

DONE, SUMMARY = "done.json", "summary.json"
DEADLY = "processes that work on it keep dying, perhaps for lack of memory; use fewer --workers"
"""Error of a recording that was the end of several processes."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The outcome of the work on a recording."""

    name: str
    error: str = ""
    """Why the recording has no result, '' if it has one."""
    summary: Mapping[str, Any] = field(default_factory=dict)
    """Content of the `summary.json` of the recording."""
    findings: tuple[Finding, ...] = ()
    """Findings of the recording."""
    was_there: bool = False
    """True if the recording was finished before."""
    wall: Mapping[str, float] = field(default_factory=dict)
    cpu: Mapping[str, float] = field(default_factory=dict)
    """Seconds of the steps."""


class Beat:
    """The message that a frame of a recording is done; a process whose parent has died fails to send it, and ends."""


class UnitWork:
    """The work of a process on recordings, with networks that are loaded for the first one that needs them."""

    def __init__(self, orders: Orders):
        self.orders = orders

    @cached_property
    def _predictor(self) -> Predictor:
        return self.orders.load()

    def __call__(self, unit: Unit) -> Generator[Beat | Outcome]:
        """Yield a beat for each frame, and then the outcome. Raise NotWrittenError when results cannot be stored."""
        try:
            known = self._finished(unit)
            if known is not None:
                yield known
                return
            yield from self._work(unit)
        except NotWrittenError as error:
            if not error.name_too_long:
                raise
            yield Outcome(unit.name, str(error))
        except (ValueError, OSError) as error:
            yield Outcome(unit.name, str(error))
        except Exception as error:  # an unknown fault of one recording must not end the work on thousands
            _log.exception("%s: %s", unit.name, unit.address)
            yield Outcome(unit.name, f"{type(error).__name__}: {error}")

    def outcome(self, unit: Unit) -> Outcome:
        """Do the whole work and return its outcome."""
        return next(message for message in self(unit) if isinstance(message, Outcome))

    def _work(self, unit: Unit) -> Generator[Beat | Outcome]:
        (unit.folder / DONE).unlink(missing_ok=True)
        claim, watch, orders = self._claim(unit), Stopwatch(), self.orders
        with ExitStack() as stack:
            with watch("stage"):
                path = stack.enter_context(staged(unit.address))
            batch = orders.begin(
                open_source(path, orders.reading), unit.address, path, unit.folder, self._predictor, watch
            )
            frames = stack.enter_context(closing(batch.work()))
            for _ in frames:
                yield Beat()
            account = batch.finish(orders.overlays, orders.glb, orders.parquet)
            findings = (*batch.notes, *batch.findings)  # the notes read the recording, which may be a copy
        account.raise_if_unusable(unit.address)
        with write_atomically(unit.folder / DONE) as temporary:
            text = json.dumps({**claim, "findings": [asdict(finding) for finding in findings]}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")
        yield Outcome(unit.name, "", account.as_json(), findings, wall=watch.wall, cpu=watch.cpu)

    def _claim(self, unit: Unit) -> dict[str, object]:
        """Return what a finished recording must agree with, as it is read back from JSON."""
        inputs = changes(unit.address, unit.folder)
        return json.loads(json.dumps({"recording": unit.address, "inputs": inputs, "orders": self.orders.as_json()}))

    def _finished(self, unit: Unit) -> Outcome | None:
        """Return the outcome of a recording that was finished before with the same orders, None if there is none."""
        try:
            done = json.loads((unit.folder / DONE).read_text(encoding="utf-8"))
            summary = json.loads((unit.folder / SUMMARY).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None
        findings = tuple(Finding(**finding) for finding in done.pop("findings", ()))
        return Outcome(unit.name, "", summary, findings, was_there=True) if done == self._claim(unit) else None
