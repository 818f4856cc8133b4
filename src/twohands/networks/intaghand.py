"""The rival IntagHand (Li et al. 2022; method, section 10): a two-hand graph decoder that looks at the image.

A whole network of its own: a crop around both hands, no cloud, no centres. It takes for granted that both hands are
there, and masks only say where the crop is (`views.region_camera`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from twohands.geometry.camera import Camera
from twohands.networks.decoder import LENGTH_UNIT, WIDTH_UNIT, GraphDecoder, HandNorm, RootHead, moved
from twohands.networks.image_branch import normalised
from twohands.networks.two_hand_net import START_DEPTH
from twohands.types import NetworkOutput, RGBDFrame

DEPTH_SCALE, DEPTH_LIMIT = 0.1, 5.0
"""Metres that the depth channel counts in, from the hands' median; and how far it counts."""
START_SHARE = 0.25
"""Share of the crop's width that LENGTH_UNIT metres of a hand cover where the weak-perspective head starts."""


class IntagHand(nn.Module):
    """RGBDFrame -> NetworkOutput; depth is read as a fourth channel with `reads_depth` (`intaghand_depth`)."""

    def __init__(self, encoder: nn.Module, decoder: GraphDecoder, channels: int, reads_depth: bool):
        """`decoder` takes `channels` and attends to the coarsest maps of the encoder, coarse -> fine."""
        super().__init__()
        self.image, self.decoder, self.reads_depth = encoder, decoder, reads_depth
        self.spread = nn.Linear(encoder.channels[-1], 2 * channels)  # type: ignore[index]
        self.norm = HandNorm(channels)
        self.root = RootHead(channels) if reads_depth else WeakPerspective(channels)

    def forward(
        self,
        frame: RGBDFrame,
        masks: Tensor | None = None,
        centers: Tensor | None = None,
        rngs: Sequence[np.random.Generator] | None = None,
    ) -> NetworkOutput:
        """Two hands of every crop of the batch; masks (B, 2, H, W) bool only tell the depth of the hands."""
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
    """The root from the place and the size of a hand in the crop, without any depth."""

    def forward(self, features: Tensor, pixels: Tensor, depth: Tensor, camera: Camera) -> Tensor:
        """As RootHead, but the depth is not read: z = f LENGTH_UNIT / pixels that LENGTH_UNIT covers."""
        numbers = self.offset(features)  # log scale, then the shift
        covered = START_SHARE * camera.width * torch.exp(numbers[..., 0].clamp(-3, 3))  # pixels
        pixels = pixels + numbers[..., 1:] * (WIDTH_UNIT * camera.width)
        return camera.unproject(pixels, camera.focal[..., :1] * LENGTH_UNIT / covered)


def hand_depth(depth: Tensor, masks: Tensor | None) -> Tensor:
    """Median (B,) in metres of depth (B, H, W) where masks (B, 2, H, W) show a hand, without masks of all of it."""
    shown = depth > 0 if masks is None else (depth > 0) & masks.any(dim=1)
    median = torch.where(shown, depth, torch.nan).flatten(1).nanmedian(dim=1).values
    return torch.where(median.isnan(), START_DEPTH, median)


def network_input(frame: RGBDFrame, depth: Tensor | None) -> Tensor:
    """Normalised colours (B, 3, H, W); with the hands' depth (B,) the measured depth about it as a fourth channel."""
    image = normalised(frame.rgb)
    if depth is None:
        return image
    relative = ((frame.depth - depth[:, None, None]) / DEPTH_SCALE).clamp(-DEPTH_LIMIT, DEPTH_LIMIT)
    return torch.cat([image, torch.where(frame.depth > 0, relative, 0.0)[:, None]], dim=1)
