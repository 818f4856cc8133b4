"""Training: one loop that reads top to bottom. Batch, gradient, step; log, state, validation.

A run is a folder: `config.json`, `log.jsonl`, TensorBoard events, `last.pt` from which it continues, the checkpoint of
the best validation `best/` and the last one `final/`. What a step does depends on (configuration, step) alone, so a run
that was killed at any moment ends with the same weights, and two processes compute what one does.
"""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader

from twohands.config import ExperimentConfig, TrainConfig
from twohands.data.dataset import Draw, TrainingItem
from twohands.files import write_atomically
from twohands.hands import HAND_MODELS
from twohands.losses import surface_of
from twohands.networks import HandNetwork, build_network
from twohands.networks.checkpoint import load_checkpoint, save_checkpoint, start_from
from twohands.training.batches import BatchStream, collate
from twohands.training.log import RunLog
from twohands.training.objective import Objective

CONFIG, STATE, BEST, FINAL = "config.json", "last.pt", "best", "final"
LOG_STEPS = 20
DROP = 0.1
"""Factor of the learning rate at every drop."""

Validate = Callable[[HandNetwork], dict[str, float]]
"""A network -> figures; the first one decides which network was the best, lower being better."""


class Items(Protocol):
    """What `train` reads: a `TrainingSet`, or the `TrunkMaps` of one."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: Draw, /) -> TrainingItem: ...


@dataclass
class Progressed:
    """How far a run has come; with the weights and the optimiser the whole state of it."""

    step: int = 0
    cpu_seconds: float = 0.0  # of this process, loading workers not counted
    best: float = math.inf


def train(
    config: ExperimentConfig,
    items: Items,
    folder: str | Path,
    validate: Validate | None = None,
    trunk: str | Path | None = None,
    pretrained: bool = False,
    start: str | Path | None = None,
    progress: bool = True,
) -> Path:
    """Trains the network of a configuration in a run folder, or continues there; returns the folder `final`.

    `trunk` is the checkpoint of a network whose image branch is taken over and kept frozen, `start` that of one whose
    weights the run begins with, see `checkpoint.start_from`. Under torchrun every process calls this alike. Raises
    ValueError when the folder holds another run, FloatingPointError, naming term and frame, when a loss is not finite.
    """
    folder, recipe = Path(folder), config.train
    accelerator = Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision=recipe.precision)
    _claim(folder, config, {"trunk": trunk, "start": start}, accelerator)
    objective = _objective(config, trunk, pretrained, start)
    optimizer = torch.optim.AdamW(
        [parameter for parameter in objective.parameters() if parameter.requires_grad],
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
    done = _restore(folder, objective, optimizer, accelerator)
    total = recipe.steps or math.ceil(recipe.epochs * len(items) / recipe.batch_size)
    stream = BatchStream(
        len(items), recipe.batch_size, recipe.seed, done.step, total,
        accelerator.num_processes, accelerator.process_index, recipe.accumulation,
    )  # fmt: skip
    model, optimizer = accelerator.prepare(objective, optimizer)
    parts = iter(_loader(items, stream, recipe.workers))
    log = RunLog(folder, recipe.seed, done.step) if accelerator.is_main_process else None
    mean, started = Mean(), time.process_time() - done.cpu_seconds
    with _bar(progress and accelerator.is_main_process, total, done.step) as show, _stop_asked() as stop:
        for step in range(done.step, total):
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * rate(recipe, step, total, stream.epoch(step))
            terms = _step(model, optimizer, accelerator, parts, stream.epoch(step), recipe.accumulation)
            done.step, done.cpu_seconds = step + 1, time.process_time() - started
            last = done.step == total
            mean.add(terms)
            if log and (last or done.step % LOG_STEPS == 0):
                rates = {"learning_rate": optimizer.param_groups[0]["lr"], "cpu_seconds": done.cpu_seconds}
                log.write("train", done.step, {**mean.take(), **rates, "epoch": stream.epoch(step)})
            if validate and (last or done.step % recipe.validate_steps == 0):
                _validate(validate, objective, config, folder, done, log, accelerator)
            if last or stop() or done.step % recipe.save_steps == 0:
                _save(folder, done, objective, optimizer, accelerator)
            if stop():
                raise KeyboardInterrupt
            show(done.step, mean.shown)
    if log:
        save_checkpoint(objective.network, config.network, folder / FINAL)
        log.close()
    accelerator.wait_for_everyone()
    return folder / FINAL


def rate(recipe: TrainConfig, step: int, total: int, epoch: int) -> float:
    """The factor of the learning rate at a step of `total`, in an epoch, both from 0."""
    warm = recipe.warmup * total
    rise = min(1.0, (step + 1) / warm) if warm else 1.0
    if recipe.schedule == "cosine":
        return rise * 0.5 * (1 + math.cos(math.pi * step / total))
    return rise * DROP ** sum(epoch >= drop for drop in recipe.drops)


class Mean:
    """Means of the terms of several steps."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.count = 0
        self.shown = math.nan
        """The last mean loss."""

    def add(self, terms: dict[str, float]) -> None:
        """The terms of one more step."""
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in terms.items()}
        self.count += 1
        self.shown = self.sums["loss"] / self.count

    def take(self) -> dict[str, float]:
        """The means since the last call."""
        means = {name: value / self.count for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


def _objective(
    config: ExperimentConfig, trunk: str | Path | None, pretrained: bool, start: str | Path | None
) -> Objective:
    torch.manual_seed(config.train.seed)
    hand_model = HAND_MODELS[config.network.hand_model]()
    network = build_network(config.network, hand_model, pretrained)
    if start is not None:
        start_from(network, config.network, start)
    if trunk is not None:
        network.image.load_state_dict(load_checkpoint(trunk)[0].image.state_dict())
    network.image.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    recipe, frozen = config.train, trunk is not None
    return Objective(
        network, surface_of(hand_model), config.loss, recipe.center_noise, frozen, own_centers=recipe.own_centers
    )


def _step(
    model: torch.nn.Module,
    optimizer: Any,
    accelerator: Accelerator,
    parts: Iterator[TrainingItem],
    epoch: int,
    accumulation: int,
) -> dict[str, float]:
    """One step of the optimiser; returns the mean of the loss and of every term over this process's frames."""
    model.train()
    optimizer.zero_grad()
    mean = Mean()
    for part in range(accumulation):
        item = next(parts).to(accelerator.device)
        with accelerator.no_sync(model) if part + 1 < accumulation else nullcontext():
            total, terms = model(item, epoch)
            check_finite(total, terms, tuple(item.sample.id))
            accelerator.backward(total.mean() / accumulation)
        mean.add({name: float(value.detach().mean()) for name, value in {"loss": total, **terms}.items()})
    optimizer.step()
    return mean.take()


def check_finite(total: Tensor, terms: dict[str, Tensor], ids: tuple[str, ...]) -> None:
    """Raises FloatingPointError that names the first frame whose loss is not finite, and the terms to blame."""
    if torch.isfinite(total).all():
        return
    frame = int((~torch.isfinite(total)).nonzero()[0, 0])
    blamed = [name for name, values in terms.items() if not torch.isfinite(values[frame])] or ["their sum"]
    raise FloatingPointError(
        f"the loss of frame {ids[frame]} is {float(total[frame])}: {', '.join(blamed)}. The run continues from its "
        "last state with the same command; a lower learning_rate or precision='no' may help"
    )


def _loader(items: Items, stream: BatchStream, workers: int) -> DataLoader:
    return DataLoader(
        items,  # type: ignore[arg-type]
        batch_sampler=stream,  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )


def _validate(
    validate: Validate,
    objective: Objective,
    config: ExperimentConfig,
    folder: Path,
    done: Progressed,
    log: RunLog | None,
    accelerator: Accelerator,
) -> None:
    """Figures of the network as it is; the best one is kept."""
    if log:
        figures = validate(objective.network.eval())
        log.write("validation", done.step, figures)
        score = next(iter(figures.values()))
        if score < done.best:
            done.best = score
            save_checkpoint(objective.network, config.network, folder / BEST)
    accelerator.wait_for_everyone()


def _claim(
    folder: Path, config: ExperimentConfig, origins: dict[str, str | Path | None], accelerator: Accelerator
) -> None:
    """Makes the folder that of this run; a folder of another run is refused."""
    named = {name: None if origin is None else str(origin) for name, origin in origins.items()}
    wanted = json.loads(json.dumps({**config.to_dict(), **named}))
    path = folder / CONFIG
    if path.exists():
        found = _flat(json.loads(path.read_text(encoding="utf-8")))
        for name, value in _flat(wanted).items():
            if found.get(name) != value:
                raise ValueError(
                    f"{folder} holds a run with {name} = {found.get(name)!r}, not {value!r}; "
                    "give another --out, or the same configuration to continue it"
                )
    elif accelerator.is_main_process:
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    accelerator.wait_for_everyone()


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        result |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result


def _save(folder: Path, done: Progressed, objective: Objective, optimizer: Any, accelerator: Accelerator) -> None:
    if not accelerator.is_main_process:
        return
    state = {
        "progressed": vars(done),
        "network": objective.network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": accelerator.scaler.state_dict() if accelerator.scaler else None,
    }
    with write_atomically(folder / STATE) as temporary:
        torch.save(state, temporary)


def _restore(folder: Path, objective: Objective, optimizer: Any, accelerator: Accelerator) -> Progressed:
    path = folder / STATE
    if not path.exists():
        return Progressed()
    state = torch.load(path, map_location="cpu", weights_only=True)
    objective.network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    if state["scaler"]:
        accelerator.scaler.load_state_dict(state["scaler"])  # type: ignore[union-attr]
    return Progressed(**state["progressed"])


@contextmanager
def _stop_asked() -> Iterator[Callable[[], bool]]:
    """Whether the user (Ctrl-C) or the scheduler (SIGTERM) wants the run to stop; a second Ctrl-C stops at once."""
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield lambda: False
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar(show: bool, total: int, done: int) -> Iterator[Callable[[int, float], None]]:
    columns = (TextColumn("steps"), BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.1f}"))
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, *times, disable=not show, console=Console(stderr=True)) as bar:
        task = bar.add_task("steps", total=total, completed=done, loss=math.nan)
        yield lambda step, loss: bar.update(task, completed=step, loss=loss)
