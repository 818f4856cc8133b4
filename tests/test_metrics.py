"""Metrics on cases solved by hand."""

import dataclasses

import numpy as np
import pytest

from twohands import metrics
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.types import TwoHands


@pytest.fixture
def target() -> TwoHands:
    rng = np.random.default_rng(3)
    return TwoHands(rng.normal(size=(2, 30, 3)) * 0.1, rng.normal(size=(2, 21, 3)) * 0.1, np.ones(2))


def moved(hands: TwoHands, function) -> TwoHands:
    return dataclasses.replace(hands, vertices=function(hands.vertices), joints=function(hands.joints))


@pytest.mark.parametrize("name", metrics.METRICS)
def test_identical_hands_have_no_error(name, target):
    np.testing.assert_allclose(metrics.METRICS[name](target, target), 0, atol=1e-9)


def test_a_shift_is_seen_in_camera_space_only(target):
    prediction = moved(target, lambda points: points + [0.003, 0, 0.004])
    for name, metric in metrics.METRICS.items():
        expected = 0.005 if name in ("mpjpe", "mpvpe") else 0.0
        np.testing.assert_allclose(metric(prediction, target), expected, atol=1e-9, err_msg=name)


def test_one_wrong_joint_counts_one_part_in_21(target):
    joints = target.joints.copy()
    joints[1, 4] += [0.0, 0.021, 0.0]
    prediction = dataclasses.replace(target, joints=joints)
    for metric in (metrics.mpjpe, metrics.al_mpjpe, metrics.wrist_mpjpe):
        np.testing.assert_allclose(metric(prediction, target), [0, 0.001], atol=1e-12)


@pytest.mark.parametrize(("metric", "root"), [(metrics.al_mpjpe, 9), (metrics.wrist_mpjpe, 0)])
def test_a_wrong_root_moves_the_twenty_others(metric, root, target):
    joints = target.joints.copy()
    joints[:, root] += [0.021, 0.0, 0.0]
    prediction = dataclasses.replace(target, joints=joints)
    np.testing.assert_allclose(metric(prediction, target), 0.020, atol=1e-12)


def test_procrustes_removes_similarities_but_not_reflections(target):
    rotation = matrix_from_axis_angle(np.array([0.4, -1.0, 0.7]))
    similar = moved(target, lambda points: 1.3 * points @ rotation.T + [0.1, 0.2, 0.3])
    np.testing.assert_allclose(metrics.pa_mpjpe(similar, target), 0, atol=1e-9)
    np.testing.assert_allclose(metrics.pa_mpvpe(similar, target), 0, atol=1e-9)
    mirrored = moved(target, lambda points: points * [-1, 1, 1])
    assert (metrics.pa_mpjpe(mirrored, target) > 0.01).all()


def test_absent_hands_are_nan(target):
    prediction = dataclasses.replace(target, present=np.array([1.0, 0.2]))
    error = metrics.mpjpe(prediction, target)
    assert error[0] == 0
    assert np.isnan(error[1])


def test_different_meshes_are_refused(target):
    prediction = dataclasses.replace(target, vertices=target.vertices[:, :20])
    with pytest.raises(ValueError, match="20 and 30 vertices"):
        metrics.mpvpe(prediction, target)
