"""Configurations: validation names the wrong value, dictionaries round trip, the defaults are the published ones."""

import json
from dataclasses import FrozenInstanceError, replace

import pytest

from twohands.config import PRESETS, ExperimentConfig, LossConfig, NetworkConfig


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_json(name):
    config = PRESETS[name]
    assert ExperimentConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_missing_keys_keep_their_defaults():
    assert ExperimentConfig.from_dict({"network": {"num_points": 600}}).network == NetworkConfig(num_points=600)


def test_unknown_keys_are_refused_and_the_known_ones_listed():
    with pytest.raises(ValueError, match=r"NetworkConfig does not know num_point; it knows arch.*, num_points"):
        ExperimentConfig.from_dict({"network": {"num_point": 600}})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 100}, "multiple of 32.*100"),
        ({"num_neighbours": 0}, "at least 1; got 0"),
        ({"num_neighbours": 600}, "num_neighbours=600"),
        ({"num_centroids": (512, 600)}, r"\(512, 600\)"),
        ({"num_points": 100}, "num_points=100"),
        ({"depth_range": (2.5, 0.2)}, r"\(2.5, 0.2\)"),
        ({"centroid_sampling": "best"}, "'best'"),
        ({"ball_radii": (0.1, 0.0)}, r"\(0.1, 0.0\)"),
        ({"decoder_widths": (512, 256, 126)}, "got 126"),
        ({"fusion": "rgb_only", "center_feature": False}, "leaves nothing"),
        ({"region": "face"}, "'face'"),
    ],
)
def test_impossible_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(NetworkConfig(), **change)


def test_the_paper_is_the_default_and_cannot_be_changed():
    config = PRESETS["paper"].network
    assert (config.image_size, config.num_points, config.num_centroids, config.num_neighbours) == (
        384,
        1024,
        (512, 128),
        64,
    )
    with pytest.raises(FrozenInstanceError):
        config.num_points = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges": -1.0}, "weight of edges.*-1.0"),
        ({"root": float("nan")}, "weight of root.*nan"),
        ({"late_terms": ("edges", "bones")}, "does not know 'bones'; it knows center"),
        ({"late_epoch": -1}, "late_epoch.*-1"),
    ],
)
def test_impossible_weights_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        LossConfig(**change)


def test_the_published_weights():
    early, late = LossConfig().weights(19), LossConfig().weights(20)
    other = {"heat_maps": 10, "identities": 5}  # terms of the Keypoint Transformer
    assert late == other | {
        "center": 200,
        "mask": 2000,
        "root": 1000,
        "vertices": 500,
        "joints": 500,
        "coarse": 100,
        "absolute_vertices": 100,
        "absolute_joints": 100,
        "vertices_2d": 50,
        "joints_2d": 1000,
        "edges": 2000,
        "normals": 10,
    }
    assert set(late) - set(early) == {"joints_2d", "edges"}
    assert "mask" not in LossConfig(mask=0).weights(0)
