"""Checks of frames name the fix for certain faults, and are silent on frames that are merely unusual."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest

from fakes import CAMERA, HEIGHT, WIDTH, make_frame, make_hands
from twohands.checks.around_hand import check_order
from twohands.checks.frame import advising_unit, check_frame, check_hand_size, palm_size
from twohands.hands.skeleton import BONES

HANDS = make_hands()
PIXELS = CAMERA.project(HANDS.joints)


def flat(depth: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH), depth, np.float32)


def advice(unit):
    """Errors as the command line words them, or as Python does where the unit is not known."""
    return nullcontext() if unit is None else advising_unit(unit)


@pytest.mark.parametrize("depth", [0.1, 0.3, 1.0, 4.0, 9.0])
def test_plausible_scenes_pass(depth):
    check_frame(make_frame(depth))


@pytest.mark.parametrize(
    ("depth", "unit", "match"),
    [
        (612.0, 1.0, "looks like millimetres .median 612 m.; pass --depth-unit 0.001"),
        (612.0, None, "looks like millimetres .median 612 m.; pass depth_unit=0.001"),
        (0.0006, 0.001, "too near .median 0.0006 m.; pass --depth-unit 1"),
        (0.0006, None, "too near.*pass depth_unit=1$"),
        (0.0006, 0.000001, "too near.*pass --depth-unit 0.001"),
        (0.06, 0.001, "too near.*pass --depth-unit 0.01$"),  # centimetres
        (60.0, 1.0, "too far.*pass --depth-unit 0.01$"),
        (60.0, 0.001, "too far.*pass --depth-unit 0.0001"),
        (1e9, 0.001, "too far.*; check its unit"),
        (65.0, 0.001, "too far .* end of the 16-bit range, .* stretched it; give the 16-bit image"),
    ],
)
def test_wrong_units(depth, unit, match):
    with pytest.raises(ValueError, match=match), advice(unit):
        check_frame(make_frame(depth))


def test_holes_do_not_count():
    depth = flat(0)
    depth[:10, :10] = 0.6
    check_frame(replace(make_frame(), depth=depth))


def test_values_that_cannot_be():
    with pytest.raises(ValueError, match="zero everywhere"):
        check_frame(make_frame(0.0))
    broken = flat(0.5)
    broken[3, 4] = np.nan
    with pytest.raises(ValueError, match="depth contains values that are not finite"):
        check_frame(replace(make_frame(), depth=broken))
    frame = make_frame()
    frame.rgb[1, 2, 3] = np.inf
    with pytest.raises(ValueError, match="colour contains"):
        check_frame(frame)


def test_palm_of_true_size():
    """The size of the model's hand is recovered from its pixels and depth."""
    size = palm_size(PIXELS[1], flat(0.5), CAMERA)
    assert size == pytest.approx(1, abs=0.15)
    assert palm_size(PIXELS[1], flat(5.0), CAMERA) == pytest.approx(10 * size)


@pytest.mark.parametrize(
    ("depth", "unit", "remedy"),
    [
        (5.0, 0.001, "--depth-unit 0.0001"),  # D405, 0.1 mm
        (2.0, 0.001, "--depth-unit 0.00025 or 0.0002"),  # 1/4000 m
        (2.5, 0.001, "--depth-unit 0.0002 or 0.00025"),  # TUM, 1/5000 m
        (0.05, 0.0001, "--depth-unit 0.001"),
        (5.0, None, "depth_unit=0.0001"),
        (2.0, None, "depth_unit=0.00025 or 0.0002"),
        (2.5, None, "depth_unit=0.0002 or 0.00025"),
    ],
)
def test_giants_and_dwarfs(depth, unit, remedy):
    with pytest.raises(ValueError, match=rf"knuckles would be .* m wide; try {remedy}$"), advice(unit):
        check_hand_size(PIXELS, flat(depth), CAMERA)


def test_giants_of_no_unit_in_use():
    with pytest.raises(ValueError, match="m wide; check the unit of the depth and the intrinsics"):
        check_hand_size(PIXELS, flat(15.0), CAMERA)


def test_giant_says_how_wide():
    with pytest.raises(ValueError, match=r"the left hand's knuckles would be 0\.[67]\d m wide; try depth_unit=0\.0001"):
        check_hand_size(PIXELS, flat(5.0), CAMERA)


@pytest.mark.parametrize("factor", [0.6, 0.8, 1.0, 1.3, 2.0])
def test_silent_about_odd_hands(factor):
    check_hand_size(PIXELS, flat(0.5 * factor), CAMERA)


def test_silent_without_certainty():
    giant = flat(5.0)
    check_hand_size(np.full((2, 21, 2), np.nan), giant, CAMERA)  # no hand
    check_hand_size(PIXELS, np.where(np.random.default_rng(0).random(giant.shape) < 0.1, giant, 0), CAMERA)
    mixed = flat(0.5)
    mixed[:, : WIDTH // 2] = 5.0  # only one of two hands
    check_hand_size(PIXELS, mixed, CAMERA)
    background = flat(0.5)
    background[::4] = 5.0  # a quarter of the palm shows a far background
    check_hand_size(PIXELS, background, CAMERA)
    check_hand_size(PIXELS + 1e4, giant, CAMERA)  # outside the image
    edge_on = PIXELS * [0.1, 1.0]  # a hand seen from its side has narrow knuckles, but not a short palm
    check_hand_size(edge_on, flat(0.5), CAMERA)


def scene(hand: float, behind: float) -> np.ndarray:
    """Depth of both hands at one distance, as wide as their palms and fingers, before or behind a plane."""
    depth = flat(behind)
    for joints in PIXELS:
        for parent, joint in BONES:
            for column, row in np.rint(np.linspace(joints[parent], joints[joint], 50)).astype(int):
                depth[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4] = hand
    return depth


@pytest.mark.parametrize(("hand", "behind", "inverted"), [(0.5, 0.9, False), (0.9, 0.5, True), (0.5, 0.51, False)])
def test_inverted_depth(hand, behind, inverted):
    findings = check_order(PIXELS, scene(hand, behind))
    assert [finding.code for finding in findings] == (["depth_inverted"] if inverted else [])
    assert check_order(np.full_like(PIXELS, np.nan), scene(hand, behind)) == []
    if inverted:
        assert "as if large values were near: disparity" in findings[0].sentence


def test_giants_in_inverted_depth_and_under_wrong_intrinsics_need_no_unit():
    with pytest.raises(ValueError, match="m wide; the hands lie behind what is around them"):
        check_hand_size(PIXELS, scene(5.0, 3.0), CAMERA)
    other = replace(CAMERA, K=CAMERA.K * np.array([[0.25], [0.25], [1]], np.float32))
    with pytest.raises(ValueError, match=r"m wide; the principal point .* would fit \d+x\d+: give those of"):
        check_hand_size(PIXELS, flat(0.5), other)
