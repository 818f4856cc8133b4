"""Objects that hide the hands which hold them from the camera."""

from __future__ import annotations

import numpy as np

from twohands.hands.skeleton import BONES
from twohands.synth.acts.arms import Arm
from twohands.synth.acts.grasp import Grasp
from twohands.types import LEFT

_REACH, _STEPS = 0.20, 32
"""Metres of a line of sight before the hand that are searched for the object, and points on it."""
_FREE = 0.02
"""Least distance of a held object from the other hand's joints and object, in metres."""
_ALONG_PALM = np.array([0.25, 0.5, 0.75])
_KNUCKLES = np.array([5, 9, 13, 17])
_OUTER_BONES = np.array([bone for bone in BONES if bone[0] != 0])


def hidden_by_object(grasp: Grasp, joints: np.ndarray, arm: Arm, side: int) -> float:
    """Return the fraction of a hand that the object in it hides from the camera; joints (21, 3) metres, camera frame.

    Joints, the middles of the fingers' bones and points of the palm are counted.
    """
    palm = joints[0] + _ALONG_PALM[:, None, None] * (joints[_KNUCKLES] - joints[0])
    points = np.concatenate([joints[1:], joints[_OUTER_BONES].mean(axis=1), palm.reshape(-1, 3)])
    points, lens = _local(points, arm, side), _local(np.zeros(3), arm, side)
    sight = lens - points
    sight = sight / np.linalg.norm(sight, axis=1, keepdims=True)
    along = np.linspace(0.0, _REACH, _STEPS)[:, None, None]
    return float((grasp.solid.distance(points + along * sight).min(axis=0) < 0).mean())


def keeps_off(grasp: Grasp, arm: Arm, side: int, other: Arm, joints: np.ndarray, other_holds: bool) -> bool:
    """Return whether the object keeps off the other arm, its hand's joints (21, 3), and the object in that hand."""
    points = [joints, np.linspace(other.wrist, other.elbow, 8)]
    if other_holds:
        points.append(_mirrored(grasp.shape.vertices, 1 - side) @ other.hand.T + other.wrist)
    return grasp.free_of(_local(np.concatenate(points), arm, side), _FREE)


def _local(points: np.ndarray, arm: Arm, side: int) -> np.ndarray:
    """Return points (*B, 3) of the camera frame in the hand's wrist frame, as if it were a right hand."""
    return _mirrored((points - arm.wrist) @ arm.hand, side)


def _mirrored(points: np.ndarray, side: int) -> np.ndarray:
    return points * [-1.0 if side == LEFT else 1.0, 1.0, 1.0]
