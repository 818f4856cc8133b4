"""Follow the hands of one person from frame to frame: search where they are expected, and keep their sides.

The whole frame is searched while a hand is lost, and now and then while fewer than two are known. Sides are remembered:
the log-odds of all frames add up, so that only the evidence of several frames can exchange the hands. Where the hands
are so near to each other that either may be the other one, less is remembered.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from twohands.locate.sides import Candidates, odds_alone, side_odds
from twohands.types import RIGHT, LocatedHands, RGBDFrame

BEAT = 10
"""Number of frames after which the whole frame is searched again while fewer than two hands are known."""
MEMORY, NEAR_MEMORY, WEIGHT = 0.97, 0.8, 0.3
"""Part of the log-odds of a side that lasts to the next frame; the same while the hand may be one of two known ones;
and weight of those of a frame, since frames that follow each other are alike. All at RATE frames a second."""
RATE, FEWEST = 30.0, 0.25
"""Frames a second, and the smallest time between two frames, in such frames, that counts: clocks may stand still."""
MOST_ODDS = 8.0
"""Largest size of the log-odds of a side."""
LONGEST_STEP = 0.2
"""Seconds between frames above which a hand is not expected where its velocity would bring it."""
SAME_HAND = 1.0
"""Largest mean distance of the landmarks of one hand in two frames, in hand lengths."""
REMEMBERED = 0.5
"""Seconds for which a lost hand is searched for in every frame, and its place and side are remembered."""


class Locator(Protocol):
    """A locator that can look where hands are expected."""

    def find(self, frame: RGBDFrame, known: Candidates | None = None) -> Candidates:
        """Return all hands that are seen, the known ones included."""
        ...

    def follow(self, frame: RGBDFrame, known: Candidates) -> Candidates:
        """Return those of the known hands that are seen near where they are expected."""
        ...

    def choose(self, frame: RGBDFrame, hands: Candidates) -> LocatedHands:
        """Return the hands of one person."""
        ...


@dataclass(frozen=True)
class Seen:
    """The hands of a frame and its time."""

    hands: Candidates
    seconds: float


class Follower:
    """Function from a frame to LocatedHands that remembers the frames before; `at` tells the time of the next one."""

    def __init__(self, locator: Locator):
        self.locator = locator
        self.forget()

    def forget(self) -> None:
        """Begin anew, as at the start of a recording."""
        self.last: Seen | None = None
        self.before: Seen | None = None
        self.lost: list[Seen] = []
        """Single hands that were seen a moment ago."""
        self.seconds, self.count = 0.0, 0

    def memory(self) -> np.ndarray:
        """Return what is remembered as bytes (N,) uint8, for a run that is interrupted."""
        arrays: dict[str, Any] = {"count": np.array(self.count)}
        lost = {f"lost{number}": seen for number, seen in enumerate(self.lost)}
        for name, seen in {"last": self.last, "before": self.before, **lost}.items():
            if seen is not None:
                arrays[f"{name}.seconds"] = np.array(seen.seconds)
                arrays |= {f"{name}.{key}": value for key, value in vars(seen.hands).items() if value is not None}
        stream = io.BytesIO()
        np.savez(stream, **arrays)
        return np.frombuffer(stream.getvalue(), dtype=np.uint8)

    def recall(self, memory: np.ndarray) -> None:
        """Go on from what `memory` returned."""
        with np.load(io.BytesIO(memory.tobytes())) as archive:
            arrays = {name: archive[name] for name in archive.files}
        self.count = int(arrays.pop("count"))
        found: dict[str, Seen | None] = {}
        lost = sorted({key.partition(".")[0] for key in arrays if key.startswith("lost")}, key=lambda key: int(key[4:]))
        for name in ("last", "before", *lost):
            own = {key.partition(".")[2]: value for key, value in arrays.items() if key.startswith(f"{name}.")}
            seconds = own.pop("seconds", None)
            found[name] = None if seconds is None else Seen(Candidates(**own), float(seconds))
        self.last, self.before = found["last"], found["before"]
        self.lost = [seen for name in lost if (seen := found[name]) is not None]

    def at(self, seconds: float) -> None:
        """Set the time of the next frame."""
        self.seconds = seconds

    def __call__(self, frame: RGBDFrame) -> LocatedHands:
        """Return the hands of the person in this frame."""
        known = self._expected()
        hands = known if known is None or not len(known.present) else self.locator.follow(frame, known)
        count = 0 if hands is None else len(hands.present)
        lost = count == 0 or bool(self.lost) or (known is not None and count < len(known.present))
        if hands is None or (count < 2 and (lost or self.count % BEAT == 0)):
            hands = self.locator.find(frame, hands)
        self.count += 1
        self.lost = [seen for seen in self.lost if self.seconds - seen.seconds < REMEMBERED]
        for seen in self.lost:
            known = seen.hands if known is None else known + seen.hands
        step = 0.0 if self.last is None else self.seconds - self.last.seconds
        hands = _remembering(hands, known, max(step * RATE, FEWEST))
        located = self.locator.choose(frame, hands)
        self._remember(Seen(_chosen(hands, located), self.seconds))
        return located

    def _remember(self, now: Seen) -> None:
        """Keep the hands of this frame, and those of frames before that are not among them."""
        earlier = [*self.lost, *([] if self.last is None else _apart(self.last))]
        self.lost = [seen for seen in earlier if _same(seen.hands, now.hands)[0] is None]
        self.before, self.last = self.last, now

    def _expected(self) -> Candidates | None:
        """Return the hands of the last frame where they should be now; None before the first frame."""
        if self.last is None:
            return None
        hands, seconds = self.last.hands, self.last.seconds
        step = self.seconds - seconds
        if self.before is None or not 0 < step < LONGEST_STEP or seconds <= self.before.seconds:
            return hands
        ratio = step / (seconds - self.before.seconds)
        return _moved(hands, self.before.hands, min(ratio, 2.0))


def _apart(seen: Seen) -> list[Seen]:
    """Return the hands of a frame one by one."""
    return [Seen(seen.hands[[hand]], seen.seconds) for hand in range(len(seen.hands.present))]


def _moved(hands: Candidates, before: Candidates, ratio: float) -> Candidates:
    """Return hands moved on by `ratio` times their way from the frame before, if they were seen there."""
    pixels, region = hands.pixels.copy(), hands.region.copy()
    joints = None if hands.joints is None else hands.joints.copy()
    for hand, other in enumerate(_same(hands, before)):
        if other is None:
            continue
        way = ratio * (hands.pixels[hand] - before.pixels[other]).mean(axis=0)
        pixels[hand] += way
        region[hand, :2] += way
        if joints is not None and hands.joints is not None and before.joints is not None:
            joints[hand] += ratio * (hands.joints[hand] - before.joints[other]).mean(axis=0)
    return replace(hands, pixels=pixels, region=region, joints=joints)


def _remembering(hands: Candidates, known: Candidates | None, steps: float) -> Candidates:
    """Return hands with the log-odds of a right hand of this frame and of the frames before, `steps` frames at RATE
    after the last one.
    """
    odds, alone = np.array(side_odds(hands), float), np.array(odds_alone(hands), float)
    if known is not None and known.odds is not None:
        candidates = (_away(hands, known) < SAME_HAND).sum(axis=1)
        for hand, other in enumerate(_same(hands, known)):
            if other is not None:
                memory = (MEMORY if candidates[hand] == 1 else NEAR_MEMORY) ** steps
                weight = min(WEIGHT * steps, 1.0)
                odds[hand] = weight * odds[hand] + memory * known.odds[other]
                alone[hand] = weight * alone[hand] + memory * odds_alone(known)[other]
    odds, alone = (np.clip(both, -MOST_ODDS, MOST_ODDS) for both in (odds, alone))
    return replace(hands, odds=odds, alone=None if hands.alone is None else alone)


def _away(hands: Candidates, others: Candidates) -> np.ndarray:
    """Return the mean distances (N, M) of the landmarks of N and M hands, in lengths of the latter."""
    away = np.linalg.norm(hands.pixels[:, None] - others.pixels[None], axis=-1).mean(axis=-1)
    return away / np.maximum(np.ptp(others.pixels, axis=1).max(axis=-1), 1)


def _same(hands: Candidates, others: Candidates) -> list[int | None]:
    """Return for each hand the other frame's nearest one, if it can be the same hand; none is given twice."""
    found: list[int | None] = [None] * len(hands.present)
    if not len(hands.present) or not len(others.present):
        return found
    away = _away(hands, others)
    for _ in range(min(away.shape)):
        hand, other = np.unravel_index(away.argmin(), away.shape)
        if away[hand, other] > SAME_HAND:
            break
        found[int(hand)] = int(other)
        away[hand], away[:, other] = np.inf, np.inf
    return found


def _chosen(hands: Candidates, located: LocatedHands) -> Candidates:
    """Return the candidates that were chosen, with the sign of their log-odds that of their side.

    A pair shares what speaks for its sides, since one hand is left and the other right, and so does what its hands
    seem to be without each other, unless they are surely of one side.
    """
    sides = located.present_sides
    away = [np.abs(hands.pixels - np.asarray(located.pixels[side])).max(axis=(1, 2)) for side in sides]
    chosen = hands[[int(distance.argmin()) for distance in away]]
    signs = np.array([1.0 if side == RIGHT else -1.0 for side in sides])
    shared = float(signs @ side_odds(chosen)) / max(len(signs), 1)
    odds = signs * max(shared, 0.1)
    is_pair = located.one_side is None or not located.one_side.is_sure
    return replace(chosen, odds=odds, alone=odds if is_pair and chosen.alone is not None else chosen.alone)
