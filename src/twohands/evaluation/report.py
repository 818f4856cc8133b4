"""`Report`: measurements of every evaluated hand, their summary by groups, and the comparison of two reports.

Lengths are metres in memory and in JSON, millimetres in print. Intervals are 95 % bootstrap percentiles over frames,
since the two hands of a frame are not independent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

from twohands.evaluation.metrics import FRACTIONS, METRICS
from twohands.types import SIDE_NAMES

CLOSE = 0.12
"""Distance between the two roots below which hands are called close, metres."""
VISIBILITY_BUCKETS = ((0.3, 0.6), (0.6, 0.9), (0.9, 1.01))
DISTANCE_BUCKETS = ((0.0, 0.06), (0.06, 0.12), (0.12, 0.25), (0.25, 10.0))
"""Distances between the two roots, metres."""
NAN = float("nan")


@dataclass(frozen=True)
class HandRow:
    """The measurements of one evaluated target hand."""

    sample: str
    side: int
    visible: float  # visible fraction of the hand, NaN: unknown
    distance: float  # metres between the two roots, NaN for a single hand
    found: bool  # a predicted hand is on it in the image
    right_side: bool  # the predicted hand of its own side is on it
    errors: dict[str, float] = field(default_factory=dict)  # by name of METRICS, FRACTIONS; empty if not scored
    depth_residual: float = NAN  # metres between mesh and measured depth, see `Quality`; NaN: unknown or not found


@dataclass(frozen=True)
class Report:
    """Rows of all evaluated hands, and the numbers of false positives, frames and refused frames."""

    rows: tuple[HandRow, ...]
    false_positives: int
    frames: int
    refused: int = 0

    def summary(self) -> dict[str, dict[str, float]]:
        """Return metrics (metres, fractions) by group (all, left, right, close, visibility, distance) and name."""
        return {name: _metrics([row for row in self.rows if keep(row)]) for name, keep in _groups().items()}

    def markdown(self) -> str:
        """Return a table in millimetres and percent, with bootstrap intervals."""
        names = [f"{name} (mm)" for name in METRICS] + ["mpjpe median (mm)"] + [f"{name} (%)" for name in FRACTIONS]
        summary = self.summary()
        lines = ["| hands | count | found | wrong side | " + " | ".join(names) + " |", "|---" * (4 + len(names)) + "|"]
        for group, metrics in summary.items():
            cells = [f"{metrics['count']:.0f}", *(_known(metrics[name], ".1%") for name in ("found", "wrong_side"))]
            cells += [_cell(metrics, name, 1e3) for name in METRICS]
            cells += [_known(1e3 * metrics["mpjpe_median"]), *(_cell(metrics, name, 100) for name in FRACTIONS)]
            lines.append(f"| {group} | " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", self._remarks(summary["all"]["depth_residual_median"])])

    def _remarks(self, residual: float) -> str:
        remarks = f"{self.frames} frames; {self.false_positives} false positives."
        if np.isfinite(residual):
            remarks += f" The meshes are {1e3 * residual:.1f} mm from the measured depth (median of the hands found)."
        if self.refused:
            remarks += f" The predictor refused {self.refused} of the frames: their hands count as not found."
        return remarks

    def json(self) -> str:
        """Return the summary and every row as JSON; metres, to the micrometre, null for unknown values."""
        counts = {"frames": self.frames, "false_positives": self.false_positives, "refused": self.refused}
        document = {**counts, "summary": self.summary(), "hands": [_rounded(vars(row)) for row in self.rows]}
        return json.dumps(plain(document), allow_nan=False, indent=1)

    @staticmethod
    def from_json(text: str) -> Report:
        """Return the report of a text that `json` has written."""
        document: dict[str, Any] = json.loads(text)
        rows = tuple(HandRow(**_known_or_nan(row)) for row in document["hands"])
        return Report(rows, document["false_positives"], document["frames"], document.get("refused", 0))


@dataclass(frozen=True)
class Difference:
    """The mean difference of two reports on the hands scored in both, with its interval."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def resolved(self) -> bool:
        """True if the interval excludes zero."""
        return self.low > 0 or self.high < 0


def paired_difference(one: Report, other: Report, name: str) -> Difference:
    """Return `one` minus `other` for a metric, hand by hand."""
    values = {(row.sample, row.side): row.errors.get(name, NAN) for row in other.rows}
    pairs = [(row.sample, row.errors.get(name, NAN) - values.get((row.sample, row.side), NAN)) for row in one.rows]
    pairs = [(sample, value) for sample, value in pairs if np.isfinite(value)]
    differences = np.array([value for _, value in pairs])
    low, high = bootstrap_interval(differences, [sample for sample, _ in pairs])
    return Difference(float(differences.mean()) if len(pairs) else NAN, low, high, len(pairs))


@dataclass(frozen=True)
class RunSpread:
    """The spread of a metric among runs of the same kind: standard deviation, and degrees of freedom."""

    deviation: float
    freedom: int


def run_spread(groups: Iterable[Sequence[Report]], name: str) -> RunSpread:
    """Return the spread of a metric's mean among runs that differ by chance alone, over groups of such runs."""
    squares, freedom = 0.0, 0
    for runs in groups:
        means = np.array([np.nanmean([row.errors.get(name, NAN) for row in run.rows]) for run in runs])
        squares, freedom = squares + float(((means - means.mean()) ** 2).sum()), freedom + len(runs) - 1
    return RunSpread(float(np.sqrt(squares / freedom)) if freedom else NAN, freedom)


def difference_of_runs(one: Sequence[Report], other: Sequence[Report], name: str, spread: RunSpread) -> Difference:
    """Return the mean of some runs minus that of others, with an interval over frames and runs.

    Runs of the same training end apart, which no number of test frames shows. The interval is Student's, with the sum
    of both variances and Satterthwaite's degrees of freedom; the variance over frames has infinitely many. Without two
    runs of a kind (no freedom) the interval is NaN and the difference is not resolved.
    """
    between = paired_difference(pooled(one), pooled(other), name)
    over_frames = ((between.high - between.low) / (2 * 1.96)) ** 2
    over_runs = spread.deviation**2 * (1 / len(one) + 1 / len(other))
    variance = over_frames + over_runs
    freedom = spread.freedom * (variance / max(over_runs, 1e-6 * variance)) ** 2 if variance > 0 else spread.freedom
    half = float(stdtrit(freedom, 0.975) * np.sqrt(variance)) if spread.freedom else NAN
    return Difference(between.mean, between.mean - half, between.mean + half, between.count)


def bootstrap_interval(
    values: np.ndarray, frames: Sequence[str], draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % interval of the mean of values (N,) by resampling their frames (N,); NaN without values."""
    if not len(values):
        return NAN, NAN
    _, index = np.unique(np.asarray(frames), return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    chosen = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    low, high = np.percentile(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def pooled(reports: Sequence[Report]) -> Report:
    """Return one report of several runs on the same frames: errors are means over the runs that scored the hand.

    Frames are matched by name; frames with hands in contact should be rendered on one kind of CPU.
    """
    by_hand: dict[tuple[str, int], list[HandRow]] = {}
    for row in (row for report in reports for row in report.rows):
        by_hand.setdefault((row.sample, row.side), []).append(row)
    rows = []
    for same in by_hand.values():
        scored = [row.errors for row in same if row.errors]
        errors = {name: float(np.mean([values[name] for values in scored])) for name in scored[0]} if scored else {}
        found, right = all(row.found for row in same), all(row.right_side for row in same)
        rows.append(replace(same[0], found=found, right_side=right, errors=errors))
    false_positives, refused = (
        sum(counts) // len(reports) for counts in zip(*((r.false_positives, r.refused) for r in reports), strict=True)
    )
    return Report(tuple(rows), false_positives, reports[0].frames, refused)


def plain(value: Any) -> Any:
    """Return dictionaries and lists with None in place of numbers that are not finite, which JSON lacks."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _known_or_nan(value: Any) -> Any:
    """Return the values with NaN in place of None: the inverse of `plain`."""
    if isinstance(value, dict):
        return {name: _known_or_nan(item) for name, item in value.items()}
    return NAN if value is None else value


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _groups() -> dict[str, Callable[[HandRow], bool]]:
    groups: dict[str, Callable[[HandRow], bool]] = {"all": lambda row: True}
    groups |= {name: lambda row, side=side: row.side == side for side, name in enumerate(SIDE_NAMES)}
    groups["close"] = lambda row: row.distance < CLOSE
    for low, high in VISIBILITY_BUCKETS:
        groups[f"visible {low:.0%}-{min(high, 1):.0%}"] = lambda row, a=low, b=high: a <= row.visible < b
    for low, high in DISTANCE_BUCKETS:
        name = f"roots {low * 100:.0f}-{high * 100:.0f} cm" if high < 1 else f"roots beyond {low * 100:.0f} cm"
        groups[name] = lambda row, a=low, b=high: a <= row.distance < b
    groups["one hand"] = lambda row: bool(np.isnan(row.distance))
    return groups


def _metrics(rows: list[HandRow]) -> dict[str, float]:
    """Return found and wrong-side fractions, and mean, median and interval of every error; NaN for no rows."""
    found = [row for row in rows if row.found]
    metrics = {
        "count": float(len(rows)),
        "found": len(found) / len(rows) if rows else NAN,
        "wrong_side": sum(not row.right_side for row in found) / len(found) if found else NAN,
        "scored": float(sum(bool(row.errors) for row in rows)),
    }
    for name in (*METRICS, *FRACTIONS):
        pairs = [(row.errors[name], row.sample) for row in rows if np.isfinite(row.errors.get(name, NAN))]
        values = np.array([value for value, _ in pairs])
        low, high = bootstrap_interval(values, [sample for _, sample in pairs])
        metrics |= {name: float(values.mean()) if len(values) else NAN, f"{name}_low": low, f"{name}_high": high}
        metrics[f"{name}_median"] = _median(values)
    residuals = np.array([row.depth_residual for row in rows])
    return {**metrics, "depth_residual_median": _median(residuals[np.isfinite(residuals)])}


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else NAN


def _cell(metrics: dict[str, float], name: str, factor: float) -> str:
    low, middle, high = (metrics[f"{name}{part}"] * factor for part in ("_low", "", "_high"))
    return f"{middle:.1f} ({low:.1f}-{high:.1f})" if np.isfinite(middle) else "-"


def _known(value: float, form: str = ".1f") -> str:
    return format(value, form) if np.isfinite(value) else "-"
