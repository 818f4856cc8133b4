"""Training of the region network in stages: each starts from the averaged weights of the one before.

A run is a folder: `log.jsonl`, `last.pt` from which an interrupted stage resumes, and the checkpoint `best/` of the
averaged weights. A stage is a number of steps with one cosine of the learning rate; it may add frames.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch.utils.data import DataLoader

from twohands.claims import claim
from twohands.config import LightConfig, RegionConfig
from twohands.files import write_atomically
from twohands.networks.region_checkpoint import save_region_network
from twohands.region import Region
from twohands.training.region_items import Disturbance, RegionItem, RegionSet
from twohands.training.region_loss import RegionObjective, region_input

CONFIG, STATE, LOG, BEST = "config.json", "last.pt", "log.jsonl", "best"
PREFIX = "stage-"
CALM = Disturbance(
    far=0.0, place=0.006, angle=0.1, depth=0.008, no_depth=0, no_colour=0, true_landmarks=0, no_landmarks=0,
    other_side=0.1, elsewhere=0.1, alone=0,
)  # fmt: skip
"""The disturbance of validation."""


@dataclass(frozen=True)
class Stage:
    """One stage of training."""

    name: str
    folders: tuple[Path, ...]
    steps: int
    learning_rate: float = 1e-3
    batch: int = 12  # frames; each has two regions
    warmup: int = 200
    seed: int = 0
    workers: int = 1


def train_light(
    config: LightConfig,
    folders: Sequence[Path],
    out: Path,
    validation: str | Path | None = None,
    minutes: float = math.inf,
) -> Path:
    """Train the region network in a run folder, or resume there, and return the checkpoint `best`.

    The folders hold shards, or folders of shards to which a renderer may add. Raise ValueError when `out` holds another
    run. After `minutes` the run stops, to be continued by the same call.
    """
    claim(out / CONFIG, config.to_dict(), f"{out} holds a run", "give another --out, or the settings it was begun with")
    until = time.time() + 60 * minutes
    torch.manual_seed(config.seed)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("steps", total=config.stages * config.steps)
        for number in range(_stage_of(out / STATE), config.stages):
            stage = Stage(
                f"{PREFIX}{number}", tuple(folders), config.steps, config.learning_rate, config.batch_size,
                seed=1000 * config.seed + number, workers=config.workers,
            )  # fmt: skip
            done = number * config.steps
            held_out = () if validation is None else (Path(validation),)
            if not run_stage(
                stage, config.network, out, held_out, config.save_steps, bar.console.print, until,
                lambda step, done=done: bar.update(task, completed=done + step),
            ):  # fmt: skip
                break
    return out / BEST


def run_stage(
    stage: Stage,
    config: RegionConfig,
    folder: Path,
    validation: Sequence[Path] = (),
    save_steps: int = 250,
    tell: Callable[[str], None] = print,
    until: float = math.inf,
    show: Callable[[int], None] = lambda step: None,
) -> bool:
    """Train one stage, or resume it, and write the checkpoint `best`. Return whether the stage is complete.

    The run stops early at the time `until` (seconds of `time.time`), with its state saved.
    """
    objective = RegionObjective(config)
    network = objective.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), lr=stage.learning_rate, weight_decay=1e-3)
    state = _load(folder / STATE)
    averaged = {name: value.clone() for name, value in network.state_dict().items()}
    step, before, cpu_before = 0, 0, 0.0
    if state is not None:
        before, cpu_before = state.get("before", 0), state["cpu_seconds"]
        if state["stage"] == stage.name:
            step = state["step"]
            network.load_state_dict(state["network"])
            optimizer.load_state_dict(state["optimizer"])
        else:
            before += state["step"]
            network.load_state_dict(state["averaged"])
        averaged = state["averaged"]
    items = RegionSet(stage.folders, stage.seed)
    first = 1_000_003 * _number(stage.name)
    numbers = range(first + step * stage.batch, first + stage.steps * stage.batch)
    loader = DataLoader(
        items,  # type: ignore[arg-type]
        batch_size=stage.batch,
        sampler=numbers,
        num_workers=stage.workers,
        collate_fn=collate,
        prefetch_factor=4 if stage.workers else None,
    )
    started, means = time.process_time(), {}
    objective.train()

    def save() -> None:
        spent = cpu_before + time.process_time() - started
        values = {
            "stage": stage.name, "step": step, "before": before, "cpu_seconds": spent, "network": network.state_dict(),
            "averaged": averaged, "optimizer": optimizer.state_dict(),
        }  # fmt: skip
        with write_atomically(folder / STATE) as temporary:
            torch.save(values, temporary)

    for item in _endless(loader):
        if step >= stage.steps or time.time() > until:
            break
        rise = min(1.0, (step + 1) / stage.warmup)
        rate = stage.learning_rate * rise * (0.5 * (1 + math.cos(math.pi * step / stage.steps)) + 0.02)
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss, terms = objective(item)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        step += 1
        show(step)
        done = before + step
        _average(averaged, network, min(0.999, (done + 1) / (done + 20)))
        for name, value in {"loss": loss, **terms}.items():
            means.setdefault(name, []).append(float(value.detach()))
        if step % 50 == 0 or step == stage.steps:
            spent = cpu_before + time.process_time() - started
            row = {"stage": stage.name, "step": step, "cpu_hours": spent / 3600}
            row |= {name: float(np.mean(values)) for name, values in means.items()}
            _write(folder / LOG, row)
            tell(f"{stage.name} {step}/{stage.steps} " + " ".join(f"{n} {np.mean(v):.4g}" for n, v in means.items()))
            means = {}
        if step % save_steps == 0 or step == stage.steps:
            save()
            if validation and (step % (4 * save_steps) == 0 or step == stage.steps):
                measured = validate(objective, averaged, validation)
                spent = cpu_before + time.process_time() - started
                _write(folder / LOG, {"stage": stage.name, "step": step, "cpu_hours": spent / 3600, **measured})
                tell("validation " + " ".join(f"{name} {value:.4g}" for name, value in measured.items()))
    save()
    network.load_state_dict(averaged)
    save_region_network(network, folder / BEST)
    return step >= stage.steps


@torch.no_grad()
def validate(
    objective: RegionObjective, weights: dict[str, torch.Tensor], folders: Sequence[Path], frames: int = 150
) -> dict[str, float]:
    """Return errors in millimetres of hands at least 30 % visible, and the rates of wrong presence and side."""
    network = objective.network
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(weights)
    network.eval()
    items = RegionSet(folders, 7, CALM)
    errors, aligned, shares, wrong_side, missed, invented = [], [], [], [], [], []
    for start in range(0, frames, 10):
        item = collate([items[number] for number in range(start, start + 10)])
        output = network(region_input(item, network.config))
        region = Region(item.axes.flatten(0, 1), item.region_depth.flatten())
        mine, true = (region.from_plane(plane) for plane in (output.joints, item.joints.flatten(0, 1)))
        shown, right = item.shown.flatten(), item.right.flatten() > 0
        hand = (shown >= 0.3) & right
        errors.append((mine - true).norm(dim=-1).mean(-1)[hand])
        aligned.append(((mine - mine[:, 9:10]) - (true - true[:, 9:10])).norm(dim=-1).mean(-1)[hand])
        shares.append(shown[hand])
        wrong_side.append(((output.right > 0) != right)[shown >= 0.3])
        missed.append((output.present < 0)[shown >= 0.3])
        invented.append((output.present > 0)[shown == 0])
    network.load_state_dict(kept)
    objective.train()
    error, share = torch.cat(errors) * 1e3, torch.cat(shares)
    return {
        "mpjpe_mm": float(error.mean()),
        "median_mm": float(error.median()),
        "visible_mm": float(error[share > 0.9].mean()),
        "hidden_mm": float(error[share < 0.6].mean()),
        "aligned_mm": float(torch.cat(aligned).mean() * 1e3),
        **{
            name: float(torch.cat(values).float().mean())
            for name, values in (("wrong_side", wrong_side), ("missed", missed), ("invented", invented))
        },
        "hands": len(error),
    }


def collate(items: Sequence[RegionItem]) -> RegionItem:
    """Return a batch of torch tensors."""
    return RegionItem.stack(items).map(torch.from_numpy)


def _average(averaged: dict[str, torch.Tensor], network: torch.nn.Module, share: float) -> None:
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                averaged[name].mul_(share).add_(value, alpha=1 - share)
            else:
                averaged[name].copy_(value)


def _endless(loader: DataLoader) -> Iterator[Any]:
    yield from loader


def _load(path: Path) -> dict[str, Any] | None:
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def _stage_of(path: Path) -> int:
    """Return the number of the stage in which a run was stopped."""
    state = _load(path)
    return 0 if state is None else int(state["stage"].removeprefix(PREFIX))


def _number(name: str) -> int:
    return sum(ord(letter) * (index + 1) for index, letter in enumerate(name))


def _write(path: Path, row: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(row) + "\n")
