"""Errors of predicted hands, per hand, in metres; NaN if either hand is absent.

A metric is a function (prediction, target) -> (*B, 2). METRICS are lengths; FRACTIONS are in [0, 1], better when
higher. Mesh metrics are NaN if one side has joints only. Each metric names its root and alignment: `mpjpe` compares in
camera space, `al_` shifts joint 9 (middle knuckle) onto the target, `wrist_` the wrist, `pa_` applies the least-squares
similarity (rotation, scale, translation).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from array_api_compat import array_namespace
from scipy.spatial import KDTree

from twohands.geometry.record import Array
from twohands.geometry.transforms import align
from twohands.hands.skeleton import MIDDLE_KNUCKLE, ROOT, WRIST
from twohands.types import LEFT, RIGHT, TwoHands

AUC_RANGE = 0.05
"""Largest threshold of the curve of correct joints, metres."""
NAN = float("nan")


def mean_distance(prediction: Array, target: Array) -> Array:
    """Return the mean Euclidean distance (*B, 2) of corresponding points, both (*B, 2, N, 3)."""
    xp = array_namespace(prediction)
    return xp.mean(xp.linalg.vector_norm(prediction - target, axis=-1), axis=-1)


def where_both(prediction: TwoHands, target: TwoHands, values: Array) -> Array:
    """Return `values` (*B, 2) with NaN for hands that the prediction or the target lacks."""
    xp = array_namespace(values)
    both = prediction.is_present & target.is_present
    return xp.where(both, values, xp.full_like(values, float("nan")))


def joint_distances(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the distances (*B, 2, 21) of the joints in camera space."""
    return array_namespace(prediction.joints).linalg.vector_norm(prediction.joints - target.joints, axis=-1)


def of_meshes(
    prediction: TwoHands, target: TwoHands, measure: Callable[[Array, Array], Array], root: int | None = None
) -> Array:
    """Return `measure` of both sets of vertices (*B, 2, V, 3), relative to joint `root` if given; NaN without meshes.

    Raise ValueError when the two meshes are of different hand models.
    """
    if prediction.vertices is None or target.vertices is None:
        xp = array_namespace(prediction.joints)
        return xp.full_like(prediction.joints[..., 0, 0], NAN)
    if prediction.vertices.shape[-2] != target.vertices.shape[-2]:
        raise ValueError(
            f"vertex errors need the same mesh on both sides, got {prediction.vertices.shape[-2]} and "
            f"{target.vertices.shape[-2]} vertices"
        )
    points = [prediction.vertices, target.vertices]
    if root is not None:
        points = [_relative(p, hands, root) for p, hands in zip(points, (prediction, target), strict=True)]
    return where_both(prediction, target, measure(*points))


def mpjpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the mean per-joint position error in camera space."""
    return where_both(prediction, target, mean_distance(prediction.joints, target.joints))


def mpvpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the mean per-vertex position error in camera space."""
    return of_meshes(prediction, target, mean_distance)


def _relative(points: Array, hands: TwoHands, root: int) -> Array:
    return points - hands.joints[..., root : root + 1, :]


def al_mpjpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the MPJPE after shifting joint 9 of each hand onto its target, without scaling or rotation."""
    error = mean_distance(
        _relative(prediction.joints, prediction, MIDDLE_KNUCKLE), _relative(target.joints, target, MIDDLE_KNUCKLE)
    )
    return where_both(prediction, target, error)


def al_mpvpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the MPVPE after shifting joint 9 of each hand onto its target."""
    return of_meshes(prediction, target, mean_distance, MIDDLE_KNUCKLE)


def wrist_mpjpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the MPJPE after shifting the wrist of each hand onto its target."""
    error = mean_distance(_relative(prediction.joints, prediction, WRIST), _relative(target.joints, target, WRIST))
    return where_both(prediction, target, error)


def pa_mpjpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the MPJPE after the least-squares similarity of each hand (Procrustes-aligned)."""
    return where_both(prediction, target, mean_distance(align(prediction.joints, target.joints), target.joints))


def pa_mpvpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the MPVPE after the least-squares similarity of each hand (Procrustes-aligned)."""
    return of_meshes(prediction, target, lambda points, true: mean_distance(align(points, true), true))


def mrrpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the error of the vector from the left to the right root (joint 9), the same for both hands of a frame."""
    xp = array_namespace(prediction.joints)
    left_right = [
        hands.joints[..., RIGHT, ROOT, :] - hands.joints[..., LEFT, ROOT, :] for hands in (prediction, target)
    ]
    error = xp.linalg.vector_norm(left_right[0] - left_right[1], axis=-1)
    pairs = where_both(prediction, target, xp.stack([error, error], axis=-1))
    return pairs + 0 * xp.flip(pairs, axis=-1)  # NaN for one hand becomes NaN for both


def acceleration_error(prediction: Array, target: Array, seconds: float) -> Array:
    """Return errors (T - 2, *B) m/s^2 of the second differences of points (T, *B, N, 3), frames `seconds` apart."""
    xp = array_namespace(prediction)
    error = prediction - target
    second = (error[2:, ...] - 2 * error[1:-1, ...] + error[:-2, ...]) / seconds**2
    return xp.mean(xp.linalg.vector_norm(second, axis=-1), axis=-1)


def auc(prediction: TwoHands, target: TwoHands) -> Array:
    """Return the area under the curve of correct joints over thresholds from 0 to 50 mm, in camera space."""
    return _area(prediction, target, joint_distances(prediction, target))


def al_auc(prediction: TwoHands, target: TwoHands) -> Array:
    """Return `auc` after shifting joint 9 of each hand onto its target."""
    xp = array_namespace(prediction.joints)
    one, other = (_relative(hands.joints, hands, MIDDLE_KNUCKLE) for hands in (prediction, target))
    return _area(prediction, target, xp.linalg.vector_norm(one - other, axis=-1))


def _area(prediction: TwoHands, target: TwoHands, distances: Array) -> Array:
    """Return the area for `distances` (*B, 2, 21): the mean of 1 - distance / range, not below 0, over joints."""
    xp = array_namespace(distances)
    return where_both(prediction, target, xp.mean(xp.clip(1 - distances / AUC_RANGE, 0, 1), axis=-1))


def f_score(threshold: float, aligned: bool) -> Callable[[TwoHands, TwoHands], Array]:
    """Return the F-score of meshes at a threshold in metres, in camera space or after the least-squares similarity.

    As in FreiHAND, it is the harmonic mean of the fractions of predicted vertices near a true one and of true vertices
    near a predicted one. NumPy arrays only.
    """

    def measure(points: Array, true: Array) -> Array:
        points = align(points, true) if aligned else points
        flat = [array.reshape(-1, *array.shape[-2:]) for array in (points, true)]
        scores = [_f_score(one, other, threshold) for one, other in zip(*flat, strict=True)]
        return np.array(scores, dtype=points.dtype).reshape(points.shape[:-2])

    return lambda prediction, target: of_meshes(prediction, target, measure)


def _f_score(points: np.ndarray, true: np.ndarray, threshold: float) -> float:
    """Return the F-score of vertices (V, 3) and (W, 3)."""
    if not (np.isfinite(points).all() and np.isfinite(true).all()):
        return NAN
    near = [(KDTree(b).query(a)[0] < threshold).mean() for a, b in ((points, true), (true, points))]
    return 2 * near[0] * near[1] / sum(near) if sum(near) > 0 else 0.0


METRICS = {
    "mpjpe": mpjpe,
    "mpvpe": mpvpe,
    "al_mpjpe": al_mpjpe,
    "al_mpvpe": al_mpvpe,
    "wrist_mpjpe": wrist_mpjpe,
    "pa_mpjpe": pa_mpjpe,
    "pa_mpvpe": pa_mpvpe,
    "mrrpe": mrrpe,
}
FRACTIONS = {
    "auc": auc,
    "al_auc": al_auc,
    "f5": f_score(0.005, aligned=False),
    "f15": f_score(0.015, aligned=False),
    "pa_f5": f_score(0.005, aligned=True),
    "pa_f15": f_score(0.015, aligned=True),
}
