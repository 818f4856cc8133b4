"""Say how far to trust a reconstructed hand: its confidence, and the sigma of each of its joints.

Both are formulas of the features of `observation`. A feature is first limited to the range in which it was seen at
calibration, so that no value decides that was never seen, and standardised: z of the hand, z_j of each of its joints.

    score      = bias + weights z                                   confidence = 1 / (1 + exp(-score))
    log sigma_j = bias_j + linear x_j + outer tanh(start_j + inner x_j)     x_j = (score / 4, z, z_j)

with sigma_j in metres, along and across the viewing ray. `tools/calibrate_trust.py` fits the coefficients, for each
method with and without the fit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np

from twohands.fitting.observation import Observation, hand_features, joint_features

COEFFICIENTS = "trust.json"
"""Asset with the coefficients of every calibration by its name: `landmarks`, `landmarks, no fit`, `pdfnet`, ..."""
LARGEST_SIGMA = 1.0
"""Metres; a larger standard deviation says no more."""
SCORE_SCALE = 4.0
"""Typical size of the score, by which it is divided in the formula of sigma."""

FEWEST_READINGS = 3
"""Visible vertices with a reading, below which the distance of a hand is a guess from its size."""
GUESS, GUESS_SIGMA = 0.1, 0.16
"""Largest confidence of such a hand, and smallest sigma of its joints along the ray over its distance. Of 91 validation
hands without readings a tenth were right, and the error of the distance had this standard deviation (`landmarks`)."""

Judge = Callable[[Sequence[Observation]], tuple[np.ndarray, np.ndarray]]
"""Function from the observed hands of a frame to confidence (2,) in [0, 1] and sigma (2, 21, 2) metres."""


@dataclass(frozen=True)
class Scaling:
    """Limits and standardisation of F features."""

    names: tuple[str, ...]
    low: np.ndarray  # (F,)
    high: np.ndarray  # (F,)
    mean: np.ndarray  # (F,)
    deviation: np.ndarray  # (F,)

    def __call__(self, features: Mapping[str, Any]) -> np.ndarray:
        """Return the standardised features (*B, F) of values (*B) by name."""
        values = np.stack([features[name] for name in self.names], axis=-1)
        return (np.clip(values, self.low, self.high) - self.mean) / self.deviation


@dataclass(frozen=True)
class SigmaFormula:
    """Coefficients of log sigma; P inputs, H hidden values."""

    bias: np.ndarray  # (21, 2) along and across the viewing ray
    linear: np.ndarray  # (P, 2)
    start: np.ndarray  # (21, H)
    inner: np.ndarray  # (P, H)
    outer: np.ndarray  # (H, 2)

    def __call__(self, score: np.ndarray, hand: np.ndarray, joint: np.ndarray) -> np.ndarray:
        """Return sigma (*B, 21, 2) in metres of a score (*B), features (*B, F) of a hand and (*B, 21, G) of joints."""
        return self.of_inputs(sigma_inputs(score, hand, joint))

    def of_inputs(self, inputs: np.ndarray) -> np.ndarray:
        """Return sigma (*B, 21, 2) in metres of the inputs (*B, 21, P) of `sigma_inputs`."""
        logarithm = self.bias + inputs @ self.linear + np.tanh(self.start + inputs @ self.inner) @ self.outer
        return np.exp(np.minimum(logarithm, np.log(LARGEST_SIGMA)))


def sigma_inputs(score: np.ndarray, hand: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Return the inputs x (*B, 21, 1 + F + G) of the formula of sigma."""
    of_hand = np.concatenate([np.asarray(score)[..., None] / SCORE_SCALE, hand], axis=-1)[..., None, :]
    return np.concatenate([np.broadcast_to(of_hand, (*joint.shape[:-1], of_hand.shape[-1])), joint], axis=-1)


@dataclass(frozen=True)
class Trust:
    """Calibrated judgement of the hands of one method."""

    hand: Scaling
    joint: Scaling
    weights: np.ndarray  # (F,) of the score
    bias: float
    sigma: SigmaFormula

    def __call__(self, observations: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
        """Return confidence (2,) in [0, 1] and sigma (2, 21, 2) metres, float32: 0 and NaN for absent hands.

        Confidence is the probability that the mean joint error in the camera frame is below 20 mm; a hand where there
        is none, or one of the other side, counts as wrong.
        """
        confidence, sigma = np.zeros(2, np.float32), np.full((2, 21, 2), np.nan, np.float32)
        for seen in observations:
            sure, spread = self.judge(hand_features(seen), joint_features(seen))
            if (seen.visible & (seen.measured > 0)).sum() < FEWEST_READINGS:
                sure = np.minimum(sure, GUESS)
                spread[:, 0] = np.maximum(spread[:, 0], GUESS_SIGMA * seen.joints[:, 2])
            confidence[seen.side], sigma[seen.side] = sure, spread
        return confidence, sigma

    def judge(self, hand: Mapping[str, Any], joint: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Return confidence (*B) and sigma (*B, 21, 2) metres for features (*B) of hands, and (*B, 21) of joints."""
        of_hand = self.hand(hand)
        score = of_hand @ self.weights + self.bias
        return 1 / (1 + np.exp(-score)), self.sigma(score, of_hand, self.joint(joint))


@cache
def shipped_trust(method: str, fit: bool = True) -> Trust:
    """Return the calibration of a method, with or without the fit.

    Networks of a user are judged as the shipped one: their confidence and sigma are approximate.
    """
    text = (files("twohands.fitting") / COEFFICIENTS).read_text()
    return trust_from(json.loads(text)[calibration_name(method, fit)])


def calibration_name(method: str, fit: bool) -> str:
    """Return the name of a calibration in the asset."""
    return method if fit else f"{method}, no fit"


def trust_from(document: Mapping[str, Any]) -> Trust:
    """Return the judgement of one calibration of the asset."""
    sigma = SigmaFormula(**{name: np.array(values) for name, values in document["sigma"].items()})
    hand, joint = _scaling(document["hand"]), _scaling(document["joint"])
    return Trust(hand, joint, np.array(document["weights"]), document["bias"], sigma)


def _scaling(document: Mapping[str, Sequence[float]]) -> Scaling:
    low, high, mean, deviation = np.array(list(document.values())).T
    return Scaling(tuple(document), low, high, mean, deviation)
