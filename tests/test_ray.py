"""Many recordings on a Ray cluster of two CPUs: the result is that of this process, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from many import SIZE, alone, content, orders, write_recording
from twohands.batch.part import Frames
from twohands.batch.ray_cluster import by_ray
from twohands.batch.recordings import find_units
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


def run(folder: Path) -> dict[str, object]:
    """Return the outcomes by name; runs in the tests' process and in one that is killed."""
    units = find_units([f"{folder}/in/*.npz"], folder / "out")
    return {outcome.name: outcome for outcome in by_ray(orders(folder / "deaths"), units, 2, None)}


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


def test_a_driver_that_is_killed_loses_nothing(cluster):
    folder, whole = cluster
    (folder / "deaths" / "died").touch()
    code = f"from pathlib import Path; import test_ray; test_ray.run(Path({str(folder)!r}))"
    process = subprocess.Popen([sys.executable, "-c", code], cwd=TESTS, start_new_session=True)
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
