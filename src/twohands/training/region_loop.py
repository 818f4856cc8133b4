"""Training of the region network in stages: each starts from the averaged weights of the one before.

A run is a folder: `log.jsonl`, `last.pt` from which an interrupted stage resumes, and the checkpoint `best/` of the
averaged weights. A stage is a number of steps with one cosine of the learning rate; it may add frames.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch.utils.data import DataLoader

from twohands.claims import claim
from twohands.files import write_atomically
from twohands.light_config import LightConfig, RegionConfig
from twohands.networks.region_checkpoint import save_region_network
from twohands.networks.region_export import open_region_network
from twohands.networks.region_network import RegionNetwork
from twohands.region import Region
from twohands.training.loop import stop_asked
from twohands.training.region_items import Disturbance, RegionItem
from twohands.training.region_loss import RegionObjective, region_input
from twohands.training.region_set import RegionSet, echoed

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
    start: Path | None = None,
) -> Path:
    """Train the region network in a run folder, or resume there, and return the checkpoint `best`.

    The folders hold shards, or folders of shards to which a renderer may add. Raise ValueError when `out` holds another
    run, or a folder no frames that can be trained on. After `minutes` the run stops, to be continued by the same call.
    A new run takes the weights of `start`, a checkpoint or an exported graph.
    """
    for frames in [folders] if validation is None else [folders, [Path(validation)]]:
        RegionSet(frames, config.seed)
    origin = {} if start is None else {"start": str(start)}
    claim(
        out / CONFIG,
        {**config.to_dict(), **origin},
        f"{out} holds a run",
        "give another --out, or the settings it was begun with",
    )
    until = time.time() + 60 * minutes
    torch.manual_seed(config.seed)
    weights = None if start is None else open_region_network(start).state_dict()
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
                lambda step, done=done: bar.update(task, completed=done + step), weights=weights,
            ):  # fmt: skip
                break
    return out / BEST


@dataclass(frozen=True)
class Place:
    """The device on which the network is trained, and its precision."""

    device: str = "cpu"
    bf16: bool = False
    """Maps in bf16; votes, tokens, geometry and losses are always float32."""


CPU = Place()


class Learner:
    """The region network in training: its optimiser, and the running average of its weights."""

    def __init__(self, config: RegionConfig, learning_rate: float, place: Place = CPU):
        self.place = place
        self.objective = RegionObjective(config).to(place.device)
        self.network = self.objective.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=learning_rate, weight_decay=1e-3)
        self.averaged = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.step, self.before = 0, 0
        """Steps of this stage, and of those before it."""

    def state(self) -> dict[str, Any]:
        """Return all that `resume` needs."""
        return {
            "step": self.step, "before": self.before, "network": self.network.state_dict(),
            "averaged": self.averaged, "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip

    def resume(self, state: dict[str, Any]) -> None:
        """Continue the stage of a state."""
        self.step, self.before = state["step"], state.get("before", 0)
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._take(state["averaged"])

    def follow(self, state: dict[str, Any]) -> None:
        """Begin a stage after the one of a state, from its averaged weights."""
        self.step, self.before = 0, state.get("before", 0) + state["step"]
        self.network.load_state_dict(state["averaged"])
        self._take(state["averaged"])

    def learn(self, item: RegionItem, rate: float) -> dict[str, torch.Tensor]:
        """Take one step on a batch and return the loss and its terms. A gradient that is not finite is left out."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.place.device, torch.bfloat16, enabled=self.place.bf16):
            loss, terms = self.objective(item)
        self.optimizer.zero_grad()
        loss.backward()
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)):
            self.optimizer.step()
        self.step += 1
        done = self.before + self.step
        _average(self.averaged, self.network, min(0.999, (done + 1) / (done + 20)))
        return {name: value.detach() for name, value in {"loss": loss, **terms}.items()}

    def save(self, folder: Path) -> None:
        """Write the averaged weights as a checkpoint. Raise FloatingPointError when they are not finite."""
        if not all(torch.isfinite(value).all() for value in self.averaged.values()):
            raise FloatingPointError(f"weights are not finite; {folder} keeps the last ones that were")
        network = RegionNetwork(self.network.config, self.network.num_shape)
        network.load_state_dict(self.averaged)
        save_region_network(network, folder)

    def _take(self, averaged: dict[str, torch.Tensor]) -> None:
        for name, value in self.averaged.items():
            value.copy_(averaged[name])


def run_stage(
    stage: Stage,
    config: RegionConfig,
    folder: Path,
    validation: Sequence[Path] = (),
    save_steps: int = 250,
    tell: Callable[[str], None] = print,
    until: float = math.inf,
    show: Callable[[int], None] = lambda step: None,
    place: Place = CPU,
    weights: dict[str, torch.Tensor] | None = None,
) -> bool:
    """Train one stage, or resume it, and write the checkpoint `best`. Return whether the stage is complete.

    The first stage of a run begins with `weights`, where they are given.

    The run stops early at the time `until` (seconds of `time.time`), with its state saved; so it does on Ctrl-C and
    SIGTERM, after which KeyboardInterrupt is raised.
    """
    learner = Learner(config, stage.learning_rate, place)
    state = _load(folder / STATE)
    cpu_before = 0.0
    if state is None and weights is not None:
        learner.follow({"step": 0, "averaged": weights})
    if state is not None:
        cpu_before = state["cpu_seconds"]
        if state["stage"] == stage.name:
            learner.resume(state)
        else:
            learner.follow(state)
    items = RegionSet(stage.folders, stage.seed)
    first = 1_000_003 * _number(stage.name)
    numbers = echoed(first, stage.steps - learner.step, learner.step, stage.batch)
    loader = DataLoader(
        items,  # type: ignore[arg-type]
        batch_size=stage.batch,
        sampler=numbers,
        num_workers=stage.workers,
        collate_fn=collate,
        prefetch_factor=4 if stage.workers else None,
    )
    started, means, held_out = time.process_time(), {}, []
    learner.objective.train()

    def save() -> None:
        spent = cpu_before + time.process_time() - started
        with write_atomically(folder / STATE) as temporary:
            torch.save({"stage": stage.name, "cpu_seconds": spent, **learner.state()}, temporary)

    with stop_asked() as stop:
        for item in loader:
            if learner.step >= stage.steps or time.time() > until or stop():
                break
            rate = stage.learning_rate * learning_rate(learner.step, stage.warmup, learner.step / stage.steps)
            terms = learner.learn(item.to(place.device), rate)
            step = learner.step
            show(step)
            for name, value in terms.items():
                means.setdefault(name, []).append(float(value))
            if step % 50 == 0 or step == stage.steps:
                spent = cpu_before + time.process_time() - started
                row = {"stage": stage.name, "step": step, "cpu_hours": spent / 3600}
                row |= {name: float(np.mean(values)) for name, values in means.items()}
                write_row(folder / LOG, row)
                tell(
                    f"{stage.name} {step}/{stage.steps} " + " ".join(f"{n} {np.mean(v):.4g}" for n, v in means.items())
                )
                means = {}
            if step % save_steps == 0 or step == stage.steps:
                save()
                if validation and (step % (4 * save_steps) == 0 or step == stage.steps):
                    held_out = held_out or held_out_batches(validation)
                    measured = validate(learner, held_out)
                    spent = cpu_before + time.process_time() - started
                    write_row(folder / LOG, {"stage": stage.name, "step": step, "cpu_hours": spent / 3600, **measured})
                    tell("validation " + " ".join(f"{name} {value:.4g}" for name, value in measured.items()))
        stopped = stop()
    save()
    learner.save(folder / BEST)
    if stopped:
        raise KeyboardInterrupt
    return learner.step >= stage.steps


def learning_rate(step: int, warmup: int, progress: float) -> float:
    """Return the factor of the learning rate at a step, counted from 0, and a fraction of the stage."""
    rise = min(1.0, (step + 1) / warmup)
    return rise * (0.5 * (1 + math.cos(math.pi * progress)) + 0.02)


def held_out_batches(folders: Sequence[Path], frames: int = 150) -> list[RegionItem]:
    """Return the batches of a validation: calm views of frames of folders."""
    items = RegionSet(folders, 7, CALM)
    return [collate([items[number] for number in range(start, start + 10)]) for start in range(0, frames, 10)]


@torch.no_grad()
def validate(learner: Learner, batches: Sequence[RegionItem]) -> dict[str, float]:
    """Return errors in millimetres of hands at least 30 % visible, and the rates of wrong presence and side.

    Measured are the averaged weights, in float32.
    """
    network = learner.network
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(learner.averaged)
    network.eval()
    errors, aligned, shares, wrong_side, missed, invented = [], [], [], [], [], []
    for item in (batch.to(learner.place.device) for batch in batches):
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
    learner.objective.train()
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


def _load(path: Path) -> dict[str, Any] | None:
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def _stage_of(path: Path) -> int:
    """Return the number of the stage in which a run was stopped."""
    state = _load(path)
    return 0 if state is None else int(state["stage"].removeprefix(PREFIX))


def _number(name: str) -> int:
    return sum(ord(letter) * (index + 1) for index, letter in enumerate(name))


def write_row(path: Path, row: dict[str, Any]) -> None:
    """Append a row to a file of JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(row) + "\n")
