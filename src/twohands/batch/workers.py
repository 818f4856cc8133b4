"""Processes that work on the parts of a run, each with its own networks; the division does not change the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from twohands.batch.part import Done, Frames, PartRun, Selection
from twohands.batch.processes import Death, share_out
from twohands.batch.store import Store
from twohands.predictor import Predictor, Stopwatch
from twohands.sources.source import Source


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


class _PartWork:
    """The work of a process on parts, with a source and networks of its own."""

    def __init__(self, job: Job):
        self.watch = Stopwatch()
        with self.watch("load"):
            self.parts = job.parts(self.watch)

    def __call__(self, number: int) -> Generator[Done | Finished]:
        """Yield the frames of a part as they are done, and then what the part was."""
        frames = 0
        with closing(self.parts(number)) as part:
            for done in part:
                yield done
                frames += 1
        yield Finished(frames, dict(self.watch.wall), dict(self.watch.cpu))
        self.watch.wall.clear()
        self.watch.cpu.clear()


def in_parallel(job: Job, workers: int, size: int, watch: Stopwatch) -> Generator[Done, None, int]:
    """Yield the frames of a run as processes finish them, and return the number of parts of the run.

    A process that dies is replaced and its part done again from the rows that are stored. An error in a process is
    raised here, and a ValueError if one part is the end of several processes.
    """
    last: int | None = None  # the part in which the recording ends
    end = 0
    done, told = Counter[int](), Counter[int]()  # frames of each part: done by its process now, and yielded

    def numbers() -> Iterator[int]:
        for number in count():
            if last is not None and number > last:
                return
            yield number

    with closing(share_out(partial(_PartWork, job), numbers(), workers)) as messages:
        for part, message in messages:
            if isinstance(message, Done):
                done[part] += 1
                if done[part] > told[part]:
                    told[part] = done[part]
                    yield message
            elif isinstance(message, Finished):
                watch.add(message.wall, message.cpu)
                end = max(end, part + (message.frames > 0))
                if message.frames < size:
                    last = part if last is None else min(last, part)
            elif message is Death.LAST:
                raise _deadly(range(part * size, (part + 1) * size))
            else:
                done[part] = 0
    return end


def _deadly(frames: range) -> ValueError:
    return ValueError(
        f"processes that work on frames {frames[0]} to {frames[-1]} keep dying, perhaps for lack of memory; use fewer "
        "--workers"
    )
