"""Train and measure the rows of a table at one budget of CPU time; every finished part is kept.

A folder holds the shared backbone, its maps, and one run for every row and seed; results are small files elsewhere. The
number of steps of a row follows from its budget: the CPU time of a step is measured once and stored in `budget.json`,
so that a killed run resumes with the same number.
"""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from twohands.claims import refuse_other
from twohands.config import ExperimentConfig
from twohands.data.dataset import TrainingSet
from twohands.experiments.frozen import BackboneMaps, frozen_objective, is_complete, write_backbone_maps
from twohands.experiments.rows import ROWS, TABLES, TableRow
from twohands.files import locked, write_atomically
from twohands.networks.checkpoint import CONFIG, load_checkpoint
from twohands.training import train
from twohands.training.log import origin, read_log
from twohands.training.loop import FINAL, LOG_STEPS, Items
from twohands.training.validate import evaluate_network
from twohands.types import Dataset

BUDGET, LOCK = "budget.json", "lock"
WAIT = 5.0
"""Seconds between two checks whether another process has finished."""
BACKBONE = {"fusion": "rgb_only"}
"""Network that provides the shared image branch. Its fusion uses colour features alone, so the shared features favour
no way of adding depth; they favour its own row the most."""


@dataclass(frozen=True)
class Plan:
    """The set-up of a comparison. Minutes are CPU time of this process, including the loading of frames."""

    preset: ExperimentConfig
    folder: Path
    reports: Path
    """Folder of the results; the runs in `folder` are no longer needed once they are there."""
    train: Dataset
    test: Dataset
    frames: Mapping[str, Any]
    """Identities of `train` ("data") and `test` ("test"), see `identity_of`; results of other frames are refused."""
    minutes: float = 60.0
    """Budget of a row on the maps of the shared backbone."""
    whole_minutes: float = 90.0
    """Budget of a row that trains its image branch as well."""
    backbone_minutes: float = 120.0
    seeds: int = 2
    """Largest number of seeds of a row."""
    steps: int | None = None
    """Steps of a row; by default as many as its minutes allow on this machine."""

    @property
    def backbone(self) -> Path:
        """Checkpoint of the shared backbone."""
        return self.folder / "backbone" / FINAL


def run_tables(plan: Plan, names: Iterable[str], say: Callable[[str], None]) -> None:
    """Train and evaluate the unfinished rows of the named tables, or named rows, and report progress to `say`.

    Several processes may run the same plan: each takes rows that no other process works on. Raise ValueError for an
    unknown name, and when the folder of results holds results of another plan.
    """
    for name, seed, result in finished(plan.reports):
        _refuse_other(result, _terms(plan, ROWS[name]), result_path(plan.reports, name, seed))
    wanted = list(dict.fromkeys(row for name in names for row in rows_of(name)))
    wanted.sort(key=lambda name: not ROWS[name].shared_backbone)  # most rows wait for the backbone
    left = [(name, seed) for seed in range(plan.seeds) for name in wanted if seed < ROWS[name].seeds]
    while left:
        busy = [(name, seed) for name, seed in left if not run_row(plan, name, seed, say)]
        if busy == left:
            time.sleep(WAIT)
        left = busy


def rows_of(name: str) -> list[str]:
    """Return the rows of a table, or the row of that name. Raise ValueError when there is neither."""
    if name in TABLES:
        return [row for row, _ in TABLES[name].lines]
    if name not in ROWS:
        raise ValueError(f"{name!r} is neither a table nor a row; known are {', '.join((*TABLES, *ROWS))}")
    return [name]


def run_row(plan: Plan, name: str, seed: int, say: Callable[[str], None]) -> bool:
    """Train one row with one seed and measure it in every mode, unless that is done.

    Return False if another process works on it, or on the backbone that it needs.
    """
    result = read_result(plan.reports, name, seed)
    if result is not None:
        _refuse_other(result, _terms(plan, ROWS[name]), result_path(plan.reports, name, seed))
        return True
    if ROWS[name].shared_backbone and not _shared_backbone(plan, say):
        return False
    with locked(plan.folder / f"{name}-{seed}" / LOCK) as mine:
        if mine:
            _run_row(plan, name, seed, say)
    return mine


def _run_row(plan: Plan, name: str, seed: int, say: Callable[[str], None]) -> None:
    row, folder = ROWS[name], plan.folder / f"{name}-{seed}"
    config = _config(plan, row, seed)
    items = _items(plan, config, row.shared_backbone)
    backbone = plan.backbone if row.shared_backbone else None
    config = _with_budget(config, items, backbone, folder, _terms(plan, row), say, plan.steps)
    network, network_config = load_checkpoint(_train(config, items, folder, backbone))
    reports = {}
    for mode in row.modes:
        samples = (plan.test[index] for index in range(len(plan.test)))
        shown = track(samples, f"{name}-{seed} {mode}", len(plan.test), console=Console(stderr=True))
        reports[mode] = json.loads(evaluate_network(network, network_config, shown, mode).json())
    curve = [record for record in read_log(folder) if record.get("kind") == "train"]
    budget = {**_read_budget(folder), "cpu_seconds": curve[-1]["cpu_seconds"]}
    result = {**budget, "curve": [[record["step"], record["loss"]] for record in curve], "reports": reports}
    with write_atomically(result_path(plan.reports, name, seed)) as temporary:
        temporary.write_bytes(gzip.compress(json.dumps(result).encode(), mtime=0))
    say(f"{name}, seed {seed}: done")


def result_path(folder: Path, name: str, seed: int) -> Path:
    """Return the path of the result of a row and seed."""
    return folder / f"{name}-{seed}.json.gz"


def read_result(folder: Path, name: str, seed: int) -> dict[str, Any] | None:
    """Return the result of a row and seed, see `open_result`; None when it is not finished."""
    path = result_path(folder, name, seed)
    return open_result(path) if path.exists() else None


def open_result(path: Path) -> dict[str, Any]:
    """Return a result of `run_row`: budget, frames, machine, the curve [step, loss] and `reports` by mode."""
    return json.loads(gzip.decompress(path.read_bytes()))


def finished(folder: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Yield row, seed and result of every finished row."""
    for name, row in ROWS.items():
        for seed in range(row.seeds):
            result = read_result(folder, name, seed)
            if result is not None:
                yield name, seed, result


def _shared_backbone(plan: Plan, say: Callable[[str], None]) -> bool:
    """Train the backbone and store its maps, unless done. Return False if another process works on it."""
    if _has_backbone(plan):
        _refuse_other(_read_budget(plan.backbone.parent), _backbone_terms(plan), plan.backbone.parent)
        if is_complete(plan.folder / "maps"):
            return True
    with locked(plan.folder / "backbone" / LOCK) as mine:
        if mine:
            _make_backbone(plan, say)
    return mine


def _has_backbone(plan: Plan) -> bool:
    """Return whether the checkpoint is complete: its configuration is written last."""
    return (plan.backbone / CONFIG).exists()


def _make_backbone(plan: Plan, say: Callable[[str], None]) -> None:
    if not _has_backbone(plan):
        config = _config(plan, TableRow("shared backbone", BACKBONE, shared_backbone=False), 0)
        items = _items(plan, config, shared_backbone=False)
        folder = plan.backbone.parent
        _train(_with_budget(config, items, None, folder, _backbone_terms(plan), say), items, folder, None)
    total = len(plan.train)
    with Console(stderr=True).status("maps of the shared backbone") as status:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            status.update(f"maps of the shared backbone: {done} of {total} frames")

        write_backbone_maps(plan.backbone, plan.train, plan.frames["data"], plan.folder / "maps", advance)


def _config(plan: Plan, row: TableRow, seed: int) -> ExperimentConfig:
    network = replace(plan.preset.network, **row.changes)  # type: ignore[arg-type]
    heads = {"center": 0.0, "mask": 0.0} if row.shared_backbone else {}  # frozen with the backbone
    loss = replace(plan.preset.loss, **heads, **row.loss)  # type: ignore[arg-type]
    return replace(plan.preset, network=network, loss=loss, train=replace(plan.preset.train, seed=seed, workers=0))


def _items(plan: Plan, config: ExperimentConfig, shared_backbone: bool) -> Items:
    if shared_backbone:
        return BackboneMaps(plan.folder / "maps", config.augment, config.train.seed, plan.frames["data"])
    return TrainingSet.of(plan.train, config)


def _with_budget(
    config: ExperimentConfig,
    items: Items,
    backbone: Path | None,
    folder: Path,
    terms: Mapping[str, Any],
    say: Callable[[str], None],
    steps: int | None = None,
) -> ExperimentConfig:
    """Return the configuration with `steps`, or as many as the minutes allow, measured once for a folder."""
    path, minutes = folder / BUDGET, terms["minutes"]
    if not path.exists():
        budget: dict[str, Any] = {**terms, "steps": steps}
        if steps is None:
            seconds = _seconds_a_step(config, items, backbone)
            budget |= {"seconds_a_step": seconds, "steps": max(1, round(60 * minutes / seconds))}
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps({**budget, **origin()}, indent=1) + "\n")
    budget = _read_budget(folder)
    _refuse_other(budget, terms, folder)
    if steps not in (None, budget["steps"]):
        raise ValueError(
            f"{folder} was begun with {budget['steps']} steps, not {steps}; remove it, or give another folder"
        )
    a_step = f" of {budget['seconds_a_step']:.2f} CPU s for {minutes:g} minutes" if "seconds_a_step" in budget else ""
    say(f"{folder.name}: {budget['steps']} steps{a_step}")
    return replace(config, train=replace(config.train, steps=budget["steps"]))


def _terms(plan: Plan, row: TableRow) -> dict[str, Any]:
    """Return the conditions of a row's result: its budget and the frames."""
    if row.shared_backbone:
        return {"minutes": plan.minutes, "backbone_minutes": plan.backbone_minutes, **plan.frames}
    return {"minutes": plan.whole_minutes, **plan.frames}


def _backbone_terms(plan: Plan) -> dict[str, Any]:
    return {"minutes": plan.backbone_minutes, "data": plan.frames["data"]}


def _read_budget(folder: Path) -> dict[str, Any]:
    return json.loads((folder / BUDGET).read_text())


def _refuse_other(found: Mapping[str, Any], terms: Mapping[str, Any], place: Path) -> None:
    fix = "give the same frames and budgets, or another folder as --out (and --reports if given)"
    refuse_other(f"{place} was begun", found, terms, fix)


def _train(config: ExperimentConfig, items: Items, folder: Path, backbone: Path | None, progress: bool = True) -> Path:
    """Train the whole network, or all but the image branch of a frozen backbone."""
    if backbone is None:
        return train(config, items, folder, progress=progress)
    objective = frozen_objective(config, backbone)
    return train(config, items, folder, None, objective, {"backbone": str(backbone)}, progress)


def _seconds_a_step(config: ExperimentConfig, items: Items, backbone: Path | None) -> float:
    """Return the CPU seconds of a step, from a temporary run without its first steps."""
    folder = Path(tempfile.mkdtemp(prefix="twohands-"))
    try:
        short = replace(config, train=replace(config.train, steps=2 * LOG_STEPS))
        _train(short, items, folder, backbone, progress=False)
        times = [record["cpu_seconds"] for record in read_log(folder) if record.get("kind") == "train"]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return (times[1] - times[0]) / LOG_STEPS
