"""Choose whose hands are returned: at most a left and a right hand, both of one person."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from twohands.choices import Person
from twohands.findings import Finding
from twohands.hands.skeleton import PALM, WRIST
from twohands.locate.sides import Candidates, extents, odds_alone, position_odds, side_odds
from twohands.types import LEFT, RIGHT, SIDE_NAMES, LocatedHands, OneSide, RGBDFrame

CLEAR, CLEAR_OF_TWO = 0.75, 0.6
"""Smallest presence of a third hand, and of each of two hands of one side."""
APART, APART_OF_TWO = 0.7, 0.4
"""Smallest distance of a third hand from the others, and of two hands, in hand lengths; nearer ones are often readings
of one hand.
"""
STRANGERS_APART = 1.0
"""Smallest distance of two hands of one side, in hand lengths; sides of hands that are nearer are often misread."""
FACING, FACING_ODDS = 0.45, 3.0
"""Value of `facing` that tells nothing about one or two people, and log-odds of one person per unit above it."""
REACH = 1.4
"""Largest distance of one person's palms, metres."""
USUAL_DISTANCE = 0.3
"""Usual distance of one person's palms, metres."""
MISREAD = 4.0
"""Log-odds up to which the side of one hand of a pair may be misread."""
HAND_SCALES = (0.55, 1.8)
"""Range of the measured depth of a palm over the depth at which its landmarks have their size."""
Hands = dict[int, int]
"""Side -> index of a candidate, for the hands of one person."""


def palm_places(hands: Candidates, frame: RGBDFrame) -> np.ndarray:
    """Return the palms (N, 3) in the camera frame, metres: at the measured depth where it agrees with the hand's size,
    otherwise at the depth that the size suggests.
    """
    pixels, relative = hands.pixels[:, PALM].astype(np.float64), hands.relative[:, PALM]
    metres, lengths = (np.sqrt(points[..., :2].var(axis=1).sum(axis=-1)) for points in (relative, pixels))
    depth = np.mean(frame.camera.focal) * metres / np.maximum(lengths, 1e-6)
    center = pixels.mean(axis=1)
    inner = np.rint(center[:, None] + 0.7 * (pixels - center[:, None])).astype(int)
    columns, rows = np.moveaxis(np.clip(inner, 0, np.array(frame.depth.shape[::-1]) - 1), -1, 0)
    for hand, readings in enumerate(frame.depth[rows, columns]):
        measured = np.median(readings[readings > 0]) if (readings > 0).any() else np.nan
        if HAND_SCALES[0] < measured / max(depth[hand], 1e-6) < HAND_SCALES[1]:
            depth[hand] = measured
    return np.asarray(frame.camera.unproject(center, depth))


def choose_hands(
    hands: Candidates,
    places: np.ndarray,
    person: Person = "nearest",
    reread: Callable[[Candidates], np.ndarray] = odds_alone,
) -> LocatedHands:
    """Return the most probable left and right hand of one person; two hands never get the same side.

    places (N, 3): palms in the camera frame, metres. Of several people `person` is chosen. `reread` returns a second
    opinion on the log-odds (N,) of a right hand; it is asked about two hands that seem to be of one side.
    """
    odds, seen = side_odds(hands), counted(hands)
    pair = pair_scores(hands, odds)
    best: Hands = {RIGHT if odd > 0 else LEFT: hand for hand, odd in enumerate(odds[:1])}
    if len(odds) > 1:
        left, right = np.unravel_index(pair.argmax(), pair.shape)
        best = {LEFT: int(left), RIGHT: int(right)}
    if len(seen) > 2:
        people = persons(seen, odds, pair, places)
    elif len(best) == 2 and set(best.values()) == set(seen) and _distance(places, *seen) > REACH:
        people = [{RIGHT if odds[hand] > 0 else LEFT: hand} for hand in seen]
    else:
        people = [best]
    chosen = min(people, key=lambda group: _rank(hands, places, person, group))
    one_side = None
    if len(people) == 1 and len(seen) == 2 and set(best.values()) == set(seen):
        one_side = _one_side(hands, odds_alone(hands), places, person, best, reread)
    return _located(hands, odds, chosen, _finding(odds[seen], len(people), chosen, person), one_side)


def counted(hands: Candidates) -> list[int]:
    """Return the hands that are seen without doubt: up to two by their presence, and more that are clear and apart."""
    kept: list[int] = []
    for hand in np.argsort(-hands.present, kind="stable"):
        present, distance = (CLEAR, APART) if len(kept) > 1 else (0, APART_OF_TWO)
        if hands.present[hand] > present and all(apart(hands, hand, other) > distance for other in kept):
            kept.append(int(hand))
    return kept


def apart(hands: Candidates, first: int, second: int) -> float:
    """Return the distance of two hands in the image, in mean hand lengths."""
    centers = hands.pixels[[first, second]].mean(axis=1)
    return float(np.linalg.norm(centers[0] - centers[1]) / extents(hands)[[first, second]].mean())


def facing(hands: Candidates) -> float:
    """Return in [-2, 2] how much two hands point to each other's wrist in the image: 2 straight, -2 straight away.

    The hands of one person do so more or less, from wherever they are seen; two left hands of people beside each other
    are parallel.
    """
    angle = hands.region[:, 3]
    pointing = np.column_stack([np.sin(angle), -np.cos(angle)])
    across = hands.pixels[1, WRIST] - hands.pixels[0, WRIST]
    first, second = pointing @ (across / max(float(np.linalg.norm(across)), 1e-6))
    return float(first - second)


def pair_scores(hands: Candidates, odds: np.ndarray) -> np.ndarray:
    """Return log-probabilities (N, N) up to a constant that hand i is the left and hand j the right hand."""
    as_left = np.log(hands.present) - np.logaddexp(0, odds)
    as_right = np.log(hands.present) - np.logaddexp(0, -odds)
    score = as_left[:, None] + as_right[None, :] + (position_odds(hands) if len(odds) > 1 else 0)
    np.fill_diagonal(score, -np.inf)
    return score


def persons(seen: list[int], odds: np.ndarray, pair: np.ndarray, places: np.ndarray) -> list[Hands]:
    """Return the hands of each person: first the pairs that fit best by sides, positions and distance."""
    left, people = list(seen), []
    fit = {}
    for i, j in product(seen, seen):
        distance = _distance(places, i, j)
        misread = max(0.0, odds[i]) + max(0.0, -odds[j])
        if i != j and distance < REACH and misread < MISREAD:
            fit[i, j] = pair[i, j] - 0.5 * (distance / USUAL_DISTANCE) ** 2
    for i, j in sorted(fit, key=lambda hands: -fit[hands]):
        if i in left and j in left:
            people.append({LEFT: i, RIGHT: j})
            left = [hand for hand in left if hand not in (i, j)]
    return people + [{RIGHT if odds[hand] > 0 else LEFT: hand} for hand in left]


def _distance(places: np.ndarray, first: int, second: int) -> float:
    return float(np.linalg.norm(places[first] - places[second]))


def _rank(hands: Candidates, places: np.ndarray, person: Person, group: Hands) -> float:
    """Return a number that is smallest for the chosen person."""
    index = list(group.values())
    if not index:
        return 0.0
    column = float(hands.pixels[index, :, 0].mean())
    ranks = {"nearest": places[index, 2].min(), "largest": -extents(hands)[index].max(), "left": column}
    return float(ranks.get(person, -column))


def _one_side(
    hands: Candidates,
    odds: np.ndarray,
    places: np.ndarray,
    person: Person,
    pair: Hands,
    reread: Callable[[Candidates], np.ndarray],
) -> OneSide | None:
    """Return the side that both hands of a pair seem to have; None if they do not, or are too near to tell."""
    index = [pair[LEFT], pair[RIGHT]]
    signs = np.sign(odds[index])
    if signs[0] != signs[1] or hands.present[index].min() < CLEAR_OF_TWO or apart(hands, *index) < STRANGERS_APART:
        return None
    side = RIGHT if signs[0] > 0 else LEFT
    kept = min((LEFT, RIGHT), key=lambda place: _rank(hands, places, person, {place: pair[place]}))
    mean = (odds[index] + reread(hands[index])) / 2 * signs
    # poses of hands suggest two people at most as much as the readings do
    both = mean - np.maximum(FACING_ODDS * (facing(hands[index]) - FACING), -np.maximum(mean, 0))
    name = SIDE_NAMES[side]
    sentence = (
        f"two {name} hands were seen, so there are two people; the {name} hand of {_described(person)} is returned; "
        "another person can be chosen (--person)"
    )
    return OneSide(side, both, kept, Finding("two_hands_of_one_side", "warning", sentence, _counts(odds[index])))


def _finding(odds: np.ndarray, people: int, chosen: Hands, person: Person) -> tuple[Finding, ...]:
    """Return the finding about hands of several people with side log-odds (N,)."""
    if len(odds) > 2:
        given = "two" if len(chosen) == 2 else "one"
        sentence = (
            f"{len(odds)} hands were seen; the {given} of {_described(person)} {'are' if given == 'two' else 'is'}"
        )
        return (Finding("more_than_two_hands", "warning", f"{sentence} returned; {ANOTHER}", _counts(odds)),)
    if people > 1:
        sentence = f"the two hands are further apart than one person's reach; that of {_described(person)} is returned"
        return (Finding("hands_of_two_people", "warning", f"{sentence}; {ANOTHER}", _counts(odds)),)
    return ()


ANOTHER = "another person can be chosen (--person)"


def _described(person: Person) -> str:
    names = {"nearest": "nearest person", "largest": "person with the largest hands"}
    return f"the {names.get(person, f'person furthest {person} in the picture')}"


def _counts(odds: np.ndarray) -> dict[str, float]:
    right = int((odds > 0).sum())
    return {"hands_seen": len(odds), "left_seen": len(odds) - right, "right_seen": right}


def _located(
    hands: Candidates, odds: np.ndarray, chosen: Hands, findings: tuple[Finding, ...], one_side: OneSide | None
) -> LocatedHands:
    """Return the chosen hands as a record; NaN for a hand that is absent."""
    # of the two positions, half of the log-odds for each of the hands
    position = position_odds(hands)[chosen[LEFT], chosen[RIGHT]] if len(chosen) == 2 else 0.0
    present, certainty = np.zeros(2, np.float32), np.full(2, np.nan, np.float32)
    pixels, relative, region = (np.full((2, *shape), np.nan, np.float32) for shape in ((21, 2), (21, 3), (4,)))
    for side, hand in chosen.items():
        present[side], certainty[side] = hands.present[hand], (odds[hand] if side == RIGHT else -odds[hand]) + position
        pixels[side], relative[side], region[side] = hands.pixels[hand], hands.relative[hand], hands.region[hand]
    predicted: dict[str, np.ndarray] = {}
    for name in ("joints", "sigma", "clear"):
        values = getattr(hands, name)
        if values is not None:
            predicted[name] = np.full((2, *values.shape[1:]), np.nan)
            for side, hand in chosen.items():
                predicted[name][side] = values[hand]
    return LocatedHands(present, pixels, relative, region, certainty, findings, one_side, **predicted)
