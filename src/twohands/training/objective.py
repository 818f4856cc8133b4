"""One training batch through a network and its losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from twohands.config import LossConfig
from twohands.data.dataset import TrainingItem
from twohands.losses import Surface, hand_boxes, total_loss
from twohands.networks import HandNetwork, TwoHandNet
from twohands.training.trunk import TrunkItem
from twohands.types import NetworkOutput


class Objective(nn.Module):
    """TrainingItem of a batch -> loss of every frame (B,) and every term (B,) by name.

    Training gives the network the item's masks and the true centres with noise; the network's own heads are trained
    beside. A frozen image branch keeps its weights and the statistics of its batch normalisation.
    """

    def __init__(
        self, network: HandNetwork, surface: Surface, loss: LossConfig, center_noise: float, frozen_image: bool
    ):
        super().__init__()
        self.network, self.surface, self.loss = network, surface, loss
        self.center_noise, self.frozen_image = center_noise, frozen_image
        network.image.requires_grad_(not frozen_image)

    def train(self, mode: bool = True) -> Self:
        """As nn.Module, but a frozen image branch stays as it is used."""
        super().train(mode)
        if self.frozen_image:
            self.network.image.eval()
        return self

    def forward(self, item: TrainingItem, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """epoch counts from 0; it decides which terms count."""
        output = self.predict(item)
        with torch.autocast(output.root.device.type, enabled=False):
            return total_loss(output, item.sample, self.surface, self.loss, epoch)

    def predict(self, item: TrainingItem) -> NetworkOutput:
        """The network's answer when masks and centres are given."""
        draws = item.draw.tolist()
        rngs = [np.random.default_rng((*draw, 1)) for draw in draws]
        centers, _ = hand_boxes(item.sample)
        noise = np.stack([np.random.default_rng((*draw, 2)).normal(size=(2, 2)) for draw in draws])
        scale = self.center_noise * item.sample.frame.camera.width
        centers = centers + torch.as_tensor(noise * scale, dtype=centers.dtype, device=centers.device)
        if isinstance(item, TrunkItem):
            assert isinstance(self.network, TwoHandNet)
            scene = replace(item.scene(), centers=centers, present=torch.ones_like(item.present))
            clouds = self.network.lift(item.sample.frame, item.masks, rngs)
            return self.network.reconstruct(scene, clouds, item.sample.frame.camera)
        return self.network(item.sample.frame, item.masks, centers, rngs)
