"""Commands: the files and messages they write, and one sentence with exit code 2 for impossible requests."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fakes import HEIGHT, WIDTH, FakeLocator, K, fake_predictor, make_frame, write_frame
from twohands import __version__, cli
from twohands.files import NotWrittenError
from twohands.results import read_results
from twohands.sources.folder import FolderRecording

FLAT = np.full((HEIGHT, WIDTH), 500, np.uint16)


@pytest.fixture(autouse=True)
def predictor(monkeypatch):
    """Commands get a predictor without networks; the fixture is its locator."""
    fake = fake_predictor()
    monkeypatch.setattr("twohands.predictor.load", lambda *choice: fake)
    assert isinstance(fake.locate, FakeLocator)
    return fake.locate


def predict(paths: tuple[Path, Path, Path], out: Path, *more: str) -> int:
    rgb, depth, intrinsics = map(str, paths)
    return cli.main(["predict", "--rgb", rgb, "--depth", depth, "--intrinsics", intrinsics, "--out", str(out), *more])


def refused(capsys, code: int, out: Path, match: str) -> None:
    """Assert exit code 2, one line that matches, and nothing written."""
    captured = capsys.readouterr()
    assert code == 2, captured.err
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("twohands: error: ")
    assert re.search(match, lines[0]), lines[0]
    assert not out.exists()
    assert captured.out == ""


def test_predict(tmp_path, capsys):
    out = tmp_path / "out"
    assert predict(write_frame(tmp_path, "000074"), out) == 0
    assert sorted(path.name for path in out.iterdir()) == ["hands.glb", "hands.json", "hands.npz", "overlay.png"]
    said = capsys.readouterr().out
    assert re.search(r"000074: left found \(depth residual \d+\.\d mm, support \d+%\), right found", said)
    assert len(said.splitlines()) == 1
    arrays = read_results(out / "hands.npz")
    assert arrays["frame_id"].tolist() == ["000074"]
    np.testing.assert_array_equal(arrays["present"], [[1, 1]])
    np.testing.assert_array_equal(arrays["K"], [K])
    assert Image.open(out / "overlay.png").size == (WIDTH + WIDTH // 2, HEIGHT)


def test_a_large_frame_has_small_pictures_and_the_same_results(tmp_path, monkeypatch):
    """Only the pictures are scaled down: the results are those of the whole frame, with its intrinsics."""
    paths = write_frame(tmp_path)
    assert predict(paths, tmp_path / "whole") == 0
    monkeypatch.setattr("twohands.views.LONGEST", 100)
    assert predict(paths, tmp_path / "small", "--view") == 0
    assert Image.open(tmp_path / "small/overlay.png").size == (150, 75)
    for name in ("hands.npz", "hands.json", "hands.glb"):
        assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_predict_options(tmp_path, capsys, predictor):
    paths = write_frame(tmp_path)
    out = tmp_path / "out"
    assert predict(paths, out, "--view", "--timings", "--skeleton") == 0
    assert (out / "view.html").exists()
    said = capsys.readouterr().out
    assert all(re.search(rf"^{step} +\d+ +\d+$", said, re.M) for step in ("decode", "locate", "fit", "write"))
    predictor.present = np.zeros(2, np.float32)  # a frame without hands is a result
    assert predict((*paths[:2], Path("150,150,79.5,59.5")), out, "--depth-unit", "0.001") == 0
    assert "left not found, right not found" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["hands.json", "hands.npz", "overlay.png"]  # no stale mesh
    np.testing.assert_array_equal(read_results(out / "hands.npz")["depth_support"], 0)


@pytest.mark.parametrize(
    ("depth", "more", "match"),
    [
        (FLAT[:60], [], r"160x60 but colour is 160x120; register"),
        (FLAT, ["--depth-unit", "1"], r"looks like millimetres .*pass --depth-unit 0\.001"),
        (FLAT, ["--depth-unit", "0.000001"], r"too near .*pass --depth-unit 0\.001"),
        (FLAT.astype(np.uint8), [], "8 bits.*16-bit"),
        (FLAT * 0, [], "zero everywhere"),
        (FLAT * 10, [], r"knuckles would be .* m wide; try --depth-unit 0\.0001"),
        (FLAT, ["--depth-unit", "0"], "length in metres"),
        (np.zeros((HEIGHT, WIDTH, 3), np.uint8), [], "not depth; give the 16-bit"),
    ],
)
def test_bad_depth(tmp_path, capsys, depth, more, match):
    refused(capsys, predict(write_frame(tmp_path, depth=depth), tmp_path / "out", *more), tmp_path / "out", match)


def test_metres_passed_as_millimetres(tmp_path, capsys):
    rgb, _, intrinsics = write_frame(tmp_path)
    depth = tmp_path / "depth.npy"
    np.save(depth, FLAT.astype(np.float32))  # millimetres in a file of metres
    refused(capsys, predict((rgb, depth, intrinsics), tmp_path / "out"), tmp_path / "out", r"pass --depth-unit 0\.001")
    np.save(depth, FLAT / 1000)
    code = predict((rgb, depth, intrinsics), tmp_path / "out", "--depth-unit", "0.001")
    refused(capsys, code, tmp_path / "out", "pass --depth-unit 1$")
    assert predict((rgb, depth, intrinsics), tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("intrinsics", "match"),
    [
        ("150 0 79.5\n0 150 59.5\n", "shape.*give a 3x3"),
        ("nan 0 79.5\n0 150 59.5\n0 0 1\n", "not finite.*give a 3x3"),
        ("15 0 79.5\n0 150 59.5\n0 0 1\n", "focal length fx = 15 px is not possible.*give"),
        ("150 0 79.5\n0 1601 59.5\n0 0 1\n", "focal length fy = 1601 px is not possible"),
        ("150 0 311\n0 150 59.5\n0 0 1\n", "far outside the 160x120 image; give"),
        ("320 240 150 150 159.5 119.5", "colour is 160x120 but the intrinsics are of 320x240 pixels; give"),
        ("focal length 150", "found no .* among focal length; give a 3x3"),
    ],
)
def test_bad_intrinsics(tmp_path, capsys, intrinsics, match):
    paths = write_frame(tmp_path)
    paths[2].write_text(intrinsics)
    refused(capsys, predict(paths, tmp_path / "out"), tmp_path / "out", match)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_missing_and_damaged_files(tmp_path, capsys, which):
    paths = write_frame(tmp_path)
    out = tmp_path / "out"
    if which < 2:
        data = paths[which].read_bytes()
        paths[which].write_bytes(data[: len(data) * 2 // 3])
        refused(capsys, predict(paths, out), out, rf"{paths[which].name} is truncated or damaged.*again")
    paths[which].unlink()
    refused(capsys, predict(paths, out), out, "does not exist; check the path")


def test_out_that_is_a_file(tmp_path, capsys):
    paths = write_frame(tmp_path)
    (tmp_path / "file").write_text("precious")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        assert predict(paths, out) == 2
        assert "is a file; give a folder" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.skipif("not os.path.isdir('/proc/self')")
def test_out_that_cannot_be_written(tmp_path, capsys, predictor):
    assert predict(write_frame(tmp_path), Path("/proc/self/new")) == 2
    assert "--out /proc/self/new is not possible (/proc/self: " in capsys.readouterr().err
    assert predictor.calls == 0


def test_predict_replaces_only_its_own_results(tmp_path, capsys):
    paths = write_frame(tmp_path / "in")
    out = tmp_path / "out"
    out.mkdir()
    (out / "view.html").write_text("precious")
    assert predict(paths, out) == 2
    assert "view.html would be overwritten and is not a result of twohands" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["view.html"]
    (out / "view.html").unlink()
    assert predict(paths, out) == 0
    overlay = out / "overlay.png"
    before = overlay.read_bytes()
    capsys.readouterr()
    assert predict((overlay, *paths[1:]), out) == 2
    assert "overlay.png is an input and would be overwritten" in capsys.readouterr().err
    assert overlay.read_bytes() == before


def test_predict_leaves_the_rows_of_a_run(tmp_path, capsys):
    folder, out = recording(tmp_path / "in", 1), tmp_path / "out"
    assert run(folder, out) == 0
    assert predict(write_frame(tmp_path), out) == 2
    assert "holds the results of `twohands run`; give another --out" in capsys.readouterr().err


def recording(folder: Path, count: int = 4) -> Path:
    for index in range(count):
        write_frame(folder, f"{index:06d}")
    return folder


def run(folder: Path, out: Path, *more: str) -> int:
    return cli.main(["run", str(folder), "--out", str(out), *more])


def test_run(tmp_path, capsys, predictor):
    folder, out = recording(tmp_path / "in"), tmp_path / "out"
    assert run(folder, out, "--overlays", "--glb", "--timings") == 0
    assert "4 frames: left found in 4, right found in 4, median depth residual" in capsys.readouterr().out
    arrays = read_results(out / "hands.npz")
    assert arrays["frame_id"].tolist() == [f"{index:06d}" for index in range(4)]
    assert len(json.loads((out / "hands.json").read_text())["frames"]) == 4
    top = ["glb", "hands.json", "hands.npz", "overlays", "overlays.jpg", "parts", "run.json", "summary.json"]
    assert sorted(path.name for path in out.iterdir()) == top
    assert sorted(path.name for path in (out / "overlays").iterdir()) == [f"{index:06d}.jpg" for index in range(4)]
    assert len(list((out / "glb").glob("*.glb"))) == 4
    assert predictor.calls == 4
    (out / "overlays" / "000002.jpg").unlink()
    assert run(folder, out, "--overlays") == 0  # only the picture is drawn again
    assert predictor.calls == 4
    assert (out / "overlays" / "000002.jpg").exists()


def test_run_does_changed_frames_again(tmp_path, capsys, predictor):
    folder, out = recording(tmp_path / "in"), tmp_path / "out"
    assert run(folder, out, "--overlays") == 0
    assert "were there before" not in capsys.readouterr().out
    before = read_results(out / "hands.npz")["inputs"]
    picture = (out / "overlays" / "000002.jpg").read_bytes()
    write_frame(folder, "000002", depth=FLAT + 1)
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "rgb" / "000002.png")
    assert run(folder, out, "--overlays") == 0
    assert predictor.calls == 5
    assert "4 frames: left found in 4, right found in 4" in (said := capsys.readouterr().out)
    assert "; 3 rows were there before; wrote" in said
    changed = (read_results(out / "hands.npz")["inputs"] != before).any(axis=2)
    assert changed.tolist() == [[False] * 2, [False] * 2, [True] * 2, [False] * 2]
    assert (out / "overlays" / "000002.jpg").read_bytes() != picture
    (folder / "depth" / "000001.png").write_bytes(b"no image")  # the row of the old file is not kept
    assert run(folder, out) == 3
    assert "not an image" in read_results(out / "hands.npz")["error"][1]


def test_run_refuses_frames_of_another_size(tmp_path, capsys):
    folder, out = recording(tmp_path / "in", 3), tmp_path / "out"
    for path in (folder / "rgb" / "000001.png", folder / "depth" / "000001.png"):
        Image.open(path).resize((240, 180), Image.Resampling.NEAREST).save(path)
    assert run(folder, out) == 3
    errors = read_results(out / "hands.npz")["error"].tolist()
    assert errors[0] == errors[2] == ""
    assert errors[1].startswith("colour is 240x180 but the intrinsics are of 160x120 pixels; give those of this")


def test_order_and_intrinsics_of_a_recording(tmp_path):
    for stem in ("frame10", "frame9", "frame0.5", "frame0.25"):
        write_frame(tmp_path, stem)
    (tmp_path / "cam_K.txt").unlink()
    frames = FolderRecording(tmp_path, None, K)
    assert frames.ids == ["frame0.25", "frame0.5", "frame9", "frame10"]
    np.testing.assert_array_equal(frames.open("frame9").camera.K, K)


@pytest.mark.parametrize("overlays", [[], ["--overlays", "--glb"]])
def test_name_that_is_too_long_costs_one_frame(tmp_path, capsys, overlays):
    """A stem of 240 letters is fine; in a deep folder its path is longer than the system takes."""
    folder, out = recording(tmp_path / "in", 2), tmp_path / "out"
    write_frame(folder, "1" + "x" * 240)
    assert run(folder, out, *overlays) == 0
    assert len(read_results(out / "hands.npz")["frame_id"]) == 3
    while len(str(out)) < 3900:
        out /= "y" * min(200, 3901 - len(str(out)))
    capsys.readouterr()
    assert run(folder, out, *overlays) == 3
    captured = capsys.readouterr()
    assert "3 frames: left found in 2, right found in 2" in captured.out
    assert "(File name too long); shorten the name of the frame or of --out" in captured.err
    assert [bool(error) for error in read_results(out / "hands.npz")["error"]] == [False, False, True]


def test_full_disk_still_ends_a_run(tmp_path, capsys, monkeypatch):
    folder = recording(tmp_path / "in", 2)

    def full(*_):
        raise NotWrittenError(errno.ENOSPC, "No space left on device", "hands.npz")

    monkeypatch.setattr("twohands.batch.store.Store.keep", full)
    assert run(folder, tmp_path / "out") == 2
    assert "(No space left on device); free some space" in capsys.readouterr().err


def test_run_every(tmp_path):
    folder, out = recording(tmp_path / "in", 5), tmp_path / "out"
    assert run(folder, out, "--every", "2") == 0
    assert read_results(out / "hands.npz")["frame_id"].tolist() == ["000000", "000002", "000004"]


def test_rows_of_another_depth_scale_are_not_kept(tmp_path, capsys):
    folder, out, file = recording(tmp_path / "in"), tmp_path / "out", tmp_path / "camera.json"
    for scale, code in ((1000.0, 0), (1000.0, 0), (1100.0, 2)):
        file.write_text(json.dumps({"K": K.ravel().tolist(), "depth_scale": scale}))
        assert run(folder, out, "--intrinsics", str(file)) == code
    assert "depth_unit = 0.001, not 0.00090" in capsys.readouterr().err


def test_run_keeps_the_row_of_unreadable_frames(tmp_path, capsys, predictor):
    folder, out = recording(tmp_path / "in"), tmp_path / "out"
    (folder / "rgb" / "000001.png").write_bytes(b"no image")
    (folder / "depth" / "000003.png").unlink()
    assert run(folder, out, "--overlays") == 3
    captured = capsys.readouterr()
    assert "4 frames: left found in 2, right found in 2" in captured.out
    assert "2 failed" in captured.out
    assert "000001" in captured.err
    arrays = read_results(out / "hands.npz")
    assert arrays["frame_id"].tolist() == [f"{index:06d}" for index in range(4)]
    errors = arrays["error"].tolist()
    assert errors[0] == errors[2] == ""
    assert "not an image" in errors[1]
    assert "no depth image" in errors[3]
    np.testing.assert_array_equal(arrays["present"], [[1, 1], [0, 0], [1, 1], [0, 0]])
    assert np.isnan(arrays["vertices"][[1, 3]]).all()
    np.testing.assert_array_equal(arrays["K"], [K] * 4)
    write_frame(folder, "000001")  # repaired: only what failed is done again
    calls = predictor.calls
    assert run(folder, out) == 3
    assert predictor.calls == calls + 1
    assert read_results(out / "hands.npz")["error"].tolist()[:3] == ["", "", ""]


def test_interrupted_run_resumes(tmp_path, capsys, predictor, monkeypatch):
    folder, out = recording(tmp_path / "in"), tmp_path / "out"
    original = FakeLocator.__call__

    def interrupted(self, frame):
        if self.calls == 2:
            raise KeyboardInterrupt
        return original(self, frame)

    monkeypatch.setattr(FakeLocator, "__call__", interrupted)
    assert run(folder, out) == 130
    assert "2 of 4 frames" in capsys.readouterr().out
    assert read_results(out / "hands.npz")["frame_id"].tolist() == ["000000", "000001"]
    monkeypatch.setattr(FakeLocator, "__call__", original)
    assert run(folder, out, "--every", "2") == 2
    assert "holds rows made with every = 1, not 2; give another --out" in capsys.readouterr().err
    assert run(folder, out, "--depth-unit", "0.0011") == 2
    assert "depth_unit" in capsys.readouterr().err
    assert run(folder, out) == 0
    assert predictor.calls == 4
    whole = read_results(out / "hands.npz")
    assert run(folder, tmp_path / "fresh") == 0
    fresh = read_results(tmp_path / "fresh" / "hands.npz")
    for name, array in whole.items():
        np.testing.assert_array_equal(array, fresh[name], err_msg=name)


def test_killed_run_resumes(tmp_path):
    """A process that is killed in the middle loses at most the frame in work."""
    folder, out = recording(tmp_path / "in"), tmp_path / "out"
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
cli.main(["run", {str(folder)!r}, "--out", {str(out)!r}])
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, check=False)
    assert result.returncode == -9, result.stderr
    assert sorted(path.name for path in (out / "rows").glob("*.npz")) == ["000000.npz", "000001.npz"]
    assert not (out / "hands.npz").exists()
    assert run(folder, out) == 0
    assert read_results(out / "hands.npz")["frame_id"].tolist() == [f"{index:06d}" for index in range(4)]
    assert not (out / "rows").exists()


def nothing(folder: Path) -> None:
    shutil.rmtree(folder)


def a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("notes")


def an_empty_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def no_colour(folder: Path) -> None:
    for path in (folder / "rgb").iterdir():
        path.unlink()


def other_stems(folder: Path) -> None:
    for path in (folder / "depth").iterdir():
        path.rename(path.with_name(path.name.translate(str.maketrans("0123456789", "abcdefghij"))))


def two_of_one_stem(folder: Path) -> None:
    (folder / "rgb" / "000000.jpg").write_bytes(b"")


def no_intrinsics(folder: Path) -> None:
    (folder / "cam_K.txt").unlink()


def all_damaged(folder: Path) -> None:
    for path in (folder / "rgb").iterdir():
        path.write_bytes(b"")


def all_in_other_unit(folder: Path) -> None:
    for path in (folder / "depth").iterdir():
        Image.fromarray(FLAT * 10).save(path)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (nothing, "does not exist; check the path"),
        (a_file, "is not a recording of a known kind; known are"),
        (an_empty_file, r"is empty \(0 bytes\); copy or record it again"),
        (empty, "no folder rgb/, color/ or image/; put the images there"),
        (no_colour, "no colour image in rgb/; put PNG or JPEG"),
        (other_stems, "no depth image named like a colour image; name the pairs alike"),
        (two_of_one_stem, "two images with the stem 000000; remove one"),
        (no_intrinsics, "no cam_K.txt; write"),
    ],
)
def test_bad_folders(tmp_path, capsys, spoil, match):
    folder = recording(tmp_path / "in", 2)
    spoil(folder)
    refused(capsys, run(folder, tmp_path / "out"), tmp_path / "out", match)


@pytest.mark.parametrize(
    ("spoil", "match"),
    [(all_damaged, "no frame of .* could be used.*not an image"), (all_in_other_unit, r"try --depth-unit 0\.0001")],
)
def test_nothing_usable(tmp_path, capsys, spoil, match):
    folder = recording(tmp_path / "in", 2)
    spoil(folder)
    assert run(folder, tmp_path / "out", "--overlays") == 2
    assert re.search(match, capsys.readouterr().err.splitlines()[-1])
    assert not (tmp_path / "out").exists()


def test_bad_every(tmp_path, capsys):
    code = run(recording(tmp_path / "in", 2), tmp_path / "out", "--every", "0")
    refused(capsys, code, tmp_path / "out", "at least 1")


def test_demo(tmp_path, capsys, monkeypatch):
    """The command finds the packaged frame, and prints what it did and the paths of its files."""
    write_frame(tmp_path / "frame")
    demo = tmp_path / "package" / "demo"
    demo.mkdir(parents=True)
    for source, name in (
        ("rgb/000000.png", "color.png"),
        ("depth/000000.png", "depth.png"),
        ("cam_K.txt", "cam_K.txt"),
    ):
        shutil.copy(tmp_path / "frame" / source, demo / name)
    monkeypatch.setattr("importlib.resources.files", lambda package: demo.parent)
    out = tmp_path / "out" / "demo"
    assert cli.main(["demo", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    names = ["hands.glb", "hands.json", "hands.npz", "overlay.png", "view.html"]
    assert sorted(path.name for path in out.iterdir()) == names
    assert all(f"wrote {out / name}" in said for name in names)
    assert "160x120" in said
    assert re.search(r"left found \(depth residual .* mm, support .*\), right found", said)
    shutil.rmtree(demo)
    refused(capsys, cli.main(["demo", "--out", str(tmp_path / "new")]), tmp_path / "new", "install twohands again")


def test_demo_and_predict_see_the_camera_of_the_file(tmp_path, monkeypatch):
    """The published demo exchanges cx and cy."""
    seen = []

    def watched(frame, *_):
        seen.append(frame.camera)
        return fake_predictor()(make_frame())

    monkeypatch.setattr("twohands.predictor.load", lambda *choice: watched)
    for command in ("demo", "predict"):
        monkeypatch.setattr(f"twohands.cli.{command}.write_frame", lambda *_, **__: [])
        monkeypatch.setattr(f"twohands.cli.{command}.describe", lambda hands: "")
    assert cli.main(["demo", "--out", str(tmp_path / "demo")]) == 0
    packaged = np.loadtxt(Path(cli.__file__).parents[1] / "demo" / "cam_K.txt")
    assert packaged[0, 2] > packaged[1, 2] + 50
    np.testing.assert_allclose(seen[0].K, packaged, rtol=1e-6)
    predict(write_frame(tmp_path), tmp_path / "out")
    np.testing.assert_array_equal(seen[1].K, K)
    assert (seen[1].width, seen[1].height) == (WIDTH, HEIGHT)


def test_synth(tmp_path, capsys):
    pytest.importorskip("numba")
    out = tmp_path / "out"
    refused(capsys, cli.main(["synth", "--out", str(out), "--count", "0"]), out, "at least 1")
    refused(capsys, cli.main(["synth", "--out", str(out), "--split", "all"]), out, "unknown split")


def test_info_hand(tmp_path, capsys):
    assert cli.main(["info", "hand", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "778 vertices, 1534 faces" in said
    assert "CC0" in said
    assert Image.open(tmp_path / "hand.png").width > 1000


def test_help_explains_no_fit(capsys):
    for command in ("predict", "demo", "run"):
        assert cli.main([command, "--help"]) == 0
        said = re.sub(r"[│\s]+", " ", capsys.readouterr().out)
        assert "Do not fit the hand model to the measured points at the end. (default: fit)" in said


@pytest.mark.parametrize("arguments", [["predict"], ["nonsense"], ["run", "x"], ["predict", "--depth-unit", "mm"]])
def test_bad_arguments(arguments, capsys):
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err


def test_missing_extra(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "numba", None)
    for name in [name for name in sys.modules if name.startswith("twohands.synth")]:
        monkeypatch.delitem(sys.modules, name)
    assert cli.main(["synth", "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'twohands[synth]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_version_and_exit_code_of_the_process(tmp_path):
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "twohands", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert call("--version").stdout == f"twohands {__version__}\n"
    assert call("--help").returncode == 0
    result = call("run", str(tmp_path), "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    assert result.stderr.startswith("twohands: error: ")


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_terminal_that_takes_ascii_only(tmp_path, environment):
    """Help, results, progress and errors of names with other letters are printed."""
    write_frame(tmp_path / "in", "b\u00efld_1")
    (tmp_path / "in" / "depth" / "b\u00efld_1.png").unlink()
    environment = {**os.environ, **environment}

    def call(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "twohands", *arguments]
        return subprocess.run(command, capture_output=True, check=False, env=environment)

    assert call("--help").returncode == 0
    out = tmp_path / "\u00fcber"
    demo = call("demo", "--out", str(out))
    assert demo.returncode == 0, demo.stderr
    assert b"ber/hands.npz" in demo.stdout
    write_frame(tmp_path / "in", "b\u00efld_2")
    partly = call("run", str(tmp_path / "in"), "--out", str(out / "run"))
    assert partly.returncode == 3
    assert b"no depth image" in partly.stderr
    assert (partly.stdout + partly.stderr).isascii()


@pytest.mark.skipif("TWOHANDS_REAL_FRAMES" not in os.environ, reason="needs the real frames")
def test_real_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.undo()  # the true predictor
    real = Path(os.environ["TWOHANDS_REAL_FRAMES"])
    assert run(real / "two_hands", tmp_path / "two", "--overlays") == 0
    assert "4 frames: left found in 4, right found in 4" in capsys.readouterr().out
    arrays = read_results(tmp_path / "two" / "hands.npz")
    assert np.nanmedian(arrays["depth_residual"]) < 0.012
    assert (np.abs(arrays["joints"][..., 2] - 0.5) < 0.25).all()  # README: hands at 0.3 to 0.6 m
    assert run(real / "no_hands", tmp_path / "none") == 0
    assert "left found in 0, right found in 0" in capsys.readouterr().out
    assert run(real / "two_hands", tmp_path / "wrong", "--depth-unit", "0.01") == 2
    assert re.search(r"try --depth-unit 0\.001", capsys.readouterr().err.splitlines()[-1])
    assert not (tmp_path / "wrong" / "hands.npz").exists()


def test_predict_says_what_was_done_with_the_input(tmp_path, capsys, predictor):
    rgb, depth, intrinsics = write_frame(tmp_path, depth=FLAT[::2, ::2])
    match = r"80x60 but colour is 160x120; register .*, or pass --depth-registered if depth already shows"
    refused(capsys, predict((rgb, depth, intrinsics), tmp_path / "out"), tmp_path / "out", match)
    camera = tmp_path / "camera.json"
    camera.write_text(json.dumps({"K": K.ravel().tolist(), "D": [-0.1, 0.01, 0, 0]}))
    code = predict((rgb, depth, camera), tmp_path / "out", "--depth-registered", "--mirrored", "--strict")
    told = capsys.readouterr().err.splitlines()
    assert code == 0
    assert [line.startswith("twohands: note: ") for line in told] == [True] * 3
    for line, text in zip(
        told, ("enlarged to 160x120", "distortion given with the intrinsics was undone", "mirrored"), strict=True
    ):
        assert text in line
    stored = json.loads((tmp_path / "out" / "hands.json").read_text())
    assert "depth_enlarged" in json.dumps(stored)


def test_run_with_depth_of_another_size(tmp_path, capsys, predictor):
    for index in range(2):
        write_frame(tmp_path / "in", f"{index}", depth=FLAT[::2, ::2])
    assert run(tmp_path / "in", tmp_path / "out") == 2
    assert "or pass --depth-registered" in capsys.readouterr().err
    assert run(tmp_path / "in", tmp_path / "out", "--depth-registered") == 0
    captured = capsys.readouterr()
    assert "depth_enlarged in 2" in captured.out
    assert "was enlarged to 160x120" in captured.err
    assert run(tmp_path / "in", tmp_path / "out", "--depth-registered", "--mirrored") == 2
    assert "mirrored = False, not True" in capsys.readouterr().err
