"""Compare depth and colour over consecutive frames of a recording: frozen depth, and depth that is late or early.

Both images are reduced to means of square blocks. The change of a block from one frame to the next is its motion in
colour and in depth. Where depth belongs to other colour frames than it is paired with, the two motions agree best with
a lag between them.
"""

from __future__ import annotations

import json
from collections import deque
from typing import NamedTuple

import numpy as np

from twohands.findings import Finding
from twohands.types import RGBDFrame

BLOCK_ROWS = 45
"""Number of rows of blocks: a block of 16 pixels at 720 rows, about the way of a hand from one frame to the next."""
KNOWN = 0.5
"""Smallest fraction of a block with a reading for its depth to count."""
MOVED, MOVED_NOISE, MOVED_BLOCKS = (0.03, 0.1), 6.0, 8
"""Colour moves if this many blocks change by MOVED_NOISE times the median change, at least and at most MOVED of the
mean brightness."""
SAME_SCENE = 0.7
"""Smallest correlation of the colour of two frames that show one scene: motion between others means nothing."""
FROZEN = 0.01
"""Smallest fraction of the frames whose depth is that of the frame before although colour moves."""
LAGS = 6
"""Largest lag that is tried, frames; a best lag at this end is not clear."""
STRETCH, SHORTEST = 60, 20
"""Number of frames whose motion is compared at once, and the smallest number."""
CORRELATION, CLEAR, OFF, SURPLUS = 0.12, 0.75, 0.75, 0.4
"""A lag is clear if the correlation of the two motions there is CORRELATION, and elsewhere (but beside it) at most
CLEAR of that. Depth is late or early from a lag of OFF frames, between those of whole frames, at which the correlation
exceeds that without a lag by SURPLUS / sqrt(frames): 56 rendered validation sequences of 22 frames whose depth is
neither late nor early have at most 0.38."""
USUAL = 0.2
"""Smallest fraction of the stretches with a clear lag that are late, or early, for a finding."""


TIMING = ("depth_frozen", "depth_late", "depth_early")
"""Codes of the findings about the timing."""


class Blocks(NamedTuple):
    """Means over the blocks of a frame."""

    colour: np.ndarray  # (h, w) green over its mean, so that a change of the exposure is no motion
    nearness: np.ndarray  # (h, w) 1 / depth, 1 / metres; NaN where less than KNOWN is measured


class DepthTiming:
    """Comparison of the motion in depth and colour over the frames of a recording, given in their order."""

    def __init__(self):
        self.compared = self.moving = 0
        """Number of frames that were compared with the one before, and of those in which colour moves."""
        self.frozen: list[str] = []
        """Names of the frames with the depth of the one before although colour moves."""
        self.lags: list[tuple[float, str]] = []
        """Clear lags of depth behind colour, frames, and the first frame of each stretch."""
        self._last: tuple[int, Blocks, np.ndarray] | None = None
        self._motion: deque[tuple[str, np.ndarray, np.ndarray]] = deque()
        self._held = False

    def observe(self, index: int, name: str, frame: RGBDFrame) -> None:
        """Compare frame `index` of the recording with the one before, if that was the last one observed."""
        blocks, depth = _blocks(frame), np.asarray(frame.depth)
        last, self._last = self._last, (index, blocks, depth)
        if last is None or last[0] != index - 1 or last[2].shape != depth.shape:
            self._finish_stretch()
            self._held = False
            return
        self.compared += 1
        colour = np.abs(blocks.colour - last[1].colour)
        moves = (colour > np.clip(MOVED_NOISE * np.median(colour), *MOVED)).sum() >= MOVED_BLOCKS
        self.moving += bool(moves)
        same = np.array_equal(depth, last[2])
        if same and moves:
            self.frozen.append(name)
        held, self._held = self._held, same
        if not _alike(blocks.colour, last[1].colour):
            self._finish_stretch()
            return
        nearness = np.abs(blocks.nearness - last[1].nearness)
        if same or held:  # no motion, then that of several frames at once
            nearness = np.full_like(nearness, np.nan)
        self._motion.append((name, colour, nearness))
        if len(self._motion) == STRETCH:
            self._finish_stretch()

    def findings(self) -> list[Finding]:
        """Return `depth_frozen`, and `depth_late` or `depth_early`, about the frames observed so far."""
        self._finish_stretch()
        found = []
        if len(self.frozen) >= max(1, FROZEN * self.compared):
            found.append(_frozen(self.frozen, self.compared))
        for code, sign in (("depth_late", 1), ("depth_early", -1)):
            off = [(sign * lag, name) for lag, name in self.lags if sign * lag >= OFF]
            if off and len(off) >= USUAL * len(self.lags):
                found.append(_off(code, off, len(self.lags)))
        return found

    def record(self) -> str:
        """Return what was found so far as JSON."""
        self._finish_stretch()
        return json.dumps([self.compared, self.moving, self.frozen, self.lags])

    def add(self, record: str) -> None:
        """Add what another part of the recording had, see `record`."""
        compared, moving, frozen, lags = json.loads(record)
        self.compared, self.moving = self.compared + compared, self.moving + moving
        self.frozen += frozen
        self.lags += [(lag, name) for lag, name in lags]

    def _finish_stretch(self) -> None:
        if len(self._motion) >= SHORTEST:
            names, colour, nearness = zip(*self._motion, strict=True)
            lag = clear_lag(np.stack(colour), np.stack(nearness))
            if lag is not None:
                self.lags.append((lag, names[0]))
        self._motion.clear()


def _alike(colour: np.ndarray, other: np.ndarray) -> bool:
    first, second = colour - colour.mean(), other - other.mean()
    return bool(np.vdot(first, second) >= SAME_SCENE * np.sqrt(np.vdot(first, first) * np.vdot(second, second)))


def clear_lag(colour: np.ndarray, depth: np.ndarray) -> float | None:
    """Return the lag of depth behind colour in frames, between those of whole frames; None if it is not clear.

    colour, depth (N, h, w): motion of the blocks in N frames; NaN where the motion in depth is unknown.
    """
    lags = correlations(colour, depth)
    best = int(np.argmax(lags))
    if lags[best] < CORRELATION or best in (0, len(lags) - 1):
        return None
    away = np.delete(lags, [best - 1, best, best + 1])
    if away.max() > CLEAR * lags[best]:
        return None
    before, peak, after = lags[best - 1 : best + 2]
    lag = best - LAGS + 0.5 * float((before - after) / (before - 2 * peak + after))  # vertex of the parabola
    is_sure = (peak - lags[LAGS]) * np.sqrt(len(colour)) >= SURPLUS
    return lag if is_sure or abs(lag) < OFF else None


def correlations(colour: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return the correlations (2 LAGS + 1,) of the motion in colour with that in depth -LAGS to LAGS frames later.

    What a block always has is taken off, so that places where something moves all the time do not agree at every lag.
    """
    colour, depth = (_centred(values) for values in (colour, depth))
    count, result = len(colour), []
    for lag in range(-LAGS, LAGS + 1):
        first, second = colour[max(0, -lag) : count - max(0, lag)], depth[max(0, lag) : count - max(0, -lag)]
        spread = float(np.sqrt(np.vdot(first, first) * np.vdot(second, second)))
        result.append(float(np.vdot(first, second)) / spread if spread > 0 else 0.0)
    return np.array(result)


def _centred(motion: np.ndarray) -> np.ndarray:
    """Return motion (N, h, w) less each block's mean over time, 0 where it is unknown; rare large values are cut."""
    known = np.isfinite(motion)
    if not known.any():
        return np.zeros_like(motion)
    cut = np.minimum(np.where(known, motion, 0.0), np.percentile(motion[known], 99.5))
    return np.where(known, cut - cut.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0.0)


def _blocks(frame: RGBDFrame) -> Blocks:
    side = max(1, round(frame.depth.shape[-2] / BLOCK_ROWS))
    colour, depth = _means(frame.rgb[1], side), _means(frame.depth, side)
    known = _means(np.asarray(frame.depth > 0, dtype=np.float32), side)
    measured = known >= KNOWN
    nearness = np.full_like(depth, np.nan)
    nearness[measured] = known[measured] / depth[measured]
    return Blocks(colour / max(float(colour.mean()), 1e-3), nearness)


def _means(plane: np.ndarray, side: int) -> np.ndarray:
    """Return means over blocks of `side` x `side` pixels of a plane (H, W); what is left over is not used."""
    rows, columns = plane.shape[0] // side, plane.shape[1] // side
    sums = plane[: rows * side, : columns * side].reshape(rows, side, -1).sum(axis=1)
    return sums.reshape(rows, columns, side).sum(axis=2) / np.float32(side * side)


def _frozen(frames: list[str], compared: int) -> Finding:
    sentence = (
        f"depth is frozen: {len(frames)} of {compared} frames have exactly the depth of the frame before while colour "
        f"moves, first {frames[0]}; the recorder repeated depth frames, so record only frames for which new depth has "
        "come (wait for synchronised frames), or pair the files by time stamp and leave out what has no partner"
    )
    values = {"frames": float(len(frames)), "compared": float(compared), "first_frame": frames[0]}
    return Finding("depth_frozen", "warning", sentence, values)


def _off(code: str, stretches: list[tuple[float, str]], compared: int) -> Finding:
    lag, first = float(np.median([lag for lag, _ in stretches])), stretches[0][1]
    word = "behind" if code == "depth_late" else "ahead of"
    sentence = (
        f"depth is {code.removeprefix('depth_')}: what moves in depth is {lag:.1f} frames {word} what moves in colour, "
        f"in {len(stretches)} of {compared} stretches of the recording, first from frame {first}; pair colour and "
        "depth by time stamp, and switch on frame synchronisation when you record"
    )
    values = {"lag_frames": lag if code == "depth_late" else -lag, "stretches": float(len(stretches))}
    return Finding(code, "warning", sentence, {**values, "compared": float(compared), "first_frame": first})
