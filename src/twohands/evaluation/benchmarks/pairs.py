"""Pairs of predictions and targets, stacked over a block of frames at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from twohands.hands.skeleton import NUM_JOINTS
from twohands.types import PRESENT, SIDE_NAMES, TwoHands

BLOCK = 256
"""Number of frames that are measured at once."""
NAN = float("nan")

ObjectPair = tuple[np.ndarray, np.ndarray]
"""Vertices (O, 3) of the predicted and the true object of a frame, in corresponding order; metres, camera frame."""


@dataclass(frozen=True)
class Pairs:
    """Predictions and targets of N successive frames, float64; all values of absent hands are NaN."""

    prediction: TwoHands
    target: TwoHands
    roots: np.ndarray | None  # (N, 2, 3) metres, joint 9 as predicted by the network
    objects: Sequence[ObjectPair] | None
    sequences: np.ndarray | None  # (N,) the recording of each frame


def blocks(
    predictions: Sequence[TwoHands],
    targets: Sequence[TwoHands],
    roots: Sequence[np.ndarray] | None,
    objects: Sequence[ObjectPair] | None,
    sequences: Sequence[str] | None,
) -> Iterator[tuple[Pairs, slice]]:
    """Yield pairs of about BLOCK frames with the slice of frames to measure; the others are neighbours for context.

    Raise ValueError as documented at `Benchmark.measure`.
    """
    count = len(targets)
    given = {"predictions": predictions, "roots": roots, "objects": objects, "sequences": sequences}
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise ValueError(f"there are {len(values)} {name} for {count} targets; give one for each frame")
    if not count:
        raise ValueError("there are no frames to measure")
    size = _mesh_size(predictions, targets)
    for start in range(0, count, BLOCK):
        low, high = max(start - 1, 0), min(start + BLOCK + 1, count)
        part = slice(low, high)
        prediction = _stacked(predictions[part], size)
        _check_finite(prediction, low)
        pairs = Pairs(
            prediction,
            _stacked(targets[part], size),
            None if roots is None else np.asarray(roots[part], dtype=np.float64),
            None if objects is None else objects[part],
            None if sequences is None else np.asarray(sequences[part]),
        )
        yield pairs, slice(start - low, min(start + BLOCK, count) - low)


def _mesh_size(predictions: Sequence[TwoHands], targets: Sequence[TwoHands]) -> int | None:
    """Return the number of vertices of all meshes, None if one side has no meshes. Only targets may lack some."""
    predicted, true = (
        [hands.vertices.shape[-2] for hands in side if hands.vertices is not None] for side in (predictions, targets)
    )
    if not predicted or not true:
        return None
    if len({*predicted, *true}) > 1:
        raise ValueError(
            f"predictions have meshes of {sorted(set(predicted))} vertices, targets of {sorted(set(true))}; predict "
            "with the benchmark's hand model, or leave the vertices out"
        )
    for frame, hands in enumerate(predictions):
        if hands.vertices is None and hands.present_sides:
            raise ValueError(f"prediction {frame} has a hand without vertices, others have them; give all or none")
    return predicted[0]


def _stacked(records: Sequence[TwoHands], size: int | None) -> TwoHands:
    """Return one record of N frames, float64, with meshes of `size` vertices."""
    present = np.stack([np.asarray(hands.present) for hands in records]) >= PRESENT
    shapes = {np.shape(hands.joints) for hands in records}
    if shapes != {(2, NUM_JOINTS, 3)}:
        raise ValueError(f"joints must be (2, {NUM_JOINTS}, 3) in every frame; got {sorted(shapes)}")
    joints = np.stack([np.asarray(hands.joints, dtype=np.float64) for hands in records])
    joints[~present] = NAN
    if size is None:
        return TwoHands(None, joints, present.astype(np.float64))
    vertices = np.full((len(records), 2, size, 3), NAN)
    for frame, hands in enumerate(records):
        if hands.vertices is not None:
            vertices[frame, present[frame]] = np.asarray(hands.vertices)[present[frame]]
    return TwoHands(vertices, joints, present.astype(np.float64))


def _check_finite(prediction: TwoHands, start: int) -> None:
    for name in ("joints", "vertices"):
        points = getattr(prediction, name)
        if points is None:
            continue
        wrong = prediction.is_present & ~np.isfinite(points).all(axis=(-2, -1))
        if wrong.any():
            frame, side = np.argwhere(wrong)[0]
            raise ValueError(
                f"prediction {start + frame} has {name} that are not finite on its {SIDE_NAMES[side]} hand; "
                "a hand that was not found needs present = 0"
            )
