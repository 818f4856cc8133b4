"""Residual and support on plates with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from twohands.fitting.quality import measure_quality
from twohands.geometry.camera import Camera
from twohands.types import RGBDFrame

CAMERA = Camera(np.array([[100.0, 0, 49.5], [0, 100, 39.5], [0, 0, 1]], np.float32), width=100, height=80)
COUNT = 11 * 11


def plate(center_x: float, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a square of 11 x 11 vertices, 0.2 m wide, that faces the camera."""
    x, y = np.meshgrid(np.linspace(-0.1, 0.1, 11), np.linspace(-0.1, 0.1, 11))
    vertices = np.stack([x + center_x, y, np.full_like(x, z)], axis=-1).reshape(-1, 3)
    corner = np.arange(COUNT).reshape(11, 11)
    quads = np.stack([corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]], axis=-1).reshape(-1, 4)
    return vertices, np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def measure(left: float, right: float, depth: np.ndarray, present=(1, 1), shift=0.2, flip=False):
    """Return the quality of a left plate at z = `left`, x = -shift and a right one at z = `right`, x = +shift."""
    (a, faces), (b, _) = plate(-shift, left), plate(shift, right)
    faces = faces[:, ::-1] if flip else faces
    frame = RGBDFrame(np.zeros((3, 80, 100), np.float32), depth.astype(np.float32), CAMERA)
    return measure_quality(np.stack([a, b]), np.stack([faces, faces]), np.array(present), frame)


def test_exact_surface_and_offset():
    residual, support = measure(0.800, 0.815, np.full((80, 100), 0.8))
    np.testing.assert_allclose(residual, [0, 0.015], atol=1e-6)
    np.testing.assert_allclose(support, [1, 0])


def test_occluder_is_left_out_of_the_residual_but_not_of_the_support():
    depth = np.full((80, 100), 0.804)
    depth[:35] = 0.5  # an occluder in front of the upper part: rows of vertices at y <= -0.04 m
    residual, support = measure(0.8, 0.8, depth)
    np.testing.assert_allclose(residual, 0.004, atol=1e-6)
    np.testing.assert_allclose(support, 7 / 11, atol=1e-6)


def test_holes_are_left_out_of_the_residual_but_not_of_the_support():
    depth = np.full((80, 100), 0.803)
    depth[:, :25] = 0  # x <= -0.2 m at 0.8 m, half of the left plate and its middle column
    residual, support = measure(0.8, 0.8, depth)
    np.testing.assert_allclose(residual, 0.003, atol=1e-6)
    np.testing.assert_allclose(support, [5 / 11, 1], atol=1e-6)


def test_mesh_in_front_of_the_surface_counts():
    residual, support = measure(0.8, 0.8, np.full((80, 100), 1.0))
    np.testing.assert_allclose(residual, 0.2, atol=1e-6)
    np.testing.assert_allclose(support, 0)


def test_one_hand_hides_the_other():
    depth = np.full((80, 100), 0.6)
    residual, support = measure(0.6, 0.63, depth, shift=0.0)
    np.testing.assert_allclose(residual[0], 0, atol=1e-6)
    assert support[0] == 1
    assert np.isnan(residual[1])  # wholly behind the left plate
    assert support[1] == 0
    residual, support = measure(0.6, 0.63, depth, present=(0, 1), shift=0.0)  # an absent hand hides nothing
    assert np.isnan(residual[0])
    assert residual[1] == pytest.approx(0.03, abs=1e-6)
    np.testing.assert_array_equal(support, 0)


def test_hidden_vertices_count_in_neither():
    """The left plate ends at x = 0.05 m and so hides six of the right one's eleven columns."""
    residual, support = measure(0.6, 0.63, np.full((80, 100), 0.632), shift=0.05)
    np.testing.assert_allclose(residual, [0.032, 0.002], atol=1e-6)
    np.testing.assert_allclose(support, [0, 1])


def test_rear_side_and_out_of_view_compare_nothing():
    residual, support = measure(0.8, 0.8, np.full((80, 100), 0.8), flip=True)
    assert np.isnan(residual).all()
    assert not support.any()
    residual, support = measure(0.8, 0.8, np.full((80, 100), 0.8), shift=5.0)
    assert np.isnan(residual).all()
    assert not support.any()
