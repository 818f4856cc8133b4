"""Scores of predictions: which hands are evaluated, found and given the correct side, and their errors.

A target hand is evaluated when at least 30 % of its pixels are visible and it is at least 60 pixels long. It is found
when a predicted hand is on it in the image; the side of that hand may be wrong. Errors are measured on hands found with
the correct side, or, if the presence of hands is known (the paper's tables), on all evaluated hands. A frame that the
predictor refuses has the prediction None: no hand is found in it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from twohands.choices import MaskMode
from twohands.evaluation.metrics import FRACTIONS, METRICS
from twohands.evaluation.report import NAN, HandRow, Report
from twohands.geometry.camera import Camera
from twohands.hands.mano import with_tips
from twohands.hands.skeleton import FINGERTIP_VERTICES, ROOT
from twohands.predictor import NetworkPredictor, Predictor
from twohands.types import LEFT, RIGHT, Sample, TwoHands, no_hands
from twohands.views import box_centers

MODES = get_args(MaskMode)
SMALLEST_VISIBLE = 0.3
"""Smallest visible fraction of an evaluated hand."""
SMALLEST_LENGTH = 60.0
"""Smallest length of an evaluated hand, pixels."""
ON_THE_HAND = 0.35
"""A prediction is on a hand if its joints' mean distance is below this fraction of the hand's length in pixels."""
PATIENCE = 30
"""Number of first frames, all refused, after which the data are considered unfit for the predictor."""
_log = logging.getLogger(__name__)


class Forgiving:
    """A predictor that returns None, with a warning, for frames that the given predictor refuses.

    When it refuses each of the first PATIENCE frames, its ValueError is raised.
    """

    def __init__(self, predictor: Callable[..., TwoHands]):
        self.predictor, self.accepted, self.refused = predictor, 0, 0

    def __call__(self, sample: Sample, **given: Any) -> TwoHands | None:
        """Return the prediction; `given` is passed to the predictor beside the frame."""
        try:
            hands = self.predictor(sample.frame, **given)
        except ValueError as error:
            self.refused += 1
            if not self.accepted and self.refused >= PATIENCE:
                raise
            _log.warning("no hands in %s: %s", sample.id, error)
            return None
        self.accepted += 1
        return hands


Predict = Callable[[Sample], TwoHands | None]
"""Sample -> prediction, None for a refused frame; it may use as much of the truth as the evaluation allows."""


def predictions(
    predict: Predict, samples: Iterable[Sample], known_presence: bool = False, hand_model: str | None = None
) -> Iterator[tuple[TwoHands | None, Sample]]:
    """Yield the prediction for every sample, as `as_compared` returns it, with the sample.

    Predicted meshes are left out if those of the sample have another hand model.
    """
    for sample in samples:
        prediction = as_compared(predict(sample), sample, known_presence, hand_model)
        if prediction is not None and None not in (hand_model, sample.hand_model) and sample.hand_model != hand_model:
            prediction = replace(prediction, vertices=None)
        yield prediction, sample


def as_compared(
    prediction: TwoHands | None, sample: Sample, known_presence: bool, hand_model: str | None
) -> TwoHands | None:
    """Return the prediction as it is compared, with the finger tips of the sample's joint definition.

    With `known_presence` its presence is that of the sample. `hand_model` is the hand model of the predicted meshes;
    None: the sample's own, with the same finger tips.
    """
    if prediction is None:
        return None
    if known_presence:
        prediction = replace(prediction, present=sample.hands.present)
    if hand_model == "mano" and sample.joint_definition in FINGERTIP_VERTICES:
        prediction = with_tips(prediction, sample.joint_definition)
    return prediction


def report_of(pairs: Iterable[tuple[TwoHands | None, Sample]], known_presence: bool = False) -> Report:
    """Return the report of predictions; masks of a sample hold its visible pixels."""
    rows: list[HandRow] = []
    false_positives = frames = refused = 0
    for prediction, sample in pairs:
        new, wrong = score(prediction or no_hands(), sample, known_presence)
        rows.extend(new)
        frames, false_positives, refused = frames + 1, false_positives + wrong, refused + (prediction is None)
    return Report(tuple(rows), false_positives, frames, refused)


def predict_with(predictor: Predictor, mode: str) -> Predict:
    """Return the predictor as a function of samples; the mode, one of MODES, decides how much truth it is given.

    Raise ValueError for another mode, and when truth would be given to a predictor that takes none.
    """
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is unknown; known are {', '.join(MODES)}")
    forgiving = Forgiving(predictor)
    if mode == "own":
        return forgiving
    if not isinstance(predictor, NetworkPredictor):
        raise ValueError(f"mode {mode!r} needs a network; the method 'landmarks' takes no masks")

    def with_truth(sample: Sample) -> TwoHands | None:
        if sample.masks is None:
            raise ValueError(f"{sample.id} has no true masks; measure these frames with --masks own")
        centers = box_centers(sample) if mode == "ground_truth_centers" else None
        return forgiving(sample, masks=sample.masks, centers=centers)

    return with_truth


def score(prediction: TwoHands, sample: Sample, known_presence: bool = False) -> tuple[list[HandRow], int]:
    """Return the rows of the evaluated hands, and the number of false positives: predicted hands on no target hand.

    A predicted hand is not a false positive if the labels leave its presence open.
    """
    target, camera = sample.hands, sample.frame.camera
    errors = {name: metric(prediction, target) for name, metric in (METRICS | FRACTIONS).items()}
    on_hand = np.array([[_is_on(prediction, p, target, t, camera) for t in (LEFT, RIGHT)] for p in (LEFT, RIGHT)])
    both = bool(target.is_present.all())
    distance = float(np.linalg.norm(np.diff(target.joints[:, ROOT], axis=0))) if both else NAN
    rows = []
    for side in target.present_sides:
        visible = NAN if sample.visible_fraction is None else float(sample.visible_fraction[side])
        if not _evaluated(target, side, visible, camera):
            continue
        right = bool(on_hand[side, side])
        scored = right or (known_presence and prediction.is_present[side])
        residual = NAN if prediction.quality is None else float(prediction.quality.depth_residual[side])
        rows.append(
            HandRow(
                sample=sample.id,
                side=side,
                visible=visible,
                distance=distance,
                found=bool(on_hand[:, side].any()),
                right_side=right,
                errors={name: float(values[side]) for name, values in errors.items()} if scored else {},
                depth_residual=residual if right else NAN,
            )
        )
    labelled = True if sample.presence_known is None else sample.presence_known
    false_positives = int((prediction.is_present & ~on_hand.any(axis=1) & labelled).sum())
    return rows, false_positives


def _evaluated(target: TwoHands, side: int, visible: float, camera: Camera) -> bool:
    """Return whether a hand is large and visible enough; a `visible` fraction of NaN is unknown."""
    large = _length(camera.project(target.joints[side])) >= SMALLEST_LENGTH
    return large and not visible < SMALLEST_VISIBLE


def _length(pixels: np.ndarray) -> float:
    """Return the longest side of the box around joints (21, 2), pixels."""
    return float(np.ptp(pixels, axis=0).max())


def _is_on(prediction: TwoHands, p: int, target: TwoHands, t: int, camera: Camera) -> bool:
    if not prediction.is_present[p] or not target.is_present[t]:
        return False
    truth = camera.project(target.joints[t])
    distance = np.linalg.norm(camera.project(prediction.joints[p]) - truth, axis=1).mean()
    return bool(distance < ON_THE_HAND * _length(truth))
