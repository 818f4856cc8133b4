"""Cameras, rotations, alignment and meshes: round trips and known answers, on NumPy and torch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from twohands.geometry import mesh, transforms
from twohands.geometry.camera import Camera
from twohands.geometry.cloud import lift

ANGLES = st.floats(-3.2, 3.2)


def camera(dtype=np.float64) -> Camera:
    return Camera(np.array([[600, 0, 310], [0, 610, 250], [0, 0, 1]], dtype=dtype), 640, 480)


@pytest.mark.parametrize("xp", [np, torch])
def test_project_undoes_unproject(xp):
    view = camera().map(xp.asarray)
    pixels = xp.asarray(np.array([[0.0, 0.0], [639.0, 479.0], [123.4, 56.7]]))
    depth = xp.asarray(np.array([0.3, 0.5, 1.2]))
    points = view.unproject(pixels, depth)
    np.testing.assert_allclose(points[:, 2], depth)
    np.testing.assert_allclose(view.project(points), pixels, atol=1e-9)


def test_rays_and_lift_agree_with_unproject():
    view = camera()
    depth = np.zeros((480, 640))
    depth[7, 11], depth[400, 600] = 0.5, 0.7
    points, pixels = lift(depth, view)
    np.testing.assert_array_equal(pixels, [[11, 7], [600, 400]])
    np.testing.assert_allclose(points, view.rays()[[7, 400], [11, 600]] * [[0.5], [0.7]])
    assert len(lift(depth, view, mask=np.zeros((480, 640), bool))[0]) == 0


def test_crop_resize_and_mirror_keep_the_points():
    points = np.random.default_rng(0).normal(size=(20, 3)) * 0.1 + [0, 0, 0.6]
    view = camera()
    pixels = view.project(points)
    np.testing.assert_allclose(view.crop(100, 50, 200, 100).project(points), pixels - [100, 50])
    np.testing.assert_allclose(view.resize(320, 960).project(points), (pixels + 0.5) * [0.5, 2] - 0.5)
    mirrored = view.mirror().project(points * [-1, 1, 1])
    np.testing.assert_allclose(mirrored, np.stack([639 - pixels[:, 0], pixels[:, 1]], 1))
    np.testing.assert_allclose(view.mirror().mirror().K, view.K)
    assert view.resize(320, 960).width == 320


@given(ANGLES, ANGLES, ANGLES)
def test_axis_angle_round_trip(x, y, z):
    vector = np.array([x, y, z])
    matrix = transforms.matrix_from_axis_angle(vector)
    np.testing.assert_allclose(matrix, Rotation.from_rotvec(vector).as_matrix(), atol=1e-7)
    back = transforms.matrix_from_axis_angle(transforms.axis_angle_from_matrix(matrix))
    np.testing.assert_allclose(back, matrix, atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 1e-3, np.pi - 1e-4, np.pi])
def test_axis_angle_near_zero_and_pi(angle):
    vector = np.array([0.6, 0.0, -0.8]) * angle
    back = transforms.axis_angle_from_matrix(transforms.matrix_from_axis_angle(vector))
    np.testing.assert_allclose(back * np.sign(back @ vector or 1), vector, atol=2e-6)


def test_axis_angle_has_the_right_gradient_at_zero():
    vector = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    transforms.matrix_from_axis_angle(vector)[2, 1].backward()
    np.testing.assert_allclose(vector.grad, [1, 0, 0])  # d R[2, 1] / d x = 1 at the identity
    back = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    transforms.axis_angle_from_matrix(transforms.matrix_from_axis_angle(back)).sum().backward()
    np.testing.assert_allclose(back.grad, 1)


@pytest.mark.parametrize("xp", [np, torch])
@pytest.mark.parametrize("scale", [True, False])
def test_procrustes_recovers_a_similarity(xp, scale):
    rng = np.random.default_rng(1)
    source = rng.normal(size=(2, 15, 3))
    rotation = transforms.matrix_from_axis_angle(rng.normal(size=(2, 3)))
    factor = 1.7 if scale else 1.0
    target = factor * source @ np.swapaxes(rotation, -1, -2) + rng.normal(size=(2, 1, 3))
    found, turned, _ = transforms.procrustes(xp.asarray(source), xp.asarray(target), scale)
    np.testing.assert_allclose(found, factor)
    np.testing.assert_allclose(turned, rotation, atol=1e-9)
    np.testing.assert_allclose(transforms.align(xp.asarray(source), xp.asarray(target), scale), target, atol=1e-9)


def test_rigid_acts_on_column_vectors():
    rotation = transforms.matrix_from_axis_angle(np.array([0, 0, np.pi / 2]))
    matrix = transforms.rigid(rotation, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(matrix @ [1, 0, 0, 1], [1, 3, 3, 1], atol=1e-12)


def tetrahedron() -> tuple[np.ndarray, np.ndarray]:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], float)
    return vertices, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


def test_mesh_known_answers():
    vertices, faces = tetrahedron()
    assert mesh.volume(vertices, faces) == pytest.approx(1 / 6)
    np.testing.assert_allclose(mesh.face_normals(vertices, faces)[0], [0, 0, -1])
    assert len(mesh.edges_from_faces(faces)) == 6
    assert len(mesh.boundary_loop(faces)) == 0
    open_faces = faces[1:]
    assert set(mesh.boundary_loop(open_faces)) == {0, 1, 2}
    assert mesh.volume(vertices, mesh.cap(open_faces)) == pytest.approx(1 / 6)


def test_two_borders_are_refused():
    with pytest.raises(ValueError, match="more than one border"):
        mesh.boundary_loop(np.array([[0, 1, 2], [3, 4, 5]]))
