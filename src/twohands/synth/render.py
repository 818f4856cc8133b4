"""A z-buffer and its shading in numba: colour with soft shadows, metric depth, part labels.

Triangles are set up in float64 with homogeneous edge functions (Olano & Greer 1997): the three functions of a pixel's
ray (x, y, 1) are the barycentric weights divided by z, so a triangle that passes through the camera needs no clipping.
Integer coordinates are pixel centres, as everywhere in the house. One thread: parallel loops hang in forked workers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from twohands.geometry.camera import Camera

NEAR = 0.02
"""Surfaces nearer than this many metres are not drawn."""
_SRGB_TO_LINEAR = ((np.arange(256) / 255.0) ** 2.2).astype(np.float32)
_SHADOW_SIZE = 1024
_SHADOW_BIAS = 0.004  # metres a surface is lifted towards its normal before it asks for light
_PENUMBRA_STEPS = 2  # soft shadows average (2 n + 1)^2 texels


class Surfaces(NamedTuple):
    """Every triangle of a scene, camera frame."""

    vertices: np.ndarray  # (V, 3) float64 metres
    faces: np.ndarray  # (F, 3) int32
    normals: np.ndarray  # (V, 3) float32, unit length
    uv: np.ndarray  # (F, 3, 2) float32 texture coordinates of each corner, v up; they repeat outside [0, 1]
    material: np.ndarray  # (F,) int32
    label: np.ndarray  # (F,) int32 part, see `scene`


class Materials(NamedTuple):
    """Appearance of the surfaces by material number."""

    texels: np.ndarray  # (T,) uint8: sRGB textures one after the other, rows from the top
    layout: np.ndarray  # (M, 3) int64: offset into texels, height, width
    specular: np.ndarray  # (M,) float32 strength of the highlight
    gloss: np.ndarray  # (M,) float32 exponent of the highlight
    infrared: np.ndarray  # (M,) float32 reflectance seen by the depth camera


class Light(NamedTuple):
    """One shadowed lamp and the light of the surroundings, linear colour."""

    position: np.ndarray  # (3,) metres
    target: np.ndarray  # (3,) metres, the middle of what may cast shadows
    reach: float  # metres around the target that the shadow map covers
    size: float  # metres, diameter of the lamp: how soft the shadows are
    color: np.ndarray  # (3,)
    sky: np.ndarray  # (3,) from above
    ground: np.ndarray  # (3,) from below
    up: np.ndarray  # (3,) unit vector


def draw(surfaces: Surfaces, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Depth (H, W) float32 metres and triangle number (H, W) int32 at the pixel centres; 0 and -1 where nothing is."""
    inverse, triangle, _ = _rasterize(surfaces.vertices, surfaces.faces, camera)
    return np.where(triangle >= 0, 1 / np.maximum(inverse, 1e-9), 0).astype(np.float32), triangle


def labels(surfaces: Surfaces, triangle: np.ndarray) -> np.ndarray:
    """(H, W) int32 part numbers of drawn triangles, -1 where nothing is."""
    return np.where(triangle >= 0, surfaces.label[np.maximum(triangle, 0)], -1)


class ShadowMap(NamedTuple):
    """The scene seen from the lamp."""

    lamp_from_camera: np.ndarray  # (3, 3) rotation
    focal: float  # texels
    inverse_depth: np.ndarray  # (N, N) float32


def shade(surfaces: Surfaces, materials: Materials, light: Light, camera: Camera) -> np.ndarray:
    """Linear colour (H, W, 3) float32, the mean of 2x2 samples a pixel."""
    fine = camera.resize(2 * camera.width, 2 * camera.height)
    buffers = _rasterize(surfaces.vertices, surfaces.faces, fine)
    shadow = _shadow_map(surfaces, light)
    return _shade_samples(*buffers, _focal_and_center(fine), surfaces, materials, _SRGB_TO_LINEAR, light, shadow)


def _focal_and_center(camera: Camera) -> np.ndarray:
    """(4,) float64: fx, fy, cx, cy."""
    K = np.asarray(camera.K, dtype=np.float64)
    return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])


def _rasterize(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rasterize(vertices, faces, _focal_and_center(camera), camera.width, camera.height, NEAR)


def _shadow_map(surfaces: Surfaces, light: Light) -> ShadowMap:
    forward = light.target - light.position
    distance = float(np.linalg.norm(forward))
    forward = forward / distance
    right = np.cross(forward, [0.3, 0.9, 0.3] if abs(forward[1]) < 0.8 else [0.9, 0.1, 0.3])
    right = right / np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    focal = 0.5 * _SHADOW_SIZE * distance / light.reach
    center = 0.5 * (_SHADOW_SIZE - 1)
    seen = (surfaces.vertices - light.position) @ rotation.T
    intrinsics = np.array([focal, focal, center, center])
    inverse, _, _ = rasterize(seen, surfaces.faces, intrinsics, _SHADOW_SIZE, _SHADOW_SIZE, NEAR)
    return ShadowMap(rotation, focal, inverse)


@njit(cache=True)
def rasterize(vertices, faces, intrinsics, width, height, near):
    """The nearest triangle at every pixel centre.

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
    """Write the rows of inverse([p0 p1 p2]); false when the triangle is seen edge-on or has no area."""
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
    """First and last column, first and last row that the triangle can touch."""
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


@njit(cache=True, inline="always", fastmath=True)
def _texture(texels, offset, height, width, u, v, to_linear):
    """Bilinear, repeating look-up: red, green, blue in linear light."""
    x, y = (u - math.floor(u)) * width - 0.5, (1 - (v - math.floor(v))) * height - 0.5
    column, row = math.floor(x), math.floor(y)
    fx, fy = np.float32(x - column), np.float32(y - row)
    c0, c1 = (column + width) % width, (column + 1) % width
    top, bottom = offset + 3 * width * ((row + height) % height), offset + 3 * width * ((row + 1) % height)
    a, b, c, d = top + 3 * c0, top + 3 * c1, bottom + 3 * c0, bottom + 3 * c1
    one = np.float32(1)
    wa, wb, wc, wd = (one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy
    red = wa * to_linear[texels[a]] + wb * to_linear[texels[b]] + wc * to_linear[texels[c]] + wd * to_linear[texels[d]]
    a, b, c, d = a + 1, b + 1, c + 1, d + 1
    green = (
        wa * to_linear[texels[a]] + wb * to_linear[texels[b]] + wc * to_linear[texels[c]] + wd * to_linear[texels[d]]
    )
    a, b, c, d = a + 1, b + 1, c + 1, d + 1
    blue = wa * to_linear[texels[a]] + wb * to_linear[texels[b]] + wc * to_linear[texels[c]] + wd * to_linear[texels[d]]
    return red, green, blue


@njit(cache=True)
def _lamp_visibility(x, y, z, shadow, size, seed):
    """Share of the lamp that reaches a point given relative to the lamp: percentage-closer soft shadows.

    `seed` moves the grid of looks by a part of its step, so that soft borders are grained and not stepped.
    """
    rotation, depth = shadow.lamp_from_camera, shadow.inverse_depth
    a = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
    b = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
    c = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
    if c <= NEAR:
        return 1.0
    count = depth.shape[0]
    u, v = shadow.focal * a / c + 0.5 * count, shadow.focal * b / c + 0.5 * count  # truncated below to a texel
    limit = 1 / (c - 0.002)
    blocked, nearness = 0, 0.0
    for m in range(-1, 2):
        for n in range(-1, 2):
            row, column = int(v + 10 * m), int(u + 10 * n)
            if 0 <= row < count and 0 <= column < count and depth[row, column] > limit:
                blocked += 1
                nearness += depth[row, column]
    if blocked == 0:
        return 1.0
    penumbra = shadow.focal * size * (nearness / blocked - 1 / c)
    step = max(0.7, min(12.0, 0.5 * penumbra / _PENUMBRA_STEPS))
    mixed = (seed * 2654435761) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    u += step * ((mixed & 0xFFFF) / 65536.0 - 0.5)
    v += step * ((mixed >> 16) / 65536.0 - 0.5)
    lit = 0
    for m in range(-_PENUMBRA_STEPS, _PENUMBRA_STEPS + 1):
        for n in range(-_PENUMBRA_STEPS, _PENUMBRA_STEPS + 1):
            row, column = int(v + step * m), int(u + step * n)
            if not (0 <= row < count and 0 <= column < count) or depth[row, column] <= limit:
                lit += 1
    return lit / (2 * _PENUMBRA_STEPS + 1) ** 2


@njit(cache=True, fastmath=True)
def _shade_samples(inverse, triangle, setup, intrinsics, surfaces, materials, to_linear, light, shadow):
    """Linear colour (H / 2, W / 2, 3), the mean of 2x2 samples: texture x (surroundings + lamp) + highlight."""
    height, width = triangle.shape
    fx, fy, cx, cy = intrinsics
    image = np.zeros((height // 2, width // 2, 3), np.float32)
    for row in range(height):
        for column in range(width):
            i = triangle[row, column]
            if i < 0:
                continue
            x, y, z = (column - cx) / fx, (row - cy) / fy, 1 / np.float64(inverse[row, column])
            s, face, corner = setup[i], surfaces.faces[i], surfaces.uv[i]
            b = (s[1, 0] * x + s[1, 1] * y + s[1, 2]) * z
            c = (s[2, 0] * x + s[2, 1] * y + s[2, 2]) * z
            nx, ny, nz = _normal(surfaces.normals, face, 1 - b - c, b, c, x, y)
            u = corner[0, 0] + b * (corner[1, 0] - corner[0, 0]) + c * (corner[2, 0] - corner[0, 0])
            v = corner[0, 1] + b * (corner[1, 1] - corner[0, 1]) + c * (corner[2, 1] - corner[0, 1])
            lx, ly, lz = light.position[0] - x * z, light.position[1] - y * z, light.position[2] - z
            length = 1 / math.sqrt(lx * lx + ly * ly + lz * lz)
            facing = (nx * lx + ny * ly + nz * lz) * length
            lamp, highlight, m = 0.0, 0.0, surfaces.material[i]
            if facing > 0:
                lift = _SHADOW_BIAS
                lamp = _lamp_visibility(
                    lift * nx - lx, lift * ny - ly, lift * nz - lz, shadow, light.size, row * width + column
                )
                view = 1 / math.sqrt(x * x + y * y + 1)
                hx, hy, hz = lx * length - x * view, ly * length - y * view, lz * length - view
                half = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
                if half > 0.6 and lamp > 0 and materials.specular[m] > 0:
                    highlight = materials.specular[m] * half ** materials.gloss[m] * lamp
                lamp *= facing
            above = 0.5 + 0.5 * (nx * light.up[0] + ny * light.up[1] + nz * light.up[2])
            offset, rows, columns = materials.layout[m]
            albedo = _texture(materials.texels, offset, rows, columns, u, v, to_linear)
            pixel = image[row // 2, column // 2]
            for k in range(3):
                surroundings = light.sky[k] * above + light.ground[k] * (1 - above)
                light_k = albedo[k] * (surroundings + lamp * light.color[k]) + highlight * light.color[k]
                pixel[k] += np.float32(0.25) * np.float32(light_k)
    return image


@njit(cache=True, inline="always")
def _normal(normals, face, a, b, c, x, y):
    """Interpolated unit normal, turned towards the camera (surfaces have two sides)."""
    nx = a * normals[face[0], 0] + b * normals[face[1], 0] + c * normals[face[2], 0]
    ny = a * normals[face[0], 1] + b * normals[face[1], 1] + c * normals[face[2], 1]
    nz = a * normals[face[0], 2] + b * normals[face[1], 2] + c * normals[face[2], 2]
    scale = 1 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-20)
    if nx * x + ny * y + nz > 0:
        scale = -scale
    return nx * scale, ny * scale, nz * scale
