"""Processes that work on the parts of a run, each with its own networks; who does which part changes no byte of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from itertools import count
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from twohands.batch.part import Done, Frames, PartRun, Selection
from twohands.batch.store import Store
from twohands.predictor import Predictor, Stopwatch
from twohands.sources.source import Source

MOST_DEATHS = 3
"""Number of processes that may die over one part."""
PATIENCE = 60
"""Seconds in which a process that is no longer needed may store what it has."""


class Job(NamedTuple):
    """Everything that a process needs to work on the parts of a run; the functions are those of a module."""

    open_source: Callable[[], Source]
    load: Callable[[], Predictor]
    selection: Selection
    path: Path
    out: Path
    settings: dict[str, object]
    tracked: bool
    vertices: bool

    def parts(self, watch: Stopwatch) -> PartRun:
        """Return the work on parts with a source and networks of its own."""
        predictor = self.load()
        store = Store(self.out, self.settings, predictor.model, self.tracked, self.vertices)
        return PartRun(Frames(self.open_source(), self.selection), self.path, predictor, store, watch)


class Finished(NamedTuple):
    """A part that a process has finished: its number of frames, and the times of the steps."""

    frames: int
    wall: dict[str, float]
    cpu: dict[str, float]


class _Worker:
    """A process and the part that it works on."""

    def __init__(self, job: Job):
        context = get_context("spawn")  # a copy of a process that has run networks may hang
        self.ours, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(job, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.part = self.frames = 0
        """Number of the part, and of its frames that are done."""

    def give(self, part: int) -> None:
        """Let the process work on a part."""
        self.part, self.frames = part, 0
        with suppress(ConnectionError):  # a process that has died is noticed when it does not answer
            self.ours.send(part)

    def answer(self) -> Done | Finished | Exception | None:
        """Return what the process says next; None if it has died."""
        try:
            return self.ours.recv()
        except (EOFError, ConnectionError):
            return None


def _leave(workers: list[_Worker]) -> None:
    """Wait for the end of processes, which store what they have."""
    for worker in workers:
        worker.ours.close()
    for worker in workers:
        worker.process.join(PATIENCE)
        worker.process.kill()


def in_parallel(job: Job, workers: int, size: int, watch: Stopwatch) -> Generator[Done, None, int]:
    """Yield the frames of a run as processes finish them, and return the number of parts of the run.

    A process that dies is replaced and its part done again from the rows that are stored. An error in a process is
    raised here, and a ValueError if one part is the end of several processes.
    """
    numbers, deaths, told = count(), Counter[int](), Counter[int]()
    last: int | None = None  # the part in which the recording ends
    end, busy = 0, [_Worker(job) for _ in range(workers)]
    try:
        for worker in busy:
            worker.give(next(numbers))
        while busy:
            ready = wait([worker.ours for worker in busy])
            for worker in [worker for worker in busy if worker.ours in ready]:
                part, message = worker.part, worker.answer()
                if isinstance(message, Exception):
                    raise message
                if message is None:
                    deaths[part] += 1
                    busy.remove(worker)
                    _leave([worker])
                    if deaths[part] == MOST_DEATHS:
                        raise _deadly(range(part * size, (part + 1) * size))
                    busy.append(_Worker(job))
                    busy[-1].give(part)
                elif isinstance(message, Done):
                    worker.frames += 1
                    if worker.frames > told[part]:
                        told[part] = worker.frames
                        yield message
                else:
                    watch.add(message.wall, message.cpu)
                    end = max(end, part + (message.frames > 0))
                    if message.frames < size:
                        last = part if last is None else min(last, part)
                    following = next(numbers)
                    if last is None or following <= last:
                        worker.give(following)
                    else:
                        busy.remove(worker)
                        _leave([worker])
    finally:
        _leave(busy)
    return end


def _deadly(frames: range) -> ValueError:
    return ValueError(
        f"processes that work on frames {frames[0]} to {frames[-1]} keep dying, maybe for lack of memory; use fewer "
        "--workers"
    )


def _serve(job: Job, theirs: Connection) -> None:
    """Work on the parts whose numbers come, until none comes any more."""
    watch = Stopwatch()
    try:
        with watch("load"):
            parts = job.parts(watch)
        while True:
            frames = 0
            with closing(parts(theirs.recv())) as work:
                for done in work:
                    theirs.send(done)
                    frames += 1
            theirs.send(Finished(frames, dict(watch.wall), dict(watch.cpu)))
            watch.wall.clear()
            watch.cpu.clear()
    except (EOFError, ConnectionError, KeyboardInterrupt):
        return
    except Exception as error:
        theirs.send(error)
