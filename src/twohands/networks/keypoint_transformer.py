"""External baseline Keypoint Transformer (Hampali et al. 2022; docs/method.md, Baselines).

A whole network of its own. Peaks of joint heat maps become tokens; a transformer classifies which joint each of them is
and predicts the joints of both hands relative to their roots. It does not locate the roots, so only aligned metrics are
meaningful.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from twohands.hands.skeleton import NUM_JOINTS, ROOT
from twohands.networks.base import Encoder, HandNetwork
from twohands.networks.decoder import LENGTH_UNIT
from twohands.networks.image_branch import CENTER_BIAS, FusedMap, dense_head
from twohands.networks.intaghand import hand_depth, network_input
from twohands.networks.two_hand_net import START_DEPTH
from twohands.ops.image import lookup, peaks, rescale
from twohands.types import KeyPoints, NetworkOutput, RGBDFrame, TwoHands

NUM_TOKENS = 64
"""Largest number of peaks that become tokens."""
NUM_LAYERS = 3
"""Number of layers of the transformer's encoder, and of its decoder."""


class KeypointImage(nn.Module):
    """Image -> one map at H/4 and 42 joint heat maps on it."""

    def __init__(self, encoder: Encoder, fused: FusedMap):
        super().__init__()
        self.encoder, self.fused = encoder, fused
        self.heat_head = dense_head(fused.channels, CENTER_BIAS, 2 * NUM_JOINTS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> map (B, c, H/4, W/4) and logits (B, 42, H/4, W/4)."""
        _, *stages = self.encoder(image)
        fused = self.fused(tuple(stages))
        return fused, self.heat_head(fused).float()


class KeypointTransformer(HandNetwork):
    """Network of joints without meshes; with `reads_depth`, depth is the fourth channel of the image."""

    def __init__(self, encoder: Encoder, fused: FusedMap, channels: int, heads: int, reads_depth: bool):
        super().__init__()
        self.image, self.reads_depth = KeypointImage(encoder, fused), reads_depth
        self.embed = nn.Linear(fused.channels + 3, channels)  # appearance, position, height of the peak
        sizes = {"dim_feedforward": 2 * channels, "dropout": 0.0, "batch_first": True, "norm_first": True}
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(channels, heads, **sizes), NUM_LAYERS, enable_nested_tensor=False
        )
        self.decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(channels, heads, **sizes), NUM_LAYERS)
        self.queries = nn.Parameter(torch.randn(2 * NUM_JOINTS, channels))
        self.identity = nn.Linear(channels, 2 * NUM_JOINTS + 1)
        self.joint = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 3))

    def forward(
        self,
        frame: RGBDFrame,
        masks: Tensor | None = None,
        centers: Tensor | None = None,
        rngs: Sequence[np.random.Generator] | None = None,
    ) -> NetworkOutput:
        """Return the joints in every crop of the batch; masks (B, 2, H, W) bool only give the depth of the hands."""
        depth = hand_depth(frame.depth, masks) if self.reads_depth else None
        features, heat_logits = self.image(network_input(frame, depth))
        with torch.autocast(frame.rgb.device.type, enabled=False):
            pixels, tokens = self._tokens(features, heat_logits, frame)
            tokens = self.encoder(tokens)
            queries = self.queries.expand(len(tokens), -1, -1)
            joints = self.joint(self.decoder(queries, tokens)).unflatten(1, (2, NUM_JOINTS)) * LENGTH_UNIT
            root = joints.new_tensor([0, 0, START_DEPTH]).expand(len(joints), 2, 3)
            joints = joints - joints[:, :, ROOT : ROOT + 1] + root[:, :, None]
            key_points = KeyPoints(heat_logits, pixels, self.identity(tokens))
        hands = TwoHands(None, joints, torch.ones_like(root[..., 0]))
        return NetworkOutput(hands, (), center_logits=None, mask_logits=None, root=root, key_points=key_points)

    def _tokens(self, features: Tensor, heat_logits: Tensor, frame: RGBDFrame) -> tuple[Tensor, Tensor]:
        """Return the pixels (B, T, 2) of the highest peaks of all heat maps together, and their tokens (B, T, C)."""
        width, height = frame.camera.width, frame.camera.height
        cells, scores = peaks(heat_logits.detach().amax(dim=1), NUM_TOKENS)
        pixels = rescale(cells, width / features.shape[-1])
        place = pixels / pixels.new_tensor([width, height]) * 2 - 1
        seen = lookup(features, pixels, width, height)  # (B, T, c)
        return pixels, self.embed(torch.cat([seen, place, scores[..., None]], dim=-1))
