"""Lookups in feature maps and heat maps. Pixels (u, v); integer coordinates are pixel centres, so a map of stride s
puts image pixel u at (u + 0.5) / s - 0.5; `lookup` is the only caller of `grid_sample`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

PEAK_WINDOW = 5
"""Cells along each side of the window in which a peak is the largest (method, section 2)."""


def rescale(pixels: Tensor, factor: float) -> Tensor:
    """Pixels of one grid -> pixels of the grid that has `factor` times as many cells along each side."""
    return (pixels + 0.5) * factor - 0.5


def lookup(features: Tensor, pixels: Tensor, width: int, height: int) -> Tensor:
    """Bilinear values of a map (B, C, h, w) at image pixels (B, N, 2) of a width x height image -> (B, N, C).

    The map covers the whole image, whatever its stride; beyond its border the border is repeated. Computed in the
    precision of the pixels.
    """
    size = pixels.new_tensor([width, height])
    grid = (pixels + 0.5) * 2 / size - 1  # [-1, 1] from border to border, not from centre to centre
    sampled = functional.grid_sample(
        features.to(pixels.dtype), grid[:, :, None], padding_mode="border", align_corners=False
    )
    return sampled[..., 0].transpose(1, 2)


def peaks(logits: Tensor, count: int = 1) -> tuple[Tensor, Tensor]:
    """The highest peaks of heat maps (*B, h, w): cells (*B, count, 2) as (u, v) and scores (*B, count) in [0, 1].

    A peak is the largest of its 5x5 window. Others are suppressed to probability 0: on logits, where the published
    program does it, 0 would beat every weak hand and send its peak to cell 0.
    """
    heat = torch.sigmoid(logits.float())
    rows = heat.reshape(-1, 1, *heat.shape[-2:])
    largest = functional.max_pool2d(rows, PEAK_WINDOW, stride=1, padding=PEAK_WINDOW // 2).reshape(heat.shape)
    scores, index = torch.where(heat == largest, heat, 0.0).flatten(-2).topk(count, dim=-1)
    width = heat.shape[-1]
    return torch.stack([index % width, index // width], dim=-1).float(), scores


def gaussian_target(centers: Tensor, sigma: Tensor, height: int, width: int) -> Tensor:
    """Heat maps (*B, height, width) with value 1 at the cell nearest to each centre (*B, 2), (u, v) in cells.

    sigma (*B): width of the Gaussian in cells. A centre outside the map leaves only its tail inside.
    """
    columns = torch.arange(width, dtype=centers.dtype, device=centers.device)
    rows = torch.arange(height, dtype=centers.dtype, device=centers.device)
    cell = torch.round(centers)[..., None]
    across, down = columns - cell[..., 0, :], rows - cell[..., 1, :]  # (*B, width), (*B, height)
    squared = across[..., None, :] ** 2 + down[..., :, None] ** 2
    return torch.exp(-squared / (2 * sigma[..., None, None] ** 2))
