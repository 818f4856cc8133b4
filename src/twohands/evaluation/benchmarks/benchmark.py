"""`Benchmark`: a table of figures, and how each of them is averaged and printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from twohands.evaluation.benchmarks.pairs import ObjectPair, blocks
from twohands.evaluation.benchmarks.values import NAN, Values
from twohands.types import SIDE_NAMES, TwoHands

UNITS = {"mm": 1e3, "cm": 1e2}
"""Printed units of a metre."""


@dataclass(frozen=True)
class Metric:
    """One number of a benchmark."""

    values: Values
    order: Literal["joints", "hands", "frames"] = "joints"
    """joints: the mean over all hands of all frames of each joint, then over joints; hands: the same for each hand,
    then over the two, which are told as well; frames: over the joints of a hand, the hands of a frame, the frames."""
    kind: Literal["length", "share", "acceleration"] = "length"
    middle: Literal["mean", "median"] = "mean"  # of a joint, over frames
    needs: Literal["roots", "objects"] | None = None  # left out where these are not given


@dataclass(frozen=True)
class Benchmark:
    """The figures of a benchmark, by name, and the unit that it prints lengths in."""

    figures: dict[str, Metric]
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
        """Every figure by name, metres, shares and m/s^2; those of a single hand end in _left and _right.

        predictions, targets: one record a frame, camera frame; meshes must be of the benchmark's hand model (MANO).
        roots: (2, 3) metres a frame, `NetworkOutput.root`, for the figures `al_published_*`. objects: for `cdev`.
        sequences: the recording of each frame, between which there is no acceleration; by default all are of one, in
        order and none left out. Raises ValueError for numbers of frames that differ, points that are not finite, and
        meshes of different hand models.
        """
        collected: dict[str, list[np.ndarray]] = {}
        counts = np.zeros(2)
        for pairs, kept in blocks(predictions, targets, roots, objects, sequences):
            has = [hands.is_present[kept] for hands in (pairs.prediction, pairs.target)]
            counts += (has[0] & has[1]).sum(), has[1].sum()
            for name, figure in self.figures.items():
                if figure.needs is None or getattr(pairs, figure.needs) is not None:
                    collected.setdefault(name, []).append(figure.values(pairs)[kept])
        result = {"found": float(counts[0] / counts[1]) if counts[1] else NAN}
        for name, parts in collected.items():
            values, figure = np.concatenate(parts), self.figures[name]
            result[name] = average(values, figure.order, figure.middle)
            if figure.order == "hands":
                for side, word in enumerate(SIDE_NAMES):
                    result[f"{name}_{word}"] = average(values[:, [side]], figure.order, figure.middle)
        return result

    def text(self, measured: dict[str, float]) -> str:
        """One line for each figure that `measure` has returned, in the benchmark's units."""
        lines = []
        for name, value in measured.items():
            figure = self.figures.get(name) or self.figures.get(name.rpartition("_")[0])
            if figure is None or figure.kind == "share":
                lines.append(f"{name} {value:.3f}")
            elif figure.kind == "acceleration":
                lines.append(f"{name} {value:.2f} m/s^2")
            else:
                lines.append(f"{name} {value * UNITS[self.unit]:.2f} {self.unit}")
        return "\n".join(lines)


def average(values: np.ndarray, order: str, middle: str = "mean") -> float:
    """The mean of values (N, 2, P) in the order of a `Metric`; NaN counts nowhere."""
    if order == "frames":
        return float(_mean(_mean(_mean(values, 2), 1), 0))
    if order == "joints":
        values = values.reshape(-1, 1, values.shape[-1])
    over_frames = _mean(values, 0) if middle == "mean" else _median(values)
    return float(_mean(_mean(over_frames, 1), 0))


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """As numpy.nanmean, without its warning where everything is NaN."""
    known = ~np.isnan(values)
    sums, counts = np.where(known, values, 0).sum(axis=axis), known.sum(axis=axis)
    return np.where(counts > 0, sums / np.maximum(counts, 1), NAN)


def _median(values: np.ndarray) -> np.ndarray:
    """(N, H, P) -> (H, P), over the first axis, as `_mean`."""
    columns = values.reshape(len(values), -1).T
    medians = [np.median(column[~np.isnan(column)]) if not np.isnan(column).all() else NAN for column in columns]
    return np.array(medians).reshape(values.shape[1:])
