"""Train the network of `locate.spots` on rendered frames; some minutes on one core.

    python tools/train_spots.py runs/light/frames/* --out src/twohands/weights/spots.npz

Turned by steps of the rings, mirrored and recoloured, one cell stands for many.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from twohands.locate.perceptron import write_layers
from twohands.locate.regions import region_of_landmarks, turn
from twohands.locate.spots import DIRECTIONS, HEADINGS, OFFSET, RADII, Cells, cells_of
from twohands.shards import Shards
from twohands.types import PRESENT, Sample

SIDE = 0.12
"""Largest distance of a hand's pixels from its middle that are learned as the hand, metres."""
SHOWN = 0.12
"""Smallest visible fraction of a hand that is learned."""
WIDTH, BATCH = 64, 1024


def examples(sample: Sample, rng: np.random.Generator, positive: int = 80, negative: int = 160):
    """Return cells, whether each shows a hand, and targets (N, 4): way to the middle in metres, upward direction."""
    all_cells = cells_of(sample.frame)
    pixels, depth = all_cells.pixels, all_cells.depth
    metres = depth / float(np.mean(np.asarray(sample.frame.camera.focal)))
    there, shares = np.asarray(sample.hands.present) >= PRESENT, np.asarray(sample.visible_fraction)
    joints = np.where(there[:, None, None], np.asarray(sample.hands.joints), 1.0)
    hand, unclear = np.zeros(len(pixels), bool), np.zeros(len(pixels), bool)
    target = np.zeros((len(pixels), 4), np.float32)
    column, row = np.rint(pixels).astype(int).T
    for side, region in enumerate(region_of_landmarks(sample.frame.camera.project(joints))):
        if not there[side]:
            continue
        way = (region[:2] - pixels) * metres[:, None]
        away = np.linalg.norm(way, axis=1)
        shown = np.asarray(sample.masks)[side][row, column]
        mine = shown & (away < SIDE) & (shares[side] >= SHOWN)
        unclear |= (shown & ~mine) | ((away < 0.07) & ~shown)
        target[mine] = np.column_stack([way, np.tile([np.sin(region[3]), -np.cos(region[3])], (len(way), 1))])[mine]
        hand |= mine
    groups = ((hand, positive), (~hand & ~unclear, negative))
    chosen = np.concatenate([rng.permutation(np.flatnonzero(which))[:most] for which, most in groups])
    return all_cells.around[chosen], all_cells.depth[chosen], all_cells.colour[chosen], hand[chosen], target[chosen]


def disturbed(around, depth, colour, target, rng):
    """Return the cells turned by steps of the rings, mirrored, recoloured and with holes, and their targets."""
    count = len(around)
    shift = np.where(rng.random(count) < 0.6, rng.integers(0, DIRECTIONS, count), rng.integers(-1, 2, count))
    flip = rng.random(count) < 0.5
    place = np.arange(DIRECTIONS)
    place = np.where(flip[:, None], (DIRECTIONS // 2 - place) % DIRECTIONS, place)  # the mirror follows the turn
    place = (place - shift[:, None]) % DIRECTIONS
    rings = around.reshape(count, 5, len(RADII), DIRECTIONS)
    rings = np.take_along_axis(rings, place[:, None, None], axis=3).copy()
    target = target.copy()
    for pair in (slice(0, 2), slice(2, 4)):
        turned = turn(target[:, pair], shift * (2 * np.pi / DIRECTIONS))
        target[:, pair] = turned * np.where(flip[:, None], [-1, 1], 1)
    tint = (rng.normal(size=(count, 3)) * [0.12, 0.12, 0.3]).astype(np.float32)
    rings[:, 2:] += tint[:, :, None, None]
    share = rng.random((count, 1, 1)) * 0.4 * (rng.random((count, 1, 1)) < 0.4)
    cut = (rings[:, 0] > 0.9) & (rng.random((count, 1, 1)) < 0.15)  # nothing is measured but what is near
    lost = (rng.random((count, *rings.shape[2:])) < share) | cut
    rings[:, :2] *= ~lost[:, None]
    return Cells(1, np.zeros((count, 2)), depth, colour + tint, rings.reshape(count, 5, -1)).features(), target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--most", type=int, default=2500, help="frames")
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    samples = (shards[i] for shards in map(Shards, given.folders) for i in range(len(shards)))
    parts = [examples(sample, rng) for _, sample in zip(range(given.most), samples, strict=False)]
    around, depth, colour, hand, target = (np.concatenate(part) for part in zip(*parts, strict=True))
    print(f"{len(parts)} frames, {len(hand)} cells, {hand.mean():.2f} of them hands", flush=True)
    every = slice(None, None, 20)
    plain = Cells(1, np.zeros((0, 2)), depth[every], colour[every], around[every]).features()
    mean, spread = plain.mean(axis=0), plain.std(axis=0) + 0.05
    sizes = (plain.shape[1], WIDTH, WIDTH, 3 + HEADINGS)
    layers = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1], torch.nn.ReLU(), layers[2])
    steps = given.rounds * (len(hand) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    directions = torch.arange(HEADINGS) * (2 * torch.pi / HEADINGS)
    for turned in range(given.rounds):
        losses = []
        for chosen in rng.permutation(len(hand))[: len(hand) // BATCH * BATCH].reshape(-1, BATCH):
            seen, wanted = disturbed(around[chosen], depth[chosen], colour[chosen], target[chosen], rng)
            values = network(torch.from_numpy(((seen - mean) / spread).astype(np.float32)))
            there, way = torch.from_numpy(hand[chosen]), torch.from_numpy(wanted).float()
            loss = functional.binary_cross_entropy_with_logits(values[:, 0], there.float())
            loss = loss + 0.5 * functional.smooth_l1_loss(values[there, 1:3], way[there, :2] / OFFSET)
            angle = torch.atan2(way[there, 2], -way[there, 3])
            share = torch.softmax(4 * torch.cos(angle[:, None] - directions), dim=1)
            loss = loss - 0.3 * (share * torch.log_softmax(values[there, 3:], dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        print(f"round {turned + 1} of {given.rounds}: loss {np.mean(losses):.4f}", flush=True)
    weights = [(layer.weight.detach().numpy().T, layer.bias.detach().numpy()) for layer in layers]
    first, bias = weights[0]
    weights[0] = (first / spread[:, None], bias - (mean / spread) @ first)
    write_layers(given.out, weights)


if __name__ == "__main__":
    main()
