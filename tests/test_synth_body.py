"""Arms and torsos have no open ends in view."""

from dataclasses import replace

import numpy as np
import pytest

from twohands.geometry.mesh import face_normals
from twohands.hands.free import free_hand
from twohands.synth.config import BASIC
from twohands.synth.engine import SyntheticHands
from twohands.synth.person.body import (
    arm_to_body,
    body_end,
    facing_out,
    hand_shape,
    present_sides,
    rounded_end,
    short_sleeve,
    with_arm,
)
from twohands.synth.person.bust import bust
from twohands.synth.person.limb import arm_limb
from twohands.synth.person.sleeves import long_sleeve, sample_style
from twohands.synth.rendering.render import draw
from twohands.synth.rendering.shapes import ball, joined, tube
from twohands.synth.things.palette import Palette

SMALL = replace(BASIC, width=160, height=120, two_hands=1.0, one_hand=0.0, distance=(0.3, 1.2), smallest_hand=0.1)


def stagings(egocentric, count):
    dataset = SyntheticHands(21, config=replace(SMALL, egocentric=egocentric))
    return [dataset.staging(index) for index in range(count)]


def dressed(staging, rng, sleeved):
    """Return the hands and all closed shapes of a person. The hands are the first shapes."""
    vertices = np.asarray(free_hand(1609)(staging.parameters()).vertices, dtype=float)
    style = sample_style(rng, 0, Palette())
    hands, rest = [], []
    for side in present_sides(staging):
        arm, end = staging.arm(side), body_end(staging, side)
        hand, forearm = with_arm(hand_shape(vertices[side], side), arm, staging.scale, closed=True)
        hands.append(hand)
        rest.append(forearm)
        if sleeved:
            limb = arm_limb(vertices[side], arm, staging.scale)
            rest += long_sleeve(rng, style, limb, arm, staging.scale, staging.view.up, end)
        else:
            rest += [arm_to_body(arm, staging.scale, end), short_sleeve(arm, staging.scale, end, 0.5, 0.015)]
    if not staging.egocentric:
        rest += bust(rng, staging).shapes
    return hands, rest


def back_faces(shapes, hands, camera):
    """Return the number of pixels that show the back of a triangle, except triangles of the hands."""
    surfaces = joined(shapes)
    _, triangle = draw(surfaces, camera)
    first = surfaces.vertices[surfaces.faces[:, 0]]
    back = (face_normals(surfaces.vertices, surfaces.faces) * first).sum(axis=1) > 0
    back[: sum(len(hand.faces) for hand in hands)] = False
    return int(back[triangle[triangle >= 0]].sum())


@pytest.mark.parametrize("sleeved", [False, True])
@pytest.mark.parametrize("egocentric", [0.0, 1.0])
def test_no_camera_looks_into_an_arm(egocentric, sleeved):
    rng = np.random.default_rng(4)
    for staging in stagings(egocentric, 8):
        hands, rest = dressed(staging, rng, sleeved)
        if min(np.linalg.norm(shape.vertices, axis=1).min() for shape in rest) < 0.06:
            continue  # the camera is inside an arm
        assert back_faces([*hands, *rest], hands, staging.view.camera) <= 8


def test_open_tubes_are_noticed():
    """`back_faces` finds the open sleeves of the first engine."""
    ring = np.stack([np.cos(np.arange(20) * np.pi / 10), np.sin(np.arange(20) * np.pi / 10), np.zeros(20)], axis=-1)
    far = 0.05 * ring + [0.0, 0.0, 0.6]
    near = 0.05 * ring + [0.0, 0.0, 0.5]
    camera = stagings(1.0, 1)[0].view.camera
    assert back_faces([facing_out(tube(np.stack([near, far])))], [], camera) > 50
    assert back_faces([facing_out(tube(rounded_end(np.stack([far, near]))))], [], camera) == 0


def test_a_head_cameras_picture_ends_before_the_arm_does():
    for staging in stagings(1.0, 10):
        for side in present_sides(staging):
            end = body_end(staging, side)
            rim = arm_to_body(staging.arm(side), staging.scale, end).vertices
            last = rim[np.linalg.norm(rim - end, axis=1) < 0.10]
            assert len(last) >= 20
            pixels = staging.view.camera.project(last[last[:, 2] > 0.01])
            assert (pixels[:, 1] > staging.view.camera.height).all()


def test_the_open_forearm_is_the_beginning_of_the_closed_one():
    staging = stagings(1.0, 1)[0]
    vertices = np.asarray(free_hand(1609)(staging.parameters()).vertices, dtype=float)
    hand = hand_shape(vertices[0], 0)
    _, plain = with_arm(hand, staging.arm(0), staging.scale)
    _, closed = with_arm(hand, staging.arm(0), staging.scale, closed=True)
    np.testing.assert_array_equal(closed.vertices[: len(plain.vertices)], plain.vertices)
    assert np.ptp(closed.vertices[-21:], axis=0).max() < 1e-9  # one point: no hole at the elbow


def test_inverted_shapes_are_turned_over():
    sphere = ball(0.1)
    assert sphere.normals is not None
    inverted = replace(sphere, faces=sphere.faces[:, ::-1], uv=sphere.uv[:, ::-1], normals=-sphere.normals)
    np.testing.assert_array_equal(facing_out(inverted).faces, sphere.faces)
    np.testing.assert_array_equal(facing_out(inverted).normals, sphere.normals)
    assert facing_out(sphere) is sphere
