"""Sides by what is around a hand: rings of depth, their mirror image, and the shipped network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from twohands.geometry.camera import Camera
from twohands.hands.skeleton import NUM_JOINTS, PALM
from twohands.locate.surroundings import DIRECTIONS, RADII, STEP, SidesBySurroundings, mirrored, surroundings
from twohands.synth.config import FULL
from twohands.synth.engine import SyntheticHands
from twohands.types import LEFT, RIGHT, RGBDFrame, Sample

RINGS = len(RADII) * DIRECTIONS


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Frames in which both hands and the arms are in view, most of each hand visible."""
    frames = SyntheticHands(11, "test", replace(FULL, two_hands=1.0, one_hand=0.0, far=0.0, cut_out=0.0))
    seen = (frames[index] for index in range(12))
    found = [s for s in seen if (np.asarray(s.visible_fraction) > 0.5).all()]
    assert len(found) >= 6
    return found


def straight(turn: float = 0.0) -> np.ndarray:
    """Return joints (21, 3) whose palm is 0.6 m before the camera; the fingers point up, turned by radians."""
    joints = np.zeros((NUM_JOINTS, 3))
    joints[:, 1] = np.linspace(0.06, -0.12, NUM_JOINTS)
    joints -= joints[PALM].mean(axis=0)
    cos, sin = np.cos(turn), np.sin(turn)
    return joints @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + [0, 0, 0.6]


def framed(depth: np.ndarray) -> RGBDFrame:
    height, width = depth.shape
    K = np.array([[500.0, 0, (width - 1) / 2], [0, 500.0, (height - 1) / 2], [0, 0, 1]])
    return RGBDFrame(np.zeros((3, height, width), np.float32), depth.astype(np.float32), Camera(K, width, height))


def test_rings_are_where_they_say():
    """The first place of each ring lies at the fingers, a quarter further on to their right, in metres."""
    depth = np.full((961, 961), 0.6)
    depth[:480] = 0.9  # above the palm in the image
    depth[:, 700:] = 0
    values = surroundings(framed(depth), straight())
    beyond, known = values[:RINGS].reshape(len(RADII), DIRECTIONS), values[RINGS : 2 * RINGS].reshape(len(RADII), -1)
    np.testing.assert_allclose(beyond[:6, 0], min(0.3 / STEP, 2.0), atol=1e-5)
    np.testing.assert_allclose(beyond[:5, DIRECTIONS // 2], 0, atol=1e-5)
    right = DIRECTIONS // 4
    reached = 500 * np.array(RADII) / 0.6 < 219
    np.testing.assert_array_equal(known[:, right] > 0, reached)
    assert (known[:, 3 * right] > 0).tolist() == [True] * 6 + [False]  # the last ring leaves the picture
    np.testing.assert_allclose(values[2 * RINGS :], 0, atol=1e-6)


def test_the_turn_of_the_camera_says_nothing():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.5, 0.8, (31, 31)).repeat(31, axis=0).repeat(31, axis=1)
    upright = surroundings(framed(depth), straight())
    for quarter in (1, 2, 3):
        turned = surroundings(framed(np.rot90(depth, -quarter).copy()), straight(quarter * np.pi / 2))
        same = np.isclose(turned, upright, atol=1e-3)
        assert same.mean() > 0.97  # a place on the border between two blocks may be rounded to either


def test_a_mirrored_frame_has_mirrored_surroundings(samples):
    for sample in samples[:6]:
        frame, joints = sample.frame, np.asarray(sample.hands.joints, float)
        camera = frame.camera
        K = np.array(camera.K, float)
        K[0, 2] = camera.width - 1 - K[0, 2]
        flipped = RGBDFrame(
            frame.rgb[:, :, ::-1].copy(), frame.depth[:, ::-1].copy(), Camera(K, camera.width, camera.height)
        )
        seen = surroundings(frame, joints[0], joints[1])
        image = surroundings(flipped, joints[0] * [-1, 1, 1], joints[1] * [-1, 1, 1])
        assert np.isclose(image, mirrored(seen), atol=2e-3).mean() > 0.97
        np.testing.assert_array_equal(mirrored(mirrored(seen)), seen)


def test_the_shipped_network_tells_sides(samples):
    """Of hands of unseen people; alone, without the colours and without the hand itself, it cannot be sure of all."""
    judge = SidesBySurroundings()
    odds = np.array([judge(s.frame, np.asarray(s.hands.joints, float)) for s in samples])
    told = np.concatenate([odds[:, LEFT] < 0, odds[:, RIGHT] > 0])
    assert told.mean() > 0.8
    unsure = np.abs(odds)[~told.reshape(2, -1).T]
    assert not len(unsure) or np.median(unsure) < np.median(np.abs(odds))
    assert judge(samples[0].frame, np.zeros((0, NUM_JOINTS, 3))).shape == (0,)
    blank = replace(samples[0].frame, depth=np.zeros_like(samples[0].frame.depth))
    alone = judge(blank, np.asarray(samples[0].hands.joints, float)[:1])
    assert abs(alone[0]) < 1.5
