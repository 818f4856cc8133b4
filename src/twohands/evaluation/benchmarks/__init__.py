"""What each benchmark measures: `BENCHMARKS[name].measure(predictions, targets)`, metres and shares.

A protocol is a table of figures. A figure says how points are aligned, which points count, and in which order the mean
is taken; a protocol adds the unit that the benchmark prints. A hand that the target has and the prediction lacks counts
in no figure but `found`, the share of the targets' hands that were predicted: only where it is 1 can a figure stand
beside published ones. A joint of a target that was not annotated is NaN and counts nowhere. NumPy only.
"""

from twohands.evaluation.benchmarks.benchmark import Benchmark, Metric
from twohands.evaluation.benchmarks.tables import BENCHMARKS
from twohands.evaluation.benchmarks.values import align_reflecting, contact_deviation

__all__ = ["BENCHMARKS", "Benchmark", "Metric", "align_reflecting", "contact_deviation"]
