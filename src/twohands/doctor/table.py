"""The doctor's table: subject, measurement, verdict and remedy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from twohands.checks.hands_seen import BLURRED
from twohands.checks.rate import frame_rate
from twohands.checks.recording import FEW
from twohands.doctor.look import BIN, PEOPLE, Look
from twohands.findings import Finding
from twohands.types import LEFT, RIGHT

Verdict: TypeAlias = Literal["ok", "finding", "unknown"]


@dataclass(frozen=True)
class Check:
    """One line of the table."""

    what: str
    measured: str
    verdict: Verdict
    remedy: str = ""


class _Line(NamedTuple):
    what: str
    codes: tuple[str, ...]  # kinds of findings, or the beginnings of their names
    measured: Callable[[Look], str | None]  # None where nothing can be said
    unknown: tuple[str, str] = ("no hands were found", "")  # why, and the remedy


def table_of(look: Look, warnings: Sequence[Finding]) -> tuple[Check, ...]:
    """Return the lines about a recording with these warnings; a kind that no line knows gets one of its own."""
    checks, left = [], list(warnings)
    for line in _LINES:
        found = [finding for finding in warnings if finding.code.startswith(line.codes)]
        left = [finding for finding in left if finding not in found]
        measured = line.measured(look)
        if found:
            checks += [_about(line.what, finding) for finding in found]
        elif measured is None:
            checks.append(Check(line.what, line.unknown[0], "unknown", line.unknown[1]))
        else:
            checks.append(Check(line.what, measured, "ok"))
    return (*checks, *(_about(finding.code.replace("_", " "), finding) for finding in left))


def _about(what: str, finding: Finding) -> Check:
    """Return the line of a finding, whose sentence has the remedy after a semicolon."""
    measured, _, remedy = finding.sentence.partition("; ")
    remedy, bracket, counted = remedy.rpartition(" (in ") if " (in " in remedy else (remedy, "", "")
    return Check(what, measured + bracket + counted, "finding", remedy)


def _readable(look: Look) -> str:
    return f"{len(look.found)} of {len(look.findings)} frames can be read"


def _hands(look: Look) -> str | None:
    found = np.array(look.found).reshape(-1, 2)
    left, right = found[:, LEFT].sum(), found[:, RIGHT].sum()
    doubt = f"; {look.doubtful} of these {left + right} hands are doubtful" if look.doubtful else ""
    return f"left in {left}, right in {right} of {len(found)} frames{doubt}" if found.any() else None


def _unit(look: Look) -> str | None:
    if not look.depth_counts[0].any():
        return None
    units = " and ".join(f"{unit * 1000:g} mm" for unit in sorted(look.depth_units))
    step = f"one step is {units}; " if units and 1.0 not in look.depth_units else "in metres; "
    near, middle, far = (_quantile(look.depth_counts[0], fraction) for fraction in (0.05, 0.5, 0.95))
    return f"{step}the scene is {near:.2f} to {far:.2f} m away, {middle:.2f} m in the middle"


def _sizes(look: Look) -> str | None:
    usable = [sizes for sizes in look.sizes if np.isfinite(sizes).any()]
    if len(usable) < FEW:
        return None
    return f"{np.median([np.nanmedian(sizes) for sizes in usable]):.2f} times those of an average adult"


def _registration(look: Look) -> str | None:
    return _without(look, "depth_not_registered", "depth edges are not displaced from colour edges")


def _mirror(look: Look) -> str | None:
    return _without(look, "depth_mirrored", "depth and colour are not mirrored relative to each other")


def _without(look: Look, code: str, sentence: str) -> str | None:
    """Return the sentence with the number of readable frames that lack a kind of finding."""
    having = sum(any(finding.code == code for finding in findings) for _, findings in look.findings)
    total = len(look.found)
    return f"{sentence} in {total - having} of {total} frames" if total else None


def _intrinsics(look: Look) -> str | None:
    if not look.cameras:
        return None
    camera = look.cameras[0]
    (fx, _, cx), (_, fy, cy) = np.asarray(camera.K)[:2].tolist()
    angle = math.degrees(2 * math.atan(camera.width / (2 * fx)))
    changes = len({np.asarray(other.K).tobytes() for other in look.cameras}) > 1
    return (
        f"{camera.width}x{camera.height}, fx {fx:.0f}, fy {fy:.0f}, centre ({cx:.0f}, {cy:.0f}) px; {angle:.0f} "
        f"degrees across{'; they change' if changes else ''}"
    )


def _distortion(look: Look) -> str | None:
    notes = [finding for _, findings in look.findings for finding in findings if finding.code == "undistorted"]
    if not notes:
        return None
    largest = max(float(note.values["largest_shift_px"]) for note in notes)
    return f"undone, by up to {largest:.1f} px"


def _channels(look: Look) -> str | None:
    return f"skin is {math.exp(np.median(look.redness)):.1f} times as red as blue" if look.redness else None


def _timing(look: Look) -> str | None:
    timing = look.timing
    if not timing.moving:
        return None
    repeated = f"{len(timing.frozen)} of {timing.compared} frames repeat the depth before"
    if not timing.lags:
        return f"{repeated}; their motion does not show whether depth is late"
    lag = round(float(np.median([lag for lag, _ in timing.lags])), 1)
    return f"{repeated}; depth is {abs(lag):.1f} frames {'ahead of' if lag < 0 else 'behind'} colour"


def _holes(look: Look) -> str | None:
    if not look.hands:
        return None
    return (
        f"{np.median([hand.holes for hand in look.hands]):.0%} of a palm has no reading (whole image: "
        f"{np.median(look.unmeasured):.0%})"
    )


def _distance(look: Look) -> str | None:
    near_to_far = _spread([hand.distance for hand in look.hands if hand.is_hand], ".2f")
    return None if near_to_far is None else f"hands are {near_to_far} m away"


def _image_size(look: Look) -> str | None:
    small_to_large = _spread([hand.size for hand in look.hands if hand.is_hand], ".0f")
    return None if small_to_large is None else f"hands are {small_to_large} px long"


def _people(look: Look) -> str | None:
    several = sum(any(finding.code in PEOPLE for finding in findings) for _, findings in look.findings)
    return f"more than one person's hands in {several} of {len(look.found)} frames" if look.hands else None


def _exposure(look: Look) -> str | None:
    if not look.hands:
        return None
    bright, white = (np.median([getattr(hand, name) for hand in look.hands]) for name in ("brightness", "saturated"))
    return f"hands have {bright:.0%} of full brightness, {white:.0%} of their pixels are white"


def _blur(look: Look) -> str | None:
    if not look.hands:
        return None
    return f"the hands' blur is {np.median([hand.blur for hand in look.hands]):.2f}; sharp ones are below {BLURRED:g}"


def _rate(look: Look) -> str | None:
    rate = frame_rate(look.seconds)
    if rate is None:
        return None
    return f"{rate.fps:.3g} frames a second, {rate.missing} of {len(look.seconds) + rate.missing} missing"


def _spread(values: Sequence[float], form: str) -> str | None:
    """Return 5 and 95 % of some values as text."""
    if not values:
        return None
    low, high = np.percentile(values, (5, 95))
    return f"{low:{form}} to {high:{form}}"


def _quantile(counts: np.ndarray, fraction: float) -> float:
    """Return a quantile in metres of depth that was counted in bins."""
    total = np.cumsum(counts)
    return float((np.searchsorted(total, fraction * total[-1]) + 0.5) * BIN)


_LINES = (
    _Line("frames", ("unreadable_frame", "unusable_frame"), _readable),
    _Line("hands", ("no_hands",), _hands),
    _Line("unit of depth", ("depth_unit",), _unit, ("no depth could be read", "")),
    _Line("depth on colour", ("depth_not_registered",), _registration, ("no frame could be read", "")),
    _Line("mirrored", ("depth_mirrored",), _mirror, ("no frame could be read", "")),
    _Line("intrinsics", ("intrinsics_",), _intrinsics, ("no frame could be read", "")),
    _Line(
        "lens distortion",
        (),
        _distortion,
        (
            "no coefficients were given",
            "if straight edges look bent, give a calibration with coefficients (--intrinsics)",
        ),
    ),
    _Line(
        "size of hands",
        ("hand_size",),
        _sizes,
        (f"fewer than {FEW} frames with hands that show it", ""),
    ),
    _Line("red and blue", ("blue_first", "grey_image"), _channels),
    _Line("depth in time", ("depth_frozen", "depth_late", "depth_early"), _timing, ("nothing moves", "")),
    _Line("depth on hands", ("holes_on_hands",), _holes),
    _Line("distance", ("hands_out_of_range",), _distance, ("no clearly visible hands", "")),
    _Line("hands in image", ("hands_small",), _image_size, ("no clearly visible hands", "")),
    _Line("people", PEOPLE, _people),
    _Line("exposure", ("too_dark", "overexposed"), _exposure),
    _Line("sharpness", ("blurred",), _blur),
    _Line(
        "frame rate",
        ("dropped_frames", "times_out_of_order"),
        _rate,
        ("no time stamps", "if times are needed, give --fps, or frames.csv in a folder"),
    ),
)
