"""Attention within a hand and between both hands (paper, section III-D), and to the image as in IntagHand."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention of tokens to a context of the same width."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(channels, 2 * channels, bias=False)
        self.last = nn.Linear(channels, channels)

    def forward(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(B, 2, V, C) and (B, 2, W, C) -> (B, 2, V, C)."""
        parts = (self.query(tokens), *self.key_value(context).chunk(2, dim=-1))
        query, key, value = (part.flatten(0, 1).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mixed = functional.scaled_dot_product_attention(query, key, value)  # (2 B, heads, V, C / heads)
        return self.last(mixed.transpose(1, 2).flatten(2).reshape(tokens.shape))


class ImageAttention(nn.Module):
    """Residual step in which each vertex attends to all cells of a feature map (IntagHand)."""

    def __init__(self, channels: int, map_channels: int, heads: int):
        super().__init__()
        self.embed = nn.Linear(map_channels + 2, channels)  # two channels hold the position of a cell
        self.attention = Attention(channels, heads)
        self.norm, self.map_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)

    def forward(self, tokens: Tensor, features: Tensor) -> Tensor:
        """(B, 2, V, C) and a map (B, c, h, w) -> (B, 2, V, C)."""
        height, width = features.shape[-2:]
        down, across = (torch.linspace(-1, 1, n, device=features.device) for n in (height, width))
        places = torch.stack(torch.meshgrid(down, across, indexing="ij")).expand(len(features), -1, -1, -1)
        cells = torch.cat([features, places], dim=1).flatten(2).transpose(1, 2)  # (B, h w, c + 2)
        context = self.map_norm(self.embed(cells))[:, None].expand(-1, 2, -1, -1)
        return tokens + self.attention(self.norm(tokens), context)


class HandAttention(nn.Module):
    """Three residual steps: attention to the own hand, attention to the other hand, and a two-layer network."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.own, self.other = Attention(channels, heads), Attention(channels, heads)
        self.own_norm, self.other_norm = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.think = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, 2, V, C) -> (B, 2, V, C)."""
        unit = self.own_norm(tokens)
        tokens = tokens + self.own(unit, unit)
        unit = self.other_norm(tokens)
        tokens = tokens + self.other(unit, torch.flip(unit, dims=(1,)))
        return tokens + self.think(tokens)
