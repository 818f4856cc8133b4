"""Nested mesh levels, coarser and coarser subsets of the vertices, and linear maps from coarse to fine."""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from .makehuman import Indices
from .meshes import boundary_loop, directed_edges, face_normals, vertex_normals
from .model import FreeHand
from .numerics import Array, unit
from .poses import Poses
from .skinning import NUM_JOINTS

LEVELS = (778, 252, 126, 63)
UP_MAPS = ((63, 126), (126, 252), (252, 778), (252, 1609))
FINEST_CLOSED_RING = 778  # down to this level the wrist ring keeps all its vertices

BORDER_COST = 30.0  # of leaving the wrist's border, relative to leaving the surface
WEIGHT_COST = 2e-4  # metres, per unit change of the skinning weights
LENGTH_COST = 1e-3
SMALLEST_TURN_COSINE = 0.15  # a face may not turn farther than this in one collapse

NUM_TRAINING_HANDS = 640
NUM_TEST_HANDS = 160
SUM_WEIGHT = 3.0  # metres: how strongly the rows of an up map are pulled to a sum of one
RELATIVE_RIDGE = 1e-4
LIBRARY_NOISE = np.radians([6, 3, 1])


@dataclass(frozen=True)
class Levels:
    """Mesh levels by their number of vertices."""

    vertices: dict[int, Indices]  # level -> (level,) hand vertices
    faces: dict[int, Indices]  # level -> (F, 3) rows of `vertices`
    up_maps: dict[tuple[int, int], Array]  # (coarse, fine) -> (fine, coarse)


class EdgeCollapse:
    """Merges vertices into neighbours, which stay where they are, cheapest first by Garland & Heckbert's error."""

    def __init__(self, vertices: Array, faces: Indices, weights: Array) -> None:
        """`vertices` (V, 3) metres, `faces` (F, 3) of a mesh with one border, `weights` (V, J) of skinning."""
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

    def reduce(self, count: int, kept: Iterable[int]) -> tuple[Indices, Indices]:
        """Vertices (count,) and faces (F, 3), as rows of them, after collapsing the cheapest edges; `kept` survive."""
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
        """Queue entries (cost, survivor, victim, their versions) of all collapses along the edges of `vertex`."""
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
        """The mesh stays a manifold with one border, and no face turns over or degenerates."""
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

    def _normal(self, corners: tuple[int, ...]) -> Array:
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


def plane_quadrics(normals: Array, points: Array) -> Array:
    """(N, 4, 4): squared distance from the planes with unit `normals` (N, 3) through `points` (N, 3)."""
    planes = np.concatenate([normals, -(normals * points).sum(1, keepdims=True)], axis=1)
    return planes[:, :, None] * planes[:, None, :]


def surface_quadrics(vertices: Array, faces: Indices) -> Array:
    """(V, 4, 4): squared distance from the planes of a vertex' faces, weighted by their areas."""
    normals = face_normals(vertices, faces)
    areas = np.linalg.norm(normals, axis=1)
    of_faces = (areas / areas.mean())[:, None, None] * plane_quadrics(unit(normals), vertices[faces[:, 0]])
    quadrics = np.zeros((len(vertices), 4, 4))
    for corner in range(3):
        np.add.at(quadrics, faces[:, corner], of_faces)
    return quadrics


def border_quadrics(vertices: Array, faces: Indices) -> Array:
    """(V, 4, 4): squared distance from the planes that stand on the border's edges, upright on their faces."""
    loop = boundary_loop(faces)
    edges = np.stack([loop, np.roll(loop, -1)], axis=1)
    face_of = {(int(a), int(b)): row // 3 for row, (a, b) in enumerate(directed_edges(faces))}
    normals = face_normals(vertices, faces)[[face_of[int(a), int(b)] for a, b in edges]]
    start = vertices[edges[:, 0]]
    upright = unit(np.cross(vertices[edges[:, 1]] - start, normals))
    quadrics = np.zeros((len(vertices), 4, 4))
    for end in range(2):
        np.add.at(quadrics, edges[:, end], BORDER_COST * plane_quadrics(upright, start))
    return quadrics


def kept_vertices(hand: FreeHand) -> list[int]:
    """The five tips, and for each finger bone a vertex above and one below its middle: every level sees every bone."""
    normals = vertex_normals(hand.hand_vertices, hand.mesh.hand_faces)
    ends = hand.shape.bone_ends()
    kept = set(hand.tip_vertices.tolist())
    for joint in range(1, NUM_JOINTS):
        weights = hand.hand_weights[:, joint]
        middle = (hand.joints[joint] + ends[joint]) / 2
        for side in (1, -1):
            facing = side * normals @ hand.joint_frames[joint, :, 1] > 0.3
            candidates = np.flatnonzero(facing & (weights > 0.5 * weights.max()))
            kept.add(int(candidates[np.linalg.norm(hand.vertices[candidates] - middle, axis=1).argmin()]))
    return sorted(kept)


def random_hands(hand: FreeHand, poses: Poses, count: int, rng: np.random.Generator) -> Array:
    """(count, num_hand_vertices, 3) metres: every other pose from the library, the rest from the prior."""
    hands = []
    for number in range(count):
        if number % 2:
            angles = poses.mean + rng.normal(size=len(poses.components)) @ poses.components
            angles = np.concatenate([np.zeros((1, 3)), angles.reshape(-1, 3)])
        else:
            angles = poses.library[rng.integers(len(poses.library))] + rng.normal(size=(NUM_JOINTS, 3)) * LIBRARY_NOISE
            angles[0] = 0
        coefficients = rng.normal(size=hand.shape_directions.shape[-1])
        hands.append(hand.posed(hand.clipped(angles), coefficients)[0][: hand.mesh.num_hand_vertices])
    return np.stack(hands)


def learned_up_map(hands: Array, coarse: Indices, fine: Indices) -> Array:
    """(F, C) rows summing to one that give the `fine` (F,) from the `coarse` (C,) vertices of `hands` (N, V, 3).

    Ridge regression over poses and shapes: an order of magnitude closer than barycentric coordinates were in the
    prototype, because a fine vertex may lean on all coarse ones. Vertices that both levels have are copied.
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


def build_levels(hand: FreeHand, poses: Poses, seed: int) -> Levels:
    """All levels and up maps."""
    kept = kept_vertices(hand)
    collapse = EdgeCollapse(hand.hand_vertices, hand.mesh.hand_faces, hand.hand_weights)
    ring = hand.mesh.wrist_ring.tolist()
    reduced = {
        level: collapse.reduce(level, [*kept, *ring] if level >= FINEST_CLOSED_RING else kept) for level in LEVELS
    }
    vertices = {level: chosen for level, (chosen, _) in reduced.items()}
    hands = random_hands(hand, poses, NUM_TRAINING_HANDS, np.random.default_rng([seed, 3]))
    fine = vertices | {hand.mesh.num_hand_vertices: np.arange(hand.mesh.num_hand_vertices)}
    up_maps = {pair: learned_up_map(hands, vertices[pair[0]], fine[pair[1]]) for pair in UP_MAPS}
    return Levels(vertices, {level: faces for level, (_, faces) in reduced.items()}, up_maps)
