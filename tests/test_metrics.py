"""Metrics on cases solved by hand."""

import dataclasses

import numpy as np
import pytest

from twohands.evaluation import metrics
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


@pytest.mark.parametrize("name", metrics.FRACTIONS)
def test_identical_hands_have_the_full_fraction(name, target):
    np.testing.assert_allclose(metrics.FRACTIONS[name](target, target), 1, atol=1e-9)


def test_the_area_under_the_curve_is_that_of_a_fine_sum(target):
    distances = np.random.default_rng(1).uniform(0, 0.08, (2, 21))
    prediction = dataclasses.replace(target, joints=target.joints + distances[..., None] * [0, 0.6, 0.8])
    thresholds = np.linspace(0, 0.05, 20001)
    curve = (distances[..., None] <= thresholds).mean(axis=1)  # correct joints over thresholds
    np.testing.assert_allclose(metrics.auc(prediction, target), curve.mean(axis=-1), atol=1e-4)


def test_f_score_counts_vertices_near_the_other_mesh(target):
    true = np.zeros((2, 4, 3)) + np.arange(4)[:, None]  # 1 m apart
    found = true.copy()
    found[0, 0, 0] += 0.004
    found[0, 1, 0] += 0.010
    found[1] += [0.02, 0, 0]
    one, other = (dataclasses.replace(target, vertices=vertices) for vertices in (found, true))
    np.testing.assert_allclose(metrics.FRACTIONS["f5"](one, other), [0.75, 0])
    np.testing.assert_allclose(metrics.FRACTIONS["f15"](one, other), [1, 0])
    np.testing.assert_allclose(metrics.FRACTIONS["pa_f5"](one, other)[1], 1)  # a shift is aligned away


def test_f_score_is_the_harmonic_mean_of_precision_and_recall(target):
    true = np.zeros((2, 4, 3)) + np.arange(4)[:, None]
    found = true.copy()
    found[:, 1:] = true[:, :1]  # all points near the first: precision 1, recall 1/4
    one, other = (dataclasses.replace(target, vertices=vertices) for vertices in (found, true))
    np.testing.assert_allclose(metrics.FRACTIONS["f5"](one, other), 2 * 1 * 0.25 / 1.25)


def test_relative_root_error_needs_both_hands(target):
    shift = np.array([[[0.003, 0, 0]], [[0, 0.004, 0]]])
    prediction = moved(target, lambda points: points + shift)
    np.testing.assert_allclose(metrics.mrrpe(prediction, target), 0.005)
    assert np.isnan(metrics.mrrpe(dataclasses.replace(prediction, present=np.array([1.0, 0.0])), target)).all()


def test_acceleration_error_of_a_known_motion():
    seconds = np.arange(6)[:, None, None, None] * 0.1
    still = np.zeros((6, 2, 21, 3))
    moving = still + seconds**2 * [0.0, 0.0, 1.5]  # 3 m/s^2
    np.testing.assert_allclose(metrics.acceleration_error(moving, still, 0.1), 3.0)
    steady = still + seconds * [0.2, 0.0, 0.0]
    np.testing.assert_allclose(metrics.acceleration_error(steady, still, 0.1), 0.0, atol=1e-9)


def test_joints_alone_have_no_mesh_metrics(target):
    bare = dataclasses.replace(target, vertices=None)
    assert np.isnan(metrics.mpvpe(bare, target)).all()
    assert np.isnan(metrics.FRACTIONS["f5"](bare, target)).all()
    assert metrics.mpjpe(bare, target).tolist() == [0, 0]
