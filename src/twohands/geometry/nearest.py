"""Nearest points on a triangle mesh, optionally only among triangles that face the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.spatial import KDTree

from twohands.geometry.mesh import face_normals

CANDIDATES = 12
"""Triangles that are compared with a point: those with the nearest centres."""


@dataclass(frozen=True)
class SurfacePoints:
    """Places of N points on a mesh; a point without a place has triangle -1 and an infinite distance."""

    faces: np.ndarray  # (N,) triangle of each place
    weights: np.ndarray  # (N, 3) barycentric weights of its corners
    distances: np.ndarray  # (N,) metres between point and place

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: points that have a place."""
        return self.faces >= 0

    def matrix(self, corners: np.ndarray, num_vertices: int) -> sparse.csr_array:
        """Return the matrix (n, V) from the vertices to the n found places; corners (F, 3) of the triangles."""
        chosen = corners[self.faces[self.found]]
        rows = np.repeat(np.arange(len(chosen)), 3)
        values = self.weights[self.found].reshape(-1)
        return sparse.csr_array((values, (rows, chosen.reshape(-1))), shape=(len(chosen), num_vertices))


class Surface:
    """A mesh in one pose, prepared for many points."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray):
        """Take vertices (V, 3) in metres and faces (F, 3)."""
        vertices = np.asarray(vertices, dtype=np.float64)  # squared distances are differences of larger numbers
        self.corners = vertices[faces]
        normals = face_normals(vertices, faces)
        self.normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
        self._tree = KDTree(self.corners.mean(axis=1))

    def nearest(
        self, points: np.ndarray, reach: float = np.inf, normals: np.ndarray | None = None, cosine: float = -1.0
    ) -> SurfacePoints:
        """Return the place on the surface that is nearest to each of points (N, 3), at most `reach` metres away.

        With unit normals (N, 3) of the points, only triangles count whose normal has at least this cosine with them.
        Where triangles differ much in size, the nearest one may not be among the candidates; distances are then too
        large, never too small.
        """
        points, count = np.asarray(points, dtype=np.float64), min(CANDIDATES, len(self.corners))
        tried = self._tree.query(points, k=count)[1].reshape(len(points), count)
        weights, squared = closest_weights(points[:, None], self.corners[tried])
        if normals is not None:
            squared[np.einsum("nka,na->nk", self.normals[tried], normals) < cosine] = np.inf
        rows, choice = np.arange(len(points)), squared.argmin(axis=1)
        distances = np.sqrt(squared[rows, choice])
        distances[distances > reach] = np.inf
        faces = np.where(np.isfinite(distances), tried[rows, choice], -1)
        return SurfacePoints(faces, weights[rows, choice], distances)


def closest_weights(points: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the place on each triangle (*B, 3, 3) that is nearest to points (*B, 3).

    It is given by its barycentric weights (*B, 3) and its squared distance (*B,).
    """
    a, b, c = (corners[..., k, :] for k in range(3))
    u, v, w = b - a, c - a, points - a
    pairs = ((u, u), (u, v), (v, v), (w, u), (w, v), (w, w))
    uu, uv, vv, wu, wv, ww = (np.einsum("...a,...a->...", *pair) for pair in pairs)

    def fraction(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return np.clip(part / np.maximum(whole, 1e-30), 0, 1)

    area = np.maximum(uu * vv - uv * uv, 1e-30)
    second, third = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    best = np.stack([1 - second - third, second, third])
    squared = np.where(best.min(axis=0) < 0, np.inf, ww - second * wu - third * wv)
    along_ab, along_ac = fraction(wu, uu), fraction(wv, vv)
    along_bc, zero = fraction(wv - wu - uv + uu, uu - 2 * uv + vv), np.zeros_like(wu)
    edges = ((1 - along_ab, along_ab, zero), (1 - along_ac, zero, along_ac), (zero, 1 - along_bc, along_bc))
    for edge in edges:
        _, s, t = edge  # the place is a + s u + t v
        distance = ww + s * (s * uu - 2 * wu) + t * (t * vv - 2 * wv) + 2 * s * t * uv
        shorter = distance < squared
        squared = np.where(shorter, distance, squared)
        best = np.where(shorter, np.stack(edge), best)
    return np.moveaxis(best, 0, -1), np.maximum(squared, 0)
