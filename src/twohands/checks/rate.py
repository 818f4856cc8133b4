"""Time stamps over a recording: its frame rate, frames that were dropped, and times that run backwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from twohands.findings import Finding

DROPPED = 0.05
"""Smallest fraction of the frames that are missing in a recording of one rate for a finding."""
GAP = 1.5
"""Smallest distance of two frames, in usual distances, between which frames are missing."""


@dataclass(frozen=True)
class Rate:
    """Frame rate and faults that the time stamps of a recording show."""

    fps: float  # by the median distance of two frames
    missing: int  # frames that would fill the gaps
    longest: float  # seconds between two frames


def frame_rate(seconds: Sequence[float | None]) -> Rate | None:
    """Return the rate of frames with these time stamps, in the recording's order; None where they do not tell one."""
    steps = np.diff(np.sort(_known(seconds)))
    forward = steps[steps > 0]
    if len(forward) < 2:
        return None
    period = float(np.median(forward))
    gaps = forward[forward > GAP * period]
    missing = int(np.sum(np.rint(gaps / period) - 1))
    return Rate(1 / period, missing, float(forward.max()))


def _known(seconds: Sequence[float | None]) -> np.ndarray:
    return np.array([value for value in seconds if value is not None], dtype=np.float64)


def check_times(seconds: Sequence[float | None]) -> list[Finding]:
    """Return the findings `dropped_frames` and `times_out_of_order` about the time stamps of a recording."""
    rate, total = frame_rate(seconds), len(seconds)
    found = []
    share = 0.0 if rate is None else rate.missing / (total + rate.missing)
    if rate is not None and share >= DROPPED:
        missing = "1 frame is" if rate.missing == 1 else f"{rate.missing} frames are"
        sentence = (
            f"{missing} missing, {share:.0%} of the recording (usually {rate.fps:.3g} a second; the "
            f"longest gap is {rate.longest:.2f} s); record to a faster disk, with fewer streams or a smaller image, "
            "and do not compress while recording"
        )
        values = {"missing": float(rate.missing), "fraction": round(share, 4), "longest_gap_s": round(rate.longest, 4)}
        found.append(Finding("dropped_frames", "warning", sentence, values))
    backwards = int(np.sum(np.diff(_known(seconds)) <= 0))
    if backwards:
        sentence = (
            f"{backwards} of {total} frames are not later than the one before; sort them by time, or correct the "
            "clock of the recorder"
        )
        found.append(Finding("times_out_of_order", "warning", sentence, {"frames": float(backwards)}))
    return found
