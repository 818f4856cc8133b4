"""Sequences of frames: pure functions of seed and index, smooth, with gaps, late depth where it is asked for."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from twohands.synth.acts.performance import CLOSEST_WRISTS, Rise
from twohands.synth.config import FULL, SENSOR_FAMILIES
from twohands.synth.sequence import HandSequence, filmed, render_sequence
from twohands.types import LEFT, RIGHT

SMALL = replace(FULL, width=160, height=120, held=0.0)
SEED = 1


@cache
def sequence() -> HandSequence:
    return render_sequence(SEED, config=SMALL)


@cache
def joints() -> np.ndarray:
    """The joints (300, 2, 21, 3) of the whole sequence; nothing is rendered."""
    return np.array([sequence().staging(index).joints for index in range(300)])


def test_frames_do_not_depend_on_their_order_nor_on_each_other():
    first = sequence()[40]
    alone = render_sequence(SEED, config=SMALL, count=41)[40]
    np.testing.assert_array_equal(first.frame.rgb, alone.frame.rgb)
    np.testing.assert_array_equal(first.frame.depth, alone.frame.depth)
    np.testing.assert_array_equal(first.hands.vertices, alone.hands.vertices)
    assert first.id == "sequence-train-1-000040"


def test_consecutive_frames_differ_by_motion_and_noise_only():
    one, two = sequence()[40], sequence()[41]
    still = ~np.any([one.masks, two.masks], axis=(0, 1))
    change = np.abs(one.frame.rgb - two.frame.rgb).mean(axis=0)
    assert 0 < np.median(change[still]) < 0.03
    assert np.median(change[:12]) < 0.03
    assert (one.frame.depth != two.frame.depth).any()
    np.testing.assert_array_equal(one.frame.camera.K, two.frame.camera.K)
    np.testing.assert_array_equal(one.hands.parameters.shape, two.hands.parameters.shape)


def test_hands_move_smoothly_and_keep_apart():
    steps = np.linalg.norm(np.diff(joints(), axis=0), axis=-1)
    assert 0.005 < steps.max() < 0.04
    assert np.linalg.norm(joints()[:, LEFT, 0] - joints()[:, RIGHT, 0], axis=-1).min() > CLOSEST_WRISTS
    acceleration = np.linalg.norm(np.diff(joints()[:, :, 0], n=2, axis=0), axis=-1) * 30**2
    assert acceleration.max() < 12


def test_hands_cross_each_other_in_the_image():
    camera = sequence().performance.base.view.camera
    roots = camera.project(joints()[:, :, 9].reshape(-1, 3)).reshape(-1, 2, 2)
    order = np.sign(roots[:, RIGHT, 0] - roots[:, LEFT, 0])
    assert {-1.0, 1.0} <= set(order)


def test_each_hand_leaves_the_picture_once_for_about_ten_frames():
    camera = sequence().performance.base.view.camera
    pixels = camera.project(joints().reshape(-1, 3)).reshape(300, 2, 21, 2)
    inside = ((pixels > -0.5) & (pixels < np.array([159.5, 119.5]))).all(axis=-1).any(axis=-1)
    assert ((~inside).sum(axis=0) >= 6).all()
    assert ((~inside).sum(axis=0) <= 16).all()
    index = int(np.median(np.flatnonzero(~inside[:, LEFT])))
    sample = sequence()[index]
    assert sample.hands.present.tolist() == [0.0, float(inside[index, RIGHT])]
    assert sample.masks[LEFT].mean() < 0.003


def test_late_depth_is_that_of_an_earlier_frame():
    noiseless = replace(SMALL, sensor="ideal", cut_out=0.0)
    late, punctual = (render_sequence(SEED, config=noiseless, depth_lag=lag) for lag in (2, 0))
    np.testing.assert_array_equal(late[30].frame.depth, punctual[28].frame.depth)
    np.testing.assert_array_equal(late[30].frame.rgb, punctual[30].frame.rgb)
    assert (late[30].frame.depth != punctual[30].frame.depth).any()
    assert (late[0].frame.depth > 0).any()  # of a time before the first frame


def test_times_and_length():
    frames = render_sequence(3, count=50, rate=15.0)
    assert len(frames) == 50
    assert frames.seconds(30) == 2.0
    with pytest.raises(IndexError):
        frames[50]
    with pytest.raises(ValueError, match="rate"):
        render_sequence(3, rate=0.0)


@pytest.mark.parametrize("family", SENSOR_FAMILIES)
def test_every_depth_camera_films(family):
    sample = render_sequence(SEED, config=replace(SMALL, sensor=family, cut_out=0.0))[0]
    read = sample.frame.depth[sample.masks.any(axis=0)]
    assert (read > 0).mean() > 0.2
    assert abs(np.median(read[read > 0]) - np.median(sample.hands.joints[..., 2])) < 0.15


def test_a_rise_is_smooth_and_repeats():
    rise = Rise(middle=1.0, ramp=0.5, hold=0.2)
    values = np.array([rise(t) for t in np.arange(0, 2, 0.01)])
    assert values.max() == 1
    assert rise(11.0) == 1
    assert rise(0.3) == 0
    assert np.abs(np.diff(values)).max() < 0.01 * 1.9 / 0.5


def test_any_configuration_is_filmed_with_two_hands_near():
    config = filmed(replace(FULL, two_hands=0.0, one_hand=0.0, contact=0.5, distance=(0.9, 1.2)))
    assert config.two_hands == 1
    assert config.contact == 0
    assert config.distance[1] <= 0.8
