"""`twohands convert RECORDING FILE.mcap`: Foxglove's messages, which come back as they were."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("mcap")
pytest.importorskip("foxglove_schemas_protobuf")

from mcap.reader import make_reader
from mcap_protobuf.decoder import DecoderFactory
from PIL import Image

from recordings import PERIOD, START, K, colour_image, depth_image, plain
from twohands import cli, open_source


def convert(recording, target, *more) -> int:
    return cli.main(["convert", str(recording), str(target), *map(str, more)])


def stacked(path, depth, **more):
    rgb = np.stack([colour_image(number) for number in range(len(depth))])
    np.savez(path, rgb=rgb, depth=depth, K=K, **more)
    return path


def test_a_bag_comes_back(tmp_path, capsys):
    out = tmp_path / "out.mcap"
    assert convert(plain(3, ros1=True).write(tmp_path / "a.bag"), out) == 0
    assert f"3 frames; wrote {out}, for: twohands run {out} --out {tmp_path}/out_hands" in capsys.readouterr().out
    entries = list(open_source(out))
    assert len(entries) == 3
    for number, entry in enumerate(open_source(out)):
        frame = entry.open()
        assert entry.seconds == (START + number * PERIOD) / 1e9
        assert np.array_equal(frame.camera.K, K.astype(np.float32))
        assert np.array_equal(frame.rgb_uint8(), colour_image(number))
        np.testing.assert_allclose(frame.depth, depth_image(number) * np.float32(0.001), rtol=1e-6)
        assert frame.depth_unit == 0.001  # stored in millimetres
    assert "registered to colour" in open_source(out).about


def test_the_messages_are_foxgloves(tmp_path):
    convert(plain(2).write(tmp_path / "a.mcap"), tmp_path / "out.mcap")
    found = {}
    with (tmp_path / "out.mcap").open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for _, channel, _, message in reader.iter_decoded_messages():
            found.setdefault(channel.topic, []).append(message)
    assert {topic: len(messages) for topic, messages in found.items()} == {
        "/color/image": 2,
        "/color/calibration": 2,
        "/aligned_depth_to_color/image": 2,
    }
    info = found["/color/calibration"][1]
    assert (info.DESCRIPTOR.full_name, info.width, info.height) == ("foxglove.CameraCalibration", 64, 48)
    assert list(info.K) == K.ravel().tolist()
    assert list(info.P) == np.c_[K, np.zeros(3)].ravel().tolist()
    ns = info.timestamp.seconds * 10**9 + info.timestamp.nanos
    assert abs(ns - START - PERIOD) < 128  # the resolution of seconds in double precision
    depth = found["/aligned_depth_to_color/image"][0]
    assert (depth.DESCRIPTOR.full_name, depth.format) == ("foxglove.CompressedImage", "png")
    assert {message.frame_id for messages in found.values() for message in messages} == {"camera"}


@pytest.mark.parametrize("first", [0, 1])
def test_finer_depth_is_stored_as_floats(tmp_path, first):
    """The first finer frame may be a later one: the file is begun again, and no frame is lost or doubled."""
    depth = np.stack([depth_image(number) for number in range(3)]).astype(np.float32) / 1000
    depth[first:][depth[first:] > 0] += np.float32(0.00013)
    path = stacked(tmp_path / "a.npz", depth, timestamps=[0.0, 0.1, 0.25])
    assert convert(path, tmp_path / "out.mcap") == 0
    entries = [(entry.seconds, entry.open()) for entry in open_source(tmp_path / "out.mcap")]
    assert [seconds for seconds, _ in entries] == [0.0, 0.1, 0.25]
    for (_, frame), expected in zip(entries, depth, strict=True):
        assert np.array_equal(frame.depth, expected)


def test_depth_beyond_the_16_bits_of_millimetres(tmp_path):
    depth = np.broadcast_to(np.arange(64, dtype=np.float32) / 4 + 60, (1, 48, 64))  # whole millimetres
    assert convert(stacked(tmp_path / "a.npz", depth), tmp_path / "out.mcap", "--fps", 30) == 0
    assert np.array_equal(next(iter(open_source(tmp_path / "out.mcap"))).open().depth, depth[0])


def test_what_cannot_be_written_leaves_no_file(tmp_path, capsys):
    path, out = stacked(tmp_path / "a.npz", np.ones((2, 48, 64), np.float32)), tmp_path / "out.mcap"
    assert convert(path, out) == 2
    assert "no time stamps, which MCAP needs; give --fps" in capsys.readouterr().err
    wrong = stacked(tmp_path / "b.npz", np.ones((2, 30, 64), np.float32))
    assert convert(wrong, out, "--fps", 30) == 2
    assert "no frame could be used; the first: " in capsys.readouterr().err
    cameras = np.stack([K, K * [[1.1], [1.1], [1]]])
    np.savez(
        tmp_path / "c.npz",
        rgb=np.zeros((2, 48, 64, 3), np.uint8),
        depth=np.ones((2, 48, 64), np.float32),
        K=cameras,
    )
    assert convert(tmp_path / "c.npz", out, "--fps", 30) == 2
    assert "the camera changes within the recording, but a file can hold only one" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz", "c.npz"]
    assert convert(path, out, "--fps", 30) == 0
    content = out.read_bytes()
    assert convert(path, out, "--fps", 30) == 2
    assert "is there already; remove it" in capsys.readouterr().err
    assert out.read_bytes() == content


def test_a_damaged_frame_costs_itself(tmp_path, capsys):
    folder = tmp_path / "a"
    for number in range(3):
        for name, image in (("rgb", colour_image(number)), ("depth", depth_image(number))):
            (folder / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / name / f"{number:06d}.png")
    np.savetxt(folder / "cam_K.txt", K)
    (folder / "depth" / "000001.png").write_bytes(b"no image")
    assert convert(folder, tmp_path / "out.mcap", "--fps", 10) == 3
    assert "2 frames" not in capsys.readouterr().out
    assert [entry.seconds for entry in open_source(tmp_path / "out.mcap")] == [0.0, 0.2]


def test_one_destination(tmp_path, capsys):
    bag = plain(2).write(tmp_path / "a.mcap")
    assert cli.main(["convert", str(bag)]) == 2
    assert "give one destination" in capsys.readouterr().err
    assert convert(bag, tmp_path / "x", "--out", tmp_path / "y") == 2
    assert convert(bag, tmp_path / "x") == 0
    assert json.loads((tmp_path / "x" / "camera_intrinsic.json").read_text())["width"] == 64
