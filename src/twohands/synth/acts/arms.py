"""Arms by two-bone inverse kinematics: shoulder, elbow, forearm and a moderate bend of the wrist."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle, shortest_turn
from twohands.hands.free import free_hand
from twohands.synth.acts.poses import segment_distance
from twohands.types import LEFT, RIGHT

UPPER_ARM, FOREARM = 0.29, 0.255
"""Metres from shoulder to elbow and from elbow to wrist of an adult with the mean hand."""
_TURN_MEANS, _TURN_DEVIATIONS, _TURN_CHANCES = (12.0, 75.0, 150.0), (28.0, 24.0, 22.0), (0.48, 0.37, 0.15)
"""Degrees from palm down (0) through palm inwards (90) to palm up (180), and the probability of each kind."""
_TURNS = np.radians(np.arange(-40.0, 186.0, 15.0))
"""Turns of a forearm among which `reach` takes the one with the best score."""
_TURN_DEVIATION = 8.0  # degrees, from the turn with the best score
_LARGEST_BEND = np.radians(60.0)
_MIRROR = np.diag([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Arm:
    """One arm in the camera frame, metres."""

    hand: np.ndarray  # (3, 3) camera from wrist frame
    forearm: np.ndarray  # (3, 3) camera from forearm frame: +z towards the hand, +y dorsal
    wrist: np.ndarray  # (3,)
    elbow: np.ndarray  # (3,)
    shoulder: np.ndarray  # (3,)


def reach(
    rng: np.random.Generator,
    side: int,
    root: np.ndarray,
    local_root: np.ndarray,
    shoulder: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    scale: float,
    score: Callable[[Arm], float] | None = None,
) -> Arm:
    """Sample the arm whose middle knuckle is at `root`; axes are the body's forward, this side's outward, and up.

    With a `score` the forearm is turned, as far as forearms turn, about to where the score is largest.
    """
    forward, lateral, up = axes
    kind = rng.choice(3, p=_TURN_CHANCES)
    turn = np.radians(rng.normal(_TURN_MEANS[kind], _TURN_DEVIATIONS[kind]))
    bend = _wrist_bend(rng)
    if side == LEFT:
        bend = _MIRROR @ bend @ _MIRROR
    pole = -up + rng.uniform(0.1, 1.0) * lateral - 0.3 * forward  # direction in which the elbow hangs

    def solve(wrist: np.ndarray, turn: float = turn) -> Arm:
        elbow, start = _elbow(wrist, shoulder, pole, scale)
        along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
        forearm = _forearm_frame(side, along, up - 0.5 * forward, turn)
        hand = forearm @ bend
        return Arm(hand, forearm, root - hand @ local_root, elbow, start)

    arm = solve(root - 0.09 * forward)
    for _ in range(4):  # wrist position and hand direction depend on each other
        arm = solve(arm.wrist)
    if score is not None:
        turn = max(_TURNS, key=lambda candidate: score(solve(arm.wrist, candidate)))
        turn = turn + np.radians(rng.normal(0.0, _TURN_DEVIATION))
        for _ in range(4):
            arm = solve(arm.wrist, turn)
    return arm


def follow(arm: Arm, hand: np.ndarray, wrist: np.ndarray, scale: float) -> Arm | None:
    """Return the arm after its hand moved to `hand` (3, 3) and `wrist` (3,); elbow and, if needed, shoulder follow.

    Return None when the wrist would have to bend further than a wrist does.
    """
    pole = arm.elbow - 0.5 * (arm.shoulder + arm.wrist)
    elbow, shoulder = _elbow(wrist, arm.shoulder, pole, scale)
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    turn = shortest_turn(arm.forearm[:, 2], along)
    forearm = turn @ arm.forearm
    twist = axis_angle_from_matrix(forearm.T @ hand)[2]  # the forearm takes over most of the turn about its axis
    forearm = forearm @ matrix_from_axis_angle(np.array([0.0, 0.0, 0.8 * twist]))
    bend = np.linalg.norm(axis_angle_from_matrix(forearm.T @ hand))
    return Arm(hand, forearm, wrist, elbow, shoulder) if bend < _LARGEST_BEND else None


def carry(arm: Arm, wrist: np.ndarray, turn: float, bend: np.ndarray, scale: float) -> Arm:
    """Return the arm after its wrist moved to `wrist` (3,); elbow and, if needed, shoulder follow, and the hand turns.

    The forearm turns about itself by `turn` radians, and the wrist by the rotation `bend` (3, 3) in the hand's axes.
    """
    elbow, shoulder = _elbow(wrist, arm.shoulder, arm.elbow - 0.5 * (arm.shoulder + arm.wrist), scale)
    along = (wrist - elbow) / np.linalg.norm(wrist - elbow)
    forearm = shortest_turn(arm.forearm[:, 2], along) @ arm.forearm
    forearm = forearm @ matrix_from_axis_angle(np.array([0.0, 0.0, turn]))
    return Arm(forearm @ arm.forearm.T @ arm.hand @ bend, forearm, wrist, elbow, shoulder)


def _elbow(wrist: np.ndarray, shoulder: np.ndarray, pole: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the elbow, bent towards `pole`, and the shoulder, moved if the wrist is out of reach: the person leans."""
    upper, fore = UPPER_ARM * scale, FOREARM * scale
    straight = wrist - shoulder
    distance = float(np.linalg.norm(straight))
    allowed = float(np.clip(distance, 0.45 * (upper + fore), 0.96 * (upper + fore)))
    axis = straight / max(distance, 1e-6)
    start = wrist - allowed * axis
    along = (upper**2 - fore**2 + allowed**2) / (2 * allowed)
    return start + along * axis + np.sqrt(max(upper**2 - along**2, 0.0)) * _orthogonal(pole, axis), start


def _wrist_bend(rng: np.random.Generator) -> np.ndarray:
    """Sample the hand's rotation (3, 3) in a right forearm's frame; extension is commoner than flexion at work."""
    flexion = np.radians(np.clip(rng.normal(-8.0, 17.0), -45.0, 35.0))
    abduction = np.radians(np.clip(rng.normal(-4.0, 8.0), -22.0, 14.0))
    axes = free_hand().joint_frames[0].astype(np.float64)
    return matrix_from_axis_angle(abduction * axes[:, 1]) @ matrix_from_axis_angle(flexion * axes[:, 0])


def _forearm_frame(side: int, z: np.ndarray, reference: np.ndarray, turn: float) -> np.ndarray:
    """Return columns x, y, z: +z towards the hand, +y dorsal; turned outwards by `turn` radians from palm down."""
    y = _orthogonal(reference, z)
    x = np.cross(y, z)
    sine = -np.sin(turn) if side == RIGHT else np.sin(turn)
    dorsal = np.cos(turn) * y + sine * x
    return np.stack([np.cross(dorsal, z), dorsal, z], axis=-1)


def _orthogonal(vector: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Return the unit vector of `vector` without its part along the unit vector `axis`."""
    rest = vector - (vector @ axis) * axis
    return rest / max(float(np.linalg.norm(rest)), 1e-9)


def arms_collide(arms: tuple[Arm, Arm], joints: np.ndarray, scale: float) -> bool:
    """Return whether a forearm runs through the other forearm or hand, joints (2, 21, 3) metres."""
    radius = 0.034 * scale
    ends = [(arm.wrist - 0.03 * arm.forearm[:, 2], arm.elbow) for arm in arms]
    if segment_distance(*(np.asarray(point)[None] for pair in ends for point in pair))[0] < 2 * radius:
        return True
    bones = ([0, 5, 9, 17, 8, 12], [9, 8, 12, 20, 7, 11])
    for side in (LEFT, RIGHT):
        forearm = [np.tile(point, (len(bones[0]), 1)) for point in ends[1 - side]]
        if segment_distance(joints[side][bones[0]], joints[side][bones[1]], *forearm).min() < radius + 0.012:
            return True
    return False


def hidden_fraction(arms: tuple[Arm, Arm], joints: np.ndarray, scale: float) -> float:
    """Return the largest fraction of one hand's joints that the other forearm or palm hides from the camera."""
    fractions = []
    for side in (LEFT, RIGHT):
        arm, other = arms[1 - side], joints[1 - side]
        start, end = np.zeros_like(joints[side]), 0.96 * joints[side]  # from the camera to just before the joint
        solids = ((arm.wrist, arm.elbow, 0.036), (other[0], other[5], 0.02), (other[0], other[17], 0.02))
        gaps = [
            segment_distance(start, end, np.tile(a, (len(start), 1)), np.tile(b, (len(start), 1))) - radius * scale
            for a, b, radius in solids
        ]
        fractions.append(float((np.min(gaps, axis=0) < 0).mean()))
    return max(fractions)
