"""The frames that are set apart for validation and tests, fixed before anything was trained on frames of version 2.

They are frames of generator version 2. Tables in the reports that name `test`, `validation`, `test_shifted` or
`trust_frames` and a commit before version 2 were measured on frames of version 1, under other seeds, which only the
commits that those tables name can draw. `basic_test` is the same in both versions.

Shapes: `poses.shape_split` divides the space of hand shapes into disjoint cells. Seeds: published tables are measured
on the frames below only; contact sheets and tuning use the split "train". Procedural textures and objects are drawn
for every frame, so no two splits share them. The measured environments that light the frames, and the files of the
asset cache (`stored`), are the same in every split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twohands.synth.config import BASIC, FULL
from twohands.synth.engine import SyntheticHands

TEST_SEED, TEST_FRAMES = 20_261_201, 500
VALIDATION_SEED, VALIDATION_FRAMES = 20_261_202, 200
SHIFTED_SEED, SHIFTED_FRAMES = 20_261_203, 500
BASIC_TEST_SEED, BASIC_TEST_FRAMES = 20_261_123, 500

SHIFTED = replace(
    FULL, sensor="active_stereo", environment=0.0, second_lamp=1.0, camera_faults=True, clutter=1.0, egocentric=0.4
)
"""A mixture of camera, light, clutter and view that differs from `FULL` but uses only kinds that `FULL` has too: a
quarter of the frames of `FULL` have this camera, 7 % such light, 1.5 % both."""


def test_frames() -> SyntheticHands:
    """Return 500 frames of unseen people in the full configuration."""
    return SyntheticHands(TEST_SEED, "test", FULL, TEST_FRAMES)


def validation_frames() -> SyntheticHands:
    """Return 200 frames of a separate set of people in the full configuration, for choosing settings."""
    return SyntheticHands(VALIDATION_SEED, "validation", FULL, VALIDATION_FRAMES)


def shifted_frames() -> SyntheticHands:
    """Return 500 frames of people of the test split in `SHIFTED`, another mixture than the training frames."""
    return SyntheticHands(SHIFTED_SEED, "test", SHIFTED, SHIFTED_FRAMES)


def basic_test_frames() -> SyntheticHands:
    """Return the 500 test frames of the first engine, on which its tables were measured."""
    return SyntheticHands(BASIC_TEST_SEED, "test", BASIC, BASIC_TEST_FRAMES)


TRUST_VALIDATION_SEED, TRUST_TEST_SEED, TRUST_SHIFTED_SEED = 20_261_210, 20_261_211, 20_261_212
TRUST_STRUCTURED_LIGHT_SEED, TRUST_LIDAR_SEED = 20_261_213, 20_261_214


def trust_frames() -> dict[str, SyntheticHands]:
    """Return the frames on which confidence, sigma and findings are chosen (`validation`) and measured (the others).

    They are used for nothing else. The last two add frames of the cameras that are rare in `FULL`.
    """
    return {
        "validation": SyntheticHands(TRUST_VALIDATION_SEED, "validation", FULL, 2500),
        "test": SyntheticHands(TRUST_TEST_SEED, "test", FULL, 2500),
        "test_shifted": SyntheticHands(TRUST_SHIFTED_SEED, "test", SHIFTED, 2500),
        "structured_light": SyntheticHands(
            TRUST_STRUCTURED_LIGHT_SEED, "test", replace(FULL, sensor="structured_light"), 750
        ),
        "lidar": SyntheticHands(TRUST_LIDAR_SEED, "test", replace(FULL, sensor="lidar"), 650),
    }


FROZEN: dict[str, Callable[[], SyntheticHands]] = {
    "test": test_frames,
    "validation": validation_frames,
    "test_shifted": shifted_frames,
    "basic_test": basic_test_frames,
}
"""Functions that make the frozen sets, by name."""
