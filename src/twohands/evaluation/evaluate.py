"""Measure a predictor, as users run it, on frames with ground truth, and write the report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from twohands.choices import FrozenSplit, MaskMode
from twohands.evaluation.benchmarks import BENCHMARKS, Benchmark
from twohands.evaluation.report import Report, plain
from twohands.evaluation.scoring import predict_with, predictions, report_of
from twohands.files import write_atomically
from twohands.predictor import Predictor
from twohands.types import Dataset, Sample, TwoHands, no_hands

TITLES: dict[MaskMode, str] = {
    "own": "Own masks",
    "ground_truth": "Ground-truth masks",
    "ground_truth_centers": "Ground-truth masks and centres",
}
"""Headings of the sections of a report."""


@dataclass(frozen=True)
class Section:
    """The measurements of one mode."""

    report: Report
    benchmark: Benchmark | None = None
    metrics: dict[str, float] = field(default_factory=dict)  # of the benchmark, metres and fractions

    def markdown(self) -> str:
        """Return the report's table, then the metrics of the benchmark."""
        if self.benchmark is None:
            return self.report.markdown()
        lines = [f"- {line}" for line in self.benchmark.text(self.metrics).splitlines()]
        return "\n".join([self.report.markdown(), "", "As the benchmark of this data set measures:", "", *lines])

    def document(self) -> dict[str, Any]:
        """Return the content of report.json: metres and fractions, None for unknown values."""
        document = json.loads(self.report.json())
        return document if self.benchmark is None else {**document, "benchmark": plain(self.metrics)}


@dataclass(frozen=True)
class Evaluation:
    """The measurements of every mode. Unless the mode is 'own' alone, the presence of the hands was given."""

    sections: dict[MaskMode, Section]
    known_presence: bool

    @property
    def report(self) -> Report:
        """The report of the first mode."""
        return next(iter(self.sections.values())).report

    def markdown(self) -> str:
        """Return one section for each mode; for own masks alone, the report itself."""
        if not self.known_presence:
            return self.sections["own"].markdown()
        return "\n\n".join(
            f"## {TITLES[mode]}\n\n`{mode}`; the presence of the hands is given.\n\n{section.markdown()}"
            for mode, section in self.sections.items()
        )

    def write(self, folder: str | Path) -> None:
        """Write report.md and report.json into a folder."""
        documents = {mode: section.document() for mode, section in self.sections.items()}
        document = documents if self.known_presence else documents["own"]
        for name, text in (
            ("report.md", self.markdown() + "\n"),
            ("report.json", json.dumps(document, allow_nan=False, indent=1)),
        ):
            with write_atomically(Path(folder) / name) as temporary:
                temporary.write_text(text)


def evaluate(
    predictor: Predictor,
    frames: Dataset | str,
    split: FrozenSplit = "test",
    masks: Sequence[MaskMode] = ("own",),
    count: int | None = None,
    out: str | Path | None = None,
    benchmark: Benchmark | None = None,
    progress: bool = True,
) -> Evaluation:
    """Measure a predictor on frames with ground truth; return errors in metres per hand, by visibility and distance.

    frames: a sequence of `Sample`s, or a source: "synthetic", a folder of shards, or NAME=FOLDER of a data set.
    split: split of a source.
    masks: masks for a network: its 'own', 'ground_truth', or 'ground_truth_centers' (true masks and hand centres); one
        section of the result for each. Unless it is 'own' alone, the presence of the hands is given too, as in the
        paper's tables.
    count: number of frames to measure, from the first on.
    out: folder for report.md and report.json, written after every section.
    benchmark: one of `benchmarks.BENCHMARKS` to measure as well; by default that of the source.

    A frame that the predictor refuses, for example one without any depth, counts as one in which no hand is found.
    Raise ValueError with the fix for frames that cannot be measured.
    """
    dataset = open_frames(frames, split) if isinstance(frames, str) else frames
    benchmark = benchmark or (benchmark_of(frames) if isinstance(frames, str) else None)
    chosen = chosen_frames(dataset, count)
    modes = tuple(dict.fromkeys(masks))
    result = Evaluation({}, known_presence=modes != ("own",))
    for mode in modes:
        what = f"frames, {TITLES[mode].lower()}" if result.known_presence else "frames"
        samples = (dataset[index] for index in tracked(chosen, what, progress))
        report, scored = _measure(predictor, mode, samples, result.known_presence, benchmark)
        result.sections[mode] = Section(report)
        if out is not None:
            result.write(out)
        if benchmark is not None:
            result.sections[mode] = Section(report, benchmark, scored.metrics(benchmark))
            if out is not None:
                result.write(out)
    return result


def open_frames(source: str, split: FrozenSplit) -> Dataset:
    """Return the frames of a source, see `evaluate`; "synthetic" renders them (needs numba)."""
    if source == "synthetic":
        from twohands.synth.splits import FROZEN

        return FROZEN[split]()
    from twohands.data.dataset import open_dataset

    return open_dataset(source, split)


def benchmark_of(source: str) -> Benchmark | None:
    """Return the benchmark of the data set that a source names."""
    from twohands.data.dataset import name_of

    return BENCHMARKS.get(name_of(source).partition("_")[0])


def chosen_frames(dataset: Dataset, count: int | None) -> range:
    """Return the indices of the first `count` frames. Raise ValueError when there are none."""
    total = len(dataset) if count is None else min(count, len(dataset))
    if total < 1:
        raise ValueError(f"there is nothing to evaluate: --count {count}, {len(dataset)} frames")
    return range(total)


def tracked(chosen: Sequence[int], what: str, progress: bool = True) -> Iterable[int]:
    """Return the same indices, with a progress bar on stderr."""
    return track(chosen, what, len(chosen), console=Console(stderr=True), disable=not progress)


def _measure(
    predictor: Predictor, mode: MaskMode, samples: Iterable[Sample], known: bool, benchmark: Benchmark | None
) -> tuple[Report, Scored]:
    """Return the report of a mode and the frames that the benchmark scores, none without a benchmark."""
    scored, hand_model = Scored(), predictor.model.name

    def kept() -> Iterator[tuple[TwoHands | None, Sample]]:
        for prediction, sample in predictions(predict_with(predictor, mode), samples, known, hand_model):
            if benchmark is not None:
                scored.add(prediction or no_hands(), sample, hand_model)
            yield prediction, sample

    return report_of(kept(), known), scored


@dataclass(frozen=True)
class Scored:
    """Predictions and targets that a benchmark scores, frame by frame."""

    predictions: list[TwoHands] = field(default_factory=list)
    targets: list[TwoHands] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    """The part of ids like RECORDING/FRAME before the last slash."""

    def add(self, prediction: TwoHands, sample: Sample, hand_model: str) -> None:
        """Keep a frame, with predicted meshes only of MANO, which all benchmarks use."""
        vertices = prediction.vertices if hand_model == "mano" else None
        self.predictions.append(replace(prediction, vertices=vertices, parameters=None, quality=None))
        self.targets.append(replace(sample.hands, parameters=None, quality=None))
        self.sequences.append(sample.id.rpartition("/")[0])

    def metrics(self, benchmark: Benchmark) -> dict[str, float]:
        """Return the metrics of the benchmark, metres and fractions."""
        return benchmark.measure(self.predictions, self.targets, sequences=self.sequences)
