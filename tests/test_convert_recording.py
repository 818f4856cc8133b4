"""`twohands convert` turns any recording into a folder that `run` takes, and is resumed where it stopped."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

import twohands
from containers import write_record3d
from recordings import PERIOD, START, K, coded, colour_image, depth_image, plain
from twohands import cli
from twohands.sources.folder import FolderRecording
from twohands.sources.options import SourceOptions
from twohands.sources.writing import STEP


def convert(recording, out, *more) -> int:
    return cli.main(["convert", str(recording), "--out", str(out), *map(str, more)])


@pytest.mark.parametrize(("name", "ros1"), [("a.bag", True), ("a.mcap", False), ("a.db3", False)])
def test_a_bag_becomes_a_folder(tmp_path, name, ros1, capsys):
    bag = plain(3, ros1).write(tmp_path / name)
    assert convert(bag, tmp_path / "out") == 0
    assert "3 frames" in capsys.readouterr().out
    folder = FolderRecording(tmp_path / "out")
    assert len(folder) == 3
    for number, frame_id in enumerate(folder.ids):
        frame = folder.open(frame_id)
        assert frame.depth_unit == STEP
        np.testing.assert_allclose(frame.depth, depth_image(number) * 0.001, atol=STEP / 2 + 1e-6)
        np.testing.assert_array_equal(frame.rgb_uint8(), colour_image(number))
        np.testing.assert_allclose(frame.camera.K, K, atol=1e-4)
    with (tmp_path / "out" / "frames.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == folder.ids
    np.testing.assert_allclose(
        [float(row["seconds"]) for row in rows], (START + PERIOD * np.arange(3)) / 1e9, atol=1e-6
    )


def test_resumes(tmp_path):
    bag, out = plain(4).write(tmp_path / "a.mcap"), tmp_path / "out"
    assert convert(bag, out) == 0
    images = sorted((out / "rgb").iterdir())
    times = [path.stat().st_mtime_ns for path in images]
    before = images[2].read_bytes()
    images[2].unlink()
    (out / "frames.csv").unlink()
    assert convert(bag, out) == 0
    assert images[2].read_bytes() == before
    assert [path.stat().st_mtime_ns for path in images[:2]] == times[:2]
    assert len((out / "frames.csv").read_text().splitlines()) == 5


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    one, other = plain(2).write(tmp_path / "a.mcap"), plain(3).write(tmp_path / "b.mcap")
    assert convert(one, tmp_path / "out") == 0
    assert convert(other, tmp_path / "out") == 2
    assert "holds a conversion with recording" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("text")
    assert convert(one, tmp_path / "mine") == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_damaged_frame_costs_itself(tmp_path, capsys):
    frames = {number: (colour_image(number), depth_image(number) * 0.001, None) for number in (0, 2)}
    about = {"K": K.T.ravel().tolist(), "w": 64, "h": 48, "dw": 64, "dh": 48, "fps": 30}
    write_record3d(
        tmp_path / "a.r3d", frames, about, files={"rgbd/1.jpg": coded(colour_image(1), "JPEG"), "rgbd/1.depth": b"no"}
    )
    assert convert(tmp_path / "a.r3d", tmp_path / "out") == 3
    printed = capsys.readouterr()
    assert "1 failed" in printed.out
    assert len(list((tmp_path / "out" / "rgb").iterdir())) == 2


def test_other_cameras_do_not_share_a_folder(tmp_path, capsys):
    scenes = {
        str(number): {"cam_K": (K * [[scale], [scale], [1]]).ravel().tolist(), "depth_scale": 1.0}
        for number, scale in enumerate((1.0, 1.1))
    }
    for number in range(2):
        for name, image in (("rgb", colour_image(number)), ("depth", depth_image(number))):
            (tmp_path / "bop" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(tmp_path / "bop" / name / f"{number:06d}.png")
    (tmp_path / "bop" / "scene_camera.json").write_text(json.dumps(scenes))
    assert convert(tmp_path / "bop", tmp_path / "out") == 2
    assert "the camera changes" in capsys.readouterr().err
    entries = list(twohands.open_source(tmp_path / "bop"))
    assert [round(float(entry.open().camera.K[0, 0]), 2) for entry in entries] == [61.5, 67.65]


def test_what_is_no_recording_says_what_is(tmp_path, capsys):
    (tmp_path / "notes.txt").write_text("nothing")
    assert convert(tmp_path / "notes.txt", tmp_path / "out") == 2
    assert "known are ROS 1 and 2 bags" in capsys.readouterr().err
    assert convert(tmp_path / "missing.bag", tmp_path / "out") == 2
    assert "does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (gzip.compress(b"#ROSBAG V2.0"), "is packed by gzip; unpack it and give the recording in it"),
        (b"\x28\xb5\x2f\xfd" + bytes(90), "is packed by zstd; unpack"),
        (bytes(257) + b"ustar  \0", "is a tar archive; unpack"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n",
            "is a pointer of Git LFS, .*: git lfs pull",
        ),
        (b"<!DOCTYPE html><html lang=en>", "is a web page, as a failed download leaves it; download the file again"),
        (bytes(9000), "is zeros from its beginning on, .*; copy or record it again"),
        (b"\0\0\0\x20ftypisom" + bytes(90), "is a video, which has no depth; give the folder or file in which"),
        (b"\x89HDF\r\n\x1a\n" + bytes(90), r"is an HDF5 file; save its arrays with numpy\.savez"),
        (coded(colour_image(0), "PNG"), "is a single picture; .* twohands predict --rgb FILE --depth"),
    ],
    ids=["gzip", "zstd", "tar", "lfs", "html", "zeros", "video", "hdf5", "picture"],
)
def test_files_of_other_kinds_say_what_they_are(tmp_path, content, match):
    (tmp_path / "a.bag").write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.bag {match}"):
        twohands.open_source(tmp_path / "a.bag")


def test_zip_archives(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rec/rgb/1.png", coded(colour_image(0), "PNG"))
    with pytest.raises(ValueError, match=r"a\.zip is a zip archive; unpack it"):
        twohands.open_source(path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"a\.zip is an archive whose end is missing .*; copy or export it again"):
        twohands.open_source(path)


def test_the_next_command_is_quoted(tmp_path, capsys):
    source, out = plain(2, ros1=True).write(tmp_path / "a.bag"), tmp_path / "my take #1"
    assert convert(source, out) == 0
    assert f"for: twohands run '{out}' --out '{out}_hands'" in capsys.readouterr().out


def test_options_that_a_kind_does_not_take_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", rgb=colour_image(0), depth=depth_image(0), K=K)
    with pytest.raises(ValueError, match="takes no --color-topic"):
        twohands.open_source(tmp_path / "a.npz", SourceOptions(color_topic="/camera"))
    source = twohands.open_source(tmp_path / "a.npz", SourceOptions(depth_unit=0.0001))
    frame = next(iter(source)).open()
    np.testing.assert_allclose(frame.depth, depth_image(0) * 0.0001, atol=1e-6)
