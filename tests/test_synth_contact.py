"""Distances between hands match brute force; hands brought together touch without penetrating each other."""

import numpy as np
import pytest

from twohands.geometry.mesh import cap
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.free import free_hand
from twohands.hands.skeleton import ROOT
from twohands.synth.acts.contact import Pair, bring_together, mirror_fingers
from twohands.synth.acts.contact_kinds import LARGEST_TURN, place_vertices
from twohands.synth.acts.hand_motion import NUMBERS, Placed, Springs, changes, local_root, moved, pose, shaped_skin
from twohands.synth.acts.poses import (
    hand_parameters,
    local_hand,
    local_joints,
    sample_angles,
    sample_shape,
    self_penetration,
)
from twohands.synth.acts.touching import gap, nearest, penetration_depth, posed_surface
from twohands.types import LEFT, RIGHT

MIRROR = np.array([-1.0, 1.0, 1.0])


def winding_number(points, vertices, faces):
    """Return 1 inside and 0 outside, from the solid angle of every triangle (van Oosterom & Strackee 1983)."""
    a, b, c = (vertices[faces[:, k]] - points[:, None] for k in range(3))
    la, lb, lc = (np.linalg.norm(x, axis=-1) for x in (a, b, c))
    volume = (a * np.cross(b, c)).sum(-1)
    rest = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
    return np.arctan2(volume, rest).sum(axis=1) / (2 * np.pi)


def dense_surface(vertices, faces, steps=12):
    """Return points all over the triangles."""
    u, v = np.meshgrid(np.linspace(0, 1, steps), np.linspace(0, 1, steps))
    u, v = u[u + v <= 1 + 1e-9], v[u + v <= 1 + 1e-9]
    corners = vertices[faces]
    weights = np.stack([1 - u - v, u, v], axis=-1)
    return np.einsum("wk,fki->fwi", weights, corners).reshape(-1, 3)


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_signed_distance_equals_brute_force(side):
    rng = np.random.default_rng(3)
    vertices, _ = local_hand(sample_angles(rng), level=252)
    vertices = vertices * MIRROR if side == LEFT else vertices
    faces = cap(np.asarray(free_hand(252).right_faces))
    faces = faces[:, ::-1] if side == LEFT else faces
    points = rng.uniform(vertices.min(axis=0) - 0.01, vertices.max(axis=0) + 0.01, (150, 3))
    found = nearest(points, posed_surface(vertices, side))
    dense = dense_surface(vertices, faces)
    expected = np.array([np.linalg.norm(dense - point, axis=1).min() for point in points])
    assert (np.abs(found.distance) <= expected + 1e-9).all()
    assert np.abs(np.abs(found.distance) - expected).max() < 0.002  # half a step between the dense points
    inside = winding_number(points, vertices, faces) > 0.5
    np.testing.assert_array_equal(found.distance < 0, inside)
    assert 5 < inside.sum() < 145
    corners = vertices[posed_surface(vertices, side).faces[found.face]]
    reached = np.einsum("nk,nki->ni", found.weights, corners) + found.distance[:, None] * found.direction
    np.testing.assert_allclose(reached, points, atol=1e-9)
    short = nearest(points, posed_surface(vertices, side), 0.004)
    np.testing.assert_array_equal(short.face >= 0, found.distance <= 0.004)


def test_gap_and_depth_follow_a_translation():
    vertices, _ = local_hand(free_hand().rest_angles.astype(np.float64), level=778)
    hands = np.stack([vertices * MIRROR - [0.16, 0, 0], vertices])
    assert penetration_depth(hands) == 0
    found = nearest(hands[LEFT], posed_surface(hands[RIGHT], RIGHT))
    closest = int(found.distance.argmin())
    assert gap(hands) <= found.distance[closest]
    towards = -found.direction[closest]
    closer = np.stack([hands[LEFT] + (found.distance[closest] - 0.001) * towards, hands[RIGHT]])
    assert gap(closer) == pytest.approx(0.001, abs=1e-6)
    into = np.stack([hands[LEFT] + (found.distance[closest] + 0.0015) * towards, hands[RIGHT]])
    assert gap(into) == 0
    assert 0.001 < penetration_depth(into) <= 0.0015 + 1e-9


def random_placed(rng, shape):
    angles = np.stack([sample_angles(rng), sample_angles(rng)])
    rotation = matrix_from_axis_angle(rng.normal(0, 1, (2, 3)))
    return Placed(angles, rotation, rng.normal(0, 0.1, (2, 3)))


def test_posed_skin_equals_the_hand_model():
    rng = np.random.default_rng(5)
    shape = sample_shape(rng, "train")
    placed, skin = random_placed(rng, shape), shaped_skin(shape, 252)
    wrists = np.stack([placed.root[s] - placed.rotation[s] @ local_root(skin, s) for s in (LEFT, RIGHT)])
    parameters = hand_parameters(placed.angles, shape, axis_angle_from_matrix(placed.rotation), wrists)
    hands = free_hand(252)(parameters)
    assert hands.vertices is not None
    for side in (LEFT, RIGHT):
        np.testing.assert_allclose(pose(skin, placed, side).vertices, hands.vertices[side], atol=2e-6)
    np.testing.assert_allclose(placed.root, hands.joints[:, ROOT], atol=2e-6)


def test_changes_are_the_slopes_of_the_residuals():
    rng = np.random.default_rng(6)
    placed, skin = random_placed(rng, np.zeros(10)), shaped_skin(np.zeros(10), 252)
    limits = free_hand().limits
    placed = Placed(
        0.5 * placed.angles + 0.25 * limits.sum(axis=-1), placed.rotation, placed.root
    )  # clear of the limits
    hands = (pose(skin, placed, LEFT), pose(skin, placed, RIGHT))
    # one bone carries these vertices, so that the slopes are exact
    rigid = np.flatnonzero(free_hand(252).weights.max(axis=1) > 0.999)
    a, b = rng.choice(rigid, (2, 40))
    side = rng.integers(0, 2, 40)
    direction = rng.normal(size=(40, 3))

    def points(hands):
        return (
            np.stack([hands[s].vertices[v] for s, v in zip(side, a, strict=True)]),
            np.stack([hands[1 - s].vertices[v] for s, v in zip(side, b, strict=True)]),
        )

    first, second = points(hands)
    zero = np.zeros(40)
    springs = Springs(side, first, skin.outward[a], second, skin.outward[b], direction, zero, zero)
    for number in range(2 * NUMBERS):
        step = 1e-6 * np.eye(2 * NUMBERS)[number]
        after = moved(placed, step)
        p, q = points((pose(skin, after, LEFT), pose(skin, after, RIGHT)))
        measured = ((p - first - q + second) * direction).sum(axis=1)
        np.testing.assert_allclose(changes(springs, hands, step), measured, atol=2e-11 + 2e-3 * np.abs(measured).max())


def test_places_lie_where_their_names_say():
    model = free_hand(778)
    places = place_vertices(778)
    vertices, joints = local_hand(model.rest_angles.astype(np.float64), level=778)
    for index, finger in enumerate(("thumb", "index", "middle", "ring", "little")):
        assert model.weights[places[f"{finger}_pad"]].argmax() == 3 * index + 3
    assert vertices[places["palm"], 1] < joints[9, 1] < vertices[places["back"], 1]  # +y is dorsal
    for finger in ("index", "middle", "ring", "little"):
        assert vertices[places[f"{finger}_middle_radial"], 0] > vertices[places[f"{finger}_middle_ulnar"], 0]
    fine, _ = local_hand(model.rest_angles.astype(np.float64), level=1609)
    apart = [np.linalg.norm(vertices[places[name]] - fine[vertex]) for name, vertex in place_vertices(1609).items()]
    assert max(apart) < 0.008


def close_pair(rng):
    """Sample two hands in front of the camera, roots 7 cm apart, palms between down and inwards."""
    shape = sample_shape(rng, "train")
    rotation = np.empty((2, 3, 3))
    for side in (LEFT, RIGHT):
        sign = 1 if side == LEFT else -1
        # wrist +z points into the picture and to the middle, +y is dorsal
        z = np.array([0.5 * sign, -0.5, 1.0]) + rng.normal(0, 0.2, 3)
        y = np.array([-sign * rng.uniform(0, 1.5), -1.0, 0.0])
        z = z / np.linalg.norm(z)
        y = y - (y @ z) * z
        y = y / np.linalg.norm(y)
        rotation[side] = np.stack([np.cross(y, z), y, z], axis=-1)
    angles = np.stack([sample_angles(rng), sample_angles(rng)])
    roots = np.array([[-0.035, 0.0, 0.45], [0.035, 0.0, 0.45]])
    local = [local_joints(hand, shape)[ROOT] for hand in angles]
    local[LEFT] = local[LEFT] * MIRROR
    wrists = np.stack([roots[side] - rotation[side] @ local[side] for side in (LEFT, RIGHT)])
    return Pair(angles, rotation, wrists), shape


def test_hands_that_are_brought_together_touch():
    depths, limits = [], free_hand().limits
    for seed in range(12):
        rng = np.random.default_rng([41, seed])
        pair, shape = close_pair(rng)
        together = bring_together(rng, pair, shape)
        if together is None:
            continue
        rotation = axis_angle_from_matrix(together.rotation)
        hands = free_hand(1609)(hand_parameters(together.angles, shape, rotation, together.translation))
        vertices = np.asarray(hands.vertices, dtype=np.float64)
        depths.append(penetration_depth(vertices))
        assert depths[-1] < 0.005
        assert gap(vertices) < 0.001
        assert (together.angles >= limits[..., 0] - 1e-6).all()
        assert (together.angles <= limits[..., 1] + 1e-6).all()
        turns = axis_angle_from_matrix(together.rotation @ pair.rotation.swapaxes(1, 2))
        assert np.linalg.norm(turns, axis=1).max() < LARGEST_TURN + 1e-6
        assert all(self_penetration(local_joints(hand)) < 0.0021 for hand in together.angles)
    assert len(depths) >= 10
    assert np.median(depths) < 0.002


def test_the_same_stream_gives_the_same_contact():
    pair, shape = close_pair(np.random.default_rng(8))
    first, second, other = (bring_together(np.random.default_rng(seed), pair, shape) for seed in (1, 1, 2))
    assert first is not None
    assert second is not None
    assert other is not None
    np.testing.assert_array_equal(first.translation, second.translation)
    assert np.abs(first.translation - other.translation).max() > 1e-3


def test_hands_far_from_each_other_do_not_meet():
    pair, shape = close_pair(np.random.default_rng(9))
    far = Pair(pair.angles, pair.rotation, pair.translation + [[-0.3, 0, 0], [0.3, 0, 0]])
    assert bring_together(np.random.default_rng(0), far, shape) is None


def test_mirrored_fingers_differ_little_and_stay_possible():
    sources, limits = set(), free_hand().limits
    for seed in range(6):
        rng = np.random.default_rng(seed)
        angles = np.stack([sample_angles(rng), sample_angles(rng)])
        mirrored = mirror_fingers(rng, angles)
        assert np.abs(mirrored[LEFT] - mirrored[RIGHT]).max() < np.radians(15.0)
        kept = [side for side in (LEFT, RIGHT) if np.array_equal(mirrored[side], angles[side])]
        assert len(kept) == 1
        sources.add(kept[0])
        assert (mirrored >= limits[..., 0] - 1e-6).all()
        assert (mirrored <= limits[..., 1] + 1e-6).all()
        assert all(self_penetration(local_joints(hand)) < 0.0021 for hand in mirrored)
    assert sources == {LEFT, RIGHT}
