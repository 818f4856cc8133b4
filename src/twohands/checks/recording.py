"""The size of the hands over a recording: a check of the intrinsics by anatomy, from its results alone.

The size of a hand is the sum of the lengths of its bones, relative to the mean hand of its model. One hand in one frame
is known to 12 %, and the sizes of adults differ by 8 %, so only the median over frames says something about the
intrinsics: the fewer there are, the larger a deviation has to be.
"""

from __future__ import annotations

import math

import numpy as np

from twohands.findings import Finding
from twohands.hands.skeleton import BONES

FEWEST_FRAMES, FEW = 20, 3
"""Smallest number of frames with a usable hand: of a run, and of frames spread over a recording in which hands that do
not stand out of a surface are left out."""
SUPPORTED, SEEN = 0.3, 0.9
"""Smallest support by the depth, and smallest presence, of a hand whose size is used. Both are of the images, whatever
the focal length is; confidence falls where it is wrong."""
KEPT, SHIFT = 0.726, -0.045
"""The fit's log size over the true one, and its log size of a mean hand: the shape prior pulls hands to the mean.
From rendered validation frames with focal lengths between 1 / 1.5 and 1.5 of the true one."""
ADULTS = (0.87, 1.13)
"""Sizes of 5 to 95 % of women and men: hands of 159 to 206 mm, relative to their middle."""
ADULTS_DIFFER, ONE_FRAME = math.log(206 / 159) / 3.29, 0.15
"""Standard deviations of the logarithm of the sizes of adults, and of the size that one frame tells, as a median."""
DEVIATIONS = 2.6
"""Smallest logarithm of the size of a finding, in standard deviations."""
ODD = 1.2
"""Size, or inverse size, that hardly any adult has."""


def bone_length(joints: np.ndarray) -> np.ndarray:
    """Return the sum (...,) of the lengths of a hand's bones, joints (..., 21, 3)."""
    parent, child = np.array(BONES).T
    return np.linalg.norm(joints[..., child, :] - joints[..., parent, :], axis=-1).sum(axis=-1)


def hand_sizes(joints: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return sizes (...,) of fitted hands relative to a mean hand, without the pull of the shape prior.

    joints (..., 21, 3), and rest (21, 3): those of a hand of the model's mean shape; metres.
    """
    return np.exp((np.log(bone_length(joints) / bone_length(rest)) - SHIFT) / KEPT)


def sized(present: np.ndarray, fitted: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return (2,) bool: the hands whose size can be used, by their presence, fit and support by the depth."""
    return np.asarray(fitted) & (np.asarray(support) >= SUPPORTED) & (np.asarray(present) >= SEEN)


def odd_size(frames: int) -> float:
    """Return the smallest size, or inverse size, of a finding about this number of frames.

    `tools/measure_recording_checks.py` prints the rates.
    """
    return math.exp(DEVIATIONS * math.hypot(ADULTS_DIFFER, ONE_FRAME / math.sqrt(frames)))


def check_hand_sizes(sizes: np.ndarray, focal: float, fewest: int = FEWEST_FRAMES) -> list[Finding]:
    """Return `hand_size` if the hands of a recording have a size that hardly any adult has.

    sizes (N, 2): those of the hands in N frames, NaN where no hand is usable, of which there are at least `fewest`;
    focal: focal length of the recording in pixels.
    """
    usable = np.isfinite(sizes)
    frames = usable.any(axis=1)
    count = int(frames.sum())
    if count < fewest:
        return []
    logs = np.where(usable, np.log(np.where(usable, sizes, 1.0)), 0.0)[frames]
    size = math.exp(float(np.median(logs.sum(axis=1) / usable[frames].sum(axis=1))))
    if abs(math.log(size)) < math.log(odd_size(count)):
        return []
    person, wrong, factor = ("very large hands", "small", size) if size > 1 else ("a child's hands", "large", 1 / size)
    sentence = (
        f"the hands measure {size:.2f} times those of an average adult (median of {count} frames; most adults: "
        f"{ADULTS[0]} to {ADULTS[1]}): these are {person}, or the focal length is too {wrong} by a factor of about "
        f"{factor:.2f} ({focal:.0f} px, not about {focal * size:.0f}), or the depth unit is off by it; check that the "
        "intrinsics are those of this camera at this image size, and the depth unit"
    )
    values = {"size_ratio": size, "frames": float(count), "focal_px": focal, "likely_focal_px": focal * size}
    return [Finding("hand_size", "warning", sentence, values)]
