"""Synthetic frames are pure functions of (seed, index), agree with their meshes, and have the stated mixture."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from scipy.ndimage import binary_erosion

from twohands.geometry.mesh import cap, volume
from twohands.hands.free import free_hand
from twohands.shards.records import encode_sample
from twohands.synth import splits
from twohands.synth.acts.poses import (
    SPLITS,
    capsules,
    local_joints,
    penetration,
    sample_angles,
    sample_shape,
    self_penetration,
    shape_split,
)
from twohands.synth.config import BASIC, FULL, SynthConfig
from twohands.synth.engine import SyntheticHands
from twohands.synth.preview import mix, mix_report
from twohands.synth.rendering.render import draw, labels
from twohands.types import LEFT, RIGHT

SMALL = replace(BASIC, width=160, height=120)
BOTH = replace(BASIC, width=160, height=120, two_hands=1.0, one_hand=0.0)
FULL_SMALL = replace(FULL, width=160, height=120)
TOUCHING = replace(FULL_SMALL, two_hands=1.0, one_hand=0.0, close_roots=0.0, contact=1.0)
STORED = {"basic": (BASIC, range(4), 16), "full": (FULL_SMALL, (0, 5, 10, 14), 2)}
"""Stored frames of seed 11 and the step between stored pixels; `python tests/test_synth_engine.py full` writes a file.

None is in contact, which differs between CPUs. Those of `full` are a hand from beside, a grasp, and two people who face
the camera, one with an object before the hand.
"""


def digest(sample):
    return hashlib.sha256(b"".join(encode_sample(sample).values())).hexdigest()


def test_a_frame_is_a_pure_function_of_seed_and_index():
    dataset, touching = SyntheticHands(11, config=SMALL), SyntheticHands(11, config=TOUCHING)
    first = digest(dataset[3])
    assert digest(dataset[4]) != first
    assert digest(SyntheticHands(12, config=SMALL)[3]) != first
    assert digest(SyntheticHands(11, "validation", SMALL)[3]) != first
    contact = next(index for index in range(20) if touching.staging(index).touching)
    code = (
        "from test_synth_engine import *\n"
        f"print(digest(SyntheticHands(11, config=SMALL)[3]), digest(SyntheticHands(11, config=TOUCHING)[{contact}]))"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    command, folder = [sys.executable, "-c", code], Path(__file__).parent
    other = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=folder)
    assert other.stdout.split() == [digest(dataset[3]), digest(touching[contact])]
    assert digest(dataset[3]) == first


def test_samples_have_the_declared_shapes():
    sample = SyntheticHands(1, config=SMALL)[0]
    assert sample.frame.rgb.shape == (3, 120, 160)
    assert sample.frame.rgb.dtype == np.float32
    np.testing.assert_array_equal(
        sample.frame.rgb, np.round(sample.frame.rgb * 255).astype(np.float32) / np.float32(255)
    )
    assert sample.frame.depth.shape == (120, 160)
    np.testing.assert_allclose(sample.frame.depth * 1000, np.round(sample.frame.depth * 1000), atol=1e-3)
    assert sample.hands.vertices.shape == (2, 778, 3)
    assert sample.masks.shape == (2, 120, 160)
    assert sample.visibility.shape == (2, 21)
    assert sample.id == "train-1-000000"
    assert not (sample.masks[0] & sample.masks[1]).any()


def test_truth_agrees_with_model_and_parameters():
    sample = SyntheticHands(2, config=BOTH)[1]
    again = free_hand()(sample.hands.parameters)
    np.testing.assert_allclose(again.vertices, sample.hands.vertices, atol=1e-6)
    np.testing.assert_allclose(again.joints, sample.hands.joints, atol=1e-6)
    np.testing.assert_array_equal(*sample.hands.parameters.shape)  # one person, one shape


def test_depth_buffer_lies_on_the_hand_meshes():
    dataset = SyntheticHands(5, config=BOTH)
    rng = np.random.default_rng(0)
    for index in range(3):
        staging, scene = dataset.scene(index)
        camera = staging.view.camera
        depth, triangle = draw(scene.surfaces, camera)
        label = labels(scene.surfaces, triangle)
        for side in (LEFT, RIGHT):
            rows, columns = np.nonzero(label == side)
            pick = rng.permutation(len(rows))[:40]
            pixels = np.stack([columns[pick], rows[pick]], axis=-1).astype(float)
            points = camera.unproject(pixels, depth[rows[pick], columns[pick]].astype(float))
            triangles = np.asarray(scene.hands.vertices[side], dtype=float)[free_hand(1609).faces[side]]
            pairs = np.repeat(points, len(triangles), axis=0)
            nearest = trimesh.triangles.closest_point(np.tile(triangles, (len(points), 1, 1)), pairs)
            distance = np.linalg.norm(nearest - pairs, axis=1).reshape(len(points), -1).min(axis=1)
            assert distance.max() < 1e-4


def test_sensor_depth_is_true_within_its_noise():
    dataset = SyntheticHands(5, config=replace(BASIC, two_hands=1.0, one_hand=0.0))
    sample = dataset[0]
    staging, scene = dataset.scene(0)
    depth, _ = draw(scene.surfaces, staging.view.camera)
    for side in (LEFT, RIGHT):
        inside = binary_erosion(sample.masks[side], iterations=6) & (sample.frame.depth > 0)
        assert inside.sum() > 300
        error = sample.frame.depth[inside] - depth[inside]
        assert np.abs(np.median(error)) < 1e-3
        assert np.percentile(np.abs(error), 75) < 3e-3
    holes = (sample.frame.depth == 0).mean()
    assert 0.01 < holes < 0.6


def test_masks_cover_the_visible_vertices():
    dataset = SyntheticHands(6, config=BOTH)
    for index in range(3):
        sample, (staging, scene) = dataset[index], dataset.scene(index)
        depth, _ = draw(scene.surfaces, staging.view.camera)
        for side in (LEFT, RIGHT):
            vertices = np.asarray(sample.hands.vertices[side], dtype=float)
            pixels = np.round(sample.frame.camera.project(vertices)).astype(int)
            inside = ((pixels >= 0) & (pixels < [160, 120])).all(axis=1)
            column, row = pixels[inside].T
            seen = np.abs(depth[row, column] - vertices[inside, 2]) < 0.002
            assert sample.masks[side][row, column][seen].mean() > 0.85  # outlines fall into the neighbouring pixel
            rows, columns = np.nonzero(sample.masks[side])
            low, high = pixels.min(axis=0) - 2, pixels.max(axis=0) + 2
            assert (columns >= low[0]).all()
            assert (columns <= high[0]).all()
            assert (rows >= low[1]).all()
            assert (rows <= high[1]).all()


def test_visibility_and_shares_tell_what_is_hidden():
    dataset = SyntheticHands(8, config=SMALL)
    for index in range(8):
        sample = dataset[index]
        for side in (LEFT, RIGHT):
            if sample.hands.present[side] == 0:
                assert sample.visible_fraction[side] == 0
                assert not sample.visibility[side].any()
                assert not sample.masks[side].any()
                assert np.isfinite(sample.hands.joints[side]).all()
            elif sample.visible_fraction[side] > 0.99:
                assert sample.visibility[side].mean() > 0.5
            assert 0 <= sample.visible_fraction[side] <= 1


def test_fingers_that_close_on_a_thing_are_not_said_to_mirror_the_other_hand_s():
    config = replace(FULL_SMALL, two_hands=1.0, one_hand=0.0, contact=0.0, mirrored=1.0, held=0.6)
    stagings = [SyntheticHands(4, config=config).staging(index) for index in range(4)]
    assert [staging.mirrored for staging in stagings] == [staging.grasp is None for staging in stagings]
    assert len({staging.mirrored for staging in stagings}) == 2


def test_left_hands_are_left():
    dataset = SyntheticHands(9, config=BOTH)
    faces = free_hand().faces
    left_of = []
    for index in range(40):
        staging = dataset.staging(index)
        hands = free_hand()(staging.parameters())
        for side in (LEFT, RIGHT):
            assert volume(hands.vertices[side].astype(float), cap(faces[side])) > 1e-4
        if staging.egocentric:
            pixels = staging.view.camera.project(staging.joints[:, 9])
            left_of.append(pixels[LEFT, 0] < pixels[RIGHT, 0])
    assert np.mean(left_of) > 0.7


def test_mix_of_two_hundred_frames():
    dataset = SyntheticHands(10, config=SMALL)
    counts, close, egocentric, overlaps = [], [], [], []
    for index in range(200):
        staging = dataset.staging(index)
        sides = [side for side in (LEFT, RIGHT) if staging.arms[side] is not None]
        counts.append(len(sides))
        egocentric.append(staging.egocentric)
        for side in sides:
            assert 0.2 < staging.joints[side, 9, 2] < 1.0
        if len(sides) == 2:
            close.append(np.linalg.norm(staging.joints[0, 9] - staging.joints[1, 9]) < 0.12)
            overlaps.append(penetration(*staging.joints))
    assert 0.70 < np.mean(np.array(counts) == 2) < 0.90
    assert 0 in counts
    assert 1 in counts
    assert np.mean(close) >= 0.25
    assert np.mean(egocentric) > 0.75
    assert np.mean(np.array(overlaps) > 0.001) < 0.02


def test_share_of_occluded_hands():
    dataset = SyntheticHands(13, config=SMALL)
    figures = mix(dataset, 40)
    assert figures["hands_with_occluder"] >= 0.30
    assert figures["hands_mostly_hidden"] < 0.15
    assert "close roots" in mix_report(dataset, 2)


def test_splits_have_disjoint_shapes():
    rng = np.random.default_rng(3)
    for split in SPLITS:
        shapes = [sample_shape(rng, split) for _ in range(20)]
        assert {shape_split(shape) for shape in shapes} == {split}
    assert len(splits.test_frames()) == splits.TEST_FRAMES == 500
    assert splits.test_frames().split == "test"


def test_fingers_do_not_run_through_each_other():
    rng = np.random.default_rng(4)
    limits = free_hand().limits
    for _ in range(30):
        angles = sample_angles(rng)
        assert self_penetration(local_joints(angles)) <= 0.0021
        assert (angles >= limits[..., 0] - 1e-6).all()
        assert (angles <= limits[..., 1] + 1e-6).all()
    fist_through_palm = np.zeros((16, 3))
    fist_through_palm[4:, 0] = np.radians(130)
    assert self_penetration(local_joints(fist_through_palm)) > 0.004
    assert (capsules().radii > 0.003).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 8}, "at least 32x32"),
        ({"two_hands": 1.4}, "between 0 and 1"),
        ({"two_hands": 0.9, "one_hand": 0.2}, "at most 1"),
        ({"held": 5}, "held is a fraction between 0 and 1; got 5"),
        ({"smallest_hand": -1.0}, "smallest_hand is a fraction"),
        ({"roll": -3.0}, "roll must be a number of 0 or more; got -3"),
        ({"registration": -1.0}, "registration must be a number of 0 or more"),
        ({"close_distance": 0.04}, "close_distance must be a number of 0.06 or more; got 0.04"),
        ({"focal": (0.5, float("inf"))}, "rising pair"),
        ({"distance": (0.9, 0.3)}, "rising pair"),
    ],
)
def test_configuration_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        SynthConfig(**arguments)


def test_configuration_takes_scales_beyond_1_and_the_smallest_distance():
    config = replace(BOTH, registration=2.0, roll=20, close_distance=0.06, close_roots=1.0)
    assert SyntheticHands(1, config=config).staging(0).view.camera.width == 160


def test_data_set_refuses():
    with pytest.raises(ValueError, match="choose one of train"):
        SyntheticHands(0, "tset")
    with pytest.raises(ValueError, match="negative"):
        SyntheticHands(-1)
    with pytest.raises(IndexError):
        SyntheticHands(0, config=SMALL, count=3)[3]
    with pytest.raises(TypeError, match="endless"):
        len(SyntheticHands(0))


def stored_file(name):
    return Path(__file__).parent / "data" / f"{name}_engine.npz"


def drawn_now(name):
    """Return the arrays that `stored_file` holds, drawn by the current engine."""
    config, indices, step = STORED[name]
    samples = [SyntheticHands(11, config=config)[index] for index in indices]
    return {
        "depth": np.round([1000 * sample.frame.depth[::step, ::step] for sample in samples]).astype(np.uint16),
        "rgb": np.stack([sample.frame.rgb_uint8()[::step, ::step].transpose(2, 0, 1) for sample in samples]),
        "joints": np.stack([sample.hands.joints for sample in samples]),
        "masks": np.stack([sample.masks[:, ::step, ::step] for sample in samples]),
    }


@pytest.mark.parametrize("name", STORED)
def test_the_engine_still_draws_the_stored_frames(name):
    """`basic` are frames of the first engine. The depth of another machine may differ by a millimetre."""
    stored, drawn = np.load(stored_file(name)), drawn_now(name)
    np.testing.assert_allclose(drawn["joints"], stored["joints"], atol=1e-5)
    for index in range(len(stored["depth"])):
        depth, rgb, masks = (
            np.abs(drawn[key][index] - stored[key][index].astype(float)) for key in ("depth", "rgb", "masks")
        )
        assert np.mean(depth < 1.5) > 0.999
        assert rgb.mean() < 0.5
        assert np.mean(masks == 0) > 0.999


if __name__ == "__main__":
    np.savez_compressed(stored_file(sys.argv[1]), **drawn_now(sys.argv[1]))
