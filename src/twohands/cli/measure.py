"""The command that measures: `evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from twohands.cli.common import FINE, check_folder

if TYPE_CHECKING:
    from twohands.predictor import NetworkPredictor, Predictor
    from twohands.protocols import Protocol
    from twohands.report import Report
    from twohands.types import Dataset, Sample, TwoHands

Mode = Literal["own", "ground_truth", "ground_truth_centers"]
"""What the networks are given, see `evaluation.MODES`."""
Split = Literal["test", "validation", "test_shifted", "basic_test"]
"""The frames that are kept apart, see `synth.splits.FROZEN`."""
GIVEN: dict[str, str] = {
    "own": "Own masks",
    "ground_truth": "Ground-truth masks",
    "ground_truth_centers": "Ground-truth masks and centres",
}
FIT = tyro.conf.create_mutex_group(required=False, title="fit")


def evaluate(
    data: str = "synthetic",
    split: Split = "test",
    count: int | None = None,
    out: Path = Path("out/evaluate"),
    method: Literal["landmarks", "pdfnet"] = "landmarks",
    fit: Annotated[bool, FIT] = False,
    no_fit: Annotated[bool, FIT] = False,
    weights: Path | None = None,
    checkpoint: Path | None = None,
    masks: tuple[Mode, ...] = ("own",),
    figures: int = 0,
    rivals: tuple[Path, ...] = (),
) -> int:
    """Measure what a user gets: metrics per hand, by visibility and distance; report.md and report.json.

    For a public data set the figures of its benchmark follow. In a frame that is refused, for example one without any
    depth, no hand counts as found.

    Args:
        data: "synthetic" renders the frames of the split; or a folder of shards that `twohands synth` has written,
            or NAME=FOLDER for a copy of a data set (NAME:SPLIT=FOLDER for another split), NAME one of those
            of `twohands data --help`.
        split: The synthetic frames that are kept apart: 500 of the test, 200 of the validation split; 500 of the test
            split that look unlike those for training (test_shifted); the 500 test frames of the first engine
            (basic_test). Of a copy of a data set: test or validation.
        count: Only the first so many frames.
        out: Folder for the report.
        method: What is measured: image landmarks, or our own network on colour and depth.
        fit: Fit the hand model to the measured points at the end; a method does so anyway, a checkpoint does not.
        no_fit: Measure a method without that fit.
        weights: Folder written by `twohands export`, in place of the shipped network of pdfnet.
        checkpoint: Folder of a trained network to measure instead, for example RUN/final.
        masks: What a network is given, one section of the report for each: nothing (own), true masks, or true masks
            and centres. Unless it is own alone, the hands are known to be there, as in the paper's tables.
        figures: Draw so many frames, spread evenly: colour, target and prediction, from the front and the side, in the
            first mode of --masks.
        rivals: Checkpoint folders whose networks are drawn beside it.
    """
    modes: tuple[str, ...] = tuple(dict.fromkeys(masks))
    _check(out, method, weights, checkpoint, modes, figures, rivals)
    dataset = _open(data, split)
    total = len(dataset) if count is None else min(count, len(dataset))
    if total < 1:
        raise ValueError(f"there is nothing to evaluate: --count {count}, {len(dataset)} frames")
    predictor = load_method(method, not no_fit, weights) if checkpoint is None else load_trained(checkpoint, fit)
    own = checkpoint or weights
    shown = [
        (_name(own) if own else method, predictor),
        *((_name(folder), load_trained(folder, fit)) for folder in rivals),
    ]
    known = modes != ("own",)
    _remove_figures(out)
    benchmark = _benchmark(data)
    measured: dict[str, Measured] = {}
    for mode in modes:
        report, scored = _measure(predictor, mode, dataset, range(total), known, benchmark is not None)
        measured[mode] = Measured(report)
        if benchmark is not None:
            _write(out, measured, known)  # whatever the benchmark makes of the predictions, the report is there
            measured[mode] = Measured(report, benchmark, scored.figures(benchmark))
    print(_write(out, measured, known))
    print(f"wrote {out}/report.md and {out}/report.json")
    if figures:
        _draw(out, shown, modes[0], dataset, _spread(total, figures), known)
    return FINE


def _check(
    out: Path,
    method: str,
    weights: Path | None,
    checkpoint: Path | None,
    modes: Sequence[str],
    figures: int,
    rivals: Sequence[Path],
) -> None:
    """Raises ValueError with the remedy for options that do not go together."""
    check_folder(out)
    if checkpoint is not None and (weights is not None or method != "landmarks"):
        raise ValueError("--checkpoint is a network of its own; leave out --method and --weights")
    if not modes:
        raise ValueError(f"--masks needs one or more of {', '.join(GIVEN)}")
    given = [mode for mode in modes if mode != "own"]
    if given and checkpoint is None and method == "landmarks":
        raise ValueError(f"--masks {given[0]} needs a network: add --method pdfnet or --checkpoint FOLDER")
    if figures < 0:
        raise ValueError(f"--figures must be 0 or more; got {figures}")
    if rivals and not figures:
        raise ValueError("--rivals are drawn beside the prediction: add --figures N")


def _open(data: str, split: str) -> Dataset:
    from twohands.data.dataset import open_dataset
    from twohands.synth.splits import FROZEN

    return FROZEN[split]() if data == "synthetic" else open_dataset(data, split)


def _benchmark(data: str) -> Protocol | None:
    """What the benchmark of a public data set measures."""
    from twohands.data.dataset import name_of
    from twohands.protocols import PROTOCOLS

    return PROTOCOLS.get(name_of(data).partition("_")[0])


def load_method(method: str, fit: bool, weights: Path | None) -> Predictor:
    """The predictor of a method."""
    from twohands.predictor import load

    return load(method, fit, weights)


def load_trained(folder: Path, fit: bool) -> NetworkPredictor:
    """The predictor of a trained network."""
    from twohands.fitting import HandFitter
    from twohands.hands import HAND_MODELS
    from twohands.networks.checkpoint import load_checkpoint
    from twohands.training.validate import predictor_of

    try:
        network, config = load_checkpoint(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; give the folder of a checkpoint, for example RUN/final") from None
    return predictor_of(network, config, HandFitter(HAND_MODELS[config.hand_model]()) if fit else None)


def _name(folder: Path) -> str:
    """What a figure calls a network: the name of its run for a folder like RUN/final or RUN/best."""
    folder = folder.resolve()
    return folder.parent.name if folder.name in ("final", "best") else folder.name


def _measure(
    predictor: Predictor, mode: str, dataset: Dataset, chosen: Sequence[int], known: bool, benchmarked: bool
) -> tuple[Report, Scored]:
    """The report of a mode, and what a benchmark scores, unless there is none."""
    from twohands.evaluation import predict_with, predictions, report_of

    samples = (dataset[index] for index in tracked(chosen, f"frames, {GIVEN[mode].lower()}" if known else "frames"))
    scored, hand_model = Scored(), predictor.model.name

    def kept() -> Iterator[tuple[TwoHands, Sample]]:
        for prediction, sample in predictions(predict_with(predictor, mode), samples, known, hand_model):
            if benchmarked:
                scored.add(prediction, sample, hand_model)
            yield prediction, sample

    return report_of(kept(), known), scored


@dataclass(frozen=True)
class Scored:
    """What a benchmark scores, frame by frame."""

    predictions: list[TwoHands] = field(default_factory=list)
    targets: list[TwoHands] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    """Of ids like RECORDING/FRAME what comes before the last slash."""

    def add(self, prediction: TwoHands, sample: Sample, hand_model: str) -> None:
        """Keeps a frame; of predicted meshes only MANO's, which are those of all benchmarks."""
        vertices = prediction.vertices if hand_model == "mano" else None
        self.predictions.append(replace(prediction, vertices=vertices, parameters=None, quality=None))
        self.targets.append(replace(sample.hands, parameters=None, quality=None))
        self.sequences.append(sample.id.rpartition("/")[0])

    def figures(self, benchmark: Protocol) -> dict[str, float]:
        """What the benchmark measures, metres and shares."""
        return benchmark.measure(self.predictions, self.targets, sequences=self.sequences)


@dataclass(frozen=True)
class Measured:
    """What one mode gave."""

    report: Report
    benchmark: Protocol | None = None
    figures: dict[str, float] = field(default_factory=dict)  # of the benchmark, metres and shares

    def markdown(self) -> str:
        """The report's table, then the benchmark's own figures."""
        if self.benchmark is None:
            return self.report.markdown()
        lines = [f"- {line}" for line in self.benchmark.text(self.figures).splitlines()]
        return "\n".join([self.report.markdown(), "", "As the benchmark of this data set measures:", "", *lines])

    def document(self) -> dict[str, Any]:
        """What report.json holds."""
        from twohands.report import plain

        document = json.loads(self.report.json())
        return document if self.benchmark is None else {**document, "benchmark": plain(self.figures)}


def tracked(chosen: Sequence[int], what: str) -> Iterable[int]:
    """The same, with a bar on stderr."""
    from rich.console import Console
    from rich.progress import track

    return track(chosen, what, len(chosen), console=Console(stderr=True))


def _write(out: Path, measured: Mapping[str, Measured], known: bool) -> str:
    """Writes what was measured, and returns it: a section for each mode; of own masks alone, as it is."""
    from twohands.files import write_atomically

    if not known:
        markdown, document = measured["own"].markdown(), measured["own"].document()
    else:
        sections = [
            f"## {GIVEN[mode]}\n\n`{mode}`; the hands are known to be there.\n\n{part.markdown()}"
            for mode, part in measured.items()
        ]
        markdown = "\n\n".join(sections)
        document = {mode: part.document() for mode, part in measured.items()}
    for name, text in (
        ("report.md", markdown + "\n"),
        ("report.json", json.dumps(document, allow_nan=False, indent=1)),
    ):
        with write_atomically(out / name) as temporary:
            temporary.write_text(text)
    return markdown


def _spread(total: int, figures: int) -> list[int]:
    """So many of the indices below `total`, at most all, the first and the last among them."""
    number = min(figures, total)
    return [round(index * (total - 1) / max(number - 1, 1)) for index in range(number)]


def _remove_figures(out: Path) -> None:
    """Removes what an earlier run has drawn of frames that this one may not draw."""
    for path in (out / "figures").glob("[0-9][0-9][0-9]_*.jpg"):
        path.unlink()


def _draw(
    out: Path,
    shown: Sequence[tuple[str, Predictor]],
    mode: str,
    dataset: Dataset,
    chosen: Sequence[int],
    known: bool,
) -> None:
    """A figure of every chosen frame, with a column for every named predictor."""
    import numpy as np
    from PIL import Image

    from twohands.evaluation import as_compared, predict_with
    from twohands.figures import draw_figure
    from twohands.files import write_atomically

    for index in tracked(chosen, "figures"):
        sample, columns = dataset[index], []
        for name, predictor in shown:
            prediction = as_compared(predict_with(predictor, mode)(sample), sample, known, predictor.model.name)
            columns.append((name, prediction, np.asarray(predictor.model.faces)))
        picture = Image.fromarray(draw_figure(sample, columns))
        with write_atomically(out / "figures" / f"{index:03d}_{sample.id.replace('/', '-')}.jpg") as temporary:
            picture.save(temporary, quality=90)
    print(f"wrote {len(chosen)} figures to {out}/figures/")
