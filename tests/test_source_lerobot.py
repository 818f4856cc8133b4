"""LeRobot data sets of version 3: episodes inside a video, depth as codes, steps and in tables, and `cameras.json`."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("pyarrow")

from lerobot_files import COLOUR, DEPTH, FPS, HEIGHT, LENGTHS, WIDTH, K, pictures, write_data_set, write_stream
from twohands import open_source
from twohands.sources.lerobot import LeRobotEpisode, is_lerobot
from twohands.sources.options import SourceOptions


@pytest.mark.parametrize("depth_format", ["gray12le", "gray16le", "TIFF"])
def test_every_episode_has_its_images(tmp_path, depth_format):
    root = write_data_set(tmp_path / "set", depth_format)
    assert is_lerobot(root)
    largest = {"gray12le": 7e-4, "gray16le": 1e-7, "TIFF": 1e-7}[depth_format]  # half a step of the code at 0.65 m
    for episode, length in enumerate(LENGTHS):
        source = open_source(root, SourceOptions(episode=episode))
        assert f"episode {episode} of 3, colour {COLOUR}, depth {DEPTH}, {length} images, 30 a second" in source.about
        assert source.length == length
        for _ in range(2):
            entries = [(entry.name, entry.seconds, entry.open()) for entry in source]
            assert [name for name, _, _ in entries] == [f"{number:06d}" for number in range(length)]
            for number, (_, seconds, frame) in enumerate(entries):
                rgb, steps = pictures(episode, number)
                assert seconds == np.float32(number / FPS)
                assert np.array_equal(frame.camera.K, np.array(K, np.float32))
                assert np.abs(frame.rgb_uint8().astype(int) - rgb).mean() < (0.1 if depth_format == "TIFF" else 4)
                assert np.array_equal(frame.depth > 0, steps > 0)
                assert np.abs(frame.depth - steps / 1000).max() < largest


def test_an_episode_is_chosen(tmp_path):
    root = write_data_set(tmp_path / "set", "TIFF")
    with pytest.raises(ValueError, match=r"3 episodes, 0 to 2, and each is a recording .* choose one with --episode 0"):
        open_source(root)
    with pytest.raises(ValueError, match=r"3 episodes, 0 to 2, not 3; choose another one"):
        open_source(root, SourceOptions(episode=3))
    np.savez(tmp_path / "a.npz", rgb=np.zeros((4, 4, 3), np.uint8), depth=np.ones((4, 4)), K=np.eye(3))
    with pytest.raises(ValueError, match="takes no --episode"):
        open_source(tmp_path / "a.npz", SourceOptions(episode=0))


def test_cameras_are_asked_for(tmp_path):
    root = write_data_set(tmp_path / "set", "TIFF")
    camera = json.loads((root / "cameras.json").read_text())[COLOUR]
    for cameras, sentence in (
        ({"front": camera}, "names front, which is not a feature of the data set"),
        ({COLOUR: camera, DEPTH: camera}, f"the cameras {COLOUR}, {DEPTH}; choose one with --color-topic"),
        (
            {COLOUR: {**camera, "depth_key": "x"}},
            f"is 'x', which is not a feature of the data set; its depth streams are {DEPTH}",
        ),
        ([1], "is not JSON with a camera for each colour stream"),
    ):
        (root / "cameras.json").write_text(json.dumps(cameras))
        with pytest.raises(ValueError, match=sentence):
            LeRobotEpisode(root, 0)
    (root / "cameras.json").write_text(json.dumps({COLOUR: {**camera, "width": 2 * WIDTH}}))
    with pytest.raises(ValueError, match=f"colour is {WIDTH}x{HEIGHT} but the intrinsics are of {2 * WIDTH}"):
        next(iter(LeRobotEpisode(root, 0))).open()
    frame = next(iter(LeRobotEpisode(root, 0, intrinsics="70,70,47,31"))).open()
    assert frame.camera.K[0, 0] == 70
    (root / "cameras.json").write_text(json.dumps({COLOUR: camera, DEPTH: camera}))
    assert LeRobotEpisode(root, 0, colour_key=COLOUR).colour_key == COLOUR
    (root / "cameras.json").rename(root / "meta" / "cameras.json")
    assert LeRobotEpisode(root, 0, colour_key=COLOUR).colour_key == COLOUR
    (root / "meta" / "cameras.json").unlink()
    with pytest.raises(FileNotFoundError, match=f"no cameras.json.*its streams are {COLOUR}, {DEPTH}"):
        LeRobotEpisode(root, 0)


def test_distortion_is_undone(tmp_path):
    camera = {"depth_key": DEPTH, "width": WIDTH, "height": HEIGHT, "K": K, "D": [-0.2, 0.05, 0, 0, 0]}
    root = write_data_set(tmp_path / "set", "TIFF", cameras={COLOUR: camera})
    frame = next(iter(LeRobotEpisode(root, 0))).open()
    assert [finding.code for finding in frame.findings] == ["undistorted"]


def test_facts_of_depth_are_asked_for(tmp_path):
    root = write_data_set(tmp_path / "a", facts={"video.use_log": None})
    info = json.loads((root / "meta/info.json").read_text())
    del info["features"][DEPTH]["info"]["video.shift"]
    (root / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(ValueError, match=r"has no video\.shift in meta/info\.json"):
        next(iter(LeRobotEpisode(root, 0))).open()
    camera = {"depth_key": COLOUR, "width": WIDTH, "height": HEIGHT, "K": K}
    (root / "cameras.json").write_text(json.dumps({COLOUR: camera}))
    with pytest.raises(ValueError, match="is a video in yuv420p, which is not 12- or 16-bit depth"):
        next(iter(LeRobotEpisode(root, 0))).open()
    root = write_data_set(tmp_path / "b", "TIFF", facts={"depth_unit": "inch"})
    with pytest.raises(ValueError, match=r"depth_unit of .* is 'inch'"):
        next(iter(LeRobotEpisode(root, 0))).open()


def test_old_and_incomplete_data_sets(tmp_path, monkeypatch):
    root = write_data_set(tmp_path / "set")
    video = next((root / "videos" / DEPTH).rglob("*.mp4"))
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="is not a readable video"):
        list(LeRobotEpisode(root, 0))
    video.unlink()
    with pytest.raises(FileNotFoundError, match=r"\.mp4 does not exist; copy the data set with its videos"):
        list(LeRobotEpisode(root, 0))
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps({**info, "codebase_version": "v2.1"}))
    with pytest.raises(ValueError, match=r"of version v2\.1, and version 3 is read"):
        open_source(root)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"pip install 'twohands\[lerobot\]'"):
        open_source(root)


def test_depth_that_was_lost_costs_its_image(tmp_path):
    """A depth video whose last image is missing."""
    root = write_data_set(tmp_path / "set", "gray16le")
    video = next((root / "videos" / DEPTH).rglob("*.mkv"))
    images = [pictures(0, number)[1] for number in range(LENGTHS[0] - 1)]
    write_stream(video, images, "ffv1", "gray16le", {})
    *entries, last = list(LeRobotEpisode(root, 0))
    assert len(entries) == LENGTHS[0] - 1
    with pytest.raises(FileNotFoundError, match=f"no image 6 of {DEPTH}"):
        last.open()
