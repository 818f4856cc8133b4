"""Locate hands with the region network: palms first, then spots; it decides presence, side and joints of every hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twohands.choices import Person
from twohands.geometry.camera import Camera
from twohands.geometry.transforms import shortest_turn
from twohands.hands.skeleton import KNUCKLES, PALM, ROOT, WRIST
from twohands.locate.locator import HandLocator
from twohands.locate.people import HAND_SCALES, choose_hands
from twohands.locate.region_reader import SHIPPED_LIGHT, Readings, RegionReader
from twohands.locate.regions import region_of_landmarks, upright_square
from twohands.locate.sides import Candidates, odds_alone, side_odds
from twohands.locate.spots import SpotFinder
from twohands.locate.surroundings import SidesBySurroundings
from twohands.region import Region, Views, region_at, views
from twohands.types import PRESENT, LocatedHands, RGBDFrame

PALM_SIDE = 0.25
"""Usual side of the region of a palm, metres."""
SKIN = 0.012
"""Usual distance of the palm's joints behind the skin, metres."""
PROMISING = 0.15
"""Smallest presence of a first look for which there is a second one."""
SPOT_LOOKS = 6
"""Largest number of spots that are looked at at once. With 9, seven more of 899 hands of 800 validation frames are
found, with nine more false positives; with 12 hardly more."""
AS_SHOWN = 1.6
"""Log-odds by which the network prefers the side as which a hand is shown, since 88 % of its training hands are of this
side; no evidence. Fitted to 696 hands of validation frames, half of which were shown as of the other side."""
SURE = 1.5
"""Log-odds above which the first reading of a hand settles as which side it is read."""
SURROUNDED = 0.45
"""Weight of the log-odds by a hand's surroundings. Fitted to 392 hands of validation frames, as the one below was:
with it 0.8 % of them have the wrong side, without it 1.8 %."""
NEAR = 0.07
"""Distance from a known hand within which palms belong to it, and of the palms of two hands from which they are two
however their fingers are joined, metres."""
SAME = 0.045
"""Largest mean distance of the joints of two readings of one hand, metres."""
SAME_PALM = 0.03
"""Largest distance across the ray of the palms of two readings of one hand, metres; readings as hands of either side
differ in their fingers and in depth."""
INSIDE = 0.023
"""Mean distance of the joints of two readings from the nearest joint of the other one, metres, below which they are of
one hand: of 1,271 pairs of hands of validation frames, 0.2 % are nearer, even where they touch."""
SIGMA_ODDS, USUAL_SIGMA = 4.0, 0.015
"""Log-odds against a hand for each e-fold of the mean sigma of its joints above the usual one, metres. On validation
frames this drops 1 % of the hands and half of the others."""
AGREE = 0.2
"""Largest mean distance of the landmarks from the joints in the image, over the hand's extent, at which both are of one
hand."""
PALM_LENGTHS = (0.05, 0.14)
"""Range of the distance from the wrist to the middle knuckle, metres."""
SEE_THROUGH = 0.06
"""Median distance of the measured depth behind the joints from which there is no hand, metres."""


@dataclass(frozen=True)
class Look:
    """A place to look at: a pixel, the direction of the fingers there, and the depth."""

    pixel: np.ndarray  # (2,)
    angle: float
    depth: float

    def region(self, frame: RGBDFrame) -> Region:
        """Return the region for a right hand."""
        return region_at(frame.camera.map(np.float64), self.pixel, self.angle, self.depth, mirrored=False)

    def place(self, frame: RGBDFrame) -> np.ndarray:
        """Return the place (3,) in the camera frame, metres."""
        return np.asarray(frame.camera.map(np.float64).unproject(self.pixel[None], np.array([self.depth])))[0]


class LightLocator:
    """Function from a frame to LocatedHands, with the joints of every hand and their sigma."""

    def __init__(self, person: Person = "nearest", folder: Any = SHIPPED_LIGHT):
        self.palms, self.spots, self.read = HandLocator(), SpotFinder(), RegionReader(folder)
        self.sides = SidesBySurroundings()
        self.person: Person = person

    def __call__(self, frame: RGBDFrame) -> LocatedHands:
        """Return the hands of one person."""
        return self.choose(frame, self.find(frame))

    def choose(self, frame: RGBDFrame, hands: Candidates) -> LocatedHands:
        """Return the hands of one person among candidates, see `people.choose_hands`.

        Where there is none, `pixels` has those that the colour image shows nonetheless: their size says whether the
        depth can be right.
        """
        located = choose_hands(hands, _palms(hands), self.person)
        return located if located.is_present.any() else replace(located, pixels=self._in_image(frame))

    def _in_image(self, frame: RGBDFrame) -> np.ndarray:
        """Return the landmarks (2, 21, 2) of the hands that show a palm, by the colour image alone; NaN for others."""
        whole = upright_square(0, 0, frame.camera.width, frame.camera.height)
        hands = self.palms.find_hands(frame.rgb, self.palms.find_palms(frame.rgb, whole))
        return np.asarray(self.palms.choose(frame, hands, self.person).pixels)

    def find(self, frame: RGBDFrame, known: Candidates | None = None) -> Candidates:
        """Return all hands that are seen: known ones, those that show a palm and, unless these are two, at spots."""
        width, height = frame.camera.width, frame.camera.height
        hands = no_candidates() if known is None else known
        palms = self.palms.find_palms(frame.rgb, upright_square(0, 0, width, height))
        looks = [look for look in (look_at_palm(frame, palm) for palm in palms) if self._is_new(frame, look, hands)]
        hands = settled(hands + self.seen(frame, looks))
        if len(hands.present) < 2:
            hands = self._with_spots(frame, hands)
        again, around = self._judged(frame, hands)
        odds = (side_odds(hands) + side_odds(again)) / 2 + around
        alone = (odds_alone(hands) + odds_alone(again)) / 2
        return _settled_if_possible(frame, replace(again, odds=odds, alone=alone))

    def follow(self, frame: RGBDFrame, known: Candidates) -> Candidates:
        """Return those of some known hands that are seen where their joints are expected in this frame.

        Their log-odds are those of this frame alone.
        """
        again, around = self._judged(frame, known)
        return _settled_if_possible(frame, replace(again, odds=side_odds(again) + around))

    def _judged(self, frame: RGBDFrame, hands: Candidates) -> tuple[Candidates, np.ndarray]:
        """Return the hands after one more look at each, in a region around its joints, with the log-odds of this look,
        and the log-odds (N,) by what is around them.

        A pair sees each other. A reading tends to confirm the side as which a hand is shown. Where one contradicts it,
        or two hands are of one side, all are shown as hands of the other side too, and both readings count.
        Where two hands seem to be of one side, `alone` is read without the other hand; elsewhere it is `odds`.
        """
        around_them = SURROUNDED * self.sides(frame, _joints(hands))
        before = side_odds(hands) + around_them
        looks = [look_at_hand(frame.camera, joints) for joints in _joints(hands)]
        around = views(frame, [look.region(frame) for look in looks])
        again = self._read(frame, around, before > 0)
        odds = side_odds(again)
        if (odds * before < 0).any() or _of_one_side(odds):
            again = likelier(again, self._read(frame, around, before <= 0), before > 0, before)
        alone = side_odds(again)
        if _of_one_side(odds) or _of_one_side(odds_alone(hands)):
            either = [self._read(frame, around, np.full(2, right)) for right in (True, False)]
            alone = (side_odds(either[0]) + side_odds(either[1])) / 2
        return replace(again, alone=alone), around_them

    def seen(self, frame: RGBDFrame, looks: list[Look], known: Candidates | None = None) -> Candidates:
        """Return the hands at some places, each read as a hand of either side unless the first reading is sure.

        Where one hand is known, the other side is expected, and has to be promising.
        """
        right = known is None or len(known.present) != 1 or bool(side_odds(known)[0] <= 0)
        places = views(frame, [look.region(frame) for look in looks])
        first = self._read(frame, places, np.full(len(looks), right))
        promising = first.present > PROMISING
        sure = promising & (side_odds(first) * (1 if right else -1) > SURE)
        asked = promising & ~sure
        as_right = np.full(asked.sum(), right)
        second = self._read(frame, places.map(lambda array: array[asked]), ~as_right)
        return first[sure] + likelier(first[asked], second, as_right)

    def _read(self, frame: RGBDFrame, places: Views, right: np.ndarray) -> Candidates:
        """Return what is seen at N places, read as right hands where `right` (N,) is true, elsewhere as left ones.

        Two places that are read as hands of either side see each other.
        """
        pair = len(right) == 2 and right[0] != right[1]
        readings = self.read(places.mirrored(~right), 1 - np.eye(2) if pair else None)
        odds = readings.right - AS_SHOWN
        return _candidates(frame, readings, np.where(right, odds, -odds))

    def _with_spots(self, frame: RGBDFrame, hands: Candidates) -> Candidates:
        """Return fewer than two known hands and those at spots; a hand at a spot may have the other one beside it."""
        cells, before = self.spots.judged(frame), -1
        while before < len(hands.present) < 2:
            before = len(hands.present)
            known = [look_at_hand(frame.camera, joints).place(frame) for joints in _joints(hands)]
            spots = cells.spots(known=np.reshape(known, (-1, 3)))
            places = zip(spots.pixels, spots.angle, spots.depth, strict=True)
            looks = [Look(pixel, float(angle), float(depth)) for pixel, angle, depth in places][:SPOT_LOOKS]
            hands = settled(hands + self.seen(frame, looks, hands))
        return hands

    def _is_new(self, frame: RGBDFrame, look: Look, hands: Candidates) -> bool:
        """Return whether a place is away from all known hands."""
        place = look.place(frame)
        return all(np.linalg.norm(joints - place, axis=-1).min() > NEAR for joints in _joints(hands))


def settled(hands: Candidates) -> Candidates:
    """Return the hands that are there and distinct, most probable first."""
    kept: list[int] = []
    belief, palms, joints = beliefs(hands), _palms(hands), _joints(hands)
    beside = palms[:, :2] / palms[:, 2:]
    for hand in np.argsort(-hands.present, kind="stable"):
        if hands.present[hand] < PRESENT or belief[hand] < 0:
            continue
        away = np.linalg.norm(joints[hand] - joints[kept], axis=-1).mean(axis=-1)
        apart = np.linalg.norm(beside[hand] - beside[kept], axis=-1) * palms[hand, 2]
        outside = _clearance(joints[hand], joints[kept]) > INSIDE
        outside |= np.linalg.norm(palms[hand] - palms[kept], axis=-1) > NEAR
        if ((away > SAME) & (apart > SAME_PALM) & outside).all():
            kept.append(int(hand))
    return hands[kept]


def _clearance(joints: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the mean distances (N,) of the joints (21, 3) of a hand and those (N, 21, 3) of others, each from the
    nearest joint of the other hand.
    """
    between = np.linalg.norm(joints[:, None] - others[:, None], axis=-1)  # (N, 21, 21)
    return (between.min(axis=1).mean(axis=-1) + between.min(axis=2).mean(axis=-1)) / 2


def _of_one_side(odds: np.ndarray) -> bool:
    """Return whether log-odds (N,) of a right hand are those of two hands of one side."""
    return len(odds) == 2 and bool(odds[0] * odds[1] > 0)


def likelier(
    first: Candidates, second: Candidates, first_is_right: np.ndarray, before: np.ndarray | float = 0.0
) -> Candidates:
    """Return the likelier of two readings of each of N hands, shown as hands of either side, with the log-odds by both.

    first_is_right (N,) bool: the first reading is that of a right hand; before (N,): log-odds known already.
    """
    odds = (side_odds(first) + side_odds(second)) / 2
    is_first = (before + odds > 0) == first_is_right
    both = replace(first, odds=odds, alone=odds) + replace(second, odds=odds, alone=odds)
    return both[np.arange(len(odds)) + np.where(is_first, 0, len(odds))]


def _settled_if_possible(frame: RGBDFrame, hands: Candidates) -> Candidates:
    return settled(hands[[hand for hand, joints in enumerate(_joints(hands)) if possible(frame, joints)]])


def beliefs(hands: Candidates) -> np.ndarray:
    """Return log-odds (N,) that there is a hand, by its presence and the sigma of its joints: where the network sees no
    hand it is unsure of the joints.
    """
    assert hands.sigma is not None
    present = np.clip(np.asarray(hands.present, float), 1e-4, 1 - 1e-4)
    sigma = np.asarray(hands.sigma, float).mean(axis=(1, 2))
    return np.log(present / (1 - present)) - SIGMA_ODDS * np.log(sigma / USUAL_SIGMA)


def possible(frame: RGBDFrame, joints: np.ndarray) -> bool:
    """Return whether joints (21, 3) can be a hand: of possible size, and not behind what is measured through it.

    The joints of a first look may not be: of an unsure hand they are drawn together.
    """
    length = float(np.linalg.norm(joints[KNUCKLES[1]] - joints[WRIST]))
    if not PALM_LENGTHS[0] < length < PALM_LENGTHS[1] or joints[:, 2].min() < 0.05:
        return False
    column, row = np.rint(frame.camera.project(joints)).astype(int).T
    inside = (column >= 0) & (row >= 0) & (column < frame.camera.width) & (row < frame.camera.height)
    measured = frame.depth[row[inside], column[inside]]
    behind = (measured - joints[inside, 2])[measured > 0]
    return len(behind) < 8 or float(np.median(behind)) < SEE_THROUGH


def look_at_palm(frame: RGBDFrame, palm: np.ndarray) -> Look:
    """Return where to look for the hand of a palm's region (4,), at the measured depth if that can be the hand's.

    A palm that looks small may be far away or turned; it is not farther than what is measured there and would hide it.
    """
    u, v, side, angle = palm
    usual = float(np.mean(np.asarray(frame.camera.focal))) * PALM_SIDE / side
    half = max(2, int(0.12 * side))
    column, row = int(np.rint(u)), int(np.rint(v))
    window = frame.depth[max(row - half, 0) : row + half + 1, max(column - half, 0) : column + half + 1]
    readings = window[(window > 0) & (window < HAND_SCALES[1] * usual)]
    of_size = readings[readings > HAND_SCALES[0] * usual]
    readings = of_size if len(of_size) > 8 else readings
    return Look(np.array([u, v]), float(angle), float(np.median(readings)) if len(readings) > 8 else usual)


def look_at_hand(camera: Camera, joints: np.ndarray) -> Look:
    """Return where to look for a hand with joints (21, 3)."""
    u, v, _, angle = region_of_landmarks(camera.project(joints)[None])[0]
    return Look(np.array([u, v]), float(angle), float(joints[PALM, 2].mean()) - SKIN)


def _candidates(frame: RGBDFrame, readings: Readings, odds: np.ndarray) -> Candidates:
    """Return N readings as candidates with their log-odds (N,) of a right hand.

    Their pixels are the landmarks where the landmark network sees the same hand, elsewhere the joints.
    """
    joints = readings.joints
    pixels, landmarks = (frame.camera.project(points) for points in (joints, readings.landmarks))
    regions = region_of_landmarks(pixels) if len(joints) else np.zeros((0, 4))
    away = np.linalg.norm(landmarks - pixels, axis=-1).mean(axis=-1) / np.maximum(np.ptp(pixels, axis=1).max(-1), 1)
    clear = np.where((away < AGREE) & (readings.clear > PRESENT), readings.clear, 0.0)
    shown = np.where(clear[:, None, None] > 0, readings.landmarks, joints)
    rays = shown.mean(axis=1)
    turns = shortest_turn(rays, np.broadcast_to(np.array([0.0, 0.0, 1.0]), rays.shape))
    relative = (shown - shown[:, ROOT : ROOT + 1]) @ np.swapaxes(turns, 1, 2)
    right = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    pixels = frame.camera.project(shown)
    return Candidates(readings.present, right, pixels, relative, regions, odds, odds, joints, readings.sigma, clear)


def no_candidates() -> Candidates:
    """Return a record of no hands."""
    empty = (np.zeros((0, *shape)) for shape in ((), (), (21, 2), (21, 3), (4,), (), (), (21, 3), (21, 2), ()))
    return Candidates(*empty)


def _joints(hands: Candidates) -> np.ndarray:
    assert hands.joints is not None
    return hands.joints


def _palms(hands: Candidates) -> np.ndarray:
    """Return the middles (N, 3) of the palms, metres."""
    return _joints(hands)[:, PALM].mean(axis=1)
