"""A torch network run on single NumPy frames, as `runtime.OnnxNetwork` runs exported graphs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from twohands.config import NetworkConfig
from twohands.networks.base import HandNetwork
from twohands.types import RGBDFrame, TwoHands


class ModuleRunner:
    """Torch network behind the interface of `runtime.OnnxNetwork`: NumPy frames in, NumPy hands out."""

    def __init__(self, network: HandNetwork, config: NetworkConfig):
        self.network, self.image_size, self.region = network, config.image_size, config.region
        self.reads_depth, self.hand_model = network.reads_depth, config.hand_model

    @torch.inference_mode()
    def __call__(
        self,
        frame: RGBDFrame,
        masks: np.ndarray | None = None,
        centers: np.ndarray | None = None,
        step: Callable[[str], AbstractContextManager[Any]] = nullcontext,
    ) -> TwoHands:
        """Return both hands of a square frame of image_size pixels.

        Masks (2, S, S) bool and centers (2, 2) pixels replace the network's own. `step(name)` is a context that is
        entered around each step, a stopwatch for example.
        """
        device = next(self.network.parameters()).device
        batch = frame.map(lambda array: torch.as_tensor(array)[None].to(device))
        given = [
            None if array is None else torch.as_tensor(np.ascontiguousarray(array))[None].to(device)
            for array in (masks, centers)
        ]
        training = self.network.training
        self.network.eval()
        with step("network"):
            hands = self.network(batch, *given).hands
        self.network.train(training)
        return hands.map(lambda tensor: tensor[0].cpu().numpy())
