"""`twohands run` on recordings of every kind: names, time stamps, one pass, and resuming where it was killed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fakes import HEIGHT, WIDTH, FakeLocator, K, fake_predictor, write_frame
from recordings import PERIOD, START, plain
from twohands import cli, open_source
from twohands.results import read_results
from twohands.sources.folder import FolderRecording
from twohands.sources.options import SourceOptions


@pytest.fixture
def predictor(monkeypatch):
    fake = fake_predictor()
    monkeypatch.setattr("twohands.predictor.load", lambda *choice: fake)
    return fake.locate


def run(recording: Path, out: Path, *more: str) -> int:
    return cli.main(["run", str(recording), "--out", str(out), *more])


def stacked(path: Path, count: int = 4, **more) -> Path:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (count, HEIGHT, WIDTH, 3), dtype=np.uint8)
    np.savez(path, rgb=rgb, depth=np.full((count, HEIGHT, WIDTH), 500, np.uint16), K=K, **more)
    return path


def folder(path: Path, count: int = 3) -> Path:
    for index in range(count):
        write_frame(path, f"{index:06d}")
    return path


@pytest.mark.parametrize(("name", "ros1"), [("a.bag", True), ("a.mcap", False), ("a.db3", False)])
def test_bags(tmp_path, capsys, predictor, name, ros1):
    bag, out = plain(4, ros1).write(tmp_path / name), tmp_path / "out"
    assert run(bag, out, "--overlays", "--glb") == 0
    said = capsys.readouterr().out
    assert f"{bag}: ROS recording, colour /camera/color/image_raw (4 images, 64x48)" in said
    assert "4 frames: left found in 4" in said
    arrays, names = read_results(out), [entry.name for entry in open_source(bag)]
    assert arrays["frame_id"].tolist() == names
    np.testing.assert_allclose(arrays["seconds"], (START + PERIOD * np.arange(4)) / 1e9, atol=1e-6)
    frames = json.loads((out / "hands.json").read_text())["frames"]
    np.testing.assert_allclose([frame["seconds"] for frame in frames], arrays["seconds"], atol=1e-5)
    assert sorted(path.stem for path in (out / "glb").iterdir()) == names
    assert run(bag, out, "--every", "3") == 2
    assert run(bag, tmp_path / "third", "--every", "3") == 0
    assert read_results(tmp_path / "third")["frame_id"].tolist() == names[::3]


def test_parquet(tmp_path, capsys, predictor, monkeypatch):
    pytest.importorskip("pyarrow")
    bag, out = plain(4).write(tmp_path / "a.mcap"), tmp_path / "out"
    assert run(bag, out, "--parquet", "--no-vertices") == 0

    def check() -> None:
        arrays, again = read_results(out), read_results(out / "hands.parquet")
        for name in arrays:
            np.testing.assert_array_equal(again[name], arrays[name], err_msg=name)

    check()
    written = (out / "hands.parquet").stat().st_mtime_ns
    for path in bag.iterdir():
        path.touch()
    assert run(bag, out, "--no-vertices") == 0  # the frames are done again, and the file is never older than they are
    assert (out / "hands.parquet").stat().st_mtime_ns > written
    check()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert run(bag, tmp_path / "other", "--parquet") == 2
    assert "pip install 'twohands[parquet]'" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_frames_that_are_done_are_not_decoded_again(tmp_path, capsys, predictor, monkeypatch):
    bag, out = plain(4).write(tmp_path / "a.mcap"), tmp_path / "out"
    assert run(bag, out) == 0
    opened = []
    original = open_source.__globals__["RosRecording"]._open
    monkeypatch.setattr("twohands.sources.ros.RosRecording._open", lambda *a: opened.append(a) or original(*a))
    assert run(bag, out) == 0
    assert (predictor.calls, opened) == (4, [])
    assert "4 rows were there before" in capsys.readouterr().out
    for path in bag.iterdir():
        path.touch()
    assert run(bag, out) == 0
    assert (predictor.calls, len(opened)) == (8, 4)  # the recording has changed


def test_a_run_over_arrays_that_is_killed_is_resumed(tmp_path, predictor):
    recording, out = stacked(tmp_path / "a.npz"), tmp_path / "out"
    code = f"""
import os, signal
from fakes import FakeLocator, fake_predictor
from twohands import cli, predictor
original = FakeLocator.__call__
def deadly(self, frame):
    if self.calls == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, frame)
FakeLocator.__call__ = deadly
fake = fake_predictor()
predictor.load = lambda *choice: fake
cli.main(["run", {str(recording)!r}, "--out", {str(out)!r}])
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, check=False)
    assert result.returncode == -9, result.stderr
    assert len(list((out / "rows").glob("*.npz"))) == 2
    assert run(recording, out) == 0
    assert predictor.calls == 2
    assert read_results(out)["frame_id"].tolist() == [f"{index:06d}" for index in range(4)]


def test_interruption_of_a_recording_without_length_keeps_the_rows_of_before(tmp_path, capsys, predictor, monkeypatch):
    bag, out = plain(4).write(tmp_path / "a.mcap"), tmp_path / "out"
    assert run(bag, out) == 0
    names = read_results(out)["frame_id"].tolist()
    monkeypatch.setattr("twohands.batch.part.changes_of", lambda *paths: (1, 1))  # as if the recording were another one

    def interrupted(self, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(FakeLocator, "__call__", interrupted)
    capsys.readouterr()
    assert run(bag, out) == 130
    assert "interrupted: 4 frames done; the same command" in capsys.readouterr().out
    assert read_results(out)["frame_id"].tolist() == names


def test_frames_csv_and_fps(tmp_path, capsys, predictor):
    recording = folder(tmp_path / "in")
    assert run(recording, tmp_path / "a") == 0
    assert np.isnan(read_results(tmp_path / "a")["seconds"]).all()
    assert json.loads((tmp_path / "a/hands.json").read_text())["frames"][0]["seconds"] is None
    assert run(recording, tmp_path / "b", "--fps", "20") == 0
    np.testing.assert_allclose(read_results(tmp_path / "b")["seconds"], [0, 0.05, 0.1])
    (recording / "frames.csv").write_text("name,seconds\n000001,7.5\n000002,\n")
    assert run(recording, tmp_path / "c") == 0
    np.testing.assert_array_equal(read_results(tmp_path / "c")["seconds"], [np.nan, 7.5, np.nan])
    assert run(recording, tmp_path / "d", "--fps", "20") == 0
    np.testing.assert_allclose(read_results(tmp_path / "d")["seconds"], [0, 7.5, 0.1])
    (recording / "frames.csv").write_text("file,time\n000001,7.5\n")
    capsys.readouterr()
    assert run(recording, tmp_path / "e") == 2
    assert "frames.csv has no columns name and seconds" in capsys.readouterr().err
    assert run(folder(tmp_path / "more"), tmp_path / "f", "--fps", "0") == 2
    assert "--fps must be more than 0" in capsys.readouterr().err


def test_time_stamps_as_names(tmp_path):
    for stem in ("1305031102.175304", "1305031102.211214"):
        write_frame(tmp_path / "in", stem)
    seconds = [entry.seconds for entry in open_source(tmp_path / "in")]
    np.testing.assert_allclose(np.array(seconds, float), [1305031102.175304, 1305031102.211214], rtol=0, atol=1e-6)


def test_source_overrides_the_kind(tmp_path, capsys, predictor):
    """A folder of images with a file of arrays beside them is taken for the images; here the arrays are wanted."""
    recording = folder(tmp_path / "in")
    stacked(recording / "a.npz", 2)
    assert run(recording, tmp_path / "a") == 0
    assert run(recording, tmp_path / "b", "--source", "arrays") == 0
    assert len(read_results(tmp_path / "a")["frame_id"]) == 3
    assert len(read_results(tmp_path / "b")["frame_id"]) == 2
    assert run(recording, tmp_path / "c", "--source", "record3d") == 2
    assert "metadata" in capsys.readouterr().err
    assert run(recording, tmp_path / "d", "--color-topic", "/camera") == 2
    assert "takes no --color-topic" in capsys.readouterr().err


def test_failed_frames_have_the_cameras_intrinsics(tmp_path, predictor):
    recording = folder(tmp_path / "in")
    (recording / "rgb" / "000000.png").write_bytes(b"no image")
    assert run(recording, tmp_path / "out") == 3
    np.testing.assert_array_equal(
        read_results(tmp_path / "out")["K"], [FolderRecording(recording).intrinsics.matrix] * 3
    )


def test_any_recording_can_be_mirrored(tmp_path):
    path = stacked(tmp_path / "a.npz", 1)
    frame, turned = (
        next(iter(open_source(path, SourceOptions(mirrored=mirrored)))).open() for mirrored in (False, True)
    )
    np.testing.assert_array_equal(turned.rgb, frame.rgb[..., ::-1])
    np.testing.assert_array_equal(turned.camera.K, frame.camera.mirror().K)
    assert [finding.code for finding in turned.findings] == ["mirrored"]


def test_depth_of_another_size_names_the_option(tmp_path, capsys, predictor):
    rgb = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=np.full((1, HEIGHT // 2, WIDTH // 2), 500, np.uint16), K=K)
    assert run(tmp_path / "a.npz", tmp_path / "out") == 2
    assert "or pass --depth-registered if" in capsys.readouterr().err
    assert run(tmp_path / "a.npz", tmp_path / "out", "--depth-registered") == 0


def test_a_unit_is_advised_for_any_recording(tmp_path, capsys, predictor):
    rgb = np.zeros((1, HEIGHT, WIDTH, 3), np.uint8)
    np.savez(tmp_path / "a.npz", rgb=rgb, depth=np.full((1, HEIGHT, WIDTH), 5000, np.uint16), K=K)
    assert run(tmp_path / "a.npz", tmp_path / "out") == 2
    assert "try --depth-unit 0.0001" in capsys.readouterr().err


@pytest.mark.parametrize("unit", [0.0002, 0.001, None])
def test_the_depth_unit_of_a_tum_recording_is_guessed_from_the_hands(tmp_path, capsys, predictor, unit):
    """Hands that are 0.5 m away, in steps of some unit; None: in one that is not in use."""
    root = tmp_path / "tum"
    for number in range(3):
        depth = np.full((HEIGHT, WIDTH), round(0.5 / (unit or 0.00002)), np.uint16)
        write_frame(root, f"{number}.000000", depth)
    for kind in ("rgb", "depth"):
        (root / f"{kind}.txt").write_text("".join(f"{k}.0 {kind}/{k}.000000.png\n" for k in range(3)))
    assert run(root, tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert "pass --depth-unit 0.0002, or 0.001 for millimetres" in said
    guess = re.search(r"with --depth-unit (\S+) the hands in it have a plausible size", said)
    assert (guess and float(guess[1])) == unit
    assert predictor.calls == 3
    assert run(root, tmp_path / "out", "--depth-unit", str(unit or 0.00002)) == 0
