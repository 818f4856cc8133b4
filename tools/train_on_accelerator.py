"""Train on a bare machine with one large GPU and many cores: frames are rendered into memory as training goes on.

    python tools/train_on_accelerator.py light --out $OUT --minutes 8.5
    python tools/train_on_accelerator.py light --out $OUT --minutes 8.5 --resume before/
    python tools/train_on_accelerator.py paper --out $OUT --minutes 8.5

`light` trains the region network in bf16 and writes, every minute, the checkpoint `best/` of the averaged weights, the
state from which `--resume` continues (`state-*.bin`), and rates and errors (`log.jsonl`), in files below 16 MB. A run
that ended before its time continues its cosine of the learning rate; after a whole one a new one starts from the
averaged weights. `--resume` also takes a folder with a checkpoint alone. `paper` times the forward pass and the
training step of the paper's network beside a bare ResNet50, then trains it for the rest of the time; it writes
`log.jsonl` alone. Float32 is PyTorch's default, in which the convolutions of a GPU use TF32.

All cores but one render. What a frame and a view of it cost is measured by every renderer, and decides how many views
of a frame it makes (`twohands.training.rendering`); it is printed with the rates. Without a GPU everything runs on the
CPU in float32.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import shutil
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from numpy.random import Generator
from torch import Tensor, nn

from twohands.config import PRESETS, AugmentConfig, ExperimentConfig
from twohands.data.dataset import TrainingItem, TrainingSet
from twohands.evaluation.metrics import al_mpjpe
from twohands.light_config import RegionConfig
from twohands.networks.region_checkpoint import is_region_checkpoint, load_region_network
from twohands.networks.timing import Spread, seconds_of
from twohands.synth.engine import SyntheticHands
from twohands.synth.splits import validation_frames
from twohands.training.batches import collate
from twohands.training.loop import stop_asked
from twohands.training.objective import Objective, build_objective
from twohands.training.pieces import load_pieces, save_pieces
from twohands.training.region_items import RegionViews
from twohands.training.region_loop import BEST, CALM, LOG, Learner, Place, learning_rate, validate, write_row
from twohands.training.region_loop import collate as collate_regions
from twohands.training.rendering import Pool, Renderers, Source
from twohands.types import Sample

WHEELS = (
    "Wheels beyond torch, torchvision, numba, SciPy, Pillow, timm and accelerate: numpy, onnxruntime, safetensors, "
    "rich, tensorboard, array-api-compat, and what these need. Fetch those that the machine lacks with `pip download "
    "--only-binary=:all: --python-version 3.12 --platform manylinux_2_28_x86_64 -d wheels NAME ...`, carry the folder "
    "with the checkout, install with `pip install --no-index --find-links wheels NAME ...`, and set PYTHONPATH=src."
)
SEED = 50_000_000
"""First seed of the training frames; a resumed run renders others."""
HELD_OUT = 8
"""Validation frames that each renderer draws first."""
FIRST_BATCHES = 4
"""Batches that are in memory before training begins."""
MOST_USES = 16
"""Times that an item is learned on the average; then training waits for new ones."""
RATE, RATE_BATCH, WARMUP = 1e-3, 12, 200
"""Learning rate of `light` at a batch of RATE_BATCH frames, growing with its root, and steps in which it rises."""
SAVE_SECONDS, TELL_SECONDS = 60.0, 10.0
POOL_SHARE = {"cuda": 0.4, "cpu": 0.25}
"""Fraction of the free memory that items take."""
TIMED_BATCHES, TIMED_REPEATS, TIMED_SHARE = (1, 16), 20, 0.2
"""Batches and largest number of repeats of the timing, and the fraction of the time after which it ends."""


Timed = tuple[nn.Module, Callable[[], Any], Callable[[], Tensor]]
"""A module, its forward pass, and its loss."""


@dataclass(frozen=True)
class FrameViews:
    """A function from frames to training items of a network of whole frames."""

    config: ExperimentConfig

    def __call__(self, sample: Sample, rng: Generator) -> TrainingItem:
        """Return an item in a random augmentation."""
        one = replace(sample, id="rendered")
        return TrainingSet.of([one], self.config)[int(rng.integers(2**31)), 0]  # type: ignore[arg-type]


class Clock:
    """The time of a command: `left`, and `due(name, seconds)` when that long has passed since the last time."""

    def __init__(self, minutes: float, stop: Callable[[], bool]):
        self.began, self.until, self._stop = time.monotonic(), time.monotonic() + 60 * minutes, stop
        self._last: dict[str, float] = {}

    @property
    def left(self) -> float:
        """Seconds that are left; 0 when the command was asked to stop."""
        return 0.0 if self._stop() else self.until - time.monotonic()

    def passed(self, began: float) -> float:
        """Return the fraction of the time from `began` to the end that has passed."""
        return (time.monotonic() - began) / max(self.until - began, 1e-3)

    def due(self, name: str, seconds: float) -> bool:
        """Return whether something is due; the first time is `seconds` after the first call."""
        now = time.monotonic()
        if now - self._last.setdefault(name, now) < seconds:
            return False
        self._last[name] = now
        return True


class Means:
    """Means of the terms of several steps; they stay on their device until they are read."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}
        self.count = 0

    def add(self, terms: Mapping[str, Any]) -> None:
        """Add the terms of one more step."""
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in terms.items()}
        self.count += 1

    def of(self, name: str) -> float:
        """Return one of the means."""
        return float(self.sums[name]) / self.count

    def take(self) -> dict[str, float]:
        """Return the means since the last call."""
        means = {name: self.of(name) for name in self.sums}
        self.sums, self.count = {}, 0
        return means


class Rates:
    """Frames rendered, and regions or frames trained, per second since the last row."""

    def __init__(self) -> None:
        self.since, self.before = time.monotonic(), (0, 0)

    def row(self, rendered: int, trained: int, name: str) -> dict[str, float]:
        """Return the rates since the last call, those of training by `name`."""
        seconds = max(time.monotonic() - self.since, 1e-3)
        counts = zip((rendered, trained), self.before, strict=True)
        rates = [(now - before) / seconds for now, before in counts]
        self.since, self.before = time.monotonic(), (rendered, trained)
        return {"frames_rendered_per_s": rates[0], name: rates[1]}


def train_light(
    out: Path,
    clock: Clock,
    resume: Path | None,
    processes: int,
    batch: int,
    place: Place,
    config: RegionConfig | None = None,
) -> None:
    """Train the region network until the clock ends."""
    learner = Learner(config or RegionConfig(), RATE * math.sqrt(batch / RATE_BATCH), place)
    start = restore(learner, resume, out)
    views = RegionViews(), RegionViews(CALM)
    frames = SyntheticHands(SEED + learner.before + learner.step, "train")
    source = Source(frames, views[0].item, validation_frames(), HELD_OUT * processes, views[1].item)
    pool: Pool[Any] = Pool(POOL_SHARE[place.device] * free_memory(place.device), place.device)
    learner.objective.train()
    with Renderers(source, processes, tell) as renderers:
        await_items(renderers, pool, clock, batch)
        first, trained, means, rates = learner.step, 0, Means(), Rates()
        began = time.monotonic()

        def progress() -> float:
            return min(start + (1 - start) * clock.passed(began), 1.0) if trained else start

        def save() -> None:
            row = {**rates.row(renderers.frames, 2 * trained, "regions_trained_per_s"), **means.take()}
            checkpoint(learner, out, progress(), renderers, {**row, "uses": trained / max(pool.added, 1)})

        while clock.left > 0 and pool.added:
            pool.add(renderers.take())
            if trained > MOST_USES * pool.added:
                if not renderers.alive:
                    tell("no renderer is left; training ends")
                    break
                time.sleep(0.005)
                continue
            rate = learning_rate(learner.step - first, WARMUP, progress())
            try:
                terms = learner.learn(pool.draw(batch), RATE * math.sqrt(batch / RATE_BATCH) * rate)
            except torch.OutOfMemoryError:
                if batch == 1:
                    raise
                batch //= 2
                torch.cuda.empty_cache()
                tell(f"the memory of the GPU is full: batches of {batch} frames from now on")
                continue
            trained += batch
            means.add(terms)
            if clock.due("tell", TELL_SECONDS):
                tell(f"step {learner.step}, progress {progress():.3f}, loss {means.of('loss'):.4g}")
            if clock.due("save", SAVE_SECONDS):
                save()
        save()


def restore(learner: Learner, resume: Path | None, out: Path) -> float:
    """Continue from the state or the checkpoint in a folder; return the progress of its stage.

    State, checkpoint and log are copied into `out`, which is complete from the beginning.
    """
    progress = _restored(learner, resume, out)
    if resume is not None:
        keep(learner, out, progress)
    return progress


def _restored(learner: Learner, resume: Path | None, out: Path) -> float:
    folder = out if resume is None else resume
    state = load_pieces(folder) if folder.is_dir() else None
    best = next((path for path in (folder, folder / BEST) if is_region_checkpoint(path)), None)
    if resume is not None and state is None and best is None:
        raise SystemExit(f"{resume} holds neither a state nor a checkpoint of the region network")
    if folder != out and (folder / LOG).is_file():
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / LOG, out / LOG)
    if state is None:
        if best is not None:
            weights = load_region_network(best).state_dict()
            learner.follow({"step": 0, "averaged": weights})
            tell(f"starts from the weights in {best}")
        return 0.0
    if state["progress"] < 1:
        learner.resume(state)
        tell(f"continues {folder} at step {learner.step}, progress {state['progress']:.3f}")
        return state["progress"]
    learner.follow(state)
    tell(f"starts a new stage from {folder}, after {learner.before} steps")
    return 0.0


def checkpoint(learner: Learner, out: Path, progress: float, renderers: Renderers, row: dict[str, float]) -> None:
    """Write checkpoint, state and a row of rates and errors; a file system that refuses is only reported."""
    keep(learner, out, progress)
    held_out = list(renderers.held_out)
    batches = [collate_regions(held_out[start : start + 10]) for start in range(0, len(held_out), 10)]
    row = {
        "step": learner.step, "steps_before": learner.before, "progress": progress, "frames": renderers.frames,
        "views_per_frame": renderers.items / max(renderers.frames, 1), "faults": renderers.faults,
        "gpu_memory_gib": peak_memory(), **row, **(validate(learner, batches) if batches else {}),
    }  # fmt: skip
    note(out, row)
    tell(renderers.split)


def keep(learner: Learner, out: Path, progress: float) -> None:
    """Write the checkpoint, which refuses weights that are not finite, and then the state."""
    try:
        learner.save(out / BEST)
        save_pieces(out, learner.before + learner.step, {**learner.state(), "progress": progress})
    except OSError as error:
        tell(f"not saved: {error}")


def note(out: Path, row: Mapping[str, Any]) -> None:
    """Print a row and append it to the log."""
    tell(
        " ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
        )
    )
    try:
        write_row(out / LOG, dict(row))
    except OSError as error:
        tell(f"not saved: {error}")


def await_items(renderers: Renderers, pool: Pool[Any], clock: Clock, batch: int) -> None:
    """Wait for the first items."""
    while clock.left > 0 and pool.added < FIRST_BATCHES * batch and renderers.alive:
        pool.add(renderers.take())
        time.sleep(0.02)
    tell(f"{pool.added} items after {time.monotonic() - clock.began:.0f} s; {renderers.split}")


def train_paper(
    out: Path, clock: Clock, processes: int, batch: int, device: str, config: ExperimentConfig, bf16: bool
) -> None:
    """Time the network of a configuration, then train it and write AL-MPJPE against steps."""
    frames = SyntheticHands(SEED, "train")
    two = next(index for index in range(1000) if all(frames.staging(index).arms))
    item = TrainingSet.of(frames, config)[0, two]  # type: ignore[arg-type]
    for row in timings(config, item, device, clock):
        note(out, row)
    objective = on_device(build_objective(config), device)
    recipe = config.train
    optimizer = torch.optim.AdamW(objective.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    plain = replace(config, augment=AugmentConfig.none())
    source = Source(frames, FrameViews(config), validation_frames(), HELD_OUT * processes, FrameViews(plain))
    pool: Pool[TrainingItem] = Pool(POOL_SHARE[device] * free_memory(device), device)
    step = 0
    with Renderers(source, processes, tell) as renderers:
        await_items(renderers, pool, clock, batch)
        means, rates, began = Means(), Rates(), time.monotonic()

        def measure() -> None:
            row = {"kind": "training", "step": step, **means.take(), "uses": step * batch / max(pool.added, 1)}
            row |= {"faults": renderers.faults, "gpu_memory_gib": peak_memory()}
            row |= rates.row(renderers.frames, step * batch, "frames_trained_per_s")
            note(out, {**row, **measured_paper(objective, list(renderers.held_out), batch, device)})

        while clock.left > 0 and pool.added:
            pool.add(renderers.take())
            if step * batch > MOST_USES * pool.added:
                if not renderers.alive:
                    break
                time.sleep(0.005)
                continue
            progress = min(clock.passed(began), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * learning_rate(step, WARMUP, progress)
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                loss, _ = objective(pool.draw(batch), config.loss.late_epoch if progress > 0.5 else 0)
            means.add({"loss": take_step(optimizer, loss.mean())})
            step += 1
            if clock.due("tell", TELL_SECONDS):
                tell(f"step {step}, loss {means.of('loss'):.4g}")
            if clock.due("save", SAVE_SECONDS):
                measure()
        measure()


@torch.no_grad()
def measured_paper(objective: Objective, held_out: list[Any], batch: int, device: str) -> dict[str, float]:
    """Return the mean AL-MPJPE of the held-out hands in millimetres, with true masks and centres."""
    objective.eval()
    errors = []
    for start in range(0, len(held_out), batch):
        item = collate(held_out[start : start + batch]).to(device)
        errors.append(al_mpjpe(objective.predict(item).hands, item.sample.hands).flatten())
    objective.train()
    error = torch.cat([*errors, torch.zeros(0, device=device)])
    error = error[torch.isfinite(error)]
    return {"al_mpjpe_mm": float(error.mean() * 1e3), "hands": len(error)} if len(error) else {}


def timings(config: ExperimentConfig, item: TrainingItem, device: str, clock: Clock) -> Iterator[dict[str, Any]]:
    """Yield rows of the seconds of a forward pass and of a training step, and of the largest memory, in GiB."""
    until = time.monotonic() + TIMED_SHARE * clock.left
    for (name, timed), bf16, count in itertools.product(TIMED.items(), (True, False), TIMED_BATCHES):
        if time.monotonic() > until:
            tell("the timing ends early, for want of time")
            return
        module, forward, loss_of = timed(config, collate([item] * count).to(device), device)
        optimizer = torch.optim.Adam(module.parameters())
        row: dict[str, Any] = {
            "kind": "timing", "what": name, "size": config.network.image_size, "batch": count,
            "precision": "bf16" if bf16 else "float32",
        }  # fmt: skip

        def infer(forward: Callable[[], Any] = forward, bf16: bool = bf16) -> None:
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bf16):
                forward()

        def step(
            loss_of: Callable[[], Tensor] = loss_of, bf16: bool = bf16, optimizer: torch.optim.Optimizer = optimizer
        ) -> None:
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                loss = loss_of()
            take_step(optimizer, loss)

        for what, call in (("forward", infer), ("step", step)):
            module.train(what == "step")
            spread, memory = measured(call, device, until)
            row |= {f"{what}_s": spread.median, f"{what}_low_s": spread.low, f"{what}_high_s": spread.high}
            row |= {f"{what}_memory_gib": memory}
        yield row


def timed_network(config: ExperimentConfig, item: TrainingItem, device: str) -> Timed:
    """Return the network of a configuration with its loss."""
    objective = on_device(build_objective(config), device)

    def forward() -> Any:
        return objective.network(item.sample.frame, item.masks)

    return objective, forward, lambda: objective(item, config.loss.late_epoch)[0].mean()


def timed_resnet50(config: ExperimentConfig, item: TrainingItem, device: str) -> Timed:
    """Return a bare ResNet50 on the images of the item; its loss is a mean, which costs nothing."""
    from torchvision.models import resnet50

    network = resnet50(weights=None).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.to(device)
    image = item.sample.frame.rgb.contiguous(memory_format=torch.channels_last)
    return network, lambda: network(image), lambda: network(image).float().mean()


TIMED = {"network": timed_network, "resnet50": timed_resnet50}


def measured(call: Callable[[], Any], device: str, until: float) -> tuple[Spread, float]:
    """Return the seconds of a call after a first one, and the largest memory in GiB; once at least."""

    def whole() -> None:
        call()
        if device == "cuda":
            torch.cuda.synchronize()

    whole()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = [seconds_of(whole)]
    while len(seconds) < TIMED_REPEATS and time.monotonic() < until:
        seconds.append(seconds_of(whole))
    return Spread.of(seconds), peak_memory()


def on_device(objective: Objective, device: str) -> Objective:
    """Return an objective with all its arrays on a device."""
    objective.surface = objective.surface.to(device)
    return objective.to(device)


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor) -> Tensor:
    """Take one step of the optimiser and return the loss; one that is not finite is left out."""
    optimizer.zero_grad()
    if torch.isfinite(loss):
        loss.backward()
        optimizer.step()
    return loss.detach()


def free_memory(device: str) -> float:
    """Return the free bytes of a device."""
    if device == "cuda":
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_memory() -> float:
    """Return the largest memory of the GPU in GiB; 0 without one."""
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


def tell(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> None:
    description, cores = __doc__ or "", max(len(os.sched_getaffinity(0)) - 1, 1)
    parser = argparse.ArgumentParser(
        description=f"{description}\n{textwrap.fill(WHEELS, 120)}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=("light", "paper"))
    parser.add_argument("--out", type=Path, default=os.environ.get("OUT"), help="folder of what is written; $OUT")
    parser.add_argument("--minutes", type=float, default=8.5, help="time after which the command ends")
    parser.add_argument("--resume", type=Path, help="folder that an earlier command with 'light' has written")
    parser.add_argument("--processes", type=int, default=cores, help="processes that render; all cores but one")
    parser.add_argument("--batch", type=int, help="frames of a step; 64 for 'light', 16 for 'paper'")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="paper", help="network of 'paper', to try it out")
    given = parser.parse_args()
    if given.out is None:
        parser.error("give --out, or set OUT")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        tell(f"trains on {torch.cuda.get_device_name()} in bf16, renders with {given.processes} processes")
    else:
        tell(f"no GPU: trains on the CPU in float32, renders with {given.processes} processes")
    with stop_asked() as stop:
        clock, bf16 = Clock(given.minutes, stop), device == "cuda"
        if given.mode == "light":
            train_light(given.out, clock, given.resume, given.processes, given.batch or 64, Place(device, bf16))
        else:
            config = PRESETS[given.preset]
            train_paper(given.out, clock, given.processes, given.batch or 16, device, config, bf16)


if __name__ == "__main__":
    main()
