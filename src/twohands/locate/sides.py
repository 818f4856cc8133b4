"""Candidates for hands: which of them are the same hand, and which side each has."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from twohands.geometry.record import TensorRecord
from twohands.hands.skeleton import FINGERTIPS, KNUCKLES, WRIST

SAME_HAND, SAME_PLACE = 0.4, 0.2
"""Largest mean distance over the hand's extent of two landmark sets of one hand: sides equal, and sides different."""
CURL_ODDS, POSITION_ODDS = 2.0, 3.0
"""Log-odds of a side from fully curled fingers, and from wrists that are one region's side apart."""


@dataclass(frozen=True)
class Candidates(TensorRecord):
    """N possible hands before their sides are settled."""

    present: np.ndarray  # (N,) in [0, 1]
    right: np.ndarray  # (N,) the network's probability that it is a right hand
    pixels: np.ndarray  # (N, 21, 2)
    relative: np.ndarray  # (N, 21, 3) metres
    region: np.ndarray  # (N, 4)
    odds: np.ndarray | None = None  # (N,) log-odds of a right hand; None: by `right` and the bend of the fingers
    alone: np.ndarray | None = None  # (N,) the same by readings that see no other hand; None: `odds`
    joints: np.ndarray | None = None  # (N, 21, 3) metres, camera frame
    sigma: np.ndarray | None = None  # (N, 21, 2) metres, of the joints along and across the ray
    clear: np.ndarray | None = None  # (N,) in [0, 1], weight of the landmarks beside the joints

    def __getitem__(self, index: np.ndarray | list[int]) -> Candidates:
        return self.map(lambda values: values[index])

    def __add__(self, other: Candidates) -> Candidates:
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return replace(self, **{name: np.concatenate(pair) for name, pair in pairs.items() if pair[0] is not None})


def distinct(hands: Candidates, known: int = 0) -> Candidates:
    """Return the hands without duplicates, the first `known` before others, then in order of falling presence. Two
    hands that touch, even of one side, are not duplicates.
    """
    kept: list[int] = []
    extent = extents(hands)
    for hand in np.lexsort((-hands.present, np.arange(len(hands.present)) >= known)):
        distance = np.linalg.norm(hands.pixels[kept] - hands.pixels[hand], axis=-1).mean(axis=-1)
        same_side = (hands.right[kept] > 0.5) == (hands.right[hand] > 0.5)
        if (distance > np.where(same_side, SAME_HAND, SAME_PLACE) * extent[kept]).all():
            kept.append(int(hand))
    return hands[kept]


def extents(hands: Candidates) -> np.ndarray:
    """Return the longest sides (N,) of the boxes around the landmarks, pixels."""
    return np.ptp(hands.pixels, axis=1).max(axis=-1)


def finger_curl(relative: np.ndarray) -> np.ndarray:
    """Return (N,) in [-1, 1]: bend of the fingers of landmarks (N, 21, 3) to a right hand's palm; < 0 for left hands.

    With the wrist as origin, index knuckle x little knuckle is a normal that points out of a right hand's palm but out
    of a left hand's back (right-handed axes); fingers of either hand bend to the palm.
    """
    from_wrist = relative - relative[:, [WRIST]]
    normal = np.cross(from_wrist[:, KNUCKLES[0]], from_wrist[:, KNUCKLES[-1]])
    fingers = relative[:, FINGERTIPS[1:]] - relative[:, KNUCKLES]  # (N, 4, 3)
    lengths = np.linalg.norm(fingers, axis=-1) * np.linalg.norm(normal, axis=-1)[:, None]
    return ((fingers @ normal[..., None])[..., 0] / np.maximum(lengths, 1e-12)).mean(axis=-1)


def side_odds(hands: Candidates) -> np.ndarray:
    """Return log-odds (N,) of a right hand: those known, or the landmark network's, bounded, plus those of the curl."""
    if hands.odds is not None:
        return hands.odds
    right = np.clip(hands.right.astype(np.float64), 0.01, 0.99)
    return np.log(right / (1 - right)) + CURL_ODDS * finger_curl(hands.relative)


def odds_alone(hands: Candidates) -> np.ndarray:
    """Return log-odds (N,) of a right hand by readings that see no other hand: two hands of two people may be of one
    side.
    """
    return side_odds(hands) if hands.alone is None else hands.alone


def position_odds(hands: Candidates) -> np.ndarray:
    """Return half of the log-odds (N, N) that hand i is left and j right, not the reverse, from their wrists; 0 unless
    both forearms enter from below, as one's own do, and sides are not known otherwise. Then the left wrist should be
    further left.
    """
    if hands.odds is not None:
        return np.zeros((len(hands.odds), len(hands.odds)))
    wrist = hands.pixels[:, WRIST, 0]
    apart = (wrist[None, :] - wrist[:, None]) / hands.region[:, 2].mean()
    upward = np.cos(hands.region[:, 3]) > 0
    return np.where(upward[None, :] & upward[:, None], POSITION_ODDS / 2 * np.clip(apart, -1, 1), 0)
