"""The commands of research: `train`, `experiment`, `export`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from twohands.cli.common import FINE, check_folder
from twohands.config import PRESETS, ExperimentConfig

Preset = Annotated[
    tyro.extras.subcommand_type_from_defaults(PRESETS, prefix_names=False),  # type: ignore[valid-type]
    tyro.conf.arg(name=""),
]


def train(
    config: Preset,
    data: tuple[str, ...],
    out: Path,
    weights: tuple[float, ...] = (),
    validation: str | None = None,
    pretrained: bool = False,
    start: Path | None = None,
) -> int:
    """Train a network in a run folder; the same command continues a run that was interrupted.

    On several processes or machines: torchrun ... -m twohands.cli train ...

    Args:
        config: The preset, with any value of it changed.
        data: Frames to train on, from one or several places: a folder of shards, or NAME=FOLDER for a copy of a data
            set (its split "train"; NAME:SPLIT=FOLDER for another), NAME one of those of `twohands data --help`.
        out: The run folder: configuration, log, TensorBoard events, checkpoints.
        weights: How often each place's frames come in an epoch, 1 or more; by default once.
        validation: Frames on which the best checkpoint is chosen, by its error in camera space with true masks; of
            frames without masks with what is measured near the labelled bones.
        pretrained: Start the image encoder from ImageNet weights.
        start: Start from all weights of a checkpoint folder or of exported graphs; "shipped" is the packaged network.
    """
    from twohands.data.dataset import TrainingSet, identity_of, open_dataset, open_mixture
    from twohands.runtime import SHIPPED
    from twohands.training import train as run
    from twohands.training.objective import build_objective
    from twohands.training.validate import Validation

    check_folder(out)
    assert isinstance(config, ExperimentConfig)
    mixture = open_mixture(data, "train", weights)
    parts = zip(data, weights or (1.0,) * len(data), mixture.datasets, strict=True)
    frames = {"data": [{**identity_of(source, "train", len(part)), "weight": weight} for source, weight, part in parts]}
    validate = None
    if validation is not None:
        held_out = open_dataset(validation, "validation")
        validate = Validation(held_out, config.network, config.train.validation_frames)
    if str(start) == "shipped":
        start = Path(str(SHIPPED))
    items = TrainingSet.of(mixture, config)
    origins = {**frames, "start": start and str(start), "pretrained": pretrained}
    print(f"wrote {run(config, items, out, validate, build_objective(config, pretrained, start), origins)}/")
    return FINE


def experiment(
    names: Positional[tuple[str, ...]],
    data: str,
    test: str,
    out: Path = Path("runs/tables"),
    reports: Path | None = None,
    report: Path | None = None,
    minutes: float = 60.0,
    whole_minutes: float = 90.0,
    backbone_minutes: float = 120.0,
    seeds: int = 2,
) -> int:
    """Train and measure the rows of the paper's tables at one budget of CPU time; an interrupted one goes on.

    The same command in several terminals shares the rows among them.

    Args:
        names: Tables (table1 to table4) or single rows of them (full, concat, intaghand_depth, ...).
        data: Frames to train on: a folder of shards, or NAME=FOLDER.
        test: Frames to measure on.
        out: Folder of the runs and of the maps of the shared image branch.
        reports: Folder of the results, one small file for a row and seed; by default OUT/rows.
        report: Markdown file of the tables; by default OUT/tables.md.
        minutes: CPU minutes of a row on the shared image branch.
        whole_minutes: CPU minutes of a row that trains its image branch as well.
        backbone_minutes: CPU minutes of the shared image branch.
        seeds: The most seeds of a row.
    """
    from twohands.config import PRESETS
    from twohands.data.dataset import identity_of, open_dataset
    from twohands.experiments import run_tables, write_tables
    from twohands.experiments.run import Plan, rows_of

    reports, report = reports or out / "rows", report or out / "tables.md"
    for folder in (out, reports, report.parent):
        check_folder(folder)
    for name in names:
        rows_of(name)
    sources = open_dataset(data), open_dataset(test, "test")
    frames = {"data": identity_of(data, "train", len(sources[0])), "test": identity_of(test, "test", len(sources[1]))}
    if {**frames["data"], "count": 0} == {**frames["test"], "count": 0}:
        raise ValueError("--data and --test are the same frames: what is trained on cannot be the test; give others")
    preset = PRESETS["paper-small"]
    hand_model = sources[0][0].hand_model or preset.network.hand_model
    preset = replace(preset, network=replace(preset.network, hand_model=hand_model))
    plan = Plan(preset, out, reports, *sources, frames, minutes, whole_minutes, backbone_minutes, seeds)
    run_tables(plan, names, print)
    budgets = f"--minutes {minutes:g} --whole-minutes {whole_minutes:g} --backbone-minutes {backbone_minutes:g}"
    command = f"twohands experiment {' '.join(names)} --data FRAMES --test OTHER_FRAMES {budgets} --seeds {seeds}"
    write_tables(reports, report, f"The tables of the paper, on {frames['test']['name']} frames", command)
    print(f"wrote {report}")
    return FINE


def export(checkpoint: Positional[Path], out: Path) -> int:
    """Write a trained network as the two ONNX graphs that `--method pdfnet --weights FOLDER` runs.

    Args:
        checkpoint: Folder of a checkpoint, for example RUN/final.
        out: Folder for locate.onnx and reconstruct.onnx.
    """
    from twohands.networks.checkpoint import load_checkpoint
    from twohands.networks.export import export_network

    check_folder(out)
    export_network(*load_checkpoint(checkpoint), out)
    print(f"wrote {out}/locate.onnx and {out}/reconstruct.onnx")
    return FINE
