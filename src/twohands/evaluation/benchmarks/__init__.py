"""Metrics of published benchmarks: `BENCHMARKS[name].measure(predictions, targets)`, metres and fractions.

A `Benchmark` is a table of metrics and the unit that it prints. A `Metric` defines the alignment, the points and the
order of averaging. A target hand that the prediction lacks enters no metric but `found`, the fraction of target hands
that were predicted: only with `found` 1 are the metrics comparable with published ones. Joints without annotation are
NaN in targets and are left out. NumPy only.
"""

from twohands.evaluation.benchmarks.benchmark import Benchmark, Metric
from twohands.evaluation.benchmarks.tables import BENCHMARKS
from twohands.evaluation.benchmarks.values import align_reflecting, contact_deviation

__all__ = ["BENCHMARKS", "Benchmark", "Metric", "align_reflecting", "contact_deviation"]
