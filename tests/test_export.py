"""Meshes and pages open in other programs: upright, coloured, and without internet access."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import trimesh

from fakes import CAMERA, make_hands
from twohands.export import clouds, look_at, write_glb, write_view
from twohands.hands import free_hand
from twohands.types import RGBDFrame

FACES = np.asarray(free_hand().faces)


def test_glb(tmp_path):
    hands = make_hands()
    assert write_glb(tmp_path / "hands.glb", hands, FACES)
    scene = trimesh.load_scene(tmp_path / "hands.glb", process=False)
    assert set(scene.geometry) == {"left", "right"}
    for side, name in enumerate(("left", "right")):
        mesh = scene.geometry[name]
        assert isinstance(mesh, trimesh.Trimesh)
        np.testing.assert_allclose(mesh.vertices, hands.vertices[side], atol=1e-6)  # camera frame below the node
        transform, _ = scene.graph.get(name)
        np.testing.assert_allclose(transform, np.diag([1, -1, -1, 1]))  # +y up, seen along -z
        np.testing.assert_array_equal(mesh.faces, FACES[side])
        outward = ((mesh.triangles_center - mesh.vertices.mean(axis=0)) * mesh.face_normals).sum(axis=1)
        assert (outward > 0).mean() > 0.6
        np.testing.assert_allclose(np.linalg.norm(mesh.vertex_normals, axis=1), 1, atol=1e-5)
    left, right = (scene.geometry[name].visual.material.baseColorFactor[:3] for name in ("left", "right"))
    assert left[0] > left[1]  # red
    assert right[1] > right[0]  # green


def test_glb_without_hands(tmp_path):
    assert not write_glb(tmp_path / "none.glb", make_hands((0, 0)), FACES)
    assert not list(tmp_path.iterdir())
    assert write_glb(tmp_path / "one.glb", make_hands((0, 1)), FACES)
    assert set(trimesh.load_scene(tmp_path / "one.glb").geometry) == {"right"}


def large_frame() -> RGBDFrame:
    camera = CAMERA.resize(960, 720)
    return RGBDFrame(np.full((3, 720, 960), 0.5, np.float32), np.full((720, 960), 0.52, np.float32), camera)


@pytest.mark.parametrize("present", [(1, 1), (0, 1), (0, 0)])
def test_cloud_is_limited(present):
    parts = clouds(large_frame(), make_hands(present))
    assert 10_000 < sum(len(points) for _, points, _, _ in parts) <= 60_000
    for _, points, colors, spacing in parts:
        assert points.shape == colors.shape
        assert 0 < spacing < 0.02
    if sum(present):
        (near, *_), (far, *_) = parts
        assert (near, far) == ("cloud_hands", "cloud_scene")
        assert parts[0][3] < parts[1][3] or sum(present) == 2  # denser around the hands, unless they fill the image


@pytest.mark.parametrize(("present", "kept"), [((1, 1), [0.52, 0.8]), ((0, 0), [0.52, 0.8, 3.0])])
def test_cloud_ends_behind_the_hands(present, kept):
    frame = large_frame()
    frame.depth[:, 300:600] = 0.8
    frame.depth[:, 600:] = 3
    found = np.unique(np.concatenate([points[:, 2] for _, points, _, _ in clouds(frame, make_hands(present))]))
    np.testing.assert_allclose(found, kept)


@pytest.mark.parametrize("present", [(1, 1), (0, 0)])
def test_page_is_self_contained(tmp_path, present):
    write_view(tmp_path / "view.html", large_frame(), make_hands(present), FACES)
    page = (tmp_path / "view.html").read_text()
    assert not re.findall(r"(?:src|href)\s*=|@import|import\s*\(|importScripts|WebSocket", page.split("<body>")[0])
    assert not re.search(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=", page)
    addresses = set(re.findall(r"https?://[\w./#-]+", page))
    assert addresses <= {"http://www.w3.org/1999/xhtml", "https://github.com/mrdoob/three.js/pull/23228"}
    data = max(re.findall(r'"([A-Za-z0-9+/=]{1000,})"', page), key=len)
    scene = trimesh.load_scene(io.BytesIO(base64.b64decode(data)), file_type="glb")
    names = set(scene.geometry)
    assert {"cloud_scene"} <= names
    assert ({"left", "right", "cloud_hands"} <= names) == (sum(present) == 2)
    points = sum(len(g.vertices) for g in scene.geometry.values() if isinstance(g, trimesh.PointCloud))
    assert 10_000 < points <= 60_000
    assert scene.bounds[1, 2] < 0  # in front of the camera, which looks along -z


def test_page_of_a_large_frame_has_its_cloud_at_the_same_place(tmp_path):
    """A 12-megapixel phone's image: a plane, red left of the camera's axis and blue right of it."""
    camera = CAMERA.resize(4032, 3024)
    left = np.arange(4032) < camera.center[0]
    rgb = np.broadcast_to(np.stack([left, 0 * left, ~left])[:, None], (3, 3024, 4032)).astype(np.float32)
    frame = RGBDFrame(rgb, np.full((3024, 4032), 0.52, np.float32), camera)
    write_view(tmp_path / "view.html", frame, make_hands(), FACES)
    data = max(re.findall(r'"([A-Za-z0-9+/=]{1000,})"', (tmp_path / "view.html").read_text()), key=len)
    scene = trimesh.load_scene(io.BytesIO(base64.b64decode(data)), file_type="glb")
    parts = [part for part in scene.geometry.values() if isinstance(part, trimesh.PointCloud)]
    points = np.concatenate([part.vertices for part in parts])
    colors = np.concatenate([part.colors for part in parts])[:, [0, 2]].astype(int)
    assert 10_000 < len(points) <= 60_000
    np.testing.assert_allclose(points[:, 2], 0.52, atol=1e-6)
    pixel = 0.52 / float(camera.focal[0]) * 4032 / 1600
    away = np.abs(points[:, 0]) > 1.1 * pixel
    np.testing.assert_array_equal(colors[away, 0] > colors[away, 1], points[away, 0] < 0)
    corners = np.array([[-0.5, -0.5], [4031.5, 3023.5]])
    outer = camera.unproject(corners, np.full(2, 0.52))
    np.testing.assert_allclose([points.min(axis=0), points.max(axis=0)], outer, atol=8 * pixel)  # every few pixels


def test_look_at():
    pose = look_at(np.array([0.0, 0, 2]), np.zeros(3))
    np.testing.assert_allclose(pose, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 2], [0, 0, 0, 1]], atol=1e-12)
    pose = look_at(np.array([1.0, 2, 3]), np.array([0.3, 0.1, -0.4]))
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose) == pytest.approx(1)
    ahead = np.linalg.inv(pose) @ [0.3, 0.1, -0.4, 1]
    np.testing.assert_allclose(ahead[:2], 0, atol=1e-12)
    assert ahead[2] < 0
