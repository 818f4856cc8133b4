"""Predictor + data set -> `Report`: what a user gets, measured on hands that count.

A target hand counts when at least 30 % of its pixels are visible and it is at least 60 pixels long. It is found when a
predicted hand lies on it in the image; that hand's side may be the wrong one. Scored are the hands found with the right
side; or, where it is known which hands are there (the paper's tables), all hands that count. In a frame that the
predictor refuses no hand is found.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from twohands.geometry.camera import Camera
from twohands.hands.mano import with_tips
from twohands.hands.skeleton import FINGERTIP_VERTICES, NUM_JOINTS, ROOT
from twohands.metrics import METRICS, SHARES
from twohands.predictor import NetworkPredictor, Predictor
from twohands.report import NAN, HandRow, Report
from twohands.types import LEFT, RIGHT, Sample, TwoHands
from twohands.views import box_centers

MODES = ("ground_truth", "own", "ground_truth_centers")
"""What a network is given: true masks; nothing; true masks and centres."""
SMALLEST_VISIBLE = 0.3
SMALLEST_LENGTH = 60.0
"""Pixels."""
ON_THE_HAND = 0.35
"""A prediction lies on a hand when its joints are within this share of the hand's image length, on average."""
NO_HANDS = TwoHands(None, np.zeros((2, NUM_JOINTS, 3), np.float32), np.zeros(2, np.float32))
"""The prediction for a frame that the predictor refuses: this very object."""
PATIENCE = 30
"""Frames which, all refused from the first on, show that the data are not for the predictor."""
_log = logging.getLogger(__name__)


class Forgiving:
    """A predictor that has NO_HANDS for the frame of a sample which the given one refuses; a warning says why.

    Raises the ValueError of that one when it has refused the first PATIENCE frames.
    """

    def __init__(self, predictor: Callable[..., TwoHands]):
        self.predictor, self.accepted, self.refused = predictor, 0, 0

    def __call__(self, sample: Sample, **given: Any) -> TwoHands:
        """The prediction; `given` is what the predictor takes beside the frame."""
        try:
            hands = self.predictor(sample.frame, **given)
        except ValueError as error:
            self.refused += 1
            if not self.accepted and self.refused >= PATIENCE:
                raise
            _log.warning("no hands in %s: %s", sample.id, error)
            return NO_HANDS
        self.accepted += 1
        return hands


def evaluate(
    predict: Callable[[Sample], TwoHands],
    samples: Iterable[Sample],
    known_presence: bool = False,
    hand_model: str | None = None,
) -> Report:
    """Predicts the hands of every sample and scores them, see `predictions` and `report_of`."""
    return report_of(predictions(predict, samples, known_presence, hand_model), known_presence)


def predictions(
    predict: Callable[[Sample], TwoHands],
    samples: Iterable[Sample],
    known_presence: bool = False,
    hand_model: str | None = None,
) -> Iterator[tuple[TwoHands, Sample]]:
    """The prediction for every sample, beside it; `predict` may use as much of a sample as the row allows.

    See `as_compared`; predicted meshes are left out where the sample's are of another hand model.
    """
    for sample in samples:
        prediction = as_compared(predict(sample), sample, known_presence, hand_model)
        if None not in (hand_model, sample.hand_model) and sample.hand_model != hand_model:
            prediction = prediction if prediction is NO_HANDS else replace(prediction, vertices=None)
        yield prediction, sample


def as_compared(prediction: TwoHands, sample: Sample, known_presence: bool, hand_model: str | None) -> TwoHands:
    """The prediction as it stands beside the sample's hands: present with them, and with the finger tips of the labels.

    `known_presence`: whatever the prediction says of presence, it has the hands that the sample has. `hand_model` names
    the one of the predicted meshes, None: that of the sample's, with the same finger tips.
    """
    if prediction is NO_HANDS:
        return prediction
    if known_presence:
        prediction = replace(prediction, present=sample.hands.present)
    if hand_model == "mano" and sample.joint_definition in FINGERTIP_VERTICES:
        prediction = with_tips(prediction, sample.joint_definition)
    return prediction


def report_of(pairs: Iterable[tuple[TwoHands, Sample]], known_presence: bool = False) -> Report:
    """The report of predictions; masks of a sample hold the visible pixels, `shares` the visible share."""
    rows: list[HandRow] = []
    false_positives = frames = refused = 0
    for prediction, sample in pairs:
        new, wrong = score(prediction, sample, known_presence)
        rows.extend(new)
        false_positives, frames, refused = false_positives + wrong, frames + 1, refused + (prediction is NO_HANDS)
    return Report(tuple(rows), false_positives, frames, refused)


def predict_with(predictor: Predictor, mode: str) -> Callable[[Sample], TwoHands]:
    """The prediction for a sample, with what one of the MODES gives of its truth; a refused frame has NO_HANDS.

    Raises ValueError for another mode, and when truth is to be given to a predictor that takes none.
    """
    if mode not in MODES:
        raise ValueError(f"mode {mode!r} is unknown; known are {', '.join(MODES)}")
    forgiving = Forgiving(predictor)
    if mode == "own":
        return forgiving
    if not isinstance(predictor, NetworkPredictor):
        raise ValueError(f"mode {mode!r} needs a network of our own; 'landmarks' takes no masks")

    def with_truth(sample: Sample) -> TwoHands:
        if sample.masks is None:
            raise ValueError(f"{sample.id} has no true masks; measure these frames with --masks own")
        centers = box_centers(sample) if mode == "ground_truth_centers" else None
        return forgiving(sample, masks=sample.masks, centers=centers)

    return with_truth


def score(prediction: TwoHands, sample: Sample, known_presence: bool = False) -> tuple[list[HandRow], int]:
    """Rows of the target hands that count, and the number of predicted hands that lie on no target hand.

    A predicted hand of which the labels do not tell whether it is there is none of these.
    """
    target, camera = sample.hands, sample.frame.camera
    errors = {name: metric(prediction, target) for name, metric in (METRICS | SHARES).items()}
    on_hand = np.array([[_lies_on(prediction, p, target, t, camera) for t in (LEFT, RIGHT)] for p in (LEFT, RIGHT)])
    both = bool(target.is_present.all())
    distance = float(np.linalg.norm(np.diff(target.joints[:, ROOT], axis=0))) if both else NAN
    rows = []
    for side in target.present_sides:
        visible = NAN if sample.shares is None else float(sample.shares[side])
        if not _counts(target, side, visible, camera):
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
    told = True if sample.presence_known is None else sample.presence_known
    false_positives = int((prediction.is_present & ~on_hand.any(axis=1) & told).sum())
    return rows, false_positives


def _counts(target: TwoHands, side: int, visible: float, camera: Camera) -> bool:
    """Large and, as far as it is known (else `visible` is NaN), visible enough."""
    large = _length(camera.project(target.joints[side])) >= SMALLEST_LENGTH
    return large and not visible < SMALLEST_VISIBLE


def _length(pixels: np.ndarray) -> float:
    """Longest side of the box of joints (21, 2), pixels."""
    return float(np.ptp(pixels, axis=0).max())


def _lies_on(prediction: TwoHands, p: int, target: TwoHands, t: int, camera: Camera) -> bool:
    if not prediction.is_present[p] or not target.is_present[t]:
        return False
    truth = camera.project(target.joints[t])
    distance = np.linalg.norm(camera.project(prediction.joints[p]) - truth, axis=1).mean()
    return bool(distance < ON_THE_HAND * _length(truth))
