"""Smooth the hands of a recording: one shape per person, no jumps, short gaps filled.

A sequence of hands with time stamps goes in and a sequence comes out. `Steady` works frame by frame without a look
ahead; `steady` with `two_pass` also uses what comes later, and so has no lag.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from twohands.hands.model import HandModel
from twohands.hands.skeleton import JOINTS_FROM_ARTICULATED, PALM
from twohands.motion.coordinates import ACCELERATION, DEVIATION, PLACE, SPEED, coordinates, with_coordinates
from twohands.motion.kalman import Estimate, Filtered, begun, corrected, predicted, smoothed
from twohands.types import LEFT, HandParameters, TwoHands

NEW_PERSON = 2.0
"""Seconds without hands after which the next ones are taken for another person's."""
JUMP, FASTEST = 0.10, 2.5
"""A hand that is further than JUMP metres and FASTEST metres a second from where it is expected is not believed ..."""
BELIEVED_AFTER = 4
"""... unless so many frames in a row say it."""
CARRIED = 3
"""Number of frames for which a lost hand is carried on without a look ahead."""
LONGEST_GAP = 0.5
"""Seconds of the longest gap that is filled where both of its ends are known."""
USUAL_SIGMA = 0.006
"""Sigma of the palm's joints at which the coordinates have their usual noise, metres."""
KNOWN_SHAPE = 1200
"""Number of trusted hands after which the shape of a person no longer changes: 20 s of both hands at 30 Hz. The error
of a frame's shape comes from its pose, which lasts for a second or more."""
PALM_JOINTS = [JOINTS_FROM_ARTICULATED[joint] for joint in PALM]
"""The palm among the 16 joints that rotate."""


@dataclass(frozen=True)
class Measurement:
    """Coordinates of a hand in one frame."""

    number: int  # of the frame
    seconds: float
    values: np.ndarray  # (COUNT,)
    deviation: np.ndarray  # (COUNT,)


@dataclass
class Track:
    """One hand as long as it is followed."""

    side: int
    first: int  # number of its first frame
    estimate: Estimate
    seconds: float  # of the last frame
    measured: float  # seconds of the last frame that was believed
    missed: int = 0  # frames since then
    doubted: list[Measurement] = field(default_factory=list)  # of frames in a row that were not believed
    steps: list[Filtered] = field(default_factory=list)


@dataclass
class Person:
    """The shape of a person's hands, gathered over trusted frames of both sides."""

    shapes: list[np.ndarray] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)

    def add(self, shape: np.ndarray, weight: float) -> None:
        """Count one more trusted hand."""
        if len(self.shapes) < KNOWN_SHAPE:
            self.shapes.append(shape)
            self.weights.append(weight)

    def shape(self, own: np.ndarray) -> np.ndarray:
        """Return the weighted median of the trusted hands; `own` before there are any."""
        return weighted_median(np.array(self.shapes), np.array(self.weights)) if self.shapes else own


class Steady:
    """Function from the hands of a frame and its time in seconds to steady hands; frames come in order.

    `tracks` and `people` are what was seen of each hand and person, `owner` tells the person of each frame.
    """

    def __init__(self, model: HandModel, smooth: float = 0.5):
        """`smooth` in [0, 1] scales the noise that frames are thought to have; 0 keeps them nearly as they are."""
        if not 0 <= smooth <= 1:
            raise ValueError(f"smooth must lie in [0, 1]; got {smooth}")
        self.model, self.noise = model, max(2 * smooth, 1e-3)
        self.current: dict[int, Track] = {}
        self.tracks: list[Track] = []
        self.people: list[Person] = [Person()]
        self.owner: list[int] = []
        self.seen_at = -np.inf

    def __call__(self, hands: TwoHands, seconds: float) -> TwoHands:
        """Return the hands of this frame as far as they are known now."""
        self.observe(hands, seconds)
        known = {side: track for side, track in self.current.items() if track.missed <= CARRIED}
        return placed(
            hands,
            {side: track.estimate.position for side, track in known.items()},
            {side for side, track in known.items() if track.missed},
            self.people[-1],
            self.model,
        )

    def observe(self, hands: TwoHands, seconds: float) -> None:
        """Take in the hands of the next frame."""
        if hands.present_sides:
            if seconds - self.seen_at > NEW_PERSON and self.people[-1].shapes:
                self.people.append(Person())
            self.seen_at = seconds
        self.owner.append(len(self.people) - 1)
        for side in (0, 1):
            self._advance(hands, side, seconds)

    def forget_before(self, number: int) -> None:
        """Forget the steps of the tracks before a frame."""
        for track in self.tracks:
            gone = min(max(number - track.first, 0), len(track.steps))
            del track.steps[:gone]
            track.first += gone
        self.tracks = [track for track in self.tracks if track.steps or track in self.current.values()]

    def _advance(self, hands: TwoHands, side: int, seconds: float) -> None:
        """Bring the track of one side to this frame."""
        present = side in hands.present_sides
        track = self.current.get(side)
        if track is not None and seconds - track.measured > LONGEST_GAP:
            track = None
            del self.current[side]
        if track is None:
            if present:
                self._begin(side, [self._measured(hands, side, seconds, None)])
            return
        step = seconds - track.seconds
        transition, expected = predicted(track.estimate, step, ACCELERATION)
        known, believed = expected, False
        if present:
            seen = self._measured(hands, side, seconds, expected.position)
            away = float(np.linalg.norm(seen.values[PLACE] - expected.position[PLACE]))
            believed = away < JUMP + FASTEST * step
            track.doubted = [] if believed else [*track.doubted, seen]
            if len(track.doubted) >= BELIEVED_AFTER:
                self._begin(side, track.doubted)
                return
            if believed:
                known = corrected(expected, seen.values, seen.deviation)
        else:
            track.doubted = []  # only frames in a row count
        track.missed = 0 if believed else track.missed + 1
        track.measured = seconds if believed else track.measured
        track.estimate, track.seconds = known, seconds
        track.steps.append(Filtered(transition, expected, known))

    def _begin(self, side: int, seen: Sequence[Measurement]) -> None:
        """Begin a track with the measurements of one or more frames."""
        estimate = begun(seen[0].values, seen[0].deviation, SPEED)
        steps = [Filtered(np.eye(2), replace(estimate), estimate)]  # measured: known is not expected
        for before, now in pairwise(seen):
            transition, expected = predicted(estimate, now.seconds - before.seconds, ACCELERATION)
            estimate = corrected(expected, now.values, now.deviation)
            steps.append(Filtered(transition, expected, estimate))
        last = seen[-1].seconds
        self.current[side] = Track(side, seen[0].number, estimate, last, last, steps=steps)
        self.tracks.append(self.current[side])

    def _measured(self, hands: TwoHands, side: int, seconds: float, near: np.ndarray | None) -> Measurement:
        """Return the coordinates of a present hand with the person's shape in place of its own."""
        assert hands.parameters is not None
        own = np.asarray(hands.parameters.shape[side], float)
        if not hands.doubtful[side]:
            self.people[-1].add(own, np.exp(-curl(hands.parameters, side)) / self._ratio(hands, side) ** 2)
        values = coordinates(hands.parameters, side, near)
        values[PLACE] += _palm_shift(hands.parameters, side, self.people[-1].shape(own), self.model)
        return Measurement(len(self.owner) - 1, seconds, values, self._deviation(hands, side))

    def _deviation(self, hands: TwoHands, side: int) -> np.ndarray:
        """Return the standard deviations (COUNT,) of the coordinates of a hand."""
        return DEVIATION * self.noise * self._ratio(hands, side)

    def _ratio(self, hands: TwoHands, side: int) -> float:
        """Return the sigma of the palm of a hand, relative to the usual one."""
        sigma = np.nan
        if hands.quality is not None and hands.quality.sigma is not None:
            sigma = float(np.mean(np.asarray(hands.quality.sigma)[side, PALM]))
        return float(np.clip(sigma / USUAL_SIGMA, 0.5, 8.0)) if np.isfinite(sigma) else 1.0


def steady(
    sequence: Sequence[tuple[float, TwoHands]], model: HandModel, smooth: float = 0.5, two_pass: bool = False
) -> list[TwoHands]:
    """Return the steady hands of a recording of (seconds, hands) in order.

    Gaps of at most LONGEST_GAP between two frames that show the hand are filled. With `two_pass` every frame also uses
    the later ones: there is no lag.
    """
    return [hands for part in steady_parts([sequence], model, smooth, two_pass) for hands in part]


def steady_parts(
    parts: Iterable[Sequence[tuple[float, TwoHands]]], model: HandModel, smooth: float = 0.5, two_pass: bool = False
) -> Iterator[list[TwoHands]]:
    """Yield the steady hands of a recording that comes in parts, see `steady`, in memory for two parts.

    What comes later is known for each part from itself and the following one.
    """
    online = Steady(model, smooth)
    first, waiting = 0, None
    for part in parts:
        for seconds, hands in part:
            online.observe(hands, seconds)
        if waiting is not None:
            yield _settled(online, first, waiting, two_pass)
            first += len(waiting)
            online.forget_before(first)
        waiting = [hands for _, hands in part]
    if waiting is not None:
        yield _settled(online, first, waiting, two_pass)


def _settled(online: Steady, first: int, part: Sequence[TwoHands], two_pass: bool) -> list[TwoHands]:
    """Return the steady hands of a part whose first frame has the number `first`."""
    found: list[dict[int, np.ndarray]] = [{} for _ in part]
    filled: list[set[int]] = [set() for _ in part]
    for track in online.tracks:
        steps = track.steps[: max(len(track.steps) - track.missed, 0)]  # after the last measurement nothing is known
        for number, (step, estimate) in enumerate(zip(steps, smoothed(steps), strict=True), track.first - first):
            if number >= len(part):
                break
            measured = step.known is not step.expected
            known = estimate if two_pass or not measured else step.known
            found[number][track.side] = known.position
            if not measured:
                filled[number].add(track.side)
    owners = online.owner[first : first + len(part)]
    return [
        placed(hands, known, missing, online.people[owner], online.model)
        for hands, known, missing, owner in zip(part, found, filled, owners, strict=True)
    ]


def placed(
    hands: TwoHands, known: dict[int, np.ndarray], filled: set[int], person: Person, model: HandModel
) -> TwoHands:
    """Return hands at coordinates by side, with the person's shape; the sides `filled` were not seen in this frame."""
    parameters = hands.parameters if hands.parameters is not None else model.neutral()
    hands = replace(hands, parameters=parameters)
    for side, values in known.items():
        own = np.asarray(parameters.shape[side], float)
        usable = own if np.isfinite(own).all() else np.zeros_like(own)
        parameters = with_coordinates(hands, side, values, person.shape(usable))
        hands = replace(hands, parameters=parameters)
    drawn = model(parameters)
    present = np.array([1.0 if side in known else 0.0 for side in (0, 1)], dtype=np.float32)
    present = np.where(np.asarray(hands.present) >= 0.5, np.minimum(present, hands.present), present)
    quality = hands.quality
    if quality is not None and filled:
        unseen = np.array([side in filled for side in (0, 1)])
        quality = replace(
            quality,
            infilled=unseen,
            fitted=np.asarray(quality.fitted) & ~unseen,
            depth_residual=np.where(unseen, np.nan, quality.depth_residual),
            depth_support=np.where(unseen, 0, quality.depth_support),
        )
    return replace(hands, vertices=drawn.vertices, joints=drawn.joints, present=present, quality=quality)


def weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the median (S,) of each column of values (N, S) with weights (N,)."""
    order = np.argsort(values, axis=0)
    sums = np.cumsum(weights[order], axis=0)
    middle = (sums >= sums[-1] / 2).argmax(axis=0)
    return np.take_along_axis(values, np.take_along_axis(order, middle[None], axis=0), axis=0)[0]


def curl(parameters: HandParameters, side: int) -> float:
    """Return the mean angle in radians by which the four fingers are bent: about 0.5 when they are straight, 2.5 in a
    fist, whose size is seen badly.
    """
    turned = np.asarray(parameters.pose[side], float).reshape(5, 3, 3).sum(axis=1)  # finger, joint, axis
    return float(np.linalg.norm(turned[1:], axis=-1).mean())


def _palm_shift(parameters: HandParameters, side: int, shape: np.ndarray, model: HandModel) -> np.ndarray:
    """Return the translation (3,) that keeps the palm where it is when a hand gets another shape.

    No finger moves the wrist and the knuckles, so their rest places are enough.
    """
    directions = np.asarray(model.joint_directions, float)[PALM_JOINTS].mean(axis=0)  # (3, S)
    moved = directions @ (np.asarray(parameters.shape[side], float) - shape)
    moved[0] *= -1 if side == LEFT else 1
    return Rotation.from_rotvec(np.asarray(parameters.rotation[side], float)).apply(moved)
