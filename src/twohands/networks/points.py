"""PointNet++: networks shared by all points, and set abstraction in true coordinates (docs/method.md, Fusion)."""

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
        """Return the linear layer that equals both in eval mode, weight and bias; saves a third of a fusion's time."""
        norm = self.norm
        assert norm.running_mean is not None
        assert norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return self.linear.weight * scale[:, None], norm.bias - norm.running_mean * scale


def point_network(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Return the layers channels -> widths[0] -> ..., shared by all points."""
    sizes = zip((channels, *widths), widths, strict=False)
    return nn.Sequential(*(PointLayer(before, after) for before, after in sizes))


class SetAbstraction(nn.Module):
    """Features of centroids from their nearest neighbours: relative coordinates, shared network, maximum.

    The first three feature channels are coordinates, modulated ones after a feature transform. The centroid's true
    coordinates are subtracted from them and from no other channel.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], num_neighbours: int, radius: float | None = None):
        super().__init__()
        self.network = point_network(channels, widths)
        self.num_neighbours, self.radius = num_neighbours, radius
        self.channels = 3 + widths[-1]

    def forward(self, points: Tensor, features: Tensor, centroids: Tensor) -> Tensor:
        """Return true coordinates and features (*B, M, 3 + D) of the centroids (*B, M, 3).

        Points (*B, N, 3) are metres and have features (*B, N, C).
        """
        neighbours = nearest(centroids, points, self.num_neighbours, self.radius)  # (*B, M, K)
        groups = gather(features, neighbours)  # (*B, M, K, C)
        beyond = groups.shape[-1] - 3
        groups = groups - functional.pad(centroids, (0, beyond))[..., None, :]
        return torch.cat([centroids, pool(self.network(groups))], dim=-1)
