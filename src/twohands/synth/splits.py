"""The frames that are kept apart, fixed before anything was tuned on them.

Shapes: `poses.shape_split` divides the space of hand shapes into disjoint cells. Seeds: the frames below are the only
ones measured in published tables; contact sheets and tuning use the split "train". Painted textures and things are made
anew for every frame, so those of one split are not seen in another; the measured places that light the frames and the
files of the asset cache (`stored`) are those of every split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twohands.synth.config import BASIC, FULL
from twohands.synth.engine import SyntheticHands

TEST_SEED, TEST_FRAMES = 20_261_125, 500
VALIDATION_SEED, VALIDATION_FRAMES = 20_261_126, 200
SHIFTED_SEED, SHIFTED_FRAMES = 20_261_127, 500
BASIC_TEST_SEED, BASIC_TEST_FRAMES = 20_261_123, 500

SHIFTED = replace(
    FULL, sensor="active_stereo", environment=0.0, second_lamp=1.0, camera_faults=True, clutter=1.0, egocentric=0.5
)
"""Another mixture of camera, light, clutter and view than `FULL` has, of kinds that `FULL` has too: of its frames a
quarter have this camera, 7 % such light, 1.5 % both."""


def test_frames() -> SyntheticHands:
    """500 frames of unseen people, the full configuration."""
    return SyntheticHands(TEST_SEED, "test", FULL, TEST_FRAMES)


def validation_frames() -> SyntheticHands:
    """200 frames for choosing settings: people of their own, the full configuration."""
    return SyntheticHands(VALIDATION_SEED, "validation", FULL, VALIDATION_FRAMES)


def shifted_frames() -> SyntheticHands:
    """500 frames of people of the test split in another mixture than they are trained on: `SHIFTED`."""
    return SyntheticHands(SHIFTED_SEED, "test", SHIFTED, SHIFTED_FRAMES)


def basic_test_frames() -> SyntheticHands:
    """The 500 test frames of the first engine, on which its tables were measured."""
    return SyntheticHands(BASIC_TEST_SEED, "test", BASIC, BASIC_TEST_FRAMES)


FROZEN: dict[str, Callable[[], SyntheticHands]] = {
    "test": test_frames,
    "validation": validation_frames,
    "test_shifted": shifted_frames,
    "basic_test": basic_test_frames,
}
"""Name -> the frames that are measured under it."""
