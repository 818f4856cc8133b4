"""Pure functions on triangle meshes: vertices (V, 3) in metres, faces (F, 3) counter-clockwise seen from outside."""

from itertools import pairwise

import numpy as np

from .makehuman import Indices
from .numerics import Array


def face_normals(vertices: Array, faces: Indices) -> Array:
    """Return outward normals (F, 3) whose length is twice the area of the face."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return np.cross(b - a, c - a)


def vertex_normals(vertices: Array, faces: Indices) -> Array:
    """Return unit outward normals (V, 3), averaged over the faces by area."""
    normals = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(normals, faces[:, corner], face_normals(vertices, faces))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True)


def vertex_areas(vertices: Array, faces: Indices) -> Array:
    """Return areas (V,) in square metres: each corner of a face gets a third of it."""
    areas = np.zeros(len(vertices))
    for corner in range(3):
        np.add.at(areas, faces[:, corner], np.linalg.norm(face_normals(vertices, faces), axis=1) / 6)
    return areas


def directed_edges(faces: Indices) -> Indices:
    """Return the edges (corners * F, 2) of triangles or quads in the order of their corners."""
    return np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2)


def boundary_loop(faces: Indices) -> Indices:
    """Return the only open border (L,) of a mesh of triangles or quads, in the order of its faces' edges."""
    edges = {(int(a), int(b)) for a, b in directed_edges(faces)}
    following = {a: b for a, b in edges if (b, a) not in edges}
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise ValueError(f"expected one border, found {len(following)} border edges of which one loop has {len(loop)}")
    return np.array(loop)


def capped(faces: Indices) -> Indices:
    """Return triangles with their border closed by a fan."""
    loop = boundary_loop(faces)
    fan = [[loop[0], second, first] for first, second in pairwise(loop[1:])]
    return np.concatenate([faces, fan])


def is_watertight(faces: Indices) -> bool:
    """Return whether every edge belongs to two faces that run along it in opposite directions."""
    edges = [(int(a), int(b)) for a, b in directed_edges(faces)]
    return len(set(edges)) == len(edges) and {(b, a) for a, b in edges} == set(edges)


def enclosed_volume(vertices: Array, faces: Indices) -> float:
    """Return the volume of a watertight mesh in cubic metres; negative if it is inside out."""
    a, b, c = (vertices[faces[:, corner]] for corner in range(3))
    return float((np.cross(a, b) * c).sum() / 6)


def winding_numbers(points: Array, vertices: Array, faces: Indices) -> Array:
    """Return winding numbers (P,) of a watertight mesh around points (P, 3): about 1 inside, about 0 outside."""
    a, b, c = (vertices[faces[:, corner]] - points[:, None] for corner in range(3))  # (P, F, 3)
    length_a, length_b, length_c = (np.linalg.norm(corner, axis=-1) for corner in (a, b, c))
    dot_ab, dot_bc, dot_ca = (a * b).sum(-1), (b * c).sum(-1), (c * a).sum(-1)
    below = length_a * length_b * length_c + dot_ab * length_c + dot_bc * length_a + dot_ca * length_b
    return np.arctan2((a * np.cross(b, c)).sum(-1), below).sum(1) / (2 * np.pi)


def ray_length(origin: Array, direction: Array, vertices: Array, faces: Indices) -> float:
    """Return metres from `origin` (3,) along the unit `direction` (3,) to the first face hit, or inf."""
    corner, side_b, side_c = (vertices[faces[:, 0]], *(vertices[faces[:, k]] - vertices[faces[:, 0]] for k in (1, 2)))
    p = np.cross(direction, side_c)
    determinant = (side_b * p).sum(1)
    determinant = np.where(np.abs(determinant) < 1e-14, 1e-14, determinant)
    offset = origin - corner
    q = np.cross(offset, side_b)
    u, v = (offset * p).sum(1) / determinant, q @ direction / determinant
    distance = (side_c * q).sum(1) / determinant
    hit = (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > 1e-5)
    return float(distance[hit].min(initial=np.inf))


def section_length(vertices: Array, faces: Indices, height: float) -> float:
    """Return the length in metres of the mesh's section by the plane z = height (a girth, if it is one curve)."""
    start = vertices[faces]  # (F, 3, 3)
    end = np.roll(start, -1, axis=1)
    cut = (start[..., 2] > height) != (end[..., 2] > height)  # (F, 3), two or none in each face
    start, end = start[cut], end[cut]
    fraction = (height - start[:, 2]) / (end[:, 2] - start[:, 2])
    points = (start + fraction[:, None] * (end - start)).reshape(-1, 2, 3)
    return float(np.linalg.norm(points[:, 1] - points[:, 0], axis=-1).sum())
