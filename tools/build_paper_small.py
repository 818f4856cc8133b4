"""Build the network of `--method pdfnet` from nothing: frames, shared trunk, full model, ONNX.

    python tools/build_paper_small.py runs/paper_small

It is the row "full", seed 0, of `twohands experiment` at the budgets below, some two hours of CPU time with frames and
measurement; an interrupted run continues. How many steps a budget buys depends on the machine: the weights do not come
out bit by bit.
"""

from __future__ import annotations

import sys
from pathlib import Path

from twohands.config import PRESETS
from twohands.experiments.run import Plan, run_row
from twohands.networks.checkpoint import load_checkpoint
from twohands.networks.export import export_network
from twohands.synth.config import BASIC
from twohands.synth.engine import SyntheticHands
from twohands.synth.shards import SyntheticShards, write_shards
from twohands.synth.splits import basic_test_frames
from twohands.training.loop import FINAL

FRAMES, SEED = 4000, 1
MINUTES, TRUNK_MINUTES = 20.0, 45.0
WEIGHTS = Path(__file__).parent.parent / "src" / "twohands" / "weights" / "paper_small"


def main(folder: Path) -> None:
    """Everything that is made on the way stays in `folder`."""
    frames = {"train": SyntheticHands(SEED, "train", BASIC, FRAMES), "test": basic_test_frames()}
    train, test = (
        SyntheticShards(write_shards(data, len(data), folder / name, workers=2)) for name, data in frames.items()
    )
    tables = folder / "tables"
    plan = Plan(
        PRESETS["paper-small"], tables, tables / "rows", train, test, minutes=MINUTES, trunk_minutes=TRUNK_MINUTES
    )
    if not run_row(plan, "full", 0, print):
        raise SystemExit(f"another process is working in {tables}")
    export_network(*load_checkpoint(tables / "full-0" / FINAL), WEIGHTS)
    print(f"wrote {WEIGHTS}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: python {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
