"""Meshes of simple shapes (boxes, lathed bottles and cups, balls, tubes, rectangles), and their union.

A `Shape` is in its own frame, in metres, with z up for standing objects. Faces are counter-clockwise seen from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.geometry.mesh import face_normals
from twohands.synth.rendering.render import Surfaces

ARM_LABEL, OBJECT_LABEL, TABLE_LABEL, ROOM_LABEL = 2, 4, 5, 6
"""Labels of surfaces, after LEFT and RIGHT for the hands; the right arm has ARM_LABEL + RIGHT."""


@dataclass(frozen=True)
class Shape:
    """One part of a scene."""

    vertices: np.ndarray  # (V, 3) float64 metres
    faces: np.ndarray  # (F, 3) int
    uv: np.ndarray  # (F, 3, 2) texture coordinates of the faces' corners
    material: int = 0
    label: int = 0
    normals: np.ndarray | None = None  # (V, 3); None: smooth normals from the faces

    def moved(self, rotation: np.ndarray, translation: np.ndarray) -> Shape:
        """Return the shape with its own frame placed at (rotation (3, 3), translation (3,))."""
        normals = None if self.normals is None else self.normals @ rotation.T
        return replace(self, vertices=self.vertices @ rotation.T + translation, normals=normals)


def joined(shapes: Sequence[Shape]) -> Surfaces:
    """Return all shapes as one list of triangles."""
    offsets = np.cumsum([0, *(len(shape.vertices) for shape in shapes)])
    counts = [len(shape.faces) for shape in shapes]
    normals = [smooth_normals(s.vertices, s.faces) if s.normals is None else s.normals for s in shapes]
    return Surfaces(
        vertices=np.ascontiguousarray(np.concatenate([s.vertices for s in shapes]), dtype=np.float64),
        faces=np.concatenate([s.faces + offset for s, offset in zip(shapes, offsets, strict=False)]).astype(np.int32),
        normals=np.concatenate(normals).astype(np.float32),
        uv=np.concatenate([s.uv for s in shapes]).astype(np.float32),
        material=np.repeat([s.material for s in shapes], counts).astype(np.int32),
        label=np.repeat([s.label for s in shapes], counts).astype(np.int32),
    )


def smooth_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return unit normals (V, 3), the area-weighted means of the neighbouring faces' normals."""
    per_face = face_normals(vertices, faces)
    total = np.stack(
        [np.bincount(faces.reshape(-1), np.repeat(per_face[:, k], 3), len(vertices)) for k in range(3)], axis=-1
    )
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)


def grid_faces(rows: int, columns: int) -> np.ndarray:
    """Return the triangles (2 (rows - 1) (columns - 1), 3) of a grid of vertices numbered row by row."""
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    right, below, both = corner + 1, corner + columns, corner + columns + 1
    return np.concatenate([np.stack([corner, right, below], 1), np.stack([right, both, below], 1)])


def rectangle(origin: np.ndarray, u: np.ndarray, v: np.ndarray, repeat: tuple[float, float] = (1.0, 1.0)) -> Shape:
    """Return a flat parallelogram with corner `origin` and sides u and v, counter-clockwise seen from u x v."""
    vertices = np.array([origin, origin + u, origin + u + v, origin + v], dtype=np.float64)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * np.array(repeat)
    normal = np.cross(u, v)
    return Shape(vertices, faces, corners[faces], normals=np.tile(normal / np.linalg.norm(normal), (4, 1)))


def box(size: Sequence[float]) -> Shape:
    """Return a box standing on z = 0, centred in x and y."""
    a, b, h = np.asarray(size) * [0.5, 0.5, 1.0]
    x, y, z = np.eye(3)
    sides = [
        rectangle(np.array([-a, -b, 0]), 2 * a * x, h * z),
        rectangle(np.array([a, b, 0]), -2 * a * x, h * z),
        rectangle(np.array([a, -b, 0]), 2 * b * y, h * z),
        rectangle(np.array([-a, b, 0]), -2 * b * y, h * z),
        rectangle(np.array([-a, -b, h]), 2 * a * x, 2 * b * y),
        rectangle(np.array([-a, b, 0]), 2 * a * x, -2 * b * y),
    ]
    return merged(sides)


def merged(shapes: Sequence[Shape]) -> Shape:
    """Return several shapes as one, with the material and label of the first."""
    all_of_them = joined(shapes)
    return Shape(
        *(all_of_them.vertices, all_of_them.faces, all_of_them.uv.astype(np.float64)),
        *(shapes[0].material, shapes[0].label, all_of_them.normals.astype(np.float64)),
    )


def lathe(profile: Sequence[tuple[float, float]], segments: int = 32) -> Shape:
    """Return the surface of revolution about z of (radius, z) points, given from the bottom up along the outside."""
    radius, height = np.array(profile, dtype=np.float64).T
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    flat = radius[:, None, None] * ring
    vertices = np.concatenate([flat, np.broadcast_to(height[:, None, None], (*flat.shape[:2], 1))], axis=-1)
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(radius), np.diff(height)))])
    uv = np.stack(np.meshgrid(2 * angle / (2 * np.pi), along / max(along[-1], 1e-9)), axis=-1)
    faces = grid_faces(len(radius), segments + 1)
    return Shape(vertices.reshape(-1, 3), faces, uv.reshape(-1, 2)[faces], normals=_lathe_normals(radius, height, ring))


def _lathe_normals(radius: np.ndarray, height: np.ndarray, ring: np.ndarray) -> np.ndarray:
    """Return normals, smooth around the axis and along the profile; doubled profile points make sharp rims."""
    slope = np.stack([np.diff(height), -np.diff(radius)], axis=-1)  # outward in the (radius, z) plane
    slope = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12)
    mean = np.concatenate([slope[:1], slope[:-1] + slope[1:], slope[-1:]])
    mean = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    normals = np.concatenate(
        [mean[:, None, :1] * ring, np.broadcast_to(mean[:, None, 1:], (len(radius), len(ring), 1))], axis=-1
    )
    return normals.reshape(-1, 3)


def sharp(profile: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the profile with every inner corner doubled, so that a lathe keeps its edges."""
    return [profile[0], *(point for point in profile[1:-1] for _ in range(2)), profile[-1]]


def ball(radius: float, segments: int = 24) -> Shape:
    """Return a sphere resting on z = 0."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    return lathe(list(zip(radius * np.cos(angle), radius * (1 + np.sin(angle)), strict=True)), segments)


def tube(rings: np.ndarray, u_repeat: float = 1.0, v_scale: float = 8.0) -> Shape:
    """Return a tube through closed cross-sections (R, N, 3), ordered counter-clockwise seen from the far end.

    Texture: u runs around and v along the tube, with `v_scale` repeats per metre.
    """
    count, points = rings.shape[:2]
    closed = np.concatenate([rings, rings[:, :1]], axis=1)
    steps = np.linalg.norm(np.diff(rings.mean(axis=1), axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)]) * v_scale
    uv = np.stack(np.meshgrid(np.linspace(0, u_repeat, points + 1), along), axis=-1).reshape(-1, 2)
    faces = grid_faces(count, points + 1)
    vertices = closed.reshape(-1, 3)
    normals = smooth_normals(vertices, faces).reshape(count, points + 1, 3)
    seam = normals[:, 0] + normals[:, -1]
    normals[:, 0] = normals[:, -1] = seam / np.maximum(np.linalg.norm(seam, axis=1, keepdims=True), 1e-12)
    return Shape(vertices, faces, uv[faces], normals=normals.reshape(-1, 3))


def about_up(angle: float) -> np.ndarray:
    """Return the rotation (3, 3) by `angle` radians about z."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
