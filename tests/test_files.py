"""Readers return the written content, or raise one sentence that names the file and the fix."""

from __future__ import annotations

import errno
import json
import os
import re
import warnings

import numpy as np
import pytest
from PIL import Image

from containers import deep_png
from twohands import files
from twohands.intrinsics import check_intrinsics, read_intrinsics
from twohands.sources.common import decode_rgb
from twohands.types import RGBDFrame

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


@pytest.mark.parametrize(
    ("bits", "fix"), [(8, "image.a"), (10, "(image >> 2).a"), (12, "(image >> 4).a"), (14, "(image >> 6).a")]
)
def test_colour_of_few_bits_among_sixteen_is_refused(tmp_path, bits, fix):
    """Industrial cameras write 12 bits into 16; their upper 8 alone are nearly black."""
    values = (RGB.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    (tmp_path / "a.png").write_bytes(deep_png(values))
    match = rf"a\.png has 16 bits a channel but no value above \d+, .*; save it with 8 bits: {re.escape(fix)}stype"
    with pytest.raises(ValueError, match=match):
        files.read_rgb(tmp_path / "a.png")
    with pytest.raises(ValueError, match=match):  # in archives, tables and messages
        decode_rgb((tmp_path / "a.png").read_bytes(), "a.png")
    with pytest.raises(ValueError, match=rf"uint8, red first; got .* make bytes with {re.escape(fix)}stype"):
        RGBDFrame.from_arrays(values, DEPTH, MATRIX)


def test_colour_of_sixteen_bits(tmp_path):
    (tmp_path / "a.png").write_bytes(deep_png(RGB.astype(np.uint16) * 257))
    np.testing.assert_array_equal(files.read_rgb(tmp_path / "a.png"), RGB)


def test_colour_that_is_to_be_turned(tmp_path):
    mark = Image.Exif()
    for orientation in (1, 6):
        mark[files.ORIENTATION_TAG] = orientation
        Image.fromarray(RGB).save(tmp_path / f"{orientation}.jpg", exif=mark)
    assert files.read_rgb(tmp_path / "1.jpg").shape == RGB.shape
    with pytest.raises(ValueError, match=r"6\.jpg is marked as rotated .*without that mark"):
        files.read_rgb(tmp_path / "6.jpg")


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.npy"])
def test_sixteen_bit_depth(tmp_path, name):
    np.save(tmp_path / name, DEPTH) if name.endswith("npy") else Image.fromarray(DEPTH).save(tmp_path / name)
    result = files.read_depth(tmp_path / name)
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, DEPTH)


def test_depth_in_an_archive(tmp_path):
    np.savez(tmp_path / "alone.npz", DEPTH)
    np.savez(tmp_path / "named.npz", rgb=RGB, depth=DEPTH)
    np.savez(tmp_path / "other.npz", rgb=RGB, d=DEPTH)
    for name in ("alone.npz", "named.npz"):
        np.testing.assert_array_equal(files.read_depth(tmp_path / name), DEPTH)
    with pytest.raises(ValueError, match=r"other\.npz holds the arrays rgb, d; name one of them depth"):
        files.read_depth(tmp_path / "other.npz")
    (tmp_path / "part.npz").write_bytes((tmp_path / "alone.npz").read_bytes()[:500])
    with pytest.raises(ValueError, match=r"part\.npz is not a readable \.npz"):
        files.read_depth(tmp_path / "part.npz")


@pytest.mark.parametrize("name", ["a.tiff", "a.npy"])
def test_metres_as_floats(tmp_path, name):
    metres = (DEPTH / 10000).astype(np.float32)
    np.save(tmp_path / name, metres) if name.endswith("npy") else Image.fromarray(metres).save(tmp_path / name)
    result = files.read_depth(tmp_path / name)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(files.depth_in_metres(result), metres)


@pytest.mark.parametrize(("largest", "comment"), [(65535, b""), (10000, b"# CREATOR: a camera\n"), (4095, b"")])
def test_depth_as_pgm(tmp_path, largest, comment):
    """Pillow stretches the values of files with another largest value."""
    depth = (DEPTH.astype(int) % (largest + 1)).astype(">u2")
    content = b"P5\n" + comment + b"32 24\n%d\n" % largest + depth.tobytes()
    (tmp_path / "a.pgm").write_bytes(content)
    found = files.read_depth(tmp_path / "a.pgm")
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, depth)
    (tmp_path / "a.pgm").write_bytes(content[:-1])
    with pytest.raises(ValueError, match=r"a\.pgm is not a whole binary PGM file"):
        files.read_depth(tmp_path / "a.pgm")
    (tmp_path / "a.pgm").write_bytes(b"P5 32 24 255 " + bytes(768))
    with pytest.raises(ValueError, match="8 bits a pixel"):
        files.read_depth(tmp_path / "a.pgm")


@pytest.mark.parametrize("suffix", [".ppm", ".bmp", ".tiff", ".webp"])
def test_colour_in_other_formats(tmp_path, suffix):
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", **({"lossless": True} if suffix == ".webp" else {}))
    np.testing.assert_array_equal(files.read_rgb(tmp_path / f"a{suffix}"), RGB)


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


@pytest.mark.parametrize("levels", [255, 750, 4000])
def test_stretched_depth(tmp_path, levels):
    """A viewer's 16-bit picture has no unit; full ranges of a sensor, its steps of 5 and an invalid 65535 do."""
    millimetres = np.random.default_rng(2).integers(1, levels + 1, (240, 320))
    millimetres[0, :2] = 0, levels
    stretched = (millimetres * (65535 / levels)).astype(np.uint16)
    Image.fromarray(stretched).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png holds depth that was stretched .*its unit is lost, give the 16-bit"):
        files.read_depth(tmp_path / "a.png")
    with pytest.raises(ValueError, match="depth holds depth that was stretched"):
        files.depth_in_metres(stretched, 0.001)
    for fine in (np.where(millimetres == levels, 65535, millimetres), np.arange(76800) % 13107 * 5 + 5):
        files.depth_in_metres(fine.reshape(240, 320).astype(np.uint16))


def test_depth_in_formats_that_are_not_read(tmp_path):
    for name in ("a.exr", "a.raw", "a.bin"):
        (tmp_path / name).write_bytes(b"v/1\x01" + bytes(200))
    Image.fromarray(RGB[..., 0]).save(tmp_path / "a.jpg")
    (tmp_path / "renamed.png").write_bytes((tmp_path / "a.jpg").read_bytes())
    png = "16-bit PNG in millimetres, or numpy.save metres"
    for name, match in (
        ("a.exr", f"a.exr is an EXR file.* as {png}"),
        ("a.raw", r"a.raw has no width, height and type.*numpy\.fromfile\(.*\.reshape\(height, width\)"),
        ("a.bin", "a.bin has no width"),
        ("a.jpg", f"a.jpg is a JPEG, whose compression destroys depth; record depth as {png}"),
        ("renamed.png", "renamed.png is a JPEG"),
    ):
        with pytest.raises(ValueError, match=match):
            files.read_depth(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        files.read_depth(tmp_path / "b.exr")
    (tmp_path / "text.png").write_text("hello")
    with pytest.raises(ValueError, match=f"give the depth image as {png}"):
        files.read_depth(tmp_path / "text.png")


def test_names_as_long_as_the_file_system_takes(tmp_path):
    path = tmp_path / ("x" * 251 + ".npz")
    with files.write_atomically(path) as temporary:
        temporary.write_bytes(b"done")
    assert path.read_bytes() == b"done"
    with (
        pytest.raises(files.NotWrittenError, match=r"name too long\); shorten the name of the frame or of --out"),
        files.write_atomically(tmp_path / ("x" * 252 + ".npz")) as temporary,
    ):
        temporary.write_bytes(b"never")
    assert [found.name for found in tmp_path.iterdir()] == [path.name]


SIZE = {"width": 640, "height": 480}
OPEN3D = {**SIZE, "intrinsic_matrix": [600, 0, 0, 0, 610, 0, 320, 240, 1]}
ROWS = [600, 0, 320, 0, 610, 240, 0, 0, 1]


@pytest.mark.parametrize(
    ("name", "text", "sized"),
    [
        ("K.txt", "600 0 320\n0 610 240\n0 0 1\n", False),
        ("K.txt", "6.0e2, 0, 320, 0, 610, 240, 0, 0, 1", False),
        ("K.txt", "[[600, 0, 320], [0, 610, 240], [0, 0, 1]]", False),
        ("K.txt", "\ufeff# colour camera\n600 0 320  # fx\n0 610 240\n\n0 0 1\n", False),
        ("K.txt", "600 610 320 240", False),
        ("K.txt", "640 480 600 610 320 240", True),
        ("K.txt", "600 610 320 240 640 480", True),
        ("K.txt", "600\n610\n320\n240\n640\n480\n", True),
        ("K.json", json.dumps(OPEN3D), True),
        ("K.json", "\ufeff" + json.dumps({"intrinsic": OPEN3D, "extrinsic": []}), True),
        ("K.json", json.dumps({"fx": 600, "fy": 610, "cx": 320, "cy": 240, "width": None}), False),
        ("K.json", json.dumps({**SIZE, "fx": 600, "fy": 610, "ppx": 320, "ppy": 240}), True),  # RealSense
        ("K.json", json.dumps({**SIZE, "K": ROWS, "D": []}), True),  # ROS
        ("K.json", json.dumps({"image_width": 640, "image_height": 480, "camera_matrix": {"data": ROWS}}), True),
        ("K.json", json.dumps(MATRIX.tolist()), False),
    ],
)
def test_intrinsics_files(tmp_path, name, text, sized):
    (tmp_path / name).write_text(text, encoding="utf-8")
    intrinsics = read_intrinsics(tmp_path / name)
    np.testing.assert_array_equal(intrinsics.matrix, MATRIX)
    assert intrinsics.size == ((640, 480) if sized else None)


def test_intrinsics_without_text(tmp_path):
    np.save(tmp_path / "K.npy", MATRIX)
    long = "600,0,320,0,610,240,0,0," + "1".ljust(300, "0").replace("0", " ")  # longer than a file name may be
    texts = ("600,610,320,240", "600 610 320 240", "[[600, 0, 320], [0, 610, 240], [0, 0, 1]]", long)
    for source in (tmp_path / "K.npy", MATRIX, [600, 610, 320, 240], *texts):
        result = read_intrinsics(source)
        assert result.matrix.dtype == np.float32
        np.testing.assert_array_equal(result.matrix, MATRIX)
        assert read_intrinsics(result) is result
    for source in ("600,610,320,middle", "600,610,320," + "2" * 300 + "x"):
        with pytest.raises(FileNotFoundError, match="does not exist; check the path, or give fx,fy,cx,cy"):
            read_intrinsics(source)


def test_intrinsics_of_another_resolution():
    stated = read_intrinsics("600 610 320 240 640 480")
    assert stated.of_image(640, 480) is stated.matrix
    with pytest.raises(
        ValueError, match="colour is 960x720 but the intrinsics are of 640x480 pixels; give those of this"
    ):
        stated.of_image(960, 720)
    with pytest.raises(ValueError, match=r"for an image of 640\.5x480 pixels; give"):
        read_intrinsics("640.5 480 600 610 320 240")
    with pytest.raises(ValueError, match="intrinsics are of 600x610"):  # fx, fy, cx, cy and distortion
        read_intrinsics("600 610 320 240 0.01 -0.02").of_image(640, 480)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("600 610 320", "shape"),
        ("", "no numbers in it"),
        ("600 0 320\n0 610 240\n", "shape"),
        ("fx=600", "found no .* among fx; give"),
        ("600,610,320,middle", "numbers only"),
    ],
)
def test_intrinsics_that_are_none(tmp_path, text, match):
    (tmp_path / "K.txt").write_text(text)
    with pytest.raises(ValueError, match=match):
        read_intrinsics(tmp_path / "K.txt")


@pytest.mark.parametrize("text", ["{", '{"a": 1}', '{"intrinsic_matrix": [1, 2]}', '{"camera_matrix": {}}', "3"])
def test_json_that_is_none(tmp_path, text):
    (tmp_path / "K.json").write_text(text)
    with pytest.raises(ValueError, match="give a 3x3 text file"):
        read_intrinsics(tmp_path / "K.json")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({(0, 0): np.nan}, "not finite"),
        ({(0, 0): 0.19 * 640}, "fx = 121.6 px is not possible"),
        ({(1, 1): 10.1 * 640}, "fy = 6464 px is not possible"),
        ({(0, 0): -600}, "fx = -600"),
        ({(0, 2): 1241}, "far outside the 640x480 image"),
        ({(1, 2): -611}, "far outside"),
        ({(0, 2): 0, (2, 0): 320}, "transposed"),
        ({(2, 2): 0}, "must look like"),
    ],
)
def test_absurd_intrinsics(change, match):
    matrix = MATRIX.copy()
    for place, value in change.items():
        matrix[place] = value
    with pytest.raises(ValueError, match=match):
        check_intrinsics(matrix, 640, 480)
    assert check_intrinsics(MATRIX, 640, 480) is MATRIX


def test_intrinsics_of_a_crop_from_the_corner():
    crop = MATRIX - np.array([[0, 0, 400], [0, 0, 300], [0, 0, 0]], np.float32)
    assert check_intrinsics(crop, 240, 180) is crop


def test_depth_in_metres():
    metres = files.depth_in_metres(np.array([[0, 500], [1500, 65535]], np.uint16))
    assert metres.dtype == np.float32
    np.testing.assert_allclose(metres, [[0, 0.5], [1.5, 65.535]], rtol=1e-6)
    np.testing.assert_allclose(files.depth_in_metres(np.array([[4000]], np.uint16), 0.00025), 1, rtol=1e-6)
    odd = np.array([[np.nan, np.inf, -1, 0.7]])
    np.testing.assert_allclose(files.depth_in_metres(odd), [[0, 0, 0, 0.7]], rtol=1e-6)
    assert files.depth_in_metres(np.asfortranarray(np.ones((3, 4)))).flags.c_contiguous
    for unit in (0.0, -0.001, np.nan, "mm"):
        with pytest.raises(ValueError, match="must be a length in metres"):
            files.depth_in_metres(odd, unit)
    np.testing.assert_array_equal(files.depth_in_metres(np.ones((3, 4, 1))), np.ones((3, 4)))


def test_depth_whose_bytes_are_exchanged():
    wall = np.round(np.linspace(600, 900, 64) + np.zeros((48, 1))).astype(np.uint16)
    for depth in (wall, wall * 10, wall // 4):
        files.depth_in_metres(depth)
        with pytest.raises(ValueError, match=r"two bytes of each value exchanged .*; save depth\.byteswap\(\)"):
            files.depth_in_metres(depth.byteswap())
    files.depth_in_metres(np.random.default_rng(0).integers(0, 65535, (48, 64)).astype(np.uint16))


def test_depth_that_was_normalized_has_no_unit():
    depth = np.linspace(0.31, 0.83, 48 * 64, dtype=np.float32).reshape(48, 64)
    metres = np.round(depth / depth.max(), 4)  # the farthest reading is at one metre
    for fine in (metres, metres.astype(np.float64), np.minimum(depth, 0.7) / np.float32(0.7)):  # or clipped there
        assert files.depth_in_metres(fine).max() == 1
    with pytest.raises(ValueError, match="scaled to values from 0 to 1, so that its unit is lost"):
        files.depth_in_metres(depth / depth.max())
    np.testing.assert_allclose(files.depth_in_metres(depth / depth.max(), 0.83), depth, rtol=1e-5)
    assert files.depth_in_metres(depth / depth.max(), 1.0).max() == 1  # who says that it is metres is believed


def test_half_floats_are_metres():
    depth = np.full((48, 64), 0.5, np.float16)
    depth[0, 0] = np.inf
    with warnings.catch_warnings(action="error"):
        frame = RGBDFrame.from_arrays(np.zeros((48, 64, 3), np.uint8), depth, [60, 60, 31.5, 23.5])
    assert frame.depth[0, 0] == 0
    assert frame.depth[1, 1] == 0.5


def test_depth_turned_against_colour():
    with pytest.raises(ValueError, match="depth is 48x64 but colour is 64x48, rotated by 90 degrees; rotate one, with"):
        RGBDFrame.from_arrays(np.zeros((48, 64, 3), np.uint8), np.full((64, 48), 500, np.uint16), [60, 60, 31.5, 23.5])


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


def test_what_the_file_system_refuses_has_a_remedy(tmp_path):
    def write(target):
        with files.write_atomically(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"cannot write .*a\.txt \(No space left on device\); free some space") as raised:
        write(tmp_path / "a.txt")
    assert raised.value.errno == errno.ENOSPC
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write .*a\.txt \(Not a directory\).* give another folder"):
        write(tmp_path / "file" / "below" / "a.txt")


def test_a_lock_is_held_once_and_without_locks_there_is_no_waiting(tmp_path, monkeypatch):
    with files.locked(tmp_path / "lock") as mine, files.locked(tmp_path / "lock") as again:
        assert (mine, again) == (True, False)

    def refuse(stream, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    with (
        pytest.raises(ValueError, match=r"lock cannot be locked \(No locks available\); give a folder on a local disk"),
        files.locked(tmp_path / "lock"),
    ):
        pytest.fail("nobody has the lock")
