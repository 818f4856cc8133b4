"""A small z-buffer in NumPy: the triangle that every pixel sees, and its depth.

To draw only a window of an image, pass the camera of the window (`camera.crop(left, top, width, height)`): a crop
changes the camera, never the points.
"""

from __future__ import annotations

import numpy as np

from twohands.geometry.camera import Camera
from twohands.geometry.mesh import face_normals, vertex_normals

SMALLEST_AREA = 1e-9
"""Twice the area, in square pixels, below which a triangle counts as edge-on and is not drawn."""
HIDDEN_BY = 0.005
"""Metres behind the drawn surface from which a vertex is hidden: more than the slope in a pixel, less than a finger."""


def rasterize(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return depth (H, W) float32 metres, 0 = nothing, and the index of the seen face (H, W) int32, -1 = none.

    vertices (V, 3) metres, camera frame; faces (F, 3), drawn from both sides. A pixel belongs to a face when its centre
    is in it, border included. Depth is exact along each face (1 / z is linear in the image). Faces with a vertex at
    or behind the camera (z <= 0), or with one that is not finite, are left out whole.
    """
    vertices = np.asarray(vertices, dtype=np.float64)
    depth = np.zeros((camera.height, camera.width), dtype=np.float32)
    face_index = np.full((camera.height, camera.width), -1, dtype=np.int32)
    drawable = (np.isfinite(vertices).all(axis=1) & (vertices[:, 2] > 0))[faces].all(axis=1)
    index = np.flatnonzero(drawable)
    if not len(index):
        return depth, face_index
    points = np.where(vertices[:, 2:] > 0, vertices, 1.0)
    pixels = Camera(np.asarray(camera.K, dtype=np.float64), camera.width, camera.height).project(points)
    corners = _sorted_by_row(pixels, 1 / points[:, 2], faces[index])  # (F, 3, 3): u, v, 1 / z
    planes, solid = _inverse_depth_planes(corners)
    index, corners, planes = index[solid], corners[solid], planes[solid]
    face, row, first, last = _spans(corners, camera)
    count = np.maximum(last - first + 1, 0)
    start = np.repeat(first - (np.cumsum(count) - count), count)
    column = start + np.arange(len(start))  # every pixel of every span
    span = np.repeat(np.arange(len(count)), count)
    along, at_row = planes[face, 0], planes[face, 1] * row + planes[face, 2]
    inverse = (along[span] * column + at_row[span]).astype(np.float32)
    pixel = row[span] * camera.width + column
    nearest = np.zeros(depth.size, dtype=np.float32)  # largest 1 / z
    np.maximum.at(nearest, pixel, inverse)
    seen = inverse == nearest[pixel]
    face_index.reshape(-1)[pixel[seen]] = index[face[span[seen]]]
    np.divide(1, nearest.reshape(depth.shape), out=depth, where=face_index >= 0)
    return depth, face_index


def barycentric(
    vertices: np.ndarray, faces: np.ndarray, camera: Camera, face_index: np.ndarray, pixels: np.ndarray
) -> np.ndarray:
    """Return weights (N, 3) of the corners of faces[face_index] (N,) at the points that pixels (N, 2) see; sum 1.

    The weights refer to the surface itself: they interpolate values of the vertices without perspective error.
    """
    chosen, position = np.unique(face_index, return_inverse=True)
    corners = np.asarray(vertices, dtype=np.float64)[faces[chosen]]  # (F, 3, 3), rows are corners
    K = np.asarray(camera.K, dtype=np.float64)
    rays = Camera(K, camera.width, camera.height).unproject(pixels.astype(np.float64), np.ones(len(pixels)))
    # w a + w' b + w'' c = s ray; the edge-on faces that have no inverse are not drawn by `rasterize`
    weights = np.einsum("nij,nj->ni", np.linalg.inv(corners.transpose(0, 2, 1))[position], rays)
    return weights / weights.sum(axis=1, keepdims=True)


def visible_vertices(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks (V,) bool: vertices whose normal faces the camera, and those of them that no face hides.

    vertices (V, 3) metres, camera frame; faces (F, 3) outward. Meshes that can hide each other must be joined.
    Vertices outside the image are never hidden.
    """
    facing = (vertex_normals(vertices, faces) * vertices).sum(axis=1) < 0
    facing &= vertices[:, 2] > 0
    window, _, _ = window_of(vertices[facing], camera)
    return facing, facing & ~hidden_vertices(vertices, faces, window)


def hidden_vertices(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> np.ndarray:
    """Return a mask (V,) bool of the vertices that are behind a face which looks towards the camera."""
    turned = (face_normals(vertices, faces) * vertices[faces[:, 0]]).sum(axis=1) < 0
    depth, _ = rasterize(vertices, faces[turned], camera)
    surface, inside = sample_nearest(depth, vertices, camera)
    return inside & (surface > 0) & (vertices[:, 2] > surface + HIDDEN_BY)


def window_of(vertices: np.ndarray, camera: Camera, margin: int = 2) -> tuple[Camera, int, int]:
    """Return the camera of the smallest window with all projected vertices (V, 3), and its first column and row.

    The window is inside the image, `margin` pixels wider than the vertices; without any vertex in view it is one pixel.
    """
    points = vertices[np.isfinite(vertices).all(axis=1) & (vertices[:, 2] > 0)]
    if not len(points):
        return camera.crop(0, 0, 1, 1), 0, 0
    pixels = camera.project(points)
    size = np.array([camera.width, camera.height])
    first = np.clip(np.floor(pixels.min(axis=0)) - margin, 0, size - 1).astype(np.int64)
    last = np.clip(np.ceil(pixels.max(axis=0)) + margin, first, size - 1).astype(np.int64)
    (left, top), (width, height) = first.tolist(), (last - first + 1).tolist()
    return camera.crop(left, top, width, height), left, top


def sample_nearest(image: np.ndarray, vertices: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return values (V,) of image (H, W) at each vertex's nearest pixel, 0 outside; and whether it is inside, (V,)."""
    pixels = np.rint(camera.project(np.where(vertices[:, 2:] > 0, vertices, 1.0)))
    inside = ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(axis=1) & (vertices[:, 2] > 0)
    columns, rows = np.where(inside[:, None], pixels, 0).astype(np.int64).T
    return np.where(inside, image[rows, columns], 0), inside


def _sorted_by_row(pixels: np.ndarray, inverse: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return u, v and 1 / z of the corners of each face, (F, 3, 3), topmost first, ties in order of the vertices.

    Two faces with a common edge thus compute its crossings from the same numbers in the same order, so that no pixel
    is lost between them.
    """
    rank = np.empty(len(pixels), dtype=np.int64)
    rank[np.argsort(pixels[:, 1], kind="stable")] = np.arange(len(pixels))
    ordered = np.take_along_axis(faces, np.argsort(rank[faces], axis=1), axis=1)
    return np.column_stack([pixels, inverse])[ordered]


def _inverse_depth_planes(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a, b, c (F, 3) with 1 / z = a u + b v + c on each face; and (F,) bool, false for edge-on faces."""
    origin, one, two = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = one[:, 0] * two[:, 1] - two[:, 0] * one[:, 1]
    solid = np.abs(area) > SMALLEST_AREA
    area = np.where(solid, area, 1.0)
    a = (one[:, 2] * two[:, 1] - two[:, 2] * one[:, 1]) / area
    b = (two[:, 2] * one[:, 0] - one[:, 2] * two[:, 0]) / area
    return np.stack([a, b, origin[:, 2] - a * origin[:, 0] - b * origin[:, 1]], axis=1), solid


def _spans(corners: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return face, row, first and last column inside, (R,) each, of every face's image rows; empty if last < first."""
    top = np.clip(np.ceil(corners[:, 0, 1]), 0, camera.height).astype(np.int64)
    bottom = np.clip(np.floor(corners[:, 2, 1]), -1, camera.height - 1).astype(np.int64)
    visible = (corners[:, :, 0].min(axis=1) <= camera.width - 1) & (corners[:, :, 0].max(axis=1) >= 0)
    count = np.where(visible, np.maximum(bottom - top + 1, 0), 0)
    face = np.repeat(np.arange(len(corners)), count)
    row = np.repeat(top - (np.cumsum(count) - count), count) + np.arange(len(face))
    upper, middle, lower = corners[face, 0, :2], corners[face, 1, :2], corners[face, 2, :2]
    long_side = _crossing(upper, lower, row)
    above = row < middle[:, 1]
    short_side = _crossing(np.where(above[:, None], upper, middle), np.where(above[:, None], middle, lower), row)
    first, last = np.minimum(long_side, short_side), np.maximum(long_side, short_side)
    first = np.clip(np.ceil(first), 0, camera.width).astype(np.int64)
    last = np.clip(np.floor(last), -1, camera.width - 1).astype(np.int64)
    return face, row, first, last


def _crossing(upper: np.ndarray, lower: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the columns (R,) at which the edges from upper (R, 2) to lower (R, 2) cross the rows (R,)."""
    height = lower[:, 1] - upper[:, 1]
    fraction = (row - upper[:, 1]) / np.where(height > 0, height, 1.0)
    return upper[:, 0] + np.where(height > 0, fraction, 1.0) * (lower[:, 0] - upper[:, 0])
