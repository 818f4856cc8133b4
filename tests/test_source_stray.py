"""Stray Scanner folders: a video beside depth images, its time stamps, the mark to turn it, missing and cut parts."""

from __future__ import annotations

import sys

import av
import numpy as np
import pytest
from PIL import Image

from containers import scene, write_video
from twohands.sources.stray import StrayScanner, is_stray

WIDTH, HEIGHT, DEPTH_WIDTH, DEPTH_HEIGHT = 192, 144, 64, 48
K = np.array([[150.5, 0, 95.25], [0, 151.5, 70.75], [0, 0, 1]])
COUNT = 6


def millimetres(number):
    v, u = np.mgrid[:DEPTH_HEIGHT, :DEPTH_WIDTH]
    return (500 + 10 * number + u + 2 * v).astype(np.uint16)


def write_folder(root, turned=False):
    for name in ("depth", "confidence"):
        (root / name).mkdir(parents=True)
    write_video(root / "rgb.mp4", [scene(WIDTH, HEIGHT, number)[0] for number in range(COUNT)], turned=turned)
    rows = ["timestamp, frame, x, y, z, qx, qy, qz, qw"]
    for number in range(COUNT):
        Image.fromarray(millimetres(number)).save(root / "depth" / f"{number:06d}.png")
        confidence = np.full((DEPTH_HEIGHT, DEPTH_WIDTH), 2, np.uint8)
        confidence[20:24, 10:20] = 0
        Image.fromarray(confidence).save(root / "confidence" / f"{number:06d}.png")
        rows.append(f"{81234.5 + number / 60!r}, {number:06d}, 0, 0, 0, 0, 0, 0, 1")
    (root / "odometry.csv").write_text("\n".join(rows) + "\n")
    np.savetxt(root / "camera_matrix.csv", K, delimiter=", ")
    return root


@pytest.mark.parametrize("turned", [False, True])
def test_frames(tmp_path, turned):
    """A phone marks the video to be shown upright; depth, intrinsics and the stored images stay as the camera saw."""
    root = write_folder(tmp_path, turned)
    if turned:
        with av.open(str(root / "rgb.mp4")) as container:
            assert next(container.decode(video=0)).rotation in (90, -90)
    source = StrayScanner(root)
    assert is_stray(root)
    assert source.length == COUNT
    for _ in range(2):
        entries = 0
        for number, entry in enumerate(source):
            frame = entry.open()
            assert (entry.name, entry.seconds) == (f"{number:06d}", 81234.5 + number / 60)
            np.testing.assert_array_equal(frame.camera.K, K.astype(np.float32))
            difference = np.abs(frame.rgb_uint8().astype(int) - scene(WIDTH, HEIGHT, number)[0])
            assert difference.mean() < 4
            assert frame.depth.shape == (HEIGHT, WIDTH)
            centre = frame.depth[1::3, 1::3]  # pixels in the middle of one of depth
            uncertain = np.zeros(centre.shape, bool)
            uncertain[20:24, 10:20] = True
            np.testing.assert_allclose(centre[~uncertain], millimetres(number)[~uncertain] / 1000, rtol=1e-6)
            assert not centre[uncertain].any()
            entries += 1
        assert entries == COUNT


def test_missing_parts(tmp_path, monkeypatch):
    root = write_folder(tmp_path / "a")
    (root / "depth" / "000002.png").unlink()
    content = (root / "depth" / "000003.png").read_bytes()
    (root / "depth" / "000004.png").write_bytes(content[: len(content) // 2])
    (root / "odometry.csv").unlink()
    reasons = {}
    for number, entry in enumerate(StrayScanner(root)):
        assert entry.seconds is None
        try:
            entry.open()
        except (ValueError, FileNotFoundError) as error:
            reasons[number] = str(error)
    assert set(reasons) == {2, 4}
    assert "no depth image 000002" in reasons[2]
    assert "truncated or damaged" in reasons[4]
    (root / "odometry.csv").write_text("a, b\n1, 2\n")
    with pytest.raises(ValueError, match=r"odometry\.csv has no columns timestamp, frame"):
        StrayScanner(root)
    (root / "odometry.csv").write_bytes(bytes(100))  # as after a power failure
    with pytest.raises(ValueError, match=r"odometry\.csv is not a text file; export it again or remove it"):
        StrayScanner(root)
    (root / "odometry.csv").unlink()
    (root / "camera_matrix.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"camera_matrix\.csv does not exist"):
        StrayScanner(root)
    np.savetxt(root / "camera_matrix.csv", K, delimiter=",")
    for path in (root / "depth").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="no images in depth/"):
        StrayScanner(root)
    (root / "rgb.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"no rgb\.mp4"):
        StrayScanner(root)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"pip install 'twohands\[video\]'"):
        StrayScanner(root)


def test_videos_that_were_cut_off_or_turned(tmp_path):
    root = write_folder(tmp_path / "a")
    content = (root / "rgb.mp4").read_bytes()
    (root / "rgb.mp4").write_bytes(content[: len(content) * 7 // 10])  # the index is at the end
    with pytest.raises(ValueError, match=r"rgb\.mp4 is not a readable video"):
        StrayScanner(root)
    write_video(root / "rgb.mp4", [scene(HEIGHT, WIDTH, number)[0] for number in range(2)])
    with pytest.raises(ValueError, match=r"144x192 pixels but depth 64x48, another view: the video was turned"):
        next(iter(StrayScanner(root))).open()


def test_an_image_that_cannot_be_decoded_does_not_shift_the_others(tmp_path):
    """With MJPEG, whose images do not depend on each other, one damaged image is lost and the rest keeps its number."""
    root = write_folder(tmp_path / "a")
    write_video(root / "rgb.mp4", [scene(WIDTH, HEIGHT, number)[0] for number in range(COUNT)], codec="mjpeg")
    content = bytearray((root / "rgb.mp4").read_bytes())
    starts = [at for at in range(len(content) - 3) if content[at : at + 3] == b"\xff\xd8\xff"]
    assert len(starts) == COUNT
    content[starts[2] : starts[3]] = bytes(starts[3] - starts[2])
    (root / "rgb.mp4").write_bytes(content)
    for entry in StrayScanner(root):
        number = int(entry.name)
        assert number != 2
        assert entry.seconds == 81234.5 + number / 60
        assert int(entry.open().rgb_uint8()[70, 90, 2]) == pytest.approx(20 + 20 * number, abs=8)
    assert entry.name == f"{COUNT - 1:06d}"
