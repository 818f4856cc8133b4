"""Errors of predicted hands, per hand, in metres; NaN where either hand is absent.

A metric is a function (prediction, target) -> (*B, 2). The root and the alignment are named by each metric, never a
default: `mpjpe` compares in camera space, `al_` shifts joint 9 (middle knuckle) onto the target, `wrist_` the wrist,
`pa_` applies the least-squares similarity (rotation, scale, translation).
"""

from __future__ import annotations

from array_api_compat import array_namespace

from twohands.geometry.record import Array
from twohands.geometry.transforms import align
from twohands.hands.skeleton import MIDDLE_KNUCKLE, WRIST
from twohands.types import TwoHands


def mean_distance(prediction: Array, target: Array) -> Array:
    """(*B, 2, N, 3) twice -> (*B, 2): mean Euclidean distance of corresponding points."""
    xp = array_namespace(prediction)
    return xp.mean(xp.linalg.vector_norm(prediction - target, axis=-1), axis=-1)


def where_both(prediction: TwoHands, target: TwoHands, values: Array) -> Array:
    """`values` (*B, 2) with NaN where the prediction or the target has no such hand."""
    xp = array_namespace(values)
    both = (prediction.present >= 0.5) & (target.present >= 0.5)
    return xp.where(both, values, xp.full_like(values, float("nan")))


def surfaces(prediction: TwoHands, target: TwoHands) -> tuple[Array, Array]:
    """The two sets of vertices; raises ValueError when one of them has joints only or another mesh."""
    if prediction.vertices is None or target.vertices is None:
        raise ValueError("vertex errors need meshes on both sides; one side has joints only")
    if prediction.vertices.shape[-2] != target.vertices.shape[-2]:
        raise ValueError(
            f"vertex errors need the same mesh on both sides, got {prediction.vertices.shape[-2]} and "
            f"{target.vertices.shape[-2]} vertices"
        )
    return prediction.vertices, target.vertices


def mpjpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Mean per-joint position error in camera space."""
    return where_both(prediction, target, mean_distance(prediction.joints, target.joints))


def mpvpe(prediction: TwoHands, target: TwoHands) -> Array:
    """Mean per-vertex position error in camera space."""
    return where_both(prediction, target, mean_distance(*surfaces(prediction, target)))


def _relative(points: Array, hands: TwoHands, root: int) -> Array:
    return points - hands.joints[..., root : root + 1, :]


def al_mpjpe(prediction: TwoHands, target: TwoHands) -> Array:
    """MPJPE after shifting joint 9 of each hand onto its target; no scaling, no rotation (method, section 8)."""
    error = mean_distance(
        _relative(prediction.joints, prediction, MIDDLE_KNUCKLE), _relative(target.joints, target, MIDDLE_KNUCKLE)
    )
    return where_both(prediction, target, error)


def al_mpvpe(prediction: TwoHands, target: TwoHands) -> Array:
    """MPVPE after shifting joint 9 of each hand onto its target."""
    vertices = surfaces(prediction, target)
    error = mean_distance(
        _relative(vertices[0], prediction, MIDDLE_KNUCKLE), _relative(vertices[1], target, MIDDLE_KNUCKLE)
    )
    return where_both(prediction, target, error)


def wrist_mpjpe(prediction: TwoHands, target: TwoHands) -> Array:
    """MPJPE after shifting the wrist of each hand onto its target."""
    error = mean_distance(_relative(prediction.joints, prediction, WRIST), _relative(target.joints, target, WRIST))
    return where_both(prediction, target, error)


def pa_mpjpe(prediction: TwoHands, target: TwoHands) -> Array:
    """MPJPE after the least-squares similarity of each hand (Procrustes-aligned)."""
    return where_both(prediction, target, mean_distance(align(prediction.joints, target.joints), target.joints))


def pa_mpvpe(prediction: TwoHands, target: TwoHands) -> Array:
    """MPVPE after the least-squares similarity of each hand (Procrustes-aligned)."""
    vertices = surfaces(prediction, target)
    return where_both(prediction, target, mean_distance(align(*vertices), vertices[1]))


METRICS = {
    "mpjpe": mpjpe,
    "mpvpe": mpvpe,
    "al_mpjpe": al_mpjpe,
    "al_mpvpe": al_mpvpe,
    "wrist_mpjpe": wrist_mpjpe,
    "pa_mpjpe": pa_mpjpe,
    "pa_mpvpe": pa_mpvpe,
}
