"""Validation of a network: unchanged frames, all of them, and the same result every time."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fakes import OneSample, PosedHands
from twohands.config import PRESETS
from twohands.data.readers.common import DamagedFileError
from twohands.evaluation.scoring import MODES
from twohands.hands import free_hand
from twohands.networks import build_network
from twohands.training.validate import Validation, evaluate_network
from twohands.views import square_camera, view

TINY = PRESETS["tiny"].network
JOINTS = replace(TINY, decoder="joints")


def network_of(config):
    torch.manual_seed(0)
    return build_network(config, free_hand()).train()  # as during a run


@pytest.mark.parametrize("mode", MODES)
def test_the_network_sees_the_frame_as_it_is_and_answers_twice_the_same(mode):
    """No augmentation, no batch statistics, no new random numbers."""
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


def test_validation_reads_so_many_frames_once_evenly_spread():
    dataset = OneSample("validation", 120)
    validate = Validation(dataset, JOINTS, 40)
    dataset.read.clear()
    assert validate(network_of(JOINTS)).score > 0
    assert dataset.read == list(range(0, 120, 3))


class Faulty(OneSample):
    """Frames without masks; the files of some are damaged."""

    def __init__(self, count, damaged):
        super().__init__("faulty", count)
        self.damaged = damaged

    def __getitem__(self, index):
        if index in self.damaged:
            raise DamagedFileError("depth.png is truncated", Path("depth.png"))
        return replace(super().__getitem__(index), masks=None)


def test_frames_without_masks_are_measured_and_damaged_ones_left_out(caplog):
    with caplog.at_level(logging.WARNING):
        validate = Validation(Faulty(6, {0, 2}), JOINTS, 500)
        first, again = (validate(network_of(JOINTS)) for _ in range(2))
    assert first == again
    assert 0 < first.metrics["mpjpe"] < np.inf
    assert [record.getMessage() for record in caplog.records] == ["left out of the validation: depth.png is truncated"]


def test_nothing_to_validate_on_is_refused_at_the_start():
    with pytest.raises(
        ValueError, match=r"no frame .* can be measured \(depth.png is truncated\); give others as --val"
    ):
        Validation(Faulty(3, {0, 1, 2}), JOINTS, 500)
    absent = OneSample("absent", 3)
    absent.sample = replace(absent.sample, hands=replace(absent.sample.hands, present=np.zeros(2, np.float32)))
    with pytest.raises(ValueError, match="no hand is large and visible enough"):
        Validation(absent, JOINTS, 500)
