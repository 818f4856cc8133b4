"""The frames that are kept apart, fixed before anything was tuned on them.

Shapes: `poses.shape_split` divides the space of hand shapes into disjoint cells. Seeds: the test and validation frames
below are the only ones measured in published tables; contact sheets and tuning use the split "train".
"""

from __future__ import annotations

from twohands.synth.config import SynthConfig
from twohands.synth.engine import SyntheticHands

TEST_SEED, TEST_FRAMES = 20_261_123, 500
VALIDATION_SEED, VALIDATION_FRAMES = 20_261_124, 200


def test_frames() -> SyntheticHands:
    """The 500 frames of the published numbers: split "test", default configuration."""
    return SyntheticHands(TEST_SEED, "test", SynthConfig(), TEST_FRAMES)


def validation_frames() -> SyntheticHands:
    """200 frames for choosing settings: split "validation", default configuration."""
    return SyntheticHands(VALIDATION_SEED, "validation", SynthConfig(), VALIDATION_FRAMES)
