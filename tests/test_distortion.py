"""Lens distortion against formulas written apart from the package, on drawn dots and by inverse iteration."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace

import numpy as np
import pytest

from twohands.geometry import distortion
from twohands.geometry.camera import Camera
from twohands.geometry.distortion import Lens, lens_of, undistorted
from twohands.intrinsics import read_intrinsics
from twohands.types import RGBDFrame

WIDTH, HEIGHT = 640, 480
FX, FY, CX, CY = 402.5, 401.0, 326.25, 233.5
K = np.array([[FX, 0, CX], [0, FY, CY], [0, 0, 1]])
BARREL = [-0.28, 0.09, 0.0012, -0.0008, -0.011]
PINCUSHION = [0.11, -0.06, -0.0007, 0.0015, 0.01]
AZURE = [0.42, -2.68, 0.0009, -0.0003, 1.57, 0.3, -2.5, 1.49]
FISHEYE = [-0.021, 0.013, -0.009, 0.0016]


def brown(x, y, d, modified=False):
    """Distort as OpenCV's documentation writes it, with x'' and y'' one by one."""
    k1, k2, p1, p2, k3, k4, k5, k6 = [*d, *[0.0] * (8 - len(d))]
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    xr, yr = x * radial, y * radial
    a, b = (xr, yr) if modified else (x, y)
    return xr + 2 * p1 * a * b + p2 * (r2 + 2 * a * a), yr + p1 * (r2 + 2 * b * b) + 2 * p2 * a * b


def fisheye(x, y, d):
    r = math.hypot(x, y)
    theta = math.atan(r)
    bent = theta + d[0] * theta**3 + d[1] * theta**5 + d[2] * theta**7 + d[3] * theta**9
    return (x * bent / r, y * bent / r) if r else (x, y)


def backwards(x, y, d):
    """Return the point that the polynomial takes to (x, y), by halving the step until the residual shrinks."""
    u, v = x, y
    for _ in range(400):
        bx, by = brown(u, v, d)
        u, v = u + 0.5 * (x - bx), v + 0.5 * (y - by)
    return u, v


CASES = [
    ("plumb_bob", BARREL, lambda x, y: brown(x, y, BARREL)),
    ("Brown Conrady", PINCUSHION, lambda x, y: brown(x, y, PINCUSHION)),
    ("plumb_bob", BARREL[:4], lambda x, y: brown(x, y, BARREL[:4])),
    ("rational_polynomial", AZURE, lambda x, y: brown(x, y, AZURE)),
    ("distortion.modified_brown_conrady", PINCUSHION, lambda x, y: brown(x, y, PINCUSHION, True)),
    ("Inverse Brown Conrady", PINCUSHION, lambda x, y: backwards(x, y, PINCUSHION)),
    ("equidistant", FISHEYE, lambda x, y: fisheye(x, y, FISHEYE)),
]
POINTS = [
    (0.02, 0.01, 0.4),
    (-0.2, 0.15, 0.5),
    (0.3, 0.2, 0.6),
    (0.25, -0.21, 0.5),
    (-0.35, -0.22, 0.7),
    (0.0, 0.3, 0.7),
]


@pytest.mark.parametrize(("model", "coefficients", "formula"), CASES)
def test_a_drawn_dot_is_where_the_pinhole_camera_sees_its_point(model, coefficients, formula):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frame_at = {"K": K, "distortion_model": model, "D": coefficients}
    for x, y, z in POINTS:
        u, v = formula(x / z, y / z)
        u, v = FX * u + CX, FY * v + CY
        assert 8 < u < WIDTH - 8
        assert 8 < v < HEIGHT - 8
        dot = 255 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 8)
        near = np.hypot(columns - u, rows - v) < 6
        depth = np.where(near, round(1000 * z), 0).astype(np.uint16)
        rgb = np.repeat(np.rint(dot).astype(np.uint8)[..., None], 3, axis=2)
        frame = RGBDFrame.from_arrays(rgb, depth, frame_at)
        ideal = FX * x / z + CX, FY * y / z + CY
        shown = np.asarray(frame.rgb[1], np.float64) * (np.hypot(columns - ideal[0], rows - ideal[1]) < 12)
        found = [(shown * axis).sum() / shown.sum() for axis in (columns, rows)]
        np.testing.assert_allclose(found, ideal, atol=0.1)
        measured = np.argwhere(frame.depth > 0)
        np.testing.assert_allclose(measured.mean(axis=0)[::-1], ideal, atol=0.5)
        np.testing.assert_allclose(frame.depth[frame.depth > 0], z, rtol=1e-6)  # nearest: nothing between
        np.testing.assert_array_equal(frame.camera.K, K.astype(np.float32))


@pytest.mark.parametrize(("model", "coefficients", "formula"), CASES)
def test_every_position_is_within_a_tenth_of_a_pixel(model, coefficients, formula):
    lens = lens_of(model, coefficients)
    assert lens is not None
    positions, _ = distortion._positions(tuple(K.ravel().tolist()), WIDTH, HEIGHT, lens)
    seen = positions[..., 0] != distortion.NOWHERE
    assert seen.mean() > 0.8
    for row in range(5, HEIGHT, 37):
        for column in range(3, WIDTH, 41):
            u, v = formula((column - CX) / FX, (row - CY) / FY)
            expected = FX * u + CX, FY * v + CY
            if seen[row, column]:
                np.testing.assert_allclose(positions[row, column], expected, atol=0.1)
            else:
                assert not (0 < expected[0] < WIDTH - 1 and 0 < expected[1] < HEIGHT - 1)


def test_the_camera_that_comes_out_and_the_largest_shift_are_stated():
    rgb, depth = np.full((HEIGHT, WIDTH, 3), 90, np.uint8), np.full((HEIGHT, WIDTH), 500, np.uint16)
    frame = RGBDFrame.from_arrays(rgb, depth, {"K": K, "D": BARREL})
    (note,) = frame.findings
    u, v = brown((0 - CX) / FX, (HEIGHT - 1 - CY) / FY, BARREL)
    shift = math.hypot(FX * u + CX, FY * v + CY - (HEIGHT - 1))
    assert (note.code, note.severity) == ("undistorted", "note")
    assert note.values["largest_shift_px"] == pytest.approx(shift, abs=0.1)
    assert f"by up to {shift:.1f} px" in note.sentence
    same = RGBDFrame.from_arrays(rgb, depth, {"K": K, "D": [0.0] * 5, "distortion_model": "whatever"})
    assert same.findings == ()


def test_places_that_the_distorted_image_does_not_show_have_no_reading():
    """Pincushion shows less than the pinhole image; a strong barrel would fold the corners back into the image."""
    rgb, depth = np.full((HEIGHT, WIDTH, 3), 90, np.uint8), np.full((HEIGHT, WIDTH), 500, np.uint16)
    for coefficients in ([0.3, 0, 0, 0], [-0.9, 0.0, 0, 0]):
        frame = RGBDFrame.from_arrays(rgb, depth, {"K": K, "D": coefficients})
        assert frame.depth[HEIGHT // 2, WIDTH // 2] == np.float32(0.5)
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            assert frame.depth[row, column] == 0
            np.testing.assert_array_equal(frame.rgb[:, row, column], 0)


@pytest.mark.parametrize(
    ("values", "lens"),
    [
        (
            {"k1": 0.1, "k2": -0.2, "p1": 0.01, "p2": 0.02, "k3": 0.3},
            Lens("brown", (0.1, -0.2, 0.01, 0.02, 0.3, 0, 0, 0)),
        ),
        ({"camera_model": "OPENCV", "k1": 0.1, "k2": 0.2, "p1": 0, "p2": 0}, Lens("brown", (0.1, 0.2, *[0.0] * 6))),
        (
            {"camera_model": "OPENCV_FISHEYE", "k1": 0.1, "k2": 0.2, "k3": 0.3, "k4": 4},
            Lens("fisheye", (0.1, 0.2, 0.3, 4)),
        ),
        ({"is_fisheye": True, "k1": 0.1, "k2": 0, "k3": 0, "k4": 0}, Lens("fisheye", (0.1, 0, 0, 0))),
        ({"model": "Kannala Brandt4", "coeffs": [1, 2, 3, 4, 0]}, Lens("fisheye", (1, 2, 3, 4))),
        ({"model": "Inverse Brown Conrady", "coeffs": [1, 2, 3, 4, 5]}, Lens("inverse", (1, 2, 3, 4, 5, 0, 0, 0))),
        ({"distortion_model": "plumb_bob", "D": [1, 2, 3, 4, 5]}, Lens("brown", (1, 2, 3, 4, 5, 0, 0, 0))),
        ({"dist": [[1, 2, 3, 4]], "model": "D435"}, Lens("brown", (1, 2, 3, 4, 0, 0, 0, 0))),
        ({"distortion": {"model": "equidistant", "coeffs": [1, 2, 3, 4]}}, Lens("fisheye", (1, 2, 3, 4))),
        (
            {"distortion_coefficients": {"rows": 1, "data": [1, 2, 3, 4, *[0.0] * 10]}},
            Lens("brown", (1, 2, 3, 4, *[0] * 4)),
        ),
        ({"distortion_model": "none", "D": [0.0] * 5}, None),
        ({"distortion": "brown_conrady", "coeffs": [0.0] * 5}, None),
        ({"k1": None, "k2": 0.0}, None),
        ({"D": []}, None),
    ],
)
def test_names_and_orders_of_coefficients(values, lens):
    assert read_intrinsics({"fx": FX, "fy": FY, "cx": CX, "cy": CY, **values}).lens == lens


def test_objects_of_pyrealsense():
    """Its model is an enumeration, which prints as distortion.name."""

    class Model:
        def __str__(self):
            return "distortion.inverse_brown_conrady"

    found = read_intrinsics(SimpleNamespace(fx=FX, fy=FY, ppx=CX, ppy=CY, model=Model(), coeffs=PINCUSHION))
    assert found.lens == Lens("inverse", (*PINCUSHION, 0, 0, 0))


def test_distortion_beside_the_intrinsics_of_a_camera_is_its_own():
    part = {"intrinsics": {"fx": FX, "fy": FY, "cx": CX, "cy": CY}, "distortion": {"k1": 0.1, "k2": 0.2}}
    assert read_intrinsics({"color": part}).lens == Lens("brown", (0.1, 0.2, *[0.0] * 6))


def test_ros_gives_the_raw_image():
    """With K and P the pictures are those of K; P would be another focal length."""
    P = [350.0, 0, 320, 0, 0, 350, 240, 0, 0, 0, 1, 0]
    message = {"K": K.ravel().tolist(), "P": P, "D": BARREL, "distortion_model": "plumb_bob"}
    found = read_intrinsics(message)
    np.testing.assert_allclose(found.matrix, K, rtol=1e-6)
    assert found.lens is not None
    del message["K"]
    with pytest.raises(ValueError, match=r"with P but without K.*give K for the camera's own images, or only P"):
        read_intrinsics(message)
    del message["D"]
    assert read_intrinsics(message).matrix[0, 0] == 350


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (
            {"D": [0.1, 0, 0, 0, 0, 0, 0, 0, 0.01, 0, 0, 0]},
            "12 coefficients has terms .thin prism.*undistort the images",
        ),
        ({"D": [0.1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.1, 0]}, "14 coefficients has terms"),
        ({"D": [0.1, 0.2, 0.3]}, "has 3 coefficients; give 4, 5 or 8"),
        ({"D": [0.1, np.nan, 0, 0]}, "not finite"),
        ({"D": [0.1] * 8, "distortion_model": "equidistant"}, "has 8 coefficients; give 4 in"),
        (
            {"D": [0.1] * 5, "distortion_model": "Ftheta"},
            "'Ftheta' with coefficients that are not zero is not known; und",
        ),
        ({"k1": 0.1, "k2": 0.1, "k3": 0.1, "k4": 0.1}, "k4 but neither k5, k6 nor a model; add distortion_model"),
    ],
)
def test_what_cannot_be_undone_is_refused(values, match):
    with pytest.raises(ValueError, match=match):
        read_intrinsics({"K": K, **values})


def test_a_recording_waits_for_the_map_once():
    camera = Camera(np.array([[605.0, 0, 638], [0, 605, 366], [0, 0, 1]]), 1280, 720)
    lens = lens_of("rational_polynomial", [0.1234, *AZURE[1:]])
    assert lens is not None
    rgb, depth = np.full((720, 1280, 3), 90, np.uint8), np.full((720, 1280), 0.5, np.float32)
    times = []
    for _ in range(4):
        started = time.process_time()
        undistorted(rgb, depth, camera, lens)
        times.append(time.process_time() - started)
    assert min(times[1:]) < min(0.3, times[0])
