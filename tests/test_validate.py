"""Measuring a network: the frames as they are, all of them, and the same answer every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fakes import OneSample, PosedHands
from twohands.config import PRESETS
from twohands.data.preprocess import square_camera, view
from twohands.evaluation import MODES
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.training.validate import Validation, evaluate_network

TINY = PRESETS["tiny"].network
JOINTS = replace(TINY, decoder="joints")


def network_of(config):
    torch.manual_seed(0)
    return build_network(config, free_hand()).train()  # as it is in the middle of a run


@pytest.mark.parametrize("mode", MODES)
def test_the_network_sees_the_frame_as_it_is_and_answers_twice_the_same(mode):
    """No augmentation, no statistics of the batch, nothing drawn anew."""
    network, sample, seen = network_of(TINY), PosedHands()[0], []
    before = {name: value.clone() for name, value in network.state_dict().items()}
    network.image.register_forward_pre_hook(lambda _, given: seen.append([array.numpy() for array in given]))
    reports = [evaluate_network(network, TINY, [sample], mode).json() for _ in range(2)]
    assert reports[0] == reports[1]
    assert network.training
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    square = view(sample.frame, square_camera(sample.frame.camera, TINY.image_size))
    assert len(seen) == 2
    for rgb, depth in seen:
        np.testing.assert_array_equal(rgb[0], square.rgb)
        np.testing.assert_array_equal(depth[0], square.depth)


def test_every_frame_is_measured():
    dataset = OneSample("test", 120)
    report = evaluate_network(network_of(JOINTS), JOINTS, map(dataset.__getitem__, range(120)), MODES[0])
    assert report.frames == 120
    assert len({row.sample for row in report.rows}) == 120


def test_validation_reads_every_frame_once():
    dataset = OneSample("validation", 120)
    assert Validation(dataset, JOINTS)(network_of(JOINTS))["mpjpe"] > 0
    assert dataset.read == list(range(120))
