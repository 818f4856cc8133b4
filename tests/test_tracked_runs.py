"""Runs that follow hands: parts, one steady result, and the same bytes wherever a run was interrupted."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

import twohands
from fakes import GreyFrames, fake_predictor, grey_predictor, make_frame, write_frame
from twohands import cli
from twohands.batch import BatchRun, Selection, Tracking
from twohands.batch.motion import is_numbered
from twohands.batch.part import Frames
from twohands.batch.store import Store
from twohands.predictor import Stopwatch
from twohands.results import read_results
from twohands.tracking import Clock
from twohands.types import RIGHT

SIZE, PLAIN = 8, Tracking()


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    monkeypatch.setattr(Frames, "size", SIZE)


def waving(count: int = 20) -> np.ndarray:
    """Greys of a hand that moves smoothly, seen with noise; it is lost for three frames and one frame is damaged."""
    greys = 0.5 + 0.2 * np.sin(np.arange(count) / 8) + np.random.default_rng(0).normal(0, 0.01, count)
    greys[[11, 12, 13]] = 0
    greys[5] = -1
    return greys


def batch_of(source, out: Path, tracking: Tracking | None = PLAIN, path: Path = Path(__file__)) -> BatchRun:
    return BatchRun(source, path, grey_predictor(), out, {}, Stopwatch(), Selection(), tracking)


def finished(source, out: Path, *more) -> BatchRun:
    batch = batch_of(source, out, *more)
    with closing(batch.work()) as frames:
        assert len(list(frames)) == batch.length
    batch.finish()
    return batch


def content(out: Path) -> dict[str, bytes]:
    """All files of the result of a run by name."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_tracked_run_is_steady_and_fills_gaps(tmp_path):
    greys = waving(40)
    finished(GreyFrames(greys), tmp_path / "alone", None)
    finished(GreyFrames(greys), tmp_path / "tracked", Tracking(two_pass=True))
    alone, tracked = (read_results(tmp_path / name) for name in ("alone", "tracked"))
    assert sorted(path.name for path in (tmp_path / "tracked").iterdir()) == [
        "hands.json", "hands.npz", "parts", "run.json", "seen", "summary.json",
    ]  # fmt: skip
    assert len(list((tmp_path / "tracked" / "seen").iterdir())) == 5
    assert alone["status"][[11, 12, 13], RIGHT].tolist() == ["absent"] * 3
    assert tracked["status"][[11, 12, 13], RIGHT].tolist() == ["infilled"] * 3
    assert tracked["status"][5, RIGHT] == "infilled"
    assert [bool(error) for error in tracked["error"]] == [index == 5 for index in range(40)]
    shaking = [np.nanmean(np.abs(np.diff(r["joints"][14:, RIGHT, 0, 0], n=2))) for r in (alone, tracked)]
    assert shaking[1] < 0.4 * shaking[0]
    truth = 0.1 * (0.5 + 0.2 * np.sin(np.arange(40) / 8))
    offset = tracked["joints"][:, RIGHT, 0, 0] - truth
    assert np.ptp(offset) < 0.006
    summary = json.loads((tmp_path / "tracked" / "summary.json").read_text())
    assert (summary["frames"], summary["failed"], summary["found"]["right"]) == (40, 1, 40)


def test_each_part_begins_anew(tmp_path):
    """What was seen in a part does not depend on the parts before; in it, it depends on the frames before."""
    greys = waving()
    greys[5] = 0.5
    finished(GreyFrames(greys), tmp_path / "one")
    greys[2] += 0.1
    finished(GreyFrames(greys), tmp_path / "two")
    one, two = content(tmp_path / "one"), content(tmp_path / "two")
    assert one["seen/part-00001.npz"] == two["seen/part-00001.npz"]
    assert one["parts/part-00001.npz"] != two["parts/part-00001.npz"]
    first, second = (
        read_results(tmp_path / name / "seen" / "part-00000.npz")["T_camera_from_wrist"] for name in ("one", "two")
    )
    changed = (first != second)[:, RIGHT].any(axis=(1, 2))
    assert changed.tolist() == [False] * 2 + [True] * 6


@pytest.mark.parametrize("tracking", [PLAIN, None], ids=["tracked", "alone"])
def test_interrupted_runs_end_with_the_same_bytes(tmp_path, tracking):
    source = GreyFrames(waving())
    finished(source, tmp_path / "whole", tracking)
    for number in (1, 6, 8, 13, 20):
        out = tmp_path / str(number)
        batch = batch_of(source, out, tracking)
        with closing(batch.work()) as frames:
            for _ in range(number):
                next(frames)
        account = batch.finish(whole=False)
        assert account.frames == number
        again = finished(source, out, tracking)
        assert again.reused == number
        assert content(out) == content(tmp_path / "whole"), number
    assert finished(source, tmp_path / "whole", tracking).done == 0


def dying(calls: list[int], original):
    """A method that kills its process at the last of some calls, together with others that share `calls`."""

    def method(self, *arguments):
        calls[0] -= 1
        if calls[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments)

    return method


def killed_run(out: Path, calls: int) -> None:
    left = [calls]
    for name in ("keep", "pack", "drop_rows", "write_result", "merge"):
        setattr(Store, name, dying(left, getattr(Store, name)))
    finished(GreyFrames(waving()), out)


@pytest.mark.skipif("not hasattr(os, 'fork')")
def test_killed_runs_end_with_the_same_bytes(tmp_path):
    """Killed before a row is stored, while parts are written, and in the sequential pass, again and again."""
    finished(GreyFrames(waving()), tmp_path / "whole")
    for calls in (5, 9, 10, 22, 26, 28, 29):
        out, code = tmp_path / str(calls), -signal.SIGKILL
        for _ in range(20):
            process = multiprocessing.get_context("fork").Process(target=killed_run, args=(out, calls))
            process.start()
            process.join()
            if process.exitcode == 0:
                break
            assert process.exitcode == code
        else:
            pytest.fail("the run never ended")
        assert content(out) == content(tmp_path / "whole"), calls


def test_changed_frames_are_done_again(tmp_path):
    source, out = GreyFrames(waving()), tmp_path / "out"
    finished(source, out)
    for path in (out / "seen" / "part-00001.npz", out / "parts" / "part-00002.npz"):
        path.unlink()
    assert finished(source, out).done == SIZE
    finished(source, tmp_path / "other")
    assert content(out) == content(tmp_path / "other")
    assert finished(source, out, Tracking(smooth=0.1)).done == 0  # only the sequential pass is another one
    assert content(out)["parts/part-00000.npz"] != content(tmp_path / "other")["parts/part-00000.npz"]
    with pytest.raises(ValueError, match="made with tracking = True, not False"):
        batch_of(source, out, None)


def test_a_recording_that_became_shorter_or_longer(tmp_path):
    greys = waving(24)
    for count in (20, 10, 24):
        finished(GreyFrames(greys[:count]), tmp_path / "out")
        finished(GreyFrames(greys[:count]), tmp_path / str(count))
        assert content(tmp_path / "out") == content(tmp_path / str(count))


def test_unrelated_pictures_stay_as_they_were_seen(tmp_path):
    rng = np.random.default_rng(0)
    greys = 40 * rng.uniform(0.1, 1, 20)  # metres
    batch = finished(GreyFrames(greys), tmp_path / "out")
    assert batch.is_unrelated
    arrays = read_results(tmp_path / "out")
    seen = read_results(tmp_path / "out" / "seen" / "part-00000.npz")
    np.testing.assert_array_equal(arrays["T_camera_from_wrist"][:SIZE], seen["T_camera_from_wrist"])
    assert np.isfinite(arrays["joints"][:, RIGHT]).all()
    assert np.isfinite(arrays["vertices"][:, RIGHT]).all()
    assert np.isnan(arrays["vertices"][:, 0]).all()
    assert not finished(GreyFrames(waving()), tmp_path / "related").is_unrelated


def folder(path: Path, names: list[str]) -> Path:
    for name in names:
        write_frame(path, name)
    return path


def test_the_command(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("twohands.predictor.load", lambda *choice: grey_predictor())
    recording = folder(tmp_path / "in", [f"{index:06d}" for index in range(3)])
    command = ["run", str(recording), "--out"]
    assert cli.main([*command, str(tmp_path / "a")]) == 0
    said = capsys.readouterr().err
    assert said.count("tracking assumes 30 frames a second") == 1
    assert "--fps" in said
    assert json.loads((tmp_path / "a" / "run.json").read_text())["tracking"] is True
    assert cli.main([*command, str(tmp_path / "b"), "--fps", "20"]) == 0
    assert "assumed" not in capsys.readouterr().err
    assert cli.main([*command, str(tmp_path / "c"), "--no-tracking"]) == 0
    assert "assumed" not in capsys.readouterr().err
    assert not (tmp_path / "c" / "seen").exists()
    assert cli.main([*command, str(tmp_path / "d"), "--smooth", "2"]) == 2
    assert "--smooth must lie between 0 and 1" in capsys.readouterr().err
    other = folder(tmp_path / "other", ["cat", "dog"])
    assert cli.main(["run", str(other), "--out", str(tmp_path / "e")]) == 0
    assert json.loads((tmp_path / "e" / "run.json").read_text())["tracking"] is False


def test_numbered_frames():
    for names, numbered in (("a1 a2 a10", True), ("1 2 3", True), ("a1 b2", False), ("cat", False)):
        source = GreyFrames(np.ones(len(names.split())), None, names.split())
        assert is_numbered(source) is numbered


def test_times_always_rise():
    clock = Clock(0.1)
    assert [round(clock(seconds), 6) for seconds in (5, 5.2, 5.2, None, 5.4, 1, 1.3)] == [
        5, 5.2, 5.3, 5.4, 5.5, 5.6, 5.9,
    ]  # fmt: skip


def test_track_in_python():
    lives = list(twohands.track(GreyFrames(waving(25)), grey_predictor()))
    states = [hands.status[RIGHT] for hands in lives]
    assert states[:14] == ["fitted"] * 5 + ["infilled"] + ["fitted"] * 5 + ["infilled"] * 3
    assert states[14:] == ["fitted"] * 11
    frames = [make_frame(), make_frame()]
    by_time = list(twohands.track([(0.0, frames[0]), (0.05, frames[1])], grey_predictor()))
    assert len(by_time) == len(list(twohands.track(frames, grey_predictor()))) == 2
    with pytest.raises(ValueError, match="use the method 'light' or 'landmarks'"):
        next(twohands.track(frames, fake_predictor()))
