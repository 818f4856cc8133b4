"""One training batch through a network and its losses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from twohands.config import ExperimentConfig, LossConfig
from twohands.data.dataset import TrainingItem
from twohands.geometry.cloud import centers_on
from twohands.hands import HAND_MODELS
from twohands.networks import HandNetwork, TwoHandNet, build_network
from twohands.networks.checkpoint import start_from
from twohands.networks.image_branch import ImageFeatures
from twohands.training.losses import Surface, hand_boxes, surface_of, total_loss
from twohands.types import NetworkOutput


class Objective(nn.Module):
    """A network with its loss: TrainingItem of a batch -> loss of every frame (B,) and every term (B,) by name.

    The network is given the item's masks, and the true centres with noise or, for a fraction of the frames, its own
    centres. Its centre and mask heads are trained at the same time.
    """

    def __init__(
        self,
        network: HandNetwork,
        surface: Surface,
        loss: LossConfig,
        center_noise: float,
        own_centers: float = 0.0,
    ):
        super().__init__()
        self.network, self.surface, self.loss = network, surface, loss
        self.center_noise, self.own_centers = center_noise, own_centers

    def forward(self, item: TrainingItem, epoch: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the losses in `epoch`, counted from 0, which decides the active terms."""
        output = self.predict(item)
        with torch.autocast(output.root.device.type, enabled=False):
            return total_loss(output, item.sample, self.surface, self.loss, epoch)

    def predict(self, item: TrainingItem) -> NetworkOutput:
        """Return the output of the network when masks and centres are given."""
        frame, network = item.sample.frame, self.network
        if not isinstance(network, TwoHandNet):  # it takes no centres and draws no points
            return network(frame, item.masks)
        scene = self.locate(network, item)
        centers = self._centers(item, centers_on(item.masks, scene.centers.detach()))
        scene = replace(scene, centers=centers, present=torch.ones_like(scene.present))
        rngs = [np.random.default_rng((*draw, 1)) for draw in item.draw.tolist()]
        return network.reconstruct(scene, network.lift(frame, item.masks, rngs), frame.camera)

    def locate(self, network: TwoHandNet, item: TrainingItem) -> ImageFeatures:
        """Return the features of the image branch for the frames of a batch."""
        return network.locate(item.sample.frame)

    def _centers(self, item: TrainingItem, own: Tensor) -> Tensor:
        """Return centres (B, 2, 2) in pixels: for each frame the true ones with noise, or the network's own."""
        rngs = [np.random.default_rng((*draw, 2)) for draw in item.draw.tolist()]
        true, _ = hand_boxes(item.sample)
        noise = np.stack([rng.normal(size=(2, 2)) for rng in rngs]) * self.center_noise * item.sample.frame.camera.width
        noisy = true + torch.as_tensor(noise, dtype=true.dtype, device=true.device)
        chosen = torch.tensor([rng.uniform() < self.own_centers for rng in rngs], device=true.device)
        return torch.where(chosen[:, None, None], own, noisy)


def build_objective(
    config: ExperimentConfig,
    pretrained: bool = False,
    start: str | Path | None = None,
    kind: type[Objective] = Objective,
) -> Objective:
    """Return the objective of a configuration with new weights, ImageNet's, or those of `start` (`start_from`)."""
    torch.manual_seed(config.train.seed)
    hand_model = HAND_MODELS[config.network.hand_model]()
    network = build_network(config.network, hand_model, pretrained)
    if start is not None:
        start_from(network, config.network, start)
    network.image.to(memory_format=torch.channels_last)
    recipe = config.train
    return kind(network, surface_of(hand_model), config.loss, recipe.center_noise, recipe.own_centers)
