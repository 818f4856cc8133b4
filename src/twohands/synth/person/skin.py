"""Skin of hands and forearms: sRGB textures, pure functions of a random generator."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter, minimum_filter

from twohands.hands.free import free_hand_arrays
from twohands.synth.rendering.light import FROM_XYZ
from twohands.synth.rendering.render import rasterize
from twohands.synth.things.textures import fractal_noise, to_bytes

# sRGB from untanned to very dark skin; a tone in [0, 1] runs along the rows
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
"""Metres along the hand between which the palm's colour fades in."""
_NAIL_COLOR = np.array([0.93, 0.74, 0.70])
# CIELAB of the back of the hand, very light to very dark, close to spectrophotometer measurements on six continents
# (Xiao et al. 2017, Characterising the variations in ethnic skin colours), with stretched ends
_MEASURED = np.array(
    [
        [73.0, 8.0, 13.0],
        [66.0, 10.0, 16.0],
        [59.0, 11.0, 19.0],
        [51.0, 12.0, 20.0],
        [42.0, 11.5, 15.5],
        [34.0, 9.5, 12.0],
        [26.0, 7.0, 9.0],
    ]
)
INFRARED = 0.55
"""Near-infrared reflectance of skin, nearly the same for every tone."""
_ARM_SIZE = 256


class Skin(NamedTuple):
    """The skin of one person."""

    hand: np.ndarray  # (512, 512, 3) uint8 sRGB over the hand's atlas
    arm: np.ndarray  # (256, 256, 3) uint8 sRGB, repeating
    specular: float
    gloss: float
    infrared: float


def sample_skin(rng: np.random.Generator) -> Skin:
    """Draw a person's skin: any tone, palms lighter on darker skin, random redness, veins, freckles and hair."""
    tone = rng.random()
    position = tone * (len(_MEASURED) - 1)
    back = np.array([np.interp(position, np.arange(len(_MEASURED)), _MEASURED[:, k]) for k in range(3)])
    back = back + rng.normal(0.0, [1.5, 1.2, 1.8])
    palm = np.array([36.0 + 0.48 * back[0], 12.0, 0.40 * back[2] + 10.0]) + rng.normal(0.0, [1.5, 1.2, 1.2])
    bed = np.array([44.0 + 0.32 * back[0], 14.0, 12.0])  # under the transparent nail
    nail = back + rng.uniform(0.3, 0.65) * (bed - back)
    colors = [srgb_from_lab(lab) for lab in (back, palm, nail)]
    marks = _Marks(
        redness=rng.uniform(0.6, 1.7),
        relief=rng.uniform(0.5, 1.2),
        veins=rng.uniform(0.0, 1.0) ** 1.5 * (1 - 0.7 * tone),
        freckles=rng.uniform(0.3, 1.0) if rng.random() < 0.22 * (1 - tone) else 0.0,
        hair=rng.uniform(0.2, 1.0) if rng.random() < 0.5 else 0.0,
    )
    oily = rng.beta(1.5, 3.0)
    return Skin(
        hand=_marked_hand(rng, colors, marks, tone),
        arm=_marked_arm(rng, colors[0], marks),
        specular=0.02 + 0.075 * oily,
        gloss=rng.uniform(9.0, 16.0) + 16.0 * oily,
        infrared=INFRARED * rng.uniform(0.85, 1.15),
    )


def srgb_from_lab(lab: np.ndarray) -> np.ndarray:
    """Convert CIELAB (..., 3) under D65 to sRGB (..., 3) in [0, 1] with the renderer's exponent of 2.2."""
    lightness, a, b = np.moveaxis(np.asarray(lab, dtype=np.float64), -1, 0)
    middle = (lightness + 16) / 116
    root = np.stack([middle + a / 500, middle, middle - b / 200], axis=-1)
    xyz = np.where(root > 6 / 29, root**3, 3 * (6 / 29) ** 2 * (root - 4 / 29)) * [0.95047, 1.0, 1.08883]
    return np.clip(xyz @ FROM_XYZ.T, 0, 1) ** (1 / 2.2)


class _Marks(NamedTuple):
    """Strengths, about 0 to 1, of the deviations from the skin's plain colour."""

    redness: float
    relief: float
    veins: float
    freckles: float
    hair: float


def _marked_hand(rng: np.random.Generator, colors: list[np.ndarray], marks: _Marks, tone: float) -> np.ndarray:
    """Return the hand's texture (512, 512, 3) from the colours of back, palm and nails."""
    back, palm, nail_bed = (color.astype(np.float32) for color in colors)
    palmar, red, nail, relief = (skin_maps()[..., k : k + 1] for k in range(4))
    color = back + palmar * (palm - back)
    # knuckles and fingertips: blood on light skin, pigment on dark skin
    fewer = (1 - tone) * np.array([0.03, 0.21, 0.19]) + tone * np.array([0.15, 0.19, 0.20])
    color = color * (1 - red * (marks.redness * fewer).astype(np.float32))
    # the creases of dark palms keep their pigment
    color = color * (1 + np.float32(0.48 * marks.relief) * (1 + np.float32(tone) * palmar) * (relief - np.float32(0.5)))
    dorsal = (1 - palmar[..., 0]) * _knuckle_fade()
    color = color * _veins_and_freckles(rng, len(color), marks, dorsal)
    return to_bytes(color + nail * (nail_bed - color))


def _marked_arm(rng: np.random.Generator, back: np.ndarray, marks: _Marks) -> np.ndarray:
    """Return the arm's texture (256, 256, 3): the back's colour with fine and broad mottling, veins, freckles, hair."""
    mottling = 0.022 * marks.relief * fractal_noise(rng, _ARM_SIZE, octaves=6, roughness=0.85)[..., None]
    color = back * (1 + mottling * np.array([0.6, 1.0, 1.0]))
    color = color * _veins_and_freckles(rng, _ARM_SIZE, marks._replace(veins=0.6 * marks.veins))
    if marks.hair > 0:
        color = color * (1 - 0.28 * marks.hair * _hair(rng, _ARM_SIZE)[..., None])
    return to_bytes(color)


def _veins_and_freckles(
    rng: np.random.Generator, size: int, marks: _Marks, share: np.ndarray | None = None
) -> np.ndarray:
    """Return colour factors (size, size, 3) float32. `share` (size, size) scales their strength by place."""
    veins = np.exp(-((fractal_noise(rng, size, octaves=2, roughness=0.5) / 0.10) ** 2))  # lines where the noise is 0
    factor = 1 - 0.075 * marks.veins * veins[..., None] * np.array([1.0, 0.45, 0.25])
    if marks.freckles > 0:
        spots = np.clip(gaussian_filter(rng.standard_normal((size, size)), 1.1, mode="wrap") * 4.0 - 1.6, 0, 1)
        factor = factor * (1 - 0.30 * marks.freckles * spots[..., None] * np.array([0.5, 0.85, 1.0]))
    if share is not None:
        factor = 1 - share[..., None] * (1 - factor)
    return factor.astype(np.float32)


def _hair(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return short strokes along the arm, in patches, (size, size) in [0, 1]."""
    roots = rng.random((size, size)) < 0.006
    strokes = np.zeros((size, size))
    for k in range(9):
        strokes = np.maximum(strokes, np.roll(roots, (k, k // int(rng.integers(2, 6))), axis=(0, 1)) * (1 - k / 12))
    return strokes * np.clip(0.6 + 0.5 * fractal_noise(rng, size, octaves=1), 0, 1)


@cache
def skin_maps() -> np.ndarray:
    """Return palmar mask, redness, nail, detail (0.5 = neutral) over the hand's atlas, (512, 512, 4) float32 in [0, 1].

    The palm's colour fades towards the wrist, where the forearm continues in one colour.
    """
    with (files("twohands.hands") / "assets" / "skin_maps.png").open("rb") as stream, Image.open(stream) as image:
        maps = np.asarray(image.convert("RGBA"), dtype=np.float32) / 255
    fade = np.clip((_atlas_heights(len(maps)) - _FADE[0]) / (_FADE[1] - _FADE[0]), 0, 1)
    maps[..., 0] *= fade * fade * (3 - 2 * fade)
    return maps


@cache
def _knuckle_fade() -> np.ndarray:
    """Return the mask of veins (512, 512) float32: 1 on the back of the hand, 0 at the wrist and on the fingers."""
    heights = _atlas_heights(512)
    return (np.clip(heights / 0.025, 0, 1) * np.clip((0.115 - heights) / 0.03, 0, 1)).astype(np.float32)


def _atlas_heights(size: int) -> np.ndarray:
    """Return the metres along the hand from the wrist for every texel of the atlas (size, size); 1 outside the hand."""
    arrays = free_hand_arrays()
    faces, faces_uv = arrays["faces"].astype(np.int64), arrays["faces_uv"].astype(np.int32)
    flat = np.concatenate([arrays["uv"].astype(np.float64) * [1, -1] + [0, 1], np.ones((len(arrays["uv"]), 1))], axis=1)
    _, triangle, setup = rasterize(flat, faces_uv, np.array([size, size, -0.5, -0.5]), size, size, 0.1)
    row, column = np.mgrid[0:size, 0:size]
    rays = np.stack([(column + 0.5) / size, (row + 0.5) / size, np.ones((size, size))], axis=-1)
    weights = np.einsum("hwij,hwj->hwi", setup[triangle], rays)
    heights = (weights * arrays["vertices"][faces[triangle], 2]).sum(axis=-1)
    # two rings of texels around the charts copy their neighbours, for the bilinear look-up at seams
    heights = np.where(triangle >= 0, heights, np.inf)
    for _ in range(2):
        heights = np.where(np.isinf(heights), minimum_filter(heights, 3), heights)
    return np.where(np.isinf(heights), 1.0, heights).astype(np.float32)


def skin_base(tone: float) -> np.ndarray:
    """Return the sRGB colour (3,) in [0, 1] of the back of the hand. Tone 0 is very light, 1 very dark."""
    position = tone * (len(_SKIN_STOPS) - 1)
    return np.array([np.interp(position, np.arange(len(_SKIN_STOPS)), _SKIN_STOPS[:, k]) for k in range(3)])


def hand_skin(tone: float, tint: np.ndarray, redness: float, detail: float) -> np.ndarray:
    """Return skin for the hand's atlas (512, 512, 3). `tint` (3,) multiplies the base; redness, detail are about 1."""
    base = (skin_base(tone) * tint).astype(np.float32)
    palm = _SKIN_STOPS[0].astype(np.float32) * 0.27 + base * 0.73 if tone > 0.3 else base * np.float32(1.03)
    palmar, red, nail, relief = (skin_maps()[..., k : k + 1] for k in range(4))
    color = base + palmar * (palm - base)
    color = color * (1 - red * (0.22 * redness * np.array([0.15, 0.75, 0.8], dtype=np.float32)))
    color = color * (1 + np.float32(0.55 * detail) * (relief - np.float32(0.5)))
    nails = color * np.float32(0.75) + (0.25 * _NAIL_COLOR).astype(np.float32)
    return to_bytes(color + nail * (nails - color))


def arm_skin(rng: np.random.Generator, tone: float, tint: np.ndarray, detail: float, size: int = 128) -> np.ndarray:
    """Return skin of the forearm: the hand's base colour with fine and broad mottling."""
    mottling = 0.05 * detail * fractal_noise(rng, size, octaves=6, roughness=0.9)[..., None]
    return to_bytes(skin_base(tone) * tint * (1 + mottling * np.array([0.7, 1.0, 1.0])))
