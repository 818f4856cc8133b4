"""Signed distances between hand meshes: depth of one hand inside the other, and gap between them.

A hand is open at the wrist; a fan closes it (`geometry.mesh.cap`). The triangles of a hand are grouped into small
patches, once for a mesh level; a posed hand has a sphere around each patch, so a point looks at few triangles. The sign
comes from the angle-weighted pseudonormal of the nearest face, edge or vertex (Baerentzen & Aanaes 2005).
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from twohands.geometry.mesh import cap
from twohands.hands.free import free_hand
from twohands.types import LEFT, RIGHT

_LARGEST_PATCH = 16  # triangles
_HALF_THICKNESS = 0.025  # metres; no point inside a hand is farther from its surface


class Topology(NamedTuple):
    """The triangles of one hand, closed at the wrist, in the order of their patches."""

    faces: np.ndarray  # (F, 3) int64 outward
    neighbours: np.ndarray  # (F, 3) int64, the face across the edge from corner k to corner k + 1
    starts: np.ndarray  # (P + 1,) int64, first face of each patch


class SolidHand(NamedTuple):
    """A posed, closed hand for distance queries."""

    vertices: np.ndarray  # (V, 3) float64 metres
    faces: np.ndarray  # (F, 3) int64
    neighbours: np.ndarray  # (F, 3) int64
    starts: np.ndarray  # (P + 1,) int64
    face_normals: np.ndarray  # (F, 3) unit
    vertex_normals: np.ndarray  # (V, 3), faces weighted by their angle; not of unit length
    spheres: np.ndarray  # (P, 4) metres, centre and radius of each patch


class Nearest(NamedTuple):
    """Nearest places on a surface to N points; beyond the reach the distance is infinity and the face -1."""

    distance: np.ndarray  # (N,) metres, negative inside
    face: np.ndarray  # (N,) int64, number in the surface's own order
    weights: np.ndarray  # (N, 3) of the face's corners
    direction: np.ndarray  # (N, 3) unit vector in which the distance grows


@cache
def topology(level: int, side: int) -> Topology:
    """Return the closed triangles of the free hand with `level` vertices."""
    model = free_hand(level)
    faces = cap(np.asarray(model.right_faces, dtype=np.int64))
    centers = model.rest_vertices[faces].mean(axis=1)
    bone = model.weights[faces].sum(axis=1).argmax(axis=1)
    patches = [patch for joint in np.unique(bone) for patch in _split(np.flatnonzero(bone == joint), centers)]
    faces = faces[np.concatenate(patches)]
    if side == LEFT:
        faces = faces[:, ::-1]
    owner = {(int(face[k]), int(face[(k + 1) % 3])): i for i, face in enumerate(faces) for k in range(3)}
    neighbours = [[owner[int(face[(k + 1) % 3]), int(face[k])] for k in range(3)] for face in faces]
    starts = np.cumsum([0, *(len(patch) for patch in patches)])
    return Topology(np.ascontiguousarray(faces), np.array(neighbours, dtype=np.int64), starts.astype(np.int64))


def _split(faces: np.ndarray, centers: np.ndarray) -> list[np.ndarray]:
    """Halve faces along the longest side of their centres' box until every part is a small patch."""
    if len(faces) <= _LARGEST_PATCH:
        return [faces]
    spread = np.ptp(centers[faces], axis=0)
    order = faces[np.argsort(centers[faces, spread.argmax()], kind="stable")]
    half = len(order) // 2
    return _split(order[:half], centers) + _split(order[half:], centers)


def posed_surface(vertices: np.ndarray, side: int) -> SolidHand:
    """Return the closed surface of one free hand (V, 3) metres; V is one of its mesh levels."""
    t = topology(len(vertices), side)
    points = np.ascontiguousarray(vertices, dtype=np.float64)
    return SolidHand(points, *t, *_normals(points, t.faces), _spheres(points, t.faces, t.starts))


def nearest(points: np.ndarray, surface: SolidHand, reach: float = math.inf) -> Nearest:
    """Return the signed distance of points (N, 3) metres from a surface where it is below `reach` metres."""
    return Nearest(*_nearest_places(np.ascontiguousarray(points, dtype=np.float64), surface, reach))


def penetration_depth(vertices: np.ndarray) -> float:
    """Return how many metres the deepest vertex of two hands (2, V, 3) is inside the other hand; 0 if none is."""
    distances = _both_ways(vertices, 0.0)
    return max(0.0, -float(distances.min()))


def gap(vertices: np.ndarray) -> float:
    """Return the least distance, metres, of one hand's vertices (2, V, 3) from the other's surface; 0 if they meet."""
    distances = _both_ways(vertices, math.inf)
    return max(0.0, float(distances.min()))


def _both_ways(vertices: np.ndarray, reach: float) -> np.ndarray:
    """Return the signed distances (2 V,) of each hand's vertices from the other hand."""
    surfaces = [posed_surface(vertices[side], side) for side in (LEFT, RIGHT)]
    return np.concatenate([nearest(vertices[side], surfaces[1 - side], reach).distance for side in (LEFT, RIGHT)])


@njit(cache=True)
def _normals(vertices, faces):
    """Return unit normals (F, 3) and their angle-weighted sums at the vertices (V, 3)."""
    per_face = np.zeros((len(faces), 3))
    per_vertex = np.zeros((len(vertices), 3))
    for i in range(len(faces)):
        length = 0.0
        for k in range(3):
            p, q, r = faces[i, k], faces[i, (k + 1) % 3], faces[i, (k + 2) % 3]
            ux, uy, uz = _difference(vertices, q, p)
            vx, vy, vz = _difference(vertices, r, p)
            if k == 0:
                x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
                length = max(math.sqrt(x * x + y * y + z * z), 1e-18)
                per_face[i, 0], per_face[i, 1], per_face[i, 2] = x / length, y / length, z / length
            angle = math.atan2(length, ux * vx + uy * vy + uz * vz)
            for m in range(3):
                per_vertex[p, m] += angle * per_face[i, m]
    return per_face, per_vertex


@njit(cache=True, inline="always")
def _difference(vertices, a, b):
    return vertices[a, 0] - vertices[b, 0], vertices[a, 1] - vertices[b, 1], vertices[a, 2] - vertices[b, 2]


@njit(cache=True)
def _spheres(vertices, faces, starts):
    """Return the centre and radius (P, 4) of a sphere around the triangles of each patch."""
    spheres = np.zeros((len(starts) - 1, 4))
    for patch in range(len(spheres)):
        first, last = starts[patch], starts[patch + 1]
        for axis in range(3):
            low, high = math.inf, -math.inf
            for i in range(first, last):
                for k in range(3):
                    value = vertices[faces[i, k], axis]
                    low, high = min(low, value), max(high, value)
            spheres[patch, axis] = 0.5 * (low + high)
        largest = 0.0
        for i in range(first, last):
            for k in range(3):
                squared = 0.0
                for axis in range(3):
                    squared += (vertices[faces[i, k], axis] - spheres[patch, axis]) ** 2
                largest = max(largest, squared)
        spheres[patch, 3] = math.sqrt(largest)
    return spheres


@njit(cache=True)
def _nearest_places(points, surface, reach):
    """Return `Nearest` by branch and bound over the patches; at a reach of 0 the sign alone decides."""
    count, patches = len(points), len(surface.spheres)
    distance, face = np.full(count, np.inf), np.full(count, -1)
    weights, direction = np.zeros((count, 3)), np.zeros((count, 3))
    bounds = np.empty(patches)
    vertices, faces, starts, spheres = surface.vertices, surface.faces, surface.starts, surface.spheres
    far = max(reach, _HALF_THICKNESS)
    low, high = _box(spheres)
    for i in range(count):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        if max(low[0] - x, x - high[0], low[1] - y, y - high[1], low[2] - z, z - high[2]) > reach:
            continue
        closest = 0
        for m in range(patches):
            u, v, w = x - spheres[m, 0], y - spheres[m, 1], z - spheres[m, 2]
            bounds[m] = math.sqrt(u * u + v * v + w * w) - spheres[m, 3]
            if bounds[m] < bounds[closest]:
                closest = m
        if bounds[closest] > far:
            continue
        best, which, feature = np.inf, -1, 0
        wa, wb, wc = 0.0, 0.0, 0.0
        for turn in range(-1, patches):
            m = closest if turn < 0 else turn
            if turn == closest or (bounds[m] > 0 and bounds[m] * bounds[m] >= best):
                continue
            for f in range(starts[m], starts[m + 1]):
                squared, b, c, kind = _triangle(x, y, z, vertices, faces[f, 0], faces[f, 1], faces[f, 2])
                if squared < best:
                    best, which, feature, wa, wb, wc = squared, f, kind, 1 - b - c, b, c
        a, b, c = faces[which]
        ax = x - wa * vertices[a, 0] - wb * vertices[b, 0] - wc * vertices[c, 0]
        ay = y - wa * vertices[a, 1] - wb * vertices[b, 1] - wc * vertices[c, 1]
        az = z - wa * vertices[a, 2] - wb * vertices[b, 2] - wc * vertices[c, 2]
        nx, ny, nz = _feature_normal(surface, which, feature)
        length = math.sqrt(best)
        signed = length if ax * nx + ay * ny + az * nz >= 0 else -length
        if signed > reach:
            continue
        distance[i], face[i] = signed, which
        weights[i, 0], weights[i, 1], weights[i, 2] = wa, wb, wc
        if length > 1e-7:
            direction[i, 0], direction[i, 1], direction[i, 2] = ax / signed, ay / signed, az / signed
        else:
            direction[i] = surface.face_normals[which]
    return distance, face, weights, direction


@njit(cache=True)
def _box(spheres):
    """Return the lowest and highest coordinates, (3,) each, inside the spheres."""
    low, high = np.full(3, np.inf), np.full(3, -np.inf)
    for m in range(len(spheres)):
        for k in range(3):
            low[k] = min(low[k], spheres[m, k] - spheres[m, 3])
            high[k] = max(high[k], spheres[m, k] + spheres[m, 3])
    return low, high


@njit(cache=True)
def _feature_normal(surface, face, feature):
    """Return the outward normal inside a face (0), at its corner k (1 + k) or on its edge from corner k (4 + k)."""
    n = surface.face_normals
    if feature == 0:
        return n[face, 0], n[face, 1], n[face, 2]
    if feature < 4:
        corner = surface.faces[face, feature - 1]
        return surface.vertex_normals[corner, 0], surface.vertex_normals[corner, 1], surface.vertex_normals[corner, 2]
    beside = surface.neighbours[face, feature - 4]
    return n[face, 0] + n[beside, 0], n[face, 1] + n[beside, 1], n[face, 2] + n[beside, 2]


@njit(cache=True, inline="always")
def _triangle(x, y, z, vertices, first, second, third):
    """Return the squared distance to a triangle, its last two corners' weights at the nearest point, and the feature.

    The regions are the Voronoi regions of Ericson 2005, 5.1.5; features as in `_feature_normal`.
    """
    ux, uy, uz = _difference(vertices, second, first)
    vx, vy, vz = _difference(vertices, third, first)
    wx, wy, wz = x - vertices[first, 0], y - vertices[first, 1], z - vertices[first, 2]
    uu, uv, vv = ux * ux + uy * uy + uz * uz, ux * vx + uy * vy + uz * vz, vx * vx + vy * vy + vz * vz
    d1, d2 = ux * wx + uy * wy + uz * wz, vx * wx + vy * wy + vz * wz
    d3, d4, d5, d6 = d1 - uu, d2 - uv, d1 - uv, d2 - vv
    vc, vb, va = d1 * d4 - d3 * d2, d5 * d2 - d1 * d6, d3 * d6 - d5 * d4
    b, c, kind = 0.0, 0.0, 1
    if d1 <= 0 and d2 <= 0:
        pass
    elif d3 >= 0 and d4 <= d3:
        b, kind = 1.0, 2
    elif d6 >= 0 and d5 <= d6:
        c, kind = 1.0, 3
    elif vc <= 0 and d1 >= 0 and d3 <= 0:
        b, kind = d1 / uu, 4
    elif va <= 0 and d4 - d3 >= 0 and d5 - d6 >= 0:
        c = (d4 - d3) / ((d4 - d3) + (d5 - d6))
        b, kind = 1 - c, 5
    elif vb <= 0 and d2 >= 0 and d6 <= 0:
        c, kind = d2 / vv, 6
    else:
        total = 1 / (va + vb + vc)
        b, c, kind = vb * total, vc * total, 0
    px, py, pz = wx - b * ux - c * vx, wy - b * uy - c * vy, wz - b * uz - c * vz
    return px * px + py * py + pz * pz, b, c, kind
