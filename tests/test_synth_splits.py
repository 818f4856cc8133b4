"""The frames that are kept apart: what they are, and that no two sets share a frame or a person with training."""

from itertools import combinations
from typing import get_args

import numpy as np

from twohands.cli import measure
from twohands.synth import splits
from twohands.synth.config import BASIC, FULL
from twohands.synth.poses import shape_split


def test_the_frozen_sets():
    """These numbers never change: published tables were measured on them."""
    frozen = {name: make() for name, make in splits.FROZEN.items()}
    assert {name: (frames.split, frames.seed, len(frames)) for name, frames in frozen.items()} == {
        "test": ("test", 20261125, 500),
        "validation": ("validation", 20261126, 200),
        "test_shifted": ("test", 20261127, 500),
        "basic_test": ("test", 20261123, 500),
    }
    configs = {name: frames.config for name, frames in frozen.items()}
    assert configs == {"test": FULL, "validation": FULL, "test_shifted": splits.SHIFTED, "basic_test": BASIC}


def test_no_two_sets_share_a_frame():
    frozen = [make() for make in splits.FROZEN.values()]
    for one, other in combinations(frozen, 2):
        assert one.seed != other.seed
        assert not np.allclose(one.staging(0).shape, other.staging(0).shape)


def test_people_of_a_set_belong_to_its_split():
    for make in splits.FROZEN.values():
        frames = make()
        assert {shape_split(frames.staging(index).shape) for index in range(5)} == {frames.split} != {"train"}


def test_the_shifted_set_has_another_camera_and_other_light():
    assert splits.SHIFTED.sensor == "active_stereo" != FULL.sensor
    assert splits.SHIFTED.environment == 0 < FULL.environment
    assert splits.SHIFTED.second_lamp == 1 > FULL.second_lamp
    assert splits.SHIFTED.egocentric < FULL.egocentric


def test_each_can_be_evaluated():
    assert set(get_args(measure.Split)) == set(splits.FROZEN)
    for name, make in splits.FROZEN.items():
        assert measure._open("synthetic", name).id(3) == make().id(3)
