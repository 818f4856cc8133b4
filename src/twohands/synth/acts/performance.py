"""Motion of two hands: smooth functions of time which repeat after `PERIOD` seconds.

Both hands sway and turn slowly, their fingers close to a held pose and open again, the hands cross each other twice,
and each of two times one hand leaves the picture and comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.free import free_hand
from twohands.hands.skeleton import ROOT
from twohands.synth.acts.arms import Arm, carry
from twohands.synth.acts.placement import Staging
from twohands.synth.acts.poses import held_pose, penetration, sample_angles, segment_distance
from twohands.types import LEFT, RIGHT, HandParameters

PERIOD = 10.0
"""Seconds after which the motion repeats."""
CROSSINGS, EXITS = (1.4, 6.3), (3.9, 8.5)
"""Middles, in seconds, of the times when the hands have crossed, and when a hand is outside the picture."""
CLOSEST_WRISTS, FASTEST = 0.08, 1.0
"""Least metres between the wrists, and most metres a second of a wrist."""
_FASTEST_JOINT = 1.12
"""Most metres a second of any joint."""
_GAP = 0.0
"""Seconds that a hand rests outside the picture; with the slow ends of its way it is absent for about 0.4 more."""
_BEYOND = 0.045
"""Metres that a hand goes beyond the place where its last joint leaves the picture, so that hardly any skin is seen."""
_EXIT_SPEED = 0.70
"""Largest speed on the way out of the picture in metres a second, besides the sway."""
_SWAY = np.array([0.045, 0.035, 0.025])  # metres to the right, forward and up
_BEND = np.radians([12.0, 6.0, 22.0])  # flexion and abduction of the wrist, turn of the forearm
_FINGERS = np.radians(7.0)  # each finger by itself
_CROSSED = 0.08  # metres between the roots across the body when the hands have crossed
_CROSS_RAMP, _CROSS_HOLD = 0.95, 0.30  # seconds
_DEEPEST = 0.004  # metres, deepest overlap of the two hands' capsules
_ARM_RADIUS = 0.033  # metres
_STEP = 1 / 15
"""Seconds between the moments at which a motion is examined."""


@dataclass(frozen=True)
class Waves:
    """Sums of three slow sinusoids for N values."""

    size: np.ndarray  # (3, N)
    count: np.ndarray  # (3, N) whole periods in `PERIOD`
    phase: np.ndarray  # (3, N) radians

    @staticmethod
    def sample(rng: np.random.Generator, reach: np.ndarray) -> Waves:
        """Sample waves with values within `reach` (N,)."""
        shape = (3, len(reach))
        size = reach * rng.dirichlet(np.ones(3), len(reach)).T
        return Waves(size, rng.integers(1, 6, shape), rng.uniform(0, 2 * np.pi, shape))

    def __call__(self, seconds: float) -> np.ndarray:
        """Return the values (N,) at a time."""
        return (self.size * np.sin(2 * np.pi * self.count * seconds / PERIOD + self.phase)).sum(axis=0)


@dataclass(frozen=True)
class Rise:
    """A smooth step from 0 to 1 and back, centred about `middle`, repeated after `PERIOD`."""

    middle: float
    ramp: float
    hold: float  # seconds at 1

    def __call__(self, seconds: float) -> float:
        """Return the value at a time."""
        away = abs((seconds - self.middle + 0.5 * PERIOD) % PERIOD - 0.5 * PERIOD)
        x = float(np.clip((0.5 * self.hold + self.ramp - away) / self.ramp, 0.0, 1.0))
        return x**3 * (10 - 15 * x + 6 * x * x)


@dataclass(frozen=True)
class Shift:
    """A way of one wrist (3,) metres that is made and taken back."""

    side: int
    rise: Rise
    way: np.ndarray


@dataclass(frozen=True)
class Performance:
    """Everything that fixes the motion; `base` is the person with the hands in the middle of their sway."""

    base: Staging
    opened: np.ndarray  # (2, 16, 3) angles of the open hands
    closed: np.ndarray  # (2, 16, 3) angles of the hands that hold something
    sway: tuple[Waves, Waves]
    turns: tuple[Waves, Waves]
    fingers: tuple[Waves, Waves]
    grips: tuple[tuple[Rise, ...], tuple[Rise, ...]]
    shifts: tuple[Shift, ...]

    def at(self, seconds: float) -> Staging:
        """Return the person at a time in seconds."""
        return self.over([self.arms(seconds)], [seconds])[0]

    def over(self, arms: Sequence[tuple[Arm, Arm]], times: Sequence[float]) -> list[Staging]:
        """Return the person at many times, whose `arms` are known."""
        angles = np.array([[self._angles(side, seconds) for side in (LEFT, RIGHT)] for seconds in times])
        turned = axis_angle_from_matrix(np.array([[arm.hand for arm in pair] for pair in arms]))
        parameters = HandParameters(
            pose=free_hand().pose_from_angles(angles.astype(np.float32)),
            shape=np.broadcast_to(self.base.shape, (len(times), 2, len(self.base.shape))),
            rotation=turned.astype(np.float32),
            translation=np.array([[arm.wrist for arm in pair] for pair in arms], dtype=np.float32),
        )
        joints = np.asarray(free_hand(63)(parameters).joints, dtype=np.float64)
        together = zip(angles, arms, joints, strict=True)
        return [replace(self.base, angles=a, arms=pair, joints=j) for a, pair, j in together]

    def arms(self, seconds: float) -> tuple[Arm, Arm]:
        """Return the arms at a time in seconds."""
        return self._arm(LEFT, seconds), self._arm(RIGHT, seconds)

    def wrist(self, side: int, seconds: float) -> np.ndarray:
        """Return the place (3,) of a wrist in metres."""
        view = self.base.view
        axes = np.stack([view.right, view.forward, view.up])
        ways = [shift.rise(seconds) * shift.way for shift in self.shifts if shift.side == side]
        return self.base.arm(side).wrist + self.sway[side](seconds) @ axes + np.sum(ways, axis=0)

    def _arm(self, side: int, seconds: float) -> Arm:
        flexion, abduction, turn = self.turns[side](seconds)
        axes = free_hand().joint_frames[0].astype(np.float64)
        bend = matrix_from_axis_angle(flexion * axes[:, 0] + abduction * axes[:, 1])
        return carry(self.base.arm(side), self.wrist(side, seconds), float(turn), bend, self.base.scale)

    def _angles(self, side: int, seconds: float) -> np.ndarray:
        if side in self.base.holders:
            return self.base.angles[side]
        weight = max(rise(seconds) for rise in self.grips[side])
        angles = self.opened[side] + weight * (self.closed[side] - self.opened[side])
        angles[1:, 0] += (1 - weight) * np.repeat(self.fingers[side](seconds), 3) * np.tile([0.7, 1.0, 0.6], 5)
        limits = free_hand().limits
        return np.clip(angles, limits[..., 0], limits[..., 1])


def sample_performance(rng: np.random.Generator, base: Staging) -> Performance | None:
    """Sample the motion of a person with two hands; return None where it would be unnatural."""
    sway, turns, fingers = (
        (Waves.sample(rng, reach), Waves.sample(rng, reach)) for reach in (_SWAY, _BEND, np.full(5, _FINGERS))
    )
    grips = (_grips(rng), _grips(rng))
    opened, closed = (np.stack([draw(rng), draw(rng)]) for draw in (sample_angles, held_pose))
    crossings = [shift for middle in CROSSINGS for shift in _crossing(rng, base, middle)]
    performance = Performance(base, opened, closed, sway, turns, fingers, grips, tuple(crossings))
    for middle, side in zip(EXITS, rng.permutation(2), strict=True):
        exit_ = _exit(performance, int(side), middle)
        if exit_ is None:
            return None
        performance = replace(performance, shifts=(*performance.shifts, exit_))
    return performance if _natural(performance) else None


def moments(performance: Performance, step: float) -> list[Staging]:
    """Return the person at equally spaced times of the whole motion."""
    times = np.arange(0, PERIOD, step).tolist()
    return performance.over([performance.arms(seconds) for seconds in times], times)


def shown(staging: Staging, side: int) -> np.ndarray:
    """Return which joints (21,) of a hand lie in the picture."""
    camera = staging.view.camera
    pixels = camera.project(staging.joints[side])
    inside = (pixels >= -0.5) & (pixels < np.array([camera.width, camera.height]) - 0.5)
    return inside.all(axis=-1) & (staging.joints[side][:, 2] > 0)


def _grips(rng: np.random.Generator) -> tuple[Rise, ...]:
    """Sample the times at which the fingers of one hand are closed."""
    middles = rng.uniform(0.0, 0.4) * PERIOD + np.array([0.0, 0.3, 0.65]) * PERIOD
    return tuple(Rise(float(middle), rng.uniform(0.35, 0.7), rng.uniform(0.2, 0.8)) for middle in middles)


def _crossing(rng: np.random.Generator, base: Staging, middle: float) -> list[Shift]:
    """Sample a time at which the hands change their places across the body, one above or before the other."""
    across = np.cross(base.body_forward, base.view.up)
    apart = float((base.joints[RIGHT, ROOT] - base.joints[LEFT, ROOT]) @ across)
    slope = rng.uniform(-0.5, 0.5)
    off = np.cos(slope) * base.view.up + np.sin(slope) * base.body_forward
    off = rng.uniform(0.06, 0.09) * rng.choice([-1.0, 1.0]) * off
    rise = Rise(middle, _CROSS_RAMP + 0.5 * max(apart - 0.2, 0.0), _CROSS_HOLD)
    before = Rise(middle, 0.7 * _CROSS_RAMP, _CROSS_HOLD + 1.0)  # the hands are apart before they come close
    way = 0.5 * (apart + _CROSSED) * across
    shifts = [(LEFT, rise, way), (RIGHT, rise, -way), (LEFT, before, off), (RIGHT, before, -off)]
    return [Shift(*shift) for shift in shifts]


def _exit(performance: Performance, side: int, middle: float) -> Shift | None:
    """Return the shortest way out of the picture, to the hand's own side or, for a camera on the head, backwards."""
    base = performance.base
    across = np.cross(base.body_forward, base.view.up)
    directions = [across if side == RIGHT else -across]
    if base.egocentric:
        directions += [-base.body_forward, (directions[0] - base.body_forward) / np.sqrt(2)]
    found = [(_way_out(performance, side, middle, direction), direction) for direction in directions]
    length, direction = min(found, key=lambda pair: pair[0])
    if not np.isfinite(length):
        return None
    return Shift(side, Rise(middle, 1.875 * length / _EXIT_SPEED, _GAP), length * direction)


def _way_out(performance: Performance, side: int, middle: float, direction: np.ndarray) -> float:
    """Return the least length in metres of a way after which no joint is in the picture; inf where it is too long."""
    low, high = 0.0, 0.72

    def outside(length: float) -> bool:
        shift = Shift(side, Rise(middle, 1.0, _GAP), length * direction)
        trial = replace(performance, shifts=(*performance.shifts, shift))
        times = middle + np.array([-0.5, 0.5]) * (_GAP + 0.05)
        return not any(shown(trial.at(float(time)), side).any() for time in times)

    if not outside(high):
        return np.inf
    for _ in range(7):
        length = 0.5 * (low + high)
        low, high = (low, length) if outside(length) else (length, high)
    return high + _BEYOND


def _natural(performance: Performance) -> bool:
    """Return whether the hands stay in the picture but for the exits, at moderate speed, and do not collide."""
    times = np.arange(0, PERIOD, _STEP)
    wrists = np.array([[performance.wrist(side, float(time)) for side in (LEFT, RIGHT)] for time in times])
    if np.linalg.norm(wrists[:, LEFT] - wrists[:, RIGHT], axis=-1).min() < CLOSEST_WRISTS:
        return False
    speeds = np.linalg.norm(np.diff(wrists, axis=0), axis=-1) / _STEP
    if speeds.max() > FASTEST:
        return False
    arms = [performance.arms(float(time)) for time in times]
    scale = performance.base.scale
    ends = np.array([[(arm.wrist, arm.elbow) for arm in pair] for pair in arms])  # (T, 2, 2, 3)
    if segment_distance(ends[:, 0, 0], ends[:, 0, 1], ends[:, 1, 0], ends[:, 1, 1]).min() < 2 * _ARM_RADIUS * scale:
        return False
    stagings = performance.over(arms, times.tolist())
    joints = np.array([staging.joints for staging in stagings])
    if np.linalg.norm(np.diff(joints, axis=0), axis=-1).max() > _FASTEST_JOINT * _STEP:
        return False
    if _arms_hit_hands(joints, ends, scale):
        return False
    for time, staging in zip(times, stagings, strict=True):
        for side in (LEFT, RIGHT):
            leaving = any(s.side == side and s.rise.middle in EXITS and s.rise(time) > 0 for s in performance.shifts)
            if not leaving and shown(staging, side).mean() < 0.75:
                return False
        if staging.joints[..., 2].min() < 0.18 or penetration(*staging.joints) > _DEEPEST:
            return False
    return _object_free(stagings)


def _arms_hit_hands(joints: np.ndarray, ends: np.ndarray, scale: float) -> bool:
    """Return whether a forearm, its ends (T, 2, 2, 3), ever runs through the other hand, joints (T, 2, 21, 3)."""
    for side in (LEFT, RIGHT):
        for first, last in ((0, 9), (5, 8), (9, 12), (17, 20)):
            hand = joints[:, side, first], joints[:, side, last]
            gap = segment_distance(*hand, ends[:, 1 - side, 0], ends[:, 1 - side, 1])
            if gap.min() < _ARM_RADIUS * scale + 0.012:
                return True
    return False


def _object_free(stagings: Sequence[Staging]) -> bool:
    """Return whether the held object never touches the other hand."""
    grasp, holder = stagings[0].grasp, stagings[0].holder
    if grasp is None or holder is None:
        return True
    mirror = [-1.0, 1.0, 1.0] if holder == LEFT else [1.0, 1.0, 1.0]
    for staging in stagings:
        arm, other = staging.arm(holder), staging.arm(1 - holder)
        points = np.concatenate([staging.joints[1 - holder], np.linspace(other.wrist, other.elbow, 8)])
        if not grasp.free_of((points - arm.wrist) @ arm.hand * mirror, 0.022):
            return False
    return True
