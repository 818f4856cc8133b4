"""Values that metrics measure on every hand: distances, areas, F-scores, contact, acceleration; and alignments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.spatial import KDTree

from twohands.evaluation import metrics
from twohands.evaluation.benchmarks.pairs import NAN, Pairs
from twohands.hands.skeleton import MIDDLE_KNUCKLE, NUM_JOINTS, WRIST
from twohands.types import LEFT, RIGHT, TwoHands

CONTACT = 0.003
"""Largest distance at which ARCTIC considers a true hand and the true object to touch, metres."""
FRAME_TIME = 1 / 30
"""Time between two frames of ARCTIC, seconds."""
ROUNDING = 1e-9
"""Tolerance of thresholds, metres: an aligned root must be correct at threshold 0."""

Values = Callable[[Pairs], np.ndarray]
"""Pairs -> values (N, 2, P) of every hand and point, NaN if there is nothing to compare."""
Alignment = Callable[[np.ndarray, np.ndarray, Pairs], np.ndarray]
"""Points (N, 2, P, 3) of prediction and target, pairs -> aligned points of the prediction."""


def in_camera(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Return the points without alignment."""
    return points


def at_joint(joint: int) -> Alignment:
    """Return the alignment that shifts a joint of each hand onto its target."""

    def align(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
        return points - pairs.prediction.joints[..., [joint], :] + pairs.target.joints[..., [joint], :]

    return align


def at_right_wrist(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Shift both hands so that the right wrist is on its target."""
    wrist, goal = (hands.joints[:, [RIGHT], [WRIST], None] for hands in (pairs.prediction, pairs.target))
    return points - wrist + goal


def scaled_at_wrist(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Scale each hand to the target's length from wrist to middle knuckle, then shift its wrist onto the target."""
    wrist, goal = (hands.joints[..., [WRIST], :] for hands in (pairs.prediction, pairs.target))
    length, wanted = (
        np.linalg.norm(hands.joints[..., MIDDLE_KNUCKLE, :] - hands.joints[..., WRIST, :], axis=-1)
        for hands in (pairs.prediction, pairs.target)
    )
    factor = wanted / np.where(length > 0, length, 1)
    return (points - wrist) * factor[..., None, None] + goal


def similar(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Apply the least-squares similarity of each hand, possibly a reflection; see `align_reflecting`."""
    return align_reflecting(points, target)


def align_reflecting(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return `source` (*B, N, 3) moved onto `target` by scale, shift and an orthogonal matrix, possibly a reflection.

    FreiHAND, HO-3D and DexYCB align in this way; `geometry.transforms.align` never reflects. The result is NaN if one
    side has a NaN.
    """
    known = (np.isfinite(source) & np.isfinite(target)).all(axis=(-2, -1), keepdims=True)
    a, b = np.where(known, source, 0.0), np.where(known, target, 0.0)
    goal = b.mean(axis=-2, keepdims=True)
    a, b = a - a.mean(axis=-2, keepdims=True), b - goal
    u, singular, vt = np.linalg.svd(b.swapaxes(-2, -1) @ a, full_matrices=False)
    spread = (a**2).sum(axis=(-2, -1))
    factor = singular.sum(axis=-1) / np.where(spread > 0, spread, 1)
    moved = factor[..., None, None] * (a @ (u @ vt).swapaxes(-2, -1)) + goal
    return np.where(known, moved, NAN)


def distances(alignment: Alignment, joints: Sequence[int] = range(NUM_JOINTS)) -> Values:
    """Return the distances of the given joints after an alignment."""

    def measure(pairs: Pairs) -> np.ndarray:
        points, target = (hands.joints[..., list(joints), :] for hands in (pairs.prediction, pairs.target))
        return np.linalg.norm(alignment(points, target, pairs) - target, axis=-1)

    return measure


def mesh_distances(alignment: Alignment) -> Values:
    """Return the distances of the vertices after an alignment; NaN without meshes."""

    def measure(pairs: Pairs) -> np.ndarray:
        points, target = pairs.prediction.vertices, pairs.target.vertices
        if points is None or target is None:
            return np.full((*pairs.target.present.shape, 1), NAN)
        return np.linalg.norm(alignment(points, target, pairs) - target, axis=-1)

    return measure


def areas(values: Values, highest: float, count: int) -> Values:
    """Return the area under the curve of correct points over `count` thresholds from 0 to `highest` metres.

    The area is a fraction, by trapezoids. It is computed for each point, whose curve is a step: the mean over points
    is the area under the mean curve.
    """
    thresholds = np.linspace(0, highest, count) + ROUNDING

    def measure(pairs: Pairs) -> np.ndarray:
        found = values(pairs)
        first = np.searchsorted(thresholds, found)  # the lowest threshold that is not below
        area = np.where(first == 0, 1.0, np.clip((count - first - 0.5) / (count - 1), 0, 1))
        return np.where(np.isnan(found), NAN, area)

    return measure


def f_scores(threshold: float, alignment: Alignment) -> Values:
    """Return the F-score of the meshes at a threshold in metres, after an alignment; NaN without meshes."""
    score = metrics.f_score(threshold, aligned=False)

    def measure(pairs: Pairs) -> np.ndarray:
        prediction, target = pairs.prediction, pairs.target.vertices
        if prediction.vertices is not None and target is not None:
            prediction = replace(prediction, vertices=alignment(prediction.vertices, target, pairs))
        return score(prediction, pairs.target)[..., None]

    return measure


def of_hands(metric: Callable[[TwoHands, TwoHands], np.ndarray]) -> Values:
    """Return a metric of `twohands.evaluation.metrics` as values with one point per hand."""
    return lambda pairs: metric(pairs.prediction, pairs.target)[..., None]


def where_hands(values: Values, count: int) -> Values:
    """Return the values of frames in which the target has `count` hands, NaN for the others."""
    return lambda pairs: np.where((pairs.target.present.sum(axis=1) == count)[:, None, None], values(pairs), NAN)


def relative_wrists(pairs: Pairs) -> np.ndarray:
    """Return the error (N, 2, 1) of the vector from wrist to wrist (MRRPE), the same for both hands of a frame.

    `metrics.mrrpe` uses joint 9.
    """
    vectors = [
        hands.joints[:, RIGHT, WRIST] - hands.joints[:, LEFT, WRIST] for hands in (pairs.prediction, pairs.target)
    ]
    error = np.linalg.norm(vectors[0] - vectors[1], axis=-1)
    return np.stack([error, error], axis=1)[..., None]


def published(points: Literal["joints", "vertices"]) -> Values:
    """Return errors relative to joint 9 as PDFNet's program computes them, with predictions relative to `pairs.roots`.

    The prediction is not shifted by its own joint 9, and the root may be a few millimetres off it.
    """

    def measure(pairs: Pairs) -> np.ndarray:
        prediction, target = getattr(pairs.prediction, points), getattr(pairs.target, points)
        if prediction is None or target is None:
            return np.full((*pairs.target.present.shape, 1), NAN)
        assert pairs.roots is not None
        return np.linalg.norm(
            prediction - pairs.roots[:, :, None] - target + pairs.target.joints[:, :, [MIDDLE_KNUCKLE]], axis=-1
        )

    return measure


def contact_deviation(
    vertices: np.ndarray, target_vertices: np.ndarray, object_vertices: np.ndarray, target_object_vertices: np.ndarray
) -> float:
    """Return CDev of ARCTIC: the mean predicted distance, metres, of points that touch in truth; NaN without any.

    Hands (V, 3), objects (O, 3), in corresponding order on both sides. Every true hand vertex within 3 mm of the true
    object is paired with the nearest of its vertices.
    """
    if not (np.isfinite(vertices).all() and np.isfinite(target_vertices).all()):
        return NAN
    gap, nearest = KDTree(target_object_vertices).query(target_vertices)
    touching = gap <= CONTACT
    apart = np.linalg.norm(object_vertices[nearest] - vertices, axis=1)
    return float(apart[touching].mean()) if touching.any() else NAN


def contact_deviations(pairs: Pairs) -> np.ndarray:
    """Return the `contact_deviation` (N, 2, 1) of every hand; NaN without meshes."""
    prediction, target = pairs.prediction.vertices, pairs.target.vertices
    found = np.full((*pairs.target.present.shape, 1), NAN)
    if prediction is not None and target is not None and pairs.objects is not None:
        for frame, objects in enumerate(pairs.objects):
            for side in (LEFT, RIGHT):
                found[frame, side] = contact_deviation(prediction[frame, side], target[frame, side], *objects)
    return found


def accelerations(pairs: Pairs) -> np.ndarray:
    """Return the acceleration error (N, 2, 1), m/s^2, of the vertices relative to the wrist, at 30 frames per second.

    NaN without meshes, at the ends of a recording, and if a hand is absent before, in or after the frame.
    """
    found = np.full((*pairs.target.present.shape, 1), NAN)
    points = [(hands.vertices, hands.joints[..., [WRIST], :]) for hands in (pairs.prediction, pairs.target)]
    if len(found) > 2 and all(vertices is not None for vertices, _ in points):
        prediction, target = (vertices - wrist for vertices, wrist in points)
        found[1:-1, :, 0] = metrics.acceleration_error(prediction, target, FRAME_TIME)
        if pairs.sequences is not None:
            found[1:-1][pairs.sequences[2:] != pairs.sequences[:-2]] = NAN
    return found
