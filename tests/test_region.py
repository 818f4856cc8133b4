"""The metric region around a hand: its geometry, its pictures, and that a mirrored frame gives the same pictures."""

from dataclasses import replace

import numpy as np
import pytest

from twohands.geometry.camera import Camera
from twohands.region import COLOUR_SIZE, DEPTH_SIZE, SIDE, Region, colour_picture, depth_picture, region_at, views
from twohands.types import RGBDFrame

CAMERA = Camera(np.array([[610.0, 0, 333.3], [0, 600.0, 247.7], [0, 0, 1]]), 640, 480)
PIXEL, ANGLE, DEPTH = np.array([150.0, 400.0]), 0.9, 0.62


def pixel_in(size: int, plane: np.ndarray) -> np.ndarray:
    """Pixels of a region's picture at plane coordinates."""
    return (plane[..., :2] / SIDE + 0.5) * size - 0.5


def around(region: Region, rng: np.random.Generator) -> np.ndarray:
    """Points of the camera frame within the region."""
    return region.from_plane(rng.uniform(-0.1, 0.1, (40, 3)))


@pytest.mark.parametrize("mirrored", [False, True])
def test_plane_coordinates_are_undone(mirrored):
    region = region_at(CAMERA, PIXEL, ANGLE, DEPTH, mirrored)
    points = around(region, np.random.default_rng(0))
    np.testing.assert_allclose(region.from_plane(region.to_plane(points)), points, atol=1e-12)
    assert np.linalg.det(region.axes) == pytest.approx(-1 if mirrored else 1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_middle_is_the_pixel_and_fingers_point_up(mirrored):
    region = region_at(CAMERA, PIXEL, ANGLE, DEPTH, mirrored)
    middle = CAMERA.unproject(PIXEL[None], np.array([DEPTH]))
    np.testing.assert_allclose(region.to_plane(middle), [[0, 0, 0]], atol=1e-9)
    tip = CAMERA.unproject(PIXEL[None] + 40 * np.array([[np.sin(ANGLE), -np.cos(ANGLE)]]), np.array([DEPTH]))
    x, y, _ = region.to_plane(tip)[0]
    assert y < -0.03
    assert abs(x) < 0.002


def test_a_flat_wall_is_where_it_is():
    """The wall z = 0.7 m of the camera frame, seen by a camera that looks aside: every pixel lies on that plane."""
    frame = RGBDFrame(np.zeros((3, 480, 640), np.float32), np.full((480, 640), 0.7, np.float32), CAMERA)
    region = region_at(CAMERA, PIXEL, ANGLE, 0.7, False)
    relative = depth_picture(region, frame)
    along = ((np.arange(DEPTH_SIZE) + 0.5) / DEPTH_SIZE - 0.5) * SIDE
    x, y = np.meshgrid(along, along)
    points = region.from_plane(np.stack([x, y, relative], axis=-1).reshape(-1, 3))
    seen = np.isfinite(points[:, 2])
    assert 0.5 < seen.mean() < 1  # a corner of the region lies outside the image
    np.testing.assert_allclose(points[seen, 2], 0.7, atol=6e-4)  # half a pixel of a tilted wall


def test_colour_and_depth_show_a_point_at_its_plane_coordinates():
    region = region_at(CAMERA, np.array([300.0, 200.0]), ANGLE, DEPTH, False)
    point = region.from_plane(np.array([[0.04, -0.06, 0.03]]))
    u, v = CAMERA.project(point)[0]
    columns, rows = np.meshgrid(np.arange(640), np.arange(480))
    dot = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * 4.0**2)).astype(np.float32)
    depth = np.where(dot > 0.2, np.float32(point[0, 2]), np.float32(0))
    frame = RGBDFrame(np.stack([dot] * 3), depth, CAMERA)
    picture = colour_picture(region, frame)[1]
    weights = picture / picture.sum()
    down, across = np.mgrid[:COLOUR_SIZE, :COLOUR_SIZE]
    found = np.array([(weights * across).sum(), (weights * down).sum()])
    np.testing.assert_allclose(found, pixel_in(COLOUR_SIZE, region.to_plane(point))[0], atol=0.2)
    relative = depth_picture(region, frame)
    down, across = np.nonzero(np.isfinite(relative))
    np.testing.assert_allclose([across.mean(), down.mean()], pixel_in(DEPTH_SIZE, region.to_plane(point))[0], atol=0.6)
    assert np.nanmedian(relative) == pytest.approx(0.03, abs=2e-3)


def test_a_mirrored_frame_gives_the_same_pictures():
    rng = np.random.default_rng(1)
    rgb = rng.random((3, 480, 640), dtype=np.float32)
    frame = RGBDFrame(rgb, (0.5 + 0.2 * rng.random((480, 640))).astype(np.float32), CAMERA)
    other = replace(frame, rgb=rgb[:, :, ::-1], depth=frame.depth[:, ::-1], camera=CAMERA.mirror())
    mirror = np.array([639 - PIXEL[0], PIXEL[1]])
    for flip in (False, True):
        region = region_at(CAMERA, PIXEL, ANGLE, DEPTH, flip)
        opposite = region_at(other.camera, mirror, -ANGLE, DEPTH, not flip)
        np.testing.assert_allclose(depth_picture(region, frame), depth_picture(opposite, other), atol=1e-6)
        np.testing.assert_allclose(colour_picture(region, frame), colour_picture(opposite, other), atol=1e-4)


def test_large_images_are_averaged_before_they_shrink():
    """A checkerboard of single pixels, shrunk five times, is grey and not a pattern."""
    camera = Camera(np.array([[4800.0, 0, 959.5], [0, 4800.0, 599.5], [0, 0, 1]]), 1920, 1200)
    board = (np.indices((1200, 1920)).sum(axis=0) % 2).astype(np.float32)
    frame = RGBDFrame(np.stack([board] * 3), np.zeros((1200, 1920), np.float32), camera)
    picture = colour_picture(region_at(camera, np.array([960.0, 600.0]), 0.0, 0.5 * 2.08, False), frame)
    assert picture.std() < 0.05


def test_views_are_mirrored_as_if_they_were_made_for_the_other_side():
    rng = np.random.default_rng(4)
    depth = np.where(rng.random((480, 640)) < 0.1, 0, rng.uniform(0.3, 0.6, (480, 640))).astype(np.float32)
    frame = RGBDFrame(rng.random((3, 480, 640), dtype=np.float32), depth, CAMERA)
    places = [(PIXEL, ANGLE), (np.array([30.0, 440.0]), -2.0)]
    made = [views(frame, [region_at(CAMERA, *place, DEPTH, flip) for place in places]) for flip in (False, True)]
    turned = made[0].mirrored(np.array([False, True]))
    for number in (0, 1):
        np.testing.assert_allclose(turned.region.axes[number], made[number].region.axes[number], atol=1e-12)
        np.testing.assert_allclose(turned.colour[number], made[number].colour[number], atol=1e-5)
        np.testing.assert_allclose(turned.depth[number], made[number].depth[number], atol=1e-6)
