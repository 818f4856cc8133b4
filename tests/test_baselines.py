"""The external baselines: their crop, their root, and that they learn."""

import dataclasses

import numpy as np
import pytest
import torch

from fakes import PosedHands
from twohands.config import PRESETS, AugmentConfig
from twohands.data.dataset import TrainingSet
from twohands.evaluation.metrics import al_mpjpe
from twohands.experiments.rows import CROP, ROWS
from twohands.geometry.camera import Camera
from twohands.hands import free_hand
from twohands.hands.skeleton import NUM_JOINTS, ROOT
from twohands.networks import build_network
from twohands.networks.attention import ImageAttention
from twohands.networks.decoder import LENGTH_UNIT
from twohands.networks.intaghand import DEPTH_LIMIT, START_FRACTION, WeakPerspective, hand_depth, network_input
from twohands.networks.runner import ModuleRunner
from twohands.networks.two_hand_net import START_DEPTH
from twohands.predictor import NetworkPredictor
from twohands.training.batches import collate
from twohands.training.losses import surface_of
from twohands.training.objective import Objective
from twohands.types import RGBDFrame
from twohands.views import SURROUNDINGS, hands_camera, region_camera, square_camera, view_masks

BASELINES = [name for name, row in ROWS.items() if row.changes.get("architecture")]
SIZE = 96


def config_of(name):
    """Return the configuration of a baseline at the size of tests."""
    network = dataclasses.replace(PRESETS["tiny"].network, **{**ROWS[name].changes, "image_size": SIZE})
    return dataclasses.replace(
        PRESETS["tiny"],
        network=network,
        loss=dataclasses.replace(PRESETS["tiny"].loss, **ROWS[name].loss),
        augment=AugmentConfig.none(),
    )


def batch_of(config, count=4):
    items = TrainingSet(PosedHands(count), SIZE, config.augment, 0, config.network.region)
    return collate([items[0, index] for index in range(count)])


# the crop


def test_the_crop_holds_both_hands_with_a_margin_and_the_points_stay():
    sample = PosedHands()[0]
    camera = hands_camera(sample.frame.camera, sample.masks, SIZE)
    seen = view_masks(sample.masks, sample.frame.camera, camera)
    rows, columns = np.nonzero(seen.any(axis=0))
    longer = max(np.ptp(rows), np.ptp(columns)) + 1
    assert longer == pytest.approx(SIZE / SURROUNDINGS, abs=2)
    assert (rows.min() + rows.max()) / 2 == pytest.approx((SIZE - 1) / 2, abs=1.5)
    assert (columns.min() + columns.max()) / 2 == pytest.approx((SIZE - 1) / 2, abs=1.5)
    inner = np.delete(sample.hands.joints, [4, 8, 12, 16, 20], axis=1)  # tips lie on the outline
    joints = camera.project(inner.reshape(-1, 3))
    at = seen.any(axis=0)[joints[:, 1].round().astype(int), joints[:, 0].round().astype(int)]
    assert at.mean() > 0.95  # the joints of the same 3D hands lie on the moved pixels


def test_without_masks_the_crop_is_the_whole_image():
    sample = PosedHands()[0]
    camera = sample.frame.camera
    whole = square_camera(camera, SIZE)
    for given in (None, sample.masks & False):
        np.testing.assert_array_equal(region_camera(camera, given, SIZE, "hands").K, whole.K)
    np.testing.assert_array_equal(region_camera(camera, sample.masks, SIZE, "frame").K, whole.K)


def test_training_and_prediction_see_the_same_crop():
    config = config_of("intaghand")
    seen = []
    network = build_network(config.network, free_hand())
    forward = network.forward
    network.forward = lambda frame, *given: seen.append(frame) or forward(frame, *given)
    sample = PosedHands()[1]
    NetworkPredictor(ModuleRunner(network, config.network))(sample.frame, masks=sample.masks)
    item = TrainingSet(PosedHands(), SIZE, config.augment, 0, "hands")[0, 1]
    torch.testing.assert_close(seen[0].rgb[0], torch.as_tensor(item.sample.frame.rgb))
    torch.testing.assert_close(seen[0].depth[0], torch.as_tensor(item.sample.frame.depth))


# IntagHand


def test_the_weak_perspective_head_reads_distance_from_size():
    head = WeakPerspective(8)
    for parameter in head.parameters():
        torch.nn.init.zeros_(parameter)
    camera = Camera(torch.tensor([[[200.0, 0, 47.5], [0, 200, 47.5], [0, 0, 1]]]), SIZE, SIZE)
    middle = torch.full((1, 2, 2), 47.5)
    root = head(torch.zeros(1, 2, 8), middle, torch.full((1, 2), 9.0), camera)
    expected = 200 * LENGTH_UNIT / (START_FRACTION * SIZE)  # LENGTH_UNIT metres cover a quarter of the crop
    torch.testing.assert_close(root, torch.tensor([0.0, 0.0, expected]).expand(1, 2, 3))
    torch.nn.init.constant_(head.offset[2].bias, float(np.log(2)))
    assert head(torch.zeros(1, 2, 8), middle, torch.zeros(1, 2), camera)[0, 0, 2].item() == pytest.approx(expected / 2)


def test_the_depth_of_the_hands_is_the_median_inside_their_masks():
    depth = torch.full((2, 4, 4), 1.0)
    depth[0, 0, :3] = torch.tensor([0.4, 0.5, 0.9])
    depth[1] = 0
    masks = torch.zeros(2, 2, 4, 4, dtype=torch.bool)
    masks[0, 0, 0, :2] = masks[0, 1, 0, 2] = True
    torch.testing.assert_close(hand_depth(depth, masks), torch.tensor([0.5, START_DEPTH]))
    torch.testing.assert_close(hand_depth(depth, None), torch.tensor([1.0, START_DEPTH]))


def test_the_depth_channel_counts_decimetres_from_the_hands():
    depth = torch.tensor([[[0.5, 0.6], [0.0, 5.0]]])
    frame = RGBDFrame(torch.zeros(1, 3, 2, 2), depth, Camera(torch.eye(3)[None], 2, 2))
    image = network_input(frame, torch.tensor([0.5]))
    torch.testing.assert_close(image[0, 3], torch.tensor([[0.0, 1.0], [0.0, DEPTH_LIMIT]]))
    assert network_input(frame, None).shape == (1, 3, 2, 2)


def test_colour_alone_does_not_read_depth():
    frame, masks = batch_of(config_of("intaghand")).sample.frame, None
    nearer = dataclasses.replace(frame, depth=frame.depth * 0.8)
    for name, reads in (("intaghand", False), ("intaghand_depth", True)):
        network = build_network(config_of(name).network, free_hand()).eval()
        with torch.inference_mode():
            one, two = network(frame, masks).root, network(nearer, masks).root
        assert torch.equal(one, two) == (not reads), name


def test_image_attention_knows_where_a_cell_is():
    torch.manual_seed(0)
    attention = ImageAttention(8, 5, 2)
    tokens, features = torch.randn(1, 2, 3, 8), torch.randn(1, 5, 4, 6)
    found = attention(tokens, features)
    assert found.shape == tokens.shape
    assert (attention(tokens, features.flip(-1)) - found).abs().max() > 1e-4
    still = torch.zeros_like(features)
    torch.testing.assert_close(attention(tokens, still), attention(tokens, still.flip(-1)))


# Keypoint Transformer


def test_joints_are_relative_to_a_root_that_means_nothing():
    config = config_of("keypoint_transformer")
    network = build_network(config.network, free_hand()).eval()
    output = network(batch_of(config).sample.frame)
    torch.testing.assert_close(output.hands.joints[:, :, ROOT], output.root)
    assert output.hands.vertices is None
    assert (output.root == torch.tensor([0, 0, START_DEPTH])).all()


def test_tokens_are_the_highest_peaks_of_all_maps_together():
    config = config_of("keypoint_transformer")
    network = build_network(config.network, free_hand()).eval()
    logits = torch.full((1, 2 * NUM_JOINTS, 24, 24), -9.0)
    logits[0, 5, 3, 7], logits[0, 41, 20, 2] = 4.0, 3.0
    frame = batch_of(config, 1).sample.frame
    pixels, tokens = network._tokens(torch.zeros(1, 32, 24, 24), logits, frame)
    assert tokens.shape[1] == 64
    assert pixels[0, :2].tolist() == [[7 * 4 + 1.5, 3 * 4 + 1.5], [2 * 4 + 1.5, 20 * 4 + 1.5]]


# learning


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns_one_batch(name):
    config = config_of(name)
    torch.manual_seed(0)
    model = free_hand()
    objective = Objective(build_network(config.network, model), surface_of(model), config.loss, 0.0)
    batch = batch_of(config)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=2e-3)
    errors, losses = [], []
    for step in range(30):
        optimizer.zero_grad()
        loss = objective.train()(batch, 0)[0].mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if step in (0, 27, 28, 29):
            with torch.no_grad():
                errors.append(float(al_mpjpe(objective.predict(batch).hands, batch.sample.hands).mean()))
    assert np.mean(losses[-3:]) < 0.5 * losses[0]
    assert np.mean(errors[-3:]) < 0.7 * errors[0]


def test_rows_of_the_table_see_a_crop_and_are_four():
    assert BASELINES == ["intaghand", "intaghand_depth", "keypoint_transformer", "keypoint_transformer_depth"]
    for name in BASELINES:
        assert ROWS[name].changes.items() >= CROP.items()
        assert not ROWS[name].shared_backbone
