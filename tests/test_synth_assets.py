"""The asset cache reads the files of its manifest, refuses all others, and is never silently left out."""

import hashlib
import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import SimpleMaterial

from twohands.synth.config import SynthConfig
from twohands.synth.things import textures
from twohands.synth.things.assets import MANIFEST_VERSION, cache_folder, load_assets
from twohands.synth.things.palette import Palette

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))
import fetch_synth_assets as tool  # pyright: ignore[reportMissingImports]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a cache with a texture, a decal and a model of 0.1 x 0.2 x 0.3 m."""
    monkeypatch.setenv("TWOHANDS_CACHE", str(tmp_path))
    mesh = trimesh.creation.box((2.0, 2.0, 2.0))
    mesh.export(tmp_path / "cube.obj")
    contents = {
        "textures/red.png": ("texture", _png(Image.new("RGB", (4, 6), (255, 0, 0)))),
        "decals/dot.png": ("decal", _png(Image.new("RGBA", (5, 5), (0, 255, 0, 128)))),
        "models/cube.npz": (
            "model",
            tool.reduced_model(tmp_path / "cube.obj", np.eye(3), np.array([0.1, 0.2, 0.3])),
        ),
    }
    files = [tool.store(tmp_path, "test 1", name, kind, "CC0-1.0", data) for name, (kind, data) in contents.items()]
    listed = {"version": MANIFEST_VERSION, "files": [vars(file) for file in files]}
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    return tmp_path


def _png(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def test_the_cache_gives_what_its_manifest_lists(folder):
    assets, rng = load_assets(), np.random.default_rng(0)
    assert assets.digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert assets.texture(rng).shape == (6, 4, 3)
    assert (assets.decal(rng) == [0, 255, 0, 128]).all()
    assert assets.has("model")
    assert not assets.has("furniture")
    with pytest.raises(FileNotFoundError, match="no furniture"):
        assets.furniture(rng)


def test_a_model_has_its_size_in_metres_and_stands(folder):
    thing = load_assets().model(np.random.default_rng(0))
    vertices = thing.shape.vertices
    assert np.ptp(vertices, axis=0) == pytest.approx([0.1, 0.2, 0.3], abs=1e-6)
    assert vertices[:, 2].min() == pytest.approx(0, abs=1e-7)
    assert thing.height == pytest.approx(0.3, abs=1e-6)
    assert thing.radius == pytest.approx(np.hypot(0.05, 0.1), abs=1e-6)
    assert len(vertices) == 24  # every edge of the cube stays sharp
    corners = vertices[thing.shape.faces]
    outward = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("fk,fk->f", outward, corners.mean(axis=1) - [0, 0, 0.15]) > 0).all()
    assert thing.texture is not None


def test_a_changed_or_missing_file_is_refused(folder):
    assets = load_assets()
    (folder / "textures/red.png").write_bytes(_png(Image.new("RGB", (4, 6), (0, 0, 255))))
    with pytest.raises(ValueError, match="not the file"):
        assets.texture(np.random.default_rng(0))
    (folder / "decals/dot.png").unlink()
    with pytest.raises(FileNotFoundError, match="missing"):
        assets.decal(np.random.default_rng(0))


def test_another_manifest_version_is_refused(folder):
    (folder / "manifest.json").write_text(json.dumps({"version": 99, "files": []}))
    with pytest.raises(ValueError, match="version 99"):
        load_assets()


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 1}', '{"version": 1, "files": [{"name": "x"}]}'])
def test_a_damaged_manifest_is_told_in_one_sentence(tmp_path, monkeypatch, text):
    monkeypatch.setenv("TWOHANDS_CACHE", str(tmp_path))
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest\.json is damaged .*; run tools/fetch_synth_assets\.py"):
        load_assets()


@pytest.mark.parametrize("asked", [{"models": 0.5}, {"photographs": 0.5}])
def test_a_config_that_needs_assets_says_how_to_get_them(tmp_path, monkeypatch, asked):
    monkeypatch.setenv("TWOHANDS_CACHE", str(tmp_path / "nothing"))
    assert Palette(SynthConfig()).assets is None
    with pytest.raises(FileNotFoundError, match=r"tools/fetch_synth_assets\.py.*models=0, photographs=0"):
        Palette(SynthConfig(**asked))


def test_photographs_replace_the_share_of_painted_surfaces_asked_for(folder):
    palette, rng = Palette(SynthConfig(photographs=0.3)), np.random.default_rng(2)
    stored = [palette.surface(rng, textures.plain).shape == (6, 4, 3) for _ in range(300)]
    assert 0.2 < np.mean(stored) < 0.4


def test_the_cache_lies_where_the_platform_keeps_caches(monkeypatch):
    monkeypatch.delenv("TWOHANDS_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/where")
    assert cache_folder() == Path("/some/where/twohands/synth")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/twohands/synth"


def test_clustering_keeps_the_form_and_at_most_the_faces_asked_for():
    sphere = trimesh.creation.icosphere(5)  # 20480 faces
    uv = np.zeros((len(sphere.faces), 3, 2))
    vertices, faces, uv = tool.clustered(sphere.vertices, sphere.faces, uv)
    assert 500 < len(faces) <= tool.MOST_FACES
    assert len(uv) == len(faces)
    assert np.abs(np.linalg.norm(vertices[np.unique(faces)], axis=1) - 1).max() < 0.02
    assert (faces[:, 0] != faces[:, 1]).all()


def test_creases_split_a_cube_and_not_a_sphere():
    cube = trimesh.creation.box()
    vertices, normals, faces = tool.creased(cube.vertices, cube.faces)
    assert len(vertices) == 24
    assert np.allclose(np.abs(normals).max(axis=1), 1)
    assert np.allclose(vertices[faces], cube.vertices[cube.faces])
    sphere = trimesh.creation.icosphere(3)
    assert len(tool.creased(sphere.vertices, sphere.faces)[0]) == len(sphere.vertices)


def test_an_atlas_shows_each_part_its_own_color_and_repeats_a_repeating_picture():
    plain, chequered = trimesh.creation.box(), trimesh.creation.box()
    plain.visual = TextureVisuals(material=SimpleMaterial(diffuse=[10, 200, 30]))
    image = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], dtype=np.uint8).repeat(32, 0).repeat(16, 1))
    corners = np.tile([0.25, 0.5], (len(chequered.vertices), 1)) + np.arange(len(chequered.vertices))[:, None] % 2
    material = SimpleMaterial(image=image)
    chequered.visual = TextureVisuals(uv=corners, material=material)
    picture, uv = tool.atlas([plain, chequered])
    pixels = np.asarray(picture)

    def seen(face_uv):
        column, row = face_uv[..., 0] * picture.width, (1 - face_uv[..., 1]) * picture.height
        return pixels[row.astype(int), column.astype(int)]

    assert (seen(uv[: len(plain.faces)]) == [10, 200, 30]).all()
    assert (seen(uv[len(plain.faces) :]) == [255, 0, 0]).all()  # a quarter across each repeat is red


def test_a_texture_whose_borders_do_not_fit_is_mirrored():
    ramp = np.broadcast_to(np.linspace(0, 255, 512)[None, :, None], (512, 512, 3)).astype(np.uint8)
    pixels = np.asarray(tool.texture(Image.fromarray(ramp))).astype(int)
    assert np.abs(pixels[:, 0] - pixels[:, -1]).max() <= 2
    wave = (127 + 100 * np.sin(np.linspace(0, 4 * np.pi, 512, endpoint=False)))[None, :, None]
    fits = np.broadcast_to(wave, (512, 512, 3)).astype(np.uint8)
    assert np.array_equal(np.asarray(tool.texture(Image.fromarray(fits))), fits)


def test_nothing_of_a_brand_is_fetched():
    pattern = tool.WHEELS["robosuite==1.5.2"][1]
    path = "robosuite/models/assets/textures/{}.png"
    assert re.fullmatch(pattern, path.format("light-wood"))
    assert not any(re.fullmatch(pattern, path.format(name)) for name in ("can", "soda", "cereal"))
