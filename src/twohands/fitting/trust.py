"""Say how far to trust a reconstructed hand: its confidence, and the sigma of each of its joints.

Both are linear in the features x of `observation`, each first limited to the range in which it was seen at calibration,
so that nothing unheard-of decides:

    score = bias + sum w x of the hand           confidence = 1 / (1 + exp(-score))
    log sigma = bias of the joint + sum w x of the joint + sum w x of the hand + sum w hinge(score)

with hinges max(score - knot, 0) and sigma in metres. One such formula gives the sigma along the viewing ray, another
the sigma across it. `tools/calibrate_trust.py` fits the coefficients, for each method with and without the fit.
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

Judge = Callable[[Sequence[Observation]], tuple[np.ndarray, np.ndarray]]
"""Function from the observed hands of a frame to confidence (2,) in [0, 1] and sigma (2, 21, 2) metres."""


@dataclass(frozen=True)
class Term:
    """Part of a linear formula: weight * the feature, limited to [low, high]."""

    low: float
    high: float
    weight: float

    def __call__(self, value: Any) -> Any:
        """Return the contribution of values of any shape."""
        return self.weight * np.clip(value, self.low, self.high)


@dataclass(frozen=True)
class SigmaFormula:
    """Coefficients of log sigma (metres) of the joints in one direction."""

    bias: np.ndarray  # (21,)
    joint: Mapping[str, Term]
    hand: Mapping[str, Term]
    score: Sequence[tuple[float, float]]  # knot and weight of each hinge of the score

    def __call__(self, joint: Mapping[str, np.ndarray], hand: Mapping[str, float], score: float) -> np.ndarray:
        """Return sigma (21,) in metres."""
        total = self.bias + sum(term(joint[name]) for name, term in self.joint.items())
        total = total + _sum_of(self.hand, hand) + sum(weight * max(score - knot, 0.0) for knot, weight in self.score)
        return np.minimum(np.exp(np.minimum(total, 10.0)), LARGEST_SIGMA)


class Trust:
    """Calibrated judgement of the hands of one method."""

    def __init__(self, bias: float, terms: Mapping[str, Term], sigma: tuple[SigmaFormula, SigmaFormula]):
        """Judge by the score's `bias` and `terms`, and by the formulas of sigma along and across the viewing ray."""
        self.bias, self.terms, self.sigma = bias, terms, sigma

    def __call__(self, observations: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
        """Return confidence (2,) in [0, 1] and sigma (2, 21, 2) metres, float32: 0 and NaN for absent hands.

        Confidence is the probability that the mean joint error in the camera frame is below 20 mm; a hand where there
        is none, or one of the other side, counts as wrong.
        """
        confidence, sigma = np.zeros(2, np.float32), np.full((2, 21, 2), np.nan, np.float32)
        for seen in observations:
            hand, joint = hand_features(seen), joint_features(seen)
            score = self.score(hand)
            confidence[seen.side] = 1 / (1 + np.exp(-np.clip(score, -30, 30)))
            sigma[seen.side] = np.stack([formula(joint, hand, score) for formula in self.sigma], axis=1)
        return confidence, sigma

    def score(self, hand: Mapping[str, float]) -> float:
        """Return the log-odds of the confidence from the features of a hand."""
        return self.bias + _sum_of(self.terms, hand)


def _sum_of(terms: Mapping[str, Term], values: Mapping[str, float]) -> float:
    return float(sum(term(values[name]) for name, term in terms.items()))


@cache
def shipped_trust(method: str, fit: bool = True) -> Trust:
    """Return the calibration of a method, 'landmarks' or 'pdfnet', with or without the fit.

    Networks of a user are judged as the shipped one: their confidence and sigma are approximate.
    """
    text = (files("twohands.fitting") / COEFFICIENTS).read_text()
    return trust_from(json.loads(text)[calibration_name(method, fit)])


def calibration_name(method: str, fit: bool) -> str:
    """Return the name of a calibration in the asset."""
    return method if fit else f"{method}, no fit"


def trust_from(document: Mapping[str, Any]) -> Trust:
    """Return the judgement of one calibration of the asset."""
    formulas = [
        SigmaFormula(
            np.array(part["bias"]), _terms(part["joint"]), _terms(part["hand"]), [tuple(pair) for pair in part["score"]]
        )
        for part in document["sigma"]
    ]
    return Trust(document["bias"], _terms(document["terms"]), (formulas[0], formulas[1]))


def _terms(document: Mapping[str, Sequence[float]]) -> dict[str, Term]:
    return {name: Term(*values) for name, values in document.items()}
