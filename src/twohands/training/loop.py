"""The training loop: batch, gradient, step; log, state, validation.

A run is a folder: `config.json`, `log.jsonl`, TensorBoard events, `last.pt` from which it resumes, the checkpoint of
the best validation `best/` and the last one `final/`. A step depends on (configuration, step) alone, so a run that was
killed at any moment ends with the same weights. N processes compute the gradients of one process with N parts of a
batch (`accumulation`). Batch normalisation takes its statistics over a part, so results depend on the number of parts.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader

from twohands.claims import claim
from twohands.config import ExperimentConfig, TrainConfig
from twohands.data.dataset import Draw, TrainingItem
from twohands.files import write_atomically
from twohands.networks import HandNetwork
from twohands.networks.checkpoint import save_checkpoint
from twohands.training.batches import BatchStream, collate
from twohands.training.log import RunLog
from twohands.training.objective import Objective, build_objective
from twohands.training.validate import Validated

CONFIG, STATE, BEST, FINAL = "config.json", "last.pt", "best", "final"
LOG_STEPS = 20
DROP = 0.1
"""Factor of the learning rate at every drop."""

Validate = Callable[[HandNetwork], Validated]
"""Network -> its validation, for instance a `Validation`."""


class Items(Protocol):
    """Training items by draw: a `TrainingSet`, or maps computed from one."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: Draw, /) -> TrainingItem: ...


@dataclass
class Progressed:
    """Progress of a run; with weights and optimiser it is the whole state of the run."""

    step: int = 0
    cpu_seconds: float = 0.0  # of this process, without its loading workers
    best: float = math.inf
    validated: int = 0  # the last step that was validated


def train(
    config: ExperimentConfig,
    items: Items,
    folder: str | Path,
    validate: Validate | None = None,
    objective: Objective | None = None,
    origins: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Train the network of a configuration in a run folder, or resume there, and return the folder `final`.

    `objective` is the network with its loss, by default with new weights (`build_objective`). `origins` holds plain
    values that the configuration lacks: the frames, for instance by `identity_of`, and the initial weights. Under
    torchrun every process makes the same call. Raise ValueError when the folder holds another run, and
    FloatingPointError with term and frame when a loss is not finite.
    """
    folder, recipe = Path(folder), config.train
    accelerator = Accelerator(cpu=not torch.accelerator.is_available(), mixed_precision=recipe.precision)
    objective = objective or build_objective(config)
    fix = "give another --out, or what the run was begun with to continue it"
    claim(folder / CONFIG, {**config.to_dict(), **(origins or {})}, f"{folder} holds a run", fix)
    accelerator.wait_for_everyone()
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
    save = partial(_save, folder, done, objective, optimizer, accelerator)
    mean, started = Mean(), time.process_time() - done.cpu_seconds
    with _bar(progress and accelerator.is_main_process, total, done.step) as show, stop_asked() as stop:
        while True:
            if validate and _is_due(done, recipe, total):
                _validate(validate, objective, config, folder, done, log, accelerator)
                save()
            if done.step >= total:
                break
            step = done.step
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * rate(recipe, step, total, stream.epoch(step))
            terms = _step(model, optimizer, accelerator, parts, stream.epoch(step), recipe.accumulation)
            done.step, done.cpu_seconds = step + 1, time.process_time() - started
            last = done.step == total
            mean.add(terms)
            if log and (last or done.step % LOG_STEPS == 0):
                rates = {"learning_rate": optimizer.param_groups[0]["lr"], "cpu_seconds": done.cpu_seconds}
                log.write("train", done.step, {**mean.take(), **rates, "epoch": stream.epoch(step)})
            if last or stop() or 0 in (done.step % recipe.save_steps, done.step % recipe.validate_steps):
                save()
            if stop():
                raise KeyboardInterrupt
            show(done.step, mean.shown)
    if log:
        save_checkpoint(objective.network, config.network, folder / FINAL)
        log.close()
    accelerator.wait_for_everyone()
    return folder / FINAL


def rate(recipe: TrainConfig, step: int, total: int, epoch: int) -> float:
    """Return the factor of the learning rate at a step of `total` in an epoch; both count from 0."""
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
        """Mean loss that the progress bar shows."""

    def add(self, terms: dict[str, float]) -> None:
        """Add the terms of one more step."""
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in terms.items()}
        self.count += 1
        self.shown = self.sums["loss"] / self.count

    def take(self) -> dict[str, float]:
        """Return the means since the last call."""
        means = {name: value / self.count for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        return means


def _step(
    model: torch.nn.Module,
    optimizer: Any,
    accelerator: Accelerator,
    parts: Iterator[TrainingItem],
    epoch: int,
    accumulation: int,
) -> dict[str, float]:
    """Take one step of the optimiser; return the mean of the loss and of every term over this process's frames."""
    model.train()
    optimizer.zero_grad()
    mean = Mean()
    for part in range(accumulation):
        item = next(parts).to(accelerator.device)
        with accelerator.no_sync(model) if part + 1 < accumulation else nullcontext():
            total, terms = model(item, epoch)
            check_finite(total, terms, item.sample.id)
            accelerator.backward(total.mean() / accumulation)
        mean.add({name: float(value.detach().mean()) for name, value in {"loss": total, **terms}.items()})
    optimizer.step()
    return mean.take()


def check_finite(total: Tensor, terms: dict[str, Tensor], ids: str | Sequence[str]) -> None:
    """Raise FloatingPointError with the first frame without a finite loss, and the terms that cause it.

    `ids` are those of `collate`: one for every frame, or a single one that all frames share.
    """
    if torch.isfinite(total).all():
        return
    frame = int((~torch.isfinite(total)).nonzero()[0, 0])
    frame_id = ids if isinstance(ids, str) else ids[frame]
    blamed = [name for name, values in terms.items() if not torch.isfinite(values[frame])] or ["their sum"]
    raise FloatingPointError(
        f"the loss of frame {frame_id} is {float(total[frame])}: {', '.join(blamed)}. The run continues from its "
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


def _is_due(done: Progressed, recipe: TrainConfig, total: int) -> bool:
    """Return whether validation is due; a resumed run makes up for one that was interrupted."""
    return done.validated < done.step and (done.step >= total or done.step % recipe.validate_steps == 0)


def _validate(
    validate: Validate,
    objective: Objective,
    config: ExperimentConfig,
    folder: Path,
    done: Progressed,
    log: RunLog | None,
    accelerator: Accelerator,
) -> None:
    """Measure the network and keep the best."""
    if log:
        measured = validate(objective.network.eval())
        log.write("validation", done.step, measured.metrics)
        if measured.score < done.best:
            done.best = measured.score
            save_checkpoint(objective.network, config.network, folder / BEST)
    done.validated = done.step
    accelerator.wait_for_everyone()


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
def stop_asked() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether Ctrl-C or SIGTERM asked the run to stop; a second Ctrl-C stops at once."""
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
