"""The command `experiment`: train and measure the rows of the paper's tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tyro.conf import Positional

from twohands.cli.common import FINE, check_folder


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
    """Train and measure the rows of the paper's tables with the same budget of CPU time.

    The same command resumes an interrupted run; given in several terminals, it divides the rows among them.

    Args:
        names: Tables (table1 to table4) or single rows of them (full, concat, intaghand_depth, ...).
        data: Frames to train on: a folder of shards, or NAME=FOLDER.
        test: Frames to measure on.
        out: Folder for the runs and the maps of the frozen backbone.
        reports: Folder for the results, one small file per row and seed; by default OUT/rows.
        report: Markdown file for the tables; by default OUT/tables.md.
        minutes: CPU minutes for a row on the frozen backbone.
        whole_minutes: CPU minutes for a row that trains its own image branch.
        backbone_minutes: CPU minutes for training the backbone.
        seeds: Largest number of seeds per row.
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
