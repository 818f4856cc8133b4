"""`Benchmark`: a table of metrics, and how each of them is averaged and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from twohands.evaluation.benchmarks.pairs import ObjectPair, blocks
from twohands.evaluation.benchmarks.values import NAN, Values
from twohands.types import SIDE_NAMES, TwoHands

UNITS = {"mm": 1e3, "cm": 1e2}
"""Number of printed units in a metre."""


@dataclass(frozen=True)
class Metric:
    """One number of a benchmark."""

    values: Values
    order: Literal["joints", "hands", "frames"] = "joints"
    """joints: mean over all hands of all frames for each joint, then over joints. hands: the same for each hand, then
    over the two, which are reported as well. frames: over the joints of a hand, the hands of a frame, the frames."""
    kind: Literal["length", "fraction", "acceleration"] = "length"
    middle: Literal["mean", "median"] = "mean"  # over the frames of a joint
    needs: Literal["roots", "objects"] | None = None  # the metric is left out if these are not given


@dataclass(frozen=True)
class Benchmark:
    """The metrics of a benchmark by name, and the unit in which it prints lengths."""

    metrics: dict[str, Metric]
    unit: Literal["mm", "cm"] = "mm"

    def measure(
        self,
        predictions: Sequence[TwoHands],
        targets: Sequence[TwoHands],
        *,
        roots: Sequence[np.ndarray] | None = None,
        objects: Sequence[ObjectPair] | None = None,
        sequences: Sequence[str] | None = None,
    ) -> dict[str, float]:
        """Return every metric by name, in metres, fractions and m/s^2; names of single hands end in _left and _right.

        predictions, targets: one record per frame, camera frame; meshes must have the benchmark's hand model (MANO).
        roots: (2, 3) metres per frame, `NetworkOutput.root`, for the metrics `al_published_*`. objects: for `cdev`.
        sequences: the recording of each frame; acceleration is measured within recordings. By default all frames are
        one recording, in order and complete. Raise ValueError for numbers of frames that differ, points that are not
        finite, and meshes of different hand models.
        """
        collected: dict[str, list[np.ndarray]] = {}
        counts = np.zeros(2)
        for pairs, kept in blocks(predictions, targets, roots, objects, sequences):
            has = [hands.is_present[kept] for hands in (pairs.prediction, pairs.target)]
            counts += (has[0] & has[1]).sum(), has[1].sum()
            for name, metric in self.metrics.items():
                if metric.needs is None or getattr(pairs, metric.needs) is not None:
                    collected.setdefault(name, []).append(metric.values(pairs)[kept])
        result = {"found": float(counts[0] / counts[1]) if counts[1] else NAN}
        for name, parts in collected.items():
            values, metric = np.concatenate(parts), self.metrics[name]
            result[name] = average(values, metric.order, metric.middle)
            if metric.order == "hands":
                for side, word in enumerate(SIDE_NAMES):
                    result[f"{name}_{word}"] = average(values[:, [side]], metric.order, metric.middle)
        return result

    def text(self, measured: dict[str, float]) -> str:
        """Return one line for each metric that `measure` has returned, in the benchmark's units."""
        lines = []
        for name, value in measured.items():
            metric = self.metrics.get(name) or self.metrics.get(name.rpartition("_")[0])
            if metric is None or metric.kind == "fraction":
                lines.append(f"{name} {value:.3f}")
            elif metric.kind == "acceleration":
                lines.append(f"{name} {value:.2f} m/s^2")
            else:
                lines.append(f"{name} {value * UNITS[self.unit]:.2f} {self.unit}")
        return "\n".join(lines)


def average(values: np.ndarray, order: str, middle: str = "mean") -> float:
    """Return the mean of values (N, 2, P) in the order of a `Metric`, ignoring NaN."""
    if order == "frames":
        return float(_mean(_mean(_mean(values, 2), 1), 0))
    if order == "joints":
        values = values.reshape(-1, 1, values.shape[-1])
    over_frames = _mean(values, 0) if middle == "mean" else _median(values)
    return float(_mean(_mean(over_frames, 1), 0))


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return numpy.nanmean, without its warning if everything is NaN."""
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0).sum(axis=axis), known.sum(axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), NAN)


def _median(values: np.ndarray) -> np.ndarray:
    """Return the medians (H, P) of values (N, H, P) over the first axis, ignoring NaN."""
    columns = values.reshape(len(values), -1).T
    medians = [np.median(column[~np.isnan(column)]) if not np.isnan(column).all() else NAN for column in columns]
    return np.array(medians).reshape(values.shape[1:])
