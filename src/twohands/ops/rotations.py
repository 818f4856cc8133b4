"""Rotations as six numbers, a continuous representation for network outputs (Zhou et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def matrix_from_6d(six: Tensor) -> Tensor:
    """Return rotations (*B, 3, 3) of (*B, 6), their first two columns before orthonormalisation."""
    first = functional.normalize(six[..., :3], dim=-1)
    along = (first * six[..., 3:]).sum(dim=-1, keepdim=True)
    second = functional.normalize(six[..., 3:] - along * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)
