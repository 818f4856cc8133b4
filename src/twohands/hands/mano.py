"""MANO (Romero, Tzionas & Black 2017) as a hand model, for users who have its files, and MANO values of data sets.

The package's parameters describe one hand in its wrist frame, mirrored for the left, and a pose relative to the flat
hand. Every other convention of MANO and its users is converted here: axes, the mean pose, principal components, the
origin of the translation, and the left hand's shape basis. The file of that basis has a wrong sign in one axis; some
data sets were annotated with it, some with the repaired one.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle, shortest_turn
from twohands.hands.free import free_hand
from twohands.hands.mano_files import ORDER, Mano, ManoSide, read_mano
from twohands.hands.model import HandModel, pose_features, rotations_from_angles, skin
from twohands.hands.skeleton import (
    ARTICULATED_PARENTS,
    FINGERTIP_VERTICES,
    FINGERTIPS,
    JOINTS_FROM_ARTICULATED,
)
from twohands.types import LEFT, RIGHT, TwoHands

FOLDER_VARIABLE = "TWOHANDS_MANO"
"""Environment variable with the folder of MANO's files."""
_WRIST_FROM_MANO = np.array(
    [
        [[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],  # left: fingers along +x, thumb along +z
        [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]],  # right: fingers along -x, thumb along +z
    ]
)
"""Rotations from MANO's axes to the wrist frame (+z to the fingers, +y dorsal), by side."""
_OUR_FINGERS = [joint - 1 for joint in ORDER[1:]]
_MANO_FINGERS = list(np.argsort(_OUR_FINGERS))


@dataclass(frozen=True)
class Convention:
    """Conventions by which a data set writes MANO values."""

    flat_hand_mean: bool  # a pose of 0 is the flat hand; otherwise the mean pose
    components: int | None = None  # principal components of the pose; None: 45 axis-angle numbers
    left_shape: Literal["raw", "flip_x"] = "flip_x"  # shape basis of the left hand: as in its file, or repaired
    wrist_centred: bool = False  # the translation is that of the wrist joint (manopth with centre 0)
    tips: str = "mano"  # name of the finger-tip vertices, see skeleton.FINGERTIP_VERTICES


@dataclass(frozen=True)
class Values:
    """MANO values of one hand as data sets store them: radians, metres."""

    orientation: np.ndarray  # (3,) axis-angle of the wrist
    pose: np.ndarray  # (45,) axis-angle of the fingers in MANO's order, or (components,) coefficients
    shape: np.ndarray  # (10,)
    translation: np.ndarray  # (3,)


@dataclass(frozen=True)
class PlacedHand:
    """One hand of a data set in the frame of its values, and its parameters in the form of `HandParameters`."""

    vertices: np.ndarray  # (778, 3) metres
    joints: np.ndarray  # (21, 3) metres, finger tips as the data set defines them
    pose: np.ndarray  # (15, 3)
    shape: np.ndarray  # (10,)
    rotation: np.ndarray  # (3,)
    translation: np.ndarray  # (3,)

    def moved(self, T_b_from_a: np.ndarray) -> PlacedHand:
        """Return a hand of frame a in frame b; T_b_from_a (4, 4) rigid, metres."""
        turn, shift = T_b_from_a[:3, :3], T_b_from_a[:3, 3]
        return replace(
            self,
            vertices=self.vertices @ turn.T + shift,
            joints=self.joints @ turn.T + shift,
            rotation=axis_angle_from_matrix(turn @ matrix_from_axis_angle(self.rotation)),
            translation=turn @ self.translation + shift,
        )


@cache
def mano_hand() -> HandModel:
    """Return the float32 model from the folder that TWOHANDS_MANO names; raise FileNotFoundError, ValueError."""
    folder = os.environ.get(FOLDER_VARIABLE)
    if not folder:
        raise FileNotFoundError(
            f"the hand model 'mano' needs its files; download them from https://mano.is.tue.mpg.de and set "
            f"{FOLDER_VARIABLE} to their folder"
        )
    return hand_model(read_mano(folder))


def hand_model(mano: Mano) -> HandModel:
    """Return the right hand in its wrist frame, float32; the left is its mirror image, its shape basis repaired."""
    side, turn = mano.sides[RIGHT], _WRIST_FROM_MANO[RIGHT]
    rest_joints = side.regressor @ side.vertices
    joint_directions = np.einsum("jv,vcs->jcs", side.regressor, side.shape_directions)
    wrist, wrist_directions = rest_joints[0], joint_directions[0]  # the wrist is at the origin for every shape
    both = np.kron(turn, turn).T  # rotations change their axes as A R A^T
    pose_directions = np.einsum("ab,vbjk->vajk", turn, side.pose_directions.reshape(*side.vertices.shape, 15, 9) @ both)
    joints = (rest_joints - wrist) @ turn.T
    vertices = (side.vertices - wrist) @ turn.T
    tips = FINGERTIP_VERTICES["mano"][RIGHT]
    frames = _joint_frames(np.concatenate([joints, vertices[list(tips)]]))
    free = free_hand()
    rest_angles = np.zeros((16, 3), dtype=np.float32)
    rest_angles[1:4] = free.rest_angles[1:4]  # the thumb's angles are relative to its rest pose
    arrays = {
        "rest_vertices": vertices,
        "rest_joints": joints,
        "shape_directions": np.einsum("ab,vbs->vas", turn, side.shape_directions - wrist_directions),
        "joint_directions": np.einsum("ab,jbs->jas", turn, joint_directions - wrist_directions),
        "weights": side.weights,
        "joint_frames": frames,
        "pose_directions": pose_directions.reshape(*vertices.shape, 135),
    }
    return HandModel(
        name="mano",
        right_faces=side.faces,
        tip_vertices=tips,
        rest_angles=rest_angles,
        limits=free.limits,
        **{name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()},
    )


def place(mano: Mano, side: int, values: Values, convention: Convention) -> PlacedHand:
    """Return vertices, joints and parameters of one hand (LEFT or RIGHT) of a data set, float64.

    With the raw basis of the left hand, vertices and joints follow it exactly, and `shape` is the nearest shape of the
    repaired basis. Formulas (2) to (6) of the MANO paper.
    """
    hand = mano.sides[side]
    directions = shape_directions(mano, side, convention.left_shape)
    rotations = matrix_from_axis_angle(finger_pose(hand, values.pose, convention))
    shaped = hand.vertices + directions @ values.shape
    rest_joints = hand.regressor @ shaped
    posed = shaped + hand.pose_directions.reshape(*shaped.shape, 135) @ pose_features(rotations)
    vertices, joints = skin(posed, rest_joints, hand.weights, rotations)
    turn, wrist = matrix_from_axis_angle(np.asarray(values.orientation, dtype=np.float64)), rest_joints[0]
    place_of_wrist = values.translation + (0 if convention.wrist_centred else wrist)
    vertices, joints = ((points - wrist) @ turn.T + place_of_wrist for points in (vertices, joints))
    tips = vertices[list(FINGERTIP_VERTICES[convention.tips][side])]
    axes = _WRIST_FROM_MANO[side]
    return PlacedHand(
        vertices=vertices,
        joints=np.concatenate([joints, tips])[list(JOINTS_FROM_ARTICULATED)],
        pose=finger_pose(hand, values.pose, convention) @ axes.T,
        shape=_shape_in(mano, side, values.shape, convention.left_shape, "flip_x"),
        rotation=axis_angle_from_matrix(turn @ axes.T),
        translation=place_of_wrist,
    )


def with_tips(hands: TwoHands, definition: str) -> TwoHands:
    """Return MANO hands with their finger tips set to mesh vertices; `definition` is a key of FINGERTIP_VERTICES.

    The hand model has the tips `mano` of the right hand on both. Without meshes the joints stay unchanged. Training
    does not use this function: its joint losses compare the model's tips with those of the labels.
    """
    if hands.vertices is None:
        return hands
    joints = np.array(hands.joints)
    for side, tips in enumerate(FINGERTIP_VERTICES[definition]):
        joints[side, list(FINGERTIPS)] = hands.vertices[side, list(tips)]
    return replace(hands, joints=joints)


def values_of(
    mano: Mano,
    side: int,
    pose: np.ndarray,
    shape: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
    convention: Convention,
) -> Values:
    """Return one hand of `HandParameters` as the values that a data set writes, float64: the inverse of `place`.

    pose (15, 3), shape (10,), rotation (3,), translation (3,), as in `PlacedHand`. With few components or the raw basis
    of the left hand the result is the nearest hand that these can represent; its wrist stays in place.
    """
    hand, axes = mano.sides[side], _WRIST_FROM_MANO[side]
    turn = matrix_from_axis_angle(np.asarray(rotation, dtype=np.float64)) @ axes
    shape = _shape_in(mano, side, shape, "flip_x", convention.left_shape)
    fingers = np.asarray(pose, dtype=np.float64) @ axes - (0 if convention.flat_hand_mean else hand.mean_pose)
    if convention.components is None:
        numbers = fingers[_MANO_FINGERS].reshape(45)
    else:
        components = hand.pose_components[: convention.components].reshape(-1, 45)
        numbers = np.linalg.lstsq(components.T, fingers.reshape(45), rcond=None)[0]
    shaped = hand.vertices + shape_directions(mano, side, convention.left_shape) @ shape
    wrist = 0 if convention.wrist_centred else (hand.regressor @ shaped)[0]
    return Values(axis_angle_from_matrix(turn), numbers, shape, translation - wrist)


def shape_directions(mano: Mano, side: int, left_shape: str) -> np.ndarray:
    """Return the shape basis (778, 3, 10) metres in MANO's axes: from the file, or mirrored from the right hand."""
    if side == LEFT and left_shape == "flip_x":
        return mano.sides[RIGHT].shape_directions * np.array([-1.0, 1.0, 1.0])[:, None]
    return mano.sides[side].shape_directions


def finger_pose(hand: ManoSide, pose: np.ndarray, convention: Convention) -> np.ndarray:
    """Return the pose (15, 3) axis-angle relative to the flat hand, in MANO's axes and the package's joint order."""
    pose = np.asarray(pose, dtype=np.float64).reshape(-1)
    if convention.components is not None:
        fingers = np.tensordot(pose, hand.pose_components[: convention.components], axes=1)
    else:
        fingers = pose.reshape(15, 3)[_OUR_FINGERS]
    return fingers if convention.flat_hand_mean else fingers + hand.mean_pose


def _shape_in(mano: Mano, side: int, shape: np.ndarray, given: str, wanted: str) -> np.ndarray:
    """Return the shape (10,) float64 in the basis `wanted` that is nearest to `shape` in the basis `given`."""
    shape = np.asarray(shape, dtype=np.float64)
    if side == RIGHT or given == wanted:
        return shape
    theirs, ours = (shape_directions(mano, side, name).reshape(-1, len(shape)) for name in (given, wanted))
    return np.linalg.lstsq(ours, theirs @ shape, rcond=None)[0]


def _joint_frames(joints: np.ndarray) -> np.ndarray:
    """Return flexion, abduction and twist axes (16, 3, 3): those of the free hand, turned with the bones.

    joints (21, 3): 16 articulated joints and 5 tips in the wrist frame. The axes are taken from the free hand with
    straight fingers and the thumb at rest, as in MANO.
    """
    free = free_hand()
    straight = np.zeros((1, 16, 3), dtype=np.float32)
    straight[0, 1:4] = free.rest_angles[1:4]
    turns = rotations_from_angles(straight[:, 1:] - free.rest_angles[1:], free.joint_frames[1:])
    vertices, posed = skin(free.rest_vertices, free.rest_joints, free.weights, turns[0])
    theirs = np.concatenate([posed, vertices[list(free.tip_vertices)]])
    carried = [np.eye(3)]
    for joint in range(1, 16):
        carried.append(carried[ARTICULATED_PARENTS[joint]] @ turns[0, joint - 1])
    frames = np.empty((16, 3, 3))
    frames[0] = free.joint_frames[0]
    for joint in range(1, 16):
        last = (joint - 1) % 3 == 2
        end = 16 + (joint - 1) // 3 if last else joint + 1
        turn = shortest_turn(theirs[end] - theirs[joint], joints[end] - joints[joint])
        frames[joint] = turn @ carried[joint] @ free.joint_frames[joint]
    return frames
