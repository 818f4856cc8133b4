"""Train the network of `locate.surroundings` on rendered frames; some minutes on one core.

    python tools/train_sides.py runs/light/frames/* --out src/twohands/weights/sides.npz

Joints are disturbed as the region network errs, and the other hand is left out now and then.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import torch
import tyro
from torch.nn import functional

from twohands.hands.skeleton import WRIST
from twohands.locate.perceptron import write_layers
from twohands.locate.surroundings import DIRECTIONS, OTHER, RADII, mirrored, surroundings
from twohands.shards import Shards
from twohands.types import RIGHT, Sample

SHOWN = 0.15
"""Smallest visible fraction of a hand that is learned."""
VIEWS = 3
"""Disturbed readings of every hand."""
INPUTS = 2 * len(RADII) * DIRECTIONS + OTHER
WIDTHS, BATCH = (64, 32), 256


def examples(sample: Sample, rng: np.random.Generator) -> list[tuple[np.ndarray, bool]]:
    """Return the surroundings of the hands of a frame, each with whether it is a right hand."""
    seen = np.asarray(sample.hands.is_present) & (np.asarray(sample.visible_fraction) >= SHOWN)
    joints = np.asarray(sample.hands.joints, np.float64)
    found = []
    for side, _ in itertools.product(np.flatnonzero(seen), range(VIEWS)):
        mine = joints[side] + rng.normal(0, 0.01, 3)
        mine[WRIST] += rng.normal(0, 0.02, 3)
        other = joints[1 - side] + rng.normal(0, 0.02, 3) if seen[1 - side] and rng.random() > 0.25 else None
        found.append((surroundings(sample.frame, mine, other), side == RIGHT))
    return found


def main(folders: tyro.conf.Positional[tuple[Path, ...]], out: Path, rounds: int = 10) -> None:
    """Train on the shards of folders and write the weights to `out`."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    found = [item for folder in folders for sample in Shards(folder) for item in examples(sample, rng)]
    seen, right = (np.array(values) for values in zip(*found, strict=True))
    print(f"{len(seen)} hands", flush=True)
    images, wanted = torch.from_numpy(np.stack([seen, mirrored(seen)])), torch.from_numpy(right).float()
    layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise((INPUTS, *WIDTHS, 1))]
    network = torch.nn.Sequential(
        torch.nn.Dropout(0.1), layers[0], torch.nn.ReLU(), torch.nn.Dropout(0.4), layers[1], torch.nn.ReLU(), layers[2]
    )
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.1)
    steps = len(seen) // BATCH
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds * steps)
    for turned in range(rounds):
        losses = []
        for chosen in torch.randperm(len(seen))[: steps * BATCH].reshape(-1, BATCH):
            odds = (network(images[0, chosen]) - network(images[1, chosen]))[:, 0]
            loss = functional.binary_cross_entropy_with_logits(odds, wanted[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"round {turned + 1} of {rounds}: loss {np.mean(losses):.4f}", flush=True)
    write_layers(out, [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in layers])


if __name__ == "__main__":
    tyro.cli(main)
