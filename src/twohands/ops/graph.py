"""Chebyshev convolution on mesh graphs (paper, formula (2); Defferrard et al. 2016)."""

from __future__ import annotations

import torch
from torch import Tensor


def scaled_laplacian(faces: Tensor, num_vertices: int) -> Tensor:
    """Return 2 L / lambda_max - I, (V, V) float32, of the graph of triangles (F, 3); its spectrum is in [-1, 1].

    L = I - D^(-1/2) A D^(-1/2) is the normalised Laplacian; a vertex without any edge has L = 0.
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
    """Return T_0(L) x, ..., T_degree(L) x side by side, (*B, V, (degree + 1) C), of x (*B, V, C) and L (V, V).

    T_0 = 1, T_1 = L, T_k = 2 L T_(k-1) - T_(k-2); L is the scaled Laplacian.
    """
    terms = [features, laplacian @ features]
    while len(terms) <= degree:
        terms.append(2 * (laplacian @ terms[-1]) - terms[-2])
    return torch.cat(terms[: degree + 1], dim=-1)


def chebyshev_convolution(features: Tensor, laplacian: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the sum over k = 0..K of T_k(L) x W_k, (*B, V, D), of x (*B, V, C), L (V, V) and weight (D, (K + 1) C)."""
    degree = weight.shape[1] // features.shape[-1] - 1
    return torch.nn.functional.linear(chebyshev_basis(features, laplacian, degree), weight, bias)
