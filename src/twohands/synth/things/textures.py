"""Procedural textures: pure functions of a random generator, (size, size, 3) uint8 sRGB, repeating at the borders."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

_SKIN_LIKE = np.array(
    [
        [0.95, 0.81, 0.73],
        [0.93, 0.68, 0.62],
        [0.86, 0.74, 0.60],
        [0.80, 0.58, 0.45],
        [0.70, 0.46, 0.36],
        [0.50, 0.33, 0.24],
        [0.27, 0.18, 0.13],
    ]
)
_FRUIT = np.array(
    [
        [0.75, 0.12, 0.10],
        [0.85, 0.35, 0.15],
        [0.95, 0.60, 0.12],
        [0.96, 0.82, 0.25],
        [0.55, 0.68, 0.20],
        [0.30, 0.14, 0.30],
    ]
)


def fractal_noise(rng: np.random.Generator, size: int, octaves: int = 6, roughness: float = 0.6) -> np.ndarray:
    """Return repeating noise (size, size) of mean 0 and deviation 1, with size a power of two.

    Octaves have 4, 8, 16, ... cells; each is `roughness` times as strong as the previous one.
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
    """Return twice as many samples along both axes, linear in between, repeating."""
    for axis in (0, 1):
        image = np.stack([image, 0.5 * (image + np.roll(image, -1, axis))], axis=axis + 1)
        shape = list(image.shape)
        shape[axis : axis + 2] = [shape[axis] * 2]
        image = image.reshape(shape)
    return image


def random_color(rng: np.random.Generator, lightness: tuple[float, float] = (0.1, 0.95)) -> np.ndarray:
    """Return an sRGB colour (3,) in [0, 1]. Half of the colours are nearly grey and few are vivid, as in rooms."""
    value = rng.uniform(*lightness)
    saturation = rng.uniform(0.0, 0.15) if rng.random() < 0.5 else 0.1 + 0.85 * rng.beta(1.3, 2.2)
    hue = 6 * rng.random() - np.array([0.0, 2.0, 4.0])
    wheel = np.clip(np.abs((hue + 3) % 6 - 3) - 1, 0, 1)
    return value * (1 - saturation * (1 - wheel))


def plain(rng: np.random.Generator, size: int = 64) -> np.ndarray:
    """Return one colour with faint unevenness."""
    shades = 1 + rng.uniform(0.0, 0.05) * fractal_noise(rng, size, octaves=5)[..., None]
    return to_bytes(random_color(rng) * shades)


def noise(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Return three colours blended along fractal noise."""
    colors = np.stack([random_color(rng) for _ in range(3)])
    level = np.clip(0.5 + 0.3 * fractal_noise(rng, size, octaves=7, roughness=rng.uniform(0.5, 0.8)), 0, 1)
    return to_bytes(np.stack([np.interp(level, [0, 0.5, 1], colors[:, k]) for k in range(3)], axis=-1))


def stripes(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Return parallel bands."""
    return to_bytes(np.broadcast_to(_bands(rng, size)[:, None], (size, size, 3)) + _weave(rng, size))


def plaid(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Return a woven cloth with the same bands in both directions."""
    bands = _bands(rng, size)
    return to_bytes(0.5 * (bands[:, None] + bands[None]) + _weave(rng, size))


def checks(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Return a checker board of two colours."""
    cell = size // int(rng.choice([4, 8, 16]))
    index = np.arange(size) // cell
    odd = ((index[:, None] + index[None]) % 2)[..., None]
    return to_bytes(random_color(rng) * odd + random_color(rng) * (1 - odd) + _weave(rng, size))


def wood(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Return wood with grain along u."""
    warp = fractal_noise(rng, size, octaves=5, roughness=0.6)
    v, u = np.mgrid[0:size, 0:size].astype(float)
    grain = fractal_noise(rng, size, octaves=7, roughness=0.85)
    along = np.abs(2 * u / size - 1) * size / 12  # there and back, so that the boards join
    coordinates = [(v + rng.uniform(2, 8) * warp) % size, along]
    level = map_coordinates(grain, coordinates, order=1, mode="grid-wrap")[..., None]
    light = np.array([0.74, 0.61, 0.45]) * rng.uniform(0.4, 1.2) * (1 + rng.uniform(-0.06, 0.06, 3))
    return to_bytes(light * (1 + rng.uniform(0.05, 0.14) * level))


def printed(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """Return a package with blocks of colour and lines that look like writing."""
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
    return to_bytes(image + _weave(rng, size))


def skin_like(rng: np.random.Generator, size: int = 64) -> np.ndarray:
    """Return a mottled material of a skin's colour: leather, rubber, cardboard, pale wood or terracotta."""
    first, second = _SKIN_LIKE[rng.integers(len(_SKIN_LIKE), size=2)]
    color = first + rng.uniform(0.0, 0.6) * (second - first)
    mottling = rng.uniform(0.01, 0.06) * fractal_noise(rng, size, octaves=5, roughness=0.8)[..., None]
    return to_bytes(color * rng.normal(1.0, 0.03, 3) * (1 + mottling * np.array([0.7, 1.0, 1.0])))


def fruit_skin(rng: np.random.Generator, size: int = 64) -> np.ndarray:
    """Return two blended colours of ripe fruit, with spots."""
    first, second = _FRUIT[rng.integers(len(_FRUIT), size=2)]
    blend = np.clip(rng.uniform(-0.3, 0.6) + 0.4 * fractal_noise(rng, size, octaves=3), 0, 1)[..., None]
    spots = (fractal_noise(rng, size, octaves=5, roughness=1.2) > rng.uniform(1.8, 3.0))[..., None]
    return to_bytes((first + blend * (second - first)) * (1 - 0.3 * spots))


def thing_base(rng: np.random.Generator) -> np.ndarray:
    """Return the background of an object's texture, small and cheap. Prints are added on top."""
    painter = (plain, noise, stripes, checks, wood, skin_like)[
        int(rng.choice(6, p=(0.55, 0.10, 0.08, 0.05, 0.10, 0.12)))
    ]
    return painter(rng, size=64 if painter in (plain, skin_like) else 128)


def cloth(rng: np.random.Generator) -> np.ndarray:
    """Return a texture for sleeves and table cloths."""
    return _choose(rng, (plain, plaid, stripes, checks, noise), (0.40, 0.30, 0.15, 0.08, 0.07))


def table_top(rng: np.random.Generator) -> np.ndarray:
    """Return a texture for tables."""
    return _choose(rng, (plain, wood, plaid, noise, checks), (0.33, 0.33, 0.18, 0.10, 0.06))


def object_skin(rng: np.random.Generator) -> np.ndarray:
    """Return a texture for objects on the table."""
    return _choose(rng, (printed, plain, noise, stripes, wood), (0.45, 0.30, 0.12, 0.08, 0.05))


def room(rng: np.random.Generator) -> np.ndarray:
    """Return a texture for walls, floors and furniture."""
    return _choose(rng, (plain, noise, wood, stripes, checks, printed), (0.40, 0.20, 0.15, 0.08, 0.07, 0.10))


def _choose(rng: np.random.Generator, painters: tuple, shares: tuple[float, ...]) -> np.ndarray:
    return painters[int(rng.choice(len(painters), p=shares))](rng)


def _bands(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a period of coloured bands, repeated, (size, 3)."""
    period = size // int(rng.choice([2, 4, 8]))
    base = random_color(rng, (0.6, 1.0)) if rng.random() < 0.6 else random_color(rng)
    bands = np.broadcast_to(base, (period, 3)).copy()
    for _ in range(int(rng.integers(1, 5))):
        start, width = int(rng.integers(period)), int(rng.integers(max(period // 16, 1), max(period // 3, 2)))
        bands[start : start + width] = random_color(rng)
    return np.tile(bands, (size // period, 1))


def _weave(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return fine noise (size, size, 1) that is added to a pattern."""
    return rng.uniform(0.0, 0.03) * rng.standard_normal((size, size, 1)) + 0.02 * fractal_noise(rng, size, 4)[..., None]


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Return values in [0, 1] as uint8."""
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
