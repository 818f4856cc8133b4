"""Compare the depth on a hand with that around it."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation

from twohands.findings import Finding
from twohands.hands.skeleton import BONES, PALM

ENOUGH_ON_BONES = 60
"""Smallest number of readings at the 160 places on the bones of a hand."""
STEP, BEHIND = 0.04, 0.15
"""Relative step of depth, and smallest fraction of a hand's surroundings that are nearer by it, of inverted depth."""
FLAT, ON_PLANE = 0.3, 0.015
"""Smallest fraction of the surroundings of a shadow or a picture of a hand that lies on its plane, and the relative
distance up to which a reading does. On rendered validation frames at most 0.18 of a hand's surroundings do."""
READ, NEARER = 0.2, 0.8
"""Fraction of the places on a hand with a reading below which it is one without, and distance of the surroundings of
such a hand, over its own, up to which it would be behind them. Rendered validation frames have at least 0.24 on hands.
"""
_SAME_SURFACE = 0.15  # logarithm of the largest depth over the median of readings of one surface
_GRID = 40  # places along a hand that is as many pixels long or longer
_AROUND, _BESIDE = 0.4, 0.12  # margin of its box, and what still belongs to it, in its size
_FEWEST = 20  # readings around a hand from which it is judged


def check_order(pixels: np.ndarray, depth: np.ndarray) -> list[Finding]:
    """Return the finding `depth_inverted` if all hands are farther than what is around them.

    pixels (2, 21, 2) image landmarks, NaN for an absent hand; depth (H, W) metres. Shadows of hands do not count.
    """
    hands = [_surroundings(hand, depth) for hand in pixels if np.isfinite(hand).all()]
    known = [fractions for fractions in hands if fractions is not None]
    if not known or any(nearer < BEHIND or nearer < 2 * farther for nearer, farther in known):
        return []
    nearer, farther = (float(fraction) for fraction in np.mean(known, axis=0))
    sentence = (
        f"the hands lie behind what is around them ({nearer:.0%} of it is nearer, {farther:.0%} farther), as if large "
        "values were near: disparity, inverse or inverted depth; give distances from the camera (of a stereo camera "
        "focal length x baseline / disparity)"
    )
    values = {"nearer": round(nearer, 4), "farther": round(farther, 4)}
    return [Finding("depth_inverted", "warning", sentence, values)]


def _surroundings(pixels: np.ndarray, depth: np.ndarray) -> tuple[float, float] | None:
    """Return the fractions of the readings around a hand (21, 2) that are nearer than it, and farther, by STEP.

    None without enough readings on its bones, and for a shadow.
    """
    hand = depth_at(bone_places(pixels), depth)
    hand = hand[hand > 0]
    if len(hand) < ENOUGH_ON_BONES or not stands_out(pixels, depth, float(np.median(hand))):
        return None
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    margin = (high - low).max() / 4
    left, top = np.clip(low - margin, 0, None).astype(int).tolist()
    right, bottom = np.clip(high + margin + 1, 0, None).astype(int).tolist()
    around = depth[top:bottom, left:right]
    around = around[around > 0]
    near, far = np.percentile(hand, (15, 85))
    return float(np.mean(around < near * (1 - STEP))), float(np.mean(around > far * (1 + STEP)))


def stands_out(pixels: np.ndarray, depth: np.ndarray, distance: float) -> bool:
    """Return whether a hand is something that stands out: False for a shadow or a picture of one.

    pixels (21, 2): landmarks of the hand at `distance` metres; depth (H, W) metres. Shadows and pictures lie in a
    surface that goes on around them. The plane through the readings on the hand is linear in 1 / z; most of a hand's
    surroundings are not on it. Without readings the place may be in the shadow of the depth camera's light: then what
    is around it is nearer than the hand.
    """
    window, places = _around(depth, pixels)
    on = np.zeros(window.shape, bool)
    on[places[:, 1], places[:, 0]] = True
    size = float(np.ptp(places, axis=0).max()) if len(places) else 0.0
    around = np.logical_not(binary_dilation(on, iterations=max(1, round(_BESIDE * size))))
    own, readings = on & (window > 0), window[around & (window > 0)]
    if own.sum() < max(READ * on.sum(), _FEWEST / 2) or around.sum() < _FEWEST:
        return not len(readings) or float(np.median(readings)) > NEARER * distance
    own &= np.abs(np.log(np.where(own, window, 1.0) / np.median(window[own]))) < _SAME_SURFACE
    row, column = np.mgrid[: window.shape[0], : window.shape[1]]
    plane = _plane(column[own], row[own], 1 / window[own])
    expected = plane[0] * column + plane[1] * row + plane[2]
    return float(np.mean(((window > 0) & (np.abs(window * expected - 1) < ON_PLANE))[around])) < FLAT


def _around(depth: np.ndarray, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return depth (h, w) around landmarks (21, 2), at most 2 _GRID places a hand, and places (n, 2) on its bones."""
    limits, (low, high) = np.array(depth.shape[::-1]), (pixels.min(axis=0), pixels.max(axis=0))
    size = float((high - low).max())
    step = max(1, int(size / _GRID))
    left, top = np.clip(np.floor(low - _AROUND * size), 0, limits - 1).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high + _AROUND * size), 1, limits).astype(int).tolist()
    window = depth[top:bottom:step, left:right:step]
    places = np.rint((bone_places(pixels) - [left, top]) / step).astype(int)
    return window, places[((places >= 0) & (places < window.shape[::-1])).all(axis=1)]


def _plane(column: np.ndarray, row: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the coefficients (3,) of column, row and 1 that give most of the positive values (n,), to 0.3 %."""
    known, weights = np.column_stack([column, row, np.ones(len(row))]), np.ones(len(row))
    plane = np.zeros(3)
    for _ in range(5):
        plane = np.linalg.lstsq(known * weights[:, None], values * weights, rcond=None)[0]
        weights = 1 / np.sqrt(np.maximum(np.abs(known @ plane / values - 1), 0.003))
    return plane


def bone_places(pixels: np.ndarray) -> np.ndarray:
    """Return places (160, 2) in the image on the bones of a hand with landmarks (21, 2), eight on each."""
    parents, joints = (pixels[list(ends)] for ends in zip(*BONES, strict=True))
    along = np.linspace(0, 1, 8)[:, None, None]
    return ((1 - along) * parents + along * joints).reshape(-1, 2)


def palm_depth(pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the depth (n,) in metres at places on the palm inside the image, 0 without a reading.

    pixels (21, 2): landmarks of one hand. The places are a grid of 20 x 20 from the wrist to the knuckles, without the
    contour, where depth cameras lose readings on every hand.
    """
    corners = pixels[PALM]
    fractions = np.linspace(0.1, 0.9, 20)
    origin, rest = corners[0], corners[1:]
    across = np.stack(
        [np.interp(np.linspace(0, len(rest) - 1, 20), np.arange(len(rest)), rest[:, k]) for k in (0, 1)], 1
    )
    return depth_at((origin + fractions[:, None, None] * (across - origin)).reshape(-1, 2), depth)


def depth_at(places: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the depth (n,) in metres at those of the places (N, 2) that are inside the image, 0 without a reading."""
    pixels = np.rint(places).astype(np.int64)
    inside = ((pixels >= 0) & (pixels < [depth.shape[1], depth.shape[0]])).all(axis=1)
    return depth[pixels[inside, 1], pixels[inside, 0]]
