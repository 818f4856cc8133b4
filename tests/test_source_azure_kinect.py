"""Azure Kinect recordings: K, lens, registration against an own projection, clocks, missing tracks, cut files."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from containers import COLOUR_LENS, DEPTH_LENS, NFOV, jpeg, kinect_calibration, scene, write_kinect
from twohands.sources.azure_kinect import COLOUR_WINDOWS, DEPTH_WINDOWS, AzureKinect, is_azure_kinect, read_calibration
from twohands.sources.opening import open_source

SIZE = (1280, 720)
FX, FY, CX, CY = 0.478 * 1280, 0.6374 * 960, 0.4998 * 1280 - 0.5, 0.5066 * 960 - 120 - 0.5
DEPTH_FX, DEPTH_FY, DEPTH_CX, DEPTH_CY = 0.4928 * 1024, 0.4929 * 1024, 0.513 * 1024 - 192.5, 0.517 * 1024 - 180.5
ANGLE = np.radians(5)
R = np.array([[1, 0, 0], [0, np.cos(ANGLE), np.sin(ANGLE)], [0, -np.sin(ANGLE), np.cos(ANGLE)]])
T = np.array([-0.032, -0.002, 0.004])
MIDDLE = 0.588
"""Depth in the middle of the undistorted colour image of the first `scene`, metres."""
CARDS = [(0.0, 0.0), (-0.3, -0.2), (0.3, -0.22), (-0.32, 0.22), (0.32, 0.2)]
"""Centres of square cards on the plane z = 0.6 m of the depth camera, before a wall at 1.2 m."""
HALF, NEAR, FAR = 0.05, 0.6, 1.2
GREY = jpeg(np.full((720, 1280, 3), 90, np.uint8))


def bend(x, y, lens):
    """The rational model as Microsoft's documentation has it: k1 to k6, centre, p2, p1."""
    k1, k2, k3, k4, k5, k6, _, _, p2, p1 = lens
    r2 = x * x + y * y
    ratio = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return x * ratio + p2 * (r2 + 2 * x * x) + 2 * p1 * x * y, y * ratio + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y


def straighten(x, y, lens):
    """The inverse of `bend`: along the radius by a table, then by a fixed point for the rest."""
    radius = np.linspace(0, 2, 100_000)
    shown = bend(radius, 0 * radius, (*lens[:8], 0, 0))[0]
    seen = np.hypot(x, y)
    a, b = (c * np.interp(seen, shown, radius) / seen for c in (x, y))
    for _ in range(40):
        c, d = bend(a, b, lens)
        a, b = a + x - c, b + y - d
    c, d = bend(a, b, lens)
    assert max(np.abs(c - x).max(), np.abs(d - y).max()) < 1e-5
    return a, b


@pytest.fixture(scope="module")
def cards():
    """Depth (576, 640) in millimetres as the depth camera sees the cards, and the points (N, 3) of each card."""
    v, u = np.mgrid[: NFOV[1], : NFOV[0]].astype(np.float64)
    x, y = straighten((u - DEPTH_CX) / DEPTH_FX, (v - DEPTH_CY) / DEPTH_FY, DEPTH_LENS)
    depth, points = np.full(u.shape, round(1000 * FAR), np.uint16), []
    for centre in CARDS:
        on = (np.abs(x * NEAR - centre[0]) <= HALF) & (np.abs(y * NEAR - centre[1]) <= HALF)
        depth[on] = round(1000 * NEAR)
        points.append(np.stack([x[on] * NEAR, y[on] * NEAR, np.full(on.sum(), NEAR)], axis=-1))
    return depth, points


def middle_of(frame):
    return np.median(frame.depth[340:380, 620:660])


def centre_of(points):
    """The centre of the area around points (N, 2)."""
    x, y = points[ConvexHull(points).vertices].T
    cross = x * np.roll(y, -1) - np.roll(x, -1) * y
    return np.array([((c + np.roll(c, -1)) * cross).sum() / (3 * cross.sum()) for c in (x, y)])


def in_colour(points):
    """Pixels of points (N, 3) of the depth camera in the undistorted colour image, and their depth."""
    moved = points @ R.T + T
    return np.stack([moved[:, 0] / moved[:, 2] * FX + CX, moved[:, 1] / moved[:, 2] * FY + CY], -1), moved[:, 2]


def record(path, count=4, depth_size=(320, 288), calibration=None, **options):
    colours = [(40_000 * number, jpeg(scene(*SIZE, number)[0], 80)) for number in range(count)]
    depths = [(40_000 * number, scene(*depth_size, number)[1]) for number in range(count)]
    write_kinect(path, colours, depths, kinect_calibration() if calibration is None else calibration, **options)
    return path


def test_depth_lies_where_an_own_projection_puts_it(tmp_path, cards):
    depth, points = cards
    write_kinect(tmp_path / "a.mkv", [(0, GREY)], [(0, depth)], kinect_calibration())
    frame = next(iter(AzureKinect(tmp_path / "a.mkv"))).open()
    np.testing.assert_allclose(frame.camera.K, [[FX, 0, CX], [0, FY, CY], [0, 0, 1]], rtol=1e-7)
    rows, columns = np.mgrid[:720, :1280]
    for card in points:
        pixels, z = in_colour(card)
        middle = centre_of(pixels)
        seen = (np.abs(columns - middle[0]) < 75) & (np.abs(rows - middle[1]) < 75) & (frame.depth > 0)
        seen &= frame.depth < 0.9
        assert np.abs([columns[seen].mean() - middle[0], rows[seen].mean() - middle[1]]).max() < 0.4
        edges = [[grid[seen].min(), grid[seen].max()] for grid in (columns, rows)]
        np.testing.assert_allclose(edges, np.stack([pixels.min(axis=0), pixels.max(axis=0)], axis=-1), atol=0.55)
        at = np.rint(pixels).astype(int)
        np.testing.assert_allclose(frame.depth[at[:, 1], at[:, 0]], z, atol=1e-6)
    # the wall is a plane in the colour camera too, and nothing is between cards and wall
    normal, distance = R[:, 2], FAR + R[:, 2] @ T
    wall = distance / ((columns - CX) / FX * normal[0] + (rows - CY) / FY * normal[1] + normal[2])
    far = frame.depth >= 0.9
    assert far.mean() > 0.35
    np.testing.assert_allclose(frame.depth[far], wall[far], atol=1.5e-3)


def test_holes_are_not_bridged(tmp_path, cards):
    depth = cards[0].copy()
    depth[200:260, 300:360] = 0
    write_kinect(tmp_path / "a.mkv", [(0, GREY)], [(0, depth)], kinect_calibration())
    frame = next(iter(AzureKinect(tmp_path / "a.mkv"))).open()
    middle = np.array([[(330 - DEPTH_CX) / DEPTH_FX, (230 - DEPTH_CY) / DEPTH_FY, 1]])
    for distance in (NEAR, FAR):
        u, v = in_colour(middle * distance)[0][0]
        assert not frame.depth[round(v) - 8 : round(v) + 8, round(u) - 8 : round(u) + 8].any()


def test_colour_is_straightened_with_the_same_k(tmp_path):
    """Dots drawn where the lens shows them come back where a pinhole camera sees them."""
    places = [(u, v) for u in (200, 640, 1080) for v in (120, 360, 600)]
    rows, columns = np.mgrid[:720, :1280]
    image = np.zeros((720, 1280))
    for u, v in places:
        x, y = bend(np.float64((u - CX) / FX), np.float64((v - CY) / FY), COLOUR_LENS)
        image += 250 * np.exp(-((columns - x * FX - CX) ** 2 + (rows - y * FY - CY) ** 2) / 32)
    assert (
        np.hypot(*(np.array(bend((200 - CX) / FX, (120 - CY) / FY, COLOUR_LENS)) * [FX, FY] + [CX - 200, CY - 120])) > 3
    )
    rgb = np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    write_kinect(tmp_path / "a.mkv", [(0, jpeg(rgb))], [(0, scene(320, 288)[1])], kinect_calibration())
    frame = next(iter(AzureKinect(tmp_path / "a.mkv"))).open()
    assert [finding.code for finding in frame.findings][:1] == ["undistorted"]
    for u, v in places:
        window = (slice(v - 15, v + 16), slice(u - 15, u + 16))
        weight = np.clip(frame.rgb[1][window] - 0.1, 0, 1)
        found = [(grid[window] * weight).sum() / weight.sum() for grid in (columns, rows)]
        np.testing.assert_allclose(found, [u, v], atol=0.25)


def test_frames_and_their_clock(tmp_path):
    source = AzureKinect(record(tmp_path / "a.mkv"))
    assert is_azure_kinect(tmp_path / "a.mkv")
    assert source.length is None
    assert "colour 1280x720 (MJPEG), depth 320x288" in source.about
    for _ in range(2):
        entries = []
        for number, entry in enumerate(source):
            frame = entry.open()
            assert frame.rgb_uint8()[360, 640, 2] == pytest.approx(20 + 20 * number, abs=3)
            assert middle_of(frame) == pytest.approx(MIDDLE + 0.01 * number, abs=0.002)
            entries.append(entry)
        assert [entry.name for entry in entries] == ["000000", "000001", "000002", "000003"]
        assert [entry.seconds for entry in entries] == [(336_277_000 + 40_000_000 * n) / 1e9 for n in range(4)]


def test_depth_that_is_taken_later_or_lost(tmp_path):
    """Depth is 7 ms behind colour, as its tag says; one depth image and one colour image are lost."""
    colours = [(40_000 * n, jpeg(scene(*SIZE, n)[0], 80)) for n in (0, 1, 2, 4)]
    depths = [(40_000 * n + 7_000, scene(320, 288, n)[1]) for n in (0, 1, 3, 4)]
    write_kinect(tmp_path / "a.mkv", colours, depths, kinect_calibration(), start_ns=0, delay_ns=7_000_000)
    entries = list(AzureKinect(tmp_path / "a.mkv"))
    assert [entry.seconds for entry in entries] == [0, 0.04, 0.08, 0.16]
    with pytest.raises(FileNotFoundError, match="image 000002 has no depth image that was taken together"):
        entries[2].open()
    assert middle_of(entries[3].open()) == pytest.approx(MIDDLE + 0.04, abs=0.002)
    write_kinect(tmp_path / "b.mkv", colours, depths, kinect_calibration(), start_ns=0, delay_ns=20_000_000)
    lost = list(AzureKinect(tmp_path / "b.mkv"))
    with pytest.raises(FileNotFoundError, match="no depth image"):
        lost[0].open()


def test_images_that_come_in_another_order(tmp_path):
    """A writer may put the images of one track before those of the other."""
    colours = [(40_000 * n, jpeg(scene(*SIZE, n)[0], 60)) for n in range(5)]
    depths = [(40_000 * n + 5_000, scene(320, 288, n)[1]) for n in range(5)]
    write_kinect(tmp_path / "a.mkv", colours, depths, kinect_calibration())
    for number, entry in enumerate(AzureKinect(tmp_path / "a.mkv")):
        assert middle_of(entry.open()) == pytest.approx(MIDDLE + 0.01 * number, abs=0.002)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_cut_files_are_read_as_far_as_they_go(tmp_path, part):
    record(tmp_path / "a.mkv", count=8)
    content = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "a.mkv").write_bytes(content[: int(len(content) * part)])
    entries = list(AzureKinect(tmp_path / "a.mkv"))
    for number, entry in enumerate(entries[:-1]):
        assert entry.open().rgb_uint8()[360, 640, 2] == pytest.approx(20 + 20 * number, abs=3)
    assert part * 8 - 2 < len(entries) <= part * 8 + 1


def test_missing_parts(tmp_path, monkeypatch):
    colours, depths = [(0, jpeg(scene(*SIZE)[0], 60))], [(0, scene(320, 288)[1])]
    calibration = kinect_calibration()
    path = tmp_path / "a.mkv"

    def refused(match, *arguments, **options):
        write_kinect(path, *arguments, **options)
        with pytest.raises(ValueError, match=match):
            AzureKinect(path)

    refused("has no colour track; record it with colour", [], depths, calibration)
    refused("has no depth track; record it with depth", colours, [], calibration)
    refused("no attachment calibration.json", colours, depths)
    refused("the calibration in .* is damaged", colours, depths, b'{"Cal')
    refused("lacks the values of camera PV0", colours, depths, {"CalibrationInformation": {"Cameras": []}})
    refused("no tracks COLOR and DEPTH", colours, depths, calibration, titles=("video", "other"))
    odd = [(0, scene(100, 80)[1])]
    refused("images of 100x80 pixels, no mode", colours, odd, calibration)
    fisheye = copy.deepcopy(calibration)
    fisheye["CalibrationInformation"]["Cameras"][1]["Intrinsics"]["ModelType"] = "CALIBRATION_LensDistortionModelTheta"
    refused("lens model .*Theta", colours, depths, fisheye)
    path.write_bytes(b"\x1a\x45\xdf\xa3 and no more")
    with pytest.raises(ValueError, match="not a readable Matroska file"):
        AzureKinect(path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        AzureKinect(tmp_path / "nothing.mkv")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"pip install 'twohands\[video\]'"):
        AzureKinect(path)


@pytest.mark.parametrize(("pixels", "bits"), [("yuyv422", 16), ("nv12", 12)])
def test_colour_that_is_not_jpeg_is_said(tmp_path, pixels, bits):
    images = [(0, bytes(64 * 48 * bits // 8))], [(0, scene(320, 288)[1])]
    write_kinect(tmp_path / "a.mkv", *images, kinect_calibration(), raw=pixels)
    with pytest.raises(ValueError, match=r"the colour track of .* is .*, and only MJPEG is read; record it with"):
        AzureKinect(tmp_path / "a.mkv")


@pytest.mark.parametrize("size", sorted(COLOUR_WINDOWS))
def test_windows_of_all_colour_modes(size):
    """A point of the sensor is where the same part of the picture is, in every mode."""
    found = read_calibration(kinect_calibration(), "PV0", size, COLOUR_WINDOWS, "a.mkv")
    scale = size[0] / 4096
    whole = np.array([0.4998 * 4096, 0.5066 * 3072])  # from the corner
    cut = (3072 - size[1] / scale) / 2
    np.testing.assert_allclose(found.camera.K[:2, 2], (whole - [0, cut]) * scale - 0.5)
    np.testing.assert_allclose(
        [found.camera.K[0, 0], found.camera.K[1, 1]], [0.478 * 4096 * scale, 0.6374 * 3072 * scale]
    )
    old = kinect_calibration()
    camera = old["CalibrationInformation"]["Cameras"][1]
    camera["SensorHeight"] = 2304  # 384 rows less above and below
    camera["Intrinsics"]["ModelParameters"][1] = (0.5066 * 3072 - 384) / 2304
    camera["Intrinsics"]["ModelParameters"][3] = 0.6374 * 3072 / 2304
    camera["Intrinsics"]["ModelType"] = "CALIBRATION_LensDistortionModelRational6KT"
    np.testing.assert_allclose(
        read_calibration(old, "PV0", size, COLOUR_WINDOWS, "a.mkv").camera.K, found.camera.K, rtol=1e-12
    )


@pytest.mark.parametrize("size", [(320, 288), (512, 512)])
def test_rays_of_the_depth_modes(size):
    """Ideal rays, or NaN beyond the radius of the calibration: the wide modes see more than their lens model holds."""
    found = read_calibration(kinect_calibration(), "D0", size, DEPTH_WINDOWS, "a.mkv")
    rays = found.camera.rays()[..., :2].reshape(-1, 2)
    ideal = found.undistort(rays)
    known = np.isfinite(ideal[:, 0])
    assert known.all() if size == (320, 288) else 0.6 < known.mean() < 1
    np.testing.assert_allclose(np.stack(bend(*ideal[known].T, DEPTH_LENS), -1), rays[known], atol=1e-6)
    assert np.linalg.norm(ideal[known], axis=1).max() <= 1.74


@pytest.mark.skipif("TWOHANDS_REAL_FRAMES" not in os.environ, reason="needs TWOHANDS_REAL_FRAMES")
def test_real_recording():
    """A mug before a wall: its left edge in colour is where depth jumps."""
    path = Path(os.environ["TWOHANDS_REAL_FRAMES"]) / "containers" / "k4a_mkv" / "recording.mkv"
    if not path.exists():
        pytest.skip("no Azure Kinect recording")
    entries = list(AzureKinect(path))
    assert [(entry.name, entry.seconds) for entry in entries] == [("000000", (463_945_000 + 336_277_000) / 1e9)]
    frame = entries[0].open()
    assert frame.camera.width == 1280
    assert 0.5 < (frame.depth > 0).mean() < 0.6
    near = (frame.depth > 0) & (frame.depth < 0.35)
    colour = frame.rgb_uint8().astype(int).sum(axis=-1)
    jumps = []
    for row in range(420, 560, 10):
        column = np.flatnonzero(near[row])[0]
        contrast = np.abs(np.diff(colour[row, column - 12 : column + 12]))
        jumps.append(contrast.argmax() - 11)
    assert abs(np.median(jumps)) <= 3


def test_the_recording_in_a_folder_is_named(tmp_path):
    write_kinect(tmp_path / "a.mkv", [(0, GREY)], [(0, scene(320, 288)[1])], kinect_calibration())
    (tmp_path / "calibration.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no folder rgb/.*; or give .*a\.mkv in it, which is a recording$"):
        open_source(tmp_path)
