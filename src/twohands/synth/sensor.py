"""Cameras: what the colour camera makes of light, and what a time-of-flight camera makes of surfaces.

The depth camera stands beside the colour camera, its illuminator beside it. A pixel mixes the returns of everything in
it, weighted by amplitude; where the mixture is too wide or too weak there is no reading. Its depth is then warped into
the colour image triangle by triangle, blocks of 2x2 readings that span too large a step being left out: the holes along
contours of registered depth images. The ranges enclose what frames of a head-mounted Azure Kinect show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.ndimage import gaussian_filter

from twohands.geometry.camera import Camera
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.synth.render import NEAR, Surfaces, rasterize

STEP = 0.001
"""Metres of one depth step."""
_SAMPLES = 2  # samples across a depth pixel
_SHADOW_SIZE = 768


@dataclass(frozen=True)
class DepthCamera:
    """One time-of-flight camera and its place beside the colour camera."""

    camera: Camera
    rotation: np.ndarray  # (3, 3) colour from depth camera
    translation: np.ndarray  # (3,) metres
    illuminator: np.ndarray  # (3,) metres, in the depth camera's frame
    noise: float  # metres of deviation at amplitude 1 (white, head on, at 1 m)
    spread: float  # largest relative deviation of the depths mixed in one pixel
    weakest: float  # amplitude below which there is no reading
    largest_step: float  # relative step within 2x2 readings that the warp leaves out
    range: tuple[float, float]  # metres

    def sigma(self, depth: float, infrared: float = 0.55) -> float:
        """Metres of noise of a surface that faces the camera."""
        return self.noise * depth / math.sqrt(infrared)


def sample_depth_camera(rng: np.random.Generator, color: Camera) -> DepthCamera:
    """A depth camera that sees about what `color` sees, with 1.2 to 2.1 colour pixels to one of its own."""
    coarseness = rng.uniform(1.2, 2.1)
    margin = rng.uniform(1.05, 1.25)
    width, height = (math.ceil(margin * size / coarseness) for size in (color.width, color.height))
    focal = float(color.focal[0]) / coarseness
    center = np.array([(width - 1) / 2, (height - 1) / 2]) + rng.normal(0.0, 0.01, 2) * width
    K = np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1.0]])
    side = rng.choice([-1.0, 1.0], p=[0.8, 0.2])
    baseline = side * rng.uniform(0.015, 0.045)
    return DepthCamera(
        camera=Camera(K, width, height),
        rotation=matrix_from_axis_angle(
            np.array([rng.normal(0.0, 0.03), rng.normal(0.0, 0.01), rng.normal(0.0, 0.01)])
        ),
        translation=np.array([baseline, rng.normal(0.0, 0.003), rng.normal(0.0, 0.003)]),
        illuminator=np.array([side * rng.uniform(0.006, 0.020), rng.normal(0.0, 0.004), 0.0]),
        noise=float(rng.uniform(0.0003, 0.0012)),
        spread=float(rng.uniform(0.04, 0.09)),
        weakest=float(rng.uniform(0.008, 0.03)),
        largest_step=float(rng.uniform(0.04, 0.10)),
        range=(float(rng.uniform(0.20, 0.27)), float(rng.uniform(2.0, 4.0))),
    )


def measure_depth(
    rng: np.random.Generator, surfaces: Surfaces, infrared: np.ndarray, color: Camera, sensor: DepthCamera
) -> np.ndarray:
    """Registered depth (H, W) uint16 in steps of `STEP`, 0 where there is no reading.

    `infrared` (M,) is the reflectance of every material.
    """
    camera = sensor.camera
    seen = (surfaces.vertices - sensor.translation) @ sensor.rotation
    fine = camera.resize(_SAMPLES * camera.width, _SAMPLES * camera.height)
    intrinsics = _intrinsics(fine)
    inverse, triangle, _ = rasterize(seen, surfaces.faces, intrinsics, fine.width, fine.height, NEAR)
    lamp = _illuminator_view(seen, surfaces.faces, sensor)
    reflectance = infrared[surfaces.material].astype(np.float32)
    sums = _mix(inverse, triangle, seen, surfaces.faces, reflectance, intrinsics, *lamp, sensor.illuminator)
    amplitude, first, second = (_lens(image) for image in sums)
    weight = np.maximum(amplitude, 1e-9)
    mean = first / weight
    deviation = np.sqrt(np.maximum(second / weight - mean * mean, 0))
    valid = (amplitude > sensor.weakest) & (deviation < sensor.spread * mean)
    noise = sensor.noise / np.sqrt(weight) * _correlated_noise(rng, (camera.height, camera.width))
    depth = np.where(valid, mean + noise, 0.0)
    depth[(depth < sensor.range[0]) | (depth > sensor.range[1])] = 0
    return _register(depth, color, sensor)


def develop(rng: np.random.Generator, linear: np.ndarray) -> np.ndarray:
    """Linear light (H, W, 3) -> sRGB (H, W, 3) uint8: exposure, white balance, blur, sensor noise."""
    height, width = linear.shape[:2]
    bright = float(np.percentile(linear[::4, ::4].max(axis=-1), 92.0))
    exposure = rng.uniform(0.55, 1.05) / max(bright, 0.05)
    balance = 1 + rng.normal(0.0, 0.03, 3)
    image = linear * (exposure * balance).astype(np.float32)
    scale = width / 640
    blur = rng.uniform(0.0, 0.8) * scale
    if blur > 0.25:
        image = gaussian_filter(image, (blur, blur, 0), truncate=3.0)
    image = np.clip(image, 0, 1) ** np.float32(1 / 2.2)
    grain = rng.uniform(0.002, 0.014)
    image += np.float32(grain) * rng.standard_normal((height, width, 3), dtype=np.float32)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _intrinsics(camera: Camera) -> np.ndarray:
    K = np.asarray(camera.K, dtype=np.float64)
    return np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])


def _illuminator_view(seen: np.ndarray, faces: np.ndarray, sensor: DepthCamera) -> tuple[np.ndarray, float]:
    """Inverse depth seen from the illuminator (square, centred), and its focal length in pixels."""
    camera = sensor.camera
    half = max(camera.width / float(camera.focal[0]), camera.height / float(camera.focal[1])) * 0.55
    focal = 0.5 * _SHADOW_SIZE / half
    center = 0.5 * (_SHADOW_SIZE - 1)
    intrinsics = np.array([focal, focal, center, center])
    inverse, _, _ = rasterize(seen - sensor.illuminator, faces, intrinsics, _SHADOW_SIZE, _SHADOW_SIZE, NEAR)
    return inverse, focal


def _lens(image: np.ndarray) -> np.ndarray:
    """The point spread of the depth camera's lens: a sharp core and a broad tail, pixels."""
    return 0.85 * gaussian_filter(image, 0.8, truncate=3.0) + 0.15 * gaussian_filter(image, 1.5, truncate=3.0)


def _correlated_noise(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Noise of deviation 1; half of its variance extends over neighbouring pixels."""
    white = rng.standard_normal(shape, dtype=np.float32)
    broad = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 1.8, truncate=3.0)
    return math.sqrt(0.5) * white + math.sqrt(0.5) * broad / broad.std()


@njit(cache=True)
def _mix(inverse, triangle, vertices, faces, reflectance, intrinsics, lamp, lamp_focal, illuminator):
    """Amplitude, amplitude x depth, amplitude x depth^2 of every depth pixel; (H, W) float32 each."""
    height, width = inverse.shape[0] // _SAMPLES, inverse.shape[1] // _SAMPLES
    sums = np.zeros((3, height, width), np.float32)
    fx, fy, cx, cy = intrinsics
    count = lamp.shape[0]
    share = 1 / _SAMPLES**2
    for row in range(height * _SAMPLES):
        for column in range(width * _SAMPLES):
            i = triangle[row, column]
            if i < 0:
                continue
            z = 1 / np.float64(inverse[row, column])
            x, y = (column - cx) / fx, (row - cy) / fy
            lz = z - illuminator[2]
            if lz <= NEAR:
                continue
            u = int(lamp_focal * (x * z - illuminator[0]) / lz + 0.5 * count)
            v = int(lamp_focal * (y * z - illuminator[1]) / lz + 0.5 * count)
            if 0 <= u < count and 0 <= v < count and lamp[v, u] > 1 / (lz - 0.006):
                continue  # in the shadow of something nearer to the illuminator
            facing = _facing(vertices[faces[i, 0]], vertices[faces[i, 1]], vertices[faces[i, 2]], x, y)
            amplitude = share * reflectance[i] * facing / (z * z * (x * x + y * y + 1))
            a, b = row // _SAMPLES, column // _SAMPLES
            sums[0, a, b] += amplitude
            sums[1, a, b] += amplitude * z
            sums[2, a, b] += amplitude * z * z
    return sums


@njit(cache=True, inline="always")
def _facing(p, q, r, x, y):
    """|cosine| between a triangle's normal and the ray (x, y, 1)."""
    ax, ay, az, bx, by, bz = q[0] - p[0], q[1] - p[1], q[2] - p[2], r[0] - p[0], r[1] - p[1], r[2] - p[2]
    nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
    length = math.sqrt((nx * nx + ny * ny + nz * nz) * (x * x + y * y + 1)) + 1e-20
    return abs(nx * x + ny * y + nz) / length


def _register(depth: np.ndarray, color: Camera, sensor: DepthCamera) -> np.ndarray:
    points = sensor.camera.rays() * depth[..., None] @ sensor.rotation.T + sensor.translation
    z = np.where(depth > 0, points[..., 2], 1.0)
    pixels = color.project(np.concatenate([points[..., :2], z[..., None]], axis=-1).reshape(-1, 3)).reshape(*z.shape, 2)
    image = _warp(depth, pixels, z, color.width, color.height, sensor.largest_step)
    return np.round(image / STEP).astype(np.uint16)


@njit(cache=True)
def _warp(depth, pixels, z, width, height, largest_step):
    """Draw every block of 2x2 readings (three at least) as triangles into the colour image; the nearest one wins."""
    image = np.zeros((height, width))
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]])
    for row in range(depth.shape[0] - 1):
        for column in range(depth.shape[1] - 1):
            valid, low, high, missing = 0, 1e9, 0.0, -1
            for k in range(4):
                value = depth[row + corners[k, 0], column + corners[k, 1]]
                if value > 0:
                    valid += 1
                    low, high = min(low, value), max(high, value)
                else:
                    missing = k
            if valid < 3 or high - low > largest_step * low:
                continue
            for first in range(2 if valid == 4 else 1):
                # without a hole: (0, 1, 2) and (0, 2, 3); with one: the three others in order
                start = 0 if valid == 4 else (missing + 1) % 4
                second, third = (start + 1 + first) % 4, (start + 2 + first) % 4
                a, b, c = corners[start], corners[second], corners[third]
                _draw(
                    image,
                    *(
                        pixels[row + a[0], column + a[1]],
                        pixels[row + b[0], column + b[1]],
                        pixels[row + c[0], column + c[1]],
                    ),
                    *(z[row + a[0], column + a[1]], z[row + b[0], column + b[1]], z[row + c[0], column + c[1]]),
                )
    return image


@njit(cache=True)
def _draw(image, p, q, r, zp, zq, zr):
    """One small triangle, depth linear in the image; back faces are left out."""
    area = (q[0] - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (q[1] - p[1])
    if area <= 1e-9:
        return
    left, right = math.ceil(min(p[0], q[0], r[0])), math.floor(max(p[0], q[0], r[0]))
    top, bottom = math.ceil(min(p[1], q[1], r[1])), math.floor(max(p[1], q[1], r[1]))
    for v in range(max(0, top), min(image.shape[0] - 1, bottom) + 1):
        for u in range(max(0, left), min(image.shape[1] - 1, right) + 1):
            b = ((u - p[0]) * (r[1] - p[1]) - (r[0] - p[0]) * (v - p[1])) / area
            c = ((q[0] - p[0]) * (v - p[1]) - (u - p[0]) * (q[1] - p[1])) / area
            if b >= 0 and c >= 0 and b + c <= 1:
                value = zp + b * (zq - zp) + c * (zr - zp)
                if image[v, u] == 0 or value < image[v, u]:
                    image[v, u] = value
