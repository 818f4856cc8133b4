"""The region network: depth, colour and landmarks of one hand's metric region -> presence, side, mask, joints, pose.

Every hand is seen in its region (`twohands.region`), as a right hand. Colour enters as the feature maps of the landmark
network at three strides, joined with the depth's maps by the paper's feature transform (formula 1). Every cell of a map
of stride 4 votes for all 21 joints; then tokens of the joints look at the maps where their joints are, at each other
and at those of the person's other hand, and move the joints. N regions are one batch; `companion` says which of them
are the two hands of one person. Under autocast the maps have its precision; votes, tokens and geometry are float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from twohands.geometry.record import TensorRecord
from twohands.hands.skeleton import NUM_JOINTS
from twohands.light_config import RegionConfig
from twohands.networks.fusion import Concatenation, FeatureTransform, Join
from twohands.ops.image import lookup
from twohands.ops.rotations import matrix_from_6d
from twohands.region import DEPTH_SIZE, SIDE, Region, grid

MAP_CHANNELS = (24, 40, 112)
"""Channels of the landmark network's maps at strides 4, 8 and 16 of the colour picture."""
DEPTH_REACH = 0.14
"""Largest relative depth that belongs to a hand, metres."""
HEAT = 0.008
"""Standard deviation of a landmark's heat map, metres."""
VOTE_REACH, STEP = 0.05, 0.03
"""Scales of a vote's offset and of a refinement's step, metres."""
PLACE, DEPTH_UNIT = 0.1, 0.05
"""Scales of places and of depths among the inputs of the joint tokens, metres."""
SIGMAS = (0.0005, 0.2)
"""Range of sigma, metres."""
JOINS: dict[str, type[Join]] = {"transform": FeatureTransform, "concat": Concatenation}


@dataclass(frozen=True)
class RegionInput(TensorRecord):
    """Input of the region network: N regions."""

    region: Region  # of N
    depth: Tensor  # (N, DEPTH_SIZE, DEPTH_SIZE) metres relative to the region, NaN: not measured
    maps: tuple[Tensor, ...]  # (N, C, COLOUR_SIZE / stride, ...) of the landmark network; zeros without colour
    landmarks: Tensor  # (N, 21, 3): x, y plane coordinates, z metres relative to joint 9
    seen: Tensor  # (N, 2): the landmark network's probabilities of a hand and of a right hand; 0, 0.5 without landmarks
    companion: Tensor  # (N, N): 1 where the other region shows the other hand of the same person


@dataclass(frozen=True)
class RegionOutput(TensorRecord):
    """Output of the region network for N regions."""

    present: Tensor  # (N,) logits that the region shows a hand
    right: Tensor  # (N,) logits that it is a right hand, as the region shows it
    stages: tuple[Tensor, ...]  # (N, 21, 3) plane coordinates of the joints: by the votes, after each refinement
    sigma: Tensor  # (N, 21, 2) metres, along and across the ray
    mask: Tensor  # (N, DEPTH_SIZE / 4, DEPTH_SIZE / 4) logits of the hand's own visible pixels
    rotation: Tensor  # (N, 3, 3) region from wrist
    pose: Tensor  # (N, 15, 3, 3) rotations of the finger joints of a right hand
    shape: Tensor  # (N, S)

    @property
    def joints(self) -> Tensor:
        """(N, 21, 3) plane coordinates, metres."""
        return self.stages[-1]


class RegionNetwork(nn.Module):
    """See the module. A switch of the configuration that is off leaves its part out."""

    cells: Tensor
    """(h w, 2) places of the cells of the finest map that votes, metres."""

    def __init__(self, config: RegionConfig, num_shape: int):
        super().__init__()
        self.config, self.num_shape = config, num_shape
        fine, middle, coarse, coarsest = config.widths
        self.stem = _convolution(3, fine, 2)
        self.joins = nn.ModuleList()
        channels = []
        for own, theirs in zip((fine, middle, coarse), MAP_CHANNELS, strict=True):
            join = JOINS[config.join](own, theirs) if config.colour else None
            self.joins.append(nn.Identity() if join is None else join)
            channels.append(own if join is None else join.channels)
        self.down_4 = Residual(channels[0], middle, 2)
        self.mix_4 = Residual(channels[1] + 2 * NUM_JOINTS * config.landmarks, middle, 1)
        self.down_8 = Residual(middle, coarse, 2)
        self.mix_8 = Residual(channels[2], coarse, 1)
        self.down_16 = nn.Sequential(Residual(coarse, coarsest, 2), Residual(coarsest, coarsest, 1))
        self.up_8, self.up_4 = nn.Conv2d(coarsest, coarse, 1), nn.Conv2d(coarse, middle, 1)
        self.smooth = _convolution(middle, middle, 1)
        self.votes = nn.Conv2d(middle, NUM_JOINTS * 4, 1)
        self.mask = nn.Conv2d(middle, 1, 1)
        summary = coarsest + 2 * config.landmarks
        self.verdict = nn.Sequential(nn.Linear(summary, 64), nn.ReLU(), nn.Linear(64, 2))
        token = middle + channels[0] + 3 + 2 + 4 * config.landmarks + summary
        self.refinements = nn.ModuleList(
            Refinement(token, config, first=number == 0) for number in range(config.refinements)
        )
        sources = config.tokens if config.refinements else coarsest // NUM_JOINTS + 4
        self.no_tokens = None if config.refinements else nn.Linear(summary, NUM_JOINTS * sources)
        self.sigma = nn.Linear(sources, 2)
        self.narrow = nn.Linear(sources, 32)
        self.pose = nn.Sequential(nn.Linear(32 * NUM_JOINTS, 256), nn.ReLU(), nn.Linear(256, 16 * 6 + num_shape))
        self.register_buffer("cells", torch.tensor(grid(DEPTH_SIZE // 4), dtype=torch.float32), persistent=False)

    def forward(self, given: RegionInput) -> RegionOutput:
        """Return what is seen in N regions."""
        known = (~torch.isnan(given.depth)).to(given.landmarks.dtype)
        depth = torch.nan_to_num(given.depth)
        near = known * (depth.abs() < DEPTH_REACH)
        relative = (depth / DEPTH_REACH).clamp(-1, 1) * known
        maps = self._maps(torch.stack([relative, near, known], dim=1), given)
        with torch.autocast(depth.device.type, enabled=False):
            finest, features, coarsest = (values.float() for values in maps)
            return self._read(finest, features, coarsest, depth, near, given)

    def _maps(self, picture: Tensor, given: RegionInput) -> tuple[Tensor, Tensor, Tensor]:
        """Return the maps of a depth picture (N, 3, S, S): finest, that which votes, coarsest."""
        finest = self._joined(0, self.stem(picture), given)
        features = self._joined(1, self.down_4(finest), given)
        if self.config.landmarks:
            features = torch.cat([features, self._heat(given)], dim=1)
        middle = self.mix_4(features)
        coarse = self.mix_8(self._joined(2, self.down_8(middle), given))
        coarsest = self.down_16(coarse)
        coarse = functional.relu(coarse + functional.interpolate(self.up_8(coarsest), scale_factor=2.0))
        features = self.smooth(functional.relu(middle + functional.interpolate(self.up_4(coarse), scale_factor=2.0)))
        return finest, features, coarsest

    def _read(
        self, finest: Tensor, features: Tensor, coarsest: Tensor, depth: Tensor, near: Tensor, given: RegionInput
    ) -> RegionOutput:
        """Return what the maps say, with depth and whether it is near (N, S, S)."""
        summary = coarsest.mean(dim=(2, 3))
        if self.config.landmarks:
            summary = torch.cat([summary, given.seen * 4 - 2], dim=1)
        present, right = self.verdict(summary).unbind(dim=1)
        stages = [self._voted(features)]
        tokens = None
        for refinement in self.refinements:
            assert isinstance(refinement, Refinement)
            joints = stages[-1].detach()
            pixels = (joints[..., :2] / SIDE + 0.5) * DEPTH_SIZE - 0.5
            seen = [lookup(values, pixels, DEPTH_SIZE, DEPTH_SIZE) for values in (features, finest)]
            below = lookup(torch.stack([depth * near, near], dim=1), pixels, DEPTH_SIZE, DEPTH_SIZE)
            weight = below[..., 1:]
            gap = (below[..., :1] - joints[..., 2:] * weight) / DEPTH_UNIT
            parts = [*seen, joints / PLACE, gap, weight, summary[:, None].expand(-1, NUM_JOINTS, -1)]
            if self.config.landmarks:
                known_landmarks = (given.seen[:, :1] > 0).to(joints.dtype)[:, :, None]
                root = joints[:, 9:10, 2:]
                offset = torch.cat(
                    [given.landmarks[..., :2] - joints[..., :2], given.landmarks[..., 2:] + root - joints[..., 2:]], -1
                )
                parts += [
                    known_landmarks * offset / DEPTH_UNIT,
                    given.seen[:, None, :1].expand(-1, NUM_JOINTS, -1),
                ]
            tokens = refinement(torch.cat(parts, dim=-1), tokens, joints, present.detach(), given)
            stages.append(stages[-1] + STEP * refinement.step(tokens))
        if tokens is None:
            assert self.no_tokens is not None
            tokens = self.no_tokens(summary).unflatten(1, (NUM_JOINTS, -1))
        low, high = (float(np.log(sigma)) for sigma in SIGMAS)
        sigma = torch.exp((self.sigma(tokens) - 4.5).clamp(low, high))
        numbers = self.pose(self.narrow(tokens).flatten(1))
        rotations = matrix_from_6d(
            numbers[:, : 16 * 6].unflatten(1, (16, 6)) + numbers.new_tensor([1.0, 0, 0, 0, 1, 0])
        )
        return RegionOutput(
            present, right, tuple(stages), sigma, self.mask(features)[:, 0],
            rotations[:, 0], rotations[:, 1:], numbers[:, 16 * 6 :],
        )  # fmt: skip

    def _joined(self, level: int, features: Tensor, given: RegionInput) -> Tensor:
        """Return a map (N, c, h, w) joined with the landmark network's map of the same size."""
        if not self.config.colour:
            return features
        join = self.joins[level]
        return join(features.permute(0, 2, 3, 1), given.maps[level].permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def _heat(self, given: RegionInput) -> Tensor:
        """Return heat maps (N, 42, h, w) of the landmarks, plain and times their depth; zeros without landmarks."""
        size = DEPTH_SIZE // 4
        away = (self.cells - given.landmarks[:, :, None, :2]).square().sum(dim=-1)  # (N, 21, h w)
        heat = torch.exp(-away / (2 * HEAT**2)) * given.seen[:, :1, None]
        deep = heat * given.landmarks[:, :, 2:] / DEPTH_UNIT
        return torch.cat([heat, deep], dim=1).unflatten(2, (size, size))

    def _voted(self, features: Tensor) -> Tensor:
        """Return the joints (N, 21, 3) as the mean of all cells' votes, weighted by their softmax."""
        votes = self.votes(features).unflatten(1, (NUM_JOINTS, 4)).flatten(3)  # (N, 21, 4, h w)
        weights = votes[:, :, 3].softmax(dim=-1)
        offset = (votes[:, :, :3] * weights[:, :, None]).sum(dim=-1) * VOTE_REACH
        middle = weights @ self.cells
        return offset + functional.pad(middle, (0, 1))


class Refinement(nn.Module):
    """One round: tokens of the joints attend to each other and to those of the companion."""

    def __init__(self, inputs: int, config: RegionConfig, first: bool):
        super().__init__()
        width = config.tokens
        self.embed = nn.Linear(inputs, width)
        self.before = None if first else nn.Linear(width, width)
        self.name = nn.Parameter(torch.randn(NUM_JOINTS, width) * 0.02)
        self.own = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, batch_first=True, norm_first=True)
        self.place = nn.Linear(3, width) if config.cross_hand else None
        if config.cross_hand:
            self.other = nn.MultiheadAttention(width, 4, batch_first=True)
            self.gate = nn.Parameter(torch.zeros(width))
        self.step = nn.Linear(width, 3)

    def forward(
        self, parts: Tensor, tokens: Tensor | None, joints: Tensor, present: Tensor, given: RegionInput
    ) -> Tensor:
        """Return the tokens (N, 21, c) of inputs (N, 21, inputs) and of the round before."""
        embedded = self.embed(parts) + self.name
        if self.before is not None:
            embedded = embedded + self.before(tokens)
        if self.place is not None:
            companion = given.companion
            points = torch.einsum("nm,mjc->njc", companion, given.region.from_plane(joints))
            theirs = torch.einsum("nm,mjc->njc", companion, embedded)
            theirs = theirs + self.place(given.region.to_plane(points).clamp(-0.5, 0.5) / PLACE)
            weight = (companion @ torch.sigmoid(present)[:, None])[:, :, None]
            embedded = embedded + self.gate * weight * self.other(embedded, theirs, theirs, need_weights=False)[0]
        return self.own(embedded)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, channels: int, out: int, stride: int):
        super().__init__()
        self.first = _convolution(channels, out, stride)
        self.second = nn.Sequential(nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out))
        self.shortcut = nn.Identity() if channels == out and stride == 1 else nn.Conv2d(channels, out, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, out, h / stride, w / stride)."""
        return functional.relu(self.second(self.first(features)) + self.shortcut(features))


def _convolution(channels: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
