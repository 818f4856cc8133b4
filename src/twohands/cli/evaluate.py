"""The command `evaluate`: measure a method or a network on frames with their truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twohands.choices import FrozenSplit, HandModelName, MaskMode, Method
from twohands.cli.common import FINE, check_folder

if TYPE_CHECKING:
    from twohands.predictor import Predictor


def evaluate(
    data: str = "synthetic",
    split: FrozenSplit = "test",
    count: int | None = None,
    out: Path = Path("out/evaluate"),
    method: Method | None = None,
    network: Path | None = None,
    hand_model: HandModelName | None = None,
    fit: bool = True,
    masks: tuple[MaskMode, ...] = ("own",),
    figures: int = 0,
    baselines: tuple[Path, ...] = (),
) -> int:
    """Measure what a user gets: metrics per hand, by visibility and distance; report.md and report.json.

    For a public data set the metrics of its benchmark follow. In a frame that is refused, for example one without any
    depth, no hand counts as found.

    Args:
        data: "synthetic" renders the frames of the split; or a folder of shards that `twohands synth` has written,
            or NAME=FOLDER for a copy of a data set (NAME:SPLIT=FOLDER for another split), NAME one of those
            of `twohands data --help`.
        split: The synthetic frames that are kept for evaluation: 500 of the test, 200 of the validation split; 500 of
            the test split that look unlike those for training (test_shifted); the 500 test frames of the first engine
            (basic_test). Of a copy of a data set: test or validation.
        count: Only the first so many frames.
        out: Folder for the report.
        method: Start of the fit: image landmarks (the default), or a network on colour and depth.
        network: Folder of a trained network to measure, a checkpoint (for example RUN/final) or exported graphs.
        hand_model: Hand model of the result; by default the free hand, or the network's own.
        fit: The hand model is fitted to the measured points at the end, unless --no-fit is given.
        masks: What a network is given, one section of the report for each: nothing (own), true masks, or true masks
            and centres. Unless it is own alone, the presence of the hands is given too, as in the paper's tables.
        figures: Draw so many frames, spread evenly: colour, target and prediction, from the front and the side, in the
            first mode of --masks.
        baselines: Folders of networks that are drawn beside it.
    """
    from twohands.evaluation.evaluate import benchmark_of, chosen_frames, open_frames
    from twohands.evaluation.evaluate import evaluate as measure
    from twohands.evaluation.figures import remove_figures, spread, write_figures

    check_folder(out)
    if not masks:
        raise ValueError("--masks needs one or more of own, ground_truth, ground_truth_centers")
    given = [mode for mode in masks if mode != "own"]
    if given and network is None and method != "pdfnet":
        raise ValueError(f"--masks {given[0]} needs a network: add --method pdfnet or --network FOLDER")
    if figures < 0:
        raise ValueError(f"--figures must be 0 or more; got {figures}")
    if baselines and not figures:
        raise ValueError("--baselines are drawn beside the prediction: add --figures N")
    dataset = open_frames(data, split)
    chosen = chosen_frames(dataset, count)
    predictor = load_trusted(method, network, hand_model, fit)
    name = _name(network) if network else method or "landmarks"
    shown = [(name, predictor), *((_name(folder), load_trusted(None, folder, None, fit)) for folder in baselines)]
    remove_figures(out)
    result = measure(predictor, dataset, masks=masks, count=count, out=out, benchmark=benchmark_of(data))
    print(result.markdown())
    print(f"wrote {out}/report.md and {out}/report.json")
    if figures:
        drawn = spread(len(chosen), figures)
        write_figures(out, shown, masks[0], dataset, drawn, result.known_presence)
        print(f"wrote {len(drawn)} figures to {out}/figures/")
    return FINE


def load_trusted(method: Method | None, network: Path | None, hand_model: HandModelName | None, fit: bool) -> Predictor:
    """Return a predictor for frames with truth: a user's network is not refused for hands of impossible size."""
    from twohands.predictor import load

    return load(method, network, hand_model, fit, trusted=network is not None)


def _name(folder: Path) -> str:
    """Return the title of a network in a figure: the name of its run for a folder like RUN/final or RUN/best."""
    folder = folder.resolve()
    return folder.parent.name if folder.name in ("final", "best") else folder.name
