"""The coordinates of a hand that are filtered: position and rotation of the wrist, and the pose of the fingers."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from twohands.types import HandParameters, TwoHands

PLACE, TURN, POSE = slice(0, 3), slice(3, 7), slice(7, 52)
"""Translation in metres, quaternion xyzw, axis-angles of the fingers in radians."""
COUNT = 52


def by_group(place: float, turn: float, pose: float) -> np.ndarray:
    """Return an array (COUNT,) with one value for each group of coordinates."""
    return np.repeat([place, turn, pose], [3, 4, 45])


DEVIATION = by_group(0.004, 0.02, 0.10)
"""Usual standard deviation of a frame alone from its neighbours."""
ACCELERATION = by_group(1.2, 1.0, 5.0)
"""Random acceleration: metres, units of the quaternion, and radians, a second^1.5."""
SPEED = by_group(0.5, 2.0, 5.0)
"""Standard deviation of the velocities of hands that are seen for the first time."""


def coordinates(parameters: HandParameters, side: int, near: np.ndarray | None = None) -> np.ndarray:
    """Return the coordinates (COUNT,) of a hand; of the two quaternions of its rotation the one nearer to `near`."""
    turn = Rotation.from_rotvec(np.asarray(parameters.rotation[side], float)).as_quat()
    if near is not None and turn @ near[TURN] < 0:
        turn = -turn
    pose = np.asarray(parameters.pose[side], float).ravel()
    return np.concatenate([np.asarray(parameters.translation[side], float), turn, pose])


def with_coordinates(hands: TwoHands, side: int, values: np.ndarray, shape: np.ndarray) -> HandParameters:
    """Return the parameters of hands with those of one side replaced: values (COUNT,), shape (S,)."""
    assert hands.parameters is not None
    old = hands.parameters.map(lambda array: np.array(array, dtype=np.float32))
    turn = values[TURN] / max(float(np.linalg.norm(values[TURN])), 1e-9)
    old.translation[side], old.rotation[side] = values[PLACE], Rotation.from_quat(turn).as_rotvec()
    old.pose[side], old.shape[side] = values[POSE].reshape(15, 3), shape
    return old
