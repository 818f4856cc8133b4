"""Checks of new frames: shapes, types and units, with the fix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fakes import CAMERA, HEIGHT, WIDTH, K, make_frame, make_hands, write_frame
from twohands.types import LEFT, RIGHT, RGBDFrame, TwoHands

RGB = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
DEPTH = np.full((HEIGHT, WIDTH), 612, np.uint16)


def test_from_arrays():
    frame = RGBDFrame.from_arrays(RGB, DEPTH, K)
    assert frame.rgb.shape == (3, HEIGHT, WIDTH)
    assert frame.rgb.dtype == frame.depth.dtype == np.float32
    np.testing.assert_allclose(frame.depth, 0.612, rtol=1e-6)
    np.testing.assert_array_equal(frame.rgb_uint8(), RGB)
    np.testing.assert_array_equal(frame.camera.K, CAMERA.K)
    np.testing.assert_allclose(RGBDFrame.from_arrays(RGB, DEPTH / 1000, K).depth, 0.612, rtol=1e-6)
    np.testing.assert_allclose(RGBDFrame.from_arrays(RGB, DEPTH, K, depth_unit=0.0001).depth, 0.0612, rtol=1e-6)


def test_open(tmp_path):
    frame = RGBDFrame.open(*write_frame(tmp_path))
    assert (frame.camera.width, frame.camera.height) == (WIDTH, HEIGHT)
    np.testing.assert_allclose(frame.depth, 0.5)


def test_red_is_first_from_the_file_on(tmp_path):
    paths = write_frame(tmp_path)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), (255, 51, 0), np.uint8)).save(paths[0])
    np.testing.assert_allclose(RGBDFrame.open(*paths).rgb[:, 0, 0], [1, 0.2, 0])


@pytest.mark.parametrize(
    ("rgb", "depth", "match"),
    [
        (RGB[..., 0], DEPTH, "colour must be"),
        (RGB / 255, DEPTH, r"colour must be .*; .*\(255 \* image\)\.astype"),
        (np.dstack([RGB, RGB[..., 0]]), DEPTH, r"colour must be .*rgb\[\.\.\., :3\]"),
        (RGB[:1], DEPTH[:1], "160x1 pixels is too small for hands; give the whole picture"),
        (RGB, DEPTH[:60, :80], "depth is 80x60 but colour is 160x120; register"),
        (RGB, RGB, "depth must be"),
        (RGB, DEPTH.astype(np.uint8), "8 bits"),
    ],
)
def test_wrong_frames_are_refused(rgb, depth, match):
    with pytest.raises(ValueError, match=match):
        RGBDFrame.from_arrays(rgb, depth, K)


def test_intrinsics_of_another_resolution():
    sized = [2 * WIDTH, 2 * HEIGHT, 300, 300, 159.5, 119.5]
    with pytest.raises(ValueError, match="colour is 160x120 but the intrinsics are of 320x240 pixels"):
        RGBDFrame.from_arrays(RGB, DEPTH, sized)
    sized[:2] = WIDTH, HEIGHT
    sized[4:] = 79.5, 59.5
    assert RGBDFrame.from_arrays(RGB, DEPTH[..., None], sized).camera.K[0, 0] == 300


def test_records_stack_and_map():
    batch = RGBDFrame.stack([make_frame(0.5), make_frame(0.7)])
    assert batch.depth.shape == (2, HEIGHT, WIDTH)
    assert batch.camera.K.shape == (2, 3, 3)
    assert batch.camera.width == WIDTH
    hands = TwoHands.stack([make_hands(), make_hands((0, 1))]).map(lambda array: array[1])
    np.testing.assert_array_equal(hands.present, [0, 1])
    assert hands.parameters is not None
    assert hands.parameters.pose.shape == (2, 15, 3)


def test_a_hand_is_present_from_one_half_on():
    hands = make_hands()
    for present, there in (([0.5, 0.49], [True, False]), ([0.0, 1.0], [False, True]), ([0.2, 0.0], [False, False])):
        changed = replace(hands, present=np.array(present, np.float32))
        assert changed.is_present.tolist() == there
        assert changed.present_sides == [side for side in (LEFT, RIGHT) if there[side]]
        assert replace(hands, present=present).present_sides == changed.present_sides
