"""Shading kernels: the colour of drawn surfaces under lamps and ambient light."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

NEAR = 0.02
"""Distance in metres below which surfaces are not drawn."""
_SHADOW_BIAS = 0.004  # metres that a point is lifted along its normal before the shadow test
_PENUMBRA_STEPS = 2  # soft shadows average (2 n + 1)^2 texels
_SCATTER = (-0.22, 0.0, 0.06)  # exponents of lamp light on skin, minus 1: red reaches farther into shadows


class Lamps(NamedTuple):
    """All lamps, with the depth of the scene seen from each."""

    position: np.ndarray  # (L, 3)
    size: np.ndarray  # (L,)
    color: np.ndarray  # (L, 3)
    rotation: np.ndarray  # (L, 3, 3) lamp from camera
    focal: np.ndarray  # (L,) texels
    inverse_depth: np.ndarray  # (L, N, N) float32


class Surroundings(NamedTuple):
    """Ambient light in the camera frame."""

    sky: np.ndarray  # (3,)
    ground: np.ndarray  # (3,)
    up: np.ndarray  # (3,)
    environment: np.ndarray  # (9, 3), or (0, 3) where sky and ground are used
    openness: np.ndarray  # (H, W) float32 fraction of the surroundings that a pixel sees, or (0, 0) for all of them


@njit(cache=True, fastmath=True)
def shade_samples(inverse, triangle, setup, intrinsics, surfaces, materials, to_linear, surroundings, lamps):
    """Return linear colour (H / 2, W / 2, 3), mean of 2x2 samples: texture x (ambient + lamps) + highlights."""
    height, width = triangle.shape
    fx, fy, cx, cy = intrinsics
    image = np.zeros((height // 2, width // 2, 3), np.float32)
    _, faces, normals, uv, material, _ = surfaces
    texels, layout, speculars, glosses, _, scatters = materials
    position, size, color, rotation, focal, nearness = lamps  # unpacked here: tuple access is slow in the loop
    sky, ground, up, environment, openness = surroundings
    count, around, mirrored = len(size), np.zeros(3), np.zeros(3)
    lit, shine = np.zeros(count), np.zeros(count)
    for row in range(height):
        for column in range(width):
            i = triangle[row, column]
            if i < 0:
                continue
            x, y, z = (column - cx) / fx, (row - cy) / fy, 1 / np.float64(inverse[row, column])
            s, face, corner = setup[i], faces[i], uv[i]
            b = (s[1, 0] * x + s[1, 1] * y + s[1, 2]) * z
            c = (s[2, 0] * x + s[2, 1] * y + s[2, 2]) * z
            nx, ny, nz = _normal(normals, face, 1 - b - c, b, c, x, y)
            u = corner[0, 0] + b * (corner[1, 0] - corner[0, 0]) + c * (corner[2, 0] - corner[0, 0])
            v = corner[0, 1] + b * (corner[1, 1] - corner[0, 1]) + c * (corner[2, 1] - corner[0, 1])
            m = material[i]
            specular, gloss, scatter = speculars[m], glosses[m], scatters[m]
            for n in range(count):
                lx, ly, lz = position[n, 0] - x * z, position[n, 1] - y * z, position[n, 2] - z
                length = 1 / math.sqrt(lx * lx + ly * ly + lz * lz)
                facing = (nx * lx + ny * ly + nz * lz) * length
                lit[n], shine[n] = 0.0, 0.0
                if facing > 0:
                    away = (_SHADOW_BIAS * nx - lx, _SHADOW_BIAS * ny - ly, _SHADOW_BIAS * nz - lz)
                    visible = _lamp_visibility(away, rotation, focal[n], size[n], nearness, n, row * width + column)
                    lit[n] = visible * facing
                    if specular > 0 and visible > 0:
                        toward = (lx * length, ly * length, lz * length)
                        shine[n] = specular * visible * _highlight(toward, x, y, nx, ny, nz, gloss)
            if environment.shape[0] > 0:
                _measured_light(around, mirrored, environment, x, y, nx, ny, nz, specular)
            else:
                above = 0.5 + 0.5 * (nx * up[0] + ny * up[1] + nz * up[2])
                for k in range(3):
                    around[k] = sky[k] * above + ground[k] * (1 - above)
            offset, rows, columns = layout[m]
            albedo = _texture(texels, offset, rows, columns, u, v, to_linear)
            pixel = image[row // 2, column // 2]
            for k in range(3):
                received, highlight = around[k], mirrored[k]
                if openness.shape[0] > 0:
                    seen = openness[row // 2, column // 2]
                    received *= _bounced(seen, albedo[k])
                    highlight *= seen
                for n in range(count):
                    spread = lit[n]
                    if scatter > 0 and spread > 0:
                        spread = spread ** (1 + scatter * _SCATTER[k])
                    received += spread * color[n, k]
                    highlight += shine[n] * color[n, k]
                pixel[k] += np.float32(0.25) * np.float32(albedo[k] * received + highlight)
    return image


@njit(cache=True, inline="always", fastmath=True)
def _highlight(toward, x, y, nx, ny, nz, gloss):
    """Return the highlight of a lamp in unit direction `toward` on a surface seen along (x, y, 1) (Blinn 1977)."""
    view = 1 / math.sqrt(x * x + y * y + 1)
    hx, hy, hz = toward[0] - x * view, toward[1] - y * view, toward[2] - view
    half = (nx * hx + ny * hy + nz * hz) / math.sqrt(hx * hx + hy * hy + hz * hz + 1e-12)
    return half**gloss if half > 0.6 else 0.0


@njit(cache=True, inline="always", fastmath=True)
def _measured_light(around, mirrored, environment, x, y, nx, ny, nz, specular):
    """Write a measured environment's irradiance to `around` and its blurred reflection to `mirrored`, (3,)."""
    basis = harmonics(nx, ny, nz)
    for k in range(3):
        value = 0.0
        for i in range(9):
            value += environment[i, k] * basis[i]
        around[k], mirrored[k] = max(value, 0.0), 0.0
    if specular > 0:
        view = 1 / math.sqrt(x * x + y * y + 1)
        cosine = -(nx * x + ny * y + nz) * view
        # a rough dielectric: at grazing angles half the reflection of a smooth one (Schlick 1994)
        weight = (0.03 + 0.5 * (1 - cosine) ** 5) * math.sqrt(specular)
        basis = harmonics(x * view + 2 * cosine * nx, y * view + 2 * cosine * ny, view + 2 * cosine * nz)
        for k in range(3):
            value = 0.0
            for i in range(9):
                value += environment[i, k] * basis[i]
            mirrored[k] = weight * max(value, 0.0)


@njit(cache=True, inline="always", fastmath=True)
def _texture(texels, offset, height, width, u, v, to_linear):
    """Return red, green and blue in linear light by bilinear, repeating look-up."""
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
def _lamp_visibility(away, rotation, focal, size, depth, n, seed):
    """Return the fraction of lamp n that a point `away` from it sees: percentage-closer soft shadows.

    `seed` moves the sampling grid by a part of its step, so that soft borders are grainy and not stepped.
    """
    x, y, z = away
    a = rotation[n, 0, 0] * x + rotation[n, 0, 1] * y + rotation[n, 0, 2] * z
    b = rotation[n, 1, 0] * x + rotation[n, 1, 1] * y + rotation[n, 1, 2] * z
    c = rotation[n, 2, 0] * x + rotation[n, 2, 1] * y + rotation[n, 2, 2] * z
    if c <= NEAR:
        return 1.0
    count = depth.shape[1]
    u, v = focal * a / c + 0.5 * count, focal * b / c + 0.5 * count  # truncated below to a texel
    limit = 1 / (c - 0.002)
    blocked, nearness = 0, 0.0
    for down in range(-1, 2):
        for right in range(-1, 2):
            row, column = int(v + 10 * down), int(u + 10 * right)
            if 0 <= row < count and 0 <= column < count and depth[n, row, column] > limit:
                blocked += 1
                nearness += depth[n, row, column]
    if blocked == 0:
        return 1.0
    penumbra = focal * size * (nearness / blocked - 1 / c)
    step = max(0.7, min(12.0, 0.5 * penumbra / _PENUMBRA_STEPS))
    mixed = (seed * 2654435761) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
    u += step * ((mixed & 0xFFFF) / 65536.0 - 0.5)
    v += step * ((mixed >> 16) / 65536.0 - 0.5)
    lit = 0
    for down in range(-_PENUMBRA_STEPS, _PENUMBRA_STEPS + 1):
        for right in range(-_PENUMBRA_STEPS, _PENUMBRA_STEPS + 1):
            row, column = int(v + step * down), int(u + step * right)
            if not (0 <= row < count and 0 <= column < count) or depth[n, row, column] <= limit:
                lit += 1
    return lit / (2 * _PENUMBRA_STEPS + 1) ** 2


@njit(cache=True)
def harmonics(x, y, z):
    """Return the 9 orthonormal real harmonics of bands 0 to 2 at a unit vector (Ramamoorthi & Hanrahan 2001)."""
    return (
        0.28209479 + 0 * x,
        *(0.48860251 * y, 0.48860251 * z, 0.48860251 * x),
        *(1.09254843 * x * y, 1.09254843 * y * z, 0.31539157 * (3 * z * z - 1)),
        *(1.09254843 * x * z, 0.54627422 * (x * x - y * y)),
    )


@njit(cache=True, inline="always")
def _bounced(openness, albedo):
    """Return the fraction of light in a crevice with interreflection: bright walls are less dark, skin is warm.

    Fit of Jimenez et al. 2016, Practical real-time strategies for accurate indirect occlusion.
    """
    a, b, c = 2.0404 * albedo - 0.3324, 0.6417 - 4.7951 * albedo, 2.7552 * albedo + 0.6903
    return max(openness, ((a * openness + b) * openness + c) * openness)


@njit(cache=True)
def pixel_normals(triangle, setup, intrinsics, faces, normals):
    """Return normals (H, W, 3) float32 towards the camera at every second sample and row."""
    fx, fy, cx, cy = intrinsics
    height, width = triangle.shape[0] // 2, triangle.shape[1] // 2
    result = np.zeros((height, width, 3), np.float32)
    for row in range(height):
        for column in range(width):
            i = triangle[2 * row, 2 * column]
            if i >= 0:
                x, y, s = (2 * column - cx) / fx, (2 * row - cy) / fy, setup[i]
                a = s[0, 0] * x + s[0, 1] * y + s[0, 2]
                b = s[1, 0] * x + s[1, 1] * y + s[1, 2]
                c = s[2, 0] * x + s[2, 1] * y + s[2, 2]
                result[row, column] = _normal(normals, faces[i], a, b, c, x, y)
    return result


@njit(cache=True, inline="always")
def _normal(normals, face, a, b, c, x, y):
    """Return the interpolated unit normal, turned towards the camera (surfaces have two sides)."""
    nx = a * normals[face[0], 0] + b * normals[face[1], 0] + c * normals[face[2], 0]
    ny = a * normals[face[0], 1] + b * normals[face[1], 1] + c * normals[face[2], 1]
    nz = a * normals[face[0], 2] + b * normals[face[1], 2] + c * normals[face[2], 2]
    scale = 1 / math.sqrt(nx * nx + ny * ny + nz * nz + 1e-20)
    if nx * x + ny * y + nz > 0:
        scale = -scale
    return nx * scale, ny * scale, nz * scale
