"""Train variants of the region network of method `light` on the same batches, and print how they compare.

    python tools/ablate_light.py runs/light/frames --validation runs/light/validation --out runs/ablation

Every variant takes every batch, so all have seen the same hands at any time. The frames are those of
`tools/build_light.py`. An interrupted comparison resumes with the same command.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch
import tyro
from torch.utils.data import DataLoader

from twohands.claims import claim
from twohands.cli.reading import with_progress
from twohands.files import write_atomically
from twohands.light_config import RegionConfig
from twohands.training.region_loop import Learner, collate, held_out_batches, learning_rate, validate
from twohands.training.region_set import RegionSet, echoed

VARIANTS = {
    "whole network": RegionConfig(),
    "without colour maps": RegionConfig(colour=False),
    "without landmarks": RegionConfig(landmarks=False),
    "depth alone": RegionConfig(colour=False, landmarks=False),
    "concatenation in place of the transform": RegionConfig(join="concat"),
    "without refinement": RegionConfig(refinements=0),
    "without the other hand": RegionConfig(cross_hand=False),
}
COLUMNS = {"mpjpe_mm": "MPJPE, mm", "visible_mm": "visible > 90 %", "hidden_mm": "visible < 60 %", "aligned_mm": "AL"}
RATES = {"wrong_side": "wrong side", "missed": "missed", "invented": "invented"}
SAVED = 50
"""Steps after which the state is saved."""


def main(
    frames: tyro.conf.Positional[Path],
    validation: Path,
    out: Path,
    steps: int = 700,
    seed: int = 0,
    batch: int = 12,
    rate: float = 1e-3,
) -> None:
    """Compare the variants.

    Args:
        frames: Folder of folders of shards to train on.
        validation: Folder of shards to measure on.
        out: Folder for the state and for rows.json.
        steps: Number of optimiser steps of every variant, with one cosine of the learning rate.
        seed: Seed of the weights and of the batches.
        batch: Number of frames of a batch; each has two regions.
        rate: Largest learning rate.
    """
    about = {"steps": steps, "seed": seed, "batch": batch, "rate": rate}
    claim(out / "config.json", about, f"{out} holds a comparison", "give another --out, or the settings it began with")
    torch.set_num_threads(1)
    learners = {}
    for name, config in VARIANTS.items():
        torch.manual_seed(seed)
        learners[name] = Learner(config, rate)
        learners[name].objective.train()
    spent = dict.fromkeys(VARIANTS, 0.0)
    if (out / "state.pt").exists():
        state = torch.load(out / "state.pt", map_location="cpu", weights_only=True)
        spent = state["cpu_seconds"]
        for name, learner in learners.items():
            learner.resume(state[name])
    done = learners["whole network"].step
    numbers = echoed(1_000_003 * seed, steps - done, done, batch)
    items = RegionSet([frames], seed)
    loader = DataLoader(items, batch, sampler=numbers, num_workers=1, collate_fn=collate)  # type: ignore[arg-type]
    held_out = held_out_batches([validation])
    for item in with_progress(loader, steps - done, "steps"):
        for name, learner in learners.items():
            start = time.process_time()
            learner.learn(item, rate * learning_rate(learner.step, 100, learner.step / steps))
            spent[name] += time.process_time() - start
        done += 1
        if done % SAVED == 0 or done == steps:
            with write_atomically(out / "state.pt") as temporary:
                states = {name: learner.state() for name, learner in learners.items()}
                torch.save({"cpu_seconds": spent, **states}, temporary)
        if done % (4 * SAVED) == 0 or done == steps:
            measured = {name: validate(learner, held_out) for name, learner in learners.items()}
            rows = {name: {"step": done, "cpu_seconds": spent[name], **row} for name, row in measured.items()}
            with write_atomically(out / "rows.json") as temporary:
                temporary.write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n")
            print(table(rows), flush=True)


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return the rows as Markdown."""
    heads = ["variant", "step", "CPU minutes", *COLUMNS.values(), *RATES.values()]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name, row in rows.items():
        cells = [name, str(row["step"]), f"{row['cpu_seconds'] / 60:.1f}"]
        cells += [f"{row[key]:.1f}" for key in COLUMNS] + [f"{100 * row[key]:.1f} %" for key in RATES]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    tyro.cli(main)
