"""Processes that divide units of work; a process that dies is replaced, and its unit is started again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from enum import Enum
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

MOST_DEATHS = 3
"""Number of processes that may die over one unit."""
PATIENCE = 60
"""Seconds in which a process that is no longer needed may store what it has."""

Unit = TypeVar("Unit")
Work = Callable[[Any], Generator[Any]]
"""The work of a process: a unit in, messages out, each of which can be sent."""


class Death(Enum):
    """The message about a process that has died."""

    AGAIN = "the unit is begun again"
    LAST = "the unit has been the end of MOST_DEATHS processes and is given up"


class _Process:
    """A process and the unit that it works on."""

    def __init__(self, prepare: Callable[[], Work]):
        context = get_context("spawn")  # a copy of a process that has run networks may hang
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(prepare, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.unit: Any = None

    def give(self, unit: object) -> None:
        """Let the process work on a unit."""
        self.unit = unit
        with suppress(ConnectionError):  # a process that has died is noticed when it does not answer
            self.ours.send(unit)

    def answer(self) -> tuple[bool, Any] | Exception | None:
        """Return whether the unit is finished, and otherwise a message; None if the process has died."""
        try:
            return self.ours.recv()
        except (EOFError, ConnectionError):
            return None


def share_out(
    prepare: Callable[[], Work], units: Iterator[Unit], workers: int
) -> Generator[tuple[Unit, Any], None, None]:
    """Yield the messages of the work on units as they come, each with its unit; `prepare` makes the work of a process.

    A unit is drawn when a process is free. The death of a process is a message. An error in a process is raised here.
    Processes store what they have when their parent dies, or when the iteration is closed.
    """
    deaths, busy = Counter[Unit](), list[_Process]()
    try:
        for _, unit in zip(range(workers), units, strict=False):
            busy.append(_Process(prepare))
            busy[-1].give(unit)
        while busy:
            ready = wait([process.ours for process in busy])
            for process in [process for process in busy if process.ours in ready]:
                unit, answer = process.unit, process.answer()
                if isinstance(answer, Exception):
                    raise answer
                if answer is None:
                    busy.remove(process)
                    _leave([process])
                    deaths[unit] += 1
                    is_last = deaths[unit] == MOST_DEATHS
                    yield unit, Death.LAST if is_last else Death.AGAIN
                    unit = next(units, None) if is_last else unit
                    if unit is not None:
                        busy.append(_Process(prepare))
                        busy[-1].give(unit)
                elif not answer[0]:
                    yield unit, answer[1]
                elif (unit := next(units, None)) is not None:
                    process.give(unit)
                else:
                    busy.remove(process)
                    _leave([process])
    finally:
        _leave(busy)


def _leave(processes: list[_Process]) -> None:
    """Wait for the end of processes, which store what they have."""
    for process in processes:
        process.ours.close()
    for process in processes:
        process.process.join(PATIENCE)
        process.process.kill()


def _serve(prepare: Callable[[], Work], theirs: Connection) -> None:
    """Work on the units that come, until none comes any more."""
    try:
        work = prepare()
        while True:
            with closing(work(theirs.recv())) as messages:
                for message in messages:
                    theirs.send((False, message))
            theirs.send((True, None))
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception as error:
        theirs.send(error)
