"""PointNet++ (method, section 4): per-point networks and set abstraction in true coordinates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from twohands.ops.points import gather, nearest, pool


class PointLayer(nn.Module):
    """Linear, batch normalisation, ReLU on the last axis of (*B, C)."""

    def __init__(self, before: int, after: int):
        super().__init__()
        self.linear = nn.Linear(before, after, bias=False)
        self.norm = nn.BatchNorm1d(after)

    def forward(self, features: Tensor) -> Tensor:
        """(*B, before) -> (*B, after)."""
        rows = features.flatten(0, -2)
        rows = self.norm(self.linear(rows)) if self.training else functional.linear(rows, *self.folded())
        return torch.relu_(rows).unflatten(0, features.shape[:-1])

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the linear layer that the trained pair is: a third of the time of the fusion."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return self.linear.weight * scale[:, None], norm.bias - norm.running_mean * scale


def point_network(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """The layers channels -> widths[0] -> ..., shared by all points."""
    sizes = zip((channels, *widths), widths, strict=False)
    return nn.Sequential(*(PointLayer(before, after) for before, after in sizes))


class SetAbstraction(nn.Module):
    """Features of centroids from their nearest neighbours: relative coordinates and features, shared network, maximum.

    The first three feature channels are coordinates (modulated ones, after a feature transform): the centroid's true
    coordinates are subtracted from them, and from nothing else.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], num_neighbours: int, radius: float | None = None):
        super().__init__()
        self.network = point_network(channels, widths)
        self.num_neighbours, self.radius = num_neighbours, radius
        self.channels = 3 + widths[-1]

    def forward(self, points: Tensor, features: Tensor, centroids: Tensor) -> Tensor:
        """(*B, N, 3) metres, (*B, N, C), centroids (*B, M, 3) -> (*B, M, 3 + D): true coordinates, then features."""
        neighbours = nearest(centroids, points, self.num_neighbours, self.radius)  # (*B, M, K)
        groups = gather(features, neighbours)  # (*B, M, K, C)
        beyond = groups.shape[-1] - 3
        groups = groups - functional.pad(centroids, (0, beyond))[..., None, :]
        return torch.cat([centroids, pool(self.network(groups))], dim=-1)
