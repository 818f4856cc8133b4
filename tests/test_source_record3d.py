"""Record3D: archives, folders, order of numbers, K by columns, smaller pictures, holes, cut and missing parts."""

from __future__ import annotations

import sys
import zipfile

import lzfse
import numpy as np
import pytest

from containers import jpeg, scene, write_record3d
from twohands.sources.record3d import Record3D, is_record3d

WIDTH, HEIGHT, DEPTH_WIDTH, DEPTH_HEIGHT = 192, 144, 64, 48
K = np.array([[150.5, 0, 95.25], [0, 151.5, 70.75], [0, 0, 1]])
NUMBERS = (0, 2, 9, 10, 11)
TIMES = [1000.125 + number / 30 for number in range(12)]


def metadata(**changes):
    values = {"K": K.T.ravel().tolist(), "w": WIDTH, "h": HEIGHT, "dw": DEPTH_WIDTH, "dh": DEPTH_HEIGHT, "fps": 30}
    values |= {"frameTimestamps": TIMES, "poses": [[0, 0, 0, 1, 0, 0, 0]] * 12, **changes}
    return {name: value for name, value in values.items() if value is not None}


def plane(number=0):
    """Depth in metres of a plane: its inverse is linear in the image, so that enlarging it is exact."""
    v, u = np.mgrid[:DEPTH_HEIGHT, :DEPTH_WIDTH].astype(np.float64)
    return (1 / (1.5 + 0.01 * number + 0.004 * u + 0.002 * v)).astype(np.float32)


def frames(size=(WIDTH, HEIGHT), confidence=True):
    certain = np.full((DEPTH_HEIGHT, DEPTH_WIDTH), 2) if confidence else None
    return {number: (scene(*size, number)[0], plane(number), certain) for number in reversed(NUMBERS)}


def test_frames_in_the_order_of_their_numbers(tmp_path):
    write_record3d(tmp_path / "a.r3d", frames(), metadata())
    source = Record3D(tmp_path / "a.r3d")
    assert is_record3d(tmp_path / "a.r3d")
    assert source.length == len(NUMBERS)
    assert "5 frames, colour 192x144" in source.about
    for _ in range(2):
        entries = list(source)
        assert [entry.name for entry in entries] == [f"{number:06d}" for number in NUMBERS]
        assert [entry.seconds for entry in entries] == [TIMES[number] for number in NUMBERS]
        for number, entry in zip(NUMBERS, entries, strict=True):
            frame = entry.open()
            assert frame.depth.shape == (HEIGHT, WIDTH)
            np.testing.assert_array_equal(frame.camera.K, K.astype(np.float32))
            assert np.abs(frame.rgb_uint8().astype(int) - scene(WIDTH, HEIGHT, number)[0]).max() <= 6
            v, u = np.mgrid[:HEIGHT, :WIDTH]
            u, v = (u + 0.5) / 3 - 0.5, (v + 0.5) / 3 - 0.5  # pixels of the LiDAR's image
            inner = (slice(3, -3), slice(3, -3))
            expected = 1 / (1.5 + 0.01 * number + 0.004 * u + 0.002 * v)
            np.testing.assert_allclose(frame.depth[inner], expected[inner], rtol=1e-5)


def test_holes_and_uncertain_readings_are_none(tmp_path):
    depth, confidence = plane(), np.full((DEPTH_HEIGHT, DEPTH_WIDTH), 1)
    depth[10:14, 20:30] = np.nan
    depth[20:24, 20:30] = np.inf
    confidence[30:34, 20:30] = 0
    write_record3d(tmp_path / "a.r3d", {0: (scene(WIDTH, HEIGHT)[0], depth, confidence)}, metadata())
    frame = next(iter(Record3D(tmp_path / "a.r3d"))).open()
    assert np.isfinite(frame.depth).all()
    for top in (10, 20, 30):
        assert not frame.depth[3 * top + 2 : 3 * (top + 4) - 2, 62:88].any()
    assert (frame.depth[3 * 15 + 1 : 3 * 19, 62:88] > 0).all()


def test_smaller_pictures_scale_the_intrinsics(tmp_path):
    """The sizes of the metadata are those of the camera; a picture of half the size has its pixels in pairs."""
    write_record3d(tmp_path / "a.r3d", frames((WIDTH // 2, HEIGHT // 2)), metadata())
    frame = next(iter(Record3D(tmp_path / "a.r3d"))).open()
    expected = [[75.25, 0, (95.25 + 0.5) / 2 - 0.5], [0, 75.75, (70.75 + 0.5) / 2 - 0.5], [0, 0, 1]]
    np.testing.assert_allclose(frame.camera.K, expected, rtol=1e-7)
    write_record3d(tmp_path / "b.r3d", frames((HEIGHT, WIDTH)), metadata())
    with pytest.raises(ValueError, match=r"rgbd/0\.jpg has 144x192 pixels but the intrinsics are of 192x144"):
        next(iter(Record3D(tmp_path / "b.r3d"))).open()


def test_intrinsics_of_each_frame(tmp_path):
    each = [[150.5 + number, 151.5, 95.25, 70.75] for number in range(12)]
    write_record3d(tmp_path / "a.r3d", frames(), metadata(perFrameIntrinsicCoeffs=each))
    for number, entry in zip(NUMBERS, Record3D(tmp_path / "a.r3d"), strict=True):
        assert entry.open().camera.K[0, 0] == np.float32(150.5 + number)


def test_old_recordings(tmp_path):
    """Without confidence, time stamps and size of depth."""
    values = metadata(dw=None, dh=None, frameTimestamps=None)
    write_record3d(tmp_path / "a.r3d", frames(confidence=False), values)
    entries = list(Record3D(tmp_path / "a.r3d"))
    assert [entry.seconds for entry in entries] == [number / 30 for number in NUMBERS]
    assert entries[0].open().depth[HEIGHT // 2, WIDTH // 2] > 0
    write_record3d(tmp_path / "b.r3d", frames(), metadata(frameTimestamps=None, fps=None))
    assert [entry.seconds for entry in Record3D(tmp_path / "b.r3d")] == [None] * len(NUMBERS)


def test_unpacked_archives(tmp_path):
    write_record3d(tmp_path / "a.r3d", frames(), metadata())
    with zipfile.ZipFile(tmp_path / "a.r3d") as archive:
        archive.extractall(tmp_path / "a")
    assert is_record3d(tmp_path / "a")
    packed, unpacked = (list(Record3D(tmp_path / name)) for name in ("a.r3d", "a"))
    assert [entry.name for entry in packed] == [entry.name for entry in unpacked]
    np.testing.assert_array_equal(packed[3].open().depth, unpacked[3].open().depth)


def test_metadata_alone(tmp_path):
    write_record3d(tmp_path / "a.r3d", {}, metadata(), {"icon": b"png", "rgbd/readme.txt": b""})
    with pytest.raises(ValueError, match=r"a\.r3d has metadata but no frames"):
        Record3D(tmp_path / "a.r3d")


def test_damage_costs_one_frame(tmp_path):
    images = frames()
    kept = {number: images[number] for number in (0, 2)}
    whole = lzfse.compress(plane().tobytes())
    broken = {
        "rgbd/3.jpg": jpeg(scene(WIDTH, HEIGHT)[0]),
        "rgbd/3.depth": whole[: len(whole) // 2],
        "rgbd/4.jpg": jpeg(scene(WIDTH, HEIGHT)[0])[:900],
        "rgbd/4.depth": whole,
        "rgbd/5.jpg": jpeg(scene(WIDTH, HEIGHT)[0]),
        "rgbd/6.depth": whole,
        "rgbd/7.jpg": jpeg(scene(WIDTH, HEIGHT)[0]),
        "rgbd/7.depth": lzfse.compress(plane()[:-1].tobytes()),
        "rgbd/8.jpg": jpeg(scene(WIDTH, HEIGHT)[0]),
        "rgbd/8.depth": b"",
    }
    write_record3d(tmp_path / "a.r3d", kept, metadata(), broken)
    entries = list(Record3D(tmp_path / "a.r3d"))
    assert [entry.name for entry in entries] == [f"{number:06d}" for number in (0, 2, 3, 4, 5, 6, 7, 8)]
    reasons = [
        (ValueError, r"rgbd/3\.depth is cut off or damaged"),
        (ValueError, r"rgbd/4\.jpg is truncated or damaged"),
        (FileNotFoundError, r"no rgbd/5\.depth"),
        (FileNotFoundError, r"no rgbd/6\.jpg"),
        (ValueError, r"rgbd/7\.depth has 12032 bytes, not those of 64x48 values"),
        (ValueError, r"rgbd/8\.depth is cut off or damaged"),
    ]
    for entry, (kind, reason) in zip(entries[2:], reasons, strict=True):
        with pytest.raises(kind, match=reason):
            entry.open()
    entries[1].open()


def test_recordings_that_cannot_be_used(tmp_path, monkeypatch):
    write_record3d(tmp_path / "a.r3d", frames(), metadata())
    content = (tmp_path / "a.r3d").read_bytes()
    (tmp_path / "cut.r3d").write_bytes(content[: len(content) * 7 // 10])
    with pytest.raises(ValueError, match=r"cut\.r3d is not a complete \.r3d archive .*its end, with the list"):
        Record3D(tmp_path / "cut.r3d")
    assert not is_record3d(tmp_path / "cut.r3d")
    with pytest.raises(FileNotFoundError, match=r"nothing\.r3d does not exist"):
        Record3D(tmp_path / "nothing.r3d")
    write_record3d(tmp_path / "b.r3d", frames(), metadata(K=None))
    with pytest.raises(ValueError, match="no intrinsics K"):
        Record3D(tmp_path / "b.r3d")
    write_record3d(tmp_path / "c.r3d", frames(), metadata(w=None))
    with pytest.raises(ValueError, match="no size w, h"):
        Record3D(tmp_path / "c.r3d")
    with zipfile.ZipFile(tmp_path / "d.r3d", "w") as archive:
        archive.writestr("metadata", "{")
    with pytest.raises(ValueError, match=r"the metadata of .* are damaged"):
        Record3D(tmp_path / "d.r3d")
    with zipfile.ZipFile(tmp_path / "e.r3d", "w") as archive:
        archive.writestr("other", "{}")
    with pytest.raises(ValueError, match="no file `metadata`"):
        Record3D(tmp_path / "e.r3d")
    monkeypatch.setitem(sys.modules, "lzfse", None)
    with pytest.raises(ValueError, match=r"pip install 'twohands\[iphone\]'"):
        Record3D(tmp_path / "a.r3d")
