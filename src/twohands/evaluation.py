"""Predictor + data set -> `Report`: what a user gets, measured on hands that count.

A target hand counts when at least 30 % of its pixels are visible and it is at least 60 pixels long. It is found when a
predicted hand lies on it in the image; that hand's side may be the wrong one. Errors are those of hands found with the
right side, in metres in memory and in millimetres in print.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from twohands.geometry.camera import Camera
from twohands.metrics import METRICS
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame, Sample, TwoHands

SMALLEST_VISIBLE = 0.3
SMALLEST_LENGTH = 60.0
"""Pixels."""
TOUCHING = 0.12
"""Metres between the two roots below which the hands count as close."""
ON_THE_HAND = 0.35
"""A prediction lies on a hand when its joints are within this share of the hand's image length, on average."""
VISIBILITY_BUCKETS = ((0.3, 0.6), (0.6, 0.9), (0.9, 1.01))


@dataclass(frozen=True)
class HandRow:
    """One target hand that counts."""

    sample: str
    side: int
    visible: float
    close: bool
    found: bool
    right_side: bool
    errors: dict[str, float] = field(
        default_factory=dict
    )  # metres by metric name; empty unless found on the right side
    depth_residual: float = float("nan")


@dataclass(frozen=True)
class Report:
    """Rows of all hands that count, and predictions that lie on no hand at all."""

    rows: tuple[HandRow, ...]
    phantoms: int
    frames: int

    def summary(self) -> dict[str, dict[str, float]]:
        """Figures in metres and shares: by group (all, left, right, close, visibility buckets) and name."""
        groups = {"all": lambda row: True}
        groups |= {name: lambda row, side=side: row.side == side for side, name in enumerate(SIDE_NAMES)}
        groups["close"] = lambda row: row.close
        for low, high in VISIBILITY_BUCKETS:
            groups[f"visible {low:.0%}-{min(high, 1):.0%}"] = lambda row, a=low, b=high: a <= row.visible < b
        return {name: _figures([row for row in self.rows if keep(row)]) for name, keep in groups.items()}

    def markdown(self) -> str:
        """A table; millimetres with 95 % bootstrap intervals over hands."""
        names = list(METRICS)
        lines = ["| hands | count | found | wrong side | " + " | ".join(f"{n} (mm)" for n in names) + " |"]
        lines.append("|---" * (4 + len(names)) + "|")
        for group, figures in self.summary().items():
            cells = [f"{figures['count']:.0f}", f"{figures['found']:.1%}", f"{figures['wrong_side']:.1%}"]
            for name in names:
                low, middle, high = (figures[f"{name}{part}"] * 1e3 for part in ("_low", "", "_high"))
                cells.append(f"{middle:.1f} ({low:.1f}-{high:.1f})")
            lines.append(f"| {group} | " + " | ".join(cells) + " |")
        lines.append("")
        lines.append(f"{self.frames} frames; {self.phantoms} predictions on no hand.")
        return "\n".join(lines)

    def json(self) -> str:
        """The summary and every row; metres."""
        rows = [vars(row) for row in self.rows]
        document = {"frames": self.frames, "phantoms": self.phantoms, "summary": self.summary(), "hands": rows}
        return json.dumps(document, indent=1)


def evaluate(predictor: Callable[[RGBDFrame], TwoHands], samples: Iterable[Sample]) -> Report:
    """Runs the predictor over the samples; masks of a sample hold the visible pixels, `shares` the visible share."""
    rows: list[HandRow] = []
    phantoms = frames = 0
    for sample in samples:
        found = predictor(sample.frame)
        new, wrong = score(found, sample)
        rows, phantoms, frames = rows + new, phantoms + wrong, frames + 1
    return Report(tuple(rows), phantoms, frames)


def score(prediction: TwoHands, sample: Sample) -> tuple[list[HandRow], int]:
    """Rows of the target hands that count, and the number of predicted hands that lie on no target hand."""
    target, camera = sample.hands, sample.frame.camera
    errors = {name: metric(prediction, target) for name, metric in METRICS.items()}
    on_hand = np.array([[_lies_on(prediction, p, target, t, camera) for t in (LEFT, RIGHT)] for p in (LEFT, RIGHT)])
    roots = target.joints[:, 9]
    close = bool((target.present >= 0.5).all() and np.linalg.norm(roots[0] - roots[1]) < TOUCHING)
    rows = []
    for side in np.flatnonzero(target.present >= 0.5).tolist():
        if sample.shares is None or not _counts(target, side, float(sample.shares[side]), camera):
            continue
        right = bool(on_hand[side, side])
        residual = float("nan") if prediction.quality is None else float(prediction.quality.depth_residual[side])
        rows.append(
            HandRow(
                sample=sample.id,
                side=side,
                visible=float(sample.shares[side]),
                close=close,
                found=bool(on_hand[:, side].any()),
                right_side=right,
                errors={name: float(values[side]) for name, values in errors.items()} if right else {},
                depth_residual=residual if right else float("nan"),
            )
        )
    phantoms = int(((prediction.present >= 0.5) & ~on_hand.any(axis=1)).sum())
    return rows, phantoms


def _counts(target: TwoHands, side: int, visible: float, camera: Camera) -> bool:
    return visible >= SMALLEST_VISIBLE and _length(camera.project(target.joints[side])) >= SMALLEST_LENGTH


def _length(pixels: np.ndarray) -> float:
    """Longest side of the box of joints (21, 2), pixels."""
    return float(np.ptp(pixels, axis=0).max())


def _lies_on(prediction: TwoHands, p: int, target: TwoHands, t: int, camera: Camera) -> bool:
    if prediction.present[p] < 0.5 or target.present[t] < 0.5:
        return False
    truth = camera.project(target.joints[t])
    distance = np.linalg.norm(camera.project(prediction.joints[p]) - truth, axis=1).mean()
    return bool(distance < ON_THE_HAND * _length(truth))


def _figures(rows: list[HandRow]) -> dict[str, float]:
    """Shares of found and wrong-sided hands; mean and bootstrap interval of every error; NaN for no rows."""
    nan = float("nan")
    found = [row for row in rows if row.found]
    figures = {
        "count": float(len(rows)),
        "found": len(found) / len(rows) if rows else nan,
        "wrong_side": sum(not row.right_side for row in found) / len(found) if found else nan,
    }
    scored = [row for row in found if row.right_side]
    for name in METRICS:
        values = np.array([row.errors[name] for row in scored])
        low, high = bootstrap_interval(values)
        figures |= {name: float(values.mean()) if len(values) else nan, f"{name}_low": low, f"{name}_high": high}
    return figures


def bootstrap_interval(values: np.ndarray, draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of the mean of values (N,) by resampling; NaN for no values."""
    if not len(values):
        return float("nan"), float("nan")
    chosen = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
