"""A torch network run on single NumPy frames, as the product runs its ONNX twin."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from twohands.networks.two_hand_net import TwoHandNet
from twohands.types import RGBDFrame, TwoHands


class ModuleRunner:
    """Square frame of NumPy arrays -> TwoHands of NumPy arrays; the twin of `runtime.OnnxNetwork` in torch."""

    def __init__(self, network: TwoHandNet, image_size: int):
        self.network, self.image_size = network, image_size

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
        given = [None if array is None else torch.as_tensor(array)[None].to(device) for array in (masks, centers)]
        training = self.network.training
        self.network.eval()
        with step("locate"):
            scene = self.network.locate(batch)
        if given[1] is not None:
            scene = replace(scene, centers=given[1].float(), present=torch.ones_like(scene.present))
        with step("lift"):
            clouds = self.network.lift(batch, scene.masks if given[0] is None else given[0])
        with step("reconstruct"):
            hands = self.network.reconstruct(scene, clouds, batch.camera).hands
        self.network.train(training)
        return hands.map(lambda tensor: tensor[0].cpu().numpy())
