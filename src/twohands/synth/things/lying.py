"""Flat objects: sheets of paper, cloths, cables. Shapes are on z = 0, in metres, centred in x and y."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline

from twohands.synth.rendering.shapes import Shape, grid_faces, tube
from twohands.synth.things.textures import fractal_noise

_PAPER_CELLS, _CLOTH_CELLS = 10, 32


def paper(rng: np.random.Generator) -> Shape:
    """Return a sheet or a card. One of its corners may curl up."""
    width = rng.uniform(0.06, 0.22)
    shape = _patch(_PAPER_CELLS, width, width * rng.uniform(1.2, 1.6))
    if rng.random() < 0.35:
        u, v = np.meshgrid(np.linspace(0, 1, _PAPER_CELLS + 1), np.linspace(0, 1, _PAPER_CELLS + 1))
        beyond = np.maximum(u + v - rng.uniform(1.1, 1.6), 0).reshape(-1)
        shape.vertices[:, 2] = rng.uniform(0.02, 0.12) * beyond**1.6
    return shape


def cloth(rng: np.random.Generator) -> Shape:
    """Return a towel, rag or garment dropped on the table, with an uneven outline and folds that end flat."""
    width, depth = rng.uniform(0.14, 0.40, 2)
    shape = _patch(_CLOTH_CELLS, width, depth)
    folds, shift_x, shift_y = (fractal_noise(rng, _CLOTH_CELLS, 4, rng.uniform(0.4, 0.7)) for _ in range(3))
    wrapped = np.arange(_CLOTH_CELLS + 1) % _CLOTH_CELLS
    inner = np.sin(np.linspace(0, np.pi, _CLOTH_CELLS + 1))
    height = np.abs(folds[np.ix_(wrapped, wrapped)]) * np.clip(2.5 * np.minimum.outer(inner, inner), 0, 1)
    shape.vertices[:, 2] = 0.001 + rng.uniform(0.003, 0.012) * height.reshape(-1)
    sideways = np.stack([shift_x, shift_y], axis=-1)[np.ix_(wrapped, wrapped)].reshape(-1, 2)
    shape.vertices[:, :2] += 0.02 * np.array([width, depth]) * sideways
    return shape


def cable(rng: np.random.Generator) -> Shape:
    """Return a cable of 0.3 to 0.8 m that winds across the origin."""
    radius, length = rng.uniform(0.0014, 0.0035), rng.uniform(0.3, 0.8)
    knots = int(rng.integers(5, 8))
    across = np.linspace(-0.5, 0.5, knots) * length
    way = CubicSpline(across, rng.normal(0.0, 0.05, knots))
    x = np.linspace(across[0], across[-1], 60)
    along = np.stack([np.ones_like(x), way(x, 1)], axis=-1)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.stack([-along[:, 1], along[:, 0], np.zeros(len(x))], axis=-1)
    turn = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    circle = np.cos(turn)[:, None] * side[:, None] + np.sin(turn)[:, None] * [0.0, 0.0, 1.0]
    middle = np.stack([x, way(x), np.full(len(x), radius)], axis=-1)
    return tube(middle[:, None] + radius * circle)


def _patch(cells: int, width: float, depth: float) -> Shape:
    """Return a flat grid of cells x cells."""
    u, v = np.meshgrid(np.linspace(0, 1, cells + 1), np.linspace(0, 1, cells + 1))
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    faces = grid_faces(cells + 1, cells + 1)[:, ::-1]
    vertices = np.concatenate([(uv - 0.5) * [width, depth], np.zeros((len(uv), 1))], axis=1)
    return Shape(vertices, faces, uv[faces])
