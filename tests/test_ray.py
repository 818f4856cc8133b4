"""Many recordings on a Ray cluster of two CPUs: the result is that of this process, whoever is killed and when."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from many import SIZE, alone, content, orders, write_recording
from twohands.batch.executors import by_processes
from twohands.batch.part import Frames
from twohands.batch.ray_cluster import by_ray
from twohands.batch.recordings import find_units
from twohands.batch.unit import Outcome
from twohands.files import NotWrittenError

pytest.importorskip("ray")
pytestmark = pytest.mark.slow
TESTS = Path(__file__).parent
NAMES = ("r0", "r1", "r2")


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Three recordings, one of which kills a process once, and their results alone; actors find the tests."""
    monkeypatch.setattr(Frames, "size", SIZE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), *sys.path]))
    for number, (name, count) in enumerate(zip(NAMES, (20, 8, 12), strict=True)):
        write_recording(tmp_path / "in" / f"{name}.npz", count, number, deadly=5 if number == 2 else None)
    (tmp_path / "deaths").mkdir()
    return tmp_path, {name: alone(tmp_path / "in" / f"{name}.npz", tmp_path / "alone" / name) for name in NAMES}


def run(folder: Path, executor: str = "ray") -> dict[str, Outcome]:
    """Return the outcomes by name; runs in the tests' process and in one that is killed."""
    units, wanted = find_units([f"{folder}/in/*.npz"], folder / "out"), orders(folder / "deaths")
    found = by_ray(wanted, units, 2, None) if executor == "ray" else by_processes(wanted, units, 2)
    return {outcome.name: outcome for outcome in found}


def start(folder: Path, executor: str = "ray") -> subprocess.Popen[bytes]:
    code = f"from pathlib import Path; import test_ray; test_ray.run(Path({str(folder)!r}), {executor!r})"
    return subprocess.Popen([sys.executable, "-c", code], cwd=TESTS, start_new_session=True)


def test_an_actor_that_is_killed_loses_nothing(cluster):
    folder, whole = cluster
    (folder / "in" / "bad.npz").write_text("no recording")
    done = run(folder)
    assert (folder / "deaths" / "died").exists()
    assert {name for name, outcome in done.items() if outcome.error} == {"bad"}
    for name in NAMES:
        assert content(folder / "out" / name) == whole[name], name


def test_results_that_cannot_be_stored_end_the_run(cluster):
    folder, _ = cluster
    (folder / "out" / "r0").mkdir(parents=True)
    (folder / "out" / "r0" / "rows").write_text("in the way")
    with pytest.raises(NotWrittenError, match=r"^cannot write .*r0.*; free some space or give another folder$"):
        run(folder)


def test_a_cluster_that_is_not_there(tmp_path):
    units = find_units(["a.bag", "b.bag"], tmp_path)
    with pytest.raises(ValueError, match=r"no Ray cluster at 127\.0\.0\.1:1 .*; check --ray-address"):
        next(by_ray(orders(tmp_path), units, 1, "127.0.0.1:1"))


def test_a_driver_that_is_killed_loses_nothing(cluster):
    folder, whole = cluster
    (folder / "deaths" / "died").touch()
    process = start(folder)
    started = time.monotonic()
    while len(list(folder.glob("out/*/rows/*.npz"))) < 3:
        assert process.poll() is None
        assert time.monotonic() - started < 300
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not all((folder / "out" / name / "done.json").exists() for name in NAMES)
    assert not any(outcome.error for outcome in run(folder).values())
    for name in NAMES:
        assert content(folder / "out" / name) == whole[name], name


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_ten_kills_at_random_moments(cluster, executor):
    """The process that shares out, or one that works, is killed again and again until ten have died."""
    psutil = pytest.importorskip("psutil")
    folder, _ = cluster
    for number, name in enumerate(NAMES):
        write_recording(folder / "in" / f"{name}.npz", 60, number)
    for name in ("died", "slow"):
        (folder / "deaths" / name).touch()
    rng, kinds, process, started = np.random.default_rng(0), [], None, time.monotonic()
    while len(kinds) < 10:
        if process is None or process.poll() is not None:
            process = start(folder, executor)
        before = files(folder)
        while files(folder) == before and process.poll() is None:
            assert time.monotonic() - started < 1200
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.3))
        assert process.poll() is None, "the run ended before ten processes had died"
        victim = parent = psutil.Process(process.pid)
        if rng.random() < 0.5:
            while not (workers := [child for child in parent.children(recursive=True) if is_worker(child)]):
                time.sleep(0.01)  # until they have started, or started again
            victim = rng.choice(workers)
        kinds.append("parent" if victim is parent else "worker")
        victim.kill()
        if victim is parent:
            process.wait()
    print(kinds)
    assert len(set(kinds)) == 2
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()
    done = run(folder, executor)
    assert not any(outcome.error for outcome in done.values())
    for name in NAMES:
        whole = alone(folder / "in" / f"{name}.npz", folder / "whole" / name)
        assert content(folder / "out" / name) == whole, name


def files(folder: Path) -> set[tuple[str, int]]:
    """Return the result files that there are now."""
    found = set()
    for path in (folder / "out").rglob("*.npz"):
        with suppress(FileNotFoundError):
            found.add((path.name, path.stat().st_mtime_ns))
    return found


def is_worker(process) -> bool:
    with suppress(Exception):  # it may have ended by now
        return "ray::_Actor" in process.name() or "spawn_main" in " ".join(process.cmdline())
    return False
