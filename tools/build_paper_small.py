"""Build the network of `--method pdfnet` from nothing: frames, shared backbone, full model, all of it once more, ONNX.

    python tools/build_paper_small.py runs/paper_small

First, the row "full", seed 0, of `twohands experiment` is trained on frames of the first engine at the budgets below.
Then training of that network, including its image branch, continues on frames of the full engine, as with `twohands
train paper-small --start`. This takes about four hours of CPU time with frames and measurement; an interrupted run
resumes. The number of steps in the first budgets depends on the machine, so the weights are not reproduced bit by bit.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet, identity_of
from twohands.experiments.run import Plan, run_row
from twohands.networks.checkpoint import load_checkpoint
from twohands.networks.export import export_network
from twohands.shards import Shards, write_shards
from twohands.synth.config import BASIC, FULL, SynthConfig
from twohands.synth.engine import SyntheticHands
from twohands.synth.splits import basic_test_frames
from twohands.training import train
from twohands.training.loop import FINAL
from twohands.training.objective import build_objective

SEED = 1
"""Seed of the training frames."""
BASIC_FRAMES, MINUTES, BACKBONE_MINUTES = 4000, 20.0, 45.0
FULL_FRAMES, STEPS, LEARNING_RATE = 5000, 4500, 1e-3
WEIGHTS = Path(__file__).parent.parent / "src" / "twohands" / "weights" / "paper_small"


def main(folder: Path) -> None:
    """Build the network; intermediate files stay in `folder`."""

    def drawn(name: str, dataset: SyntheticHands) -> Shards:
        return Shards(write_shards(dataset, len(dataset), folder / name, dataset.content, workers=2))

    def training_frames(config: SynthConfig, count: int) -> SyntheticHands:
        return SyntheticHands(SEED, "train", config, count)

    preset, tables = PRESETS["paper-small"], folder / "tables"
    train_frames, test_frames = drawn("train", training_frames(BASIC, BASIC_FRAMES)), drawn("test", basic_test_frames())
    used = {
        "data": identity_of(str(folder / "train"), "train", len(train_frames)),
        "test": identity_of(str(folder / "test"), "test", len(test_frames)),
    }
    plan = Plan(
        preset,
        tables,
        tables / "rows",
        train_frames,
        test_frames,
        used,
        minutes=MINUTES,
        backbone_minutes=BACKBONE_MINUTES,
    )
    if not run_row(plan, "full", 0, print):
        raise SystemExit(f"another process is working in {tables}")
    recipe = replace(preset.train, steps=STEPS, learning_rate=LEARNING_RATE, workers=0)
    config = replace(preset, train=recipe)
    items = TrainingSet.of(drawn("full", training_frames(FULL, FULL_FRAMES)), config)
    start = tables / "full-0" / FINAL
    objective = build_objective(config, start=start)
    trained = train(config, items, folder / "continued", None, objective, {"start": str(start)})
    export_network(*load_checkpoint(trained), WEIGHTS)
    print(f"wrote {WEIGHTS}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(f"usage: python {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
