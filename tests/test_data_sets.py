"""The contract of a data set, kept by the reader of every one: a miniature copy, its samples, another process."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ho3d_copies
import test_reader_dexycb
import test_reader_h2o
import test_reader_rhd
from digests import digest
from scenes import scene
from twohands.config import PRESETS
from twohands.data.dataset import DATASETS, TrainingSet, open_dataset
from twohands.data.readers import dexycb
from twohands.hands.mano import Convention
from twohands.hands.mano_files import read_mano
from twohands.hands.skeleton import JOINT_DEFINITIONS


def _dexycb(root, mano):
    there = ((False, True), (True, False), (False, False))
    test_reader_dexycb.write_copy(
        root, [scene(mano, s, dexycb.CONVENTION, there[s], test_reader_dexycb.CAMERA) for s in range(3)]
    )
    return "dexycb_s1:validation", test_reader_dexycb.FRAMES.values()


def _rhd(root, mano):
    there = ((True, True), (False, True), (True, False))
    scenes = [scene(mano, s, Convention(flat_hand_mean=True), there[s], test_reader_rhd.SQUARE) for s in range(3)]
    test_reader_rhd.write_copy(root, scenes)
    return "rhd:test", range(3)


def _h2o(root, mano):
    test_reader_h2o.write_copy(root, mano)
    return "h2o", range(3)


def _ho3d(root, mano):
    ho3d_copies.write_ho3d(root, mano)
    return "ho3d", range(2)


def _h2o3d(root, mano):
    ho3d_copies.write_h2o3d(root, mano)
    return "h2o3d", range(1)


COPIES = {"h2o": _h2o, "h2o3d": _h2o3d, "ho3d": _ho3d, "rhd": _rhd, "dexycb": _dexycb}
"""By name: writes a miniature copy; returns what opens it, without the folder, and indices of frames that are there."""


@pytest.fixture(scope="module", params=COPIES)
def copy(request, mano_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param)
    opens, indices = COPIES[request.param](root, read_mano(mano_folder))
    return f"{opens}={root}", list(indices)


def test_every_registered_data_set_is_here():
    assert {name.partition("_")[0] for name in DATASETS} - {"synthetic"} == set(COPIES)


def test_a_sample_is_as_the_contract_says(copy):
    source, indices = copy
    dataset = open_dataset(source)
    for sample in (dataset[index] for index in indices):
        frame, hands = sample.frame, sample.hands
        height, width = frame.depth.shape
        assert frame.rgb.shape == (3, height, width)
        assert (frame.camera.width, frame.camera.height) == (width, height)
        assert frame.rgb.dtype == frame.depth.dtype == hands.joints.dtype == np.float32
        assert 0 <= frame.rgb.min() <= frame.rgb.max() <= 1
        assert ((frame.depth == 0) | ((frame.depth > 0.05) & (frame.depth < 20))).all()
        assert hands.joints.shape == (2, 21, 3)
        assert np.isfinite(hands.joints).all()
        assert set(hands.present.tolist()) <= {0.0, 1.0}
        assert sample.joint_definition in JOINT_DEFINITIONS
        if hands.vertices is not None:
            assert hands.vertices.shape == (2, 778, 3)
            assert hands.parameters is not None
        if sample.masks is not None:
            assert (sample.masks.shape, sample.masks.dtype) == ((2, height, width), np.bool_)
            assert not sample.masks[hands.present < 0.5].any()
        for side in np.flatnonzero(hands.present):
            assert (hands.joints[side, :, 2] > 0.05).all()
            assert 0.05 < np.linalg.norm(hands.joints[side, 9] - hands.joints[side, 0]) < 0.15


def test_a_hand_lies_on_its_depth(copy):
    source, indices = copy
    dataset = open_dataset(source)
    for sample in (dataset[index] for index in indices):
        if not sample.frame.depth.any():  # colour alone
            continue
        for side in np.flatnonzero(sample.hands.present):
            joints = sample.hands.joints[side]
            columns, rows = np.round(sample.frame.camera.project(joints)).astype(int).T
            gaps = joints[:, 2] - sample.frame.depth[rows, columns]
            assert np.median(np.abs(gaps)) < 0.03


def test_another_process_reads_the_same(copy):
    source, indices = copy
    code = f"from digests import digest; print(digest({source!r}, {indices!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert result.stdout.strip() == digest(source, indices)


def test_it_feeds_training(copy):
    source, indices = copy
    items = TrainingSet(open_dataset(source), 96, PRESETS["tiny"].augment, seed=0, hand_model="mano")
    item = items[0, indices[0]]
    assert item.sample.frame.rgb.shape == (3, 96, 96)
    assert item.sample.hands.vertices.shape == (2, 778, 3)
