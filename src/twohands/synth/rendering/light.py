"""Light of a frame: a lamp and a sky, or a measured environment with its sun, and sometimes a second lamp."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from twohands.synth.config import SynthConfig
from twohands.synth.rendering.render import Lamp, Light
from twohands.synth.rendering.shading import harmonics
from twohands.synth.rendering.shapes import about_up

LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
"""Weights of linear red, green and blue in the luminance (Rec. 709)."""
FROM_XYZ = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
"""Matrix (3, 3) from CIE XYZ to linear sRGB."""
_ADAPTED = 0.7  # fraction of an environment's colour cast that the camera's white balance removes
_SIDES = np.concatenate([np.eye(3), -np.eye(3)])
_FULL = 1.2  # brightness of white paper that faces lamp and sky, as in a well exposed photograph


class Environments(NamedTuple):
    """Measured environments (`tools/build_environments.py`), z up."""

    names: np.ndarray  # (E,)
    irradiance: np.ndarray  # (E, 9, 3) divided by pi, in `harmonics`
    lamp_direction: np.ndarray  # (E, 3) towards the sun or the strongest lamp, which is not in the irradiance
    lamp_color: np.ndarray  # (E, 3) irradiance / pi of a surface that faces it; 0 where no lamp stands out
    lamp_extent: np.ndarray  # (E,) radians across


@cache
def environments() -> Environments:
    """Return the 18 measured environments of the package."""
    with (files("twohands.synth") / "assets" / "environments.npz").open("rb") as stream:
        arrays = np.load(stream)
        return Environments(*(arrays[name] for name in Environments._fields))


def simple_light(rng: np.random.Generator, level: np.ndarray, center: np.ndarray) -> Light:
    """Sample a lamp somewhere above and ambient light, together about as bright as a well exposed photograph.

    level (3, 3): right, forward and up around the person, camera frame; center (3,) metres, middle between the hands.
    """
    direction = np.array([rng.normal(0.0, 0.5), rng.normal(-0.1, 0.5), rng.uniform(0.6, 1.6)]) @ level
    position = center + rng.uniform(0.8, 1.8) * direction / np.linalg.norm(direction)
    warmth = rng.normal(0.0, 0.06)
    fraction = rng.uniform(0.3, 0.75)  # the lamp's part of all light
    ambient = 1.1 * (1 - fraction) * np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
    return Light(
        position=position,
        target=center.astype(np.float64),
        reach=0.55,
        size=float(rng.uniform(0.03, 0.25)),
        color=1.35 * fraction * np.array([1 + warmth, 1.0, 1 - warmth]),
        sky=ambient,
        ground=ambient * rng.uniform(0.45, 0.8) * np.array([1.03, 1.0, 0.95]),
        up=level[2],
    )


def sample_light(rng: np.random.Generator, simple: Light, level: np.ndarray, config: SynthConfig) -> Light:
    """Extend a `simple_light` as the config asks: measured environment, second lamp, ambient occlusion."""
    light = simple._replace(occlusion=config.occlusion)
    if rng.random() < config.environment:
        light = _in_environment(rng, light, level)
    if rng.random() < config.second_lamp:
        light = light._replace(second=_second_lamp(rng, light, level))
    return light


def temperature_color(kelvin: float) -> np.ndarray:
    """Return the linear sRGB colour (3,) of a black body with luminance 1; 6500 K is nearly white.

    Planckian locus of Kim et al. 2002 (US patent 7024034) in CIE xy, from 1667 K to 25000 K.
    """
    t = 1000 / kelvin
    warm = [-0.2661239, -0.2343589, 0.8776956, 0.179910]
    cool = [-3.0258469, 2.1070379, 0.2226347, 0.240390]
    x = np.polyval(warm if kelvin < 4000 else cool, t)
    if kelvin < 2222:
        y = np.polyval([-1.1063814, -1.34811020, 2.18555832, -0.20219683], x)
    elif kelvin < 4000:
        y = np.polyval([-0.9549476, -1.37418593, 2.09137015, -0.16748867], x)
    else:
        y = np.polyval([3.0817580, -5.87338670, 3.75112997, -0.37001483], x)
    color = np.maximum(FROM_XYZ @ np.array([x / y, 1.0, (1 - x - y) / y]), 0.02)
    return color / float(color @ LUMINANCE)


def turned(irradiance: np.ndarray, camera_from_level: np.ndarray) -> np.ndarray:
    """Return spherical-harmonic irradiance (9, 3) in another frame, given the rotation (3, 3) into it."""
    return _change_of_basis(camera_from_level) @ irradiance


def _change_of_basis(rotation: np.ndarray) -> np.ndarray:
    """Return the rotation (9, 9) of the coefficients; bands are kept, so a fit at 9 general directions is exact."""
    k = np.arange(24)
    z = 1 - (2 * k + 1) / 24
    around = 2.399963 * k  # golden angle
    directions = np.stack([np.sqrt(1 - z * z) * np.cos(around), np.sqrt(1 - z * z) * np.sin(around), z], axis=-1)
    return np.linalg.lstsq(_basis(directions), _basis(directions @ rotation), rcond=None)[0]


def _basis(directions: np.ndarray) -> np.ndarray:
    """Return the harmonics (N, 9) at unit directions (N, 3)."""
    return np.stack(harmonics.py_func(*directions.T), axis=-1)


def _in_environment(rng: np.random.Generator, light: Light, level: np.ndarray) -> Light:
    """Return the light in a random measured environment, turned about the vertical and as bright as `light`.

    Its sun becomes the lamp. Where no lamp stands out, the simple lamp becomes weak and large, like part of a ceiling.
    """
    places = environments()
    number, turn = int(rng.integers(len(places.names))), rng.uniform(0, 2 * np.pi)
    rotation = about_up(turn)
    irradiance, color = places.irradiance[number].astype(np.float64), places.lamp_color[number].astype(np.float64)
    mean = irradiance[0] / (irradiance[0] @ LUMINANCE)
    irradiance, color = irradiance / mean**_ADAPTED, color / mean**_ADAPTED
    lamp, sky = float(color @ LUMINANCE), float(_basis(_SIDES[2:3])[0] @ irradiance @ LUMINANCE)
    distance = float(rng.uniform(1.5, 3.0))
    if lamp > 0.1:
        direction = (rotation @ places.lamp_direction[number]) * [1.0, 1.0, 0.0]
        direction[2] = max(float(places.lamp_direction[number, 2]), rng.uniform(0.35, 0.8))  # over the table's edge
        fraction = np.clip(lamp / (lamp + max(sky, 0.1)), 0.2, 0.7) * rng.uniform(0.7, 1.0)
        size = distance * float(places.lamp_extent[number]) * rng.uniform(0.3, 1.0)
        color = color / lamp
    else:
        direction = level @ (light.position - light.target)
        fraction, size = rng.uniform(0.0, 0.4), rng.uniform(0.2, 0.7)
        color = light.color / float(light.color @ LUMINANCE)
    direction = direction / np.linalg.norm(direction)
    irradiance *= (1 - fraction) / float((_basis(_SIDES) @ irradiance @ LUMINANCE).max())  # brightest side's luminance
    irradiance += rng.uniform(0.10, 0.35) * _from_below(_basis(_SIDES[2:3])[0] @ irradiance + fraction * direction[2])
    return light._replace(
        position=light.target + distance * direction @ level,
        size=float(size),
        color=_FULL * fraction * color,
        environment=turned(_FULL * irradiance, level.T @ rotation),
    )


def _from_below(color: np.ndarray) -> np.ndarray:
    """Return the irradiance (9, 3) of light (3,) from a table: all on surfaces facing down, none on those facing up.

    The ground of the measured environments is farther away and often darker.
    """
    upward, result = _basis(_SIDES[2:3])[0], np.zeros((9, 3))
    result[0], result[2] = 0.5 * color / upward[0], -0.5 * color / upward[2]
    return result


def _second_lamp(rng: np.random.Generator, light: Light, level: np.ndarray) -> Lamp:
    """Sample a weaker lamp with its own colour, on the other side of the hands."""
    first = level @ (light.position - light.target)
    away = -first[:2] / max(float(np.linalg.norm(first[:2])), 1e-6) * rng.uniform(0.2, 1.2) + rng.normal(0.0, 0.4, 2)
    direction = np.array([*away, rng.uniform(0.4, 1.4)])
    tint = temperature_color(rng.uniform(3000, 8500)) ** 0.6
    return Lamp(
        position=light.target + rng.uniform(0.7, 1.8) * direction / np.linalg.norm(direction) @ level,
        size=float(rng.uniform(0.05, 0.35)),
        color=rng.uniform(0.08, 0.4) * tint / float(tint @ LUMINANCE),
    )
