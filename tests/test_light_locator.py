"""The locator of method `light` with a stand-in of the region network, and the spot finder on rendered frames."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from twohands.hands.skeleton import NUM_JOINTS, PALM
from twohands.locate.light import (
    PALM_SIDE,
    LightLocator,
    beliefs,
    look_at_palm,
    no_candidates,
    possible,
    settled,
)
from twohands.locate.region_reader import Readings
from twohands.locate.sides import Candidates
from twohands.locate.spots import SpotFinder, Spots, cells_of, headings
from twohands.region import Region
from twohands.synth.config import FULL
from twohands.synth.engine import SyntheticHands
from twohands.types import LEFT, RIGHT, Sample

NEAR = 0.06
"""Distance of a region from a hand within which the stand-in sees the hand, metres."""


class KnowingReader:
    """Stand-in of the region network that knows the truth of a frame.

    Like the network, it sees a hand only in regions near it, says whether it looks like a right hand as it is shown,
    gives bad joints where the hand is shown as of the other side, and calls `extra` places hands as well.
    """

    def __init__(self, sample: Sample, extra: np.ndarray | None = None):
        self.joints = np.asarray(sample.hands.joints, float)
        self.present = np.asarray(sample.hands.is_present)
        self.extra = extra
        self.looks: list[int] = []
        self.clear, self.landmark_error = 0.0, np.zeros(3)

    def __call__(self, views, companion=None) -> Readings:
        self.looks.append(len(views.colour))
        readings = []
        for axes, depth in zip(views.region.axes, views.region.depth, strict=True):
            region = Region(axes, depth)
            middle = region.from_plane(np.zeros((1, 3)))[0]
            mirrored = np.linalg.det(region.axes) < 0
            present, right, joints = 0.01, 0.0, np.tile(middle, (NUM_JOINTS, 1))
            for side in (LEFT, RIGHT):
                away = np.linalg.norm(self.joints[side, [0, 5, 9, 13, 17]].mean(axis=0) - middle)
                if self.present[side] and away < 2 * NEAR:
                    shown_right = (side == RIGHT) != mirrored
                    present, right = 0.98, 4.0 if shown_right else -4.0
                    joints = self.joints[side] if shown_right else self.joints[side] + [0.0, 0.0, 0.02]
            if self.extra is not None and np.linalg.norm(self.extra[9] - middle) < NEAR:
                present, right, joints = 0.9, 4.0, self.extra
            readings.append((present, right, joints))
        present, right, joints = (
            [np.array(values) for values in zip(*readings, strict=True)] if readings else [np.zeros(0)] * 3
        )
        count, joints = len(readings), joints.reshape(-1, NUM_JOINTS, 3)
        sigma = np.full((count, NUM_JOINTS, 2), 0.005)
        return Readings(present, right, joints, sigma, joints + self.landmark_error, np.full(count, self.clear))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    """Frames of two hands apart, of which nothing is hidden."""
    config = replace(
        FULL, two_hands=1.0, one_hand=0.0, contact=0.0, close_roots=0.0, held=0.0, occluder=0.0, floating=0.0
    )
    frames = SyntheticHands(3, "train", config)
    found = (frames[index] for index in range(40))
    return [
        sample
        for sample, _ in zip(
            (s for s in found if (np.asarray(s.visible_fraction) > 0.85).all()), range(3), strict=False
        )
    ]


def locator(sample: Sample, extra: np.ndarray | None = None) -> LightLocator:
    """The locator with the stand-in, which is told where the hands are by its spots alone."""
    result = LightLocator()
    result.read = KnowingReader(sample, extra)  # type: ignore[assignment]
    result.palms.find_palms = lambda rgb, square: np.zeros((0, 4))  # type: ignore[method-assign]
    places = [np.asarray(sample.hands.joints[side], float)[[0, 5, 9, 13, 17]].mean(axis=0) for side in (LEFT, RIGHT)]
    if extra is not None:
        places.append(extra[9])
    points = np.stack(places)
    pixels = sample.frame.camera.map(np.float64).project(points)
    spots = Spots(pixels, points[:, 2], np.zeros(len(points)), np.ones(len(points)))
    cells = SimpleNamespace(spots=lambda known: spots)
    result.spots = SimpleNamespace(judged=lambda frame: cells)  # type: ignore[assignment]
    return result


def test_both_sides_are_found_at_spots(samples):
    assert len(samples) == 3
    for sample in samples:
        located = locator(sample)(sample.frame)
        assert located.present_sides == [LEFT, RIGHT]
        assert located.joints is not None
        np.testing.assert_allclose(located.joints, sample.hands.joints, atol=1e-6)
        np.testing.assert_allclose(located.pixels, sample.frame.camera.project(sample.hands.joints), atol=1e-3)
        assert (located.side_odds > 1).all()


def test_a_second_reading_of_a_hand_is_dropped(samples):
    sample = samples[0]
    twin = np.asarray(sample.hands.joints[RIGHT], float) + [0.015, 0.0, 0.0]
    located = locator(sample, twin)(sample.frame)
    assert located.joints is not None
    np.testing.assert_allclose(located.joints[LEFT], sample.hands.joints[LEFT], atol=1e-6)
    away = np.linalg.norm(located.joints[RIGHT] - sample.hands.joints[RIGHT], axis=-1).mean()
    assert away < 0.02
    assert not located.findings


def test_hands_of_impossible_size_and_hands_in_the_air_are_none(samples):
    sample = samples[0]
    joints = np.asarray(sample.hands.joints[RIGHT], float)
    middle = joints.mean(axis=0)
    assert possible(sample.frame, joints)
    assert not possible(sample.frame, middle + 0.4 * (joints - middle))
    assert not possible(sample.frame, middle + 2.2 * (joints - middle))
    nearer = joints * (0.25 / joints[:, 2].mean())  # in front of where it is measured, at its size
    nearer = nearer.mean(axis=0) + (joints - middle)
    assert not possible(sample.frame, nearer)
    assert possible(replace(sample.frame, depth=np.zeros_like(sample.frame.depth)), joints)


def test_one_impossible_hand_does_not_refuse_the_other(samples):
    sample = samples[1]
    giant = np.asarray(sample.hands.joints[LEFT], float)
    giant = giant.mean(axis=0) + 3 * (giant - giant.mean(axis=0)) + [0.3, 0.0, 0.0]
    located = locator(sample, giant)(sample.frame)
    assert located.present_sides == [LEFT, RIGHT]
    assert located.joints is not None
    np.testing.assert_allclose(located.joints, sample.hands.joints, atol=1e-6)


def test_unsure_joints_speak_against_a_hand(samples):
    hands = locator(samples[0]).find(samples[0].frame)
    assert (beliefs(hands) > 0).all()
    doubtful = replace(hands, present=np.full(2, 0.7), sigma=np.full((2, NUM_JOINTS, 2), 0.025))
    assert (beliefs(doubtful) < 0).all()


@pytest.mark.parametrize(("error", "clear", "used"), [(0.006, 0.9, True), (0.006, 0.4, False), (0.08, 0.9, False)])
def test_clear_landmarks_of_the_same_hand_are_kept_beside_the_joints(samples, error, clear, used):
    """Landmarks of doubtful presence, or that lie on something else, are not; the pixels are then those of joints."""
    sample = samples[0]
    finder = locator(sample)
    reader = finder.read
    assert isinstance(reader, KnowingReader)
    reader.clear, reader.landmark_error = clear, np.array([error, 0.0, 0.0])
    located = finder(sample.frame)
    joints = np.asarray(sample.hands.joints, float) + [error * used, 0.0, 0.0]
    np.testing.assert_allclose(located.clear, clear * used)
    np.testing.assert_allclose(located.pixels, sample.frame.camera.project(joints), atol=1e-3)


def test_following_looks_only_where_hands_are_expected(samples):
    sample = samples[2]
    finder = locator(sample)
    found = finder.find(sample.frame)
    reader = finder.read
    assert isinstance(reader, KnowingReader)
    reader.looks.clear()
    again = finder.follow(sample.frame, found)
    assert reader.looks == [2]
    assert len(again.present) == 2


def test_a_sure_first_reading_is_the_only_one(samples):
    """Both places are read as right hands; the left hand's is read as a left one too; then both are looked at again."""
    finder = locator(samples[0])
    finder.find(samples[0].frame)
    reader = finder.read
    assert isinstance(reader, KnowingReader)
    assert [count for count in reader.looks if count] == [2, 1, 2]


def test_the_shipped_spot_finder_sees_hands(samples):
    """The likeliest places of frames with two open hands lie on them."""
    finder = SpotFinder()
    hits = total = 0
    for sample in samples:
        spots = finder(sample.frame)
        points = sample.frame.camera.map(np.float64).unproject(spots.pixels, spots.depth)
        for side in (LEFT, RIGHT):
            away = np.linalg.norm(points - np.asarray(sample.hands.joints[side], float)[9], axis=-1)
            hits += bool(len(away) and away.min() < 0.08)
            total += 1
    assert hits >= total - 1


def test_a_frame_without_readings_has_no_spots(samples):
    """Neither has one whose few readings are too far away, nor one in which a single cell is measured."""
    frame = samples[0].frame
    finder = SpotFinder()
    depths = [np.zeros_like(frame.depth), np.full_like(frame.depth, 5.0), np.zeros_like(frame.depth)]
    depths[2][240:249, 320:329] = 0.6
    for depth in depths:
        assert len(finder(replace(frame, depth=depth)).score) <= 3


def test_rings_are_metres(samples):
    """The surroundings of a cell are the same for a camera with twice the focal length and pixels."""
    sample = samples[0]
    frame = sample.frame
    large = replace(
        frame,
        rgb=np.repeat(np.repeat(np.asarray(frame.rgb), 2, axis=1), 2, axis=2),
        depth=np.repeat(np.repeat(np.asarray(frame.depth), 2, axis=0), 2, axis=1),
        camera=frame.camera.resize(2 * frame.camera.width, 2 * frame.camera.height),
    )
    small, big = cells_of(frame), cells_of(large)
    assert big.size == 2 * small.size
    np.testing.assert_allclose(np.median(np.abs(small.around[:, 0] - big.around[: len(small.around), 0])), 0, atol=0.05)


def test_headings_follow_the_mass():
    share = np.array([0.05, 0.4, 0.4, 0.05, 0.02, 0.02, 0.03, 0.03])
    first = headings(share)[0][0]
    assert first == pytest.approx(1.5 * np.pi / 4, abs=0.3)
    assert len(headings(np.full(8, 1 / 8))) >= 2


def test_two_hands_of_one_side_are_told_by_readings_that_see_no_other_hand(samples):
    """A pair that sees each other is read as one person's, so what each hand says alone is kept."""
    told = []
    for sample in samples:
        finder = locator(sample)
        hands = finder.find(sample.frame)
        assert hands.alone is not None
        np.testing.assert_array_equal(np.sign(hands.alone), np.sign(hands.odds))
        assert finder.choose(sample.frame, hands).one_side is None
        told.append(finder.choose(sample.frame, replace(hands, alone=np.array([6.0, 7.0]))).one_side)
    clear = [suspicion for suspicion in told if suspicion is not None]  # others are too near each other to tell
    assert clear
    assert all(suspicion.side == RIGHT and suspicion.odds.min() > 2 for suspicion in clear)


@pytest.mark.parametrize(
    ("measured", "expected"),
    [(0.8, 0.8), (0.4, 0.4), (0.0, 1.0), (2.5, 1.0)],  # as usual; turned; no readings; what is behind it, through holes
)
def test_a_palm_is_not_farther_than_what_is_measured_at_its_place(samples, measured, expected):
    frame = samples[0].frame
    side = PALM_SIDE * float(np.mean(np.asarray(frame.camera.focal)))  # the size of a palm at 1 m
    frame = replace(frame, depth=np.full_like(frame.depth, measured))
    look = look_at_palm(frame, np.array([frame.camera.width / 2, frame.camera.height / 2, side, 0.0]))
    assert look.depth == pytest.approx(expected)


def readings(*joints: np.ndarray) -> Candidates:
    """Candidates (N,) with joints (21, 3), all sure of themselves."""
    count = len(joints)
    empty = no_candidates()
    many = {name: np.zeros((count, *values.shape[1:])) for name, values in vars(empty).items()}
    many |= {"present": np.linspace(0.99, 0.98, count), "joints": np.stack(joints), "sigma": many["sigma"] + 0.005}
    return replace(empty, **many)


@pytest.mark.parametrize(("between", "count"), [(0.06, 1), (0.09, 2)])
def test_hands_that_lie_in_each_other_are_two_if_their_palms_are_apart(between, count):
    """The fingers of each reach over the palm of the other one, and what is nearest to any joint is the other hand."""
    rng = np.random.default_rng(1)
    along = np.linspace(0, between, NUM_JOINTS)
    along[PALM] = 0.0
    hand = np.column_stack([along, np.zeros((NUM_JOINTS, 2))]) + rng.normal(0, 0.01, (NUM_JOINTS, 3)) + [0, 0, 0.5]
    other = hand * [-1, 1, 1] + [between, 0, 0]
    assert len(settled(readings(hand, other)).present) == count
