"""Checks of labelled hands: known faults of known hands are found, and correct hands raise nothing."""

from dataclasses import replace

import numpy as np
import pytest

from fakes import PosedHands
from twohands.data.hand_checks import (
    EXPLANATIONS,
    FACTORS,
    View,
    check_order,
    check_sides,
    check_unit,
    fit,
    handedness,
    wrong_bones,
)
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands import free_hand
from twohands.hands.skeleton import JOINT_ORDERS
from twohands.types import LEFT, RIGHT

SEED = 3


def bent_hands(count=12):
    """Return joints (21, 3) and rotations by (index, side), of hands with fingers bent at random within limits."""
    rng, model = np.random.default_rng(SEED), free_hand()
    joints, turns = {}, {}
    for index in range(count):
        angles = model.limits[..., 0] + rng.uniform(0.2, 0.8, (2, 16, 3)) * np.ptp(model.limits, axis=-1)
        parameters = replace(
            model.neutral(),
            pose=model.pose_from_angles(angles.astype(np.float32)),
            rotation=rng.normal(size=(2, 3)).astype(np.float32),
            shape=rng.normal(size=(2, model.num_shape)).astype(np.float32),
        )
        hands = model(parameters)
        for side in (LEFT, RIGHT):
            joints[index, side] = hands.joints[side].astype(np.float64)
            turns[index, side] = matrix_from_axis_angle(parameters.rotation[side])
    return joints, turns


@pytest.mark.parametrize("factor", FACTORS)
def test_hands_in_another_unit(factor):
    hands = list(bent_hands()[0].values())
    assert check_unit(hands) == ([], 1.0)
    (finding,), found = check_unit([factor * joints for joints in hands])
    assert found == factor
    assert f"divide them by {factor:g}" in finding.text


@pytest.mark.parametrize("name", JOINT_ORDERS)
def test_joints_in_another_order(name):
    hands = list(bent_hands()[0].values())
    assert check_order(hands) == []
    theirs = [joints[np.argsort(JOINT_ORDERS[name])] for joints in hands]
    np.testing.assert_array_equal(theirs[0][list(JOINT_ORDERS[name])], hands[0])
    (finding,) = check_order(theirs)
    assert name in finding.text


def test_joints_in_no_known_order():
    order = np.random.default_rng(SEED).permutation(21)
    (finding,) = check_order([joints[order] for joints in bent_hands()[0].values()])
    assert "unknown order" in finding.text


def test_one_bone_of_a_hand_that_is_too_long():
    (joints, *_) = bent_hands()[0].values()
    assert wrong_bones(joints) == 0
    joints[8] = joints[7] + [0.2, 0, 0]
    assert wrong_bones(joints) == 1 / 20


@pytest.mark.parametrize("with_mesh", [True, False])
def test_left_and_right_swapped(with_mesh):
    joints, turns = bent_hands()
    given = turns if with_mesh else {}
    assert check_sides(joints, given) == []
    swapped = [{(index, 1 - side): value for (index, side), value in hands.items()} for hands in (joints, given)]
    (finding,) = check_sides(*swapped)
    assert ("palm's normal" in finding.text) == with_mesh
    assert check_sides(dict(list(swapped[0].items())[:2]), {}) == []  # two hands are not enough


def test_a_mirror_changes_the_hand():
    joints, _ = bent_hands(1)
    assert handedness(joints[0, RIGHT]) > 0.2
    np.testing.assert_allclose(handedness(joints[0, RIGHT] * [-1, 1, 1]), -handedness(joints[0, RIGHT]))


def test_the_fit_counts_joints_on_the_surface():
    sample = PosedHands()[0]
    view = View(sample.hands.joints[LEFT].astype(np.float64), sample.frame.depth, sample.frame.camera)
    assert fit(view) > 0.8
    for shift in ([0, 0, 0.1], [0, 0, -0.1], [1.0, 0, 0], [0, 0, -2.0]):
        assert fit(replace(view, joints=view.joints + shift)) == 0
    nothing = replace(view, depth=np.zeros_like(view.depth))
    assert fit(nothing) == 1  # all in the image
    assert fit(replace(nothing, joints=view.joints + [1.0, 0, 0])) == 0
    one = view.joints.copy()
    one[4:] += [1.0, 0, 0]
    assert fit(replace(view, joints=one)) == pytest.approx(4 / 21)


def test_an_explanation_undoes_its_fault():
    """Each explanation but the units is its own inverse; "10 times" undoes a factor of 10."""
    sample = PosedHands()[1]
    view = View(sample.hands.joints[LEFT].astype(np.float64), sample.frame.depth, sample.frame.camera)
    for cause in EXPLANATIONS:
        if cause.kind != "depth unit":
            twice = cause.undo(cause.undo(view))
            np.testing.assert_array_equal(twice.joints, view.joints)
            np.testing.assert_array_equal(twice.depth, view.depth)
            np.testing.assert_array_equal(twice.camera.K, view.camera.K)
    (ten,) = (cause for cause in EXPLANATIONS if "is 10 times" in cause.text)
    np.testing.assert_allclose(ten.undo(replace(view, depth=10 * view.depth)).depth, view.depth, rtol=1e-6)
