"""The contract of a data set, which every reader keeps on its miniature copy."""

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np

from digests import digest
from faults import check_faults
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet, open_dataset
from twohands.evaluation import scoring as evaluation
from twohands.hands.skeleton import JOINT_DEFINITIONS
from twohands.networks.checkpoint import load_checkpoint
from twohands.training import train
from twohands.training.validate import evaluate_network

TINY = PRESETS["tiny"]


def check_contract(source, indices, unseen=()):
    """Check frames `indices` of a source of `open_dataset`; `unseen`: faults that they cannot show."""
    dataset, indices = open_dataset(source), list(indices)
    assert len(dataset) > max(indices)
    for sample in (dataset[index] for index in indices):
        _check_sample(sample)
        _check_depth(sample)
    _check_other_process(source, indices)
    check_faults(source, indices, unseen)
    _check_training([dataset[index] for index in indices])


def _check_sample(sample):
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


def _check_depth(sample):
    """Assert that hands are on the measured surface, where depth is measured."""
    if not sample.frame.depth.any():
        return
    for side in np.flatnonzero(sample.hands.present):
        joints = sample.hands.joints[side]
        columns, rows = np.round(sample.frame.camera.project(joints)).astype(int).T
        inside = (columns >= 0) & (columns < sample.frame.camera.width)
        inside &= (rows >= 0) & (rows < sample.frame.camera.height)
        gaps = joints[inside, 2] - sample.frame.depth[rows[inside], columns[inside]]
        assert np.median(np.abs(gaps)) < 0.03


def _check_other_process(source, indices):
    """Assert that another process reads the same bytes."""
    code = f"from digests import digest; print(digest({source!r}, {indices!r}))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert result.stdout.strip() == digest(source, indices)


def _check_training(samples):
    """Train a network for a step and measure it on the samples; it reads no depth if there is none."""
    depth = samples[0].frame.depth.any()
    network = replace(TINY.network, hand_model="mano", fusion=TINY.network.fusion if depth else "rgb_only")
    recipe = replace(TINY, network=network, train=replace(TINY.train, steps=1, batch_size=2, workers=0))
    items = TrainingSet(samples, network.image_size, recipe.augment, seed=0, hand_model="mano")
    with tempfile.TemporaryDirectory() as run:
        trained, config = load_checkpoint(train(recipe, items, run, progress=False))
    with mock.patch.object(evaluation, "SMALLEST_LENGTH", 20):  # copies are small
        figures = evaluate_network(trained, config, samples, "own").summary()["all"]
    assert figures["count"] > 0
    assert figures["mpjpe"] > 0
