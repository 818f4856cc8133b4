"""Behaviour on real frames; their folder is named by TWOHANDS_REAL_FRAMES and never part of this project."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

import twohands
from twohands.choices import Method
from twohands.sources.folder import FolderRecording
from twohands.types import LEFT, RIGHT

FRAMES = os.environ.get("TWOHANDS_REAL_FRAMES")
pytestmark = pytest.mark.skipif(not FRAMES, reason="TWOHANDS_REAL_FRAMES names no folder")


IN_IMAGE = {"light": 16, "landmarks": 12}
"""Largest mean distance from the reference in pixels, by method. The reference is that of a detector like the landmark
network in the palm's square; its finger tips lie short of the fingers' ends."""


@pytest.fixture(scope="module", params=IN_IMAGE)
def method(request) -> Method:
    return request.param


@pytest.fixture(scope="module")
def results(method) -> dict[str, list]:
    """(frame id, frame, hands) of every frame, by folder."""
    model = twohands.load(method)
    found = {}
    for name in ("two_hands", "one_hand", "no_hands"):
        recording = FolderRecording(Path(str(FRAMES)) / name)
        opened = [(frame_id, recording.open(frame_id)) for frame_id in recording.ids]
        found[name] = [(frame_id, frame, model(frame)) for frame_id, frame in opened]
    return found


def test_both_hands_are_found_on_their_sides(method, results):
    reference = json.loads((Path(str(FRAMES)) / "two_hands" / "joints2d.json").read_text())
    distances = []
    for frame_id, frame, hands in results["two_hands"]:
        assert (hands.present >= 0.5).all(), frame_id
        for side, name in ((LEFT, "left"), (RIGHT, "right")):
            away = frame.camera.project(hands.joints[side]) - np.array(reference[frame_id][name])
            distances.append(np.linalg.norm(away, axis=1).mean())
            assert distances[-1] < 25, (frame_id, name)
    assert np.mean(distances) < IN_IMAGE[method]


def test_meshes_lie_on_the_measured_depth(results):
    residuals = np.array([hands.quality.depth_residual for *_, hands in results["two_hands"]])
    supports = np.array([hands.quality.depth_support for *_, hands in results["two_hands"]])
    assert np.median(residuals) < 0.008
    assert np.median(supports) > 0.45


def test_hands_have_the_size_of_hands(results):
    for frames in results.values():
        for _, _, hands in frames:
            for side in np.flatnonzero(hands.present >= 0.5):
                knuckles = hands.joints[side, [5, 17]]
                assert 0.045 < np.linalg.norm(knuckles[0] - knuckles[1]) < 0.085
                assert 0.25 < hands.joints[side, 9, 2] < 1.0


def test_one_hand_and_no_hand(results):
    (_, _, hands), *_ = results["one_hand"]
    assert hands.present[RIGHT] >= 0.5
    assert hands.present[LEFT] < 0.5
    (_, _, hands), *_ = results["no_hands"]
    assert (hands.present < 0.5).all()
