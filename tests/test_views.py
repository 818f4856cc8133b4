"""Preprocessing: pixels move, the camera follows, points keep their coordinates."""

import numpy as np
import pytest

from fakes import PosedHands
from twohands.geometry.camera import Camera
from twohands.geometry.cloud import lift
from twohands.types import RGBDFrame
from twohands.views import roll_matrix, square_camera, square_sample, view, view_masks, view_within

K = np.array([[310.0, 0, 150], [0, 300, 130], [0, 0, 1]], np.float32)
CAMERA = Camera(K, 320, 240)
POINTS = np.array([[0.1, 0.05, 0.6], [-0.12, -0.02, 0.5], [0.02, 0.1, 0.7], [-0.05, -0.1, 0.55]], np.float32)


def dotted(camera: Camera, points: np.ndarray, radius: float = 5.0) -> RGBDFrame:
    """Return a frame with a soft bright dot at every projected point."""
    v, u = np.mgrid[: camera.height, : camera.width]
    rgb = np.zeros((3, camera.height, camera.width), np.float32)
    for x, y in camera.project(points):
        rgb += np.exp(-((u - x) ** 2 + (v - y) ** 2) / radius**2).astype(np.float32)
    return RGBDFrame(rgb.clip(0, 1), np.full(rgb.shape[1:], 0.5, np.float32), camera)


def dot_near(image: np.ndarray, pixel: np.ndarray, reach: float) -> np.ndarray:
    """Return the centre of brightness around a pixel."""
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    weight = image * (np.hypot(u - pixel[0], v - pixel[1]) < reach)
    return np.array([(weight * u).sum(), (weight * v).sum()]) / weight.sum()


CAMERAS = {
    "same": CAMERA,
    "larger": CAMERA.resize(500, 400),
    "smaller": CAMERA.resize(150, 113),
    "crop": CAMERA.crop(20.5, -10, 300, 260),
    "square": square_camera(CAMERA, 192),
    "longer focal": Camera(np.array([[380.0, 0, 170], [0, 380, 120], [0, 0, 1]], np.float32), 330, 250),
}


@pytest.mark.parametrize("roll", [0.0, 0.3, -0.8])
@pytest.mark.parametrize("name", CAMERAS)
def test_colours_land_where_the_new_camera_projects_the_points(name, roll):
    camera = CAMERAS[name]
    seen = view(dotted(CAMERA, POINTS), camera, roll)
    assert seen.rgb.shape == (3, camera.height, camera.width)
    checked = 0
    for pixel in camera.project(POINTS @ roll_matrix(roll).T):
        reach = 14 * camera.width / 320
        if (pixel > reach).all() and (pixel < [camera.width - reach, camera.height - reach]).all():
            np.testing.assert_allclose(dot_near(seen.rgb[0], pixel, reach), pixel, atol=0.15)
            checked += 1
    assert checked >= 2


@pytest.mark.parametrize("roll", [0.0, 0.7])
def test_lifted_points_turn_with_the_camera(roll):
    camera = square_camera(CAMERA, 160)
    v, u = np.mgrid[:240, :320].astype(np.float32)
    plane = RGBDFrame(np.zeros((3, 240, 320), np.float32), 0.5 + 0.0005 * u + 0.0003 * v, CAMERA)
    points, _ = lift(view(plane, camera, roll).depth, camera)
    back = points @ roll_matrix(roll)  # in the old camera frame
    pixels = CAMERA.project(back)
    expected = 0.5 + 0.0005 * pixels[:, 0] + 0.0003 * pixels[:, 1]
    assert len(points) > 5000
    assert np.abs(back[:, 2] - expected).max() <= 0.5 * (0.0005 + 0.0003) + 1e-5  # nearest: half a pixel of slope


def test_the_same_camera_gives_the_same_pixels():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (3, 240, 320)).astype(np.float32) / 255
    frame = RGBDFrame(rgb, rng.uniform(0, 1, (240, 320)).astype(np.float32), CAMERA)
    seen = view(frame, CAMERA)
    np.testing.assert_array_equal(seen.depth, frame.depth)
    np.testing.assert_allclose(seen.rgb, frame.rgb, atol=1 / 255 + 1e-6)


def test_a_wide_image_is_centred_between_rows_of_zeros():
    frame = RGBDFrame(np.ones((3, 720, 1280), np.float32), np.ones((720, 1280), np.float32), Camera(K, 1280, 720))
    square = view(frame, square_camera(frame.camera, 384))
    rows = np.flatnonzero(square.depth.any(axis=1))
    assert (rows[0], rows[-1]) == (84, 299)  # 216 rows: 0.3 times 720
    assert square.camera.width == square.camera.height == 384
    assert not square.rgb[:, :83].any()
    assert square.rgb[:, 90:290].min() == 1


def test_shrinking_averages_colours():
    stripes = np.zeros((3, 240, 320), np.float32)
    stripes[:, :, ::2] = 1
    seen = view(RGBDFrame(stripes, np.ones((240, 320), np.float32), CAMERA), CAMERA.resize(80, 60))
    np.testing.assert_allclose(seen.rgb[:, 5:-5, 5:-5], 0.5, atol=0.02)


def columns_frame(width: int, height: int) -> RGBDFrame:
    """Return a frame with depth (column + 1) metres, and colours that rise by four levels per column in its middle."""
    column = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
    level = np.clip(4 * (column - width // 2) + 125, 0, 250) / np.float32(255)
    return RGBDFrame(np.stack([level] * 3), column + 1, CAMERA.resize(width, height))


WITHIN_400 = {
    (1003, 40): (400, 16),
    (800, 601): (400, 300),
    (641, 480): (400, 300),
    (480, 641): (300, 400),
    (3840, 16): (400, 2),
    (900, 1): (400, 1),
}


@pytest.mark.parametrize(("width", "height"), WITHIN_400)
def test_a_frame_within_a_size_keeps_the_place_of_its_pixels(width, height):
    """Pixel c of the large frame is at (c + 0.5) s - 0.5 of the small one."""
    frame = columns_frame(width, height)
    small = view_within(frame, 400)
    camera = small.camera
    assert (camera.width, camera.height) == WITHIN_400[width, height]
    assert small.rgb.shape == (3, camera.height, camera.width)
    assert small.depth.shape == (camera.height, camera.width)
    factor = width / camera.width
    source = (np.arange(camera.width) + 0.5) * factor - 0.5  # of every new column
    assert np.abs(small.depth - 1 - source).max() <= 0.5 + 1e-3
    rising = np.abs(source - width // 2) < 25
    seen = (small.rgb[0, camera.height // 2, rising] * 255 - 125) / 4 + width // 2
    assert abs((seen - source[rising]).mean()) < 0.2  # Pillow rounds down, by an eighth of a column on average
    before, after = frame.camera.project(POINTS)[:, 0], camera.project(POINTS)[:, 0]
    np.testing.assert_allclose((before + 0.5) / factor - 0.5, after, atol=1e-2)


@pytest.mark.parametrize("longest", [320, 321, 1600])
def test_a_frame_that_is_small_enough_is_not_copied(longest):
    frame = columns_frame(320, 240)
    assert view_within(frame, longest) is frame


@pytest.mark.parametrize("roll", [0.0, 0.5])
def test_masks_take_the_pixels_of_depth(roll):
    sample = PosedHands()[0]
    camera = square_camera(sample.frame.camera, 96)
    masks = view_masks(sample.masks, sample.frame.camera, camera, roll)
    depth = view(sample.frame, camera, roll).depth
    assert (depth[masks.any(axis=0)] < 0.8).all()
    assert ((depth == np.float32(0.8)) & masks.any(axis=0)).sum() == 0


def test_labels_stay_in_a_square_sample():
    sample = PosedHands()[0]
    square = square_sample(sample, 96)
    np.testing.assert_array_equal(square.hands.joints, sample.hands.joints)
    points, _ = lift(square.frame.depth, square.frame.camera, square.masks[0])
    distances = np.linalg.norm(points[:, None] - sample.hands.vertices[0], axis=-1).min(axis=1)
    assert np.median(distances) < 0.004  # vertices are 4 mm apart
