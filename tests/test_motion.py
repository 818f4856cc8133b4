"""Motion: the filter and the smoother, one shape, no jumps, short gaps filled, sides that are kept."""

from dataclasses import replace

import numpy as np
import pytest

from twohands.geometry.camera import Camera
from twohands.hands import free_hand
from twohands.locate.people import choose_hands
from twohands.locate.sides import Candidates
from twohands.motion import Follower, Steady, steady
from twohands.motion.kalman import Filtered, begun, corrected, predicted, smoothed
from twohands.types import LEFT, RIGHT, HandParameters, LocatedHands, Quality, RGBDFrame, TwoHands

MODEL = free_hand(63)
RATE = 30.0


def moving(count: int = 150, seed: int = 0) -> list[tuple[float, TwoHands]]:
    """Two hands of one shape that wave smoothly, with time stamps: the truth."""
    rng = np.random.default_rng(seed)
    shape = rng.normal(0, 1, 10)
    sequence = []
    for number in range(count):
        t = number / RATE
        parameters = MODEL.neutral()
        parameters.shape[:] = shape
        parameters.translation[:] = [[-0.15, 0, 0.6], [0.15, 0, 0.6]]
        parameters.translation[:, 0] += 0.08 * np.sin(2.0 * t)
        parameters.translation[:, 1] += 0.05 * np.sin(3.1 * t)
        parameters.rotation[:] = np.array([[0.3, 0, 0], [0, 0.4, 0]]) * np.sin(1.7 * t)
        parameters.pose[:, :, 0] = 0.4 * np.sin(2.3 * t)
        sequence.append((t, as_hands(parameters)))
    return sequence


def of(hands: TwoHands) -> HandParameters:
    """The parameters of hands that have them."""
    assert hands.parameters is not None
    return hands.parameters


def as_hands(parameters, sigma=0.006, confidence=0.9) -> TwoHands:
    quality = Quality(
        np.full(2, 0.003),
        np.full(2, 0.7),
        np.ones(2, bool),
        np.zeros(2),
        np.full(2, confidence),
        np.full((2, 21, 2), sigma),
    )
    return replace(MODEL(parameters), present=np.ones(2, np.float32), quality=quality)


def shaken(sequence, seed: int = 1) -> list[tuple[float, TwoHands]]:
    """The sequence as frames alone would give it: noise on place, rotation, fingers and shape."""
    rng = np.random.default_rng(seed)
    result = []
    for t, hands in sequence:
        parameters = of(hands).map(lambda array: np.array(array, np.float64))
        parameters.translation[:] += rng.normal(0, 0.004, (2, 3))
        parameters.rotation[:] += rng.normal(0, 0.04, (2, 3))
        parameters.pose[:] += rng.normal(0, 0.08, (2, 15, 3))
        parameters.shape[:] += rng.normal(0, 0.8, (2, 10))
        result.append((t, as_hands(parameters)))
    return result


def without(hands: TwoHands, *sides: int) -> TwoHands:
    present = np.array([0.0 if side in sides else p for side, p in enumerate(hands.present)], np.float32)
    return replace(hands, present=present)


def joints(hands) -> np.ndarray:
    return np.stack([h.joints for h in hands])


def shaking(points: np.ndarray, truth: np.ndarray) -> float:
    """Mean error of the acceleration, metres a second squared."""
    second = [np.diff(values, n=2, axis=0) * RATE**2 for values in (points, truth)]
    return float(np.linalg.norm(second[0] - second[1], axis=-1).mean())


def error(points: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(points - truth, axis=-1).mean())


def test_filter_and_smoother_agree_with_least_squares():
    """The smoother's positions are those of the normal equations of the whole chain."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.06, 8))
    values = rng.normal(0, 1, (8, 1))
    deviation, acceleration, speed = np.array([0.3]), np.array([2.0]), np.array([0.7])
    estimate = begun(values[0], deviation, speed)
    steps = [Filtered(np.eye(2), estimate, estimate)]
    for i in range(1, 8):
        transition, expected = predicted(estimate, times[i] - times[i - 1], acceleration)
        estimate = corrected(expected, values[i], deviation)
        steps.append(Filtered(transition, expected, estimate))
    information, right = np.zeros((16, 16)), np.zeros(16)
    information[1, 1] += 1 / speed[0] ** 2
    for i in range(8):
        information[2 * i, 2 * i] += 1 / deviation[0] ** 2
        right[2 * i] += values[i, 0] / deviation[0] ** 2
        if i:
            dt = times[i] - times[i - 1]
            noise = acceleration[0] ** 2 * np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])
            rows = np.concatenate([-np.array([[1, dt], [0, 1]]), np.eye(2)], axis=1)
            own = slice(2 * i - 2, 2 * i + 2)
            information[own, own] += rows.T @ np.linalg.inv(noise) @ rows
    best = np.linalg.solve(information, right)[::2]
    np.testing.assert_allclose([e.position[0] for e in smoothed(steps)], best, atol=1e-8)


def test_online_motion_shakes_less_without_losing_accuracy():
    truth = moving()
    seen = shaken(truth)
    filter_ = Steady(MODEL)
    online = [filter_(hands, t) for t, hands in seen]
    true, before, after = joints(h for _, h in truth), joints(h for _, h in seen), joints(online)
    assert shaking(after, true) < 0.6 * shaking(before, true)
    assert error(after, true) < error(before, true)


def test_two_passes_shake_least_and_have_no_lag():
    truth = moving()
    seen = shaken(truth)
    both = joints(steady(seen, MODEL, two_pass=True))
    true, before = joints(h for _, h in truth), joints(h for _, h in seen)
    assert shaking(both, true) < shaking(before, true) / 3
    assert error(both, true) < 0.8 * error(before, true)
    shifted = [error(both[5:140], true[5 + lag : 140 + lag]) for lag in (-1, 0, 1)]
    assert np.argmin(shifted) == 1


def test_no_smoothing_keeps_places_and_fingers():
    """The shape is still the person's."""
    seen = shaken(moving(40))
    kept = steady(seen, MODEL, smooth=0.0)
    for (_, before), after in zip(seen, kept, strict=True):
        np.testing.assert_allclose(of(after).pose, of(before).pose, atol=1e-4)


def test_one_shape_within_two_per_cent_of_the_truth():
    truth = moving(90)
    filter_ = Steady(MODEL)
    online = [filter_(hands, t) for t, hands in shaken(truth)]
    lengths = [np.linalg.norm(h.joints[:, 9] - h.joints[:, 0], axis=-1) for h in online[60:]]
    true = np.linalg.norm(truth[0][1].joints[:, 9] - truth[0][1].joints[:, 0], axis=-1)
    np.testing.assert_allclose(lengths, np.broadcast_to(true, (30, 2)), rtol=0.02)
    assert np.std(lengths) / np.mean(lengths) < 0.015


def test_fists_and_unsure_hands_say_little_of_the_shape():
    """Two thirds of the frames show a fist, or are unsure, and have a wrong shape."""
    truth = moving(90)
    for fist, sigma in ((1.3, 0.006), (0.0, 0.03)):
        sequence = []
        for number, (t, hands) in enumerate(truth):
            parameters = of(hands).map(lambda array: np.array(array, np.float64))
            if number % 3:
                parameters.shape[:] -= 2.0
                parameters.pose[:, 3:, 0] += fist
            sequence.append((t, as_hands(parameters, sigma if number % 3 else 0.006)))
        kept = steady(sequence, MODEL)
        np.testing.assert_allclose(of(kept[-1]).shape, of(truth[0][1]).shape, atol=1e-5)


def test_a_jump_is_not_believed_and_a_lasting_one_is():
    sequence = moving(60)
    far = sequence[30][1]
    parameters = of(far).map(lambda array: np.array(array, np.float64))
    parameters.translation[RIGHT] += [0.4, 0, 0]
    sequence[30] = (sequence[30][0], as_hands(parameters))
    kept = steady(sequence, MODEL)
    assert np.linalg.norm(kept[30].joints[RIGHT, 0] - sequence[29][1].joints[RIGHT, 0]) < 0.05
    assert kept[30].status[RIGHT] == "infilled"
    for number in range(30, 60):
        parameters = of(moving(60)[number][1]).map(lambda array: np.array(array, np.float64))
        parameters.translation[RIGHT] += [0.4, 0, 0]
        sequence[number] = (sequence[number][0], as_hands(parameters))
    kept = steady(sequence, MODEL)
    assert all(h.status[RIGHT] == "fitted" for h in kept)  # also in the frames that were doubted at first
    assert np.linalg.norm(kept[50].joints[RIGHT, 0] - sequence[50][1].joints[RIGHT, 0]) < 0.02


def test_short_gaps_are_filled_and_long_ones_are_not():
    truth = moving(120)
    sequence = [(t, without(h, LEFT) if 40 <= n < 50 or 70 <= n < 100 else h) for n, (t, h) in enumerate(truth)]
    kept = steady(sequence, MODEL, two_pass=True)
    for number in range(40, 50):
        assert kept[number].status[LEFT] == "infilled"
        away = np.linalg.norm(kept[number].joints[LEFT] - truth[number][1].joints[LEFT], axis=-1).mean()
        assert away < 0.025
        quality = kept[number].quality
        assert quality is not None
        assert np.isnan(quality.depth_residual[LEFT])
    assert all(kept[number].status[LEFT] == "absent" for number in range(72, 98))
    assert all(h.status[RIGHT] == "fitted" for h in kept)


def test_online_a_lost_hand_is_carried_for_three_frames():
    truth = moving(60)
    filter_ = Steady(MODEL)
    states = [filter_(without(h, LEFT) if 20 <= n < 40 else h, t).status[LEFT] for n, (t, h) in enumerate(truth)]
    assert states[19] == "fitted"
    assert states[20:23] == ["infilled"] * 3
    assert states[23:40] == ["absent"] * 17
    assert states[40] == "fitted"


def test_another_person_gets_another_shape():
    first, second = moving(60, seed=0), moving(60, seed=5)
    sequence = first + [(t + 10, h) for t, h in second]
    kept = steady(sequence, MODEL)
    for part, number in ((first, 50), (second, 110)):
        length = np.linalg.norm(part[0][1].joints[0, 9] - part[0][1].joints[0, 0])
        here = kept[number].joints
        assert np.linalg.norm(here[0, 9] - here[0, 0]) == pytest.approx(length, rel=0.01)


def test_time_stamps_count_and_not_frame_numbers():
    """Half of the frames of a recording, at their times, give nearly the same motion."""
    seen = shaken(moving(120))
    all_frames, half = steady(seen, MODEL, two_pass=True), steady(seen[::2], MODEL, two_pass=True)
    away = error(joints(all_frames[::2]), joints(half))
    assert away < 0.006


class Scripted:
    """Stand-in of a locator: two hands at fixed places whose side is read from a script of log-odds."""

    def __init__(self, odds: list[tuple[float, float]], lost: frozenset[int] = frozenset()):
        self.odds, self.lost, self.frame, self.searched = odds, lost, 0, []

    def _hands(self) -> Candidates:
        rng = np.random.default_rng(0)
        shape = rng.normal(0, 30, (21, 2))
        pixels = np.stack([shape + [150 + self.frame, 240], shape + [450 - self.frame, 240]])
        odds = np.array(self.odds[self.frame], float)
        count = slice(0, 1) if self.frame in self.lost else slice(0, 2)
        region = np.column_stack([pixels.mean(axis=1), np.full((2, 2), [200.0, 0.0])])
        present, right = np.ones(2), 1 / (1 + np.exp(-odds))
        return Candidates(present, right, pixels, np.zeros((2, 21, 3)), region, odds)[list(range(2))[count]]

    def find(self, frame, known=None):
        self.searched.append(self.frame)
        return self._hands()

    def follow(self, frame, known):
        return self._hands()

    def choose(self, frame, hands):
        present, pixels = np.zeros(2), np.full((2, 21, 2), np.nan)
        order = np.argsort(hands.odds)
        sides = {LEFT: order[0], RIGHT: order[-1]} if len(order) > 1 else {int(hands.odds[0] > 0): 0}
        for side, hand in sides.items():
            present[side], pixels[side] = 1, hands.pixels[hand]
        self.frame += 1
        return LocatedHands(present, pixels, np.zeros((2, 21, 3)), np.zeros((2, 4)), np.ones(2))


FRAME = RGBDFrame(np.zeros((3, 8, 8), np.float32), np.zeros((8, 8), np.float32), Camera(np.eye(3), 8, 8))


def test_sides_are_exchanged_only_on_lasting_evidence():
    steady_odds, wrong = (-3.0, 3.0), (2.0, -2.0)
    script = [steady_odds] * 6 + [wrong] + [steady_odds] * 3 + [wrong] * 12
    follower = Follower(Scripted(script))
    lefts = []
    for number in range(len(script)):
        follower.at(number / 30)
        lefts.append(follower(FRAME).pixels[LEFT, :, 0].mean() < 300)
    assert all(lefts[:11])  # one frame says otherwise and is not followed
    assert not lefts[-1]  # many frames say so


@pytest.mark.parametrize("rate", [10, 15, 60])
def test_exchanging_sides_takes_time_and_not_frames(rate):
    """It takes about as many seconds as at 30 frames a second, and more than one frame."""
    seconds = []
    for each in (30, rate):
        script = [(-2.0, 2.0)] * each + [(2.0, -2.0)] * 2 * each
        follower = Follower(Scripted(script))
        for number in range(len(script)):
            follower.at(number / each)
            if follower(FRAME).pixels[LEFT, :, 0].mean() > 300:
                seconds.append((number - each) / each)
                break
    assert seconds[0] > 0.1
    assert seconds[1] == pytest.approx(seconds[0], abs=0.12)
    assert seconds[1] >= 1 / rate


def test_a_hand_that_was_lost_for_a_moment_keeps_its_side():
    """It is read as of the other side when it comes back, more surely than the hand that stayed."""
    script = [(-1.0, 3.0)] * 8 + [(-1.0, -3.0)] * 12
    follower = Follower(Scripted(script, lost=frozenset(range(8, 12))))
    rights = []
    for number in range(14):
        follower.at(number / 30)
        rights.append(follower(FRAME).pixels[RIGHT, :, 0].mean())
    assert np.isnan(rights[8:12]).all()
    assert rights[12] > 300
    memory = follower.memory()
    other = Follower(Scripted(script))
    other.recall(memory)
    np.testing.assert_array_equal(other.memory(), memory)


class OfOneSide(Scripted):
    """The same, with what the hands seem to be without each other, and the real choice of hands."""

    def __init__(self, alone: list[tuple[float, float]]):
        super().__init__([(-1.0, 1.0)] * len(alone))
        self.alone = alone

    def _hands(self):
        hands = super()._hands()
        return replace(hands, alone=np.array(self.alone[self.frame], float))

    def choose(self, frame, hands):
        self.frame += 1
        places = np.array([[-0.2, 0, 0.6], [0.2, 0, 0.6]])
        return choose_hands(hands, places)


def of_one_side(alone: list[tuple[float, float]]) -> list[bool]:
    """Return for each frame whether its two hands are believed to be of one side."""
    follower, believed = Follower(OfOneSide(alone)), []
    for number in range(len(alone)):
        follower.at(number / 30)
        suspicion = follower(FRAME).one_side
        believed.append(suspicion is not None and suspicion.is_sure)
    return believed


def test_a_pair_stays_a_pair_while_one_of_its_hands_looks_like_the_other():
    assert of_one_side([(3.0, 4.0)]) == [True]
    assert not any(of_one_side([(-3.0, 3.0)] * 15 + [(3.0, 4.0)] * 15))


def test_hands_of_two_people_stay_of_one_side_until_more_frames_say_otherwise():
    believed = of_one_side([(4.0, 4.0)] * 10 + [(-4.0, 4.0)] * 2 + [(4.0, 4.0)] * 10 + [(-6.0, 6.0)] * 20)
    assert all(believed[:22])
    assert not any(believed[-10:])


def test_the_frame_is_searched_only_when_a_hand_is_lost_or_at_a_slow_beat():
    locator = Scripted([(-3.0, 3.0)] * 40, lost=frozenset(range(20, 40)))
    follower = Follower(locator)
    for number in range(40):
        follower.at(number / 30)
        follower(FRAME)
    assert locator.searched[0] == 0
    half_a_second = [number for number in locator.searched if 20 <= number < 34]
    assert half_a_second == list(range(20, 34))
    assert 1 <= len(locator.searched) - 15 <= 3


def test_a_follower_goes_on_from_its_memory():
    script = [(-3.0, 3.0)] * 5 + [(2.0, -2.0)] + [(-3.0, 3.0)] * 5
    whole, first = Scripted(script), Scripted(script)
    follower, cut = Follower(whole), Follower(first)
    for number in range(len(script)):
        if number == 6:
            memory = cut.memory()
            cut = Follower(first)
            cut.recall(memory)
        follower.at(number / 30)
        cut.at(number / 30)
        np.testing.assert_array_equal(follower(FRAME).pixels, cut(FRAME).pixels)
        assert whole.searched == first.searched
    np.testing.assert_array_equal(follower.memory(), cut.memory())
