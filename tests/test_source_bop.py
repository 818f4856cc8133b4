"""BOP scenes: intrinsics and depth scale of every image, gray images, missing parts."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from containers import scene
from twohands.sources.bop import BopScene, is_bop

WIDTH, HEIGHT = 64, 48
NUMBERS = (3, 20, 100)


def cam_K(number):
    return [60.5 + number, 0.0, 31.25, 0.0, 61.5 + number, 23.75, 0.0, 0.0, 1.0]


def write_scene(root, folder="rgb", suffix=".png"):
    cameras = {}
    for place, number in enumerate(NUMBERS):
        rgb, depth = scene(WIDTH, HEIGHT, place)
        image = Image.fromarray(rgb)
        for name in (folder, "depth"):
            (root / name).mkdir(parents=True, exist_ok=True)
        image = image.convert("L") if folder == "gray" else image
        image.save(root / folder / f"{number:06d}{suffix}", quality=98)
        scale = (1.0, 0.1, 0.5)[place]
        Image.fromarray(np.rint(depth / scale).astype(np.uint16)).save(root / "depth" / f"{number:06d}.png")
        cameras[str(number)] = {"cam_K": cam_K(number), "depth_scale": scale, "cam_R_w2c": np.eye(3).ravel().tolist()}
    (root / "scene_camera.json").write_text(json.dumps(cameras))
    return root


@pytest.mark.parametrize(("folder", "suffix"), [("rgb", ".png"), ("rgb", ".jpg"), ("gray", ".png")])
def test_scene(tmp_path, folder, suffix):
    source = BopScene(write_scene(tmp_path, folder, suffix))
    assert is_bop(tmp_path)
    assert source.length == 3
    for _ in range(2):
        entries = list(source)
        assert [entry.name for entry in entries] == ["000003", "000020", "000100"]
        for place, entry in enumerate(entries):
            rgb, depth = scene(WIDTH, HEIGHT, place)
            frame = entry.open()
            K = np.reshape(cam_K(NUMBERS[place]), (3, 3)).astype(np.float32)
            np.testing.assert_array_equal(frame.camera.K, K)
            np.testing.assert_allclose(frame.depth, depth / 1000, atol=3e-4)
            assert entry.seconds is None
            if folder == "rgb":
                difference = np.abs(frame.rgb_uint8().astype(int) - rgb)
                assert difference.max() <= (0 if suffix == ".png" else 12)
            else:
                assert (frame.rgb[0] == frame.rgb[1]).all()


def test_missing_parts(tmp_path):
    root = write_scene(tmp_path / "scene")
    (root / "depth" / "000020.png").unlink()
    cameras = json.loads((root / "scene_camera.json").read_text())
    del cameras["100"]
    (root / "scene_camera.json").write_text(json.dumps(cameras))
    entries = list(BopScene(root))
    entries[0].open()
    with pytest.raises(FileNotFoundError, match="no depth image 000020"):
        entries[1].open()
    with pytest.raises(ValueError, match="no cam_K and depth_scale of image 100"):
        entries[2].open()
    for camera in (5, {"cam_K": cam_K(3), "depth_scale": "mm"}):
        (root / "scene_camera.json").write_text(json.dumps({"3": camera}))
        with pytest.raises(ValueError, match="no cam_K and depth_scale of image 3"):
            next(iter(BopScene(root))).open()
    (root / "scene_camera.json").write_bytes(b"\0\1\2")
    with pytest.raises(ValueError, match=r"scene_camera\.json is not a text file; copy it again"):
        BopScene(root)
    (root / "scene_camera.json").write_text("{")
    with pytest.raises(ValueError, match="damaged or not BOP's"):
        BopScene(root)
    (tmp_path / "scene_camera.json").write_text("{}")
    with pytest.raises(ValueError, match="give one scene"):
        BopScene(tmp_path)
