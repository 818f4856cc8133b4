"""Build the networks of `--method light`: frames rendered as training goes on, the spot finder, the region network.

    python tools/build_light.py runs/light --start shipped

Frames of the split "train" come in folders of 150, one seed each, until there are `--folders` of them, of the
configurations KINDS in turn; training uses those that are complete. An interrupted build resumes with the same command;
`--minutes` stops it in time, and the newest averaged weights are exported all the same. `--start shipped` goes on from
the packaged network instead of from nothing. The spot finder and the sides by surroundings are trained by
`tools/train_spots.py` and `tools/train_sides.py` on the same folders. Weights depend on the speed of the machine, so
they are not reproduced bit by bit.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from itertools import cycle
from pathlib import Path

import tyro

from twohands.light_config import LightConfig
from twohands.locate.region_reader import SHIPPED_LIGHT
from twohands.networks.region_checkpoint import load_region_network
from twohands.networks.region_export import export_region_network
from twohands.shards import write_shards
from twohands.synth.config import CONFIGS
from twohands.synth.engine import SyntheticHands
from twohands.synth.splits import validation_frames
from twohands.training.region_loop import train_light
from twohands.training.region_set import UNFINISHED

FIRST_SEED, FRAMES = 101, 150
"""Seed of the first folder of training frames, and frames in a folder."""
KINDS = ("full", "full", "full", "above", "full", "full", "grips")
"""Configurations of the folders of frames."""
VALIDATION = 100
"""Frames of the validation split on which progress is measured."""
WEIGHTS = Path(__file__).parent.parent / "src" / "twohands" / "weights" / "light"


def main(folder: tyro.conf.Positional[Path], start: str | None = None, folders: int = 60, minutes: float = 1e9) -> None:
    """Build the networks; everything in between stays in `folder`.

    Args:
        folder: Folder of frames, validation frames and the run.
        start: Checkpoint or exported graph to start from; "shipped" for the packaged network.
        folders: Number of folders of training frames.
        minutes: Time after which training stops.
    """
    frames = folder / "frames"
    renderer = multiprocessing.get_context("spawn").Process(target=render, args=(frames, folders), daemon=True)
    renderer.start()
    held_out = validation_frames()
    validation = write_shards(held_out, VALIDATION, folder / "validation", held_out.content)
    while not any(path.suffix != UNFINISHED for path in frames.glob("*")):
        time.sleep(5)
    weights = Path(str(SHIPPED_LIGHT)) if start == "shipped" else start and Path(start)
    best = train_light(LightConfig(), [frames], folder / "run", validation, minutes, weights or None)
    export_region_network(load_region_network(best), WEIGHTS)
    renderer.terminate()


def render(frames: Path, folders: int) -> None:
    """Write folders of training frames that are not there yet, one after the other."""
    for seed, kind in zip(range(FIRST_SEED, FIRST_SEED + folders), cycle(KINDS), strict=False):
        done = frames / f"{seed}"
        if not done.exists():
            dataset = SyntheticHands(seed, config=CONFIGS[kind])
            part = write_shards(dataset, FRAMES, frames / f"{seed}{UNFINISHED}", dataset.content, progress=False)
            os.replace(part, done)


if __name__ == "__main__":
    tyro.cli(main)
