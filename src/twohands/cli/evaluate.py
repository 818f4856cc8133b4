"""The command `evaluate`: measure a method or a network on frames with their truth."""

from __future__ import annotations

from pathlib import Path

from twohands.choices import FrozenSplit, MaskMode
from twohands.cli.choice import DEFAULT, Choice, Options
from twohands.cli.common import FINE, check_folder


def evaluate(
    data: str = "synthetic",
    split: FrozenSplit = "test",
    count: int | None = None,
    out: Path = Path("out/evaluate"),
    choice: Options = DEFAULT,
    masks: tuple[MaskMode, ...] = ("own",),
    figures: int = 0,
    baselines: tuple[Path, ...] = (),
) -> int:
    """Measure a method or a network on frames with ground truth; write report.md and report.json.

    Metrics are per hand, by visibility and distance; for a public data set also those of its benchmark. A frame that is
    refused, for example one without any depth, counts as one without found hands.

    Args:
        data: "synthetic" renders the frames of the split. Otherwise a folder of shards from `twohands synth`, or
            NAME=FOLDER for a copy of a data set (NAME:SPLIT=FOLDER for another split). `twohands data --help` lists the
            NAMEs.
        split: Synthetic evaluation frames: 500 of the test split, 200 of the validation split, 500 of the test split
            that look unlike those for training (test_shifted), or the 500 test frames of the first engine (basic_test).
            For a copy of a data set: test or validation.
        count: Number of frames to measure, from the first on; by default all.
        out: Folder for the report.
        masks: Masks for a network, with one section of the report for each choice: its own, ground truth, or ground
            truth with true hand centres. With true masks, the presence of the hands is given in all sections, as in the
            paper's tables.
        figures: Number of frames to draw, spread evenly: colour, target and prediction, from the front and the side,
            with the first choice of --masks.
        baselines: Folders of networks to draw beside the prediction.
    """
    from twohands.evaluation.evaluate import benchmark_of, chosen_frames, open_frames
    from twohands.evaluation.evaluate import evaluate as measure
    from twohands.evaluation.figures import remove_figures, spread, write_figures

    check_folder(out)
    if not masks:
        raise ValueError("--masks needs one or more of own, ground_truth, ground_truth_centers")
    given = [mode for mode in masks if mode != "own"]
    if given and choice.network is None and choice.method != "pdfnet":
        raise ValueError(f"--masks {given[0]} needs a network: add --method pdfnet or --network FOLDER")
    if figures < 0:
        raise ValueError(f"--figures must be 0 or more; got {figures}")
    if baselines and not figures:
        raise ValueError("--baselines are drawn beside the prediction: add --figures N")
    dataset = open_frames(data, split)
    chosen = chosen_frames(dataset, count)
    predictor = choice.load(trusted=True)
    others = [Choice(network=folder, fit=choice.fit) for folder in baselines]
    shown = [(choice.title, predictor), *((other.title, other.load(trusted=True)) for other in others)]
    remove_figures(out)
    result = measure(predictor, dataset, masks=masks, count=count, out=out, benchmark=benchmark_of(data))
    print(result.markdown())
    print(f"wrote {out}/report.md and {out}/report.json")
    if figures:
        drawn = spread(len(chosen), figures)
        write_figures(out, shown, masks[0], dataset, drawn, result.known_presence)
        print(f"wrote {len(drawn)} figures to {out}/figures/")
    return FINE
