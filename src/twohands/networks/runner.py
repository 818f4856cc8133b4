"""A torch network run on single NumPy frames, as the product runs its ONNX twin."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch

from twohands.config import NetworkConfig
from twohands.networks.build import HandNetwork
from twohands.types import RGBDFrame, TwoHands


class ModuleRunner:
    """Square frame of NumPy arrays -> TwoHands of NumPy arrays; the twin of `runtime.OnnxNetwork` in torch."""

    def __init__(self, network: HandNetwork, config: NetworkConfig):
        self.network, self.image_size, self.region = network, config.image_size, config.region
        self.reads_depth = network.reads_depth

    @torch.inference_mode()
    def __call__(
        self,
        frame: RGBDFrame,
        masks: np.ndarray | None = None,
        centers: np.ndarray | None = None,
        step: Callable[[str], AbstractContextManager[Any]] = nullcontext,
    ) -> TwoHands:
        """Two hands of a frame of image_size pixels; masks (2, S, S) bool and centers (2, 2) pixels replace its own.

        `step` is entered around each step with its name: a stopwatch, for instance.
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
