"""The order of the colour channels, judged by the skin of the hands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from twohands.checks.intrinsics import check_camera
from twohands.findings import Finding
from twohands.types import RGBDFrame, TwoHands

RED = 0.05
"""Smallest |log(red / blue)| of skin that tells the order of the channels. Under blue light it is near 0."""
_DARK = 0.03  # added to colours in [0, 1] before the logarithm
_ENOUGH = 5  # uncovered joints inside the image from which a hand's colour is known
_BEFORE = 0.025  # metres by which what hides a joint is measured before it; skin is about 0.012 before


def check_channel_order(
    frame: RGBDFrame, hands: TwoHands, reconstruct: Callable[[RGBDFrame], TwoHands]
) -> list[Finding]:
    """Return the finding `blue_first` if the skin of the hands is blue.

    Where fewer than two hands are found, they are also searched by `reconstruct` in the frame with red and blue
    exchanged, unless the intrinsics are implausible. More hands there are a finding if all have red skin.
    """
    redness = skin_redness(frame, hands)
    if len(redness) and redness.max() < -RED:
        measured = f"the skin of the hands is blue (blue is {np.exp(-redness.max()):.2g} times red)"
        return [_blue_first(measured, float(redness.max()), 0)]
    if len(hands.present_sides) == 2 or check_camera(frame.camera):
        return []
    exchanged = replace(frame, rgb=np.ascontiguousarray(frame.rgb[::-1]))
    try:
        others = reconstruct(exchanged)
    except ValueError:  # hands of impossible size
        return []
    found, now = len(hands.present_sides), len(others.present_sides)
    redness = skin_redness(exchanged, others)
    if now <= found or not len(redness) or redness.min() < RED:
        return []
    measured = f"{now} {'hand is' if now == 1 else 'hands are'} found with red and blue exchanged, {found} without"
    return [_blue_first(measured, -float(redness.min()), now - found)]


def skin_redness(frame: RGBDFrame, hands: TwoHands) -> np.ndarray:
    """Return log(red / blue) (N,) of present hands, medians over the joints that nothing hides, if there are enough."""
    limits = np.array([frame.camera.width, frame.camera.height])
    values = []
    for side in hands.present_sides:
        joints = np.asarray(hands.joints[side], np.float64)
        pixels = np.rint(frame.camera.project(joints))
        inside = ((pixels >= 0) & (pixels < limits)).all(axis=1)
        column, row = pixels[inside].astype(np.int64).T
        depth = np.asarray(frame.depth)[row, column]
        seen = (depth == 0) | (depth > joints[inside, 2] - _BEFORE)
        if seen.sum() >= _ENOUGH:
            red, _, blue = frame.rgb[:, row[seen], column[seen]] + _DARK
            values.append(float(np.median(np.log(red / blue))))
    return np.array(values)


def _blue_first(measured: str, redness: float, more: int) -> Finding:
    sentence = f"red and blue seem to be exchanged: {measured}; give the colour image red first: rgb[..., ::-1]"
    return Finding("blue_first", "warning", sentence, {"log_red_over_blue": redness, "more_hands_exchanged": more})
