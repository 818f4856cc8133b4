"""Lookups in feature maps and heat maps. Pixels (u, v); integer coordinates are pixel centres, so a map of stride s
puts image pixel u at (u + 0.5) / s - 0.5; `lookup` is the only caller of `grid_sample`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PEAK_WINDOW = 5
"""Cells along each side of the window in which a peak is the largest (docs/method.md, Image branch)."""


def rescale(pixels: Tensor, factor: float) -> Tensor:
    """Return pixels of one grid as pixels of the grid with `factor` times as many cells along each side."""
    return (pixels + 0.5) * factor - 0.5


def lookup(features: Tensor, pixels: Tensor, width: int, height: int) -> Tensor:
    """Return bilinear values (B, N, C) of a map (B, C, h, w) at pixels (B, N, 2) of a width x height image.

    The map covers the whole image, whatever its stride, and its border is repeated beyond it. The result has the
    precision of the pixels.
    """
    size = pixels.new_tensor([width, height])
    grid = (pixels + 0.5) * 2 / size - 1  # [-1, 1] from border to border, not from centre to centre
    sampled = functional.grid_sample(
        features.to(pixels.dtype), grid[:, :, None], padding_mode="border", align_corners=False
    )
    return sampled[..., 0].transpose(1, 2)


def peaks(logits: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """Return the highest peaks of heat maps (*B, h, w): cells (*B, count, 2), (u, v), and scores (*B, count) in [0, 1].

    A peak is the largest value of its 5x5 window. Other cells are set to probability 0. The published program sets
    logits to 0 instead, which beats every weak hand and moves its peak to cell 0.
    """
    heat = torch.sigmoid(logits.float())
    rows = heat.reshape(-1, 1, *heat.shape[-2:])
    largest = functional.max_pool2d(rows, PEAK_WINDOW, stride=1, padding=PEAK_WINDOW // 2).reshape(heat.shape)
    scores, index = torch.where(heat == largest, heat, 0.0).flatten(-2).topk(count, dim=-1)
    width = heat.shape[-1]
    return torch.stack([index % width, index // width], dim=-1).float(), scores


def gaussian_target(centers: Tensor, sigma: Tensor, height: int, width: int) -> Tensor:
    """Return heat maps (*B, height, width): exp(-d^2 / (2 sigma^2)), d the distance to the cell nearest to a centre.

    Centres (*B, 2), (u, v), and sigma (*B) are in cells. A centre outside the map leaves only its tail inside.
    """
    columns = torch.arange(width, dtype=centers.dtype, device=centers.device)
    rows = torch.arange(height, dtype=centers.dtype, device=centers.device)
    cell = torch.round(centers)[..., None]
    across, down = columns - cell[..., 0, :], rows - cell[..., 1, :]  # (*B, width), (*B, height)
    squared = across[..., None, :] ** 2 + down[..., :, None] ** 2
    return torch.exp(-squared / (2 * sigma[..., None, None] ** 2))
