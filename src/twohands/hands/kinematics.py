"""Fit a right hand of any hand model to positions by Gauss-Newton with the analytic Jacobian of its skinning.

The unknowns are the parameters themselves: rotation and translation of the wrist, the axis-angles of all 15 finger
joints, and the shape. `fitting.articulation` has the smaller set of anatomical angles, for fits to images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from twohands.geometry.transforms import IDENTITY, axis_angle_from_matrix, cross_matrix, matrix_from_axis_angle
from twohands.hands.model import HandModel, pose_features
from twohands.hands.skeleton import ARTICULATED_PARENTS

ROTATION, TRANSLATION, POSE, SHAPE = slice(0, 3), slice(3, 6), slice(6, 51), slice(51, None)
"""Places of the unknowns in a step and in the columns of a Jacobian."""
BOUNDS = ((ROTATION, 0.5), (TRANSLATION, 0.1), (POSE, 0.5), (SHAPE, 2.0))
"""Largest change of one unknown in one step."""
POSE_DEVIATIONS = (1.5, 0.7, 0.7)
"""Standard deviations of flexion, abduction and twist from the rest pose, radians; wide, they matter where nothing
else fixes an angle. Those of the shape are 1."""
SETTLED = 1e-3
"""A step that lowers the energy by a smaller fraction is the last one."""
_PARENTS = np.maximum(ARTICULATED_PARENTS, 0)


@dataclass(frozen=True)
class OneHand:
    """Parameters of one right hand."""

    rotation: np.ndarray  # (3, 3) camera from wrist
    translation: np.ndarray  # (3,) metres
    pose: np.ndarray  # (15, 3) axis-angle, radians
    shape: np.ndarray  # (S,) standard deviations

    def moved(self, step: np.ndarray) -> OneHand:
        """Return the hand after `step` (51 + S,): rotation about the camera's axes, translation, pose, shape."""
        return OneHand(
            matrix_from_axis_angle(step[ROTATION]) @ self.rotation,
            self.translation + step[TRANSLATION],
            self.pose + step[POSE].reshape(15, 3),
            self.shape + step[SHAPE],
        )


@dataclass(frozen=True)
class Pull:
    """Places on a hand that are drawn to positions; the energy is the sum of d^T metric d over the differences d."""

    places: sparse.csr_array  # (N, V + 16): each place as a mixture of vertices and joints
    positions: np.ndarray  # (N, 3) metres
    metrics: np.ndarray  # (N, 3, 3) inverse covariances


@dataclass(frozen=True)
class Skinned:
    """A posed hand in the wrist frame, with the parts of its skinning; P = V + 16 points."""

    carried: np.ndarray  # (P, 16, 3): part of each joint in each point, times its weight
    blended: np.ndarray  # (P, 3, 3) weighted rotations
    local: np.ndarray  # (15, 3, 3) rotations of the finger joints in their parents
    turned: np.ndarray  # (16, 3, 3) rotations of the joints
    pivots: np.ndarray  # (16, 3) places of the joints
    pivot_directions: np.ndarray  # (16, 3, S) change of these places with the shape

    @property
    def points(self) -> np.ndarray:
        """(P, 3) metres."""
        return self.carried.sum(axis=1)


class Kinematics:
    """Everything of a hand model that a fit needs, float64. Its points are the V vertices, then the 16 joints."""

    def __init__(self, model: HandModel):
        """Take a hand model of NumPy arrays."""
        self.num_vertices, self.num_shape = len(model.rest_vertices), model.num_shape
        self.weights = np.concatenate([model.weights, np.eye(16)[_PARENTS]]).astype(np.float64)
        self.rest = np.concatenate([model.rest_vertices, model.rest_joints]).astype(np.float64)
        self.directions = np.concatenate([model.shape_directions, model.joint_directions]).astype(np.float64)
        self.pose_directions = None  # (15, 3 V, 9)
        if model.pose_directions is not None:
            by_vertex = model.pose_directions.astype(np.float64).reshape(-1, 15, 9)
            self.pose_directions = np.ascontiguousarray(np.moveaxis(by_vertex, 1, 0))
        frames = np.asarray(model.joint_frames[1:], dtype=np.float64)
        of_joints = frames @ np.diag(np.array(POSE_DEVIATIONS) ** -2.0) @ np.swapaxes(frames, 1, 2)
        self.precision = np.diag(np.repeat([0.0, 1.0], [51, self.num_shape]))  # of the priors
        for joint in range(15):
            own = slice(6 + 3 * joint, 9 + 3 * joint)
            self.precision[own, own] = of_joints[joint]

    def neutral(self) -> OneHand:
        """Return the rest pose of the mean shape, its wrist at the origin."""
        return OneHand(np.eye(3), np.zeros(3), np.zeros((15, 3)), np.zeros(self.num_shape))

    def points(self, hand: OneHand) -> np.ndarray:
        """Return vertices and joints (V + 16, 3), metres, camera frame."""
        return self._skinned(hand).points @ hand.rotation.T + hand.translation

    def points_and_jacobian(self, hand: OneHand) -> tuple[np.ndarray, np.ndarray]:
        """Return the points (V + 16, 3) and their derivatives (V + 16, 3, 51 + S) by rotation to shape."""
        skinned = self._skinned(hand)
        points = skinned.points @ hand.rotation.T + hand.translation
        jacobian = np.zeros((len(points), 3, 51 + self.num_shape))
        jacobian[:, :, ROTATION] = -cross_matrix(points - hand.translation)
        jacobian[:, :, TRANSLATION] = np.eye(3)
        rates = left_jacobian(hand.pose)
        jacobian[:, :, POSE] = self._turning(skinned, rates, hand.rotation)
        world = hand.rotation @ skinned.blended
        if self.pose_directions is not None:
            features = cross_matrix(np.swapaxes(rates, 1, 2)) @ skinned.local[:, None]  # (15, 3 unknowns, 3, 3)
            bulge = self.pose_directions @ np.swapaxes(features.reshape(15, 3, 9), 1, 2)  # (15, 3 V, 3 unknowns)
            bulge = np.moveaxis(bulge.reshape(15, -1, 3, 3), 0, 2).reshape(-1, 3, 45)
            jacobian[: self.num_vertices, :, POSE] += world[: self.num_vertices] @ bulge
        offsets = skinned.pivot_directions - skinned.turned @ self.directions[self.num_vertices :]
        shifted = np.tensordot(self.weights, offsets, axes=1)
        jacobian[:, :, SHAPE] = world @ self.directions + hand.rotation @ shifted
        return points, jacobian

    def _skinned(self, hand: OneHand) -> Skinned:
        rest, local = self.rest + self.directions @ hand.shape, matrix_from_axis_angle(hand.pose)
        joints, directions = rest[self.num_vertices :], self.directions[self.num_vertices :]
        if self.pose_directions is not None:
            features = pose_features(local).reshape(15, 9, 1)
            rest[: self.num_vertices] += (self.pose_directions @ features).sum(axis=0).reshape(-1, 3)
        turned, pivots, moved = np.empty((16, 3, 3)), np.empty((16, 3)), np.empty(directions.shape)
        turned[0], pivots[0], moved[0] = np.eye(3), joints[0], directions[0]
        for joint, parent in enumerate(ARTICULATED_PARENTS[1:], start=1):
            pivots[joint] = pivots[parent] + turned[parent] @ (joints[joint] - joints[parent])
            moved[joint] = moved[parent] + turned[parent] @ (directions[joint] - directions[parent])
            turned[joint] = turned[parent] @ local[joint - 1]
        offsets = pivots - (turned @ joints[..., None])[..., 0]
        carried = (np.tensordot(rest, turned, axes=(1, 2)) + offsets) * self.weights[..., None]
        blended = (self.weights @ turned.reshape(16, 9)).reshape(-1, 3, 3)
        return Skinned(carried, blended, local, turned, pivots, moved)

    def _turning(self, skinned: Skinned, rates: np.ndarray, rotation: np.ndarray) -> np.ndarray:
        """Return the derivatives (V + 16, 3, 45) by the pose without its effect on the rest hand, camera frame."""
        arms = skinned.carried[:, 1:].reshape(-1, 5, 3, 3).copy()
        fractions = self.weights[:, 1:].reshape(-1, 5, 3).copy()
        for part in (1, 0):  # a joint moves its own part and everything beyond it
            arms[:, :, part] += arms[:, :, part + 1]
            fractions[:, :, part] += fractions[:, :, part + 1]
        arms = arms.reshape(-1, 15, 3) - fractions.reshape(-1, 15, 1) * skinned.pivots[1:]
        arms = arms @ rotation.T
        axes = np.swapaxes(rotation @ skinned.turned[_PARENTS[1:]] @ rates, 1, 2)  # (15, 3 unknowns, 3)
        motion = np.cross(axes[None], arms[:, :, None])  # (V + 16, 15, 3 unknowns, 3)
        return np.moveaxis(motion, -1, 1).reshape(len(arms), 3, 45)


def draw_to(kinematics: Kinematics, start: OneHand, pulls: Sequence[Pull], steps: int) -> OneHand:
    """Return the hand of least energy of the pulls and of the priors on pose and shape, by damped Gauss-Newton."""
    hand, damping = start, 1e-3
    energy, matrix, vector = _equations(kinematics, hand, pulls)
    for _ in range(steps):
        damped = matrix + np.diag(np.diag(matrix) * damping + 1e-9)
        tried = hand.moved(_clamped(np.linalg.solve(damped, -vector)))
        lower, *equations = _equations(kinematics, tried, pulls)
        if lower >= energy:
            damping *= 10
            continue
        settled = energy - lower < SETTLED * energy
        hand, energy, damping = tried, lower, damping * 0.1
        matrix, vector = equations
        if settled:
            break
    return hand


def turn_bones(kinematics: Kinematics, chosen: np.ndarray, places: np.ndarray) -> OneHand:
    """Return the hand of mean shape with every bone turned as its skin turns, in the least-squares sense (Kabsch).

    The vertices `chosen` (N,) go to places (N, 3); their skinning weights are the weights of the sums.
    """
    weights, rest = kinematics.weights[chosen], kinematics.rest[chosen]
    total = np.maximum(weights.sum(axis=0), 1e-9)[:, None]
    before, after = weights.T @ rest / total, weights.T @ places / total  # (16, 3)
    moments = np.einsum("nj,na,nb->jab", weights, places, rest, optimize=True)
    u, _, vt = np.linalg.svd(moments - total[..., None] * after[:, :, None] * before[:, None])
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    turned = u @ vt
    pose = axis_angle_from_matrix(np.swapaxes(turned[_PARENTS], 1, 2) @ turned)[1:]
    return OneHand(turned[0], after[0] - turned[0] @ before[0], pose, np.zeros(kinematics.num_shape))


def selection(chosen: np.ndarray, count: int) -> sparse.csr_array:
    """Return the matrix (N, count) that takes the points with the numbers `chosen` (N,)."""
    ones = np.ones(len(chosen))
    return sparse.csr_array((ones, (np.arange(len(chosen)), chosen)), shape=(len(chosen), count))


def plane_metrics(normals: np.ndarray, deviation: float, slip: float) -> np.ndarray:
    """Return metrics (N, 3, 3) of a `Pull` along unit normals (N, 3); sliding across them weighs slip^2 of that."""
    along = normals[:, :, None] * normals[:, None, :]
    return ((1 - slip**2) * along + slip**2 * np.eye(3)) / deviation**2


def left_jacobian(axis_angle: np.ndarray) -> np.ndarray:
    """Return J (N, 3, 3) of rotations p (N, 3) with exp(p + d) = exp(J d) exp(p) for small d."""
    squared = (axis_angle * axis_angle).sum(axis=1)[:, None, None]
    small = squared < 1e-6
    safe = np.where(small, 1.0, squared)
    angle = np.sqrt(safe)
    first = np.where(small, 0.5 - squared / 24, (1 - np.cos(angle)) / safe)
    second = np.where(small, 1 / 6 - squared / 120, (angle - np.sin(angle)) / (safe * angle))
    generator = cross_matrix(axis_angle)
    return np.array(IDENTITY) + first * generator + second * (generator @ generator)


def _equations(kinematics: Kinematics, hand: OneHand, pulls: Sequence[Pull]) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the energy, and matrix (U, U) and vector (U,) of the normal equations matrix @ step = -vector."""
    points, jacobian = kinematics.points_and_jacobian(hand)
    size = jacobian.shape[-1]
    unknowns = np.concatenate([np.zeros(6), hand.pose.reshape(-1), hand.shape])
    matrix, vector = kinematics.precision.copy(), kinematics.precision @ unknowns
    energy = float(unknowns @ vector)
    for pull in pulls:
        away = (pull.places @ points - pull.positions)[..., None]  # (N, 3, 1)
        rows = (pull.places @ jacobian.reshape(len(points), -1)).reshape(-1, 3, size)
        weighted = (pull.metrics @ rows).reshape(-1, size)
        matrix += weighted.T @ rows.reshape(-1, size)
        vector += weighted.T @ away.reshape(-1)
        energy += float((away * (pull.metrics @ away)).sum())
    return energy, matrix, vector


def _clamped(step: np.ndarray) -> np.ndarray:
    """Return the step with each of its parts shortened to BOUNDS."""
    step = step.copy()
    for part, bound in BOUNDS:
        step[part] *= min(1.0, bound / max(float(np.abs(step[part]).max(initial=0.0)), 1e-12))
    return step
