"""Procedural textures: pure functions of a random generator, (size, size, 3) uint8 sRGB, repeating at the borders."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates, minimum_filter

from twohands.hands.free import free_hand_arrays
from twohands.synth.render import rasterize

# sRGB of untanned to very dark skin; a tone in [0, 1] runs along them
_SKIN_STOPS = np.array(
    [
        [0.93, 0.78, 0.69],
        [0.86, 0.67, 0.55],
        [0.74, 0.54, 0.41],
        [0.55, 0.37, 0.26],
        [0.36, 0.23, 0.16],
        [0.22, 0.14, 0.10],
    ]
)
_FADE = (-0.012, 0.030)
"""Metres along the hand between which the palm's colour sets in."""
_NAIL_COLOR = np.array([0.93, 0.74, 0.70])


@cache
def skin_maps() -> np.ndarray:
    """(512, 512, 4) float32 in [0, 1]: palmar mask, redness, nail, detail (0.5 = neutral) over the hand's atlas.

    The palm's colour fades towards the wrist, where the forearm with its one colour goes on.
    """
    with (files("twohands.hands") / "assets" / "skin_maps.png").open("rb") as stream, Image.open(stream) as image:
        maps = np.asarray(image.convert("RGBA"), dtype=np.float32) / 255
    fade = np.clip((_atlas_heights(len(maps)) - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)
    maps[..., 0] *= fade * fade * (3 - 2 * fade)
    return maps


def _atlas_heights(size: int) -> np.ndarray:
    """(size, size) metres along the hand from the wrist of every texel of the atlas; 1 outside the hand."""
    arrays = free_hand_arrays()
    faces, faces_uv = arrays["faces"].astype(np.int64), arrays["faces_uv"].astype(np.int32)
    flat = np.concatenate([arrays["uv"].astype(np.float64) * [1, -1] + [0, 1], np.ones((len(arrays["uv"]), 1))], axis=1)
    _, triangle, setup = rasterize(flat, faces_uv, np.array([size, size, -0.5, -0.5]), size, size, 0.1)
    row, column = np.mgrid[0:size, 0:size]
    rays = np.stack([(column + 0.5) / size, (row + 0.5) / size, np.ones((size, size))], axis=-1)
    weights = np.einsum("hwij,hwj->hwi", setup[triangle], rays)
    heights = (weights * arrays["vertices"][faces[triangle], 2]).sum(axis=-1)
    # two rings of texels around the charts take their neighbour's value, for the bilinear look-up at seams
    heights = np.where(triangle >= 0, heights, np.inf)
    for _ in range(2):
        heights = np.where(np.isinf(heights), minimum_filter(heights, 3), heights)
    return np.where(np.isinf(heights), 1.0, heights).astype(np.float32)


def skin_base(tone: float) -> np.ndarray:
    """(3,) sRGB in [0, 1] of the back of the hand; tone 0 is very light, 1 very dark."""
    position = tone * (len(_SKIN_STOPS) - 1)
    return np.array([np.interp(position, np.arange(len(_SKIN_STOPS)), _SKIN_STOPS[:, k]) for k in range(3)])


def hand_skin(tone: float, tint: np.ndarray, redness: float, detail: float) -> np.ndarray:
    """Skin of the hand's atlas, (512, 512, 3); `tint` (3,) multiplies the base; redness and detail are about 1."""
    base = (skin_base(tone) * tint).astype(np.float32)
    palm = _SKIN_STOPS[0].astype(np.float32) * 0.27 + base * 0.73 if tone > 0.3 else base * np.float32(1.03)
    palmar, red, nail, relief = (skin_maps()[..., k : k + 1] for k in range(4))
    color = base + palmar * (palm - base)
    color = color * (1 - red * (0.22 * redness * np.array([0.15, 0.75, 0.8], dtype=np.float32)))
    color = color * (1 + np.float32(0.55 * detail) * (relief - np.float32(0.5)))
    nails = color * np.float32(0.75) + (0.25 * _NAIL_COLOR).astype(np.float32)
    return _to_bytes(color + nail * (nails - color))


def arm_skin(rng: np.random.Generator, tone: float, tint: np.ndarray, detail: float, size: int = 128) -> np.ndarray:
    """Skin of the forearm: the same base colour with fine and broad mottling."""
    mottling = 0.05 * detail * fractal_noise(rng, size, octaves=6, roughness=0.9)[..., None]
    return _to_bytes(skin_base(tone) * tint * (1 + mottling * np.array([0.7, 1.0, 1.0])))


def fractal_noise(rng: np.random.Generator, size: int, octaves: int = 6, roughness: float = 0.6) -> np.ndarray:
    """(size, size) repeating noise of mean 0 and deviation 1, size a power of two.

    Octaves of 4, 8, 16, ... cells, each `roughness` times as strong as the one before.
    """
    total = rng.standard_normal((4, 4))
    strength = 1.0
    while len(total) < size:
        total = _doubled(total)
        octaves, strength = octaves - 1, strength * roughness
        if octaves > 0:
            total += strength * rng.standard_normal(total.shape)
    return (total - total.mean()) / (total.std() + 1e-9)


def _doubled(image: np.ndarray) -> np.ndarray:
    """Twice as many samples each way, linear in between, repeating."""
    for axis in (0, 1):
        image = np.stack([image, 0.5 * (image + np.roll(image, -1, axis))], axis=axis + 1)
        shape = list(image.shape)
        shape[axis : axis + 2] = [shape[axis] * 2]
        image = image.reshape(shape)
    return image


def random_color(rng: np.random.Generator, lightness: tuple[float, float] = (0.1, 0.95)) -> np.ndarray:
    """(3,) sRGB in [0, 1]; half of the colours are nearly grey and few are loud, as in rooms."""
    value = rng.uniform(*lightness)
    saturation = rng.uniform(0.0, 0.15) if rng.random() < 0.5 else 0.1 + 0.85 * rng.beta(1.3, 2.2)
    hue = 6 * rng.random() - np.array([0.0, 2.0, 4.0])
    wheel = np.clip(np.abs((hue + 3) % 6 - 3) - 1, 0, 1)
    return value * (1 - saturation * (1 - wheel))


def plain(rng: np.random.Generator, size: int = 64) -> np.ndarray:
    """One colour with faint unevenness."""
    shades = 1 + rng.uniform(0.0, 0.05) * fractal_noise(rng, size, octaves=5)[..., None]
    return _to_bytes(random_color(rng) * shades)


def noise(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Three colours blended along fractal noise."""
    colors = np.stack([random_color(rng) for _ in range(3)])
    level = np.clip(0.5 + 0.3 * fractal_noise(rng, size, octaves=7, roughness=rng.uniform(0.5, 0.8)), 0, 1)
    return _to_bytes(np.stack([np.interp(level, [0, 0.5, 1], colors[:, k]) for k in range(3)], axis=-1))


def stripes(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Parallel bands."""
    return _to_bytes(np.broadcast_to(_bands(rng, size)[:, None], (size, size, 3)) + _weave(rng, size))


def plaid(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """The same bands across and along, as a woven cloth."""
    bands = _bands(rng, size)
    return _to_bytes(0.5 * (bands[:, None] + bands[None]) + _weave(rng, size))


def checks(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """A checker board of two colours."""
    cell = size // int(rng.choice([4, 8, 16]))
    index = np.arange(size) // cell
    odd = ((index[:, None] + index[None]) % 2)[..., None]
    return _to_bytes(random_color(rng) * odd + random_color(rng) * (1 - odd) + _weave(rng, size))


def wood(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Grain along u."""
    warp = fractal_noise(rng, size, octaves=5, roughness=0.6)
    v, u = np.mgrid[0:size, 0:size].astype(float)
    grain = fractal_noise(rng, size, octaves=7, roughness=0.85)
    along = np.abs(2 * u / size - 1) * size / 12  # there and back, so that the boards join
    coordinates = [(v + rng.uniform(2, 8) * warp) % size, along]
    level = map_coordinates(grain, coordinates, order=1, mode="grid-wrap")[..., None]
    light = np.array([0.74, 0.61, 0.45]) * rng.uniform(0.4, 1.2) * (1 + rng.uniform(-0.06, 0.06, 3))
    return _to_bytes(light * (1 + rng.uniform(0.05, 0.14) * level))


def printed(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """A package: blocks of colour and lines that look like writing."""
    image = np.broadcast_to(random_color(rng), (size, size, 3)).copy()
    for _ in range(int(rng.integers(2, 6))):
        row, column = rng.integers(0, size, 2)
        height, width = rng.integers(size // 12, size // 2, 2)
        image[row : row + height, column : column + width] = random_color(rng)
    for _ in range(int(rng.integers(0, 12))):
        row, column = rng.integers(0, size - 8, 2)
        height, letters = int(rng.integers(2, 6)), int(rng.integers(4, 20))
        ink = random_color(rng, (0.0, 0.3) if rng.random() < 0.5 else (0.8, 1.0))
        for letter in range(letters):
            start = column + letter * (height + 1)
            if rng.random() < 0.8:
                image[row : row + height, start : start + height] = ink
    return _to_bytes(image + _weave(rng, size))


def cloth(rng: np.random.Generator) -> np.ndarray:
    """A texture for sleeves and table cloths."""
    return _choose(rng, (plain, plaid, stripes, checks, noise), (0.40, 0.30, 0.15, 0.08, 0.07))


def table_top(rng: np.random.Generator) -> np.ndarray:
    """A texture for tables."""
    return _choose(rng, (plain, wood, plaid, noise, checks), (0.33, 0.33, 0.18, 0.10, 0.06))


def object_skin(rng: np.random.Generator) -> np.ndarray:
    """A texture for things on the table."""
    return _choose(rng, (printed, plain, noise, stripes, wood), (0.45, 0.30, 0.12, 0.08, 0.05))


def room(rng: np.random.Generator) -> np.ndarray:
    """A texture for walls, floors and furniture."""
    return _choose(rng, (plain, noise, wood, stripes, checks, printed), (0.40, 0.20, 0.15, 0.08, 0.07, 0.10))


def _choose(rng: np.random.Generator, painters: tuple, shares: tuple[float, ...]) -> np.ndarray:
    return painters[int(rng.choice(len(painters), p=shares))](rng)


def _bands(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, 3): a period of coloured bands, repeated."""
    period = size // int(rng.choice([2, 4, 8]))
    base = random_color(rng, (0.6, 1.0)) if rng.random() < 0.6 else random_color(rng)
    bands = np.broadcast_to(base, (period, 3)).copy()
    for _ in range(int(rng.integers(1, 5))):
        start, width = int(rng.integers(period)), int(rng.integers(max(period // 16, 1), max(period // 3, 2)))
        bands[start : start + width] = random_color(rng)
    return np.tile(bands, (size // period, 1))


def _weave(rng: np.random.Generator, size: int) -> np.ndarray:
    """(size, size, 1) fine unevenness added to a pattern."""
    return rng.uniform(0.0, 0.03) * rng.standard_normal((size, size, 1)) + 0.02 * fractal_noise(rng, size, 4)[..., None]


def _to_bytes(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
