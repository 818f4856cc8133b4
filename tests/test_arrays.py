"""What is done to a user's arrays before they are a frame: markers, depth of another size, mirrored images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from twohands.files import read_depth
from twohands.geometry.depth import resized
from twohands.sources.folder import FolderRecording, open_frame
from twohands.sources.opening import open_source
from twohands.sources.options import SourceOptions
from twohands.types import RGBDFrame

WIDTH, HEIGHT = 160, 120
K = np.array([[150.0, 0, 82.0], [0, 151, 57.5], [0, 0, 1]], np.float32)
RGB = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def scene(noise: float = 1.0, wall: float = 1200.0) -> np.ndarray:
    """Return depth in millimetres: a wall that faces the camera, a hand-sized block before it, and holes."""
    depth = np.full((HEIGHT, WIDTH), wall)
    depth[40:90, 50:100] = 500 + 0.4 * np.arange(50)
    depth += np.random.default_rng(1).normal(0, noise, depth.shape)
    depth[38:90, 42:50] = 0
    return np.rint(depth)


def read(depth, **options):
    return RGBDFrame.from_arrays(RGB, depth, K, **options)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(np.uint16, 65535), (np.int32, 65535), (np.int32, 2**31 - 1), (np.int16, 32767), (np.uint32, 2**32 - 1)],
)
def test_the_largest_value_is_no_reading(kind, value):
    holes = scene() == 0
    depth = np.where(holes, value, scene()).astype(kind)
    frame = read(depth)
    np.testing.assert_array_equal(frame.depth > 0, ~holes)
    np.testing.assert_array_equal(frame.depth, read(scene().astype(kind)).depth)
    (note,) = frame.findings
    assert (note.code, note.severity) == ("invalid_readings", "note")
    assert note.values == {"value": value, "fraction": pytest.approx(holes.mean(), abs=1e-4)}
    assert f"fills {holes.mean():.1%} of the image" in note.sentence
    one = scene().astype(kind)
    one[3, 5] = value
    assert read(one).depth[3, 5] == 0


@pytest.mark.parametrize("value", [65535.0, 65.535, np.float32(65.535)])
def test_the_largest_value_as_a_float(value):
    depth = scene() / 1000
    depth[depth == 0] = value
    frame = read(depth)
    np.testing.assert_array_equal(frame.depth > 0, scene() > 0)
    assert [note.code for note in frame.findings] == ["invalid_readings"]


def test_65535_is_a_reading_of_wider_integers():
    depth = (scene() * 100).astype(np.int32)  # steps of 10 micrometres
    depth[0, 0], depth[1, 1] = 65535, 70000
    frame = read(depth, depth_unit=1e-5)
    assert frame.depth[0, 0] == pytest.approx(0.65535)
    assert not frame.findings


def test_the_far_plane_is_no_surface():
    """A background that is clipped at 4 m, next to things at every other distance."""
    depth = scene()
    depth[:60, 100:] = np.rint(np.linspace(600, 3950, 60))[:, None]  # up to the plane
    depth[60:, 100:] = 4000
    frame = read(depth.astype(np.uint16))
    np.testing.assert_array_equal(frame.depth[60:, 100:], 0)
    np.testing.assert_array_equal(frame.depth[:60, 100:] > 0, True)
    (note,) = frame.findings
    assert note.values["value"] == 4000
    assert note.values["fraction"] == pytest.approx(60 * 60 / depth.size, abs=1e-4)
    both = depth.astype(np.uint16)
    both[depth == 0] = 65535
    assert [note.values["value"] for note in read(both).findings] == [65535, 4000]
    metres = read(depth / 1000)
    assert metres.findings[0].values["value"] == pytest.approx(4)
    np.testing.assert_allclose(metres.depth, frame.depth, rtol=1e-6)


@pytest.mark.parametrize("noise", [0.2, 0.3, 0.6, 2.0])
def test_a_wall_that_faces_the_camera_is_a_surface(noise):
    depth = scene(noise, 2200.0).astype(np.uint16)
    assert np.mean(depth == 2200) > 0.05
    assert read(depth).findings == ()


def test_a_wall_of_rendered_depth_is_a_surface():
    """It may face the camera exactly, without noise, behind hands."""
    assert read(np.where(scene(0) == 1200, 900, scene(0)).astype(np.uint16)).findings == ()


def test_a_value_nearer_than_any_hand_is_no_reading():
    depth = scene()
    depth[60:, 100:] = 20
    np.testing.assert_array_equal(read(depth.astype(np.uint16)).depth[60:, 100:], 0)


def test_a_wall_without_noise_is_a_surface_if_it_is_slanted_at_all_or_alone():
    slant = np.rint(2200 + np.linspace(0, 1.6, WIDTH) + np.zeros((HEIGHT, 1)))  # three values
    slant[40:90, 50:100] = 500
    slant[40:90, 60:100] = 501
    assert read(slant.astype(np.uint16)).findings == ()
    assert read(np.full((HEIGHT, WIDTH), 500, np.uint16)).findings == ()


def test_stretched_depth_is_refused_with_65535_in_it():
    stretched = np.random.default_rng(2).integers(1, 600, (HEIGHT, WIDTH)) * 109
    stretched[:20] = 65535
    with pytest.raises(ValueError, match=r"stretched to the 16-bit range.*steps of 109"):
        read(stretched.astype(np.uint16))


def plane(width: int, height: int, scale: float) -> np.ndarray:
    """Return depth in metres of a slanted plane, for a camera of 256x192 pixels seen on a grid `scale` times finer."""
    u, v = np.meshgrid((np.arange(width) + 0.5) / scale - 0.5, (np.arange(height) + 0.5) / scale - 0.5)
    x, y = (u - 127.0) / 210, (v - 96.5) / 210
    return (1 / (2 + 0.8 * x - 0.5 * y)).astype(np.float32)


@pytest.mark.parametrize("scale", [2.5, 3.75, 0.5])
def test_a_plane_stays_a_plane_in_another_size(scale):
    """To the border, and with the convention of half pixels: a shift by one pixel errs by 1 mm here."""
    size = round(256 * scale), round(192 * scale)
    np.testing.assert_allclose(resized(plane(256, 192, 1), *size), plane(*size, scale), atol=2e-6)


def test_nothing_is_invented_at_an_edge():
    low = np.full((48, 64), 1.2, np.float32)
    low[10:30, 20:40] = 0.45
    low[10:30, 24:27] = 0  # a hole at the border of the hand
    high = resized(low, 160, 120)
    assert set(np.unique(high.round(5))) == {np.float32(0), np.float32(0.45), np.float32(1.2)}
    rows, columns = np.nonzero(np.abs(high - 0.45) < 1e-5)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (25, 74, 50, 99)


def test_depth_of_another_size_is_read_where_it_is_said_to_show_the_same_view():
    low = (1000 * plane(256, 192, 1)).astype(np.uint16)
    rgb = np.zeros((480, 640, 3), np.uint8)
    matrix = [500, 500, 320, 240]
    with pytest.raises(
        ValueError, match=r"depth is 256x192 but colour is 640x480; register .*, or pass depth_registered=True if depth"
    ):
        RGBDFrame.from_arrays(rgb, low, matrix)
    frame = RGBDFrame.from_arrays(rgb, low, matrix, depth_registered=True)
    np.testing.assert_allclose(frame.depth, plane(640, 480, 2.5), atol=1.5e-3)
    (note,) = frame.findings
    assert (note.code, note.severity) == ("depth_enlarged", "note")
    assert "256x192 pixels was enlarged to 640x480" in note.sentence
    for shape in ((256, 256), (192, 144), (480, 270)):  # other views
        with pytest.raises(ValueError, match=rf"depth is {shape[1]}x{shape[0]} but colour is 640x480; register [^,]*$"):
            RGBDFrame.from_arrays(rgb, np.full(shape, 500, np.uint16), matrix, depth_registered=True)


def test_holes_as_65535_stay_holes_when_depth_is_enlarged():
    low = np.full((60, 80), 65535, np.uint16)
    low[20:40, 20:60] = 500
    frame = read(low, depth_registered=True)
    assert set(np.unique(frame.depth.round(5))) == {np.float32(0), np.float32(0.5)}
    assert [note.code for note in frame.findings] == ["invalid_readings", "depth_enlarged"]


def test_a_mirrored_frame_is_turned_back():
    depth = scene().astype(np.uint16)
    mirrored_K = K.copy()
    mirrored_K[0, 2] = WIDTH - 1 - K[0, 2]
    straight = read(depth)
    frame = RGBDFrame.from_arrays(RGB[:, ::-1], depth[:, ::-1], mirrored_K, mirrored=True)
    for name in ("rgb", "depth"):
        np.testing.assert_array_equal(getattr(frame, name), getattr(straight, name))
        assert getattr(frame, name).flags.c_contiguous
    np.testing.assert_allclose(frame.camera.K, straight.camera.K, rtol=1e-6)
    assert [(note.code, note.severity) for note in frame.findings] == [("mirrored", "note")]


def test_distortion_is_undone_before_the_mirror():
    """Tangential terms are not symmetric, so the order matters."""
    lens = {"D": [-0.2, 0.05, 0.004, 0.03]}
    depth = scene().astype(np.uint16)
    straight = RGBDFrame.from_arrays(RGB, depth, {"K": K, **lens})
    frame = RGBDFrame.from_arrays(RGB, depth, {"K": K, **lens}, mirrored=True)
    np.testing.assert_array_equal(frame.rgb, straight.rgb[..., ::-1])
    np.testing.assert_array_equal(frame.depth, straight.depth[:, ::-1])
    assert [note.code for note in frame.findings] == ["undistorted", "mirrored"]


def test_files_and_folders_take_the_options(tmp_path):
    for name, picture in (("rgb", RGB), ("depth", scene().astype(np.uint16)[::2, ::2])):
        (tmp_path / name).mkdir()
        Image.fromarray(picture).save(tmp_path / name / "1.png")
    np.savetxt(tmp_path / "K.txt", K)
    paths = tmp_path / "rgb" / "1.png", tmp_path / "depth" / "1.png", tmp_path / "K.txt"
    for refused in (lambda: FolderRecording(tmp_path).open("1"), lambda: open_frame(*paths)):
        with pytest.raises(ValueError, match=r"80x60 but colour is 160x120; .* or pass --depth-registered if"):
            refused()
    options = {"depth_registered": True, "mirrored": True}
    expected = RGBDFrame.from_arrays(RGB, read_depth(paths[1]), K, **options)
    for frame in (
        RGBDFrame.open(*paths, **options),
        open_frame(*paths, **options),
        next(iter(open_source(tmp_path, SourceOptions(**options)))).open(),
    ):
        np.testing.assert_array_equal(frame.depth, expected.depth)
        assert [note.code for note in frame.findings] == ["depth_enlarged", "mirrored"]
