"""`Report`: what was measured on every hand that counts, its summary by groups, and the comparison of two reports.

Metres in memory and in JSON, millimetres in print. Intervals are 95 % bootstrap percentiles over frames, since the two
hands of a frame are not independent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import stdtrit

from twohands.evaluation.metrics import METRICS, SHARES
from twohands.types import SIDE_NAMES

CLOSE = 0.12
"""Metres between the two roots below which the hands count as close."""
VISIBILITY_BUCKETS = ((0.3, 0.6), (0.6, 0.9), (0.9, 1.01))
DISTANCE_BUCKETS = ((0.0, 0.06), (0.06, 0.12), (0.12, 0.25), (0.25, 10.0))
"""Metres between the two roots."""
NAN = float("nan")


@dataclass(frozen=True)
class HandRow:
    """One target hand that counts."""

    sample: str
    side: int
    visible: float  # share of the hand, NaN: unknown
    distance: float  # metres between the two roots, NaN for a single hand
    found: bool  # a predicted hand lies on it in the image
    right_side: bool  # and it is the one of its side
    errors: dict[str, float] = field(default_factory=dict)  # by name of METRICS and SHARES; empty for an unscored hand
    depth_residual: float = NAN  # metres between mesh and measured depth, see `Quality`; NaN: unknown or not found


@dataclass(frozen=True)
class Report:
    """Rows of all hands that count, predictions that lie on no hand at all, and frames that were refused."""

    rows: tuple[HandRow, ...]
    false_positives: int
    frames: int
    refused: int = 0

    def summary(self) -> dict[str, dict[str, float]]:
        """Figures in metres and shares by group (all, left, right, close, visibility, distance) and name."""
        return {name: _figures([row for row in self.rows if keep(row)]) for name, keep in _groups().items()}

    def markdown(self) -> str:
        """A table; millimetres and percent, with bootstrap intervals."""
        names = [f"{name} (mm)" for name in METRICS] + ["mpjpe median (mm)"] + [f"{name} (%)" for name in SHARES]
        summary = self.summary()
        lines = ["| hands | count | found | wrong side | " + " | ".join(names) + " |", "|---" * (4 + len(names)) + "|"]
        for group, figures in summary.items():
            cells = [f"{figures['count']:.0f}", *(_known(figures[name], ".1%") for name in ("found", "wrong_side"))]
            cells += [_cell(figures, name, 1e3) for name in METRICS]
            cells += [_known(1e3 * figures["mpjpe_median"]), *(_cell(figures, name, 100) for name in SHARES)]
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
        """The summary and every row; metres, to the micrometre, null for what is not known."""
        counts = {"frames": self.frames, "false_positives": self.false_positives, "refused": self.refused}
        document = {**counts, "summary": self.summary(), "hands": [_rounded(vars(row)) for row in self.rows]}
        return json.dumps(plain(document), allow_nan=False, indent=1)

    @staticmethod
    def from_json(text: str) -> Report:
        """The report of a text that `json` has written."""
        document: dict[str, Any] = json.loads(text)
        rows = tuple(HandRow(**_known_or_nan(row)) for row in document["hands"])
        return Report(rows, document["false_positives"], document["frames"], document.get("refused", 0))


@dataclass(frozen=True)
class Difference:
    """Mean of one report minus that of another on the hands scored in both, with its interval."""

    mean: float
    low: float
    high: float
    count: int

    @property
    def resolved(self) -> bool:
        """Whether the interval leaves no doubt about the sign."""
        return self.low > 0 or self.high < 0


def paired_difference(one: Report, other: Report, name: str) -> Difference:
    """`one` minus `other` of a metric or share, hand by hand."""
    values = {(row.sample, row.side): row.errors.get(name, NAN) for row in other.rows}
    pairs = [(row.sample, row.errors.get(name, NAN) - values.get((row.sample, row.side), NAN)) for row in one.rows]
    pairs = [(sample, value) for sample, value in pairs if np.isfinite(value)]
    differences = np.array([value for _, value in pairs])
    low, high = bootstrap_interval(differences, [sample for sample, _ in pairs])
    return Difference(float(differences.mean()) if len(pairs) else NAN, low, high, len(pairs))


@dataclass(frozen=True)
class RunSpread:
    """How far a figure of runs of the same kind lies from their mean: standard deviation, and degrees of freedom."""

    deviation: float
    freedom: int


def run_spread(groups: Iterable[Sequence[Report]], name: str) -> RunSpread:
    """The spread of a metric's mean among runs that differ by chance alone, over groups of such runs."""
    squares, freedom = 0.0, 0
    for runs in groups:
        means = np.array([np.nanmean([row.errors.get(name, NAN) for row in run.rows]) for run in runs])
        squares, freedom = squares + float(((means - means.mean()) ** 2).sum()), freedom + len(runs) - 1
    return RunSpread(float(np.sqrt(squares / freedom)) if freedom else NAN, freedom)


def difference_of_runs(one: Sequence[Report], other: Sequence[Report], name: str, spread: RunSpread) -> Difference:
    """The mean of some runs minus that of others, as `paired_difference`, with an interval over frames and runs.

    Another run of the same training ends elsewhere, which no number of test frames shows: Student's interval with the
    sum of both variances and Satterthwaite's degrees of freedom, where that over frames has all. Without any two runs
    of a kind (no freedom) it is NaN, and nothing is resolved.
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
    """95 % percentile interval of the mean of values (N,), resampling the frames (N,) they come from; NaN for none."""
    if not len(values):
        return NAN, NAN
    _, index = np.unique(np.asarray(frames), return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    chosen = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    low, high = np.percentile(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1), [2.5, 97.5])
    return float(low), float(high)


def pooled(reports: Sequence[Report]) -> Report:
    """One report of several runs on the same frames: every error is its mean over the runs that scored the hand.

    Frames are known by their names: those with hands in contact should be drawn on one kind of CPU.
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
    """The same dictionaries and lists with None for numbers that are not finite: JSON has none of these."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _known_or_nan(value: Any) -> Any:
    """`plain` undone."""
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


def _figures(rows: list[HandRow]) -> dict[str, float]:
    """Shares of found and wrong-sided hands; mean, median and bootstrap interval of every error; NaN for no rows."""
    found = [row for row in rows if row.found]
    figures = {
        "count": float(len(rows)),
        "found": len(found) / len(rows) if rows else NAN,
        "wrong_side": sum(not row.right_side for row in found) / len(found) if found else NAN,
        "scored": float(sum(bool(row.errors) for row in rows)),
    }
    for name in (*METRICS, *SHARES):
        pairs = [(row.errors[name], row.sample) for row in rows if np.isfinite(row.errors.get(name, NAN))]
        values = np.array([value for value, _ in pairs])
        low, high = bootstrap_interval(values, [sample for _, sample in pairs])
        figures |= {name: float(values.mean()) if len(values) else NAN, f"{name}_low": low, f"{name}_high": high}
        figures[f"{name}_median"] = _median(values)
    residuals = np.array([row.depth_residual for row in rows])
    return {**figures, "depth_residual_median": _median(residuals[np.isfinite(residuals)])}


def _median(values: np.ndarray) -> float:
    return float(np.median(values)) if len(values) else NAN


def _cell(figures: dict[str, float], name: str, factor: float) -> str:
    low, middle, high = (figures[f"{name}{part}"] * factor for part in ("_low", "", "_high"))
    return f"{middle:.1f} ({low:.1f}-{high:.1f})" if np.isfinite(middle) else "-"


def _known(value: float, form: str = ".1f") -> str:
    return format(value, form) if np.isfinite(value) else "-"
