"""The z-buffer equals a loop over faces and pixels, and leaves neither gaps nor hidden vertices."""

from __future__ import annotations

import time

import numpy as np
import pytest

from twohands.geometry.camera import Camera
from twohands.geometry.zbuffer import barycentric, rasterize, sample_nearest, visible_vertices, window_of
from twohands.hands import free_hand

CAMERA = Camera(np.array([[60.0, 0, 25.3], [0, 58, 17.8], [0, 0, 1]]), width=48, height=36)


def brute_force(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return depth and face by casting every pixel's ray at every face; and its smallest weight, near 0 at a border."""
    depth = np.zeros((camera.height, camera.width))
    index = np.full(depth.shape, -1)
    margin = np.full(depth.shape, np.inf)
    for number, face in enumerate(faces):
        corners = vertices[face]
        if (corners[:, 2] <= 0).any():
            continue
        for row in range(camera.height):
            for column in range(camera.width):
                ray = np.array([*(((column, row) - camera.center) / camera.focal), 1.0])
                weights = np.linalg.solve(corners.T, ray)
                margin[row, column] = min(margin[row, column], np.abs(weights).min())
                z = 1 / weights.sum() if weights.sum() > 0 else 0
                if (weights >= 0).all() and z > 0 and (depth[row, column] == 0 or z < depth[row, column]):
                    depth[row, column], index[row, column] = z, number
    return depth, index, margin


@pytest.mark.parametrize("seed", range(4))
def test_equals_brute_force(seed: int):
    random = np.random.default_rng(seed)
    vertices = random.uniform([-0.5, -0.4, 0.2], [0.5, 0.4, 1.0], (14, 3))
    vertices[3, 2] = -0.1  # some faces cross the camera's plane
    faces = random.permuted(np.tile(np.arange(14), (7, 1)), axis=1)[:, :3]
    depth, index = rasterize(vertices, faces, CAMERA)
    expected, expected_index, margin = brute_force(vertices, faces, CAMERA)
    clear = margin > 1e-6
    assert clear.mean() > 0.99, f"seed {seed}"
    assert (expected_index >= 0).mean() > 0.1, f"seed {seed}: nothing to compare"
    np.testing.assert_array_equal(index[clear], expected_index[clear], err_msg=f"seed {seed}")
    np.testing.assert_allclose(depth[clear], expected[clear], rtol=1e-5, err_msg=f"seed {seed}")
    assert not np.isin(3, faces[np.unique(index[index >= 0])]), "a face that crosses the camera's plane was drawn"


@pytest.mark.parametrize("faces", [np.zeros((0, 3), int), np.array([[0, 1, 2]]), np.array([[0, 0, 1]])])
def test_nothing_to_draw(faces: np.ndarray):
    """No faces, a face behind the camera, a face without area."""
    vertices = np.array([[0.0, 0, -1], [0.1, 0, -1], [0, 0.1, -1]])
    depth, index = rasterize(vertices, faces, CAMERA)
    assert depth.shape == (36, 48)
    assert depth.dtype == np.float32
    assert not depth.any()
    assert (index == -1).all()


def test_shared_edges_leave_no_gap():
    """A finely cut rectangle at known depth fills every pixel whose centre is in it, also on cut edges."""
    us, vs = np.meshgrid(np.linspace(4, 40, 19), np.linspace(3, 30, 14))  # many corners and edges on pixel centres
    z = np.full(us.size, 0.7)
    vertices = CAMERA.unproject(np.stack([us.ravel(), vs.ravel()], axis=1), z)
    corner = np.arange(us.size).reshape(us.shape)
    quads = np.stack([corner[:-1, :-1], corner[:-1, 1:], corner[1:, 1:], corner[1:, :-1]], axis=-1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    depth, _ = rasterize(vertices, faces, CAMERA)
    assert (depth[4:30, 5:40] > 0).all()
    np.testing.assert_allclose(depth[depth > 0], 0.7, rtol=1e-6)
    outside = np.ones_like(depth, dtype=bool)
    outside[3:31, 4:41] = False
    assert not depth[outside].any()


def test_window_sees_the_same():
    random = np.random.default_rng(7)
    vertices = random.uniform([-0.1, -0.05, 0.5], [0.1, 0.05, 0.6], (9, 3))
    faces = np.arange(9).reshape(3, 3)
    depth, index = rasterize(vertices, faces, CAMERA)
    window, left, top = window_of(vertices, CAMERA)
    assert window.width < CAMERA.width
    cropped, cropped_index = rasterize(vertices, faces, window)
    part = np.s_[top : top + window.height, left : left + window.width]
    np.testing.assert_allclose(cropped, depth[part], rtol=1e-6)
    np.testing.assert_array_equal(cropped_index, index[part])
    assert (cropped > 0).sum() == (depth > 0).sum() > 0


def test_barycentric_meets_the_surface():
    random = np.random.default_rng(3)
    vertices = random.uniform([-0.3, -0.3, 0.3], [0.3, 0.3, 1.0], (12, 3))
    faces = np.arange(12).reshape(4, 3)
    depth, index = rasterize(vertices, faces, CAMERA)
    rows, columns = np.nonzero(index >= 0)
    weights = barycentric(vertices, faces, CAMERA, index[rows, columns], np.stack([columns, rows], axis=1))
    points = np.einsum("nk,nkc->nc", weights, vertices[faces[index[rows, columns]]])
    np.testing.assert_allclose(points[:, 2], depth[rows, columns], rtol=1e-5)
    np.testing.assert_allclose(CAMERA.project(points), np.stack([columns, rows], axis=1), atol=1e-6)


def test_visible_vertices_of_two_plates():
    """The rear one of two squares has a hidden centre and a visible rim; seen from behind, nothing faces."""
    square = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [0, 0, 0]]) * 0.1
    faces = np.array([[0, 4, 1], [1, 4, 2], [2, 4, 3], [3, 4, 0]])  # outward is -z, to the camera
    vertices = np.concatenate([square + np.array([0, 0, 0.6]), square * 0.4 + [0, 0, 0.5]])
    both = np.concatenate([faces, faces + 5])
    facing, visible = visible_vertices(vertices, both, CAMERA)
    assert facing.all()
    np.testing.assert_array_equal(visible, [1, 1, 1, 1, 0, 1, 1, 1, 1, 1])
    facing, visible = visible_vertices(vertices, both[:, ::-1], CAMERA)
    assert not facing.any()
    assert not visible.any()


def test_sample_nearest_rounds_and_stays_inside():
    image = np.arange(36 * 48, dtype=float).reshape(36, 48)
    pixels = np.array([[10.4, 5.6], [-0.4, 0.0], [47.6, 3.0], [3.0, -2.0]])
    values, inside = sample_nearest(image, CAMERA.unproject(pixels, np.ones(4)), CAMERA)
    np.testing.assert_array_equal(inside, [True, True, False, False])
    np.testing.assert_array_equal(values, [6 * 48 + 10, 0, 0, 0])
    assert not sample_nearest(image, np.array([[0.0, 0, -1]]), CAMERA)[1].any()


def test_two_hands_are_fast():
    model = free_hand()
    parameters = model.neutral()
    parameters.translation[:] = [[-0.15, 0.05, 0.8], [0.15, 0.05, 0.8]]
    parameters.rotation[:] = [np.pi / 2, 0, 0]
    hands = model(parameters)
    camera = Camera(np.array([[900, 0, 640], [0, 900, 360], [0, 0, 1]], np.float32), 1280, 720)
    faces = np.concatenate([model.faces[0], model.faces[1] + 778])
    times = []
    for _ in range(5):
        start = time.process_time()
        depth, _ = rasterize(hands.vertices.reshape(-1, 3), faces, camera)
        times.append(time.process_time() - start)
    assert 0.03 < (depth > 0).mean() < 0.1
    assert min(times) < 0.05, f"{min(times) * 1e3:.0f} ms"
