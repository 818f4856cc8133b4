"""External baseline IntagHand (Li et al. 2022; docs/method.md, Baselines): a graph decoder that attends to the image.

A whole network of its own: a crop around both hands, no cloud, no centres. It assumes that both hands are present;
masks only choose the crop (`views.region_camera`) and give the depth of the hands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from twohands.geometry.camera import Camera
from twohands.networks.base import Encoder, HandNetwork
from twohands.networks.decoder import LENGTH_UNIT, WIDTH_UNIT, GraphDecoder, HandNorm, RootHead, moved
from twohands.networks.image_branch import normalised
from twohands.networks.two_hand_net import START_DEPTH
from twohands.types import NetworkOutput, RGBDFrame

DEPTH_SCALE, DEPTH_LIMIT = 0.1, 5.0
"""Unit of the depth channel in metres, counted from the hands' median depth; and the largest number of units."""
START_FRACTION = 0.25
"""Fraction of the crop's width that LENGTH_UNIT metres of a hand cover where the weak-perspective head starts."""


class IntagHand(HandNetwork):
    """Network of two meshes; with `reads_depth` (`intaghand_depth`), depth is the fourth channel of the image."""

    def __init__(self, encoder: Encoder, decoder: GraphDecoder, channels: int, reads_depth: bool):
        """Take a decoder of features of length `channels` that attends to the encoder's coarsest maps."""
        super().__init__()
        self.image, self.decoder, self.reads_depth = encoder, decoder, reads_depth
        self.spread = nn.Linear(encoder.channels[-1], 2 * channels)
        self.norm = HandNorm(channels)
        self.root = RootHead(channels) if reads_depth else WeakPerspective(channels)

    def forward(
        self,
        frame: RGBDFrame,
        masks: Tensor | None = None,
        centers: Tensor | None = None,
        rngs: Sequence[np.random.Generator] | None = None,
    ) -> NetworkOutput:
        """Return both hands in every crop of the batch; masks (B, 2, H, W) bool only give the depth of the hands."""
        depth = hand_depth(frame.depth, masks)
        maps = self.image(network_input(frame, depth if self.reads_depth else None))[::-1]  # coarse -> fine
        with torch.autocast(frame.rgb.device.type, enabled=False):
            maps = tuple(features.float() for features in maps)
            features = self.norm(self.spread(maps[0].mean(dim=(2, 3))).unflatten(1, (2, -1)))  # (B, 2, C)
            middle = (features.new_tensor([frame.camera.width, frame.camera.height]) - 1) / 2
            start = middle.expand(*features.shape[:2], 2), depth[:, None].expand(-1, 2)
            root = self.root(features, *start, frame.camera)
            present = torch.ones_like(root[..., 0])
            hands, stages = self.decoder(features, present, maps[: len(self.decoder.stages)])
        stages = tuple(moved(stage, root) for stage in stages)
        return NetworkOutput(moved(hands, root), stages, center_logits=None, mask_logits=None, root=root)


class WeakPerspective(RootHead):
    """Root head that reads no depth: the root from the position and the size of a hand in the crop."""

    def forward(self, features: Tensor, pixels: Tensor, depth: Tensor, camera: Camera) -> Tensor:
        """Return the root (B, 2, 3) in metres, with z = f LENGTH_UNIT / (pixels that LENGTH_UNIT covers)."""
        numbers = self.offset(features)  # log scale, then the shift
        covered = START_FRACTION * camera.width * torch.exp(numbers[..., 0].clamp(-3, 3))  # pixels
        pixels = pixels + numbers[..., 1:] * (WIDTH_UNIT * camera.width)
        return camera.unproject(pixels, camera.focal[..., :1] * LENGTH_UNIT / covered)


def hand_depth(depth: Tensor, masks: Tensor | None) -> Tensor:
    """Return the median (B,) of the depth (B, H, W) metres inside the masks (B, 2, H, W), or in the whole image.

    Images without any such reading give START_DEPTH.
    """
    shown = depth > 0 if masks is None else (depth > 0) & masks.any(dim=1)
    median = torch.where(shown, depth, torch.nan).flatten(1).nanmedian(dim=1).values
    return torch.where(median.isnan(), START_DEPTH, median)


def network_input(frame: RGBDFrame, depth: Tensor | None) -> Tensor:
    """Return normalised colours (B, 3, H, W), and the depth relative to the hands' (B,) metres as a fourth channel."""
    image = normalised(frame.rgb)
    if depth is None:
        return image
    relative = ((frame.depth - depth[:, None, None]) / DEPTH_SCALE).clamp(-DEPTH_LIMIT, DEPTH_LIMIT)
    return torch.cat([image, torch.where(frame.depth > 0, relative, 0.0)[:, None]], dim=1)
