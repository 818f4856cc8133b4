"""The colour camera: exposure, white balance, blur, noise, tone curve, sharpening, JPEG.

Motion traces, softness and defocus are given in pixels of an image 640 pixels wide and scale with the width; noise,
sharpening and JPEG use the same pixels at every width.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from PIL import Image
from scipy.ndimage import convolve, find_objects, gaussian_filter

from twohands.synth.config import SynthConfig
from twohands.synth.rendering.light import LUMINANCE, temperature_color

_LOOKUP = 4096  # entries of the tone curve, over the square root of linear light from 0 to 2
_MOVED = 0.45  # fraction of the moving parts that move while the shutter is open
_DIM = 0.18
"""Fraction of photographs in dim and mostly warm light: darker, less of the cast removed, and noisier."""
_LARGEST_MOTION, _LARGEST_DEFOCUS = 8.0, 2.2  # pixels: length of a trace, radius of a disc


@dataclass(frozen=True)
class Film:
    """The noise of one picture of a sequence, and the exposure that it shares with the others."""

    noise: np.random.Generator  # of this picture alone
    bright: float  # see `brightness`


def brightness(linear: np.ndarray) -> float:
    """Return the light that the exposure of a picture (H, W, 3) is set by."""
    return float(np.percentile(linear[::4, ::4].max(axis=-1), 92.0))


def develop(
    rng: np.random.Generator,
    linear: np.ndarray,
    config: SynthConfig,
    moving: np.ndarray | None = None,
    depth: np.ndarray | None = None,
    film: Film | None = None,
) -> np.ndarray:
    """Return the sRGB photograph (H, W, 3) uint8 of linear light (H, W, 3).

    With `config.camera_faults`, `moving` (H, W) numbers the parts that move together from 1 (0 stands still), and
    `depth` (H, W) metres (0 = nothing) sets the defocus. Without them only the camera shakes, and defocus is uniform.
    With a `film`, pictures of one stream `rng` are of one camera with a fixed exposure, each with its own noise.
    """
    film = film or Film(rng, brightness(linear))
    if not config.camera_faults:
        return _good_camera(rng, linear, film)
    dim = rng.random() < _DIM
    image = _exposed(rng, linear, dim, film.bright)
    if moving is not None:
        image = _with_moving_parts(rng, image, moving)
    image = _through_lens(rng, image, depth)
    image = _with_noise(rng, image, dim, film.noise)
    image = _toned(rng, image)
    return _stored(rng, image)


def _good_camera(rng: np.random.Generator, linear: np.ndarray, film: Film) -> np.ndarray:
    """Develop with little blur and noise, and no other fault."""
    height, width = linear.shape[:2]
    exposure = rng.uniform(0.55, 1.05) / max(film.bright, 0.05)
    balance = 1 + rng.normal(0.0, 0.03, 3)
    image = linear * (exposure * balance).astype(np.float32)
    scale = width / 640
    blur = rng.uniform(0.0, 0.8) * scale
    if blur > 0.25:
        image = gaussian_filter(image, (blur, blur, 0), truncate=3.0)
    image = np.clip(image, 0, 1) ** np.float32(1 / 2.2)
    grain = rng.uniform(0.002, 0.014)
    image += np.float32(grain) * film.noise.standard_normal((height, width, 3), dtype=np.float32)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _exposed(rng: np.random.Generator, linear: np.ndarray, dim: bool, bright: float) -> np.ndarray:
    """Apply exposure, a colour cast partly removed by the camera, and darker corners; 1 is the sensor's white."""
    height, width = linear.shape[:2]
    exposure = np.clip(math.exp(rng.normal(-0.15, 0.42)), 0.25, 2.4) / max(bright, 0.05)
    cast = temperature_color(1e6 / rng.uniform(1e6 / 9000, 1e6 / 2500)) ** rng.uniform(0.0, 0.28)
    if dim:
        exposure *= rng.uniform(0.25, 0.7)
        cast = temperature_color(rng.uniform(2300, 4500)) ** rng.uniform(0.15, 0.55)
    cast = cast * [1.0, math.exp(rng.normal(0.0, 0.025)), 1.0]
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)
    square = ((u - width / 2) ** 2 + (v - height / 2) ** 2) / np.float32(width * width / 4 + height * height / 4)
    falloff = 1 - np.float32(rng.uniform(0.0, 0.35)) * square
    return linear * falloff[..., None] * (exposure * cast / float(cast @ LUMINANCE)).astype(np.float32)


def _with_moving_parts(rng: np.random.Generator, image: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Blur some of the moving parts along straight traces, guessing the uncovered background from beside them."""
    image = image.copy()
    for number, box in enumerate(find_objects(moving), start=1):
        length, angle = rng.uniform(0.5, _LARGEST_MOTION), rng.uniform(0, 2 * np.pi)
        if box is None or rng.random() >= _MOVED:
            continue
        spread = _trace(length * image.shape[1] / 640, angle)
        margin = len(spread) // 2 + 1
        box = tuple(slice(max(0, part.start - margin), part.stop + margin) for part in box)
        part, mask = image[box], (moving[box] == number)[..., None].astype(np.float32)
        front, cover = _convolved(part * mask, spread), _convolved(mask, spread)
        behind = np.where(mask > 0, (_convolved(part, spread) - front) / np.maximum(1 - cover, 0.02), part)
        image[box] = front + (1 - cover) * behind
    return image


def _through_lens(rng: np.random.Generator, image: np.ndarray, depth: np.ndarray | None) -> np.ndarray:
    """Apply the blur of lens and pixels, the shake of the camera and defocus."""
    scale = image.shape[1] / 640
    softness, shakes, unfocused = rng.uniform(0.35, 0.85), rng.random() < 0.20, rng.random() < 0.30
    length, angle = rng.uniform(0.5, 0.5 * _LARGEST_MOTION), rng.uniform(0, 2 * np.pi)
    radius, focus = _LARGEST_DEFOCUS * rng.beta(1.2, 2.0), rng.uniform(0.25, 1.2)
    spread = _trace(length * scale, angle) if shakes else np.ones((1, 1))
    sharp = _convolved(image, _softened(spread, softness * scale))
    if not unfocused or radius * scale < 0.3:
        return sharp
    blurred = _convolved(sharp, _disc(radius * scale))
    if depth is None:
        return blurred
    nearness = np.where(depth > 0, 1 / np.maximum(depth, 0.1), 0.0)  # blur grows with the difference in dioptres
    weight = np.clip(np.abs(nearness - 1 / focus) * 0.6, 0, 1).astype(np.float32)[..., None]
    weight = _convolved(weight, _disc(max(radius * scale, 1.0)))
    return sharp + weight * (blurred - sharp)


def _with_noise(rng: np.random.Generator, image: np.ndarray, dim: bool, noise: np.random.Generator) -> np.ndarray:
    """Add shot noise (variance proportional to the light), read noise, and blotches of colour at high gain."""
    height, width = image.shape[:2]
    gain = math.exp(rng.uniform(math.log(1.5e-5), math.log(9e-4)))  # variance at white
    gain *= 2.5 if dim else 1.0
    read = rng.uniform(0.02, 0.12) * math.sqrt(gain)
    grain = noise.standard_normal((height, width, 3), dtype=np.float32)
    neighbours = rng.uniform(0.0, 0.45)  # cameras interpolate and smooth
    kernel = np.array([[0, neighbours, 0], [neighbours, 1, neighbours], [0, neighbours, 0]])
    grain = _convolved(grain, kernel / np.sqrt((kernel**2).sum()))
    coarse = noise.standard_normal((height // 4 + 1, width // 4 + 1, 3), dtype=np.float32)
    coarse -= coarse.mean(axis=-1, keepdims=True)
    blotches = np.repeat(np.repeat(coarse, 4, axis=0), 4, axis=1)[:height, :width]
    grain += np.float32(rng.uniform(0.0, 0.9)) * _convolved(blotches, np.full((3, 3), 1 / 9))
    return image + grain * np.sqrt(np.float32(gain) * np.clip(image, 0, 1) + np.float32(read * read))


def _toned(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Apply tone curve, saturation and sharpening with its bright and dark seams; about [0, 1], gamma applied."""
    contrast, lift = rng.uniform(-0.15, 0.8), rng.uniform(0.0, 0.02)
    knee = rng.uniform(0.7, 1.0)  # light above it is compressed instead of cut off
    light = np.linspace(0, 2, _LOOKUP) ** 2
    above = np.maximum(light - knee, 0)
    light = np.minimum(light, knee) + (1 - knee) * (1 - np.exp(-above / max(1 - knee, 1e-3)))
    tone = np.clip(light, 0, 1) ** (1 / 2.2)
    tone = tone + contrast * tone * (1 - tone) * (tone - 0.5)
    tone = (lift + (1 - lift) * tone).astype(np.float32)
    index = np.sqrt(np.clip(image, 0, 3.99)) * np.float32(_LOOKUP / 2)
    image = tone[np.minimum(index.astype(np.int32), _LOOKUP - 1)]
    gray = image @ LUMINANCE.astype(np.float32)
    saturation, sharpening = rng.uniform(0.75, 1.15), rng.uniform(0.0, 1.1) if rng.random() < 0.6 else 0.0
    image = gray[..., None] + np.float32(saturation) * (image - gray[..., None])
    if sharpening > 0:
        smooth = _convolved(gray[..., None], _softened(np.ones((1, 1)), rng.uniform(0.6, 1.3)))
        image += np.float32(sharpening) * (gray[..., None] - smooth)
    return image


def _stored(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Return the image as bytes, after JPEG compression for 60 % of the images."""
    compressed, quality, halved = rng.random() < 0.6, int(40 + 56 * math.sqrt(rng.random())), rng.random() < 0.7
    pixels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if not compressed:
        return pixels
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=2 if halved else 0)
    with Image.open(stream) as stored:
        return np.asarray(stored).copy()


def _trace(length: float, angle: float) -> np.ndarray:
    """Return the spread (N, N) of a point that moves `length` pixels at constant speed; N odd, sum 1."""
    half = math.ceil(length / 2) + 1
    spread = np.zeros((2 * half + 1, 2 * half + 1))
    along = np.linspace(-0.5, 0.5, 4 * half + 1) * length
    rows, columns = half + along * math.sin(angle), half + along * math.cos(angle)
    row, column = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = rows - row, columns - column
    for m, n in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = (down if m else 1 - down) * (right if n else 1 - right)
        np.add.at(spread, (np.minimum(row + m, 2 * half), np.minimum(column + n, 2 * half)), weight)
    return spread / spread.sum()


def _disc(radius: float) -> np.ndarray:
    """Return the spread (N, N) of a point out of focus; N odd, sum 1."""
    half = math.ceil(radius)
    v, u = np.mgrid[-half : half + 1, -half : half + 1]
    disc = np.clip(radius + 0.5 - np.hypot(u, v), 0, 1)
    return disc / disc.sum()


def _softened(spread: np.ndarray, sigma: float) -> np.ndarray:
    """Return the spread (N, N) blurred by a Gaussian, and enlarged as far as that needs."""
    half = math.ceil(2.5 * sigma)
    k = np.arange(-half, half + 1)
    gaussian = np.exp(-0.5 * (k / sigma) ** 2)
    kernel = gaussian[:, None] * gaussian
    return convolve(np.pad(spread, half), kernel / kernel.sum(), mode="constant")


def _convolved(image: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Spread every point of (H, W, C) float32 by (N, N), N odd; pixels beyond the border repeat the border's."""
    height, width, channels = image.shape
    half = len(spread) // 2
    rows, columns = np.nonzero(np.abs(spread) > 0.004 * np.abs(spread).max())
    weights = spread[rows, columns]
    weights = (weights * spread.sum() / weights.sum()).astype(np.float32)
    padded = np.pad(image, ((half, half), (half, half), (0, 0)), mode="edge")
    flat = np.ascontiguousarray(padded, dtype=np.float32).reshape(height + 2 * half, -1)
    # the spread is flipped: light that reaches a pixel from above was spread downwards
    starts = channels * (2 * half - columns)
    return _weighted_sum(flat, 2 * half - rows, starts, weights, height, channels * width).reshape(image.shape)


@njit(cache=True, fastmath=True)
def _weighted_sum(image, rows, starts, weights, height, width):
    """Return the weighted sum (height, width) of the windows of an image that start at (rows, starts)."""
    result = np.zeros((height, width), np.float32)
    for row in range(height):
        for k in range(len(weights)):
            line, weight = image[row + rows[k], starts[k] : starts[k] + width], weights[k]
            for column in range(width):
                result[row, column] += weight * line[column]
    return result
