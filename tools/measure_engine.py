"""Measure the cost of frames of the data engine and the distance of their hands. Prints a Markdown table.

python tools/measure_engine.py --configs basic full --count 40 --placements 400
"""

from __future__ import annotations

import resource
import time

import numpy as np
import tyro

from twohands.hands.free import free_hand
from twohands.hands.skeleton import ROOT
from twohands.synth.acts.touching import penetration_depth
from twohands.synth.config import CONFIGS
from twohands.synth.engine import SyntheticHands

CLOSE = 0.08
"""Largest distance in metres between the roots of hands that work closely together."""


def main(configs: tuple[str, ...] = ("basic", "full"), count: int = 40, placements: int = 400, seed: int = 5) -> None:
    """Draw `count` frames and place the hands of `placements` frames of every named configuration (split train)."""
    print("| configuration | CPU s a frame, median (mean, max) | roots < 8 cm | touch | penetration, mm, 50/90/100 % |")
    print("|---|---|---|---|---|")
    for name in configs:
        dataset = SyntheticHands(seed, config=CONFIGS[name])
        seconds = frame_seconds(dataset, count)
        close, depths = closeness(dataset, placements)
        figures = [f"{1e3 * value:.2f}" for value in np.percentile(depths, [50, 90, 100])] if depths else ["-"] * 3
        print(
            f"| {name} | {np.median(seconds):.2f} ({np.mean(seconds):.2f}, {max(seconds):.2f}) | {close:.1%} | "
            f"{len(depths) / placements:.1%} | {' / '.join(figures)} |"
        )
    print(f"\nPeak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB.")


def frame_seconds(dataset: SyntheticHands, count: int) -> list[float]:
    """Return the CPU seconds of each of the first frames, without one-time compilation and loading."""
    dataset[0]
    seconds = []
    for index in range(count):
        start = time.process_time()
        dataset[index]
        seconds.append(time.process_time() - start)
    return seconds


def closeness(dataset: SyntheticHands, count: int) -> tuple[float, list[float]]:
    """Return the fraction of frames with roots closer than CLOSE, and the penetration in metres of touching hands."""
    close, depths = 0, []
    for index in range(count):
        staging = dataset.staging(index)
        if None in staging.arms:
            continue
        close += bool(np.linalg.norm(np.diff(staging.joints[:, ROOT], axis=0)) < CLOSE)
        if staging.touching:
            vertices = free_hand(1609)(staging.parameters()).vertices
            depths.append(penetration_depth(np.asarray(vertices, dtype=np.float64)))
    return close / count, depths


if __name__ == "__main__":
    tyro.cli(main)
