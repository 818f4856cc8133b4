"""Measure how well the hands of a frame can be seen: their size, distance, readings, light and sharpness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter1d

from twohands.checks.around_hand import palm_depth
from twohands.findings import Finding
from twohands.types import RGBDFrame, TwoHands

HOLES = 0.4
"""Smallest fraction of the palm without a reading. Contours and fingers lose readings on every hand."""
RANGE = (0.17, 1.5)
"""Distances in metres at which depth cameras measure hands well."""
SMALL, SMALL_IN_DEPTH = 40.0, 20.0
"""Longest side of the box around a small hand in pixels of colour, and in pixels of depth that was enlarged."""
DARK, SATURATED = 0.1, 0.3
"""Median of the brightest channel of a dark hand; fraction of the pixels of a bright one that are white. Of an image in
which no hand is found, 95 % of the pixels are as dark, or this fraction is white."""
BLURRED = 0.6
"""Smallest blur, see `blur_of`, of a blurred hand."""
_END = 0.985  # of a channel, from which it is saturated
_ACROSS = 160  # pixels along the box of a larger hand when its blur is measured
_WINDOW = 9  # pixels of the filter that measures it
_FEWEST = 20  # pixels of a hand in the image from which it is judged


@dataclass(frozen=True)
class SeenHand:
    """One hand as the cameras see it."""

    size: float  # pixels, longer side of the box around its joints
    distance: float  # metres, median of its joints
    holes: float  # fraction of its palm without a reading
    brightness: float  # median of the brightest channel, in [0, 1]
    saturated: float  # fraction of its pixels with all channels at the end of their range
    blur: float  # see `blur_of`
    is_hand: bool = True  # there is hardly a doubt that it is one


def seen_hands(frame: RGBDFrame, hands: TwoHands, sides: Sequence[int], odd: np.ndarray) -> list[SeenHand]:
    """Return how the hands of these sides are seen, without those that are mostly outside the image.

    odd (2,) bool: hands of a size that hardly any adult has. One that is doubtful as well may be something else. A
    doubtful hand of a usual size may be one that is far away, dark or blurred.
    """
    found = []
    for side in sides:
        pixels = hand_pixels(frame, hands, side)
        if len(pixels) < _FEWEST:
            continue
        column, row = pixels.T
        colours = frame.rgb[:, row, column]
        joints = np.asarray(hands.joints[side], np.float64)
        corners = frame.camera.project(joints)
        low, high = corners.min(axis=0), corners.max(axis=0)
        found.append(
            SeenHand(
                size=float((high - low).max()),
                distance=float(np.median(joints[:, 2])),
                holes=_holes(palm_depth(corners, np.asarray(frame.depth))),
                brightness=float(np.median(colours.max(axis=0))),
                saturated=float(np.mean(colours.min(axis=0) >= _END)),
                blur=_blur_in_box(frame, low, high),
                is_hand=not (hands.doubtful[side] and odd[side]),
            )
        )
    return found


def _holes(depth: np.ndarray) -> float:
    """Return the fraction of depth (n,) without a reading; 0 of a palm outside the image."""
    return float(np.mean(depth == 0)) if len(depth) else 0.0


def hand_pixels(frame: RGBDFrame, hands: TwoHands, side: int) -> np.ndarray:
    """Return the pixels (N, 2) of the image, column and row, in which vertices of a hand lie, or its joints."""
    surface = hands.joints if hands.vertices is None else hands.vertices
    pixels = np.rint(frame.camera.project(np.asarray(surface[side], np.float64))).astype(np.int64)
    inside = ((pixels >= 0) & (pixels < [frame.camera.width, frame.camera.height])).all(axis=1)
    return np.unique(pixels[inside], axis=0)


def check_seen(frame: RGBDFrame, seen: Sequence[SeenHand]) -> list[Finding]:
    """Return the warnings about how the hands of a frame are seen, each about the worst of them.

    Without hands they are about the light of the whole image, in which none may be found for this reason.
    """
    if not seen:
        return _light(frame)
    low, high = RANGE
    enlarged = [finding.values for finding in frame.findings if finding.code == "depth_enlarged"]
    coarse = float(enlarged[0]["width_px"]) / frame.camera.width if enlarged else 1.0
    holes = max(hand.holes for hand in seen)
    sure = [hand for hand in seen if hand.is_hand]
    near, far = min((hand.distance for hand in sure), default=low), max((hand.distance for hand in sure), default=high)
    small = min((hand.size for hand in sure), default=np.inf)
    dark, bright = min(hand.brightness for hand in seen), max(hand.saturated for hand in seen)
    blur = min(hand.blur for hand in seen)
    found = []
    if holes >= HOLES:
        sentence = (
            f"{holes:.0%} of a palm has no depth; keep the hands farther away than the sensor's nearest "
            "distance and out of direct sunlight, take off gloves that absorb infrared light, and raise the laser's "
            "power or the exposure of depth"
        )
        found.append(_warning("holes_on_hands", sentence, fraction=holes))
    if near < low or far > high:
        where, how = (near, "too near for most depth cameras") if near < low else (far, "far for a depth camera")
        sentence = (
            f"a hand is {where:.2f} m away, {how}; keep the hands between {low:g} and {high:g} m, and check the depth "
            "unit if they were"
        )
        found.append(_warning("hands_out_of_range", sentence, distance_m=where))
    if small < SMALL or (coarse < 1 and small * coarse < SMALL_IN_DEPTH):
        depth = f" and {small * coarse:.0f} px of depth" if coarse < 1 else ""
        sentence = (
            f"a hand is only {small:.0f} px{depth} long in the image; bring the camera nearer, or record with a higher "
            "resolution or a longer focal length"
        )
        found.append(_warning("hands_small", sentence, size_px=small))
    found += _exposure("a hand", dark, f"{dark:.0%} of full brightness", bright)
    if blur >= BLURRED:
        sentence = (
            f"the hands are blurred ({blur:.2f}; sharp ones are below {BLURRED:g}); shorten the exposure and give more "
            "light, and focus on the hands"
        )
        found.append(_warning("blurred", sentence, blur=blur))
    return found


def _light(frame: RGBDFrame) -> list[Finding]:
    """Return the warnings about an image that is too dark or too bright to find hands in it."""
    dark, bright = float(np.percentile(frame.rgb.max(axis=0), 95)), float(np.mean(frame.rgb.min(axis=0) >= _END))
    return _exposure("the image", dark, f"at most {dark:.0%} of full brightness in 95% of it", bright)


def _exposure(subject: str, dark: float, brightness: str, bright: float) -> list[Finding]:
    """Return the warnings that `subject` is too dark, with its `brightness` in words, or that it is too white."""
    found = []
    if dark <= DARK:
        sentence = f"{subject} is nearly black ({brightness}); give more light or a longer exposure"
        found.append(_warning("too_dark", sentence, brightness=dark))
    if bright >= SATURATED:
        remedy = "shorten the exposure, or turn the lamp away from the hands"
        sentence = f"{bright:.0%} of {subject} is overexposed; {remedy}"
        found.append(_warning("overexposed", sentence, fraction=bright))
    return found


def blur_of(luma: np.ndarray) -> float:
    """Return the blur of an image (H, W) in [0, 1], along the axis on which it is more: what a further blur leaves.

    A blur takes little from the differences of neighbouring pixels of an image that is blurred already (Crete et al.,
    "The blur effect", 2007).
    """
    kept = []
    for axis in (0, 1):
        differences = np.abs(np.diff(luma, axis=axis))
        after = np.abs(np.diff(uniform_filter1d(luma, _WINDOW, axis=axis), axis=axis))
        taken = np.maximum(differences - after, 0).sum()
        kept.append(1 - float(taken / max(float(differences.sum()), 1e-9)))
    return max(kept)


def _blur_in_box(frame: RGBDFrame, low: np.ndarray, high: np.ndarray) -> float:
    """Return the blur of the image in a hand's box, reduced for large hands; 0 where hardly any of it is seen."""
    size = float((high - low).max())
    limits = np.array([frame.camera.width, frame.camera.height])
    left, top = np.clip((low + high - 1.2 * size) / 2, 0, limits).astype(int).tolist()
    right, bottom = np.clip((low + high + 1.2 * size) / 2 + 1, 0, limits).astype(int).tolist()
    if min(right - left, bottom - top) < size / 4:
        return 0.0
    luma = Image.fromarray(np.ascontiguousarray(frame.rgb[:, top:bottom, left:right].mean(axis=0), np.float32))
    factor = min(_ACROSS / size, 1.0)
    width, height = (max(_WINDOW, round(side * factor)) for side in luma.size)
    return blur_of(np.asarray(luma.resize((width, height), Image.Resampling.BOX)))


def _warning(code: str, sentence: str, **values: float) -> Finding:
    return Finding(code, "warning", sentence, {name: round(value, 4) for name, value in values.items()})
