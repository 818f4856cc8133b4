"""Grasps: solids know their distance, fingers stop at them, and held objects are touched and not penetrated."""

import numpy as np
import pytest
import trimesh

from twohands.hands.free import free_hand, pose_prior
from twohands.hands.model import HandModel
from twohands.synth.acts.closing import GraspHand, LinkedSkin, Path, close
from twohands.synth.acts.grasp import GRIPS, Grasp, own_penetration, sample_grasp
from twohands.synth.acts.graspables import MAKERS, bag_handle, card, phone
from twohands.synth.acts.poses import local_hand, sample_shape
from twohands.synth.acts.solids import Ball, Cuboid, Moved, Revolved, Rods, Union
from twohands.synth.rendering.shapes import OBJECT_LABEL

MEAN = np.zeros(10, dtype=np.float32)
SOLIDS = {
    "ball": (Ball(0.03), trimesh.creation.icosphere(4, 0.03)),
    "box": (Cuboid(np.array([0.02, 0.03, 0.04])), trimesh.creation.box((0.04, 0.06, 0.08))),
    "can": (
        Revolved(np.array([[0, -0.04], [0.03, -0.04], [0.03, 0.04], [0, 0.04]])),
        trimesh.creation.cylinder(0.03, 0.08, sections=128),
    ),
    "rod": (
        Rods(np.array([[0, 0, -0.02]]), np.array([[0, 0, 0.02]]), np.array([0.02])),
        trimesh.creation.capsule(0.04, 0.02, count=(64, 64)),
    ),
}


@pytest.fixture(scope="module")
def grasps() -> list[tuple[Grasp, np.ndarray]]:
    """Return two grasps of every maker's objects, and the shapes of the hands."""
    found = []
    for index, maker in enumerate(2 * MAKERS):
        rng = np.random.default_rng([5, index])
        shape = sample_shape(rng, "train")
        grasp = sample_grasp(rng, shape, [maker])
        if grasp is not None:
            found.append((grasp, shape))
    assert len(found) >= 2 * len(MAKERS) - 2
    return found


@pytest.mark.parametrize("name", SOLIDS)
def test_distances_are_those_of_the_mesh(name):
    solid, mesh = SOLIDS[name]
    points = np.random.default_rng(0).uniform(-0.06, 0.06, (300, 3))
    truth = -trimesh.proximity.signed_distance(mesh, points)  # trimesh: positive inside
    np.testing.assert_allclose(solid.distance(points), truth, atol=2e-4)
    assert solid.distance(points.reshape(20, 15, 3)).shape == (20, 15)


def test_unions_and_moves():
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    moved = Moved(Cuboid(np.array([0.01, 0.02, 0.03])), turn, np.array([0.1, 0, 0]))
    both = Union((Ball(0.01), moved))
    points = np.array([[0.0, 0, 0], [0.1, 0.02, 0], [0.13, 0, 0]])
    np.testing.assert_allclose(both.distance(points), [-0.01, 0.01, 0.01], atol=1e-12)


@pytest.mark.parametrize("maker", MAKERS)
def test_a_thing_s_mesh_lies_on_its_solid(maker):
    thing = maker(np.random.default_rng(3))
    distance = thing.solid.distance(thing.shape.vertices)
    # inside: where a handle runs into a cup, or a cup that counts as full; outside: nothing but chords of circles
    assert distance.max() < 0.0005
    assert np.median(np.abs(distance)) < 0.0015
    for hold in thing.holds:
        assert hold.grip in GRIPS
        assert abs(hold.first @ hold.away) < 1e-9
        np.testing.assert_allclose([np.linalg.norm(hold.first), np.linalg.norm(hold.away)], 1, atol=1e-9)


def test_the_posed_skin_is_the_hand_model_s():
    angles = np.radians(np.random.default_rng(4).uniform(-5, 40, (16, 3)) * [1, 0.1, 0.0])
    shape = sample_shape(np.random.default_rng(4), "train")
    model: HandModel = free_hand(778)
    order = np.argsort(np.asarray(model.weights).argmax(axis=1), kind="stable")
    posed, _ = LinkedSkin.of(shape, 778).posed(angles[None])
    np.testing.assert_allclose(posed[0], local_hand(angles, shape, 778)[0][order], atol=2e-6)


def test_a_finger_stops_at_the_solid_and_the_outer_joints_go_on():
    hand = GraspHand.of(MEAN)
    end = np.zeros((16, 3))
    end[4:, 0] = np.tile(np.radians([80, 100, 70]), 4)
    path = Path(np.zeros((16, 3)), end)
    bar = Rods(np.array([[-0.1, -0.042, 0.10]]), np.array([[0.1, -0.042, 0.10]]), np.array([0.015]))
    angles = close(hand.skin, path, bar, (1, 2, 3, 4), (1, 2, 3, 4), 0.0005)
    gaps = hand.skin.gaps(angles[None], bar)[0, 4:].reshape(4, 3)
    assert (gaps > -0.001).all()
    assert (gaps.min(axis=1) < 0.001).all()
    share = angles[4:, 0].reshape(4, 3) / end[4:, 0].reshape(4, 3)
    assert (share[:3, 2] > share[:3, 0] + 0.05).all()  # the little finger reaches the bar with its tip
    missed = close(hand.skin, path, Ball(0.001), (1,), (), 0.0005)
    np.testing.assert_allclose(missed[4:7], end[4:7])  # nothing in the way


def test_what_is_held_is_touched_and_nothing_runs_through_it(grasps):
    deepest = []
    link = np.asarray(free_hand(1609).weights).argmax(axis=1)
    for grasp, shape in grasps:
        distance = grasp.solid.distance(local_hand(grasp.angles, shape)[0])
        deepest.append(-distance.min())
        touching = {-1 if k in (0, 1) else (k - 1) // 3 for k in link[distance < 0.002]}  # palm -1, thumb 0, fingers
        assert len(touching) >= 2, (grasp.kind, grasp.grip)
        assert own_penetration(GraspHand.of(shape), grasp.angles) <= 0.002
        limits = free_hand().limits
        assert (grasp.angles[1:] >= limits[1:, :, 0] - 1e-6).all()
        assert (grasp.angles[1:] <= limits[1:, :, 1] + 1e-6).all()
        assert grasp.shape.label == OBJECT_LABEL
    assert max(deepest) < 0.004
    assert np.median(deepest) < 0.002


def test_the_shape_is_where_the_solid_is(grasps):
    for grasp, _ in grasps:
        assert grasp.solid.distance(grasp.shape.vertices).max() < 0.0005, grasp.kind


def test_other_things_must_stay_outside(grasps):
    grasp = grasps[0][0]
    middle = grasp.shape.vertices.mean(axis=0)
    far = np.array([[0.0, 0.5, 0.0]])
    assert grasp.free_of(far)
    assert grasp.free_of(np.zeros((0, 3)))
    assert not grasp.free_of(np.concatenate([far, middle[None]]))
    assert not grasp.free_of(far, margin=1.0)


def test_a_grasp_is_a_function_of_its_random_numbers():
    one, two = (sample_grasp(np.random.default_rng(8), MEAN) for _ in range(2))
    assert one is not None
    assert two is not None
    np.testing.assert_array_equal(one.angles, two.angles)
    np.testing.assert_array_equal(one.shape.vertices, two.shape.vertices)


def test_sheets_phones_and_bags_are_held_their_own_way():
    for maker, grips in ((card, {"key", "pinch", "rim"}), (phone, {"flat", "precision"}), (bag_handle, {"hook"})):
        assert {hold.grip for seed in range(8) for hold in maker(np.random.default_rng(seed)).holds} == grips


def test_nothing_reaches_into_the_forearm(grasps):
    forearm = Rods(np.array([[0, 0, -0.035]]), np.array([[0, 0, -0.22]]), np.array([0.02]))
    for grasp, _ in grasps:
        points = trimesh.Trimesh(grasp.shape.vertices, grasp.shape.faces).sample(2000, seed=0)
        assert forearm.distance(np.asarray(points)).min() > 0, (grasp.kind, grasp.grip)


def test_every_person_can_hold_something_but_no_finger_runs_through_another():
    for index in range(25):  # some of them have bones whose capsules overlap in every pose
        shape = sample_shape(np.random.default_rng([5, index]), "train")
        assert own_penetration(GraspHand.of(shape), pose_prior().library[0].astype(np.float64)) <= 0
        if index in (3, 14, 17, 19, 23):
            assert sample_grasp(np.random.default_rng(index), shape) is not None
    crossed = np.zeros((16, 3))
    crossed[[4, 7], 1] = np.radians([-20.0, 20.0])  # index and middle finger through each other
    assert own_penetration(GraspHand.of(MEAN), crossed) > 0.002
