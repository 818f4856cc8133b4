"""The networks: the contract of every registry entry at tiny sizes, equivalences, and no known defects."""

from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional

from twohands.config import PRESETS
from twohands.geometry.camera import Camera
from twohands.geometry.cloud import centers_on, hand_clouds
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.geometry.zbuffer import rasterize
from twohands.hands import HAND_MODELS, free_hand
from twohands.hands.pyramid import GRAPHS, joint_regressor, mesh_levels
from twohands.hands.skeleton import ROOT
from twohands.networks import DECODERS, FUSIONS, NETWORKS, RGB_ENCODERS, build_network, count
from twohands.networks.decoder import HandNorm, RootHead, moved
from twohands.networks.fusion import FeatureTransform
from twohands.networks.image_branch import (
    EVEN_PEAK,
    IMAGENET_MEAN,
    CenterFeature,
    FusedMap,
    ImageBranch,
    TinyPyramid,
)
from twohands.networks.points import PointLayer, SetAbstraction
from twohands.networks.two_hand_net import START_DEPTH
from twohands.types import LEFT, RIGHT, RGBDFrame

TINY = PRESETS["tiny"].network
SIZE = TINY.image_size
CASES = {
    **{f"encoder {name}": {"rgb_encoder": name} for name in RGB_ENCODERS},
    **{f"fusion {name}": {"fusion": name} for name in FUSIONS},
    **{f"decoder {name}": {"decoder": name} for name in DECODERS},
    "rgbd_4channel": {"fusion": "rgb_only", "rgbd_input": True},
    "no_center_feature": {"center_feature": False},
    **{f"network {name}": {"architecture": name} for name in NETWORKS},
    "intaghand_depth": {"architecture": "intaghand", "rgbd_input": True},
    "keypoint_transformer_depth": {"architecture": "keypoint_transformer", "rgbd_input": True},
    "mano": {"hand_model": "mano"},
    "mano parameters": {"hand_model": "mano", "decoder": "parameters"},
    "farthest points in balls": {"centroid_sampling": "farthest", "ball_radii": (0.03, 0.06)},
}


@cache
def scenes(batch: int = 2):
    """Return frames of two posed free hands in front of a wall, with the true hands, masks and centres."""
    rng = np.random.default_rng(7)
    model = free_hand()
    still = model.neutral((batch,))
    hands = model(
        replace(
            still,
            pose=rng.normal(scale=0.15, size=still.pose.shape).astype(np.float32),
            rotation=rng.normal(scale=0.4, size=still.rotation.shape).astype(np.float32) - [1.5, 0, 0],
            translation=rng.normal(scale=0.02, size=still.translation.shape) + [[-0.12, 0.1, 0.6], [0.12, 0.1, 0.6]],
        ).map(lambda array: array.astype(np.float32))
    )
    camera = Camera(np.array([[90.0, 0, 48], [0, 90, 40], [0, 0, 1]], dtype=np.float32), SIZE, SIZE)
    seen = np.array(
        [[rasterize(hands.vertices[b, h], model.faces[h], camera)[0] for h in range(2)] for b in range(batch)]
    )
    masks = (seen > 0) & (seen <= np.where(seen > 0, seen, np.inf).min(axis=1, keepdims=True))
    nearest = np.where(seen > 0, seen, 1.0).min(axis=1)
    rgb = rng.uniform(size=(batch, 3, SIZE, SIZE)) * 0.3 + 0.6 * masks.any(axis=1)[:, None]
    pixels = camera.project(hands.joints.astype(np.float32))
    centers = (pixels.min(axis=2) + pixels.max(axis=2)) / 2
    frame = RGBDFrame(rgb.astype(np.float32), nearest, Camera(np.stack([camera.K] * batch), SIZE, SIZE))
    return frame.map(torch.as_tensor), hands.map(torch.as_tensor), torch.as_tensor(masks), torch.as_tensor(centers)


def network_of(seed: int = 0, **changes):
    torch.manual_seed(seed)
    config = replace(TINY, **changes)
    return build_network(config, HAND_MODELS[config.hand_model]())


def generators(seed: int = 0, batch: int = 2):
    """Return one random generator per frame."""
    return [np.random.default_rng((seed, index)) for index in range(batch)]


def element(record, index):
    return record.map(lambda array: array[index : index + 1])


def numbers(output):
    """Return every array of a NetworkOutput."""
    found = []
    output.map(lambda array: found.append(array) or array)
    return found


@pytest.fixture(scope="module", params=CASES, ids=lambda name: name.replace(" ", "-"))
def network(request):
    """A new network of a case, the same one for all tests of the contract."""
    return network_of(**CASES[request.param])


def test_shapes_types_and_finiteness(network):
    frame, _, masks, _ = scenes()
    output = network.eval()(frame, masks)
    if output.hands.vertices is not None:
        assert output.hands.vertices.shape == (2, 2, 778, 3)
    assert output.hands.joints.shape == (2, 2, 21, 3)
    assert output.root.shape == (2, 2, 3)
    assert output.hands.present.shape == (2, 2)
    for logits in (output.center_logits, output.mask_logits):
        assert logits is None or logits.shape == (2, 2, SIZE // 4, SIZE // 4)
    assert [stage.vertices.shape[2] for stage in output.stages] in ([], list(GRAPHS))
    if output.key_points is not None:
        assert output.key_points.heat_logits.shape == (2, 42, SIZE // 4, SIZE // 4)
        assert output.key_points.pixels.shape == (2, 64, 2)
        assert output.key_points.identity_logits.shape == (2, 64, 43)
    assert all(array.isfinite().all() and array.dtype == torch.float32 for array in numbers(output))
    assert 0.1 < output.root[..., 2].min() <= output.root[..., 2].max() < 1.5  # untrained, yet in front of the camera


def test_a_gradient_reaches_every_parameter(network):
    frame, _, masks, centers = scenes()
    output = network.train()(frame, masks, centers, generators())
    sum((array.square() + array).sum() for array in numbers(output) if array.requires_grad).backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not idle, f"no gradient reaches {idle}"


def test_an_element_alone_is_that_element_of_the_batch_and_twice_the_same(network):
    frame, _, masks, _ = scenes()
    with torch.inference_mode():
        whole = network.eval()(frame, masks)
        again = network(frame, masks)
        single = network(element(frame, 1), masks[1:])
    for one, two, three in zip(numbers(whole), numbers(again), numbers(single), strict=True):
        assert torch.equal(one, two)
        torch.testing.assert_close(three, one[1:], atol=2e-5, rtol=1e-4)


def test_its_own_masks_and_centres_are_used_when_none_are_given():
    frame, _, masks, centers = scenes()
    network = network_of().eval()
    with torch.inference_mode():
        image = network.locate(frame)
        clouds = network.lift(frame, image.masks)
        expected = network.reconstruct(image, clouds, frame.camera)
        assert torch.equal(network(frame).root, expected.root)
        assert torch.equal(network(frame, centers=centers, masks=masks).hands.present, torch.ones(2, 2))
        assert torch.equal(
            network(frame, centers=centers, masks=torch.zeros_like(masks)).hands.present, torch.zeros(2, 2)
        )


@pytest.mark.parametrize(
    ("field", "value"), [("rgb_encoder", "vgg"), ("fusion", "sum"), ("decoder", "mesh"), ("architecture", "net")]
)
def test_unknown_names_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} '{value}' is unknown; known are"):
        network_of(**{field: value})


# image branch


@pytest.mark.parametrize("center", [(-3.0, 0.0), (0.0, 0.0), (11.0, 40.0), (47.4, 33.0), (95.0, 63.0)])
def test_the_centre_feature_of_the_patch_is_that_of_the_whole_map(center):
    torch.manual_seed(0)
    module, fused = CenterFeature(6, 8), torch.randn(1, 6, 16, 24)
    centers = torch.tensor([[center, (20.0, 20.0)]])
    whole = functional.conv2d(fused, module.first.weight, module.first.bias, padding=1).relu()
    whole = functional.conv2d(whole, module.second.weight, module.second.bias, padding=1).relu()
    column, row = (min(max(round((c + 0.5) / 4 - 0.5), 0), n - 1) for c, n in zip(center, (24, 16), strict=True))
    torch.testing.assert_close(module(fused, centers, width=96)[0, 0], whole[0, :, row, column])


def test_an_encoder_halves_its_maps_and_knows_their_channels():
    for name, encoder in RGB_ENCODERS.items():
        maps = (net := encoder(in_channels=3, pretrained=False)).eval()(torch.zeros(1, 3, 64, 64))
        assert [m.shape[1] for m in maps] == list(net.channels), name
        assert [64 // m.shape[2] for m in maps] == [2, 4, 8, 16, 32][: len(maps)], name


def test_colours_are_normalised_red_first():
    branch = ImageBranch(TinyPyramid(3, False), FusedMap((16, 32), 8), rgbd_input=False).eval()
    mean = torch.tensor(IMAGENET_MEAN)[None, :, None, None].expand(1, 3, 32, 32)
    assert branch(mean, torch.zeros(1, 32, 32)).pyramid[0].abs().max() < 1e-6


@pytest.mark.parametrize(
    ("channel", "expected"),
    [(0, (2.2489, -2.0357, -1.8044)), (1, (-2.1179, 2.4286, -1.8044)), (2, (-2.1179, -2.0357, 2.64))],
)
def test_a_pure_colour_has_the_statistics_of_its_channel(channel, expected):
    """Statistics follow the order of the channels; the published program gives blue the statistics of red."""
    branch = ImageBranch(TinyPyramid(3, False), FusedMap((16, 32), 8), rgbd_input=False).eval()
    rgb = torch.zeros(1, 3, 32, 32)
    rgb[:, channel] = 1.0
    image = branch(rgb, torch.zeros(1, 32, 32)).pyramid[0]
    torch.testing.assert_close(image[0, :, 16, 16], torch.tensor(expected), atol=1e-4, rtol=0)


def test_untrained_centres_are_improbable():
    frame, *_ = scenes()
    assert network_of().eval().locate(frame).present.max() < 0.05


def test_a_given_peak_is_found_at_its_pixel():
    """A 4x4 cell is centred 1.5 pixels from its first pixel; a weak hand keeps its position.

    A peak of EVEN_PEAK means presence 0.5."""
    branch = ImageBranch(TinyPyramid(3, False), FusedMap((16, 32), 8), rgbd_input=False).eval()
    logits = torch.full((1, 2, 8, 8), -9.0)
    logits[0, LEFT, 2, 3], logits[0, RIGHT, 6, 7] = -4.0, 5.0
    branch.center_head = torch.nn.Identity()  # type: ignore[assignment]
    branch.fused.forward = lambda stages: logits  # type: ignore[method-assign]
    branch.mask_head = torch.nn.Identity()  # type: ignore[assignment]
    found = branch(torch.zeros(1, 3, 32, 32), torch.zeros(1, 32, 32))
    assert found.centers.tolist() == [[[13.5, 9.5], [29.5, 25.5]]]
    torch.testing.assert_close(
        found.present, torch.sigmoid(torch.tensor([[-4.0, 5.0]]) - torch.tensor(EVEN_PEAK).logit())
    )


def test_bfloat16_touches_the_image_half_only():
    frame, _, masks, centers = scenes()
    network = network_of().eval().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        exact = network(frame, masks, centers)
        with torch.autocast("cpu", torch.bfloat16):
            image = network.locate(frame)
            rough = network(frame, masks, centers)
    assert image.pyramid[-1].dtype == torch.bfloat16
    assert all(array.dtype == torch.float32 for array in numbers(rough))
    assert (rough.hands.vertices - exact.hands.vertices).abs().max() < 0.005


# clouds


def test_clouds_hold_the_depth_of_their_pixels_and_nothing_far_away():
    frame, _, masks, _ = scenes()
    clouds = hand_clouds(frame.depth, masks, frame.camera, 200)
    columns, rows = clouds.pixels.long().unbind(dim=-1)
    for b, h in np.ndindex(2, 2):
        assert masks[b, h, rows[b, h], columns[b, h]].all()
        torch.testing.assert_close(clouds.points[b, h, :, 2], frame.depth[b, rows[b, h], columns[b, h]])
        assert clouds.points[b, h, :, 2].max() < 0.9  # the wall is at 1 m
    torch.testing.assert_close(frame.camera.project(clouds.points.flatten(1, 2)), clouds.pixels.flatten(1, 2))


def test_clouds_are_the_same_for_numpy_and_torch():
    frame, _, masks, _ = scenes()
    one = hand_clouds(frame.depth, masks, frame.camera, 300, generators(3))
    plain = frame.map(lambda tensor: tensor.numpy())
    two = hand_clouds(plain.depth, masks.numpy(), plain.camera, 300, generators(3))
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_allclose(one.points, two.points, rtol=1e-6)
    np.testing.assert_array_equal(one.valid, two.valid)


def test_a_centre_beyond_the_box_of_its_mask_moves_to_the_middle_of_the_box():
    masks = np.zeros((2, 8, 10), dtype=bool)
    masks[0, 2:5, 3:7] = True
    for xp in (np.asarray, torch.as_tensor):
        for given, expected in (([3.0, 4.0], [3.0, 4.0]), ([3.0, 5.0], [4.5, 3.0]), ([1.0, 3.0], [4.5, 3.0])):
            centers = xp(np.array([given, [0.0, 0.0]], dtype=np.float32))
            assert centers_on(xp(masks), centers).tolist() == [expected, [0.0, 0.0]]


def test_exchanged_centres_do_not_exchange_the_hands_of_given_masks():
    network = network_of().eval()
    frame, _, masks, centers = scenes()
    with torch.no_grad():
        for value in network.root.parameters():
            value.zero_()
        image = network.locate(frame)
        network.locate = lambda frame: replace(image, centers=centers.flip(1))
        start = frame.camera.project(network(frame, masks).root)
    assert (start - centers).norm(dim=-1).max() < 12


def test_clouds_leave_out_outliers_repeat_few_pixels_and_report_absent_hands():
    depth = np.zeros((1, 20, 20), dtype=np.float32)
    depth[0, :10] = 0.5
    depth[0, 0, :4] = 0.62  # a finger's background
    depth[0, 1, 0] = 3.0
    masks = np.zeros((1, 2, 20, 20), dtype=bool)
    masks[0, LEFT], masks[0, RIGHT, :1] = True, True  # the right hand: 16 usable pixels of the 25.6 it takes
    camera = Camera(np.array([[[20.0, 0, 10], [0, 20, 10], [0, 0, 1]]], dtype=np.float32), 20, 20)
    clouds = hand_clouds(depth, masks, camera, 256)
    assert clouds.valid.tolist() == [[True, False]]
    assert (clouds.points[0, LEFT, :, 2] == 0.5).all()
    first = {tuple(pixel) for pixel in clouds.pixels[0, LEFT, :195]}
    assert len(first) == 195  # each of the 195 pixels once before any twice
    assert not clouds.points[0, RIGHT].any()
    different = [hand_clouds(depth, masks, camera, 64, generators(seed)).pixels for seed in (0, 1)]
    assert (different[0] != different[1]).any()


# fusion


def test_set_abstraction_is_pointnet_by_hand():
    torch.manual_seed(0)
    module = SetAbstraction(5, (6, 7), num_neighbours=4).eval()
    points, features = torch.rand(1, 2, 12, 3), torch.rand(1, 2, 12, 5)
    found = module(points, features, points[..., :3, :])
    for hand, m in np.ndindex(2, 3):
        centroid = points[0, hand, m]
        near = (points[0, hand] - centroid).norm(dim=1).argsort()[:4]
        group = torch.cat([features[0, hand, near, :3] - centroid, features[0, hand, near, 3:]], dim=1)
        expected = torch.cat([centroid, module.network(group).max(dim=0).values])
        torch.testing.assert_close(found[0, hand, m], expected)


def test_a_folded_point_layer_is_its_linear_layer_and_normalisation():
    torch.manual_seed(0)
    layer = PointLayer(4, 5)
    layer(3 * torch.randn(50, 4) + 1)  # moves the running statistics
    features = torch.randn(2, 3, 4)
    layer.eval()
    torch.testing.assert_close(layer(features), layer.norm(layer.linear(features.flatten(0, 1))).relu().view(2, 3, 5))


def test_the_feature_transform_is_its_formula():
    torch.manual_seed(0)
    module, features, colours = FeatureTransform(3, 4), torch.randn(2, 5, 3), torch.randn(2, 5, 4)
    expected = features * (module.alpha(colours) + 1) + module.beta(colours)
    torch.testing.assert_close(module(features, colours), expected)
    assert [type(layer).__name__ for layer in module.alpha] == ["Linear", "LeakyReLU", "Linear"]
    assert module.alpha[1].negative_slope == 0.1


def test_an_untrained_feature_transform_leaves_the_points_where_they_are():
    torch.manual_seed(0)
    points, colours = 0.05 * torch.randn(100, 3) + torch.tensor([0, 0, 0.5]), torch.randn(100, 64)
    moved_by = (FeatureTransform(3, 64)(points, colours) - points).norm(dim=-1)
    assert 0 < moved_by.mean() < 0.01  # metres


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_fusion_reads_what_it_declares(fusion):
    frame, _, masks, centers = scenes()
    network = network_of(fusion=fusion).eval()
    camera = frame.camera
    assert network.reads_depth == network.fusion.reads_depth
    assert (network.center_feature is not None) == network.fusion.reads_center
    with torch.inference_mode():
        image = replace(network.locate(frame), centers=centers)
        clouds = network.lift(frame, masks)
        plain = network.reconstruct(image, clouds, camera).root
        repainted = replace(image, pyramid=tuple(m + 0.5 for m in image.pyramid))
        assert torch.equal(network.reconstruct(repainted, clouds, camera).root, plain) == (fusion == "depth_only")
        farther = replace(clouds, points=clouds.points * 1.1)
        assert torch.equal(network.reconstruct(image, farther, camera).root, plain) == (not network.reads_depth)


# decoder, root and joints


def test_the_root_starts_at_the_centre_and_the_measured_depth():
    frame, _, masks, centers = scenes()
    network = network_of().eval()
    torch.nn.init.zeros_(network.root.offset[2].weight)
    torch.nn.init.zeros_(network.root.offset[2].bias)
    with torch.inference_mode():
        clouds = network.lift(frame, masks)
        root = network(frame, masks, centers).root
        torch.testing.assert_close(root[..., 2], clouds.points[..., 2].mean(dim=2))
        torch.testing.assert_close(frame.camera.project(root), centers, atol=1e-3, rtol=0)
        assert torch.allclose(network(frame, torch.zeros_like(masks), centers).root[..., 2], torch.tensor(START_DEPTH))


def test_cx_and_cy_are_not_exchanged():
    head = RootHead(8)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    camera = Camera(torch.tensor([[[100.0, 0, 30], [0, 100, 60], [0, 0, 1]]]), 96, 96)
    pixels = torch.tensor([[[30.0, 60.0], [40.0, 60.0]]])
    root = head(torch.zeros(1, 2, 8), pixels, torch.full((1, 2), 0.5), camera)
    torch.testing.assert_close(root, torch.tensor([[[0.0, 0.0, 0.5], [0.05, 0.0, 0.5]]]))


def test_mesh_levels_are_nested_in_each_hand_alike():
    """Coarse targets of a hand come from that hand (the published program takes the right one's from the left)."""
    _, hands, *_ = scenes()
    levels = mesh_levels(free_hand())
    assert [len(level.vertices) for level in levels] == list(GRAPHS)
    fine = levels[-1].up @ hands.vertices[:, :, levels[-1].vertices].numpy()
    assert np.linalg.norm(fine - hands.vertices.numpy(), axis=-1).mean() < 0.0005
    for coarse, finer in pairwise(levels):
        up = coarse.up @ hands.vertices[:, :, coarse.vertices].numpy()
        assert (
            np.linalg.norm(up - hands.vertices[:, :, finer.vertices].numpy(), axis=-1).mean(axis=(0, 2)).max() < 0.001
        )
    np.testing.assert_array_equal(levels[0].template[LEFT] * np.float32([-1, 1, 1]), levels[0].template[RIGHT])


def errors_of_regressor(regressor, vertices=slice(None)):
    """Return metres (64, 2, 21) between regressed and kinematic joints of hands that the fit has not seen."""
    model, rng = free_hand(), np.random.default_rng(99)
    parameters = model.neutral((64,))
    angles = rng.uniform(model.limits[..., 0], model.limits[..., 1], size=(64, 2, 16, 3)).astype(np.float32)
    shape = rng.normal(size=parameters.shape.shape).astype(np.float32)
    turned = rng.normal(size=(64, 2, 3)).astype(np.float32)
    hands = model(replace(parameters, pose=model.pose_from_angles(angles), shape=shape, rotation=turned))
    return np.linalg.norm(regressor @ hands.vertices[:, :, vertices] - hands.joints, axis=-1)


def test_regressed_joints_are_the_kinematic_ones():
    """Prediction and target share one joint definition; the published program's two differ by 3.5 mm."""
    regressor = joint_regressor(free_hand())
    np.testing.assert_allclose(regressor.sum(axis=1), 1, atol=1e-5)
    errors = errors_of_regressor(regressor)
    assert errors.mean() < 0.0001
    assert errors.max() < 0.001
    assert np.sqrt((regressor**2).sum(axis=1)).max() <= 1  # noise of the vertices is not amplified
    means = [errors_of_regressor(level.joint_regressor, level.vertices).mean() for level in mesh_levels(free_hand())]
    assert means[0] < 0.001
    assert means[1] < 0.0003
    assert means[2] < 0.0002


def test_predicted_joints_come_from_the_predicted_vertices():
    frame, _, masks, _ = scenes()
    output = network_of().eval()(frame, masks)
    regressor = torch.tensor(joint_regressor(free_hand()))
    torch.testing.assert_close(output.hands.joints, regressor @ output.hands.vertices, atol=1e-5, rtol=0)
    for stage, level in zip(output.stages, mesh_levels(free_hand()), strict=True):
        expected = torch.tensor(level.joint_regressor) @ stage.vertices
        torch.testing.assert_close(stage.joints, expected, atol=1e-4, rtol=0)


def test_parameters_give_back_their_mesh_with_the_root_in_place():
    frame, _, masks, _ = scenes()
    output = network_of(decoder="parameters").eval()(frame, masks)
    parameters = output.hands.parameters.map(lambda tensor: tensor.detach().numpy())
    again = free_hand()(parameters)
    np.testing.assert_allclose(again.vertices, output.hands.vertices.detach(), atol=1e-5)
    torch.testing.assert_close(output.hands.joints[:, :, ROOT], output.root, atol=1e-5, rtol=0)
    rotation = matrix_from_axis_angle(torch.as_tensor(parameters.rotation))
    assert torch.linalg.det(rotation).sub(1).abs().max() < 1e-4


def test_moving_hands_moves_all_of_them():
    _, hands, *_ = scenes()
    by = torch.tensor([[[0.1, 0.2, 0.3], [1.0, 0.0, 0.0]]]).expand(2, -1, -1)
    shifted = moved(hands, by)
    torch.testing.assert_close(shifted.vertices - hands.vertices, by[:, :, None].expand(-1, -1, 778, -1))
    torch.testing.assert_close(shifted.joints - hands.joints, by[:, :, None].expand(-1, -1, 21, -1))
    torch.testing.assert_close(shifted.parameters.translation - hands.parameters.translation, by)


# the whole


def test_costs_are_counted_by_module():
    network = network_of().train()
    costs = count(network, SIZE)
    assert network.training
    assert costs["total"][0] == sum(parameter.numel() for parameter in network.parameters())
    assert costs["total"][1] == sum(costs[name][1] for name in ("image", "center_feature", "fusion", "decoder", "root"))
    cells, head = (SIZE // 4) ** 2, 9 * 32 * 64 + 64 * 2
    assert costs["image.mask_head"] == (9 * 32 * 64 + 64 + 64 * 2 + 2, cells * head)


def test_the_paper_costs_less_than_half_of_the_published_program():
    config = PRESETS["paper"].network
    parameters, multiply_adds = count(build_network(config, free_hand()), config.image_size)["total"]
    assert parameters < 100.4e6 / 2
    assert multiply_adds < 130.7e9 / 2


def test_the_feature_of_a_hand_is_normalised_over_all_hands():
    torch.manual_seed(0)
    norm = HandNorm(3)
    features = 5 + torch.tensor([0.1, 2.0, 0.0]) * torch.randn(40, 2, 3)
    found = norm.train()(features)
    torch.testing.assert_close(found.mean(dim=(0, 1)), torch.zeros(3), atol=1e-4, rtol=0)
    torch.testing.assert_close(found.std(dim=(0, 1), correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-2, rtol=0)
    assert torch.equal(norm.eval()(features)[3:4], norm(features[3:4]))
