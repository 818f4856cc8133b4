"""The frozen sets of frames: their definition, and that no two share a frame, nor a person with training."""

from itertools import combinations
from typing import get_args

import numpy as np

from twohands.choices import FrozenSplit
from twohands.evaluation.evaluate import open_frames
from twohands.geometry.camera import Camera
from twohands.synth import splits
from twohands.synth.acts.poses import shape_split
from twohands.synth.config import BASIC, FULL, SynthConfig
from twohands.synth.rendering.light import sample_light, simple_light
from twohands.synth.sensors import sample_sensor
from twohands.synth.sensors.active_stereo import ActiveStereo


def test_the_frozen_sets():
    """These numbers change with the generator version only: published tables are measured on them."""
    frozen = {name: make() for name, make in splits.FROZEN.items()}
    assert {name: (frames.split, frames.seed, len(frames)) for name, frames in frozen.items()} == {
        "test": ("test", 20261201, 500),
        "validation": ("validation", 20261202, 200),
        "test_shifted": ("test", 20261203, 500),
        "basic_test": ("test", 20261123, 500),
    }
    configs = {name: frames.config for name, frames in frozen.items()}
    assert configs == {"test": FULL, "validation": FULL, "test_shifted": splits.SHIFTED, "basic_test": BASIC}


def test_no_two_sets_share_a_frame():
    frozen = [*(make() for make in splits.FROZEN.values()), *splits.trust_frames().values()]
    for one, other in combinations([(frames.seed, frames.staging(0).shape) for frames in frozen], 2):
        assert one[0] != other[0]
        assert not np.allclose(one[1], other[1])


def test_people_of_a_set_belong_to_its_split():
    for make in splits.FROZEN.values():
        frames = make()
        assert {shape_split(frames.staging(index).shape) for index in range(5)} == {frames.split} != {"train"}


def test_the_shifted_set_mixes_camera_and_light_otherwise_but_of_kinds_that_training_has():
    camera = Camera(np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]]), 640, 480)

    def share(config: SynthConfig) -> np.ndarray:
        """Return the fractions of frames with active stereo, with lamps alone, and with both."""
        alike = []
        for seed in range(400):
            rngs = [np.random.default_rng([stream, seed]) for stream in range(3)]
            light = sample_light(rngs[0], simple_light(rngs[1], np.eye(3), np.ones(3)), np.eye(3), config)
            stereo = isinstance(sample_sensor(rngs[2], config, camera), ActiveStereo)
            lamps = light.environment is None and light.second is not None
            alike.append([stereo, lamps, stereo and lamps])
        return np.mean(alike, axis=0)

    np.testing.assert_array_equal(share(splits.SHIFTED), 1)
    found = share(FULL)
    assert (found > [0.19, 0.035, 0.0]).all()
    assert (found < [0.31, 0.105, 0.04]).all()
    assert splits.SHIFTED.egocentric < FULL.egocentric
    assert splits.SHIFTED.clutter > FULL.clutter


def test_each_can_be_evaluated():
    assert set(get_args(FrozenSplit)) == set(splits.FROZEN)
    for name, make in splits.FROZEN.items():
        assert open_frames("synthetic", name).id(3) == make().id(3)
