"""Add a fusion of your own: register it, train it on a few rendered frames, export it, and run it on a frame.

    python examples/04_add_a_fusion.py

Needs `pip install 'twohands[tools]'`; half a minute on two cores. The entry is also tested: add its registration to
`tests/test_networks.py`, whose contract tests run over every registered fusion.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

import twohands
from twohands.config import PRESETS, NetworkConfig
from twohands.data.dataset import TrainingSet
from twohands.geometry.cloud import HandClouds
from twohands.networks import FUSIONS, Fusion
from twohands.networks.attention import Attention
from twohands.networks.checkpoint import load_checkpoint
from twohands.networks.export import export_network
from twohands.networks.fusion import colours_at
from twohands.shards import Shards, write_shards
from twohands.synth.engine import SyntheticHands
from twohands.training import train


class AttentionFusion(Fusion):
    """The colour feature at a hand's centre attends to the hand's coloured points."""

    reads_depth, reads_center = True, True

    def __init__(self, image_channels: tuple[int, ...], center_channels: int, heads: int):
        super().__init__()
        self.channels = center_channels
        self.embed = torch.nn.Linear(3 + image_channels[-1], center_channels)
        self.attention = Attention(center_channels, heads)

    def forward(self, clouds: HandClouds, pyramid: tuple[Tensor, ...], center: Tensor | None) -> Tensor:
        assert center is not None
        colours = colours_at(pyramid[-1], clouds.pixels, pyramid)  # (B, 2, N, C)
        points = self.embed(torch.cat([clouds.points, colours], dim=-1))
        return center + self.attention(center[:, :, None], points)[:, :, 0]


def build(config: NetworkConfig, image_channels: tuple[int, ...]) -> Fusion:
    return AttentionFusion(image_channels, config.center_channels, config.attention_heads)


FUSIONS["attention"] = build

tiny = PRESETS["tiny"]
recipe = replace(tiny.train, steps=6, batch_size=3, workers=0)
config = replace(tiny, network=replace(tiny.network, fusion="attention"), train=recipe)

with TemporaryDirectory() as folder:
    rendered = SyntheticHands(seed=1)
    frames = Shards(write_shards(rendered, 3, Path(folder) / "frames", rendered.content))
    checkpoint = train(config, TrainingSet.of(frames, config), Path(folder) / "run")
    export_network(*load_checkpoint(checkpoint), Path(folder) / "onnx")

    del FUSIONS["attention"]  # as in a program that does not import this module
    try:
        load_checkpoint(checkpoint)
    except ValueError as error:
        print(f"a checkpoint needs the registration: {error}")
    hands = twohands.load(network=Path(folder) / "onnx", fit=False)(frames[0].frame)
    print(f"the exported graphs do not; presence of both hands: {hands.present[0]:.2f}, {hands.present[1]:.2f}")
