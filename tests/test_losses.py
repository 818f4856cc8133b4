"""Losses: zero at the truth, values solved by hand, no influence of absent hands, and no known defects."""

from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest
import torch

from twohands.config import LossConfig
from twohands.geometry.camera import Camera
from twohands.hands import free_hand
from twohands.hands.skeleton import ROOT
from twohands.training.losses import NEAREST, TERMS, Surface, hand_boxes, surface_of, total_loss
from twohands.types import LEFT, RIGHT, KeyPoints, NetworkOutput, RGBDFrame, Sample, TwoHands

WIDTH, CELLS = 96, 24
IMAGE = ("center", "mask", "heat_maps", "identities")
GEOMETRY = [name for name in TERMS if name not in IMAGE]
NEEDS_MESH = ["vertices", "coarse", "absolute_vertices", "vertices_2d", "edges", "normals"]


@cache
def surface() -> Surface:
    return surface_of(free_hand())


def truth(present=((1.0, 1.0), (1.0, 1.0))) -> Sample:
    """Return a batch of two frames, two open hands each, with masks that are made of whole cells."""
    model = free_hand()
    parameters = model.neutral((2,))
    parameters.rotation[:] = [np.pi / 2, 0, 0]
    parameters.translation[:] = [[-0.11, 0.08, 0.5], [0.11, 0.08, 0.6]]
    hands = replace(model(parameters), parameters=None, present=np.array(present, np.float32)).map(torch.as_tensor)
    K = torch.tensor([[90.0, 0, 47.5], [0, 90, 47.5], [0, 0, 1]]).expand(2, -1, -1)
    frame = RGBDFrame(torch.zeros(2, 3, WIDTH, WIDTH), torch.zeros(2, WIDTH, WIDTH), Camera(K, WIDTH, WIDTH))
    masks = torch.zeros(2, 2, WIDTH, WIDTH, dtype=torch.bool)
    masks[:, LEFT, 40:60, 8:32] = masks[:, RIGHT, 40:60, 60:88] = True
    return Sample(frame, hands, masks, None, None, "free", "test")


def answer(sample: Sample) -> NetworkOutput:
    """Return the output that equals the sample, with nearly certain image heads."""
    hands = sample.hands
    root = hands.joints[:, :, ROOT]
    stages = tuple(replace(hands, vertices=hands.vertices[:, :, level]) for level in surface().levels)
    mask_logits = torch.where(sample.masks[..., ::4, ::4], 40.0, -40.0)
    logits = torch.full((2, 2, CELLS, CELLS), -20.0)
    joints = torch.where(hands.present[..., None, None] >= 0.5, hands.joints, torch.tensor([0.0, 0, 1]))
    pixels = sample.frame.camera.project(joints.flatten(1, 2))  # (2, 42, 2)
    beside = torch.full((2, 3, 2), WIDTH - 1.0)  # three peaks where no joint is
    identity_logits = 40 * torch.eye(43)[[*range(42), 42, 42, 42]].expand(2, -1, -1)
    points = KeyPoints(torch.full((2, 42, CELLS, CELLS), -20.0), torch.cat([pixels, beside], 1), identity_logits)
    return NetworkOutput(replace(hands, present=torch.ones(2, 2)), stages, logits, mask_logits, root, points)


def term(name, output, sample):
    return TERMS[name](output, sample, surface())


def shifted(output: NetworkOutput, by: tuple[float, float, float]) -> NetworkOutput:
    """Return the output with everything moved in space, the root as well."""
    shift = torch.tensor(by)

    def move(hands: TwoHands) -> TwoHands:
        return replace(hands, vertices=hands.vertices + shift, joints=hands.joints + shift)

    stages = tuple(map(move, output.stages))
    return replace(output, hands=move(output.hands), stages=stages, root=output.root + shift)


def learnable(output: NetworkOutput) -> tuple[NetworkOutput, list[torch.Tensor]]:
    """Return the output made of leaves that collect gradients, and these leaves."""
    leaves = []

    def leaf(array):
        leaves.append(array.detach().clone().requires_grad_())
        return leaves[-1]

    return output.map(leaf), leaves


# zero


@pytest.mark.parametrize("name", [name for name in TERMS if name not in ("center", "heat_maps")])
def test_every_term_is_zero_at_the_truth(name):
    sample = truth()
    torch.testing.assert_close(term(name, answer(sample), sample), torch.zeros(2), atol=2e-7, rtol=0)


def test_missing_labels_and_answers_are_zero():
    sample = truth()
    output = shifted(answer(sample), (0.01, 0, 0))
    without = replace(sample, hands=replace(sample.hands, vertices=None), masks=None)
    for name in (*NEEDS_MESH, "mask"):
        assert term(name, output, without).tolist() == [0, 0], name
    assert (term("absolute_joints", output, without) > 0).all()
    joints_only = replace(output, hands=replace(output.hands, vertices=None), stages=())
    joints_only = replace(joints_only, center_logits=None, mask_logits=None, key_points=None)
    for name in (*NEEDS_MESH, *IMAGE):
        assert term(name, joints_only, sample).tolist() == [0, 0], name


# values by hand


def test_a_shift_counts_in_the_camera_frame_alone():
    """3 mm in x are 1 mm of mean absolute difference of a coordinate."""
    sample = truth()
    output = shifted(answer(sample), (0.003, 0, 0))
    for name in ("root", "absolute_vertices", "absolute_joints"):
        torch.testing.assert_close(term(name, output, sample), torch.full((2,), 0.001), atol=1e-7, rtol=1e-4)
    for name in ("vertices", "joints", "coarse", "edges", "normals"):
        torch.testing.assert_close(term(name, output, sample), torch.zeros(2), atol=1e-6, rtol=0)


def test_a_wrong_root_under_a_right_mesh_counts_once_a_level():
    """The root-relative mesh is then wrong by the root's error: on the full mesh, and on each of the three graphs."""
    sample = truth()
    output = answer(sample)
    output = replace(output, root=output.root + torch.tensor([0.0, 0.006, 0]))
    for name, expected in (("vertices", 0.002), ("joints", 0.002), ("coarse", 0.006), ("absolute_vertices", 0.0)):
        torch.testing.assert_close(term(name, output, sample), torch.full((2,), expected), atol=1e-6, rtol=0)


def test_reprojection_is_in_widths_of_the_image_squared():
    """One joint of one hand at z = 0.5 m and f = 90 pixels, moved by 32 mm: 5.76 pixels, 0.06 widths."""
    sample = truth()
    joints = sample.hands.joints.clone()
    joints[..., 2] = 0.5
    sample = replace(sample, hands=replace(sample.hands, joints=joints))
    moved = joints.clone()
    moved[0, RIGHT, 7, 0] += 0.032
    output = answer(sample)
    output = replace(output, hands=replace(output.hands, joints=moved))
    expected = torch.tensor([0.06**2 / (2 * 21) / 2, 0.0])  # mean over coordinates, joints and both hands
    torch.testing.assert_close(term("joints_2d", output, sample), expected, atol=1e-9, rtol=1e-3)


def test_points_behind_the_camera_have_a_finite_reprojection():
    sample = truth()
    output, leaves = learnable(shifted(answer(sample), (0, 0, -0.6)))
    value = term("joints_2d", output, sample) + term("vertices_2d", output, sample)
    value.sum().backward()
    assert value.isfinite().all()
    assert NEAREST > 0
    assert all(leaf.grad is None or leaf.grad.isfinite().all() for leaf in leaves)


def test_a_hand_twice_as_large_has_edges_too_long_by_their_length():
    sample = truth()
    output = answer(sample)
    vertices = output.hands.vertices * torch.tensor([[[2.0]], [[1.0]]])  # the left one
    output = replace(output, hands=replace(output.hands, vertices=vertices))
    start, end = surface().edges.T
    lengths = (sample.hands.vertices[:, LEFT, start] - sample.hands.vertices[:, LEFT, end]).norm(dim=-1)
    torch.testing.assert_close(term("edges", output, sample), lengths.mean(dim=1) / 2)
    torch.testing.assert_close(term("normals", output, sample), torch.zeros(2), atol=1e-5, rtol=0)


def test_normals_of_a_triangle_that_stands_up():
    """A right triangle turned about its first side: cosines 0, 1 and 1 / sqrt(2)."""
    flat = torch.tensor([[0.0, 0, 1], [1, 0, 1], [0, 1, 1]])
    upright = torch.tensor([[0.0, 0, 1], [1, 0, 1], [0, 0, 2]])
    one = Surface(torch.tensor([[0, 1, 2]]), torch.tensor([[0, 1]]), ())
    sample = truth(((1.0, 0.0), (1.0, 1.0)))
    sample = replace(sample, hands=replace(sample.hands, vertices=flat.expand(2, 2, -1, -1)))
    output = answer(truth())
    output = replace(output, hands=replace(output.hands, vertices=upright.expand(2, 2, -1, -1)))
    expected = torch.full((2,), (0 + 1 + 0.5**0.5) / 3)
    torch.testing.assert_close(TERMS["normals"](output, sample, one), expected)


def test_one_cell_of_a_mask():
    """A probability of 1/2 over an empty cell: smooth L1 of 1/8, over 2 hands of 24 x 24 cells."""
    sample = truth()
    output = answer(sample)
    logits = output.mask_logits.clone()
    logits[1, RIGHT, 0, 0] = 0
    found = term("mask", replace(output, mask_logits=logits), sample)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.125 / (2 * CELLS**2)]), atol=1e-9, rtol=1e-5)


def test_the_mask_of_a_cell_is_the_share_of_its_pixels():
    sample = truth()
    masks = torch.zeros_like(sample.masks)
    masks[0, LEFT, 0, 0] = True
    output = replace(answer(sample), mask_logits=torch.full((2, 2, CELLS, CELLS), -40.0))
    found = term("mask", output, replace(sample, masks=masks))
    torch.testing.assert_close(found, torch.tensor([(1 / 16) ** 2 / 2 / (2 * CELLS**2), 0.0]), atol=1e-10, rtol=1e-4)


def test_the_focal_loss_by_its_formula():
    sample = truth(((1.0, 1.0), (0.0, 0.0)))
    centers, sides = hand_boxes(sample)
    logits = torch.randn(2, 2, CELLS, CELLS, generator=torch.Generator().manual_seed(0))
    expected = [0.0, 0.0]
    for hand in range(2):
        u0, v0 = torch.round((centers[0, hand] + 0.5) / 4 - 0.5).tolist()
        sigma = max(sides[0, hand].item() / 4 / 16, 1)
        for v, u in np.ndindex(CELLS, CELLS):
            p, empty = (torch.sigmoid(logits[frame, hand, v, u]).item() for frame in range(2))
            weight = (1 - np.exp(-((u - u0) ** 2 + (v - v0) ** 2) / (2 * sigma**2))) ** 4
            peak = (u, v) == (u0, v0)
            expected[0] -= (1 - p) ** 2 * np.log(p) if peak else weight * p**2 * np.log(1 - p)
            expected[1] -= empty**2 * np.log(1 - empty)
    expected[0] /= 2  # peaks; the frame without a hand counts as if it had one
    found = term("center", replace(answer(sample), center_logits=logits), sample)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float32), rtol=1e-4, atol=0)


def test_the_centre_is_that_of_the_box_of_the_joints():
    sample = truth()
    pixels = sample.frame.camera.project(sample.hands.joints.flatten(1, 2)).unflatten(1, (2, 21))
    centers, sides = hand_boxes(sample)
    low, high = pixels[1, RIGHT].min(dim=0).values, pixels[1, RIGHT].max(dim=0).values
    torch.testing.assert_close(centers[1, RIGHT], (low + high) / 2)
    torch.testing.assert_close(sides[1, RIGHT], (high - low).max())


# key points


def test_the_heat_map_of_a_joint_peaks_at_that_joint():
    """Joint 30 is joint 9 of the right hand; another joint's peak in its place costs more."""
    sample = truth()
    output = answer(sample)
    cells = [((output.key_points.pixels[0, k] + 0.5) / 4 - 0.5).round().long().tolist() for k in range(42)]

    def loss(order):
        logits = output.key_points.heat_logits.clone()
        for k, (column, row) in enumerate(cells[k] for k in order):
            logits[:, k, row, column] = 5.0
        return term("heat_maps", replace(output, key_points=replace(output.key_points, heat_logits=logits)), sample)

    right, wrong = loss(range(42)), loss([*range(30), 35, *range(31, 42)])
    assert right[0] < 0.05
    assert wrong[0] > right[0] + 20 / 42 * 0.9


def test_a_peak_is_the_nearest_joint_or_none():
    sample = truth()
    output = answer(sample)
    even = torch.zeros_like(output.key_points.identity_logits)
    unsure = replace(output, key_points=replace(output.key_points, identity_logits=even))
    torch.testing.assert_close(term("identities", unsure, sample), torch.full((2,), float(np.log(43))))
    moved = output.key_points.pixels + torch.tensor([0.04 * WIDTH, 0])  # beyond what counts as the same joint
    lost = replace(output, key_points=replace(output.key_points, pixels=moved))
    assert (term("identities", lost, sample) > 10).all()


# absent hands


@pytest.mark.parametrize("name", TERMS)
def test_absent_hands_do_not_matter(name):
    sample = truth(((1.0, 0.0), (0.0, 0.0)))
    output = shifted(answer(truth()), (0.01, 0.02, 0.03))
    plain = term(name, output, sample)
    absent = (sample.hands.present < 0.5)[..., None, None]

    def spoiled(hands: TwoHands, value: float) -> TwoHands:
        return hands.map(lambda array: torch.where(absent, value, array) if array.ndim == 4 else array)

    for value in (5.0, 0.0, float("nan"), float("inf")):
        labels = replace(sample, hands=spoiled(sample.hands, value), masks=sample.masks | absent)
        wrong = replace(
            output,
            hands=spoiled(output.hands, value),
            stages=tuple(spoiled(stage, value) for stage in output.stages),
            root=torch.where(absent[..., 0], value, output.root),
        )
        wrong, leaves = learnable(wrong)
        found = term(name, wrong, labels)
        torch.testing.assert_close(found, plain)
        if name in GEOMETRY:
            assert found[1] == 0
            found.sum().backward()
            for leaf in leaves:
                gradient = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
                assert gradient.isfinite().all()
                assert not gradient[0, RIGHT].any()
                assert not gradient[1].any()


@pytest.mark.parametrize("name", ["center", "mask"])
def test_image_heads_learn_that_an_absent_hand_is_not_there(name):
    sample = truth(((1.0, 0.0), (0.0, 0.0)))
    zero = torch.zeros(2, 2, CELLS, CELLS)
    output, leaves = learnable(replace(answer(sample), center_logits=zero, mask_logits=zero))
    term(name, output, sample).sum().backward()
    (gradient,) = (leaf.grad for leaf in leaves if leaf.grad is not None)
    assert (gradient[0, RIGHT] > 0).all()  # descending lowers every logit
    assert (gradient[1] > 0).all()
    assert (gradient[0, LEFT] < 0).any()


# missing labels


@pytest.mark.parametrize("name", ["center", "mask", "heat_maps"])
def test_a_hand_that_may_be_there_without_labels_does_not_count(name):
    sample = truth(((1.0, 0.0), (1.0, 0.0)))
    known = torch.tensor([[True, False], [True, True]])
    sample = replace(sample, presence_known=known, masks_known=known)
    zero = torch.zeros(2, 2, CELLS, CELLS)
    output, leaves = learnable(replace(answer(sample), center_logits=zero, mask_logits=zero))
    term(name, output, sample).sum().backward()
    (gradient,) = (leaf.grad.unflatten(1, (2, -1)) for leaf in leaves if leaf.grad is not None)
    assert not gradient[0, RIGHT].any()
    assert gradient[0, LEFT].any()
    assert gradient[1, LEFT].any()
    assert gradient[1, RIGHT].any()


@pytest.mark.parametrize("name", TERMS)
def test_a_frame_without_mesh_or_masks_among_others_does_not_count_in_their_terms(name):
    """Frame 0 has neither, and arbitrary fill. Its terms of meshes and masks are 0 without gradients, all its other
    terms are unchanged, and so are those of frame 1."""
    full = truth()
    known = torch.tensor([[False, False], [True, True]])
    filled = replace(full.hands, vertices=torch.where(known[..., None, None], full.hands.vertices, 9.0))
    masks = full.masks | ~known[..., None, None]
    mixed = replace(full, hands=filled, masks=masks, meshes_known=known, masks_known=known)
    gradients = []
    for sample in (full, mixed):
        output, leaves = learnable(shifted(answer(full), (0.01, 0.02, 0.03)))
        values = term(name, output, sample)
        values.sum().backward()
        gradients.append([torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves])
        if sample is full:
            expected = values
    needs = name in (*NEEDS_MESH, "mask")
    torch.testing.assert_close(values[1], expected[1])
    torch.testing.assert_close(values[0], torch.zeros(()) if needs else expected[0])
    for whole, part in zip(*gradients, strict=True):
        torch.testing.assert_close(part[1], whole[1])
        torch.testing.assert_close(part[0], torch.zeros_like(part[0]) if needs else whole[0])
    if name in ("joints", "absolute_joints", "joints_2d"):
        assert any(part[0].any() for part in gradients[1])


# gradients and known defects


@pytest.mark.parametrize("name", ["absolute_joints", "joints", "joints_2d"])
def test_descending_moves_a_joint_towards_its_target(name):
    sample = truth()
    output = answer(sample)
    moved = output.hands.joints.clone()
    moved[0, LEFT, 4, 0] += 0.02
    moved[0, RIGHT, 8, 1] -= 0.02
    output, _ = learnable(replace(output, hands=replace(output.hands, joints=moved)))
    term(name, output, sample).sum().backward()
    gradient = output.hands.joints.grad
    assert gradient[0, LEFT, 4, 0] > 0
    assert gradient[0, RIGHT, 8, 1] < 0


def test_the_coarse_target_of_the_right_hand_is_the_right_hands():
    """The published program compares the right hand's graphs with the left hand's vertices."""
    sample = truth()
    vertices = sample.hands.vertices.clone()
    vertices[:, LEFT] += 0.3  # another left hand, with the root where it was
    other = replace(sample, hands=replace(sample.hands, vertices=vertices))
    output, _ = learnable(answer(sample))
    value = term("coarse", output, other)
    torch.testing.assert_close(value, torch.full((2,), 3 * 0.3 / 2))  # three graphs, one of two hands
    value.sum().backward()
    for stage in output.stages:
        assert stage.vertices.grad[:, LEFT].all()
        assert not stage.vertices.grad[:, RIGHT].any()


# the sum


def test_every_term_has_a_weight_and_every_weight_a_term():
    assert set(TERMS) == {entry.name for entry in fields(LossConfig)} - {"late_terms", "late_epoch"}


@pytest.mark.parametrize(("epoch", "late"), [(0, False), (19, False), (20, True), (79, True)])
def test_the_total_is_the_weighted_sum_of_the_terms_that_count(epoch, late):
    sample = truth()
    output = shifted(answer(sample), (0.01, 0.02, 0.03))
    output = replace(output, hands=replace(output.hands, vertices=output.hands.vertices * 1.1))
    config = LossConfig()
    total, terms = total_loss(output, sample, surface(), config, epoch)
    assert list(terms) == list(TERMS)
    expected = sum(getattr(config, name) * terms[name] for name in TERMS if late or name not in config.late_terms)
    torch.testing.assert_close(total, expected)
    assert all((terms[name] > 0).all() for name in config.late_terms)
    assert total.shape == (2,)


def test_a_term_that_does_not_count_cannot_spoil_the_total():
    sample = truth()
    output = answer(sample)
    output = replace(output, hands=replace(output.hands, joints=output.hands.joints * float("nan")))
    config = LossConfig(joints=0, absolute_joints=0)
    assert total_loss(output, sample, surface(), config, 0)[0].isfinite().all()
    assert not total_loss(output, sample, surface(), config, 20)[0].isfinite().any()


def test_an_element_alone_is_that_element_of_the_batch():
    sample = truth(((1.0, 1.0), (0.0, 1.0)))
    output = shifted(answer(sample), (0.01, 0.02, 0.03))
    second = [record.map(lambda array: array[1:]) for record in (output, sample)]
    _, terms = total_loss(output, sample, surface(), LossConfig(), 0)
    _, alone = total_loss(*second, surface(), LossConfig(), 0)
    for name in TERMS:
        torch.testing.assert_close(alone[name], terms[name][1:])
