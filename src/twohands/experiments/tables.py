"""The Markdown report of the tables: measured beside published values, and a verdict on each claim."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twohands.evaluation.report import NAN, Report, RunSpread, difference_of_runs, paired_difference, pooled, run_spread
from twohands.experiments.rows import CITED, NAMES, ROWS, TABLES, Published, Table
from twohands.experiments.run import finished, read_result
from twohands.files import write_atomically

MODE_NAMES = {"ground_truth": "given masks", "own": "own masks", "ground_truth_centers": "given masks and centres"}
HEADINGS = {"mpjpe": "MPJPE", "mpvpe": "MPVPE", "al_mpjpe": "AL-MPJPE", "al_mpvpe": "AL-MPVPE"}


def write_tables(results: Path, path: Path, title: str, command: str) -> None:
    """Write the tables of all results in a folder to a Markdown file, under the command that makes them."""
    lines = [f"# {title}", "", *_preface(command), *_all_tables(results), *_curves(results), *_budgets(results)]
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join(lines))


def _preface(command: str) -> list[str]:
    return [
        f"    {command}",
        "",
        "Ours: the frames of the command, preset `paper-small`. Paper: the published program on the data set in",
        "brackets. Data and network size differ: compare rows within a column, never across the halves. Values are",
        "millimetres: the mean over both hands with its 95 % bootstrap interval over frames, then left / right. Every",
        "row is given the presence of the hands, none their centres; IntagHand and Keypoint Transformer see a crop",
        "around the given masks. Hands at least 30 % visible and 60 px long are evaluated. The intervals of claims are",
        "over frames and runs: the spread of runs is taken from all rows with two seeds or, if a row is compared with",
        "itself, from the differences between its own runs.",
        "",
    ]


def _all_tables(results: Path) -> list[str]:
    lines: list[str] = []
    for table in TABLES.values():
        if not any(reports_of(results, *line) for line in table.lines):
            continue
        lines += [f"## {table.title}", "", *_table(table, results), "", *_claims(table, results), ""]
    return lines


def _table(table: Table, results: Path) -> list[str]:
    ours = [f"{HEADINGS[name]}, ours" for name in NAMES]
    theirs = [f"{HEADINGS[name]}, paper ({table.data})" for name in NAMES]
    lines = [
        "| row | masks | seeds | " + " | ".join([*ours, *theirs]) + " |",
        "|---" * (3 + 2 * len(NAMES)) + "|",
    ]
    for name, mode in table.lines:
        reports = reports_of(results, name, mode)
        cells = [ROWS[name].title, MODE_NAMES[mode], str(len(reports)) if reports else "not run"]
        cells += _ours(pooled(reports), ROWS[name].relative) if reports else ["-"] * len(NAMES)
        lines.append("| " + " | ".join(cells + _theirs(ROWS[name].published.get(mode))) + " |")
    for name in table.cited:
        lines.append(
            "| " + " | ".join([name, "cited in the paper", "-", *["-"] * len(NAMES), *_theirs(CITED[name])]) + " |"
        )
    return lines


def _ours(report: Report, relative: bool) -> list[str]:
    summary = report.summary()
    cells = []
    for name in NAMES:
        if np.isnan(summary["all"][name]) or (relative and not name.startswith("al_")):
            cells.append("-")
            continue
        low, middle, high = (summary["all"][f"{name}{part}"] * 1e3 for part in ("_low", "", "_high"))
        left, right = (summary[side][name] * 1e3 for side in ("left", "right"))
        cells.append(f"{middle:.1f} ({low:.1f}-{high:.1f}); {left:.1f} / {right:.1f}")
    return cells


def _theirs(published: Published | None) -> list[str]:
    if published is None:
        return ["-"] * len(NAMES)
    cells = []
    for pair in published.values:
        same = pair is not None and pair[0] == pair[1]
        cells.append("-" if pair is None else f"{pair[0]:.2f}" if same else f"{pair[0]:.2f} / {pair[1]:.2f}")
    return cells


def _claims(table: Table, results: Path) -> list[str]:
    lines = ["| claim of the paper | paper, mm | ours, mm (95 %) | hands | verdict |", "|---|---|---|---|---|"]
    groups = [reports for name in ROWS if (reports := reports_of(results, name, "ground_truth"))]
    for sentence, better, worse, metric in table.claims:
        theirs = [ROWS[name].published[mode].mean(metric) for name, mode in (worse, better)]
        printed = "-" if None in theirs else f"{theirs[0] - theirs[1]:+.2f}"  # type: ignore[operator]
        reports = [reports_of(results, *line) for line in (worse, better)]
        if not all(reports):
            lines.append(f"| {sentence} | {printed} | - | - | not run |")
            continue
        same = better[0] == worse[0]
        spread = _spread_of_pairs(reports[0], reports[1], metric) if same else run_spread(groups, metric)
        difference = difference_of_runs(reports[0], reports[1], metric, spread)
        mean, low, high = (value * 1e3 for value in (difference.mean, difference.low, difference.high))
        verdict = (
            "not resolved" if not difference.resolved else "as in the paper" if mean > 0 else "the other way round"
        )
        lines.append(
            f"| {sentence} | {printed} | {mean:+.2f} ({low:+.2f} to {high:+.2f}) | {difference.count} | {verdict} |"
        )
    return lines


def _spread_of_pairs(one: Sequence[Report], other: Sequence[Report], metric: str) -> RunSpread:
    """Return the spread of the runs' differences between two modes, for `difference_of_runs`.

    Both sides are the same networks and share the effect of chance on a run. `difference_of_runs` adds the variances
    of two sides: each gets half of the variance of the differences.
    """
    means = np.array([paired_difference(*pair, metric).mean for pair in zip(one, other, strict=True)])
    freedom = len(means) - 1
    return RunSpread(float(means.std(ddof=1) / np.sqrt(2)) if freedom else NAN, freedom)


def _curves(results: Path) -> list[str]:
    """Return the mean training loss in every tenth of a run, which shows whether it was still learning at its end."""
    tenths = [f"{percent} %" for percent in range(10, 101, 10)]
    lines = [
        "## Curves",
        "",
        "Mean of the training loss in every tenth of a run; late terms raise it from their epoch on. Rows that train",
        "their image branch as well see augmented frames: compare the rows of the shared backbone with each other.",
        "",
    ]
    lines += ["| row | seed | " + " | ".join(tenths) + " |", "|---" * (2 + len(tenths)) + "|"]
    for name, seed, result in finished(results):
        parts = np.array_split(np.array([loss for _, loss in result["curve"]]), len(tenths))
        cells = [f"{part.mean():.0f}" if len(part) else "-" for part in parts]
        lines.append("| " + " | ".join([name, str(seed), *cells]) + " |")
    return [*lines, ""]


def _budgets(results: Path) -> list[str]:
    lines = ["## Budgets", "", "| row | seed | steps | CPU minutes | commit | machine |", "|---|---|---|---|---|---|"]
    for name, seed, result in finished(results):
        minutes = f"{result['cpu_seconds'] / 60:.0f}"
        cells = [name, str(seed), str(result["steps"]), minutes, result["commit"], result["machine"]]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def reports_of(results: Path, name: str, mode: str) -> list[Report]:
    """Return the reports of a row in a mode, one for every finished seed."""
    found: list[dict[str, Any] | None] = [read_result(results, name, seed) for seed in range(ROWS[name].seeds)]
    return [Report.from_json(json.dumps(result["reports"][mode])) for result in found if result is not None]
