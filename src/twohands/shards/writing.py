"""Writing frames: resumable, by any number of processes.

A shard gets its name only when it is complete, and its bytes depend on the data set only. So writing again resumes, and
any number of workers writes the same bytes.
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
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from twohands.claims import refuse_other
from twohands.files import locked, write_atomically
from twohands.shards.index import (
    INDEX_NAME,
    describe_request,
    frames_by_shard,
    index_text,
    noted_records,
    read_index,
    shard_path,
)
from twohands.shards.reading import AGAIN, mapped
from twohands.shards.records import ShardRecord, encode_sample, examine, pack
from twohands.types import Frames

FRAMES_PER_SHARD = 50
_LOCK_NAME = ".lock"
_WATCH = 0.3  # seconds between looks at the parent process
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Environment of processes of which every core has one."""


def write_shards(
    dataset: Frames,
    count: int,
    out: str | Path,
    content: dict[str, Any],
    workers: int = 1,
    progress: bool = True,
    per_shard: int = FRAMES_PER_SHARD,
) -> Path:
    """Write frames 0 .. count - 1 into the folder `out`, without the shards that exist already, and return the folder.

    `content` describes the frames in plain values; a folder takes frames of one content only. Two or more `workers` are
    processes that import the calling script, which must call this under `if __name__ == "__main__":`. Raise ValueError
    with the fix when count or workers are below 1, when the folder cannot be written or holds another request, other
    files or a damaged shard, when the disk is full, or when a worker is killed.
    """
    if count < 1:
        raise ValueError(f"the number of frames must be at least 1; got {count}")
    if workers < 1:
        raise ValueError(f"the number of workers must be at least 1; got {workers}")
    folder = Path(out)
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

        note()  # records the shards that a killed run finished but did not record
        with _bar(progress, count, count - sum(map(len, missing.values()))) as advance:
            if workers == 1 or len(missing) <= 1:
                for number, span in missing.items():
                    keep(number, _write_shard(dataset, shard_path(folder, number), span, advance))
            else:
                _write_in_parallel(dataset, folder, missing, min(workers, len(missing)), advance, keep)
    return folder


def _write_shard(dataset: Frames, path: Path, indices: range, advance: Callable[[int], None]) -> ShardRecord:
    def frames() -> Iterator[tuple[int, dict[str, bytes]]]:
        for index in indices:
            yield index, encode_sample(dataset[index])
            advance(1)

    content = pack(frames())
    _store(path, content)
    return examine(content, indices)


def _store(path: Path, content: bytes) -> None:
    """Write a file completely or not at all."""
    with _helpful(path.parent), write_atomically(path) as temporary, temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _helpful(folder: Path) -> Iterator[None]:
    """Turn the errors of the file system into ValueError with the fix."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ValueError(
                f"the disk of {folder} is full; free some space and {AGAIN}, it resumes after the finished shards"
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
        with environment(ONE_THREAD), _deaf():  # the workers inherit both
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
            f"a worker was ended from outside, perhaps for want of memory; {AGAIN}, with fewer --workers "
            '(a script of your own asks for workers under `if __name__ == "__main__":` only)'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started inside."""
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
    """Block Ctrl-C inside, also in processes that are started there. This process receives it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_frames_done: Any = None  # in a worker: the counter shared with the parent
_dataset: Any = None  # in a worker: the data set, sent once since it may be large


def _start_worker(parent: int, counter: Any, dataset: Frames) -> None:
    """Keep the counter and the data set. The worker ends with its parent in any case, and silently on Ctrl-C."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # a script's background job ignores Ctrl-C; keep that
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # an interrupted shard is drawn again: nothing to clean up
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
    """Return the records of the shards in the folder, including those that a killed run did not record."""
    known = noted_records(read_index(folder))
    finished = {}
    for number, span in frames_by_shard(count, per_shard).items():
        path = shard_path(folder, number)
        if not path.exists():
            continue
        with mapped(path) as content:
            finished[number] = examine(content, span)
            if known.get(number, finished[number]) != finished[number]:
                raise ValueError("it is not what was written")
    return finished


def _claim(folder: Path, description: dict[str, Any]) -> None:
    """Claim the folder for this run: it must be new, empty, or started with the same description."""
    with _helpful(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / INDEX_NAME).exists():
            fix = "give another folder, or the same request to resume"
            refuse_other(f"{folder} was begun", read_index(folder), description, fix)
        elif any(entry for entry in folder.iterdir() if not entry.name.startswith(".")):
            raise ValueError(f"{folder} holds other files; give a new or empty folder")
        else:
            _store(folder / INDEX_NAME, index_text(description, {}).encode())
        (folder / _LOCK_NAME).touch()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder against other runs, and remove the half-written files of a run that died."""
    with locked(folder / _LOCK_NAME) as alone:
        if not alone:
            raise ValueError(f"another run is writing into {folder}; wait for it or give another folder")
        for pattern in (".shard-*.tar", ".index.*.json"):
            for stale in folder.glob(pattern):
                stale.unlink(missing_ok=True)
        yield
