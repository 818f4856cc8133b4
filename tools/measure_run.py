"""Measure `twohands run`: CPU seconds and memory of a frame, disk of an hour, two workers against one, flat memory.

    python tools/measure_run.py RECORDING --frames 600
    python tools/measure_run.py RECORDING --frames 300 --workers 1 --memory-frames 0
    python tools/measure_run.py --memory-frames 10000 --frames 0

RECORDING is a folder with rgb/, depth/ and cam_K.txt of consecutive frames. It is read forth and back until there are
`frames` frames, and `run` reads these with each number of `workers`, in a process of its own: two workers need more
than 300 frames. Bytes are those that a finished run leaves, without `hands.npz` and `hands.json`, which only short runs
have. The memory of a long run is that of small grey frames whose hands are made up by the stand-in of the tests, so
that it shows the growth of the bookkeeping, not the size of the networks; the peak of the last pass must be that of a
run of another length above 2,000 frames. Prints Markdown.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from itertools import chain, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import tyro
from tyro.conf import Positional

from twohands.batch import BatchRun, Selection, Tracking
from twohands.batch.store import Store
from twohands.hands import hand_model
from twohands.predictor import Stopwatch
from twohands.results import PARTS

FPS = 30
"""Frames a second of an hour."""
FIRST, STEP = 500, 500
"""Frames after which memory must be flat, and frames between two measurements of it."""
ROOT = Path(__file__).parent.parent


class Usage(NamedTuple):
    """Usage of one run."""

    wall: float  # seconds
    cpu: float  # seconds of all its processes
    memory: float  # MB of the largest of them


def main(
    recording: Positional[Path | None] = None,
    frames: int = 600,
    workers: tuple[int, ...] = (1, 2),
    memory_frames: int = 10_000,
) -> None:
    """Measure runs over `frames` frames of a recording, and the memory of one over `memory_frames` made-up frames."""
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before the start.\n")
    with TemporaryDirectory() as folder:
        if recording is not None and frames:
            measure_runs(lengthened(recording, frames, Path(folder) / "in"), frames, workers, Path(folder))
        if memory_frames:
            measure_memory(memory_frames, Path(folder) / "memory")
    print(f"\nLoad {os.getloadavg()[0]:.1f} at the end.")


def lengthened(recording: Path, frames: int, out: Path) -> Path:
    """Write a folder of links to the frames of a recording, forth and back until there are enough."""
    shutil.copytree(recording, out, ignore=lambda _, names: [name for name in names if name in ("rgb", "depth")])
    names = [sorted((recording / kind).iterdir()) for kind in ("rgb", "depth")]
    pairs = list(zip(*names, strict=True))
    for kind in ("rgb", "depth"):
        (out / kind).mkdir()
    for number, pair in enumerate(islice(cycle(chain(pairs, pairs[-2:0:-1])), frames)):
        for path in pair:
            (out / path.parent.name / f"{number:06d}{path.suffix}").symlink_to(path.resolve())
    return out


def measure_runs(recording: Path, frames: int, workers: tuple[int, ...], folder: Path) -> None:
    """Print time and memory of runs with different numbers of workers, and the bytes of an hour of results."""
    usages = {count: used_by(recording, folder / f"out-{count}", count) for count in workers}
    print("| workers | wall s | CPU s a frame | largest process, MB |\n|---|---|---|---|")
    for count, usage in usages.items():
        print(f"| {count} | {usage.wall:.0f} | {usage.cpu / frames:.3f} | {usage.memory:.0f} |")
    if {1, 2} <= set(usages):
        print(f"\nTwo workers are {usages[1].wall / usages[2].wall:.2f} times as fast as one.")
    first = folder / f"out-{workers[0]}"
    store = Store(folder / "small", {}, hand_model(), tracked=True, vertices=False)
    settings = json.loads((first / "run.json").read_text(encoding="utf-8"))
    full = Store(first, settings, hand_model(), tracked=True, vertices=True)
    for number in full.numbers():
        store.write_result(number, full.result(number))
    seen, large, small = (bytes_in(path) for path in (full.stage, first / PARTS, store.folder / PARTS))
    hour = FPS * 3600 / frames / 1e6
    print(f"\nAn hour at {FPS} frames/s, from {frames} frames: results {large * hour:.0f} MB with vertices")
    print(f"and {small * hour:.0f} MB without; what was seen, kept beside them, {seen * hour:.0f} MB.")


def used_by(recording: Path, out: Path, workers: int) -> Usage:
    """Return the usage of `twohands run` in a process of its own."""
    command = [sys.executable, "-m", "twohands", "run", str(recording), "--out", str(out), "--workers", str(workers)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Usage(wall, cpu, after.ru_maxrss / 1024)


def bytes_in(folder: Path) -> int:
    """Return the bytes of the files of a folder."""
    return sum(path.stat().st_size for path in folder.iterdir())


def measure_memory(frames: int, out: Path) -> None:
    """Print the memory of this process over a tracked run of made-up frames: while they are seen, and at the end."""
    sys.path.insert(0, str(ROOT / "tests"))
    fakes = importlib.import_module("fakes")
    source, predictor = fakes.GreyFrames(0.5 + 0.2 * np.sin(np.arange(frames) / 8)), fakes.grey_predictor()
    batch = BatchRun(source, Path(__file__), predictor, out, {}, Stopwatch(), Selection(), Tracking())
    curve, start = {}, time.process_time()
    for number, _ in enumerate(batch.work(), 1):
        if number % STEP == 0:
            curve[number] = resident()
    seen = resident()
    batch.finish()
    end, cpu = resident(), time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nMemory in MB over {frames} frames of a stand-in ({1e3 * cpu / frames:.1f} CPU ms a frame):")
    print(", ".join(f"{number}: {value:.0f}" for number, value in curve.items()))
    print(f"Growth after the first {FIRST} frames: {max(curve.values()) - curve[FIRST]:.0f} MB.")
    print(f"All seen: {seen:.0f}; peak of the pass that makes the result: {peak:.0f}; at the end: {end:.0f}.")


def resident() -> float:
    """Return the memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    tyro.cli(main)
