"""Rotated environments light rotated surfaces alike, the config's fractions hold, and brightness suits a photograph."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.synth.config import BASIC, FULL
from twohands.synth.rendering.light import (
    LUMINANCE,
    environments,
    sample_light,
    simple_light,
    temperature_color,
    turned,
)
from twohands.synth.rendering.shading import harmonics

LEVEL = matrix_from_axis_angle(np.array([0.9, 0.2, -0.1])) @ np.array([[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]])
CENTER = np.array([0.05, 0.10, 0.5])


def basis(directions):
    return np.stack(harmonics.py_func(*np.moveaxis(directions, -1, 0)), axis=-1)


def on_the_sphere(seed, count=4000):
    directions = np.random.default_rng(seed).normal(size=(count, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def lights(config, count=60):
    for seed in range(count):
        simple = simple_light(np.random.default_rng([1, seed]), LEVEL, CENTER)
        yield simple, sample_light(np.random.default_rng([2, seed]), simple, LEVEL, config)


def test_harmonics_are_orthonormal():
    z, weight = np.polynomial.legendre.leggauss(8)
    azimuth = 2 * np.pi * np.arange(16) / 16
    radius = np.sqrt(1 - z * z)[:, None]
    directions = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), z[:, None] + 0 * azimuth], axis=-1)
    functions = basis(directions)
    product = np.einsum("hwi,hwj,h->ij", functions, functions, weight) * 2 * np.pi / 16
    np.testing.assert_allclose(product, np.eye(9), atol=1e-6)


def test_a_turned_place_lights_a_turned_normal_alike():
    rng = np.random.default_rng(3)
    irradiance, rotation = rng.normal(size=(9, 3)), matrix_from_axis_angle(rng.normal(size=3))
    normals = on_the_sphere(4, 100)
    expected = basis(normals) @ irradiance
    np.testing.assert_allclose(basis(normals @ rotation.T) @ turned(irradiance, rotation), expected, atol=1e-6)


def test_basic_leaves_the_simple_light_as_it_is():
    for simple, light in lights(BASIC, 10):
        assert light == simple
        assert light.environment is None
        assert light.second is None
        assert not light.occlusion


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_shares_hold(share):
    drawn = [light for _, light in lights(replace(FULL, environment=share, second_lamp=1 - share), 80)]
    assert np.mean([light.environment is not None for light in drawn]) == pytest.approx(share, abs=0.15)
    assert np.mean([light.second is not None for light in drawn]) == pytest.approx(1 - share, abs=0.15)


def test_places_light_like_a_well_exposed_photograph_from_above():
    normals = on_the_sphere(5, 500)
    for _, light in lights(replace(FULL, environment=1.0, second_lamp=1.0)):
        around = np.maximum(basis(normals) @ light.environment, 0) @ LUMINANCE
        lamp = float(light.color @ LUMINANCE)
        assert 0.6 < around.max() + lamp < 2.0
        assert around.min() < 0.7 * around.max()  # it has a direction
        assert np.mean(around) > 0.1 * around.max()  # no half of the world is black
        for position in (light.position, light.second.position):
            assert (LEVEL @ (position - CENTER))[2] > 0.1
        assert float(light.second.color @ LUMINANCE) < 0.45


def test_environments_are_plausible():
    places = environments()
    assert len(places.names) == len(set(places.names)) == 18
    up = np.array([0.0, 0.0, 1.0])
    for k in range(18):
        assert np.linalg.norm(places.lamp_direction[k]) == pytest.approx(1, abs=1e-5)
        total = basis(up) @ places.irradiance[k] + max(places.lamp_direction[k, 2], 0) * places.lamp_color[k]
        assert total @ LUMINANCE == pytest.approx(1, abs=1e-4)
        assert (basis(on_the_sphere(k, 200)) @ places.irradiance[k]).min() > -0.05
    assert 5 < (places.lamp_color.max(axis=1) > 0).sum() < 18


def test_temperature_colors():
    assert temperature_color(6500) == pytest.approx(np.ones(3), abs=0.06)
    warmth = [np.log(color[0] / color[2]) for color in map(temperature_color, (2000, 2500, 3900, 4100, 6500, 9000))]
    assert (np.diff(warmth) < 0).all()
    # illuminant A, 2856 K: CIE xy 0.4476, 0.4074 in linear sRGB, luminance 1
    assert temperature_color(2856) == pytest.approx(np.array([1.845, 0.826, 0.233]), rel=0.03)


def test_the_tool_takes_a_sun_out_of_its_sky():
    pytest.importorskip("OpenEXR")
    path = Path(__file__).parent.parent / "tools" / "build_environments.py"
    spec = importlib.util.spec_from_file_location("build_environments", path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    direction, weight = tool.sphere(64, 128)
    assert weight.sum() == pytest.approx(4 * np.pi, rel=1e-3)
    sky = np.ones((64, 128, 3))
    harmonic, _, color, _ = tool.reduced(sky)
    assert (color == 0).all()
    np.testing.assert_allclose(basis(on_the_sphere(6, 50)) @ harmonic, 1.0, atol=0.01)
    sun = np.array([0.6, 0.0, 0.8])
    sky[direction @ sun > np.cos(0.06)] = 400.0
    harmonic, toward, color, extent = tool.reduced(sky)
    assert toward == pytest.approx(sun, abs=0.02)
    # irradiance / pi: sky 1, sun 399 x solid angle / pi, together 1 on a surface that faces up
    size = weight[direction @ sun > np.cos(0.06)].sum()
    assert color[1] / (basis(sun) @ harmonic)[1] == pytest.approx(399 * size / np.pi, rel=0.1)
    assert extent == pytest.approx(0.12, rel=0.4)
