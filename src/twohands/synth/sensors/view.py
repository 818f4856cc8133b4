"""Infrared light that returns to a depth camera which lights the scene itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

from twohands.geometry.camera import Camera
from twohands.synth.rendering.render import Materials, Surfaces, focal_and_center, rasterize
from twohands.synth.rendering.shading import NEAR
from twohands.synth.sensors.mount import Mount

_SHADOW_SIZE = 768
_SHADOW_BIAS = 0.006  # metres


@dataclass(frozen=True)
class Finish:
    """Reflection by every triangle of infrared light that comes from beside the camera."""

    diffuse: np.ndarray  # (F,) float32, 1 = white
    highlight: np.ndarray  # (F,) float32, specular amplitude where the triangle faces the camera
    gloss: np.ndarray  # (F,) float32, exponent of the cosine for the specular part

    @staticmethod
    def of(surfaces: Surfaces, materials: Materials) -> Finish:
        """Return the finish of a scene. Sharper highlights are brighter (Blinn's lobe keeps its energy)."""
        gloss = materials.gloss[surfaces.material].astype(np.float32)
        highlight = materials.specular[surfaces.material] * (gloss + 8) / 8
        return Finish(materials.infrared[surfaces.material].astype(np.float32), highlight.astype(np.float32), gloss)

    @staticmethod
    def dull(surfaces: Surfaces, infrared: np.ndarray) -> Finish:
        """Return a finish without highlights; `infrared` (M,) is the reflectance of every material."""
        nothing = np.zeros(len(surfaces.faces), dtype=np.float32)
        return Finish(infrared[surfaces.material].astype(np.float32), nothing, nothing)


def returned_light(
    surfaces: Surfaces, finish: Finish, mount: Mount, second: np.ndarray, samples: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return amplitude, amplitude x depth, amplitude x depth^2 of every depth pixel; (h, w) float32 each.

    The values average `samples` x `samples` samples per pixel. `second` (3,), metres in the depth camera's frame, is
    the lamp or the second stereo camera; surfaces hidden from it return nothing. Amplitude 1 is white, head on, at 1 m.
    """
    camera = mount.camera
    seen = mount.from_color(surfaces.vertices)
    fine = camera.resize(samples * camera.width, samples * camera.height)
    intrinsics = focal_and_center(fine)
    inverse, triangle, _ = rasterize(seen, surfaces.faces, intrinsics, fine.width, fine.height, NEAR)
    lamp, focal = _second_view(seen - second, surfaces.faces, camera)
    look = (finish.diffuse, finish.highlight, finish.gloss)
    sums = _mix(inverse, triangle, seen, surfaces.faces, look, intrinsics, lamp, focal, second, samples)
    return sums[0], sums[1], sums[2]


def _second_view(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, float]:
    """Return the inverse depth seen from the second place (square, centred) and its focal length in pixels."""
    half = max(camera.width / float(camera.focal[0]), camera.height / float(camera.focal[1])) * 0.55
    focal = 0.5 * _SHADOW_SIZE / half
    center = 0.5 * (_SHADOW_SIZE - 1)
    intrinsics = np.array([focal, focal, center, center])
    inverse, _, _ = rasterize(vertices, faces, intrinsics, _SHADOW_SIZE, _SHADOW_SIZE, NEAR)
    return inverse, focal


@njit(cache=True)
def _mix(inverse, triangle, vertices, faces, look, intrinsics, lamp, lamp_focal, second, samples):
    """Return the three sums of `returned_light`, (3, h, w) float32."""
    height, width = inverse.shape[0] // samples, inverse.shape[1] // samples
    sums = np.zeros((3, height, width), np.float32)
    diffuse, highlight, gloss = look
    fx, fy, cx, cy = intrinsics
    count = lamp.shape[0]
    weight = 1 / samples**2
    for row in range(height * samples):
        for column in range(width * samples):
            i = triangle[row, column]
            if i < 0:
                continue
            z = 1 / np.float64(inverse[row, column])
            x, y = (column - cx) / fx, (row - cy) / fy
            lz = z - second[2]
            if lz <= NEAR:
                continue
            u = int(lamp_focal * (x * z - second[0]) / lz + 0.5 * count)
            v = int(lamp_focal * (y * z - second[1]) / lz + 0.5 * count)
            if 0 <= u < count and 0 <= v < count and lamp[v, u] > 1 / (lz - _SHADOW_BIAS):
                continue  # behind something nearer to the second place
            facing = _facing(vertices[faces[i, 0]], vertices[faces[i, 1]], vertices[faces[i, 2]], x, y)
            light = diffuse[i] * facing
            if highlight[i] > 0:
                light += highlight[i] * facing ** gloss[i]
            amplitude = weight * light / (z * z * (x * x + y * y + 1))
            a, b = row // samples, column // samples
            sums[0, a, b] += amplitude
            sums[1, a, b] += amplitude * z
            sums[2, a, b] += amplitude * z * z
    return sums


@njit(cache=True, inline="always")
def _facing(p, q, r, x, y):
    """Return |cosine| between a triangle's normal and the ray (x, y, 1)."""
    ax, ay, az, bx, by, bz = q[0] - p[0], q[1] - p[1], q[2] - p[2], r[0] - p[0], r[1] - p[1], r[2] - p[2]
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = math.sqrt((nx * nx + ny * ny + nz * nz) * (x * x + y * y + 1)) + 1e-20
    return abs(nx * x + ny * y + nz) / length
