"""The costly checks of a frame and its hands, and the frames of a recording on which they are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twohands.checks.around_hand import check_order
from twohands.checks.colour import check_channel_order
from twohands.checks.frame import joint_pixels
from twohands.checks.intrinsics import check_camera
from twohands.checks.registration import CODE, check_registration
from twohands.findings import Finding
from twohands.types import RGBDFrame, TwoHands

FIRST_FRAMES, EVERY = 30, 100
"""The first frames of a recording are all examined, later ones at this distance."""


def is_due(index: int, found: int, before: int) -> bool:
    """Return whether frame `index` is examined, with `found` hands in it and `before` hands in the previous frame."""
    return index < FIRST_FRAMES or index % EVERY == 0 or found < before


class Examiner:
    """Costly checks of frames and the hands found in them, for one predictor.

    `reconstruct` is the predictor's function from a frame to its hands, without these checks.
    """

    def __init__(self, reconstruct: Callable[[RGBDFrame], TwoHands]):
        self.reconstruct = reconstruct
        self._index = self._before = 0

    def __call__(self, frame: RGBDFrame, hands: TwoHands) -> TwoHands:
        """Return the hands with the findings about them, if the next frame of this predictor is due (`is_due`)."""
        found = len(hands.present_sides)
        due = is_due(self._index, found, self._before)
        self._index, self._before = self._index + 1, found
        return self.examine(frame, hands) if due else hands

    def examine(self, frame: RGBDFrame, hands: TwoHands) -> TwoHands:
        """Return the hands with the findings about them."""
        known = {finding.code for finding in hands.findings}
        new = [finding for finding in self._findings(frame, hands) if finding.code not in known]
        return replace(hands, findings=(*hands.findings, *new), examined=True)

    def _findings(self, frame: RGBDFrame, hands: TwoHands) -> list[Finding]:
        found = list(check(frame))
        if hands.present_sides and CODE not in {finding.code for finding in found}:
            found += check_registration(frame, hands)
        if hands.present_sides and hands.doubtful[hands.present_sides].all():
            found += check_order(joint_pixels(frame.camera, hands), frame.depth)
        return found + check_channel_order(frame, hands, self.reconstruct)


def check(frame: RGBDFrame) -> tuple[Finding, ...]:
    """Return the findings about a frame that need no hands: from reading it, its intrinsics and its registration."""
    return (*frame.findings, *check_camera(frame.camera), *check_registration(frame))
