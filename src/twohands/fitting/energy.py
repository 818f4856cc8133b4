"""The energy of a fitted hand and its Gauss-Newton equations.

The energy is the sum of squared residuals, each divided by its standard deviation (metres, radians). Its terms: image
landmarks (distance from the joint to the landmark's ray), relative landmarks (bone directions, up to one common
rotation), measured depth at the landmarks (only while no points are used), depth points (point to tangent plane, slip
at a lower weight), pose prior, joint limits, shape prior. Landmarks and points are robust (Geman-McClure), so points on
objects and on the other hand lose their influence. Sizes: U = 28 + S unknowns (see `articulation`), S shape components.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.fitting.articulation import ANGLES, NUM_DOFS, SHAPE, Rig, RightHand
from twohands.fitting.evidence import BASES, PALM_POINTS, HandEvidence
from twohands.hands.skeleton import BONES

PARENT, CHILD = np.array(BONES).T
OUTLINE = 0.3
"""Cosine of the angle between normal and viewing ray below which a point of the surface is at the hand's outline."""


@dataclass(frozen=True)
class EnergyConfig:
    """Standard deviations and robust scales; metres and radians."""

    landmark: float = 0.005
    landmark_outlier: float = 0.03
    """Distance at which a landmark has a quarter of its weight left; likewise for the other `_outlier` values."""
    bone_direction: float = 0.5
    landmark_depth: float = 0.008
    landmark_depth_outlier: float = 0.025
    landmark_depth_occluder: float = 0.012
    """`landmark_depth_outlier` for readings in front of the joint: an occluder is likelier than a hole in the hand."""
    joint_depth: float = 0.010
    """Typical distance of a joint behind the skin that the camera sees."""
    point: float = 0.004
    point_outlier: float = 0.012
    slip: float = 0.1
    """Weight of sliding along the surface (its square enters the energy), relative to leaving the surface."""
    beside: float = 0.3
    """Weight of clear landmarks where a network predicts the joints as well. The network has read the landmarks; it
    learned how far to trust them on rendered pictures, on which they are worse than on photographs."""
    joint: float = 1.5
    """Factor on the sigma of joints that a network predicts."""
    joint_outlier: float = 4.0
    """Distance in sigmas at which a predicted joint has a quarter of its weight left, once depth points are used."""
    joint_start: float = 25.0
    """Value of `joint_outlier` before depth points are used, while the fingers are far from where they belong."""
    hint: float = 1 / 16
    """Weight of the landmarks where the size of a hand is measured, see `Equations.hints`."""
    points_count: float = 110.0
    """Number of independent points that weigh as much as all depth points together."""
    pose_scale: float = 1.2
    """Factor on the standard deviations of the pose prior."""
    pose_noise: float = 0.1
    """Standard deviation, in radians, of every angle around the prior's linear space."""
    limit: float = 0.05
    shared_shape: float = 0.4
    """Standard deviation of the difference in shape between the two hands of one person."""


@dataclass(frozen=True)
class Cloud:
    """Depth points that may be on the hand, camera frame."""

    points: np.ndarray  # (N, 3) metres
    weights: np.ndarray  # (N,) in [0, 1]


@dataclass(frozen=True)
class VisibleSurface:
    """The vertices that the camera sees and their normals, kept fixed for the few steps of one round."""

    rows: np.ndarray  # (n,) vertex ids
    normals: np.ndarray  # (n, 3) unit length, camera frame


@dataclass(frozen=True)
class Equations:
    """Normal equations matrix @ step = -vector at one state (vector: half the gradient), and the state's energy.

    `hints` is the part of both that says little about the size of this hand: the errors of its landmarks are common to
    all of them, at its outline a depth camera mixes hand and background, and the other hand has hints of the same kind.
    """

    rig: Rig
    matrix: np.ndarray  # (U, U)
    vector: np.ndarray  # (U,)
    energy: float
    hints: tuple[np.ndarray, np.ndarray]  # (U, U), (U,)


class Energy:
    """Energy of one right hand against its evidence, with or without depth points.

    Each private term returns its energy and adds its normal equations J^T W J and J^T W r in place to `matrix` (U, U)
    and `vector` (U,), and what is a hint in them to `hints`, see `Equations`. It takes points (n, 3) metres and their
    jacobian (n, 3, U); rho is Geman-McClure.
    """

    def __init__(
        self,
        hand: RightHand,
        config: EnergyConfig,
        evidence: HandEvidence,
        cloud: Cloud | None = None,
        surface: VisibleSurface | None = None,
        other_shape: np.ndarray | None = None,
    ):
        """Use the points of `cloud` against the visible `surface`; without them, the measured depth at the landmarks.

        other_shape (S,) is the shape of the person's other hand.
        """
        self._other_shape = other_shape
        self.hand, self.config, self.evidence, self.cloud, self.surface = hand, config, evidence, cloud, surface
        covariance = hand.pose_components.T @ hand.pose_components * config.pose_scale**2
        self._pose_precision = np.linalg.inv(covariance + config.pose_noise**2 * np.eye(NUM_DOFS))
        self._depths = np.concatenate([evidence.landmark_depth, evidence.palm_depth[6:]])
        bones = evidence.relative[CHILD] - evidence.relative[PARENT]
        self._directions = bones / np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-9)
        self._clear = evidence.clear * (1.0 if evidence.joints is None else config.beside)
        self._num_landmarks = len(hand.landmark_rows) if self._clear else 0
        rows = [hand.landmark_rows[: self._num_landmarks]]
        self._rows = np.concatenate(rows if evidence.joints is None else [*rows, hand.joint_rows])

    def equations(self, rig: Rig) -> Equations:
        """Return the energy and the normal equations of a state."""
        hand, size = self.hand, self.hand.num_unknowns
        matrix, vector = np.zeros((size, size)), np.zeros(size)
        hints = np.zeros((size, size)), np.zeros(size)
        energy = self._priors(rig, matrix, vector, hints)
        rows = self._rows
        landmarks = hand.points(rig, rows)
        if self.cloud is None or self.surface is None:
            jacobian = hand.jacobian(rig, rows, landmarks)
            energy += self._seen(landmarks, jacobian, matrix, vector, hints)
            if self.evidence.joints is None:
                energy += self._landmark_depths(landmarks, jacobian, matrix, vector)
            return Equations(rig, matrix, vector, energy, hints)
        seen = hand.points(rig, self.surface.rows)
        matched, index = np.unique(nearest(self.cloud.points, seen), return_inverse=True)
        points = np.concatenate([landmarks, seen[matched]])
        jacobian = hand.jacobian(rig, np.concatenate([rows, self.surface.rows[matched]]), points)
        count, normals = len(rows), self.surface.normals[matched]
        energy += self._seen(landmarks, jacobian[:count], matrix, vector, hints)
        energy += self._points(points[count:], normals, index, jacobian[count:], matrix, vector, hints)
        return Equations(rig, matrix, vector, energy, hints)

    def _seen(
        self,
        points: np.ndarray,
        jacobian: np.ndarray,
        matrix: np.ndarray,
        vector: np.ndarray,
        hints: tuple[np.ndarray, np.ndarray],
    ) -> float:
        """Return the energy of the landmarks and of the predicted joints, of those that there are."""
        count, energy = self._num_landmarks, 0.0
        if count:
            before = matrix.copy(), vector.copy()
            energy += self._landmarks(points[:count], jacobian[:count], matrix, vector)
            for hint, now, then in zip(hints, (matrix, vector), before, strict=True):
                hint += (1 - self.config.hint) * (now - then)
        if self.evidence.joints is not None:
            energy += self._joints(points[count:], jacobian[count:], matrix, vector)
        return energy

    def _joints(self, points: np.ndarray, jacobian: np.ndarray, matrix: np.ndarray, vector: np.ndarray) -> float:
        """Return sum rho(|S_i^-1 (p_i - j_i)|^2) / joint^2 of 21 predicted joints j_i with sigma S_i along and across
        their rays. Adds to `matrix`, `vector`.
        """
        config, joints, sigma = self.config, self.evidence.joints, self.evidence.sigma
        assert joints is not None
        assert sigma is not None
        rays = joints / np.linalg.norm(joints, axis=1, keepdims=True)
        # S^-1 = 1 / across + (1 / along - 1 / across) ray ray^T
        whiten = np.eye(3) / sigma[:, 1, None, None]
        whiten = whiten + (1 / sigma[:, 0] - 1 / sigma[:, 1])[:, None, None] * rays[:, :, None] * rays[:, None, :]
        residual = (whiten @ (points - joints)[..., None])[..., 0]
        outlier = config.joint_start if self.cloud is None else config.joint_outlier
        energy, weight = geman_mcclure((residual**2).sum(axis=1), outlier)
        accumulate(matrix, vector, whiten @ jacobian, residual, weight[:, None] / config.joint**2)
        return float(energy.sum()) / config.joint**2

    def _landmarks(self, points: np.ndarray, jacobian: np.ndarray, matrix: np.ndarray, vector: np.ndarray) -> float:
        """Return sum rho(|r_i|^2) / landmark^2 + sum |u_k - R d_k|^2 / bone_direction^2 of 21 landmarks, times
        `clear` of the evidence, and `beside` where there are predicted joints.

        r_i (2,) metres is the offset of joint i from its landmark's ray at the joint's depth. The bones' directions u_k
        are compared with the measured ones d_k, turned by the best common rotation R. Adds to `matrix`, `vector`.
        """
        config, plane = self.config, self.evidence.plane
        residual = points[:, :2] - plane * points[:, 2:]
        lateral = jacobian[:, :2] - plane[..., None] * jacobian[:, 2:]
        energy, weight = geman_mcclure((residual**2).sum(axis=1), config.landmark_outlier)
        factor = self._clear / config.landmark**2
        accumulate(matrix, vector, lateral, residual, weight[:, None] * factor)
        bones = points[CHILD] - points[PARENT]
        lengths = np.sqrt((bones**2).sum(axis=1, keepdims=True))
        # the network's error is larger in the hand's orientation than in its finger angles
        away = bones / lengths - self._directions @ turn_between(self._directions, bones / lengths).T
        turning = (jacobian[CHILD] - jacobian[PARENT]) / lengths[..., None]
        stiff = self._clear / config.bone_direction**2
        accumulate(matrix, vector, turning, away, np.full((len(away), 1), stiff))
        return float(energy.sum()) * factor + float((away**2).sum()) * stiff

    def _landmark_depths(
        self, points: np.ndarray, jacobian: np.ndarray, matrix: np.ndarray, vector: np.ndarray
    ) -> float:
        """Return sum rho((z_i - d_i - joint_depth)^2) / landmark_depth^2 with depths z_i of joints and palm points and
        readings d_i there; rho is narrower if the reading is in front. Adds to `matrix`, `vector`.
        """
        config = self.config
        points = np.concatenate([points, PALM_POINTS[6:] @ points[BASES]])
        between = np.tensordot(PALM_POINTS[6:], jacobian[BASES, 2], axes=1)
        behind = points[:, 2] - self._depths - config.joint_depth
        seen = np.isfinite(behind)
        scale = np.where(behind[seen] > 0, config.landmark_depth_occluder, config.landmark_depth_outlier)
        energy, weight = geman_mcclure(behind[seen] ** 2, scale)
        rows = np.concatenate([jacobian[:, 2], between])[seen]
        accumulate(matrix, vector, rows, behind[seen], weight / config.landmark_depth**2)
        return float(energy.sum()) / config.landmark_depth**2

    def _points(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        index: np.ndarray,
        jacobian: np.ndarray,
        matrix: np.ndarray,
        vector: np.ndarray,
        hints: tuple[np.ndarray, np.ndarray],
    ) -> float:
        """Return sum w_i points_count / N rho((1 - slip^2) (r_i . n)^2 + slip^2 |r_i|^2) / point^2 of N cloud points.

        r_i is the offset of cloud point i from vertices[index[i]], n the normal there; vertices and normals (m, 3),
        index (N,), jacobian (m, 3, U). Adds to `matrix`, `vector`.
        """
        config, cloud = self.config, self.cloud
        assert cloud is not None
        residual, normal = vertices[index] - cloud.points, normals[index]
        along = (residual * normal).sum(axis=1)
        slip = config.slip**2
        energy, weight = geman_mcclure((1 - slip) * along**2 + slip * (residual**2).sum(axis=1), config.point_outlier)
        factor = cloud.weights * (config.points_count / len(cloud.points) / config.point**2)
        weight = weight * factor
        # points that share a vertex share its Jacobian: their metrics and pulls are summed before multiplying
        pull = (1 - slip) * (along * weight)[:, None] * normal + slip * weight[:, None] * residual
        pulls = np.stack([np.bincount(index, pull[:, axis], len(vertices)) for axis in range(3)], axis=1)
        total = np.bincount(index, weight, len(vertices))[:, None, None]
        metric = total * ((1 - slip) * normals[:, :, None] * normals[:, None, :] + slip * np.eye(3))
        flat, pushed = jacobian.reshape(-1, jacobian.shape[-1]), (metric @ jacobian).reshape(-1, jacobian.shape[-1])
        matrix += flat.T @ pushed
        vector += flat.T @ pulls.reshape(-1)
        facing = -(normals * vertices).sum(axis=1) / np.linalg.norm(vertices, axis=1)
        rim = np.repeat(facing < OUTLINE, 3)
        hints[0][:] += flat[rim].T @ pushed[rim]
        hints[1][:] += flat[rim].T @ pulls.reshape(-1)[rim]
        return float(energy @ factor)

    def _priors(self, rig: Rig, matrix: np.ndarray, vector: np.ndarray, hints: tuple[np.ndarray, np.ndarray]) -> float:
        """Return (a - m)^T P (a - m) + |l|^2 / limit^2 + |s|^2 + |s - o|^2 / shared_shape^2.

        a (22,) are the finger angles, m and P (22, 22) the prior's mean and precision, l (22,) the radians beyond the
        joint limits, s (S,) the shape, o (S,) the other hand's, if known. Adds to `matrix`, `vector` (ANGLES, SHAPE).
        """
        config, hand, state = self.config, self.hand, rig.state
        away = state.angles - hand.pose_mean
        beyond = np.maximum(state.angles - hand.highest, 0) + np.minimum(state.angles - hand.lowest, 0)
        pull, push = self._pose_precision @ away, beyond / config.limit**2
        matrix[ANGLES, ANGLES] += self._pose_precision + np.diag((beyond != 0) / config.limit**2)
        vector[ANGLES] += pull + push
        matrix[SHAPE, SHAPE] += np.eye(hand.num_shape)
        vector[SHAPE] += state.shape
        energy = float(away @ pull + beyond @ push + state.shape @ state.shape)
        if self._other_shape is not None:
            unlike = (state.shape - self._other_shape) / config.shared_shape
            for total in (matrix, hints[0]):
                total[SHAPE, SHAPE] += np.eye(hand.num_shape) / config.shared_shape**2
            for total in (vector, hints[1]):
                total[SHAPE] += unlike / config.shared_shape
            energy += float(unlike @ unlike)
        return energy


def nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the index (N,) of the nearest of others (n, 3) to each of points (N, 3); beats a tree for hundreds."""
    return ((others * others).sum(axis=1) - 2 * points @ others.T).argmin(axis=1)


def turn_between(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rotation (3, 3) that best turns unit vectors source (n, 3) into target (n, 3) (Wahba's problem)."""
    u, _, vt = np.linalg.svd(target.T @ source)
    u[:, 2] *= np.sign(np.linalg.det(u @ vt))
    return u @ vt


def geman_mcclure(squared: np.ndarray, scale: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the energy scale^2 s / (s + scale^2) of squared residuals s, and the weights of its Gauss-Newton step."""
    ratio = scale * scale / (squared + scale * scale)
    return squared * ratio, ratio * ratio


def accumulate(
    matrix: np.ndarray, vector: np.ndarray, jacobian: np.ndarray, residual: np.ndarray, weight: np.ndarray
) -> None:
    """Add J^T W J to matrix (U, U) and J^T W r to vector (U,) in place; J (..., U), r (...), weight broadcast to r."""
    rows = jacobian.reshape(-1, jacobian.shape[-1])
    scaled = (jacobian * weight[..., None]).reshape(rows.shape)
    matrix += scaled.T @ rows
    vector += scaled.T @ residual.reshape(-1)
