"""Train the smallest network on a few rendered frames, export it, and let the product run it.

    python examples/02_train_tiny.py

Needs `pip install 'twohands[tools]'`; half a minute on two cores. So small a network on so few frames learns the loop,
not hands: `twohands train paper-small` is the same with a real size.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import twohands
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.networks.checkpoint import load_checkpoint
from twohands.networks.export import export_network
from twohands.shards import Shards, write_shards
from twohands.synth.engine import SyntheticHands
from twohands.training import train
from twohands.training.log import read_log

tiny = PRESETS["tiny"]
config = replace(tiny, train=replace(tiny.train, steps=24, batch_size=3, workers=0))

with TemporaryDirectory() as folder:
    rendered = SyntheticHands(seed=1)
    frames = Shards(write_shards(rendered, 3, Path(folder) / "frames", rendered.content))
    items = TrainingSet(frames, config.network.image_size, config.augment, config.train.seed)
    checkpoint = train(config, items, Path(folder) / "run")
    losses = [record["loss"] for record in read_log(Path(folder) / "run") if record.get("kind") == "train"]
    print(f"loss: {losses[0]:.0f} in the first steps, {losses[-1]:.0f} in the last")

    export_network(*load_checkpoint(checkpoint), Path(folder) / "onnx")
    hands = twohands.load(network=Path(folder) / "onnx", fit=False)(frames[0].frame)
    print(f"presence of the left and the right hand: {hands.present[0]:.2f}, {hands.present[1]:.2f}")
