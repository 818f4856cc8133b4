"""`HandModel` turns shape and pose into two hand meshes: linear blend skinning of a right hand, mirrored for the left.

Wrist frame: origin at the wrist joint, +z to the fingers, +y dorsal; +x is radial on the right hand and ulnar on the
left one. The same code runs on NumPy arrays and on torch tensors: a model of tensors is `model.map(torch.as_tensor)`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from twohands.geometry.record import Array, TensorRecord
from twohands.geometry.transforms import IDENTITY, axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.skeleton import ARTICULATED_PARENTS, JOINTS_FROM_ARTICULATED
from twohands.types import HandParameters, TwoHands


@dataclass(frozen=True)
class HandModel(TensorRecord):
    """A right hand of V vertices and 16 joints that can be shaped (S components) and posed."""

    name: str
    rest_vertices: Array  # (V, 3) metres, wrist frame
    rest_joints: Array  # (16, 3) metres
    shape_directions: Array  # (V, 3, S) metres per standard deviation
    joint_directions: Array  # (16, 3, S) metres per standard deviation
    weights: Array  # (V, 16) skinning weights, rows sum to 1
    right_faces: Array  # (F, 3) outward
    tip_vertices: tuple[int, ...]  # 5 finger tips, thumb to little
    joint_frames: Array  # (16, 3, 3), columns: flexion, abduction and twist axis in the rest pose
    rest_angles: Array  # (16, 3) flexion, abduction, twist of the rest pose, radians
    limits: Array  # (16, 3, 2) smallest and largest anatomical angle, radians
    pose_directions: Array | None = None  # (V, 3, 135) metres per entry of the 15 finger rotations less the identity

    @property
    def num_shape(self) -> int:
        """Number of shape components."""
        return self.shape_directions.shape[-1]

    @property
    def faces(self) -> Array:
        """(2, F, 3) outward triangles of the left and the right hand: the same vertices, in reversed order."""
        xp = array_namespace(self.right_faces)
        return xp.stack([xp.flip(self.right_faces, axis=-1), self.right_faces])

    def __call__(self, parameters: HandParameters) -> TwoHands:
        """Return two meshes (*B, 2, V, 3) and their 21 joints (*B, 2, 21, 3); metres, camera frame."""
        xp = array_namespace(parameters.pose)
        rotations = matrix_from_axis_angle(_mirror_left_axes(parameters.pose))  # (*B, 2, 15, 3, 3), right-hand axes
        rest_vertices = self.rest_vertices + _combine(self.shape_directions, parameters.shape)
        rest_joints = self.rest_joints + _combine(self.joint_directions, parameters.shape)
        if self.pose_directions is not None:
            rest_vertices = rest_vertices + _combine(self.pose_directions, pose_features(rotations))
        vertices, joints = skin(rest_vertices, rest_joints, self.weights, rotations)
        tips = xp.take(vertices, xp.asarray(self.tip_vertices, device=vertices.device), axis=-2)
        order = xp.asarray(JOINTS_FROM_ARTICULATED, device=vertices.device)
        joints = xp.take(xp.concat([joints, tips], axis=-2), order, axis=-2)
        placed = [_place(_mirror_left_points(points), parameters) for points in (vertices, joints)]
        present = xp.ones_like(parameters.translation[..., 0])
        return TwoHands(placed[0], placed[1], present, parameters)

    def pose_from_angles(self, angles: Array) -> Array:
        """Return the pose (*B, 2, 15, 3) of anatomical angles (*B, 2, 16, 3) radians (flexion, abduction, twist; 0 is a
        straight finger in the palm's plane, the thumb is relative to its rest pose). The wrist's row is not used.
        """
        rotation = rotations_from_angles(angles[..., 1:, :] - self.rest_angles[1:], self.joint_frames[1:])
        return _mirror_left_axes(axis_angle_from_matrix(rotation))

    def neutral(self, batch: tuple[int, ...] = ()) -> HandParameters:
        """Return parameters of the rest pose, the mean shape and wrists at the origin of the camera frame."""
        xp = array_namespace(self.rest_vertices)
        kwargs = {"dtype": self.rest_vertices.dtype, "device": self.rest_vertices.device}
        sizes = ((15, 3), (self.num_shape,), (3,), (3,))
        return HandParameters(*(xp.zeros((*batch, 2, *size), **kwargs) for size in sizes))


def pose_features(rotations: Array) -> Array:
    """Return finger rotations (*B, 15, 3, 3) minus the identity as (*B, 135), row by row."""
    xp = array_namespace(rotations)
    identity = xp.asarray(IDENTITY, dtype=rotations.dtype, device=rotations.device)
    return xp.reshape(rotations - identity, (*rotations.shape[:-3], 135))


def skin(rest_vertices: Array, rest_joints: Array, weights: Array, rotations: Array) -> tuple[Array, Array]:
    """Return posed vertices (*B, V, 3) and joints (*B, 16, 3) by linear blend skinning in the wrist frame, metres.

    rest_vertices (*B, V, 3) and rest_joints (*B, 16, 3) metres, weights (V, 16), rotations (*B, 15, 3, 3) of the finger
    joints about themselves.
    """
    xp = array_namespace(rest_vertices)
    identity = xp.asarray(IDENTITY, dtype=rotations.dtype, device=rotations.device)
    identity = identity + xp.zeros_like(rotations[..., 0, :, :])
    turned, moved = [identity], [rest_joints[..., 0, :]]
    for joint, parent in enumerate(ARTICULATED_PARENTS[1:], start=1):
        bone = rest_joints[..., joint, :] - rest_joints[..., parent, :]
        moved.append(moved[parent] + (turned[parent] @ bone[..., None])[..., 0])
        turned.append(turned[parent] @ rotations[..., joint - 1, :, :])
    joint_rotations = xp.stack(turned, axis=-3)  # (*B, 16, 3, 3), wrist frame
    joints = xp.stack(moved, axis=-2)  # (*B, 16, 3)
    offsets = joints - (joint_rotations @ rest_joints[..., None])[..., 0]
    flat = xp.reshape(joint_rotations, (*joint_rotations.shape[:-2], 9))
    blended = xp.reshape(weights @ flat, (*flat.shape[:-2], weights.shape[0], 3, 3))
    return (blended @ rest_vertices[..., None])[..., 0] + weights @ offsets, joints


def rotations_from_angles(angles: Array, frames: Array) -> Array:
    """Return rotations (*B, J, 3, 3) by angles from rest (*B, J, 3) radians about the columns of frames (J, 3, 3).

    Abduction is applied last, twist first: R = R_abduction R_flexion R_twist.
    """
    flexion, abduction, twist = (matrix_from_axis_angle(angles[..., k, None] * frames[..., :, k]) for k in range(3))
    return abduction @ flexion @ twist


def mirrored(parameters: HandParameters) -> HandParameters:
    """Return both hands mirrored in the plane x = 0: the left hand becomes the right one and vice versa."""
    xp = array_namespace(parameters.pose)
    x = xp.asarray([-1.0, 1.0, 1.0], dtype=parameters.pose.dtype, device=parameters.pose.device)
    return HandParameters(
        pose=xp.flip(parameters.pose * -x, axis=-3),
        shape=xp.flip(parameters.shape, axis=-2),
        rotation=xp.flip(parameters.rotation * -x, axis=-2),
        translation=xp.flip(parameters.translation * x, axis=-2),
    )


def _mirror_left_axes(axis_angle: Array) -> Array:
    """Convert rotations (*B, 2, N, 3) between a hand's own axes and right-hand axes: M R M with M = diag(-1, 1, 1)."""
    xp = array_namespace(axis_angle)
    signs = xp.asarray(np.array([[[1, -1, -1]], [[1, 1, 1]]]), dtype=axis_angle.dtype, device=axis_angle.device)
    return axis_angle * signs


def _mirror_left_points(points: Array) -> Array:
    """Convert points (*B, 2, N, 3) between right-hand axes and each hand's own: x of the left hand changes sign."""
    xp = array_namespace(points)
    signs = xp.asarray(np.array([[[-1, 1, 1]], [[1, 1, 1]]]), dtype=points.dtype, device=points.device)
    return points * signs


def _combine(directions: Array, shape: Array) -> Array:
    """Return the sum of directions (V, 3, S) weighted by shape (*B, S), (*B, V, 3); metres."""
    xp = array_namespace(shape)
    return xp.tensordot(shape, directions, axes=((-1,), (-1,)))


def _place(points: Array, parameters: HandParameters) -> Array:
    """Move points (*B, 2, N, 3) from the wrist frame to the camera frame."""
    xp = array_namespace(points)
    rotation = matrix_from_axis_angle(parameters.rotation)
    return points @ xp.matrix_transpose(rotation) + parameters.translation[..., None, :]
