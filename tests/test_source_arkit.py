"""Scans of iPhone applications that store ARKit's intrinsics for every image: 3D Scanner App and Polycam."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from containers import jpeg, scene
from twohands import open_source
from twohands.sources.arkit import ARKitScan, is_arkit

WIDTH, HEIGHT, DEPTH_WIDTH, DEPTH_HEIGHT, COUNT = 192, 144, 64, 48, 3


def focal(number):
    """ARKit's autofocus: every image has another focal length."""
    return 150.5 + number


def write_frame(number, colour, camera, depth, confidence, values):
    rgb, _ = scene(WIDTH, HEIGHT, number)
    _, steps = scene(DEPTH_WIDTH, DEPTH_HEIGHT, number)
    sure = np.full(steps.shape, 2, np.uint8)
    sure[30, 40] = 0
    for path in (colour, camera, depth, confidence):
        path.parent.mkdir(parents=True, exist_ok=True)
    colour.write_bytes(jpeg(rgb))
    camera.write_text(json.dumps(values))
    Image.fromarray(steps).save(depth)
    Image.fromarray(sure).save(confidence)


def scanner_app(root):
    for number in range(COUNT):
        f = focal(number)
        values = {
            "intrinsics": [f, 0, 95.25, 0, f, 70.75, 0, 0, 1],
            "cameraPoseARFrame": np.eye(4).ravel().tolist(),
            "projectionMatrix": np.eye(4).ravel().tolist(),
            "time": 40466.25 + number / 8,
            "frame_index": number,
        }
        names = f"frame_{number:05d}.jpg", f"frame_{number:05d}.json", f"depth_{number:05d}.png"
        write_frame(number, *(root / name for name in (*names, f"conf_{number:05d}.png")), values)
    (root / "info.json").write_text("{}")
    return root


def polycam(root):
    """Intrinsics of images twice as large, and numbers without leading zeros as names."""
    for number in range(COUNT):
        stem, f = str(98 + number), 2 * focal(number)
        values = {"fx": f, "fy": f, "cx": 2 * 95.75 - 0.5, "cy": 2 * 71.25 - 0.5, "width": 2 * WIDTH}
        values |= {"height": 2 * HEIGHT, "t_00": 1.0, "timestamp": 11447453916 + number}
        places = ("images", ".jpg"), ("cameras", ".json"), ("depth", ".png"), ("confidence", ".png")
        write_frame(number, *(root / "keyframes" / kind / (stem + end) for kind, end in places), values)
    return root


@pytest.mark.parametrize("write", [scanner_app, polycam])
def test_frames(tmp_path, write):
    root = write(tmp_path / "scan")
    assert is_arkit(root)
    source = open_source(root)
    assert "scan of ARKit, 3 images" in source.about
    assert source.length == COUNT
    for number, entry in enumerate(source):
        frame = entry.open()
        if write is scanner_app:
            assert (entry.name, entry.seconds) == (f"frame_{number:05d}", 40466.25 + number / 8)
        else:
            assert (entry.name, entry.seconds) == (str(98 + number), None)
        expected = [[focal(number), 0, 95.25], [0, focal(number), 70.75], [0, 0, 1]]
        np.testing.assert_allclose(frame.camera.K, expected, atol=1e-4)
        assert np.abs(frame.rgb_uint8().astype(int) - scene(WIDTH, HEIGHT, number)[0]).max() < 8
        steps = scene(DEPTH_WIDTH, DEPTH_HEIGHT, number)[1].astype(float)
        steps[30, 40] = 0  # not certain
        np.testing.assert_allclose(frame.depth[1::3, 1::3], steps / 1000, rtol=1e-6)
    assert number == COUNT - 1


def test_missing_parts(tmp_path):
    root = scanner_app(tmp_path / "scan")
    (root / "depth_00000.png").unlink()
    (root / "frame_00001.json").unlink()
    Image.fromarray(np.full((64, 48), 500, np.uint16)).save(root / "depth_00002.png")
    reasons = {}
    for entry in ARKitScan(root):
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            entry.open()
        reasons[entry.name] = str(error.value)
    assert "no depth_00000.png" in reasons["frame_00000"]
    assert "frame_00001.json does not exist" in reasons["frame_00001"]
    assert "another view" in reasons["frame_00002"]
    (tmp_path / "empty").mkdir()
    assert not is_arkit(tmp_path / "empty")
    with pytest.raises(ValueError, match="export all data of the scan"):
        ARKitScan(tmp_path / "empty")
