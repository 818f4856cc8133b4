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
    """Measure a method or a network: metrics per hand, by visibility and distance, in report.md and report.json.

    For a public data set the metrics of its benchmark follow. In a frame that is refused, for example one without any
    depth, no hand is found.

    Args:
        data: "synthetic" renders the frames of the split; otherwise a folder of shards from `twohands synth`, or
            NAME=FOLDER for a copy of a data set (NAME:SPLIT=FOLDER for another split), with a NAME listed in
            `twohands data --help`.
        split: Synthetic frames kept for evaluation: 500 of the test split, 200 of the validation split, 500 of the
            test split that look unlike those for training (test_shifted), or the 500 test frames of the first engine
            (basic_test). For a copy of a data set: test or validation.
        count: Number of frames to measure, from the first on; by default all.
        out: Folder for the report.
        method: Start of the fit: image landmarks (the default), or a network on colour and depth.
        network: Folder of a trained network to measure, a checkpoint (for example RUN/final) or exported graphs.
        hand_model: Hand model of the result; by default the free hand, or the network's own.
        fit: The hand model is fitted to the measured points at the end, unless --no-fit is given.
        masks: Input of a network, with one section of the report for each: nothing (own), true masks, or true masks
            and centres. With true masks, the presence of the hands is given in all sections, as in the paper's tables.
        figures: Number of frames to draw, spread evenly: colour, target and prediction, from the front and the side,
            with the first input of --masks.
        baselines: Folders of networks to draw beside the prediction.
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
    """Return a predictor for frames with truth: a user's network may predict hands of impossible size."""
    from twohands.predictor import load

    return load(method, network, hand_model, fit, trusted=network is not None)


def _name(folder: Path) -> str:
    """Return the title of a network in a figure: the name of its run for a folder like RUN/final or RUN/best."""
    folder = folder.resolve()
    return folder.parent.name if folder.name in ("final", "best") else folder.name
