r"""Train the region network of method `light` in stages on rendered frames; interrupted runs continue.

    python tools/train_light.py --frames runs/light/frames --validation runs/light/validation --out runs/light/run \
        --steps 2000 --stages 6

Folders of shards that appear in `--frames` while it runs are used as well. `best/` is the checkpoint to export.
"""

import argparse
import time
from pathlib import Path

import torch

from twohands.config import RegionConfig
from twohands.training.region_loop import Stage, run_stage


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=Path, nargs="+", required=True)
    parser.add_argument("--validation", type=Path, nargs="*", default=[])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2000, help="steps of one stage")
    parser.add_argument("--stages", type=int, default=1, help="number of the last stage")
    parser.add_argument("--first", type=int, default=0, help="number of the first stage")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=12, help="frames of a step")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after so many minutes, to be continued")
    given = parser.parse_args()
    torch.set_num_threads(1)
    until = time.time() + 60 * given.minutes
    for number in range(given.first, given.stages):
        stage = Stage(
            f"stage-{number}", tuple(given.frames), given.steps, given.rate, given.batch, seed=number,
            workers=given.workers,
        )  # fmt: skip
        if not run_stage(stage, RegionConfig(), given.out, given.validation, until=until):
            break


if __name__ == "__main__":
    main()
