"""Z-buffer renderer in numba: colour with soft shadows, metric depth, part labels.

Colour is texture x (ambient light + lamps) + highlights. Ambient light is a sky and a ground colour, or nine spherical
harmonics of a measured environment, and is weaker where surfaces are close to each other.

Triangles are set up in float64 with homogeneous edge functions (Olano & Greer 1997): the three functions of a pixel's
ray (x, y, 1) are the barycentric weights divided by z, so a triangle that passes through the camera needs no clipping.
Integer coordinates are pixel centres. Rendering uses one thread: parallel loops hang in forked workers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from twohands.geometry.camera import Camera
from twohands.synth.rendering.occlusion import open_fraction
from twohands.synth.rendering.shading import NEAR, Lamps, Surroundings, pixel_normals, shade_samples

_SRGB_TO_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_SHADOW_SIZE = 1024


class Surfaces(NamedTuple):
    """All triangles of a scene in the camera frame."""

    vertices: np.ndarray  # (V, 3) float64 metres
    faces: np.ndarray  # (F, 3) int32
    normals: np.ndarray  # (V, 3) float32, unit length
    uv: np.ndarray  # (F, 3, 2) float32 texture coordinates of each corner, v up; they repeat outside [0, 1]
    material: np.ndarray  # (F,) int32
    label: np.ndarray  # (F,) int32 part, see `shapes`


class Materials(NamedTuple):
    """Appearance of the surfaces, indexed by material number."""

    texels: np.ndarray  # (T,) uint8: sRGB textures one after the other, rows from the top
    layout: np.ndarray  # (M, 3) int64: offset into texels, height, width
    specular: np.ndarray  # (M,) float32 strength of the highlight
    gloss: np.ndarray  # (M,) float32 exponent of the highlight
    infrared: np.ndarray  # (M,) float32 reflectance seen by the depth camera
    scatter: np.ndarray | None = None  # (M,) float32: 1 for skin, whose red spreads into shadows; None is 0 for all


class Lamp(NamedTuple):
    """A lamp that casts shadows."""

    position: np.ndarray  # (3,) metres
    size: float  # metres, diameter: how soft the shadows are
    color: np.ndarray  # (3,) linear


class Light(NamedTuple):
    """One or two lamps with shadows, and ambient light; linear colour, camera frame."""

    position: np.ndarray  # (3,) metres
    target: np.ndarray  # (3,) metres, the middle of the region that may cast shadows
    reach: float  # metres around the target that the shadow maps cover
    size: float  # metres, diameter of the lamp: how soft the shadows are
    color: np.ndarray  # (3,)
    sky: np.ndarray  # (3,) from above
    ground: np.ndarray  # (3,) from below
    up: np.ndarray  # (3,) unit vector
    second: Lamp | None = None
    environment: np.ndarray | None = None  # (9, 3) irradiance / pi in `harmonics`, in place of sky and ground
    occlusion: bool = False  # ambient light is weaker where surfaces are close to each other


def draw(surfaces: Surfaces, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Return depth (H, W) float32 metres (0 = nothing) and triangle number (H, W) int32 (-1) at the pixel centres."""
    inverse, triangle, _ = _rasterize(surfaces.vertices, surfaces.faces, camera)
    return np.where(triangle >= 0, 1 / np.maximum(inverse, 1e-9), 0).astype(np.float32), triangle


def labels(surfaces: Surfaces, triangle: np.ndarray) -> np.ndarray:
    """Return the part numbers (H, W) int32 of drawn triangles, -1 where nothing is drawn."""
    return np.where(triangle >= 0, surfaces.label[np.maximum(triangle, 0)], -1)


def shade(surfaces: Surfaces, materials: Materials, light: Light, camera: Camera) -> np.ndarray:
    """Return linear colour (H, W, 3) float32, the mean of 2x2 samples per pixel."""
    fine = camera.resize(2 * camera.width, 2 * camera.height)
    buffers = _rasterize(surfaces.vertices, surfaces.faces, fine)
    openness = np.zeros((0, 0), np.float32)
    if light.occlusion:
        normals = pixel_normals(*buffers[1:], focal_and_center(fine), surfaces.faces, surfaces.normals)
        openness = open_fraction(np.ascontiguousarray(buffers[0][::2, ::2]), normals, focal_and_center(camera))
    environment = np.zeros((0, 3)) if light.environment is None else light.environment
    if materials.scatter is None:
        materials = materials._replace(scatter=np.zeros(len(materials.gloss), np.float32))
    surroundings = Surroundings(light.sky, light.ground, light.up, environment, openness)
    intrinsics, lamps = focal_and_center(fine), _lamps(surfaces, light)
    return shade_samples(*buffers, intrinsics, surfaces, materials, _SRGB_TO_LINEAR, surroundings, lamps)


def focal_and_center(camera: Camera) -> np.ndarray:
    """Return fx, fy, cx, cy as (4,) float64."""
    K = np.asarray(camera.K, dtype=np.float64)
    return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])


def _rasterize(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rasterize(vertices, faces, focal_and_center(camera), camera.width, camera.height, NEAR)


def _lamps(surfaces: Surfaces, light: Light) -> Lamps:
    """Return the lamps of a light with their shadow maps."""
    lamps = [Lamp(light.position, light.size, light.color)] + ([] if light.second is None else [light.second])
    maps = [_shadow_map(surfaces, lamp.position, light.target, light.reach) for lamp in lamps]
    position, size, color = (np.array(part, dtype=np.float64) for part in zip(*lamps, strict=True))
    rotation, focal, inverse_depth = (np.stack(part) for part in zip(*maps, strict=True))
    return Lamps(position, size, color, rotation, focal, inverse_depth)


def _shadow_map(
    surfaces: Surfaces, position: np.ndarray, target: np.ndarray, reach: float
) -> tuple[np.ndarray, float, np.ndarray]:
    """Return a lamp's view: rotation (3, 3) from the camera, focal length in texels and 1 / z (N, N) float32."""
    forward = target - position
    distance = float(np.linalg.norm(forward))
    forward = forward / distance
    right = np.cross(forward, [0.3, 0.9, 0.3] if abs(forward[1]) < 0.8 else [0.9, 0.1, 0.3])
    right = right / np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    focal = 0.5 * _SHADOW_SIZE * distance / reach
    center = 0.5 * (_SHADOW_SIZE - 1)
    seen = (surfaces.vertices - position) @ rotation.T
    intrinsics = np.array([focal, focal, center, center])
    inverse, _, _ = rasterize(seen, surfaces.faces, intrinsics, _SHADOW_SIZE, _SHADOW_SIZE, NEAR)
    return rotation, focal, inverse


@njit(cache=True)
def rasterize(vertices, faces, intrinsics, width, height, near):
    """Return the nearest triangle at every pixel centre.

    vertices (V, 3) float64 metres, faces (F, 3), intrinsics fx, fy, cx, cy -> 1 / z (H, W) float32 (0 = nothing),
    triangle (H, W) int32 (-1 = nothing), setup (F, 3, 3) float64 (row k times the ray (x, y, 1) is weight k over z).
    """
    fx, fy, cx, cy = intrinsics
    inverse = np.zeros((height, width), np.float32)
    triangle = np.full((height, width), -1, np.int32)
    setup = np.zeros((faces.shape[0], 3, 3))
    for i in range(faces.shape[0]):
        if not _set_up(vertices, faces[i], setup[i]):
            continue
        left, right, top, bottom = _bounds(vertices, faces[i], fx, fy, cx, cy, width, height, near)
        s = setup[i]
        for row in range(top, bottom + 1):
            y = (row - cy) / fy
            first, last = float(left), float(right)
            for k in range(3):  # the columns where edge function k is not negative
                slope = s[k, 0] / fx
                start = s[k, 1] * y + s[k, 2] - slope * cx
                if slope > 0:
                    first = max(first, -start / slope - 1)
                elif slope < 0:
                    last = min(last, -start / slope + 1)
                elif start < 0:
                    last = -1.0
            if last < first:
                continue
            for column in range(math.ceil(first), math.floor(last) + 1):
                x = (column - cx) / fx
                a = s[0, 0] * x + s[0, 1] * y + s[0, 2]
                b = s[1, 0] * x + s[1, 1] * y + s[1, 2]
                c = s[2, 0] * x + s[2, 1] * y + s[2, 2]
                if a >= 0 and b >= 0 and c >= 0:
                    nearness = a + b + c
                    if nearness > inverse[row, column] and nearness * near < 1:
                        inverse[row, column] = nearness
                        triangle[row, column] = i
    return inverse, triangle, setup


@njit(cache=True)
def _set_up(vertices, face, setup):
    """Write the rows of inverse([p0 p1 p2]); return False for a triangle seen edge-on or without area."""
    p, q, r = vertices[face[0]], vertices[face[1]], vertices[face[2]]
    for k in range(3):
        m, n = (k + 1) % 3, (k + 2) % 3
        setup[0, k] = q[m] * r[n] - q[n] * r[m]
        setup[1, k] = r[m] * p[n] - r[n] * p[m]
        setup[2, k] = p[m] * q[n] - p[n] * q[m]
    determinant = p[0] * setup[0, 0] + p[1] * setup[0, 1] + p[2] * setup[0, 2]
    if abs(determinant) < 1e-16:
        return False
    for k in range(3):
        for m in range(3):
            setup[k, m] /= determinant
    return True


@njit(cache=True)
def _bounds(vertices, face, fx, fy, cx, cy, width, height, near):
    """Return the first and last column, and the first and last row, that the triangle can touch."""
    low_u, high_u, low_v, high_v, in_front = math.inf, -math.inf, math.inf, -math.inf, 0
    for k in range(3):
        x, y, z = vertices[face[k]]
        if z >= near:
            in_front += 1
            u, v = fx * x / z + cx, fy * y / z + cy
            low_u, high_u, low_v, high_v = min(low_u, u), max(high_u, u), min(low_v, v), max(high_v, v)
    if in_front == 0:
        return 0, -1, 0, -1
    if in_front < 3:
        return 0, width - 1, 0, height - 1
    left, right = max(0.0, math.floor(low_u)), min(width - 1.0, math.ceil(high_u))
    top, bottom = max(0.0, math.floor(low_v)), min(height - 1.0, math.ceil(high_v))
    return int(left), int(right), int(top), int(bottom)
