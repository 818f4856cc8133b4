"""Frames on disk: `write_shards` stores a data set, `SyntheticShards` reads it back.

A folder holds `shard-00000.tar`, ... of 50 frames each, and `index.json`: what was asked for, and of each finished
shard its size, checksums and where its files lie. A shard appears under its name only when it is complete, and its
bytes depend on the data set alone: writing again resumes, any number of workers writes the same.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from twohands.claims import refuse_other
from twohands.files import locked, write_atomically
from twohands.synth.engine import Description, SyntheticHands, describe
from twohands.synth.index import (
    INDEX_NAME,
    describe_request,
    frames_by_shard,
    index_text,
    noted_records,
    read_index,
    rendered_content,
    shard_path,
)
from twohands.synth.records import ShardRecord, decode_sample, encode_sample, examine, pack
from twohands.types import Sample

FRAMES_PER_SHARD = 50
_LOCK_NAME = ".lock"
_WATCH = 0.3  # seconds between looks at the parent process
_AGAIN = "run the same `twohands synth` or `twohands data pack` command again"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Frames(Protocol):
    """What can be stored: samples by index."""

    def __getitem__(self, index: int, /) -> Sample: ...


def write_shards(
    dataset: Frames,
    count: int,
    out: str | Path,
    workers: int = 1,
    progress: bool = True,
    per_shard: int = FRAMES_PER_SHARD,
    content: dict[str, Any] | None = None,
) -> Path:
    """Write frames 0 .. count - 1 into the folder `out`, skipping the shards that are there; returns the folder.

    `content` says what frames these are, if they are not rendered ones. Two `workers` or more are processes that import
    the script which calls this: it must do so under `if __name__ == "__main__":`. Raises ValueError with the remedy: a
    count or workers below 1, a folder that cannot be written, that holds something else than an unfinished run of the
    same request or a damaged shard, a full disk, a worker that was ended.
    """
    if count < 1:
        raise ValueError(f"the number of frames must be at least 1; got {count}")
    if workers < 1:
        raise ValueError(f"the number of workers must be at least 1; got {workers}")
    folder = Path(out)
    if content is None:
        assert isinstance(dataset, SyntheticHands)
        content = rendered_content(dataset)
    description = describe_request(content, count, per_shard)
    _claim(folder, description)
    with _alone(folder):
        records = _finished(folder, count, per_shard)
        missing = {number: span for number, span in frames_by_shard(count, per_shard).items() if number not in records}

        def note() -> None:
            _store(folder / INDEX_NAME, index_text(description, records).encode())

        def keep(number: int, record: ShardRecord) -> None:
            records[number] = record
            note()

        note()  # what a killed run had no time to
        with _bar(progress, count, count - sum(map(len, missing.values()))) as advance:
            if workers == 1 or len(missing) <= 1:
                for number, span in missing.items():
                    keep(number, _write_shard(dataset, shard_path(folder, number), span, advance))
            else:
                _write_in_parallel(dataset, folder, missing, min(workers, len(missing)), advance, keep)
    return folder


class SyntheticShards:
    """A written data set; `shards[index]` is the stored frame, with the colours of its JPEG.

    Opening reads the index alone; a frame maps its shard into memory for as long as its four files are copied, so that
    any number of shards costs no open files, and nothing stands in the way of processes that read the same folder.
    Raises ValueError with the remedy when a shard is missing, cut short or, on reading a frame, not what was written.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.description = read_index(self.folder)
        self.count = int(self.description["count"])
        self.per_shard = int(self.description["frames_per_shard"])
        self._spans = frames_by_shard(self.count, self.per_shard)
        self._records = noted_records(self.description)
        absent = [path.name for path in map(self._path, self._spans) if not path.exists()]
        if absent:
            raise ValueError(
                f"{self.folder} lacks {len(absent)} of {len(self._spans)} shards ({absent[0]}"
                f"{', ...' if len(absent) > 1 else ''}); {_AGAIN} to finish it"
            )
        for number, record in self._records.items():
            _check_size(self._path(number), record)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"frame {index} of {self.count}")
        number = index // self.per_shard
        with _mapped(self._path(number)) as content:
            if number not in self._records:  # format 1, or a run that was killed before it noted its last shard
                self._records[number] = examine(content, self._spans[number])
            files = self._records[number].files(content, index)
        return decode_sample(files, f"{self.description['split']}-{self.description.get('seed', 0)}-{index:06d}")

    def describe(self, index: int) -> Description:
        """The figures of a stored frame."""
        sample = self[index]
        return describe(sample.hands, np.asarray(sample.shares), sample.frame.camera)

    def _path(self, number: int) -> Path:
        return shard_path(self.folder, number)


@contextmanager
def _mapped(path: Path) -> Iterator[mmap]:
    """The bytes of a shard; what goes wrong with them becomes a sentence with the remedy."""
    try:
        with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
            yield content
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; {_AGAIN} to write it") from None
    except ValueError as error:  # of an empty file too
        raise _damaged(path, error) from None


def _check_size(path: Path, record: ShardRecord) -> None:
    size = path.stat().st_size
    if size != record.size:
        raise _damaged(path, f"{size} bytes, not {record.size}")


def _damaged(path: Path, why: object) -> ValueError:
    return ValueError(f"{path} is damaged ({why}); delete {path.name} and {_AGAIN}")


def _write_shard(dataset: Frames, path: Path, indices: range, advance: Callable[[int], None]) -> ShardRecord:
    def frames() -> Iterator[tuple[int, dict[str, bytes]]]:
        for index in indices:
            yield index, encode_sample(dataset[index])
            advance(1)

    content = pack(frames())
    _store(path, content)
    return examine(content, indices)


def _store(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    with _helpful(path.parent), write_atomically(path) as temporary, temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _helpful(folder: Path) -> Iterator[None]:
    """What the file system refuses becomes a sentence with the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ValueError(
                f"the disk of {folder} is full; free some space and {_AGAIN}, it goes on after the finished shards"
            ) from error
        raise ValueError(f"cannot write into {folder} ({error.strerror}); give a folder you may write to") from error


def _write_in_parallel(
    dataset: Frames,
    folder: Path,
    missing: dict[int, range],
    workers: int,
    advance: Callable[[int], None],
    keep: Callable[[int, ShardRecord], None],
) -> None:
    context = get_context("spawn")  # forked children would inherit locks of the progress bar's thread
    counter = context.Value("q", 0)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(os.getpid(), counter, dataset))
    told = 0
    try:
        with _environment(_ONE_THREAD), _deaf():  # what the workers start with
            waiting = {pool.submit(_work, shard_path(folder, number), span): number for number, span in missing.items()}
        while waiting:
            finished, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in finished:
                keep(waiting.pop(future), future.result())
            count = counter.value
            advance(count - told)
            told = count
    except BrokenProcessPool as error:
        raise ValueError(
            f"a worker was ended from outside, perhaps for want of memory; {_AGAIN}, with fewer --workers "
            '(a script of your own asks for workers under `if __name__ == "__main__":` only)'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes that are started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started meanwhile do not hear Ctrl-C yet; this one hears it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_frames_done: Any = None  # in a worker: the counter shared with the parent
_dataset: Any = None  # in a worker: what it draws from, sent once since it may be large


def _start_worker(parent: int, counter: Any, dataset: Frames) -> None:
    """Remember the counter and the data set, and end with the parent, however it ends, and without a word on Ctrl-C."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # what a script runs in its background is deaf and stays so
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupted shard is drawn anew: nothing is to be tidied up
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    global _frames_done, _dataset
    _frames_done, _dataset = counter, dataset

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(path: Path, indices: range) -> ShardRecord:
    def advance(steps: int) -> None:
        with _frames_done.get_lock():
            _frames_done.value += steps

    return _write_shard(_dataset, path, indices, advance)


@contextmanager
def _bar(show: bool, total: int, done: int) -> Iterator[Callable[[int], None]]:
    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, disable=not show) as bar:
        task = bar.add_task("frames", total=total, completed=done)
        yield lambda steps: bar.advance(task, steps)


def _finished(folder: Path, count: int, per_shard: int) -> dict[int, ShardRecord]:
    """The records of the shards that are there, also of those that a killed run had no time to note."""
    known = noted_records(read_index(folder))
    finished = {}
    for number, span in frames_by_shard(count, per_shard).items():
        path = shard_path(folder, number)
        if not path.exists():
            continue
        with _mapped(path) as content:
            finished[number] = examine(content, span)
            if known.get(number, finished[number]) != finished[number]:
                raise ValueError("it is not what was written")
    return finished


def _claim(folder: Path, description: dict[str, Any]) -> None:
    """Make the folder ours: new, empty, or begun with the same description."""
    with _helpful(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / INDEX_NAME).exists():
            remedy = "give another folder, or the same request to resume"
            refuse_other(f"{folder} was begun", read_index(folder), description, remedy)
        elif any(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
            raise ValueError(f"{folder} holds other files; give a new or empty folder")
        else:
            _store(folder / INDEX_NAME, index_text(description, {}).encode())
        (folder / _LOCK_NAME).touch()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else writes into the folder meanwhile; the half-written files of a run that died are removed."""
    with locked(folder / _LOCK_NAME) as alone:
        if not alone:
            raise ValueError(f"another run is writing into {folder}; wait for it or give another folder")
        for pattern in (".shard-*.tar", ".index.*.json"):
            for stale in folder.glob(pattern):
                stale.unlink(missing_ok=True)
        yield
