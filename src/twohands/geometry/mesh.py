"""Triangle meshes: normals, edges, boundaries. Faces are counter-clockwise seen from outside."""

from __future__ import annotations

import numpy as np
from array_api_compat import array_namespace

from twohands.geometry.record import Array


def face_normals(vertices: Array, faces: Array) -> Array:
    """Return outward normals (*B, F, 3) of vertices (*B, V, 3) and faces (F, 3); their length is twice the area."""
    xp = array_namespace(vertices)
    a, b, c = (xp.take(vertices, faces[:, k], axis=-2) for k in range(3))
    return xp.linalg.cross(b - a, c - a)


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return outward unit normals (V, 3), the area-weighted mean over faces; 0 for a vertex without a face."""
    per_face = face_normals(vertices, faces)
    corners = faces.reshape(-1)
    columns = [np.bincount(corners, np.repeat(per_face[:, k], 3), len(vertices)) for k in range(3)]
    normals = np.stack(columns, axis=1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.where(length > 0, length, 1.0)


def edges_from_faces(faces: np.ndarray) -> np.ndarray:
    """Return every undirected edge of faces (F, 3) once, sorted, as (E, 2)."""
    pairs = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    return np.unique(np.sort(pairs, axis=1), axis=0)


def boundary_loop(faces: np.ndarray) -> np.ndarray:
    """Return the vertices of the single open border in the direction of its faces; empty for a closed mesh.

    Raises ValueError when there is more than one border.
    """
    directed = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    inside = {(int(a), int(b)) for a, b in directed}
    following = {a: b for a, b in inside if (b, a) not in inside}
    if not following:
        return np.zeros(0, dtype=np.int64)
    loop = [min(following)]
    while following[loop[-1]] != loop[0]:
        loop.append(following[loop[-1]])
    if len(loop) != len(following):
        raise ValueError(
            f"the mesh has more than one border: {len(following)} border edges, the first loop has {len(loop)}"
        )
    return np.array(loop)


def cap(faces: np.ndarray) -> np.ndarray:
    """Return faces with the open border closed by a fan, without new vertices: for volumes and tests of closedness."""
    loop = boundary_loop(faces)
    fan = [(loop[0], loop[k + 1], loop[k]) for k in range(1, len(loop) - 1)]
    return np.concatenate([faces, np.array(fan, dtype=faces.dtype).reshape(-1, 3)])


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Return the signed volume of a closed mesh in cubic metres; positive when the normals point outwards."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.einsum("fi,fi->", a, np.cross(b, c)) / 6)
