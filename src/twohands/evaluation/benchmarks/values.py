"""What a figure measures on every hand: alignments, distances, areas, F-scores, contact, acceleration."""

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
"""Metres between a true hand and the true object within which ARCTIC counts them as touching."""
FRAME_TIME = 1 / 30
"""Seconds between two frames of ARCTIC."""
ROUNDING = 1e-9
"""Metres by which a point may be beyond a threshold: an aligned root must count as right at threshold 0."""

Values = Callable[[Pairs], np.ndarray]
"""Pairs -> (N, 2, P) of every hand and point, NaN where there is nothing to compare."""
Alignment = Callable[[np.ndarray, np.ndarray, Pairs], np.ndarray]
"""Points (N, 2, P, 3) of prediction and target, pairs -> those of the prediction, aligned."""


def in_camera(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
    """No alignment."""
    return points


def at_joint(joint: int) -> Alignment:
    """A joint of each hand is shifted onto its target."""

    def align(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
        return points - pairs.prediction.joints[..., [joint], :] + pairs.target.joints[..., [joint], :]

    return align


def at_right_wrist(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
    """The right wrist is shifted onto its target, and both hands with it."""
    wrist, goal = (hands.joints[:, [RIGHT], [WRIST], None] for hands in (pairs.prediction, pairs.target))
    return points - wrist + goal


def scaled_at_wrist(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
    """The palm is scaled to the target's length from wrist to middle knuckle, then the wrist is shifted onto it."""
    wrist, goal = (hands.joints[..., [WRIST], :] for hands in (pairs.prediction, pairs.target))
    length, wanted = (
        np.linalg.norm(hands.joints[..., MIDDLE_KNUCKLE, :] - hands.joints[..., WRIST, :], axis=-1)
        for hands in (pairs.prediction, pairs.target)
    )
    factor = wanted / np.where(length > 0, length, 1)
    return (points - wrist) * factor[..., None, None] + goal


def similar(points: np.ndarray, target: np.ndarray, pairs: Pairs) -> np.ndarray:
    """The least-squares similarity of each hand, mirrored ones included; see `align_reflecting`."""
    return align_reflecting(points, target)


def align_reflecting(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`source` (*B, N, 3) moved onto `target` by scale, shift and an orthogonal matrix, which may be a reflection.

    As FreiHAND and HO-3D do it, and with their program DexYCB; `geometry.transforms.align` never reflects. NaN where
    one side has a NaN.
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
    """Of the given joints, after an alignment."""

    def measure(pairs: Pairs) -> np.ndarray:
        points, target = (hands.joints[..., list(joints), :] for hands in (pairs.prediction, pairs.target))
        return np.linalg.norm(alignment(points, target, pairs) - target, axis=-1)

    return measure


def mesh_distances(alignment: Alignment) -> Values:
    """Of the vertices, after an alignment; NaN without meshes."""

    def measure(pairs: Pairs) -> np.ndarray:
        points, target = pairs.prediction.vertices, pairs.target.vertices
        if points is None or target is None:
            return np.full((*pairs.target.present.shape, 1), NAN)
        return np.linalg.norm(alignment(points, target, pairs) - target, axis=-1)

    return measure


def areas(values: Values, highest: float, count: int) -> Values:
    """The share under the curve of correct points over `count` thresholds from 0 to `highest` metres, by trapezoids.

    Of one point: its curve is a step, so that the mean over points is the area under the mean curve.
    """
    thresholds = np.linspace(0, highest, count) + ROUNDING

    def measure(pairs: Pairs) -> np.ndarray:
        found = values(pairs)
        first = np.searchsorted(thresholds, found)  # the lowest threshold that is not below
        share = np.where(first == 0, 1.0, np.clip((count - first - 0.5) / (count - 1), 0, 1))
        return np.where(np.isnan(found), NAN, share)

    return measure


def f_scores(threshold: float, alignment: Alignment) -> Values:
    """F-score of the meshes at a threshold in metres, after an alignment; NaN without meshes."""
    score = metrics.f_score(threshold, aligned=False)

    def measure(pairs: Pairs) -> np.ndarray:
        prediction, target = pairs.prediction, pairs.target.vertices
        if prediction.vertices is not None and target is not None:
            prediction = replace(prediction, vertices=alignment(prediction.vertices, target, pairs))
        return score(prediction, pairs.target)[..., None]

    return measure


def of_hands(metric: Callable[[TwoHands, TwoHands], np.ndarray]) -> Values:
    """A metric of `twohands.evaluation.metrics`."""
    return lambda pairs: metric(pairs.prediction, pairs.target)[..., None]


def where_hands(values: Values, count: int) -> Values:
    """Only of the frames in which the target has so many hands."""
    return lambda pairs: np.where((pairs.target.present.sum(axis=1) == count)[:, None, None], values(pairs), NAN)


def relative_wrists(pairs: Pairs) -> np.ndarray:
    """(N, 2, 1) error of the vector from one wrist to the other (MRRPE), the same for both hands of a frame.

    `metrics.mrrpe` takes joint 9.
    """
    vectors = [
        hands.joints[:, RIGHT, WRIST] - hands.joints[:, LEFT, WRIST] for hands in (pairs.prediction, pairs.target)
    ]
    error = np.linalg.norm(vectors[0] - vectors[1], axis=-1)
    return np.stack([error, error], axis=1)[..., None]


def published(points: Literal["joints", "vertices"]) -> Values:
    """Errors relative to joint 9 as PDFNet's program has them: the prediction relative to the root that was predicted.

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
    """CDev of ARCTIC, metres: how far what touches in truth is apart in the prediction; NaN where nothing touches.

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
    """(N, 2, 1) `contact_deviation` of every hand; NaN without meshes."""
    prediction, target = pairs.prediction.vertices, pairs.target.vertices
    found = np.full((*pairs.target.present.shape, 1), NAN)
    if prediction is not None and target is not None and pairs.objects is not None:
        for frame, objects in enumerate(pairs.objects):
            for side in (LEFT, RIGHT):
                found[frame, side] = contact_deviation(prediction[frame, side], target[frame, side], *objects)
    return found


def accelerations(pairs: Pairs) -> np.ndarray:
    """(N, 2, 1) m/s^2, acceleration error of the vertices relative to the wrist, by second differences at 30 frames/s.

    NaN without meshes, at the ends of a recording, and where a hand is absent before, in or after the frame.
    """
    found = np.full((*pairs.target.present.shape, 1), NAN)
    points = [(hands.vertices, hands.joints[..., [WRIST], :]) for hands in (pairs.prediction, pairs.target)]
    if len(found) > 2 and all(vertices is not None for vertices, _ in points):
        prediction, target = (vertices - wrist for vertices, wrist in points)
        found[1:-1, :, 0] = metrics.acceleration_error(prediction, target, FRAME_TIME)
        if pairs.sequences is not None:
            found[1:-1][pairs.sequences[2:] != pairs.sequences[:-2]] = NAN
    return found
