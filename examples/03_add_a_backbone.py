"""Add an image encoder of your own to the registry and see what it costs in the network of the paper.

    python examples/03_add_a_backbone.py

Needs `pip install 'twohands[train]'`. With the name in the registry, `NetworkConfig(rgb_encoder="mobilenet")` trains,
evaluates and exports like any other; the contract tests of `tests/test_networks.py` run over every registered entry.
"""

from dataclasses import replace
from typing import Any

import timm
import torch

from twohands.config import PRESETS
from twohands.hands import free_hand
from twohands.networks import RGB_ENCODERS, Encoder, build_network, count


class MobileNet(Encoder):
    """Five maps, fine to coarse, the first at half the size of the image."""

    def __init__(self, in_channels: int, pretrained: bool):
        super().__init__()
        stages: Any = timm.create_model(
            "mobilenetv3_small_050", features_only=True, in_chans=in_channels, pretrained=pretrained
        )
        self.stages, self.channels = stages, tuple(stages.feature_info.channels())

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return tuple(self.stages(image))


RGB_ENCODERS["mobilenet"] = MobileNet

for name in ("resnet18_slim", "mobilenet"):
    config = replace(PRESETS["paper-small"].network, rgb_encoder=name)
    parameters, multiply_adds = count(build_network(config, free_hand()), config.image_size)["image"]
    print(f"{name}: image branch of {parameters / 1e6:.2f} M parameters, {multiply_adds / 1e9:.2f} G multiply-adds")
