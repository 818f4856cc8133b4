"""Attention inside a hand and between the two hands (method, section 5; as in IntagHand, without image attention)."""

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


class HandAttention(nn.Module):
    """Each vertex attends to its own hand, then to the other hand, then thinks: three residual steps."""

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
