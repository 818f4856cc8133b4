"""Frames that many processes render while a network is trained, and their items in memory.

A process draws a frame and then makes several views of it, so nothing is written to a disk. It measures both and makes
as many views as take the fraction LOADING of its time. A process that ends or hangs is replaced, a frame that fails is
left out.
"""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from statistics import median
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.random import Generator

from twohands.geometry.record import TensorRecord
from twohands.shards.writing import ONE_THREAD, environment
from twohands.synth.engine import SyntheticHands
from twohands.types import Sample

LOADING = 0.35
"""Fraction of a process's time in which it makes views of the frames that it renders in the rest."""
MOST_VIEWS = 12
"""Largest number of views of a frame."""
PATIENCE = 600.0
"""Seconds without a frame after which a process counts as hung; the first frame waits for compilation."""
TRIES = 3
"""Processes in a row that end without a frame before their place stays empty."""
AFTER = 10_000_000
"""Distance between the frames of a process and those of the one that replaces it."""
Item = TypeVar("Item", bound=TensorRecord)
View = Callable[[Sample, Generator], Any]
"""Function from a frame to a random view of it, a `TensorRecord` of NumPy arrays; it is sent to other processes."""


@dataclass(frozen=True)
class Source:
    """The frames that are rendered, and what becomes of them."""

    frames: SyntheticHands
    view: View
    held_out: SyntheticHands
    held_out_count: int
    held_out_view: View


@dataclass(frozen=True)
class Drawn:
    """The message of a process about one frame."""

    items: tuple[Any, ...] = ()
    held_out: bool = False
    render_seconds: float = 0.0
    view_seconds: float = 0.0  # of one view
    fault: str = ""


class Renderers:
    """Processes that render; a context. `take()` returns the items that have come."""

    def __init__(self, source: Source, count: int, tell: Callable[[str], None] = print):
        self.source, self.count, self.tell = source, count, tell
        self.frames = self.items = self.faults = 0
        self.costs: deque[tuple[float, float]] = deque(maxlen=200)
        self.held_out: list[Any] = []
        self._inbox: deque[Any] = deque()
        self._context = get_context("spawn")
        self._places: dict[Connection, _Place] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._receive, daemon=True)

    def __enter__(self) -> Renderers:
        for number in range(self.count):
            self._start(number, 0, 0)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join()
        for place in self._places.values():
            place.process.kill()
            place.process.join()

    @property
    def alive(self) -> bool:
        """True while any process renders."""
        return bool(self._places)

    @property
    def split(self) -> str:
        """The measured times, and the number of views that follows from them, as words."""
        if not self.costs:
            return "nothing rendered yet"
        render, view = (median(values) for values in zip(*self.costs, strict=True))
        return f"{render:.2f} s a frame, {view:.3f} s a view: {views_of(render, view)} views of every frame"

    def take(self) -> list[Any]:
        """Return the items that have come since the last call."""
        return [self._inbox.popleft() for _ in range(len(self._inbox))]

    def _start(self, number: int, generation: int, idle: int) -> None:
        here, there = self._context.Pipe(duplex=False)
        process = self._context.Process(
            target=_work, args=(there, self.source, number, self.count, generation), daemon=True
        )
        with environment(ONE_THREAD):
            process.start()
        there.close()
        self._places[here] = _Place(process, number, generation, idle, time.monotonic())

    def _receive(self) -> None:
        while not self._closing.is_set() and self._places:
            for connection in wait(list(self._places), timeout=0.5):
                assert isinstance(connection, Connection)
                try:
                    self._note(connection.recv())
                except Exception as error:  # a process that is killed may leave any bytes behind
                    self._replace(connection, error)
                else:
                    place = self._places[connection]
                    place.last, place.idle = time.monotonic(), 0
            for place in self._places.values():
                if time.monotonic() - place.last > PATIENCE:
                    place.process.kill()  # its connection ends, and it is replaced

    def _note(self, drawn: Drawn) -> None:
        if drawn.fault:
            self.faults += 1
            self.tell(f"a frame was left out: {drawn.fault}")
        elif drawn.held_out:
            self.held_out.extend(drawn.items)
        else:
            self.frames += 1
            self.items += len(drawn.items)
            self.costs.append((drawn.render_seconds, drawn.view_seconds))
            self._inbox.extend(drawn.items)

    def _replace(self, connection: Connection, error: Exception) -> None:
        place = self._places.pop(connection)
        connection.close()
        place.process.kill()
        place.process.join()
        self.faults += 1
        again = place.idle + 1 < TRIES
        self.tell(
            f"renderer {place.number} ended (exit code {place.process.exitcode}, {type(error).__name__}); "
            + ("another one takes its place" if again else "its place stays empty")
        )
        if again and not self._closing.is_set():
            self._start(place.number, place.generation + 1, place.idle + 1)


class Pool(Generic[Item]):
    """Items in the memory of a device, as many as fit into some bytes; new ones replace the oldest."""

    def __init__(self, bytes_: float, device: str, seed: int = 0):
        self.bytes, self.device = bytes_, device
        self.added = self.capacity = 0
        self._rng = torch.Generator(device).manual_seed(seed)
        self._stored: list[torch.Tensor] = []
        self._shape: Any = None

    def add(self, items: Sequence[Item]) -> None:
        """Store single items of NumPy arrays."""
        if not items:
            return
        batch = type(items[0]).stack(items).map(torch.from_numpy)
        arrays = _arrays(batch)
        if not self._stored:
            self.capacity = max(int(self.bytes * len(items) / sum(array.nbytes for array in arrays)), 1)
            self._shape = batch
            self._stored = [
                torch.empty((self.capacity, *array.shape[1:]), dtype=array.dtype, device=self.device)
                for array in arrays
            ]
        places = (torch.arange(self.added, self.added + len(items)) % self.capacity).to(self.device)
        for stored, array in zip(self._stored, arrays, strict=True):
            stored.index_copy_(0, places, array.to(self.device))
        self.added += len(items)

    def draw(self, count: int) -> Item:
        """Return a batch of random items."""
        held = min(self.added, self.capacity)
        chosen = torch.randint(held, (count,), generator=self._rng, device=self.device)
        arrays = iter([stored.index_select(0, chosen) for stored in self._stored])
        return self._shape.map(lambda _: next(arrays))


def views_of(render: float, view: float) -> int:
    """Return the number of views of a frame from the seconds that a frame and a view take."""
    return int(np.clip(round(LOADING / (1 - LOADING) * render / max(view, 1e-6)), 1, MOST_VIEWS))


@dataclass
class _Place:
    process: Any
    number: int
    generation: int
    idle: int  # processes before this one that ended without a frame
    last: float  # time of its last frame


def _work(connection: Connection, source: Source, number: int, count: int, generation: int) -> None:
    """Render until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    torch.set_num_threads(1)
    seed = [source.frames.seed, number, generation]
    costs: deque[tuple[float, float]] = deque(maxlen=15)
    try:
        if generation == 0:
            for index in range(number, source.held_out_count, count):
                rng = np.random.default_rng(index)
                connection.send(_drawn(source.held_out, index, source.held_out_view, rng, 1, held_out=True))
        for index in itertools.count(number + generation * AFTER, count):
            rng = np.random.default_rng([*seed, index])
            views = views_of(*(median(values) for values in zip(*costs, strict=True))) if costs else 1
            drawn = _drawn(source.frames, index, source.view, rng, views)
            if not drawn.fault:
                costs.append((drawn.render_seconds, drawn.view_seconds))
            connection.send(drawn)
    except OSError:  # the parent has gone
        return


def _drawn(frames: SyntheticHands, index: int, view: View, rng: Generator, views: int, held_out: bool = False) -> Drawn:
    try:
        started = time.perf_counter()
        sample = frames[index]
        rendered = time.perf_counter()
        items = tuple(view(sample, rng) for _ in range(views))
        return Drawn(items, held_out, rendered - started, (time.perf_counter() - rendered) / views)
    except Exception as error:  # one frame that fails must not end the others
        return Drawn(fault=f"{frames.id(index)}: {type(error).__name__}: {error}")


def _arrays(record: TensorRecord) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []

    def note(array: torch.Tensor) -> torch.Tensor:
        found.append(array)
        return array

    record.map(note)
    return found
