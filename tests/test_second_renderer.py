"""The second renderer has the engine's outlines to a fraction of a pixel, its textures and light, and little grain."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, uniform_filter

from twohands.geometry.camera import Camera
from twohands.shards import Shards, write_shards
from twohands.synth.config import BASIC
from twohands.synth.engine import SyntheticHands
from twohands.synth.rendering.render import Lamp, Light, Materials, Surfaces, draw, shade
from twohands.synth.second_renderer import MitsubaHands, render, without_grain

pytest.importorskip("mitsuba")
# unequal focal lengths and a principal point far from the middle
CAMERA = Camera(np.array([[150.0, 0, 52.3], [0, 152.0, 61.6], [0, 0, 1]]), 128, 96)
GREY = np.full((1, 1, 3), 124, np.uint8)
QUARTERS = np.kron(
    np.array([[[250, 90, 90], [90, 200, 90]], [[100, 100, 240], [230, 230, 100]]], np.uint8), np.ones((32, 32, 1), int)
).astype(np.uint8)


def light(color: float, sky: float, ground: float, up: tuple[float, ...] = (0.0, -1.0, 0.0)) -> Light:
    """Return a lamp so far away that it is equally strong everywhere, and its surroundings."""
    return Light(
        position=np.array([2.0, -4.0, -4.0]),
        target=np.array([0.0, 0.0, 0.8]),
        reach=0.5,
        size=0.2,
        color=color * np.array([1.0, 0.9, 0.8]),
        sky=np.full(3, sky),
        ground=np.full(3, ground),
        up=np.array(up),
    )


def square(texture: np.ndarray) -> tuple[Surfaces, Materials]:
    """Return one tilted square. The first row of its texture is along its first side."""
    corner, right, down = np.array([[-0.16, -0.18, 0.8], [0.3, 0.05, 0.2], [-0.02, 0.25, -0.1]])
    normal = np.cross(down, right)
    surfaces = Surfaces(
        vertices=np.array([corner, corner + right, corner + right + down, corner + down]),
        faces=np.array([[0, 1, 2], [0, 2, 3]], np.int32),
        normals=np.tile(normal / np.linalg.norm(normal), (4, 1)).astype(np.float32),
        uv=np.array([[[0, 1], [1, 1], [1, 0]], [[0, 1], [1, 0], [0, 0]]], np.float32),
        material=np.zeros(2, np.int32),
        label=np.zeros(2, np.int32),
    )
    zero = np.zeros(1, np.float32)
    return surfaces, Materials(texture.reshape(-1), np.array([[0, *texture.shape[:2]]]), zero, zero + 20, zero + 1)


def test_outlines_lie_where_the_engine_draws_them():
    surfaces, materials = square(GREY)  # a reflectance of 0.2 before a white sky
    seen = (1 - render(surfaces, materials, light(0.0, 1.0, 1.0), CAMERA, 49)[..., 1]) / 0.8
    fine = draw(surfaces, CAMERA.resize(8 * CAMERA.width, 8 * CAMERA.height))[1] >= 0
    share = fine.reshape(CAMERA.height, 8, CAMERA.width, 8).mean(axis=(1, 3))
    assert 2000 < share.sum() < 8000
    assert not share[0].any()  # the whole square is in the picture
    assert np.abs(seen - share).max() < 0.2
    rays = np.indices(share.shape)
    centers = [(rays * image).sum(axis=(1, 2)) / image.sum() for image in (seen, share)]
    assert np.abs(centers[0] - centers[1]).max() < 0.02  # pixels


PLACE = np.array([2.0, -0.5, 0.2, 0.3, 0.03, -0.02, 0.03, -0.15, -0.03])[:, None] * [1.0, 0.8, 0.6]
SECOND = Lamp(np.array([-3.0, -2.0, -4.0]), 0.3, np.array([0.3, 0.4, 0.5]))


@pytest.mark.parametrize(
    "shone",
    [
        light(0.8, 0.2, 0.1),
        light(0.0, 1.0, 0.1),
        light(0.0, 0.9, 0.2, (0.8, 0.0, -0.6)),
        light(0.0, 0.0, 0.0)._replace(environment=PLACE),
        light(0.3, 0.2, 0.1)._replace(second=SECOND),
    ],
    ids=["lamp", "sky", "turned", "place", "lamps"],
)
def test_textures_and_light_are_those_of_the_engine(shone):
    surfaces, materials = square(QUARTERS)
    inside = np.asarray(binary_erosion(draw(surfaces, CAMERA)[1] >= 0, iterations=4), dtype=bool)
    expected = shade(surfaces, materials, shone, CAMERA)
    difference = uniform_filter(render(surfaces, materials, shone, CAMERA, 36) - expected, 5, axes=(0, 1))[inside]
    ratio = np.abs(difference) / expected[inside]
    assert np.median(ratio) < 0.04
    assert np.quantile(ratio, 0.95) < 0.1


def test_grain_and_sparks_go_and_edges_stay():
    rng = np.random.default_rng(3)
    guide = np.full((60, 80, 3), 0.3, np.float32)
    guide[:, 40:] = 0.05
    guide[20:24] *= 1.5
    true = 0.6 * guide * np.linspace(0.8, 1.4, 60, dtype=np.float32)[:, None, None]  # under another light
    noisy = (true * (1 + 0.15 * rng.standard_normal(true.shape))).astype(np.float32)
    noisy[30, 20] = 50.0
    clean = without_grain(noisy, guide)
    error, grain = np.abs(clean - true) / true, np.abs(noisy - true) / true
    assert error.mean() < 0.4 * grain.mean()
    assert error[:, 38:42].mean() < 0.5 * grain[:, 38:42].mean()
    assert error.max() < 0.4


def test_only_the_colours_of_frames_are_other_ones(tmp_path):
    engine = SyntheticHands(4, config=replace(BASIC, width=64, height=48))
    shifted = MitsubaHands(engine, samples=2)
    sample, original = shifted[0], engine[0]
    assert sample.frame.rgb.shape == original.frame.rgb.shape
    assert sample.frame.rgb.dtype == np.float32
    assert 0.02 < np.abs(sample.frame.rgb - original.frame.rgb).mean() < 0.35
    np.testing.assert_array_equal(sample.frame.depth, original.frame.depth)
    np.testing.assert_array_equal(sample.masks, original.masks)
    np.testing.assert_array_equal(sample.hands.joints, original.hands.joints)
    np.testing.assert_array_equal(shifted[0].frame.rgb, sample.frame.rgb)
    stored = Shards(write_shards(shifted, 1, tmp_path / "shards", shifted.content, progress=False))
    assert np.abs(stored[0].frame.rgb - sample.frame.rgb).mean() < 0.02  # JPEG
