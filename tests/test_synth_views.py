"""What generator version 2 adds: people who face the camera, far hands, objects before hands, and lost depth."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from twohands.hands.skeleton import ROOT
from twohands.shards.writing import write_shards
from twohands.synth.acts.cover import hidden_by_object
from twohands.synth.acts.placement import Staging
from twohands.synth.config import BASIC, CONFIGS, DEEPEST_COVER, FULL, GENERATOR_VERSION
from twohands.synth.engine import SyntheticHands
from twohands.synth.sensors.losses import Pictured, with_losses
from twohands.types import LEFT, RIGHT

SMALL = replace(FULL, width=160, height=120)
APART = replace(SMALL, contact=0.0, held=0.0)  # cheap to place; views do not depend on what the hands do
FACING = replace(SMALL, egocentric=0.0, facing=1.0, two_hands=1.0, one_hand=0.0, contact=0.0)


@cache
def views() -> list[Staging]:
    dataset = SyntheticHands(41, config=APART)
    return [dataset.staging(index) for index in range(160)]


def roots(staging: Staging) -> np.ndarray:
    """Return the roots (N, 3) metres of the present hands."""
    return np.array([staging.joints[side, ROOT] for side in (LEFT, RIGHT) if staging.arms[side] is not None])


def test_shares_of_the_views():
    assert 0.50 < np.mean([staging.egocentric for staging in views()]) < 0.70
    outside = [staging for staging in views() if not staging.egocentric]
    assert 0.40 < np.mean([staging.facing for staging in outside]) < 0.75  # fewer than tried: placements are refused
    assert not any(staging.facing for staging in views() if staging.egocentric)


def test_the_left_hand_of_a_person_who_faces_the_camera_is_on_the_right_of_the_picture():
    dataset, right_of = SyntheticHands(42, config=replace(FACING, held=0.0, close_roots=0.0, crossed=0.0)), []
    for index in range(40):
        staging = dataset.staging(index)
        if staging.facing:
            left, right = staging.view.camera.project(staging.joints[:, ROOT])
            right_of.append(left[0] > right[0])
    assert len(right_of) > 30
    assert np.mean(right_of) > 0.9


def test_one_frame_in_five_has_small_hands():
    """Lengths in image widths; version 1 had none below 0.11."""
    lengths = []
    for staging in views():
        if len(roots(staging)):
            scale = 0.185 * staging.scale * float(staging.view.camera.focal[0]) / SMALL.width
            lengths.append(scale / roots(staging)[:, 2].max())
    small = np.mean(np.array(lengths) < SMALL.smallest_hand)
    assert 0.10 < small < 0.30
    assert 0.04 < min(lengths) < 0.06


def test_no_hand_is_nearer_than_depth_cameras_measure_and_no_arm_is_around_the_lens():
    for staging in views():
        arms = [arm for arm in staging.arms if arm is not None]
        present = [side for side in (LEFT, RIGHT) if staging.arms[side] is not None]
        assert all(staging.joints[side, :, 2].min() >= 0.2 for side in present)
        if not staging.egocentric:
            along = np.linspace(0, 1, 50)[:, None]
            for arm in arms:
                for start, end in ((arm.wrist, arm.elbow), (arm.elbow, arm.shoulder)):
                    assert np.linalg.norm(start + along * (end - start), axis=1).min() > FULL.clear_lens


def test_shoulders_of_a_person_seen_from_outside_are_nearly_level():
    """Where an arm cannot reach, the shoulder follows the hand; the others keep their height."""
    apart = []
    for staging in views():
        if not staging.egocentric and all(arm is not None for arm in staging.arms):
            apart.append(abs((staging.arm(LEFT).shoulder - staging.arm(RIGHT).shoulder) @ staging.view.up))
    assert np.percentile(apart, 75) < 0.08


def test_objects_stand_before_the_hands_that_hold_them():
    dataset, shares = SyntheticHands(43, config=replace(FACING, held=1.0, object_first=1.0)), []
    for index in range(5):
        staging = dataset.staging(index)
        if staging.object_first:
            assert staging.grasp is not None
            for side in staging.holders:
                shares.append(hidden_by_object(staging.grasp, staging.joints[side], staging.arm(side), side))
    assert len(shares) >= 3
    assert min(shares) >= 0.4
    assert max(shares) <= DEEPEST_COVER


def test_an_object_before_the_hand_hides_its_pixels():
    dataset = SyntheticHands(43, config=replace(FACING, held=1.0, object_first=1.0, floating=0.0, clutter=0.0))
    for index in range(3):
        staging = dataset.staging(index)
        if staging.object_first:
            assert staging.holder is not None
            assert np.asarray(dataset[index].visible_fraction)[staging.holder] < 0.8


def test_some_occluders_hide_most_of_a_hand():
    most = {}
    for deep in (0.0, 1.0):
        config = replace(SMALL, held=0.0, contact=0.0, occluder=0.0, clutter=0.0, floating=1.0, deep_cover=deep)
        dataset = SyntheticHands(44, config=replace(config, egocentric=1.0, two_hands=1.0, one_hand=0.0))
        most[deep] = max(1 - np.asarray(dataset[index].visible_fraction).min() for index in range(6))
    assert most[1.0] > 0.6
    assert most[1.0] > most[0.0]


def scene_of_depth() -> tuple[np.ndarray, Pictured]:
    """Return measured depth in millimetres and what it shows: hands at 0.5 m with an object, a wall at 1 m."""
    depth = np.full((120, 160), 1.0)
    hands, held = np.zeros((2, *depth.shape), dtype=bool)
    hands[40:80, 30:70], held[50:70, 70:110] = True, True
    depth[hands | held] = 0.5
    return (1000 * depth).astype(np.uint16), Pictured(hands, held, depth)


def test_a_cut_out_keeps_hands_and_object_alone():
    measured, pictured = scene_of_depth()
    for seed in range(8):
        cut = with_losses(np.random.default_rng(seed), replace(FULL, cut_out=1.0, lost_object=0.0), measured, pictured)
        near = pictured.hands | pictured.held
        np.testing.assert_array_equal(cut[near], measured[near])
        assert not cut[~near].any()


def test_a_lost_object_leaves_the_hands_readings():
    measured, pictured = scene_of_depth()
    config = replace(FULL, cut_out=0.0, lost_object=1.0)
    shares = []
    for seed in range(12):
        lost = with_losses(np.random.default_rng(seed), config, measured, pictured) == 0
        shares.append(lost[pictured.held].mean())
        assert lost[pictured.hands].mean() < 0.1
    assert min(shares) > 0.25
    assert max(shares) == 1.0


def test_fractions_of_losses():
    measured, pictured = scene_of_depth()
    wall, thing = np.zeros((2, 300), dtype=bool)
    for seed in range(300):
        kept = with_losses(np.random.default_rng(seed), FULL, measured, pictured)
        wall[seed], thing[seed] = not kept[0, 0], not kept[pictured.held].all()
    assert 0.02 < wall.mean() < 0.09
    assert 0.13 < thing.mean() < 0.28


def test_a_folder_takes_frames_of_one_generator_version_only(tmp_path):
    """Folders of version 1 are still read, but not continued."""
    dataset = SyntheticHands(1, config=SMALL)
    assert dataset.content["generator"] == GENERATOR_VERSION == 2
    assert SyntheticHands(1, config=BASIC).content["generator"] == 1
    assert {config.generator for name, config in CONFIGS.items() if name != "basic"} == {2}
    older = {**dataset.content, "generator": 1}
    write_shards(dataset, 1, tmp_path, older, progress=False)
    with pytest.raises(ValueError, match="generator = 1, not 2"):
        write_shards(dataset, 1, tmp_path, dataset.content, progress=False)
