"""Objects stand and have the size that their cylinder gives; their prints are pictures."""

import numpy as np
import pytest

from twohands.synth.config import FULL
from twohands.synth.rendering.shapes import box, lathe, sharp
from twohands.synth.things import lying, objects, prints, textures
from twohands.synth.things.palette import Palette

MAKERS = list(dict.fromkeys(objects.CLUTTER))


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_a_thing_stands_on_its_base_inside_its_cylinder(maker):
    for seed in range(20):
        thing = maker(np.random.default_rng(seed))
        vertices = thing.shape.vertices
        reach = np.hypot(vertices[:, 0], vertices[:, 1]).max()
        assert abs(vertices[:, 2].min()) < 1e-4
        assert vertices[:, 2].max() == pytest.approx(thing.height, abs=5e-4)
        handle = 0.006 if maker is objects.mug else 1e-9  # less than the gap between objects
        assert 0.5 * thing.radius < reach <= thing.radius + handle
        assert np.isfinite(thing.shape.uv).all()
        assert 0.005 < 2 * thing.radius < 0.5


def test_the_first_engines_things_are_still_the_first():
    assert (objects.carton, objects.book, objects.can, objects.bottle, objects.mug, objects.sphere) == objects.STANDING


def test_a_bowl_is_hollow_and_its_wall_has_two_sides():
    bowl = objects.bowl(np.random.default_rng(3))
    center = bowl.shape.vertices[np.hypot(*bowl.shape.vertices[:, :2].T) < 1e-9]
    assert center[:, 2].max() < 0.2 * bowl.height  # nothing over the floor
    rim = bowl.shape.vertices[bowl.shape.vertices[:, 2] > bowl.height - 1e-6]
    assert np.ptp(np.hypot(*rim[:, :2].T)) == pytest.approx(0.004)


def test_stretched_normals_stay_across_the_surface():
    lens = objects.stretched(lathe(sharp([(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.0, 1.0)])), (2.0, 0.5, 3.0))
    assert lens.normals is not None
    corners = lens.vertices[lens.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(flat, axis=1)
    meeting = np.einsum("fk,fck->fc", flat, lens.normals[lens.faces])[area > 1e-6] / area[area > 1e-6, None]
    assert (meeting > 0.85).all()
    assert np.allclose(np.linalg.norm(lens.normals, axis=1), 1)
    assert objects.stretched(box((1, 1, 1)), (1.0, 1.0, 2.0)).vertices[:, 2].max() == 2


@pytest.mark.parametrize("painter", [prints.screen, prints.keys, prints.sheet, prints.metal, textures.skin_like])
def test_pictures_are_pure_functions_of_the_generator(painter):
    first, again, other = (painter(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.dtype == np.uint8
    assert first.ndim == 3
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_decal_changes_the_ground_and_shows_the_given_picture():
    base = np.full((64, 64, 3), 128, dtype=np.uint8)
    red = np.zeros((32, 32, 4), dtype=np.uint8)
    red[..., 0] = red[..., 3] = 255
    pictures = [prints.decorated(np.random.default_rng(seed), base, red) for seed in range(12)]
    assert all(picture.shape == (128, 128, 3) for picture in pictures)
    assert all((np.abs(picture.astype(int) - 128).max(axis=-1) > 60).mean() > 0.02 for picture in pictures)
    reds = [((p[..., 0] > 200) & (p[..., 1] < 30) & (p[..., 2] < 30)).mean() for p in pictures]
    assert np.mean(np.array(reds) > 0.02) > 0.6  # later decals may cover it


def test_a_palette_without_decals_draws_as_the_first_engine():
    palette, rng, twin = Palette(), np.random.default_rng(4), np.random.default_rng(4)
    palette.add_thing(rng)
    shiny = twin.random() < 0.4
    specular = (twin.uniform(0.1, 0.5), twin.uniform(30, 120)) if shiny else (twin.uniform(0.0, 0.06), 12.0)
    assert np.array_equal(palette.materials().texels, textures.object_skin(twin).reshape(-1))
    assert palette.materials().specular[0] == np.float32(specular[0])
    assert palette.materials().infrared[0] == np.float32(twin.uniform(0.05, 0.9))


def test_a_thing_keeps_its_own_texture_and_the_share_of_decals_is_kept():
    palette, rng = Palette(FULL), np.random.default_rng(0)
    own = np.full((8, 8, 3), 7, dtype=np.uint8)
    palette.add_thing(rng, own)
    assert (palette.materials().texels == 7).all()
    sizes = [palette._thing_texture(rng).shape[0] for _ in range(200)]
    plain = np.mean([size == 64 for size in sizes])
    assert 0.2 < plain < 0.5  # about two thirds of the half without decals


def test_flat_things_lie_on_the_ground_and_are_thin():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for shape, thickest in ((lying.paper(rng), 0.12), (lying.cloth(rng), 0.06), (lying.cable(rng), 0.008)):
            assert -1e-9 <= shape.vertices[:, 2].min() < 0.002
            assert shape.vertices[:, 2].max() < thickest
            assert np.ptp(shape.vertices[:, :2], axis=0).max() < 0.9
