"""Runs by several processes: the same bytes as by one, also when a process or all of them are killed."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from fakes import GreyFrames, grey_predictor
from kills import kill_after_three_rows
from test_tracked_runs import PLAIN, content, finished, waving
from twohands.batch import BatchRun, Parallel, Selection
from twohands.batch.part import Frames
from twohands.predictor import Stopwatch

SIZE = 8


def source(folder: Path | None = None) -> GreyFrames:
    """A recording of 24 frames in short parts; with a folder, processes die in one frame until a file in it says so."""
    Frames.size = SIZE
    if folder is not None:
        original = GreyFrames._open

        def dying(self, grey):
            if grey == self.greys[20] and not (folder / "died").exists():
                if folder.exists():
                    (folder / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, grey)

        GreyFrames._open = dying
    return GreyFrames(waving(24))


def run(out: Path, workers: int, deaths: Path | None = None) -> BatchRun:
    parallel = Parallel(workers, partial(source, deaths), grey_predictor)
    batch = BatchRun(
        source(), Path(__file__), grey_predictor(), out, {}, Stopwatch(), Selection(), PLAIN, parallel=parallel
    )
    assert len(list(batch.work())) == 24
    batch.finish()
    return batch


@pytest.fixture
def whole(tmp_path, monkeypatch):
    monkeypatch.setattr(Frames, "size", SIZE)
    finished(source(), tmp_path / "whole", PLAIN, Path(__file__))
    return content(tmp_path / "whole")


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path, whole):
    batch = run(tmp_path / "two", 2)
    assert content(tmp_path / "two") == whole
    assert (batch.done, batch.reused) == (24, 0)
    assert batch.watch.wall["decode"] > 0
    assert run(tmp_path / "two", 2).reused == 24


def test_a_worker_that_is_killed_loses_nothing(tmp_path, whole):
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    assert run(tmp_path / "out", 2, deaths).done == 24
    assert (deaths / "died").exists()
    assert content(tmp_path / "out") == whole


def test_a_part_that_always_kills_ends_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"frames 16 to 23 keep dying.* fewer --workers"):
        run(tmp_path / "out", 1, tmp_path / "missing")


def test_a_parent_that_is_killed_loses_nothing_and_leaves_nobody(tmp_path, whole):
    code = f"from pathlib import Path; import test_workers; test_workers.run(Path({str(tmp_path / 'out')!r}), 2)"
    kill_after_three_rows(code, tmp_path / "out")
    run(tmp_path / "out", 2)
    assert content(tmp_path / "out") == whole
