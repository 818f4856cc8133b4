"""Base classes of the registry entries: what an encoder, a fusion, a decoder and a whole network must have."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from twohands.geometry.cloud import HandClouds
from twohands.types import NetworkOutput, RGBDFrame, TwoHands


class Encoder(nn.Module, ABC):
    """Image encoder: (B, C, H, W) -> maps fine -> coarse, the first at H/2, the second at H/4."""

    channels: tuple[int, ...]
    """Number of channels of each map."""

    @abstractmethod
    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Return the feature maps of an image whose sides are multiples of 32."""


class Fusion(nn.Module, ABC):
    """Join of points and colour: one feature vector per hand, with the same weights for both hands."""

    channels: int
    """Length of the feature vector."""
    reads_depth: bool
    """True if the points take part; otherwise the root starts at a constant depth, and frames need no depth."""
    reads_center: bool
    """True if the fusion takes the colour feature at each hand's centre, which the network computes for it alone."""

    @abstractmethod
    def forward(self, clouds: HandClouds, pyramid: tuple[Tensor, ...], center: Tensor | None) -> Tensor:
        """Return (B, 2, channels).

        The pyramid is fine -> coarse: image, stem at H/2, fused map at H/4. `center` (B, 2, center_channels) is None
        unless `reads_center`.
        """


class Decoder(nn.Module, ABC):
    """One feature vector per hand -> hands whose root (joint 9) is the origin, in the axes of the camera."""

    @abstractmethod
    def forward(self, features: Tensor, present: Tensor) -> tuple[TwoHands, tuple[TwoHands, ...]]:
        """Return the hands, and those of every coarser mesh level, of features (B, 2, C) and presence (B, 2)."""


class HandNetwork(nn.Module, ABC):
    """Network from an RGB-D frame to two hands; frames and outputs hold torch tensors with one batch axis."""

    image: nn.Module
    """The convolutional part. Training runs it in channels-last layout and, on request, in half precision."""
    reads_depth: bool
    """True if the output depends on the measured depth."""

    @abstractmethod
    def forward(
        self,
        frame: RGBDFrame,
        masks: Tensor | None = None,
        centers: Tensor | None = None,
        rngs: Sequence[np.random.Generator] | None = None,
    ) -> NetworkOutput:
        """Return both hands of every frame of the batch.

        Masks (B, 2, H, W) bool and centers (B, 2, 2) pixels replace the network's own, if it has any. `rngs`, one per
        frame, make the random choices of training; without them the output is a function of the frame.
        """
