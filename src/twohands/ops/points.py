"""Neighbours, centroids and rows of point clouds. Coordinates are float32 metres throughout."""

from __future__ import annotations

import torch
from torch import Tensor


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows `index` (*B, *M) of `values` (*B, N, C) as (*B, *M, C)."""
    *batch, length, channels = values.shape
    rows = index.reshape(*batch, -1)
    count = values[..., 0, 0].numel()
    first = torch.arange(count, device=index.device).reshape(*batch, 1) * length  # of each cloud's rows
    return torch.nn.functional.embedding((rows + first).reshape(index.shape), values.reshape(-1, channels))


def squared_distances(queries: Tensor, points: Tensor) -> Tensor:
    """Return (*B, M, N) square metres between (*B, M, 3) and (*B, N, 3), exact even far from the origin."""
    differences = (queries[..., :, None, k] - points[..., None, :, k] for k in range(3))
    x, y, z = (difference * difference for difference in differences)
    return x + y + z


def pool(features: Tensor) -> Tensor:
    """Return the maximum of every channel over the points: (*B, N, C) -> (*B, C).

    Training uses `max`, whose gradient goes to one point: `amax` divides it among equal ones, which costs a fifth of
    the time of a step.
    """
    return features.max(dim=-2).values if features.requires_grad else features.amax(dim=-2)


@torch.no_grad()
def nearest(queries: Tensor, points: Tensor, count: int, radius: float | None = None) -> Tensor:
    """Return indices (*B, M, count) of the points (*B, N, 3) nearest to each query (*B, M, 3), nearest first.

    count <= N. With `radius` in metres, points farther away are replaced by the nearest one.
    """
    squared, index = squared_distances(queries, points).topk(count, dim=-1, largest=False)
    if radius is None:
        return index
    return torch.where(squared <= radius * radius, index, index[..., :1])


@torch.no_grad()
def farthest_first(points: Tensor, count: int) -> Tensor:
    """Return indices (*B, count) by farthest-point sampling of (*B, N, 3): point 0, then the one farthest from all."""
    chosen = [torch.zeros(points.shape[:-2], dtype=torch.long, device=points.device)]
    gap = points.new_full(points.shape[:-1], float("inf"))  # squared distance to the nearest chosen point
    for _ in range(count - 1):
        last = gather(points, chosen[-1][..., None])
        gap = torch.minimum(gap, squared_distances(last, points)[..., 0, :])
        chosen.append(gap.argmax(dim=-1))
    return torch.stack(chosen, dim=-1)
