"""The fit: exact Jacobians, and known hands recovered from rendered depth."""

import numpy as np

from twohands.fitting.articulation import HandState, RightHand
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.free import free_hand, pose_prior
from twohands.types import RIGHT


def random_state(hand: RightHand, seed: int) -> HandState:
    rng = np.random.default_rng(seed)
    return HandState(
        matrix_from_axis_angle(rng.normal(size=3)),
        rng.normal(size=3) * 0.1 + [0, 0, 0.5],
        hand.pose_mean + rng.normal(size=22) * 0.2,
        rng.normal(size=hand.num_shape),
    )


def right_hand() -> RightHand:
    return RightHand(free_hand(), pose_prior(), np.random.default_rng(0).normal(size=(21, 3)) * 0.01)


def test_jacobian_equals_finite_differences():
    hand = right_hand()
    state = random_state(hand, 1)
    rows = np.concatenate([np.arange(0, hand.num_vertices, 7), hand.joint_rows, hand.landmark_rows])
    rig = hand.rig(state)
    exact = hand.jacobian(rig, rows, hand.points(rig, rows))
    for unknown in range(hand.num_unknowns):
        step = np.zeros(hand.num_unknowns)
        step[unknown] = 1e-6
        ahead, behind = (hand.points(hand.rig(state.moved(sign * step)), rows) for sign in (1, -1))
        np.testing.assert_allclose(exact[..., unknown], (ahead - behind) / 2e-6, atol=1e-8, err_msg=str(unknown))


def test_the_rig_is_the_hand_model():
    hand, model = right_hand(), free_hand()
    state = random_state(hand, 2)
    parameters = model.neutral().map(lambda array: array.astype(np.float64))
    parameters.pose[RIGHT] = hand.axis_angles(state.angles)
    parameters.shape[RIGHT] = state.shape
    parameters.rotation[RIGHT] = axis_angle_from_matrix(state.rotation)
    parameters.translation[RIGHT] = state.translation
    hands, rig = model(parameters), hand.rig(state)
    np.testing.assert_allclose(hand.points(rig, hand.surface), hands.vertices[RIGHT], atol=1e-7)
    np.testing.assert_allclose(hand.points(rig, hand.joint_rows), hands.joints[RIGHT], atol=1e-7)
