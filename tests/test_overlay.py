"""Pictures show the hands at their position, and leave the rest unchanged."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from fakes import CAMERA, HEIGHT, WIDTH, make_frame, make_hands
from twohands.geometry.zbuffer import rasterize
from twohands.hands import free_hand
from twohands.overlay import (
    SIDE_ANGLE,
    draw_overlay,
    draw_report,
    draw_side_view,
    picture_sheet,
)
from twohands.pictures import color_depth, contact_sheet
from twohands.types import RGBDFrame

MODEL = free_hand()
FACES = np.asarray(MODEL.faces)


def redness(pixels: np.ndarray) -> float:
    """Return the mean difference between red and green."""
    return float((pixels[..., 0].astype(float) - pixels[..., 1]).mean())


def test_overlay_colours_the_hands_and_nothing_else():
    frame, hands = make_frame(), make_hands()
    picture = draw_overlay(frame, hands, FACES)
    plain = frame.rgb_uint8()
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    away = np.ones((HEIGHT, WIDTH), dtype=bool)
    for side, sign in enumerate((1, -1)):  # the left hand is red, the right one green
        inside = rasterize(hands.vertices[side], FACES[side], CAMERA)[0] > 0
        assert inside.sum() > 200
        assert sign * redness(picture[inside]) > 20
        rows, columns = np.nonzero(inside)
        away[rows.min() - 2 : rows.max() + 3, columns.min() - 2 : columns.max() + 3] = False
    np.testing.assert_array_equal(picture[away], plain[away])
    assert away.mean() > 0.3


def test_a_doubtful_hand_is_pale():
    frame, hands = make_frame(), make_hands()
    inside = rasterize(hands.vertices[1], FACES[1], CAMERA)[0] > 0
    doubtful = replace(hands, quality=replace(hands.quality, confidence=np.array([0.9, 0.1], np.float32)))
    sure, pale = draw_overlay(frame, hands, FACES), draw_overlay(frame, doubtful, FACES)
    assert -redness(pale[inside]) < 0.6 * -redness(sure[inside])
    assert pale[inside].mean() > sure[inside].mean() + 20
    left = rasterize(hands.vertices[0], FACES[0], CAMERA)[0] > 0
    np.testing.assert_array_equal(pale[left], sure[left])


def test_absent_hands_are_not_drawn():
    frame = make_frame()
    np.testing.assert_array_equal(draw_overlay(frame, make_hands((0.2, 0.49)), FACES), frame.rgb_uint8())
    picture = draw_overlay(frame, make_hands((0.2, 0.5)), FACES)
    np.testing.assert_array_equal(picture[:, : WIDTH // 3], frame.rgb_uint8()[:, : WIDTH // 3])
    assert (picture != frame.rgb_uint8()).any()
    missing = make_hands((0.2, 0.9))
    missing.vertices[0] = np.nan
    np.testing.assert_array_equal(draw_overlay(frame, missing, FACES), picture)


def test_the_nearer_hand_is_in_front():
    hands = make_hands()
    for nearer, sign in ((0, 1), (1, -1)):
        vertices = hands.vertices.copy()
        vertices[:, :, 0] += np.array([[0.11], [-0.11]])  # both in the middle
        vertices[nearer, :, 2] -= 0.1
        picture = draw_overlay(make_frame(), replace(hands, vertices=vertices), FACES)
        both = (rasterize(vertices[0], FACES[0], CAMERA)[0] > 0) & (rasterize(vertices[1], FACES[1], CAMERA)[0] > 0)
        assert sign * redness(picture[both]) > 20


def test_skeleton_and_hands_out_of_view():
    frame, hands = make_frame(), make_hands()
    assert (draw_overlay(frame, hands, FACES, skeleton=True) != draw_overlay(frame, hands, FACES)).any()
    for shift in ([5, 0, 0], [0, 0, -2]):
        gone = replace(hands, vertices=hands.vertices + np.array(shift, np.float32))
        np.testing.assert_array_equal(draw_overlay(frame, gone, FACES), frame.rgb_uint8())


def plain_frame(width: int, height: int) -> RGBDFrame:
    """Return a grey frame of any size that shows the hands of `make_hands` where `make_frame` shows them."""
    rgb, depth = np.full((3, height, width), 0.4, np.float32), np.full((height, width), 0.5, np.float32)
    return RGBDFrame(rgb, depth, CAMERA.resize(width, height))


LARGE = {(2016, 1512): (1600, 1200), (1512, 2016): (1200, 1600), (1921, 1083): (1600, 902), (3840, 2160): (1600, 900)}
"""Sizes of frames, and of their pictures."""


@pytest.mark.parametrize("size", LARGE, ids=str)
def test_large_frames_are_drawn_small_with_the_hands_at_their_place(size):
    """The convex outline of each hand, in 16 directions, is that of its vertices, moved by the half-pixel rule."""
    frame, hands = plain_frame(*size), make_hands()
    width, height = LARGE[size]
    for side in range(2):
        picture = draw_overlay(frame, replace(hands, present=np.eye(2)[side]), FACES)
        assert picture.shape == (height, width, 3)
        drawn = np.argwhere((picture != picture[0, 0]).any(axis=2))[:, ::-1]
        pixels = (frame.camera.project(hands.vertices[side]) + 0.5) * np.array([width, height]) / size - 0.5
        angles = np.arange(16) * np.pi / 8
        outward = np.stack([np.cos(angles), np.sin(angles)])
        np.testing.assert_allclose((drawn @ outward).max(axis=0), (pixels @ outward).max(axis=0), atol=1)


def test_a_large_frame_is_drawn_in_another_size_when_asked():
    frame, hands = plain_frame(1650, 330), make_hands()
    assert draw_overlay(frame, hands, FACES, longest=None).shape == (330, 1650, 3)
    assert draw_overlay(frame, hands, FACES, longest=100).shape == (20, 100, 3)
    assert draw_overlay(frame, make_hands((0, 0)), FACES).shape == (320, 1600, 3)
    assert draw_overlay(frame, replace(hands, vertices=None), FACES).shape == (320, 1600, 3)
    assert draw_report(frame, hands, FACES).shape == (320, 2400, 3)


def test_a_frame_that_is_small_enough_keeps_its_pixels():
    frame, hands = plain_frame(1600, 1200), make_hands((0, 1))
    frame.rgb[:] = np.random.default_rng(0).random(frame.rgb.shape, np.float32)
    picture = draw_overlay(frame, hands, FACES)
    np.testing.assert_array_equal(picture, draw_overlay(frame, hands, FACES, longest=None))
    np.testing.assert_array_equal(picture[:, :400], frame.rgb_uint8()[:, :400])


def test_a_report_of_a_large_frame_needs_little_memory():
    """All its arrays together are at most twice as large as the frame's colours; at full size they were ten times."""
    frame, hands = plain_frame(3840, 2160), make_hands()
    tracemalloc.start()
    draw_report(frame, hands, FACES)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * frame.rgb.nbytes


@pytest.mark.parametrize("present", [(1, 1), (0, 0)])
@pytest.mark.parametrize("depth", [0.5, 0.0])
def test_report(present, depth):
    picture = draw_report(make_frame(depth), make_hands(present), FACES)
    assert picture.shape == (HEIGHT, WIDTH + WIDTH // 2, 3)


def test_side_view_shows_depth_from_left_to_right():
    """The camera is on the left: a surface behind the hands is right of them, one in front of them left."""
    hands = make_hands()

    def center(picture: np.ndarray, chosen: np.ndarray) -> float:
        return float(np.nonzero(chosen & (picture.max(axis=2) > 60))[1].mean())

    for depth, sign in ((0.53, 1), (0.45, -1)):
        frame = make_frame(depth)
        frame.rgb[:] = np.array([0.2, 0.3, 1.0], np.float32)[:, None, None]  # a blue surface
        picture = draw_side_view(frame, hands, FACES, 300, 300).astype(int)
        blue = picture[..., 2] - picture[..., :2].max(axis=2) > 60
        red_or_green = picture[..., :2].max(axis=2) - picture[..., 2] > 40
        assert blue.any()
        assert red_or_green.any()
        assert sign * (center(picture, blue) - center(picture, red_or_green)) > 0


def test_side_view_shows_measured_points_before_a_mesh_through_it():
    """Points behind the mesh are hardly visible."""
    hands, frame = make_hands((0, 1)), make_frame(0)
    frame.rgb[:] = np.array([0, 0, 1], np.float32)[:, None, None]  # a blue point
    inside = hands.joints[1, [0, 9]].mean(axis=0)  # the palm
    away = 0.06 * np.array([-np.sin(SIDE_ANGLE), 0, np.cos(SIDE_ANGLE)])  # from the side camera, which is at the right
    blue = []
    for point in (inside - away, inside + away):
        frame.depth[:] = 0
        u, v = np.rint(CAMERA.project(point[None])[0]).astype(int)
        frame.depth[v, u] = point[2]
        alone = draw_side_view(frame, replace(hands, present=np.zeros(2)), FACES, 300, 300, [hands])
        picture = draw_side_view(frame, hands, FACES, 300, 300)
        place = alone[..., 2] > 200
        assert place.any()
        assert (picture[place] != alone[place]).any()  # the mesh is there
        blue.append(picture[place].astype(int) @ [0, -1, 1])  # more than green, the hand's colour
    assert blue[0].min() > 150
    assert blue[1].max() < 100


def test_color_depth():
    depth = np.tile(np.linspace(0.4, 1.2, 200, dtype=np.float32), (10, 1))
    depth[0] = 0
    picture = color_depth(depth).astype(int)
    assert (picture[0] < 40).all()
    assert picture[5, 5, 0] > picture[5, 5, 2] + 80  # near: red
    assert picture[5, -5, 2] > picture[5, -5, 0] + 20  # far: blue
    assert (color_depth(np.zeros((4, 5), np.float32)) < 40).all()
    assert color_depth(np.ones((4, 5), np.float32)).shape == (4, 5, 3)


def test_contact_sheet():
    images = [np.full((20, 40, 3), value, np.uint8) for value in (50, 100, 150, 200, 250)]
    sheet = contact_sheet(images, list("abcde"), columns=2, width=80)
    assert sheet.shape == (3 * 44 + 4, 2 * 84 + 4, 3)
    for index, value in enumerate((50, 100, 150, 200, 250)):
        row, column = divmod(index, 2)
        assert abs(int(sheet[4 + row * 44 + 36, 4 + column * 84 + 70, 0]) - value) <= 1
    assert contact_sheet([], []).ndim == 3


def test_picture_sheet():
    sheet = picture_sheet(MODEL, columns=7, width=60)
    assert sheet.shape == (5 * 64 + 4, 7 * 64 + 4, 3)
    tiles = [sheet[4 + r * 64 + 14 : 4 + r * 64 + 60, 4 + c * 64 : 4 + c * 64 + 60] for r in range(5) for c in range(7)]
    assert all(tile.std() > 10 for tile in tiles)  # a hand in each
    assert len({tile.tobytes() for tile in tiles}) == 35  # each a different one


def test_joints_without_meshes_are_drawn_as_skeletons():
    frame = make_frame()
    hands = replace(make_hands((1, 0)), vertices=None)
    plain, picture = frame.rgb_uint8(), draw_overlay(frame, hands, FACES)
    changed = (picture != plain).any(axis=2)
    for side, drawn in enumerate((True, False)):
        pixels = np.rint(CAMERA.project(hands.joints[side])).astype(int).tolist()
        near = [changed[v - 1 : v + 2, u - 1 : u + 2].any() for u, v in pixels]
        assert near == [drawn] * 21
    side_view = draw_side_view(frame, hands, FACES, 300, 300)
    absent = draw_side_view(frame, replace(hands, present=np.zeros(2)), FACES, 300, 300, [hands])
    assert (side_view != absent).any(axis=2).sum() > 100


def test_side_views_around_the_same_hands_show_the_same():
    frame, hands = make_frame(), make_hands()
    away = replace(
        hands,
        vertices=np.asarray(hands.vertices) + np.array([0, 0, 0.1], np.float32),
        joints=hands.joints + np.array([0, 0, 0.1], np.float32),
    )
    absent = replace(hands, present=np.zeros(2))
    own, other, empty = (draw_side_view(frame, one, FACES, 300, 300, [hands, away]) for one in (hands, away, absent))
    hidden = (own != empty).any(axis=2) | (other != empty).any(axis=2)
    assert 0.05 < hidden.mean() < 0.9
    left_of = [np.nonzero((picture != empty).any(axis=2))[1].mean() for picture in (own, other)]
    assert left_of[0] + 20 < left_of[1]  # farther hands are farther from the camera, which is on the left
