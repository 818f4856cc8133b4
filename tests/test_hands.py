"""The free hand and the contract of every hand model: anatomy, closed surface, mirroring, gradients."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import KDTree

from twohands.geometry import mesh
from twohands.hands import HAND_MODELS, free_hand, skeleton
from twohands.hands.free import MESH_LEVELS, free_hand_arrays, pose_prior
from twohands.hands.model import mirrored
from twohands.types import LEFT, RIGHT


def random_parameters(model, seed=0, batch=()):
    rng = np.random.default_rng(seed)
    neutral = model.neutral(batch)
    sizes = {"pose": 0.2, "shape": 0.7, "rotation": 1.0, "translation": 0.1}
    values = {name: (rng.normal(size=getattr(neutral, name).shape) * s).astype(np.float32) for name, s in sizes.items()}
    return dataclasses.replace(neutral, **values)


def posed(model, name: str):
    prior = pose_prior()
    angles = np.stack([prior.library[prior.names.index(name)]] * 2)
    return model(dataclasses.replace(model.neutral(), pose=model.pose_from_angles(angles)))


@pytest.fixture(params=HAND_MODELS)
def model(request):
    return HAND_MODELS[request.param]()


def test_shapes_and_finiteness(model):
    hands = model(random_parameters(model, batch=(3,)))
    assert hands.vertices.shape == (3, 2, len(model.rest_vertices), 3)
    assert hands.joints.shape == (3, 2, 21, 3)
    assert np.isfinite(hands.vertices).all()


def test_a_batch_is_its_elements(model):
    parameters = random_parameters(model, batch=(3,))
    whole = model(parameters)
    for index in range(3):
        single = model(parameters.map(lambda array, index=index: array[index]))
        np.testing.assert_allclose(single.vertices, whole.vertices[index], atol=1e-6)


def test_mirroring_swaps_the_hands_exactly(model):
    parameters = random_parameters(model)
    hands, swapped = model(parameters), model(mirrored(parameters))
    x = np.array([-1, 1, 1], dtype=np.float32)
    np.testing.assert_array_equal(swapped.vertices[[RIGHT, LEFT]] * x, hands.vertices)
    np.testing.assert_array_equal(mirrored(mirrored(parameters)).pose, parameters.pose)


def test_numpy_and_torch_are_one_implementation(model):
    parameters = random_parameters(model)
    hands = model.map(torch.as_tensor)(parameters.map(torch.as_tensor))
    np.testing.assert_allclose(hands.vertices, model(parameters).vertices, atol=1e-6)


def test_gradients_are_finite_and_reach_everything_at_the_zero_pose(model):
    parameters = model.neutral().map(lambda array: torch.as_tensor(array).requires_grad_())
    hands = model.map(torch.as_tensor)(parameters)
    (hands.vertices[..., 2] * hands.vertices[..., 0] + hands.vertices[..., 1]).sum().backward()
    for field in dataclasses.fields(parameters):
        gradient = getattr(parameters, field.name).grad
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0, field.name


@pytest.mark.parametrize("name", ["flat", "fist", "pinch", "spread"])
def test_capped_meshes_are_closed_and_face_outwards(model, name):
    hands = posed(model, name)
    for side in (LEFT, RIGHT):
        faces = mesh.cap(model.faces[side])
        solid = trimesh.Trimesh(hands.vertices[side], faces, process=False)
        assert solid.is_watertight
        assert solid.is_winding_consistent
        assert 1.5e-4 < mesh.volume(hands.vertices[side].astype(float), faces) < 6e-4  # a hand has about 0.35 litres


def test_joints_lie_inside_the_hand(model):
    for name in ("flat", "relaxed", "pinch"):
        hands = posed(model, name)
        inner = [joint for joint in range(21) if joint not in skeleton.FINGERTIPS]
        solid = trimesh.Trimesh(hands.vertices[RIGHT], mesh.cap(model.faces[RIGHT]), process=False)
        assert (trimesh.proximity.signed_distance(solid, hands.joints[RIGHT, inner]) > 0.002).all(), name
        tips = KDTree(hands.vertices[RIGHT]).query(hands.joints[RIGHT, skeleton.FINGERTIPS])[0]
        assert (tips == 0).all()


def test_the_wrist_frame_is_the_documented_one(model):
    joints = model(model.neutral()).joints
    for side, radial in ((LEFT, -1), (RIGHT, 1)):
        np.testing.assert_allclose(joints[side, skeleton.WRIST], 0, atol=1e-4)
        assert joints[side, skeleton.MIDDLE_KNUCKLE, 2] > 0.06  # +z to the fingers
        assert radial * joints[side, 4, 0] > 0.03  # the thumb is on the radial side
        assert radial * (joints[side, 5, 0] - joints[side, 17, 0]) > 0.03
    flexed = posed(model, "tabletop").joints[RIGHT]
    assert flexed[skeleton.FINGERTIPS[2], 1] < -0.04  # fingers bend to the palm, -y: +y is dorsal


def test_sizes_are_those_of_people(model):
    vertices = posed(model, "flat").vertices[RIGHT]
    assert 0.16 < vertices[:, 2].max() < 0.20  # wrist joint to the tip of the middle finger
    knuckles = posed(model, "flat").joints[RIGHT, [5, 17]]
    assert 0.05 < np.linalg.norm(knuckles[0] - knuckles[1]) < 0.08


def test_library_poses_respect_the_limits(model):
    prior = pose_prior()
    assert len(prior.names) == 25
    low, high = model.limits[1:, :, 0], model.limits[1:, :, 1]
    assert (prior.library[:, 1:] >= low - 1e-4).all()
    assert (prior.library[:, 1:] <= high + 1e-4).all()
    assert (low < high).all()


def test_pinch_touches_and_open_does_not(model):
    pulps = free_hand_arrays()["pulp_vertices"]
    fine = free_hand(1609)
    gap = {
        name: np.linalg.norm(np.diff(posed(fine, name).vertices[RIGHT, pulps[:2]], axis=0))
        for name in ("pinch", "open")
    }
    assert gap["pinch"] < 0.008
    assert gap["open"] > 0.04


def test_mesh_levels_are_nested_and_the_maps_up_are_accurate():
    prior, rng = pose_prior(), np.random.default_rng(5)
    fine = free_hand(1609)
    angles = np.zeros((20, 2, 16, 3), np.float32)
    angles[..., 1:, :] = (prior.mean + rng.normal(size=(20, 2, len(prior.components))) @ prior.components).reshape(
        20, 2, 15, 3
    )
    angles = np.clip(angles, fine.limits[..., 0], fine.limits[..., 1])
    shape = rng.normal(size=(20, 2, 10)).astype(np.float32)
    parameters = dataclasses.replace(fine.neutral((20,)), pose=fine.pose_from_angles(angles), shape=shape)
    full = fine(parameters).vertices
    arrays = free_hand_arrays()
    ids = {level: arrays[f"level_{level}"] if level != 1609 else np.arange(1609) for level in MESH_LEVELS}
    for low, high in itertools.pairwise(MESH_LEVELS):
        assert set(ids[low]) <= set(ids[high])
    maps = ((63, 126, 4e-4), (126, 252, 3e-4), (252, 778, 2.5e-4), (252, 1609, 2.5e-4))
    for coarse, target, bound in maps:
        up = arrays[f"up_{coarse}_{target}"]
        np.testing.assert_allclose(up.sum(axis=1), 1, atol=1e-3)
        error = np.linalg.norm(up @ full[..., ids[coarse], :] - full[..., ids[target], :], axis=-1)
        assert error.mean() < bound
    level = free_hand(778)(parameters).vertices
    np.testing.assert_allclose(level, full[..., ids[778], :], atol=1e-6)


def test_the_default_mesh_has_the_promised_size(model):
    assert model.faces.shape == (2, {"free": 1534, "mano": 1538}[model.name], 3)
    np.testing.assert_array_equal(model.faces[LEFT], model.faces[RIGHT][:, ::-1])
    with pytest.raises(ValueError, match="choose one of"):
        free_hand(777)
