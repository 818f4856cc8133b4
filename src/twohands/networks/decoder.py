"""Decoders (method, section 5): one feature vector per hand -> root-relative hands; and the root.

A decoder returns hands around the origin, axes of the camera, with its mesh levels coarse -> fine; `RootHead` says
where the root (joint 9) is. Left and right share all weights and are told apart by embeddings and templates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from twohands.geometry.camera import Camera
from twohands.geometry.transforms import axis_angle_from_matrix
from twohands.hands.model import HandModel
from twohands.hands.pyramid import MeshLevel, joint_regressor, mesh_levels
from twohands.hands.skeleton import NUM_ARTICULATED, NUM_JOINTS, ROOT
from twohands.networks.attention import HandAttention, ImageAttention
from twohands.ops.graph import chebyshev_convolution, scaled_laplacian
from twohands.ops.rotations import matrix_from_6d
from twohands.types import HandParameters, TwoHands

DEGREE = 2
"""Highest Chebyshev polynomial of a graph convolution."""
LENGTH_UNIT = 0.1
"""Metres that an output of 1 means: half a hand, so that untrained heads answer in the right order of magnitude."""
WIDTH_UNIT = 0.1
"""Image widths that an output of 1 means, for the root's pixel."""


class HandNorm(nn.BatchNorm1d):
    """Batch normalisation of one feature vector per hand, which the paper does not name.

    A pooled vector is nearly the same for all hands; with their mean taken away decoders learn several times faster.
    """

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """(B, 2, C) -> (B, 2, C)."""
        return super().forward(features.flatten(0, 1)).unflatten(0, features.shape[:2])


class RootHead(nn.Module):
    """The root as an offset in (u, v, z) from where the hand was found."""

    def __init__(self, channels: int):
        super().__init__()
        self.offset = nn.Sequential(nn.Linear(channels, channels // 2), nn.LeakyReLU(0.1), nn.Linear(channels // 2, 3))

    def forward(self, features: Tensor, pixels: Tensor, depth: Tensor, camera: Camera) -> Tensor:
        """Features (B, 2, C), start pixels (B, 2, 2) and depth (B, 2) metres -> root (B, 2, 3) metres, camera frame."""
        offset = self.offset(features)
        pixels = pixels + offset[..., :2] * (WIDTH_UNIT * camera.width)
        return camera.unproject(pixels, depth + offset[..., 2] * LENGTH_UNIT)


class GraphConvolution(nn.Linear):
    """Chebyshev convolution on a fixed graph; the weight matrix holds all polynomials side by side."""

    def __init__(self, before: int, after: int):
        super().__init__((DEGREE + 1) * before, after)

    def forward(self, features: Tensor, laplacian: Tensor) -> Tensor:  # type: ignore[override]
        """(*B, V, before), (V, V) -> (*B, V, after)."""
        return chebyshev_convolution(features, laplacian, self.weight, self.bias)


class GraphBlock(nn.Module):
    """Residual block of two graph convolutions."""

    def __init__(self, channels: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(2))
        self.convolutions = nn.ModuleList(GraphConvolution(channels, channels) for _ in range(2))

    def forward(self, features: Tensor, laplacian: Tensor) -> Tensor:
        """(*B, V, C), (V, V) -> (*B, V, C)."""
        hidden = features
        for norm, graph_convolution in zip(self.norms, self.convolutions, strict=True):
            hidden = graph_convolution(torch.relu(norm(hidden)), laplacian)
        return features + hidden


class GraphStage(nn.Module):
    """One mesh level: vertex embedding, graph blocks, attention, and the correction of the coordinates.

    With `map_channels`, vertices also attend to a feature map of so many channels.
    """

    laplacian: Tensor
    joint_regressor: Tensor

    def __init__(self, level: MeshLevel, channels: int, num_blocks: int, heads: int, map_channels: int = 0):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(2, len(level.vertices), channels))
        self.blocks = nn.ModuleList(GraphBlock(channels) for _ in range(num_blocks))
        self.look = ImageAttention(channels, map_channels, heads) if map_channels else None
        self.attention = HandAttention(channels, heads)
        self.coordinates = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, 3))
        laplacian = scaled_laplacian(torch.as_tensor(level.faces), len(level.vertices))
        self.register_buffer("laplacian", laplacian, persistent=False)
        self.register_buffer("joint_regressor", torch.tensor(level.joint_regressor), persistent=False)

    def forward(self, features: Tensor, image: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, 2, V, C), and the map if it has use for one -> the same, and offsets (B, 2, V, 3) metres."""
        features = features + self.embedding
        for block in self.blocks:
            features = block(features, self.laplacian)
        if self.look is not None:
            features = self.look(features, image)
        features = self.attention(features)
        return features, self.coordinates(features) * LENGTH_UNIT


class GraphDecoder(nn.Module):
    """Coarse to fine over three graphs, then a learned linear map to the full mesh; joints are regressed from vertices.

    Between levels features and coordinates go up by the stored maps of our nested levels. Every level corrects the
    coordinates that came up, so every level can be supervised. `map_channels`, coarse to fine, let the vertices attend
    to feature maps as well (IntagHand).
    """

    template: Tensor
    joint_regressor: Tensor

    def __init__(
        self,
        channels: int,
        hand_model: HandModel,
        widths: tuple[int, ...],
        num_blocks: int,
        heads: int,
        map_channels: tuple[int, ...] = (0, 0, 0),
    ):
        super().__init__()
        self.levels = levels = mesh_levels(hand_model)
        self.spread = nn.Linear(channels, widths[0] - 3)  # three channels are left for the positional code
        self.stages = nn.ModuleList(
            GraphStage(level, width, num_blocks, heads, seen)
            for level, width, seen in zip(levels, widths, map_channels, strict=True)
        )
        self.narrow = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.full_mesh = nn.Parameter(torch.tensor(levels[-1].up))  # starts as the stored map
        self.register_buffer("template", torch.tensor(levels[0].template) / LENGTH_UNIT, persistent=False)
        self.register_buffer("joint_regressor", torch.tensor(joint_regressor(hand_model)), persistent=False)
        for number, level in enumerate(levels[:-1]):
            self.register_buffer(f"up_{number}", torch.tensor(level.up), persistent=False)

    def forward(
        self, features: Tensor, present: Tensor, maps: tuple[Tensor | None, ...] = (None, None, None)
    ) -> tuple[TwoHands, tuple[TwoHands, ...]]:
        """(B, 2, C), and the maps it looks at, coarse -> fine -> root-relative hands and their mesh levels alike."""
        batch, vertices = features.shape[0], self.template.shape[1]
        spread = self.spread(features)[:, :, None].expand(-1, -1, vertices, -1)
        tokens = torch.cat([spread, self.template.expand(batch, -1, -1, -1)], dim=-1)  # (B, 2, 63, C)
        mesh, results = torch.zeros_like(tokens[..., :3]), []
        for number, stage in enumerate(self.stages):
            tokens, offsets = stage(tokens, maps[number])
            mesh = mesh + offsets
            results.append(TwoHands(mesh, stage.joint_regressor @ mesh, present))
            if number < len(self.narrow):
                up = self.get_buffer(f"up_{number}")
                tokens, mesh = up @ self.narrow[number](tokens), up @ mesh
        mesh = self.full_mesh @ mesh
        return TwoHands(mesh, self.joint_regressor @ mesh, present), tuple(results)


class HandLayer(nn.Module):
    """A hand model whose arrays move with the network."""

    def __init__(self, hand_model: HandModel):
        super().__init__()
        self.num_shape = hand_model.num_shape
        self._plain = hand_model
        self._names = [f.name for f in fields(hand_model) if hasattr(getattr(hand_model, f.name), "dtype")]
        for name in self._names:
            self.register_buffer(name, torch.tensor(getattr(hand_model, name)), persistent=False)

    def forward(self, parameters: HandParameters) -> TwoHands:
        """As HandModel, on torch tensors."""
        return replace(self._plain, **{name: self.get_buffer(name) for name in self._names})(parameters)


class ParameterDecoder(nn.Module):
    """Hand-model parameters (the MANO row of Table IV): rotations as six numbers, starting at the rest pose.

    Its joints are the hand model's own, to which the joint regressor was fitted. It learns by the terms of points that
    every decoder has (`losses.TERMS`); the paper also compares the parameters themselves (method, section 6).
    """

    def __init__(self, channels: int, hand_model: HandModel, *_: object):
        super().__init__()
        self.hand = HandLayer(hand_model)
        self.side = nn.Parameter(0.1 * torch.randn(2, channels))
        self.parameters_of = nn.Sequential(
            nn.Linear(channels, channels),
            nn.LeakyReLU(0.1),
            nn.Linear(channels, 6 * NUM_ARTICULATED + self.hand.num_shape),
        )

    def forward(self, features: Tensor, present: Tensor) -> tuple[TwoHands, tuple[TwoHands, ...]]:
        """(B, 2, C) -> root-relative hands with their parameters; no mesh levels."""
        numbers = self.parameters_of(features + self.side)
        six = numbers[..., : 6 * NUM_ARTICULATED].unflatten(-1, (NUM_ARTICULATED, 6))
        six = six + torch.tensor([1.0, 0, 0, 0, 1, 0], device=six.device)
        axis_angle = axis_angle_from_matrix(matrix_from_6d(six))  # (B, 2, 16, 3)
        parameters = HandParameters(
            pose=axis_angle[..., 1:, :],
            shape=numbers[..., 6 * NUM_ARTICULATED :],
            rotation=axis_angle[..., 0, :],
            translation=torch.zeros_like(axis_angle[..., 0, :]),
        )
        hands = self.hand(parameters)
        return moved(replace(hands, present=present), -hands.joints[..., ROOT, :]), ()


class JointDecoder(nn.Module):
    """Three fully connected layers to 21 joints, for data without meshes (the RHD row)."""

    def __init__(self, channels: int, *_: object):
        super().__init__()
        self.side = nn.Parameter(0.1 * torch.randn(2, channels))
        self.layers = nn.Sequential(
            nn.Linear(channels, channels),
            nn.LeakyReLU(0.1),
            nn.Linear(channels, channels // 2),
            nn.LeakyReLU(0.1),
            nn.Linear(channels // 2, 3 * NUM_JOINTS),
        )

    def forward(self, features: Tensor, present: Tensor) -> tuple[TwoHands, tuple[TwoHands, ...]]:
        """(B, 2, C) -> root-relative joints, no mesh."""
        joints = self.layers(features + self.side).unflatten(-1, (NUM_JOINTS, 3)) * LENGTH_UNIT
        return TwoHands(None, joints, present), ()


def moved(hands: TwoHands, by: Tensor) -> TwoHands:
    """The hands shifted by (B, 2, 3) metres, whatever they consist of."""
    shift = by[..., None, :]
    return replace(
        hands,
        vertices=None if hands.vertices is None else hands.vertices + shift,
        joints=hands.joints + shift,
        parameters=hands.parameters and replace(hands.parameters, translation=hands.parameters.translation + by),
    )


DECODERS: dict[str, Callable[..., nn.Module]] = {
    "graph": GraphDecoder,
    "parameters": ParameterDecoder,
    "joints": JointDecoder,
}
