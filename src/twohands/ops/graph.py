"""Chebyshev convolution on mesh graphs (formula (2) of the paper; Defferrard et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor


def scaled_laplacian(faces: Tensor, num_vertices: int) -> Tensor:
    """(F, 3) triangles -> (V, V) float32: 2 L / lambda_max - I, with L = I - D^(-1/2) A D^(-1/2); spectrum in [-1, 1].

    A vertex without any edge has L = 0.
    """
    adjacency = torch.zeros(num_vertices, num_vertices, dtype=torch.float64)
    for start, end in ((0, 1), (1, 2), (2, 0)):
        adjacency[faces[:, start], faces[:, end]] = 1
        adjacency[faces[:, end], faces[:, start]] = 1
    degree = adjacency.sum(dim=1)
    root = degree.clamp(min=1).rsqrt()
    laplacian = torch.diag((degree > 0).double()) - root[:, None] * adjacency * root
    largest = torch.linalg.eigvalsh(laplacian)[-1].item()
    scaled = 2 / (largest if largest > 0 else 1) * laplacian - torch.eye(num_vertices, dtype=torch.float64)
    return scaled.float()


def chebyshev_basis(features: Tensor, laplacian: Tensor, degree: int) -> Tensor:
    """(*B, V, C), scaled (V, V) -> (*B, V, (degree + 1) C): T_0(L) x, ..., T_degree(L) x side by side."""
    terms = [features, laplacian @ features]
    while len(terms) <= degree:
        terms.append(2 * (laplacian @ terms[-1]) - terms[-2])
    return torch.cat(terms[: degree + 1], dim=-1)


def chebyshev_convolution(features: Tensor, laplacian: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Sum over k of T_k(L) x W_k: (*B, V, C), (V, V), weight (D, (K + 1) C), which says K -> (*B, V, D)."""
    degree = weight.shape[1] // features.shape[-1] - 1
    return torch.nn.functional.linear(chebyshev_basis(features, laplacian, degree), weight, bias)
