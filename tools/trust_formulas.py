"""Fit the formulas of `fitting/trust.py` to hands with known errors. Used by tools/calibrate_trust.py; needs torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from twohands.fitting.trust import Scaling, SigmaFormula, Trust, sigma_inputs

RIGHT_WITHIN = 0.020
"""Metres of mean joint error below which a hand is right."""
LIMITS = (0.008, 0.012, 0.016, 0.020, 0.025, 0.030, 0.045, 0.070)
"""Errors in metres at which hands are divided into better and worse ones; one score orders them at all of them."""
RIDGE = 10.0
"""Weight of the squared weights of the score."""
RANGE = (0.5, 99.5)
"""Percentiles of the calibration hands to which a feature is limited."""
NOT_USED = ("angles",)
"""Features of a hand that are left out: they describe the scene and speak neither for nor against the hand."""
DEGREES, LARGEST_ERROR = 4.0, 0.3
"""Degrees of freedom of Student's t for joint errors, and the largest error in metres."""
HIDDEN, EPOCHS, BATCH, RATE, DECAY = 24, 16, 2048, 5e-3, 1.0
"""Hidden values of the formula of sigma and settings of its training (AdamW, one cycle)."""
COVERAGE = (0.70, 0.935)
"""Aimed fractions of errors within 1 and 1.96 sigma, between those of the heavy tails and 68 % and 95 %."""
FOLDS, SIGMA_FOLDS = 6, 3
"""Parts of the hands, each judged by formulas fitted to the others: for the score, and for sigma."""


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

    @staticmethod
    def join(parts: Sequence[Hands]) -> Hands:
        """Return the hands of all parts."""
        first = parts[0]
        return Hands(
            hand={name: np.concatenate([part.hand[name] for part in parts]) for name in first.hand},
            joint={name: np.concatenate([part.joint[name] for part in parts]) for name in first.joint},
            error=np.concatenate([part.error for part in parts]),
            along=np.concatenate([part.along for part in parts]),
            across=np.concatenate([part.across for part in parts]),
            visible=np.concatenate([part.visible for part in parts]),
            frame=np.concatenate([part.frame for part in parts]),
        )


def calibrated(hands: Hands) -> Trust:
    """Return the judgement fitted to hands. What uses the score is fitted to scores of hands left out of its fit."""
    of_hand = scaling({name: values for name, values in hands.hand.items() if name not in NOT_USED})
    of_joint = scaling(hands.joint)
    features, honest = of_hand(hands.hand), np.empty(len(hands.error))
    for rest, own in _parts(hands.frame, FOLDS):
        weights, bias = ordered_fit(features[rest], hands.error[rest])
        honest[own] = features[own] @ weights + bias
    weights, bias = ordered_fit(features, hands.error)
    slope, shift = straighten(honest, hands.error < RIGHT_WITHIN)
    there = np.isfinite(hands.error)
    inputs = sigma_inputs(slope * honest + shift, features, of_joint(hands.joint))[there]
    errors = np.concatenate([hands.along, hands.across], axis=2)[there]
    sigma = fitted_sigma(inputs, errors, hands.visible[there], hands.frame[there], column_of(of_hand, of_joint))
    return Trust(of_hand, of_joint, slope * weights, slope * bias + shift, sigma)


def column_of(of_hand: Scaling, of_joint: Scaling) -> int:
    """Return the column of the inputs of sigma that has the fraction of the joint's surroundings that is seen."""
    return 1 + len(of_hand.names) + of_joint.names.index("shown")


def scaling(features: Mapping[str, np.ndarray]) -> Scaling:
    """Return the standardisation of features that are not constant."""
    names = [name for name, values in features.items() if np.std(values) > 1e-6]
    rows = []
    for name in names:
        low, high = np.percentile(features[name], RANGE)
        limited = np.clip(features[name], low, high)
        rows.append((low, high, limited.mean(), max(limited.std(), 1e-6)))
    low, high, mean, deviation = np.array(rows).T
    return Scaling(tuple(names), low, high, mean, deviation)


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


def fitted_sigma(
    inputs: np.ndarray, errors: np.ndarray, visible: np.ndarray, frame: np.ndarray, shown: int
) -> SigmaFormula:
    """Return the formula of sigma for inputs (N, 21, P) and errors (N, 21, 3), matched to both aimed coverages.

    errors are metres along the ray and along both axes across it, visible (N, 21) bool, frame (N,) names of frames;
    `shown` is the column of the inputs that has the fraction of the joint's surroundings that is seen.
    """
    honest = np.empty((*errors.shape[:2], 2))
    for rest, own in _parts(frame, SIGMA_FOLDS):
        honest[own] = np.log(t_fit(inputs[rest], errors[rest]).of_inputs(inputs[own]))
    formula = t_fit(inputs, errors)
    for axis, columns in enumerate((slice(0, 1), slice(1, 3))):
        start, seen, power = matched(honest[..., axis], np.abs(errors[..., columns]), visible, inputs[..., shown])
        bias, linear, outer = formula.bias.copy(), formula.linear.copy(), formula.outer.copy()
        bias[:, axis] = bias[:, axis] * power + start
        linear[:, axis] *= power
        outer[:, axis] *= power
        linear[shown, axis] += seen
        formula = replace(formula, bias=bias, linear=linear, outer=outer)
    return formula


def t_fit(inputs: np.ndarray, errors: np.ndarray) -> SigmaFormula:
    """Return the formula under which errors are most likely, as Student's t with the scale sigma."""
    torch.manual_seed(0)
    count = inputs.shape[-1]
    x = torch.as_tensor(inputs.reshape(-1, count), dtype=torch.float32)
    joint = torch.arange(21).repeat(len(inputs))
    away = torch.as_tensor(np.clip(errors, -LARGEST_ERROR, LARGEST_ERROR).reshape(-1, 3), dtype=torch.float32)
    sizes = {
        "bias": (21, 2),
        "linear": (count, 2),
        "start": (21, HIDDEN),
        "inner": (count, HIDDEN),
        "outer": (HIDDEN, 2),
    }
    parts = {
        name: torch.randn(size) * (size[0] ** -0.5 if name in ("inner", "outer") else 0) for name, size in sizes.items()
    }
    parts["bias"] -= 4.5
    for values in parts.values():
        values.requires_grad_()
    decayed = [parts[name] for name in ("linear", "inner", "outer", "start")]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": [parts["bias"]], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE)
    steps = EPOCHS * (len(x) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            own, of = x[rows], joint[rows]
            hidden = torch.tanh(parts["start"][of] + own @ parts["inner"])
            scale = (parts["bias"][of] + own @ parts["linear"] + hidden @ parts["outer"])[:, [0, 1, 1]]
            ratio = (away[rows] * torch.exp(-scale)) ** 2 / DEGREES
            loss = (scale + (DEGREES + 1) / 2 * torch.log1p(ratio)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return SigmaFormula(**{name: values.detach().numpy().astype(np.float64) for name, values in parts.items()})


def matched(
    scale: np.ndarray, errors: np.ndarray, visible: np.ndarray, shown: np.ndarray
) -> tuple[float, float, float]:
    """Return a, b, c such that a + b shown + c scale is the log sigma (N, 21) whose coverages are the aimed ones.

    Both coverages count for visible and for hidden joints alike; scale is the log scale of hands that were left out of
    the fit, errors (N, 21, D) metres. No sigma has both: the tails of the errors are heavier than a normal
    distribution's, for any scale that the features explain.
    """
    size = np.log(errors + 1e-6)
    middle = float(scale.mean())

    def loss(unknowns: np.ndarray) -> float:
        limit = (scale + unknowns[0] + unknowns[1] * shown + unknowns[2] * (scale - middle))[..., None]
        value = 0.0
        for aimed, factor in zip(COVERAGE, (0.0, np.log(1.96)), strict=True):
            inside = _sigmoid((limit + factor - size) / 0.05)
            value += sum((inside[group].mean() - aimed) ** 2 for group in (visible, ~visible))
        return 1e4 * value + 0.1 * unknowns[2] ** 2

    start, seen, power = minimize(loss, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-3}).x
    return float(start - power * middle), float(seen), float(1 + power)


def document_of(trust: Trust) -> dict[str, Any]:
    """Return a judgement as its part of the asset, see `trust.trust_from`."""
    tables = {}
    for name, one in (("hand", trust.hand), ("joint", trust.joint)):
        values = np.stack([one.low, one.high, one.mean, one.deviation], axis=1)
        tables[name] = dict(zip(one.names, _rounded(values), strict=True))
    sigma = {name: _rounded(values) for name, values in vars(trust.sigma).items()}
    return {**tables, "weights": _rounded(trust.weights), "bias": float(f"{trust.bias:.4g}"), "sigma": sigma}


def _rounded(values: np.ndarray) -> Any:
    return np.vectorize(lambda value: float(f"{value:.4g}"))(values).tolist()


def _parts(frame: np.ndarray, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the masks (N,) of the rest and of each part; the hands of a frame stay together."""
    names, index = np.unique(frame, return_inverse=True)
    part = (np.random.default_rng(0).permutation(len(names)) % count)[index]
    for number in range(count):
        yield part != number, part == number


def _sigmoid(odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(odds, -40, 40)))
