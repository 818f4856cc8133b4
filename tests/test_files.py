"""Readers return what was written, or one sentence that names the file and the remedy."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from twohands import files

MATRIX = np.array([[600.0, 0, 320], [0, 610, 240], [0, 0, 1]], np.float32)
RGB = np.random.default_rng(0).integers(0, 255, (24, 32, 3), dtype=np.uint8)
DEPTH = np.random.default_rng(1).integers(0, 60000, (24, 32)).astype(np.uint16)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
def test_colour_of_any_mode(tmp_path, mode):
    image = Image.fromarray(RGB).convert(mode)
    image.save(tmp_path / "a.png")
    result = files.read_rgb(tmp_path / "a.png")
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.asarray(image.convert("RGB")))


def test_jpeg(tmp_path):
    smooth = np.full((24, 32, 3), (200, 100, 30), np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    assert np.abs(files.read_rgb(tmp_path / "a.jpg").astype(int) - smooth).max() < 6


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_sixteen_bit_depth(tmp_path, name):
    np.save(tmp_path / name, DEPTH) if name.endswith("npy") else Image.fromarray(DEPTH).save(tmp_path / name)
    result = files.read_depth(tmp_path / name)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, DEPTH)


@pytest.mark.parametrize("name", ["a.tiff", "a.npy"])
def test_metres_as_floats(tmp_path, name):
    metres = (DEPTH / 10000).astype(np.float32)
    np.save(tmp_path / name, metres) if name.endswith("npy") else Image.fromarray(metres).save(tmp_path / name)
    result = files.read_depth(tmp_path / name)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(files.depth_in_metres(result), metres)


def test_unreadable_images(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    for share in (0.1, 0.5, 0.95):
        (tmp_path / "part.png").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(ValueError, match=r"part\.png is (truncated or damaged|not an image)"):
            files.read_rgb(tmp_path / "part.png")
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "text.npy").write_text("hello")
    with pytest.raises(ValueError, match=r"text\.png is not an image"):
        files.read_rgb(tmp_path / "text.png")
    with pytest.raises(ValueError, match=r"text\.npy is not a readable \.npy"):
        files.read_depth(tmp_path / "text.npy")
    with pytest.raises(FileNotFoundError, match=r"nothing\.png does not exist"):
        files.read_rgb(tmp_path / "nothing.png")
    with pytest.raises(ValueError, match="is a folder"):
        files.read_depth(tmp_path)


def test_exchanged_and_coarse_images(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "rgb.png")
    Image.fromarray(DEPTH).save(tmp_path / "depth.png")
    Image.fromarray(RGB[..., 0]).save(tmp_path / "grey.png")
    with pytest.raises(ValueError, match="exchanged"):
        files.read_rgb(tmp_path / "depth.png")
    with pytest.raises(ValueError, match="not depth; give the 16-bit"):
        files.read_depth(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match=r"8 bits a pixel.*16-bit"):
        files.read_depth(tmp_path / "grey.png")
    with pytest.raises(ValueError, match="8 bits"):
        files.depth_in_metres(RGB[..., 0])
    np.save(tmp_path / "stack.npy", RGB)
    with pytest.raises(ValueError, match="must be \\(height, width\\)"):
        files.read_depth(tmp_path / "stack.npy")


OPEN3D = {"width": 640, "height": 480, "intrinsic_matrix": [600, 0, 0, 0, 610, 0, 320, 240, 1]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("K.txt", "600 0 320\n0 610 240\n0 0 1\n"),
        ("K.txt", "6.0e2, 0, 320, 0, 610, 240, 0, 0, 1"),
        ("K.txt", "[[600, 0, 320], [0, 610, 240], [0, 0, 1]]"),
        ("K.txt", "600 610 320 240"),
        ("K.txt", "640 480 600 610 320 240"),
        ("K.txt", "600 610 320 240 640 480"),
        ("K.txt", "600\n610\n320\n240\n640\n480\n"),
        ("K.json", json.dumps(OPEN3D)),
        ("K.json", json.dumps({"intrinsic": OPEN3D, "extrinsic": []})),
        ("K.json", json.dumps({"fx": 600, "fy": 610, "cx": 320, "cy": 240})),
        ("K.json", json.dumps(MATRIX.tolist())),
    ],
)
def test_intrinsics_files(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    np.testing.assert_array_equal(files.intrinsics_matrix(files.read_intrinsics(tmp_path / name)), MATRIX)


def test_intrinsics_without_text(tmp_path):
    np.save(tmp_path / "K.npy", MATRIX)
    for source in (tmp_path / "K.npy", "600,610,320,240", "600, 610, 320, 240", MATRIX, [600, 610, 320, 240]):
        result = files.intrinsics_matrix(files.read_intrinsics(source))
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, MATRIX)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("600 610 320", "shape"),
        ("", "shape"),
        ("600 0 320\n0 610 240\n", "shape"),
        ("600 0 320 0\n0 610 240 0\n0 0 1 0", "shape"),
        ("fx=600", "numbers only"),
        ("600,610,320,middle", "numbers only"),
    ],
)
def test_intrinsics_that_are_none(tmp_path, text, match):
    (tmp_path / "K.txt").write_text(text)
    with pytest.raises(ValueError, match=match):
        files.intrinsics_matrix(files.read_intrinsics(tmp_path / "K.txt"))


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '{"intrinsic_matrix": [1, 2]}'])
def test_json_that_is_none(tmp_path, text):
    (tmp_path / "K.json").write_text(text)
    with pytest.raises(ValueError, match="give a 3x3 text file"):
        files.intrinsics_matrix(files.read_intrinsics(tmp_path / "K.json"))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({(0, 0): np.nan}, "not finite"),
        ({(0, 0): 0.19 * 640}, "fx = 121.6 px is not possible"),
        ({(1, 1): 10.1 * 640}, "fy = 6464 px is not possible"),
        ({(0, 0): -600}, "fx = -600"),
        ({(0, 2): 640}, "outside the 640x480 image"),
        ({(1, 2): -1}, "outside"),
        ({(0, 2): 0, (2, 0): 320}, "transposed"),
        ({(2, 2): 0}, "must look like"),
    ],
)
def test_absurd_intrinsics(change, match):
    matrix = MATRIX.copy()
    for place, value in change.items():
        matrix[place] = value
    with pytest.raises(ValueError, match=match):
        files.check_intrinsics(matrix, 640, 480)
    assert files.check_intrinsics(MATRIX, 640, 480) is MATRIX


def test_depth_in_metres():
    metres = files.depth_in_metres(np.array([[0, 500], [1500, 65535]], np.uint16))
    assert metres.dtype == np.float32
    np.testing.assert_allclose(metres, [[0, 0.5], [1.5, 65.535]], rtol=1e-6)
    np.testing.assert_allclose(files.depth_in_metres(np.array([[4000]], np.uint16), 0.00025), 1, rtol=1e-6)
    odd = np.array([[np.nan, np.inf, -1, 0.7]])
    np.testing.assert_allclose(files.depth_in_metres(odd), [[0, 0, 0, 0.7]], rtol=1e-6)
    assert files.depth_in_metres(np.asfortranarray(np.ones((3, 4)))).flags.c_contiguous
    for unit in (0.0, -0.001, np.nan):
        with pytest.raises(ValueError, match="must be a length in metres"):
            files.depth_in_metres(odd, unit)


def test_atomic_writing(tmp_path):
    target = tmp_path / "new" / "a.txt"
    with files.write_atomically(target) as temporary:
        temporary.write_text("one")
        assert temporary.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "one"

    def fail_halfway():
        with files.write_atomically(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert target.read_text() == "one"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]
