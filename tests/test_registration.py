"""Registration of depth against scenes that are ray-traced for both cameras on their own, in double precision."""

import numpy as np
import pytest
from scipy.optimize import fsolve
from scipy.spatial.transform import Rotation

from twohands.geometry.camera import Camera
from twohands.geometry.registration import Registration, register

RATIONAL = (0.52, -2.65, 0.0006, -0.0003, 1.55, 0.40, -2.47, 1.47)
"""Coefficients k1 k2 p1 p2 k3 k4 k5 k6 as an Azure Kinect has them."""
KINDS = {"D435": (848, 480, 425, 915), "D455": (848, 480, 425, 640), "Kinect": (640, 576, 504, 610)}
"""Width, height and focal length of the depth camera, focal length of the colour camera of 1280x720."""


def camera(width, height, focal):
    return Camera(np.array([[focal, 0, width / 2 - 7.3], [0, focal, height / 2 + 4.1], [0, 0, 1]]), width, height)


def pose(x=0.032):
    T = np.eye(4)
    T[:3, :3] = Rotation.from_rotvec((0.09, -0.015, 0.01)).as_matrix()
    T[:3, 3] = x, -0.004, 0.006
    return T


def rational(points):
    x, y = points[:, 0], points[:, 1]
    k1, k2, p1, p2, k3, k4, k5, k6 = RATIONAL
    r = x * x + y * y
    s = (1 + k1 * r + k2 * r**2 + k3 * r**3) / (1 + k4 * r + k5 * r**2 + k6 * r**3)
    return np.stack([x * s + 2 * p1 * x * y + p2 * (r + 2 * x * x), y * s + p1 * (r + 2 * y * y) + 2 * p2 * x * y], 1)


def trace(planes, rays, T_here_from_depth):
    """Depth (...) of the nearest of some planes along rays (..., 3) with z = 1; 0 where none is hit.

    Every plane is (normal, distance, x range) in the frame of the depth camera.
    """
    turn, shift = T_here_from_depth[:3, :3], T_here_from_depth[:3, 3]
    start, directions = -turn.T @ shift, rays @ turn
    nearest = np.full(rays.shape[:-1], np.inf)
    for normal, distance, (left, right) in planes:
        along = (distance - start @ normal) / (directions @ normal)
        x = start[0] + along * directions[..., 0]
        nearest = np.where((along > 0) & (x >= left) & (x < right) & (along < nearest), along, nearest)
    return np.where(np.isfinite(nearest), nearest, 0)


EVERYWHERE = (-np.inf, np.inf)
SLANTED = [(np.array([0.35, -0.5, 1.0]), 0.6, EVERYWHERE)]


@pytest.mark.parametrize("kind", KINDS)
def test_slanted_plane_is_exact_to_half_a_pixel(kind):
    width, height, focal, colour_focal = KINDS[kind]
    depth_camera, colour, T = camera(width, height, focal), camera(1280, 720, colour_focal), pose()
    out = register(trace(SLANTED, depth_camera.rays(), np.eye(4)), depth_camera, colour, T)
    truth = trace(SLANTED, colour.rays(), T)
    slope = sum(np.abs(np.gradient(truth, axis=axis)) for axis in (0, 1))
    assert out.dtype == np.float32
    assert out.shape == (720, 1280)
    assert (np.abs(out - truth)[out > 0] <= 0.52 * slope[out > 0] + 1e-5).all()
    # no gap where the depth camera looks
    back = trace(SLANTED, colour.rays(), T)[..., None] * colour.rays()
    pixels = depth_camera.project(((back - T[:3, 3]) @ T[:3, :3]).reshape(-1, 3)).reshape(720, 1280, 2)
    looked_at = (np.abs(pixels - (width / 2, height / 2)) < (width / 2 - 3, height / 2 - 3)).all(axis=-1)
    looked_at[[0, -1]] = looked_at[:, [0, -1]] = False  # the border has no reading beyond it
    assert looked_at.mean() > 0.3
    assert (out[looked_at] > 0).mean() > 0.9999


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", [-1, 1])
def test_a_step_is_neither_bridged_nor_shines_through(kind, side):
    width, height, focal, colour_focal = KINDS[kind]
    depth_camera, colour, T = camera(width, height, focal), camera(1280, 720, colour_focal), pose(side * 0.05)
    near = (np.array([0.1, 0.2, 1.0]), 0.35, (-0.06, 0.05))
    scene = [near, (np.array([0.0, 0.1, 1.0]), 0.9, EVERYWHERE)]
    out = register(trace(scene, depth_camera.rays(), np.eye(4)), depth_camera, colour, T)
    front, whole, behind = (trace(planes, colour.rays(), T) for planes in (scene[:1], scene, scene[1:]))
    endless = trace([(*near[:2], EVERYWHERE)], colour.rays(), T)
    rows = slice(150, 570)  # beyond them the depth camera sees the background but no longer the near surface
    out, front, whole, behind, endless = (image[rows] for image in (out, front, whole, behind, endless))
    read = out > 0
    either = np.minimum(np.abs(out - endless), np.abs(out - behind))
    assert either[read].max() < 0.002  # nothing between the surfaces
    # wrong surface only within a depth pixel of the edge, as wide as it is in colour, and half a pixel
    margin = int(np.ceil(colour_focal / focal)) + 1
    edge = np.zeros(out.shape, bool)
    for shift in range(-margin, margin + 1):
        edge |= (front > 0) != (np.roll(front, shift, axis=1) > 0)
    wrong = read & (np.abs(out - whole) > 0.01)
    assert not (wrong & ~edge).any()
    inside = (front > 0) & ~edge
    assert (out[inside] > 0).mean() > 0.999
    # colour sees a strip of the background that the near surface hides from the depth camera
    hidden = (front == 0) & ~edge
    strip = colour_focal * 0.05 * (1 / 0.35 - 1 / 0.9)
    missing = (hidden & ~read)[150:270, 340:940].sum(axis=1)
    assert 0.5 * strip < np.median(missing) < 1.6 * strip


def test_holes_stay_holes():
    depth_camera, colour, T = camera(848, 480, 425), camera(1280, 720, 915), pose()
    depth = trace(SLANTED, depth_camera.rays(), np.eye(4))
    holed = depth.copy()
    holed[200:204, 300:500] = 0
    holed[100:400, 420:422] = 0
    full, out = (register(image, depth_camera, colour, T) for image in (depth, holed))
    lost = ((full > 0) & (out == 0)).sum()
    pixels = (depth > holed).sum() * (915 / 425) ** 2
    assert 0.9 * pixels < lost < 2 * pixels
    assert np.abs(out - full)[out > 0].max() < 0.003


def test_a_far_pixel_in_a_near_surface_is_hidden_only_by_its_own_size():
    """A finger's width of background between two fingers is kept."""
    depth_camera = colour = camera(640, 480, 500)
    depth = np.full((480, 640), 0.4)
    depth[:, 300:304] = 0.8
    out = register(depth, depth_camera, colour, np.eye(4))
    assert np.array_equal(out, depth.astype(np.float32))


def test_one_camera_gives_the_same_depth():
    depth = np.random.default_rng(0).uniform(0.2, 0.209, (48, 64)).astype(np.float32)
    same = camera(64, 48, 60)
    np.testing.assert_allclose(register(depth, same, same, np.eye(4)), depth, rtol=1e-6)


def test_coarse_depth_is_enlarged_without_gaps():
    coarse, fine = camera(128, 96, 100), camera(1280, 960, 1000)
    depth = trace(SLANTED, coarse.rays(), np.eye(4))
    out = register(depth, coarse, fine, pose(0.0))
    assert (out[300:600, 400:800] > 0).all()


def test_distorted_colour():
    depth_camera, colour, T = camera(640, 576, 504), camera(1280, 720, 610), pose()
    out = register(trace(SLANTED, depth_camera.rays(), np.eye(4)), depth_camera, colour, T, distort_colour=rational)
    rng, checked = np.random.default_rng(1), 0
    for v, u in zip(rng.integers(60, 660, 60), rng.integers(200, 1080, 60), strict=True):
        seen = (np.array([u, v]) - colour.center) / colour.focal
        ideal = fsolve(lambda p, seen=seen: rational(p[None])[0] - seen, seen)
        rays = np.array([[*ideal, 1.0], [*(ideal + (1 / 610, 0)), 1.0], [*(ideal + (0, 1 / 610)), 1.0]])
        truth, right, below = trace(SLANTED, rays, T)
        if out[v, u] > 0:
            checked += 1
            assert abs(out[v, u] - truth) <= 0.55 * (abs(right - truth) + abs(below - truth)) + 1e-5
    assert checked > 30


def test_distorted_depth():
    depth_camera, colour, T = camera(640, 576, 504), camera(1280, 720, 610), pose()
    rays = depth_camera.rays()
    bent = rational(rays[..., :2].reshape(-1, 2)).reshape(576, 640, 2)  # here the map from the picture to ideal rays
    depth = trace(SLANTED, np.concatenate([bent, rays[..., 2:]], axis=-1), np.eye(4))
    out, truth = register(depth, depth_camera, colour, T, undistort_depth=rational), trace(SLANTED, colour.rays(), T)
    slope = sum(np.abs(np.gradient(truth, axis=axis)) for axis in (0, 1))
    assert (np.abs(out - truth)[out > 0] <= 0.52 * slope[out > 0] + 1e-5).all()
    assert np.abs(register(depth, depth_camera, colour, T) - truth)[out > 0].max() > 0.01  # it matters


def test_points_behind_and_beside_the_colour_camera_are_left_out():
    depth_camera, colour, T = camera(64, 48, 60), camera(64, 48, 60), np.eye(4)
    T[2, 3] = -1.0
    assert not register(np.full((48, 64), 0.5), depth_camera, colour, T).any()
    T[:3, 3] = 5.0, 0, 0
    assert not register(np.full((48, 64), 0.5), depth_camera, colour, T).any()


def test_depth_of_another_size_is_refused():
    same = camera(64, 48, 60)
    with pytest.raises(ValueError, match="depth is 32x24 but its camera has 64x48 pixels"):
        Registration(same, same, np.eye(4))(np.ones((24, 32)))
