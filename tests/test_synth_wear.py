"""Watches, bracelets, rings, sleeves and stray arms are close to the skin and away from the hands."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial import ConvexHull, KDTree

from twohands.geometry.mesh import volume
from twohands.hands.free import free_hand
from twohands.synth.around.bystanders import pillars, stray_arms
from twohands.synth.around.surroundings import Occupied
from twohands.synth.config import BASIC
from twohands.synth.engine import SyntheticHands
from twohands.synth.person.body import body_end, forearm_rings, hand_shape, with_arm
from twohands.synth.person.limb import AROUND, Limb, arm_limb, finger_limb, hull_radius
from twohands.synth.person.sleeves import long_sleeve, sample_style
from twohands.synth.person.wear import band, round_section, sample_rings, sample_wear, strap_section
from twohands.synth.rendering.render import draw, labels
from twohands.synth.rendering.shapes import joined
from twohands.synth.things.objects import can
from twohands.synth.things.palette import Palette

CONFIG = replace(BASIC, width=160, height=120, two_hands=1.0, one_hand=0.0, watches=1.0, rings=1.0, distractors=1.0)
DATASET = SyntheticHands(31, config=CONFIG)
UP = np.array([0.0, -1.0, 0.0])


def scenery(index, side=1):
    staging = DATASET.staging(index)
    vertices = np.asarray(free_hand(1609)(staging.parameters()).vertices, dtype=float)[side]
    return staging, vertices, arm_limb(vertices, staging.arm(side), staging.scale)


def seen_skin(forearm, covers, limb, at):
    """Yield from six sides the metres up the arm, from the place `at`, of every pixel that shows the forearm's skin."""
    camera = DATASET.staging(0).view.camera
    surfaces = joined([replace(forearm, label=0), *(replace(part, label=1) for part in covers)])
    center, frames = limb.axes(np.array([at]))
    for angle in np.linspace(0, 2 * np.pi, 6, endpoint=False):
        look = np.cos(angle) * frames[0, :, 0] + np.sin(angle) * frames[0, :, 1]
        view = np.stack([frames[0, :, 2], np.cross(look, frames[0, :, 2]), look])  # right in the picture is up the arm
        seen = surfaces._replace(vertices=(surfaces.vertices - center[0]) @ view.T + [0.0, 0.0, 0.35])
        depth, triangle = draw(seen, camera)
        rows, columns = np.nonzero(labels(seen, triangle) == 0)
        pixels = np.stack([columns, rows], axis=-1).astype(float)
        yield camera.unproject(pixels, depth[rows, columns].astype(float))[:, 0]


def test_hull_radius_equals_the_convex_hull():
    rng = np.random.default_rng(0)
    outline = rng.normal(0, 0.02, (30, 2))
    low, high = (np.column_stack([outline, np.full(30, z)]) for z in (-0.01, 0.02))
    edges = np.stack([np.arange(30), 30 + np.arange(30)], axis=-1)
    radius = hull_radius(np.concatenate([low, high]), edges, np.zeros((1, 3)), np.eye(3)[None])[0]
    hull = ConvexHull(outline).equations  # n x + d <= 0
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    facing = hull[:, :2] @ np.stack([np.cos(angle), np.sin(angle)])
    exact = np.where(facing > 1e-9, -hull[:, 2:] / np.maximum(facing, 1e-9), np.inf).min(axis=0)
    assert (radius >= exact - 1e-9).all()
    assert (radius / exact).max() < 1.12  # sharp corners are cut by the supporting lines beside them
    assert np.median(radius / exact) < 1.01


def test_hull_radius_of_a_cone():
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    cone = np.concatenate(
        [np.column_stack([0.02 * circle, 0 * angle]), np.column_stack([0.04 * circle, 0 * angle + 0.1])]
    )
    edges = np.stack([np.arange(200), 200 + np.arange(200)], axis=-1)
    radius = hull_radius(cone, edges, np.array([[0.0, 0.0, 0.05]]), np.eye(3)[None])
    np.testing.assert_allclose(radius, 0.03, rtol=0.003)


@pytest.mark.parametrize("section", [strap_section(0.018, 0.0025), round_section(0.004, 0.002)])
def test_bands_are_closed_and_hug_the_arm(section):
    for index in range(4):
        staging, vertices, limb = scenery(index)
        shape = band(limb, 0.035, section)
        mesh = trimesh.Trimesh(shape.vertices, shape.faces)
        mesh.merge_vertices(digits_vertex=9)
        assert mesh.is_watertight
        assert volume(shape.vertices, shape.faces) > 0
        half = 0.5 * np.ptp(section[:, 0])
        middle = limb.rings(0.035 + np.array([-half, 0.0, half]), np.zeros(3)).reshape(-1, 3)
        assert KDTree(middle).query(shape.vertices)[0].max() < half + section[:, 1].max() + 0.002
        _, forearm = with_arm(hand_shape(vertices, 1), staging.arm(1), staging.scale)
        for place in seen_skin(forearm, [shape], limb, 0.035):
            assert not (np.abs(place) < 0.6 * half).any()


def test_rings_lie_on_their_finger():
    for index in range(6):
        staging, vertices, _ = scenery(index)
        rng = np.random.default_rng(index)
        shapes = sample_rings(rng, CONFIG, vertices, staging.joints[1], staging.arm(1).hand[:, 1], Palette())
        assert shapes
        bones = staging.joints[1][[5, 9, 13, 17]], staging.joints[1][[6, 10, 14, 18]]
        for shape in shapes:
            middle = 0.5 * (shape.vertices.min(axis=0) + shape.vertices.max(axis=0))
            share = ((middle - bones[0]) * (bones[1] - bones[0])).sum(1) / ((bones[1] - bones[0]) ** 2).sum(1)
            aside = np.linalg.norm(middle - bones[0] - share[:, None] * (bones[1] - bones[0]), axis=1)
            finger = int(np.argmin(np.where((share > 0.3) & (share < 0.9), aside, 1.0)))
            assert 0.4 < share[finger] < 0.85
            assert aside[finger] < 0.018  # a stone on the back of the finger is farthest
            assert KDTree(vertices).query(shape.vertices)[0].max() < 0.011


def test_wear_follows_its_shares_and_its_seed():
    staging, vertices, limb = scenery(0)
    none = replace(CONFIG, watches=0.0, rings=0.0)
    hand = (vertices, staging.joints[1], staging.arm(1).hand[:, 1])
    for seed in range(5):
        assert sample_wear(np.random.default_rng(seed), none, limb, UP, None, Palette()) == []
        assert sample_rings(np.random.default_rng(seed), none, *hand, Palette()) == []
        first = sample_wear(np.random.default_rng(seed), CONFIG, limb, UP, None, Palette())
        again = sample_wear(np.random.default_rng(seed), CONFIG, limb, UP, None, Palette())
        assert len(first) == len(again) > 0
        assert all((a.vertices == b.vertices).all() for a, b in zip(first, again, strict=True))
        assert all(np.isfinite(shape.vertices).all() for shape in first)
        assert sample_wear(np.random.default_rng(seed), CONFIG, limb, UP, 0.0, Palette()) == []  # under the sleeve


def test_no_skin_pokes_through_sleeves():
    """From six sides, the forearm is hidden everywhere above the cuff."""
    rng = np.random.default_rng(2)
    for index in range(10):
        staging, vertices, limb = scenery(index, side=index % 2)
        arm = staging.arm(index % 2)
        style = sample_style(rng, 0, Palette())
        _, forearm = with_arm(hand_shape(vertices, index % 2), arm, staging.scale, closed=True)
        clothes = long_sleeve(rng, style, limb, arm, staging.scale, staging.view.up, body_end(staging, index % 2))
        for place in seen_skin(forearm, clothes, limb, style.cuff + 0.02):
            assert (place > 0).sum() <= 1


def test_cuffs_are_steps_of_4_to_15_millimetres():
    kinds = set()
    for seed in range(60):
        style = sample_style(np.random.default_rng(seed), 0, Palette())
        kinds.add(style.kind)
        assert 0.004 <= style.step <= 0.015
        assert -0.010 <= style.cuff <= 0.14
    assert kinds == {"hem", "buttoned", "ribbed", "rolled", "wide"}


def test_the_limb_follows_the_forearm():
    staging, vertices, limb = scenery(3)
    rings = forearm_rings(vertices, staging.arm(1), staging.scale)
    center, frames = limb.axes(limb.along[5:10])
    np.testing.assert_allclose(center, rings[4:9].mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(frames.transpose(0, 2, 1) @ frames, np.tile(np.eye(3), (5, 1, 1)), atol=1e-9)
    assert (np.linalg.det(frames) > 0).all()
    finger = finger_limb(vertices, staging.joints[1], staging.arm(1).hand[:, 1], 2)
    assert isinstance(finger, Limb)
    radius = hull_radius(finger.vertices, finger.edges, *finger.axes(np.array([0.6 * finger.along[-1]])))
    assert (radius > 0.004).all()
    assert (radius < 0.016).all()


def around_the_hands(index):
    staging = DATASET.staging(index)
    level = np.stack([staging.view.right, staging.view.forward, staging.view.up])
    skins = np.asarray(free_hand(1609)(staging.parameters()).vertices, dtype=float) @ level.T
    points = skins.reshape(-1, 3)
    forward = level @ staging.body_forward
    height = float(points[:, 2].min()) - 0.01
    return staging, level, Occupied(points, tuple(skins), level @ staging.center, forward, height)


@pytest.mark.parametrize("table", [True, False])
def test_stray_arms_keep_away_and_end_outside(table):
    placed = 0
    for index in range(12):
        staging, level, occupied = around_the_hands(index)
        rests = (lambda spot, radius: True) if table else None
        shapes = stray_arms(
            *(np.random.default_rng(index), CONFIG, occupied, occupied.points),
            *(staging.view.camera, level, rests, Palette()),
        )
        placed += bool(shapes)
        for shape in shapes:
            assert KDTree(occupied.points).query(shape.vertices)[0].min() > 0.002
        if shapes and not table:  # one arm, and both of its ends are out of the picture
            seen = shapes[0].vertices @ level
            for end in (seen[:25], seen[-25:]):
                pixels = staging.view.camera.project(end[end[:, 2] > 0.02])
                size = [staging.view.camera.width, staging.view.camera.height]
                assert ((pixels < 0) | (pixels > np.array(size) - 1)).any(axis=1).all()
    assert placed >= 6


def test_pillars_fill_the_cylinders_of_things():
    thing = can(np.random.default_rng(0))
    points = pillars([(np.array([0.3, 0.4]), thing)], 0.1)
    distance = np.linalg.norm(points[:, :2] - [0.3, 0.4], axis=1)
    assert distance.max() == pytest.approx(thing.radius)
    assert points[:, 2].min() == pytest.approx(0.1)
    assert thing.height <= points[:, 2].max() - 0.1 <= thing.height + 0.02
    solid = thing.shape.vertices + [0.3, 0.4, 0.1]
    assert KDTree(points).query(solid)[0].max() < 0.025
    assert pillars([], 0.1).shape == (0, 3)


def test_no_distractors_without_their_share():
    staging, level, occupied = around_the_hands(0)
    none = replace(CONFIG, distractors=0.0)
    arguments = (none, occupied, occupied.points, staging.view.camera, level, None, Palette())
    assert all(stray_arms(np.random.default_rng(seed), *arguments) == [] for seed in range(5))
