"""Measure the value of each part of the data engine: train `paper-small` on variants, test on `test_shifted`.

    python tools/compare_engines.py FOLDER --configs full basic no_contact --second-frames 300

Frames and runs are kept in FOLDER, finished rows in `reports/engine_rows`. The same command resumes interrupted work,
and several processes may share it: one renders the frames that the others wait for. Every variant gets the same number
of frames and seeds. The first variant makes as many steps as its CPU time allows; the others make as many as the first,
for each seed, on any machine. If a row is trained again on another machine, keep both (`whole-SEED-again`): intervals
are over test frames and runs, and runs contribute more.
"""

from __future__ import annotations

import gzip
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.progress import track

from twohands.config import PRESETS
from twohands.data.dataset import identity_of
from twohands.evaluation.report import Difference, Report, difference_of_runs, run_spread
from twohands.experiments.run import WAIT, Plan, open_result, read_result, run_row
from twohands.experiments.tables import reports_of
from twohands.files import locked, write_atomically
from twohands.networks.checkpoint import CONFIG, load_checkpoint
from twohands.shards import Shards, write_shards
from twohands.synth.config import CONFIGS
from twohands.synth.engine import SyntheticHands
from twohands.synth.second_renderer import MitsubaHands
from twohands.synth.splits import SHIFTED_FRAMES, shifted_frames
from twohands.training.loop import FINAL
from twohands.training.validate import evaluate_network

ROW, MODE = "whole", "ground_truth"
SEED = 1
"""Seed of the training frames."""


def main(
    folder: tyro.conf.Positional[Path],
    configs: tuple[str, ...] = (
        "full",
        "basic",
        "no_sleeves",
        "no_objects",
        "no_sensor_noise",
        "no_contact",
        "no_clutter",
    ),
    frames: int = 5000,
    test_frames: int = SHIFTED_FRAMES,
    minutes: float = 30.0,
    seeds: int = 2,
    second_frames: int = 0,
    results: Path = Path("reports/engine_rows"),
    workers: int = 1,
    preset: str = "paper-small",
) -> None:
    """Render, train and measure unfinished variants, then print a table that compares them with the first one.

    The networks are also measured on `second_frames` frames of the same split, rendered by Mitsuba
    (tools/render_shifted.py).
    """
    unknown = [name for name in configs if name not in CONFIGS]
    if unknown:
        raise SystemExit(f"unknown configuration {unknown[0]!r}; choose from {', '.join(CONFIGS)}")

    def drawn(name: str, dataset: SyntheticHands, count: int) -> Shards:
        """Return the first frames from disk; missing ones are rendered by one process."""
        while True:
            with locked(folder / "data" / f"{name}.lock") as mine:
                if mine:
                    return Shards(write_shards(dataset, count, folder / "data" / name, dataset.content, workers))
            time.sleep(WAIT)

    reports: dict[str, list[Report]] = {}
    on_second: dict[str, list[Report]] = {}
    for name in configs:
        runs, rows = folder / "runs" / name, results / name
        first = [read_result(results / configs[0], ROW, seed) for seed in range(seeds)]
        if name != configs[0] and None in first:
            print(f"{name}: {configs[0]} comes first")
        elif len(reports_of(rows, ROW, MODE)) < seeds:
            test = drawn("test_shifted", shifted_frames(), test_frames)
            train = drawn(name, SyntheticHands(SEED, config=CONFIGS[name]), frames)
            used = {"data": identity(train), "test": identity(test)}
            plan = Plan(PRESETS[preset], runs, rows, train, test, used, whole_minutes=minutes, seeds=seeds)
            for seed, begun in enumerate(first):
                if not run_row(replace(plan, steps=begun and begun["steps"]), ROW, seed, print):
                    print(f"{name}, seed {seed}: another process is at it")
        reports[name] = runs_of(rows)
        if second_frames:
            paths = [rows / f"second-{seed}.json.gz" for seed in range(seeds)]
            for seed, path in enumerate(paths):
                if not path.exists() and (runs / f"{ROW}-{seed}" / FINAL / CONFIG).exists():
                    second = drawn("second", MitsubaHands(shifted_frames()), second_frames)
                    measure(runs / f"{ROW}-{seed}" / FINAL, second, path)
            on_second[name] = [read_report(path) for path in paths if path.exists()]
    for title, measured in (("this package's renderer", reports), ("the second renderer", on_second)):
        finished = {name: found for name, found in measured.items() if found}
        if finished:
            print(f"\nframes of {title}:\n\n{table(finished)}")
    if not any(reports.values()):
        print("nothing is finished yet; run this again")


def identity(shards: Shards) -> dict[str, Any]:
    """Return the identity of the frames."""
    return identity_of(str(shards.folder), shards.description["split"], len(shards))


def runs_of(rows: Path) -> list[Report]:
    """Return the reports of all runs of a variant: of each seed, and of those trained again on another machine.

    The latter (`whole-SEED-again.json.gz`) differ as much as other seeds do.
    """
    results = map(open_result, sorted(rows.glob(f"{ROW}-*.json.gz")))
    return [Report.from_json(json.dumps(result["reports"][MODE])) for result in results]


def read_report(path: Path) -> Report:
    """Return a report that `measure` has written."""
    return Report.from_json(gzip.decompress(path.read_bytes()).decode())


def measure(checkpoint: Path, dataset: Shards, path: Path) -> None:
    """Write the report of a network on the frames of a data set."""
    network, config = load_checkpoint(checkpoint)
    samples = (dataset[index] for index in range(len(dataset)))
    shown = track(samples, path.stem, len(dataset))
    content = evaluate_network(network, config, shown, MODE).json().encode()
    with write_atomically(path) as temporary:
        temporary.write_bytes(gzip.compress(content, mtime=0))


def table(runs: dict[str, list[Report]]) -> str:
    """Return Markdown with the errors of every variant and run, and the difference from the first variant."""
    lines = [
        "| trained on | MPJPE of each run, mm | mean | AL-MPJPE, mm | worse than the first by, mm MPJPE |",
        "|---|---|---|---|---|",
    ]
    first = next(iter(runs.values()))
    spread = run_spread(runs.values(), "mpjpe")
    for name, found in runs.items():
        each, aligned = ([1e3 * run.summary()["all"][metric] for run in found] for metric in ("mpjpe", "al_mpjpe"))
        worse = "-" if found is first else compared(difference_of_runs(found, first, "mpjpe", spread))
        values = ", ".join(f"{value:.1f}" for value in each)
        lines.append(f"| {name} | {values} | {np.mean(each):.1f} | {np.mean(aligned):.1f} | {worse} |")
    if spread.freedom:
        lines += [
            "",
            f"Runs of one variant deviate by {1e3 * spread.deviation:.1f} mm ({spread.freedom} degrees of freedom).",
        ]
    return "\n".join(lines)


def compared(difference: Difference) -> str:
    """Return the difference with its 95 % interval, marked if that includes zero."""
    mean, low, high = (1e3 * value for value in (difference.mean, difference.low, difference.high))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f}){'' if difference.resolved else ', not resolved'}"


if __name__ == "__main__":
    tyro.cli(main)
