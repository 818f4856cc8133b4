"""Fit the formulas of `fitting/trust.py` to hands with known errors. Used by tools/calibrate_trust.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

RIGHT_WITHIN = 0.020
"""Metres of mean joint error below which a hand is right."""
LIMITS = (0.008, 0.012, 0.016, 0.020, 0.025, 0.030, 0.045, 0.070)
"""Errors in metres at which hands are divided into better and worse ones; one score orders them at all of them."""
RIDGE = 10.0
"""Weight of the squared coefficients of standardised features in the score."""
RANGE = (0.5, 99.5)
"""Percentiles of the calibration hands to which a feature is limited."""
DEGREES, RIDGE_SIGMA, LARGEST_ERROR = 3.0, 3.0, 0.3
"""Degrees of freedom of Student's t for joint errors, the ridge of its coefficients, the largest error in metres."""
KNOTS = (-2.0, 0.0, 2.0)
"""Knots of the hinges of the score in log sigma."""
SIGMA_OF_HAND = ("log_depth", "log_pixels", "apart")
"""Features of a hand that enter log sigma beside its score."""
NOT_USED = ("fitted", "angles")
COVERAGE = (0.695, 0.94)
"""Aimed fractions of errors within 1 and 1.96 sigma, inside the tolerances of 68 % and 95 %."""
FOLDS = 6


@dataclass(frozen=True)
class Hands:
    """N found hands of known error."""

    hand: Mapping[str, np.ndarray]  # (N,) features
    joint: Mapping[str, np.ndarray]  # (N, 21) features
    error: np.ndarray  # (N,) metres, mean joint error; infinite where there is no such hand
    along: np.ndarray  # (N, 21, 1) metres, joint errors along the viewing ray
    across: np.ndarray  # (N, 21, 2) metres, joint errors along two axes across it
    visible: np.ndarray  # (N, 21) bool, the camera sees the joint
    frame: np.ndarray  # (N,) names of the frames

    def __getitem__(self, chosen: np.ndarray) -> Hands:
        return Hands(
            {name: values[chosen] for name, values in self.hand.items()},
            {name: values[chosen] for name, values in self.joint.items()},
            *(getattr(self, name)[chosen] for name in ("error", "along", "across", "visible", "frame")),
        )


def calibrate(hands: Hands) -> dict[str, Any]:
    """Return the document of a calibration, see `trust.trust_from`."""
    return Calibration(hands).document()


class Calibration:
    """Formulas fitted to hands. What follows the score is fitted to scores of hands that it was not fitted to."""

    def __init__(self, hands: Hands):
        self.names = [name for name in hands.hand if name not in NOT_USED and np.std(hands.hand[name]) > 1e-6]
        self.limits = {name: _limits(hands.hand[name]) for name in self.names}
        self.joint_limits = {name: _limits(values) for name, values in hands.joint.items()}
        features, fold = self._features(hands), folds(hands.frame)
        honest = np.empty(len(fold))
        for number in range(FOLDS):
            weights, bias = ordered_fit(features[fold != number], hands.error[fold != number])
            honest[fold == number] = features[fold == number] @ weights + bias
        weights, bias = ordered_fit(features, hands.error)
        slope, shift = straighten(honest, hands.error < RIGHT_WITHIN)
        self.weights, self.bias = slope * weights, slope * bias + shift
        self.sigma = [self._sigma(hands, slope * honest + shift, fold, name) for name in ("along", "across")]

    def score(self, hands: Hands) -> np.ndarray:
        """Return the log-odds (N,) that each hand is right."""
        return self._features(hands) @ self.weights + self.bias

    def _features(self, hands: Hands) -> np.ndarray:
        return np.stack([_standard(hands.hand[name], self.limits[name]) for name in self.names], axis=1)

    def _design(self, hands: Hands, score: np.ndarray) -> np.ndarray:
        """Return (N, 21, P): joint, hinges of the score, features of the hand, features of the joint."""
        count = len(score)
        of_hand = [score, *(np.maximum(score - knot, 0) for knot in KNOTS)]
        of_hand += [_standard(hands.hand[name], self.limits[name]) for name in SIGMA_OF_HAND]
        of_joint = [_standard(values, self.joint_limits[name]) for name, values in hands.joint.items()]
        return np.concatenate(
            [
                np.broadcast_to(np.eye(21), (count, 21, 21)),
                np.broadcast_to(np.stack(of_hand, axis=1)[:, None], (count, 21, len(of_hand))),
                np.stack(of_joint, axis=2),
            ],
            axis=2,
        )

    def _sigma(self, hands: Hands, score: np.ndarray, fold: np.ndarray, direction: str) -> np.ndarray:
        """Return the coefficients (P,) of log sigma, metres, matched to both aimed coverages."""
        there = np.isfinite(hands.error)
        design, errors = self._design(hands, score)[there], getattr(hands, direction)[there]
        fold, visible = fold[there], hands.visible[there]
        honest = np.empty(errors.shape[:2])
        for number in range(FOLDS):
            honest[fold == number] = design[fold == number] @ t_fit(design[fold != number], errors[fold != number])
        return matched(t_fit(design, errors), honest, design, errors, visible, self._shown())

    def _shown(self) -> int:
        """Return the column of the design with the visible fraction around the joint."""
        return 21 + 1 + len(KNOTS) + len(SIGMA_OF_HAND) + list(self.joint_limits).index("shown")

    def document(self) -> dict[str, Any]:
        """Return the formulas in raw units of the features."""
        terms, bias = _raw(self.names, self.limits, self.weights)
        formulas = []
        for weights in self.sigma:
            own, of_score = weights[:21], weights[21 : 22 + len(KNOTS)]
            of_hand = weights[22 + len(KNOTS) :][: len(SIGMA_OF_HAND)]
            of_joint = weights[22 + len(KNOTS) + len(SIGMA_OF_HAND) :]
            hand, more = _raw(SIGMA_OF_HAND, self.limits, of_hand)
            joint, most = _raw(list(self.joint_limits), self.joint_limits, of_joint)
            # below the first knot the score itself, as a hinge that is always open
            hinges = [(-30.0, of_score[0]), *zip(KNOTS, of_score[1:], strict=True)]
            start = own + more + most - 30.0 * of_score[0]
            formulas.append({"bias": start.tolist(), "joint": joint, "hand": hand, "score": [list(h) for h in hinges]})
        return _rounded({"bias": self.bias + bias, "terms": terms, "sigma": formulas})


def folds(frame: np.ndarray) -> np.ndarray:
    """Return the number (N,) of the fold of every hand; hands of one frame stay together."""
    names, index = np.unique(frame, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(names)) % FOLDS)[index]


def ordered_fit(features: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, float]:
    """Return weights (F,) and bias of the log-odds that an error is below RIGHT_WITHIN (proportional odds, ridge)."""
    below = (error[:, None] < np.array(LIMITS)).astype(np.float64)
    count = features.shape[1]

    def loss(unknowns: np.ndarray) -> tuple[float, np.ndarray]:
        weights, start = unknowns[:count], unknowns[count:]
        odds = (features @ weights)[:, None] + start
        value = (np.logaddexp(0, odds) - below * odds).sum() / len(LIMITS) + RIDGE / 8 * weights @ weights
        pull = (_sigmoid(odds) - below) / len(LIMITS)
        return float(value), np.concatenate([features.T @ pull.sum(axis=1) + RIDGE / 4 * weights, pull.sum(axis=0)])

    found = minimize(loss, np.zeros(count + len(LIMITS)), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
    return found[:count], float(found[count + LIMITS.index(RIGHT_WITHIN)])


def straighten(score: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Return slope and shift that turn scores into log-odds of being right (Platt's method)."""

    def loss(unknowns: np.ndarray) -> float:
        odds = unknowns[0] * score + unknowns[1]
        return float((np.logaddexp(0, odds) - right * odds).sum()) + 0.5 * (unknowns[0] - 1) ** 2

    slope, shift = minimize(loss, np.array([1.0, 0.0])).x
    return float(slope), float(shift)


def t_fit(design: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return weights (P,) of the log scale of Student's t for errors (N, 21, D), which share a scale along D."""
    rows, axes = design.reshape(-1, design.shape[-1]), errors.shape[-1]
    squared = np.minimum(np.abs(errors.reshape(-1, axes)), LARGEST_ERROR) ** 2

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scale = np.clip(rows @ weights, -12, 2)
        ratio = squared * np.exp(-2 * scale)[:, None] / DEGREES
        value = axes * scale + (DEGREES + 1) / 2 * np.log1p(ratio).sum(axis=1)
        pull = axes - (DEGREES + 1) * (ratio / (1 + ratio)).sum(axis=1)
        return float(value.sum() + RIDGE_SIGMA / 2 * weights @ weights), rows.T @ pull + RIDGE_SIGMA * weights

    return minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 500}).x


def matched(
    weights: np.ndarray, scale: np.ndarray, design: np.ndarray, errors: np.ndarray, visible: np.ndarray, shown: int
) -> np.ndarray:
    """Return the weights (P,) changed so that both aimed coverages hold, for visible and for hidden joints alike.

    The errors have heavier tails than a normal distribution of any scale that the features explain. So a constant, the
    visibility around the joint (column `shown`), the spread of all scales and the score of doubtful hands are changed.
    scale (N, 21) is the log scale of hands that the formula was not fitted to.
    """
    size = np.log(np.abs(errors) + 1e-5)
    score, vis = design[..., 21], design[..., shown]
    middle = float(scale.mean())
    doubt = [np.maximum(score - knot, 0) for knot in KNOTS]

    def changed(unknowns: np.ndarray) -> np.ndarray:
        start, seen, power, *doubts = unknowns
        result = start + seen * vis + power * (scale - middle) + scale + doubts[0] * score
        return result + sum(weight * hinge for weight, hinge in zip(doubts[1:], doubt, strict=True))

    def loss(unknowns: np.ndarray) -> float:
        limit = changed(unknowns)[..., None]
        value = MATCH_RIDGE * (unknowns[2:] ** 2).sum()
        for aimed, factor in zip(COVERAGE, (0.0, np.log(1.96)), strict=True):
            inside = _sigmoid((limit + factor - size) / 0.05)
            value += sum((inside[group].mean() - aimed) ** 2 for group in (visible, ~visible))
        return 1e3 * float(value)

    found = minimize(loss, np.zeros(3 + 1 + len(KNOTS)), method="Powell", options={"maxiter": 60, "xtol": 1e-3}).x
    result = weights * (1 + found[2])
    result[:21] += found[0] - found[2] * middle
    result[shown] += found[1]
    result[21 : 22 + len(KNOTS)] += found[3:]
    return result


MATCH_RIDGE = 2e-5


def _limits(values: np.ndarray) -> tuple[float, float, float, float]:
    """Return the lowest and highest value of a feature, and mean and deviation within them."""
    low, high = np.percentile(values, RANGE)
    limited = np.clip(values, low, high)
    return float(low), float(high), float(limited.mean()), float(max(limited.std(), 1e-6))


def _standard(values: np.ndarray, limits: tuple[float, float, float, float]) -> np.ndarray:
    low, high, mean, deviation = limits
    return (np.clip(values, low, high) - mean) / deviation


def _raw(
    names: Sequence[str], limits: Mapping[str, tuple[float, float, float, float]], weights: np.ndarray
) -> tuple[dict[str, list[float]], float]:
    """Return low, high and weight of features in their own units by name, and the bias that this takes."""
    terms, bias = {}, 0.0
    for name, weight in zip(names, weights, strict=True):
        low, high, mean, deviation = limits[name]
        terms[name] = [low, high, weight / deviation]
        bias -= weight * mean / deviation
    return terms, bias


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.5g}")


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(odds, -40, 40)))
