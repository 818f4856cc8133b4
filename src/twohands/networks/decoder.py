"""Decoders (paper, section III-D): one feature vector per hand -> root-relative hands, and the root.

A decoder returns hands around the origin in the axes of the camera, with its mesh levels coarse -> fine; `RootHead`
predicts the position of the root (joint 9). Both hands share all weights, apart from embeddings and templates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from twohands.config import NetworkConfig
from twohands.geometry.camera import Camera
from twohands.geometry.transforms import axis_angle_from_matrix
from twohands.hands.model import HandModel
from twohands.hands.pyramid import MeshLevel, joint_regressor, mesh_levels
from twohands.hands.skeleton import NUM_ARTICULATED, NUM_JOINTS, ROOT
from twohands.networks.attention import HandAttention, ImageAttention
from twohands.networks.base import Decoder
from twohands.ops.graph import chebyshev_convolution, scaled_laplacian
from twohands.ops.rotations import matrix_from_6d
from twohands.types import HandParameters, TwoHands

DEGREE = 2
"""Degree of the highest Chebyshev polynomial in a graph convolution."""
LENGTH_UNIT = 0.1
"""Metres per unit of an output: half a hand, so that untrained heads predict the right order of magnitude."""
WIDTH_UNIT = 0.1
"""Image widths per unit of an output, for the root's pixel."""


class HandNorm(nn.BatchNorm1d):
    """Batch normalisation of one feature vector per hand, an addition to the paper.

    Pooled vectors are nearly equal for all hands; without their mean, decoders learn several times faster.
    """

    def forward(self, features: Tensor) -> Tensor:  # type: ignore[override]
        """(B, 2, C) -> (B, 2, C)."""
        return super().forward(features.flatten(0, 1)).unflatten(0, features.shape[:2])


class RootHead(nn.Module):
    """Root head: an offset in (u, v, z) from the hand's centre and start depth."""

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

    With `map_channels`, vertices also attend to a feature map with that many channels.
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
        """Return features (B, 2, V, C) and offsets (B, 2, V, 3) metres; `image` is the map to attend to."""
        features = features + self.embedding
        for block in self.blocks:
            features = block(features, self.laplacian)
        if self.look is not None:
            features = self.look(features, image)
        features = self.attention(features)
        return features, self.coordinates(features) * LENGTH_UNIT


class GraphDecoder(Decoder):
    """Three graphs, coarse to fine, then a learned linear map to the full mesh; joints are regressed from vertices.

    The nested mesh levels of the hand model store the maps that carry features and coordinates to the next level. Every
    level corrects the coordinates, so every level can be supervised. With `map_channels`, coarse to fine, vertices also
    attend to feature maps (IntagHand).
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
        """Return root-relative hands and mesh levels of features (B, 2, C); `maps` coarse -> fine as in the stages."""
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
    """Hand model whose arrays are buffers of the network and follow it to its device."""

    def __init__(self, hand_model: HandModel):
        super().__init__()
        self.num_shape = hand_model.num_shape
        self._plain = hand_model
        self._names = [f.name for f in fields(hand_model) if hasattr(getattr(hand_model, f.name), "dtype")]
        for name in self._names:
            self.register_buffer(name, torch.tensor(getattr(hand_model, name)), persistent=False)

    def forward(self, parameters: HandParameters) -> TwoHands:
        """Return the hands of the parameters, as HandModel does, on torch tensors."""
        return replace(self._plain, **{name: self.get_buffer(name) for name in self._names})(parameters)


class ParameterDecoder(Decoder):
    """Hand-model parameters (the MANO row of Table IV): rotations as six numbers, starting at the rest pose.

    Joints are the hand model's own, to which the joint regressor was fitted. The losses are those on points that every
    decoder has (`losses.TERMS`); the paper also supervises the parameters themselves.
    """

    def __init__(self, channels: int, hand_model: HandModel):
        super().__init__()
        self.hand = HandLayer(hand_model)
        self.side = nn.Parameter(0.1 * torch.randn(2, channels))
        self.parameters_of = nn.Sequential(
            nn.Linear(channels, channels),
            nn.LeakyReLU(0.1),
            nn.Linear(channels, 6 * NUM_ARTICULATED + self.hand.num_shape),
        )

    def forward(self, features: Tensor, present: Tensor) -> tuple[TwoHands, tuple[TwoHands, ...]]:
        """Return root-relative hands with their parameters, and no mesh levels."""
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


class JointDecoder(Decoder):
    """Three fully connected layers to 21 joints, for data without meshes (the RHD row)."""

    def __init__(self, channels: int):
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
        """Return root-relative joints, no mesh and no mesh levels."""
        joints = self.layers(features + self.side).unflatten(-1, (NUM_JOINTS, 3)) * LENGTH_UNIT
        return TwoHands(None, joints, present), ()


def moved(hands: TwoHands, by: Tensor) -> TwoHands:
    """Return the hands with vertices, joints and parameters shifted by (B, 2, 3) metres."""
    shift = by[..., None, :]
    return replace(
        hands,
        vertices=None if hands.vertices is None else hands.vertices + shift,
        joints=hands.joints + shift,
        parameters=hands.parameters and replace(hands.parameters, translation=hands.parameters.translation + by),
    )


def _graph(config: NetworkConfig, channels: int, hand_model: HandModel) -> Decoder:
    sizes = config.decoder_widths, config.decoder_blocks, config.attention_heads
    return GraphDecoder(channels, hand_model, *sizes)


DECODERS: dict[str, Callable[[NetworkConfig, int, HandModel], Decoder]] = {
    "graph": _graph,
    "parameters": lambda config, channels, hand_model: ParameterDecoder(channels, hand_model),
    "joints": lambda config, channels, hand_model: JointDecoder(channels),
}
"""Name -> builder of a decoder from its configuration, the length of its features and the hand model."""
