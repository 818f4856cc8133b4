"""Compute nested mesh levels of any hand model: ever smaller subsets of its vertices, and linear maps back up.

Vertices are merged into neighbours by the quadric error of Garland & Heckbert (1997), so remaining vertices do not
move; the maps up are learned from posed and shaped hands.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from twohands.geometry.mesh import boundary_loop, face_normals, vertex_normals
from twohands.hands.model import HandModel
from twohands.hands.skeleton import ARTICULATED_PARENTS, NUM_ARTICULATED

BORDER_COST = 30.0  # cost of leaving the wrist's border, relative to leaving the surface
WEIGHT_COST = 2e-4  # metres, per unit change of the skinning weights
LENGTH_COST = 1e-3
SMALLEST_TURN_COSINE = 0.15  # cosine of the largest rotation of a face in one collapse
SUM_WEIGHT = 3.0  # metres: weight of the condition that the rows of an up map sum to one
RELATIVE_RIDGE = 1e-4


def coarsen(
    model: HandModel, counts: Sequence[int], hands: np.ndarray
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[np.ndarray]]:
    """Return the levels of a hand model of NumPy arrays, and the maps between them.

    counts: vertices of each level, coarse to fine; hands (N, V, 3) metres: right hands to learn the maps from. A level
    is its vertices (count,) in the full mesh and its faces (F, 3), which index these. Its map (finer, count) leads to
    the next finer level, the finest map to the full mesh; rows sum to 1.
    """
    vertices = np.asarray(model.rest_vertices, dtype=np.float64)
    collapse = EdgeCollapse(vertices, model.right_faces, np.asarray(model.weights, dtype=np.float64))
    kept = kept_vertices(model)
    levels = [collapse.reduce(count, kept) for count in reversed(counts)][::-1]
    finer = [*(chosen for chosen, _ in levels[1:]), np.arange(len(vertices))]
    ups = [learned_up_map(hands, chosen, fine) for (chosen, _), fine in zip(levels, finer, strict=True)]
    return levels, ups


def kept_vertices(model: HandModel) -> list[int]:
    """Return the vertices that every level keeps: five tips, and one above and one below each finger bone's middle."""
    vertices, weights = np.asarray(model.rest_vertices, dtype=np.float64), np.asarray(model.weights)
    normals = vertex_normals(vertices, model.right_faces)
    kept = set(model.tip_vertices)
    for joint in range(1, NUM_ARTICULATED):
        children = [child for child, parent in enumerate(ARTICULATED_PARENTS) if parent == joint]
        end = model.rest_joints[children[0]] if children else vertices[model.tip_vertices[(joint - 1) // 3]]
        middle = (model.rest_joints[joint] + end) / 2
        for side in (1, -1):
            facing = side * normals @ model.joint_frames[joint, :, 1] > 0.3
            candidates = np.flatnonzero(facing & (weights[:, joint] > 0.5 * weights[:, joint].max()))
            kept.add(int(candidates[np.linalg.norm(vertices[candidates] - middle, axis=1).argmin()]))
    return sorted(kept)


class EdgeCollapse:
    """Edge collapse onto existing vertices: merges the cheapest pair first, by Garland & Heckbert's error."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray, weights: np.ndarray) -> None:
        """Take a mesh with one border: `vertices` (V, 3) metres, `faces` (F, 3), skinning `weights` (V, J)."""
        self._vertices, self._weights = vertices, weights
        self._faces = dict(enumerate(map(tuple, faces.tolist())))
        self._faces_at: dict[int, set[int]] = defaultdict(set)
        for number, corners in self._faces.items():
            for corner in corners:
                self._faces_at[corner].add(number)
        self._border = set(boundary_loop(faces).tolist())
        self._quadrics = surface_quadrics(vertices, faces) + border_quadrics(vertices, faces)
        self._alive = set(range(len(vertices)))
        self._version = [0] * len(vertices)

    def reduce(self, count: int, kept: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Collapse the cheapest edges; return the remaining vertices (count,), `kept` among them, and faces (F, 3)."""
        kept = set(kept)
        queue = [entry for vertex in sorted(self._alive) for entry in self._entries(vertex, kept)]
        heapq.heapify(queue)
        while len(self._alive) > count:
            _, survivor, victim, *versions = heapq.heappop(queue)
            is_current = versions == [self._version[survivor], self._version[victim]]
            if is_current and {survivor, victim} <= self._alive and self._is_allowed(survivor, victim):
                self._collapse(survivor, victim)
                for entry in self._entries(survivor, kept):
                    heapq.heappush(queue, entry)
        remaining = np.array(sorted(self._alive))
        return remaining, np.searchsorted(remaining, np.array(list(self._faces.values())))

    def _neighbors(self, vertex: int) -> set[int]:
        return {corner for face in self._faces_at[vertex] for corner in self._faces[face]} - {vertex}

    def _entries(self, vertex: int, kept: set[int]) -> Iterator[tuple[float, int, int, int, int]]:
        """Yield (cost, survivor, victim, their versions) for all collapses along the edges of `vertex`."""
        for neighbor in sorted(self._neighbors(vertex)):
            for survivor, victim in ((vertex, neighbor), (neighbor, vertex)):
                if victim not in kept and (victim not in self._border or survivor in self._border):
                    versions = self._version[survivor], self._version[victim]
                    yield self._cost(survivor, victim), survivor, victim, *versions

    def _cost(self, survivor: int, victim: int) -> float:
        place = np.append(self._vertices[survivor], 1)
        error = place @ (self._quadrics[survivor] + self._quadrics[victim]) @ place
        length = np.linalg.norm(self._vertices[survivor] - self._vertices[victim])
        change = np.abs(self._weights[survivor] - self._weights[victim]).sum()
        return float(error + WEIGHT_COST * change * length + LENGTH_COST * length**2)

    def _is_allowed(self, survivor: int, victim: int) -> bool:
        """Return whether the mesh stays a manifold with one border, and no face turns over or degenerates."""
        shared = self._faces_at[survivor] & self._faces_at[victim]
        if len(self._neighbors(survivor) & self._neighbors(victim)) != len(shared):
            return False
        if survivor in self._border and victim in self._border and len(shared) != 1:
            return False
        for face in self._faces_at[victim] - shared:
            corners = self._faces[face]
            before = self._normal(corners)
            after = self._normal(tuple(survivor if corner == victim else corner for corner in corners))
            length = np.linalg.norm(after)
            if length < 1e-10 or before @ after < SMALLEST_TURN_COSINE * np.linalg.norm(before) * length:
                return False
        return True

    def _normal(self, corners: tuple[int, ...]) -> np.ndarray:
        a, b, c = self._vertices[list(corners)]
        return np.cross(b - a, c - a)

    def _collapse(self, survivor: int, victim: int) -> None:
        for face in self._faces_at[survivor] & self._faces_at[victim]:
            for corner in self._faces.pop(face):
                self._faces_at[corner].discard(face)
        for face in self._faces_at.pop(victim):
            self._faces[face] = tuple(survivor if corner == victim else corner for corner in self._faces[face])
            self._faces_at[survivor].add(face)
        self._alive.remove(victim)
        self._quadrics[survivor] += self._quadrics[victim]
        self._version[survivor] += 1


def plane_quadrics(normals: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return quadrics (N, 4, 4) of squared distance from planes with unit `normals` (N, 3) through `points` (N, 3)."""
    planes = np.concatenate([normals, -(normals * points).sum(1, keepdims=True)], axis=1)
    return planes[:, :, None] * planes[:, None, :]


def surface_quadrics(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return quadrics (V, 4, 4) of the squared distance from the planes of a vertex' faces, weighted by their areas."""
    normals = face_normals(vertices, faces)
    areas = np.linalg.norm(normals, axis=1)
    of_faces = (areas / areas.mean())[:, None, None] * plane_quadrics(_unit(normals), vertices[faces[:, 0]])
    quadrics = np.zeros((len(vertices), 4, 4))
    for corner in range(3):
        np.add.at(quadrics, faces[:, corner], of_faces)
    return quadrics


def border_quadrics(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return quadrics (V, 4, 4) of the squared distance from the planes through border edges, normal to their faces."""
    loop = boundary_loop(faces)
    edges = np.stack([loop, np.roll(loop, -1)], axis=1)
    face_of = {
        (int(a), int(b)): row // 3 for row, (a, b) in enumerate(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2))
    }
    normals = face_normals(vertices, faces)[[face_of[int(a), int(b)] for a, b in edges]]
    start = vertices[edges[:, 0]]
    upright = _unit(np.cross(vertices[edges[:, 1]] - start, normals))
    quadrics = np.zeros((len(vertices), 4, 4))
    for end in range(2):
        np.add.at(quadrics, edges[:, end], BORDER_COST * plane_quadrics(upright, start))
    return quadrics


def learned_up_map(hands: np.ndarray, coarse: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Return a map (F, C), rows summing to one, from vertices `coarse` (C,) to `fine` (F,) of `hands` (N, V, 3).

    Ridge regression over poses and shapes: its error is about a tenth of that of barycentric coordinates, since a fine
    vertex may depend on all coarse ones. Vertices that both levels have are copied.
    """
    known = hands[:, coarse].transpose(0, 2, 1).reshape(-1, len(coarse))
    wanted = hands[:, fine].transpose(0, 2, 1).reshape(-1, len(fine))
    gram = known.T @ known
    ridge = RELATIVE_RIDGE * np.trace(gram) / len(coarse) * np.eye(len(coarse))
    up_map = np.linalg.solve(gram + SUM_WEIGHT**2 + ridge, known.T @ wanted + SUM_WEIGHT**2).T
    up_map /= up_map.sum(1, keepdims=True)
    _, rows, columns = np.intersect1d(fine, coarse, return_indices=True)
    up_map[rows] = np.eye(len(coarse))[columns]
    return up_map


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
