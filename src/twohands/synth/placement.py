"""Where the camera, the person and both hands are.

A person has shoulders, upper arms and forearms: the hands' orientation follows from where they are (two-bone inverse
kinematics), the turn of the forearm and a moderate bend of the wrist. Everything is in the camera frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.geometry.camera import Camera
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.free import free_hand
from twohands.hands.skeleton import ROOT
from twohands.synth.config import SynthConfig
from twohands.synth.poses import (
    hand_parameters,
    held_pose,
    local_joints,
    local_rest_bone,
    penetration,
    sample_angles,
    segment_distance,
)
from twohands.types import LEFT, RIGHT, HandParameters

UPPER_ARM, FOREARM = 0.29, 0.255
"""Metres from shoulder to elbow and from elbow to wrist of an adult with the mean hand."""
_MIRROR = np.diag([-1.0, 1.0, 1.0])
_TRIES = 80
_SHORTEST_PALM = 0.22
"""Least length of the palm in the image over the hand's stretched length; 0.48 where the palm is seen square on."""
_MOST_HIDDEN = 0.45
"""Largest share of a hand's joints that the person's other arm may hide."""
_LEAST_OFFSET = 0.45
"""Least distance in the image of two roots over a hand's length: one hand may hide much of the other, not all."""


@dataclass(frozen=True)
class View:
    """The camera and the level world around it: unit vectors (3,) in the camera frame."""

    camera: Camera
    right: np.ndarray
    forward: np.ndarray
    up: np.ndarray


@dataclass(frozen=True)
class Arm:
    """One arm, camera frame, metres."""

    hand: np.ndarray  # (3, 3) camera from wrist frame
    forearm: np.ndarray  # (3, 3) camera from forearm frame: +z towards the hand, +y dorsal
    wrist: np.ndarray  # (3,)
    elbow: np.ndarray  # (3,)
    shoulder: np.ndarray  # (3,)


@dataclass(frozen=True)
class Staging:
    """Camera, person and hands of a frame."""

    view: View
    egocentric: bool
    body_forward: np.ndarray  # (3,) where the person looks, level
    center: np.ndarray  # (3,) metres, the middle of what the hands do
    shape: np.ndarray  # (S,)
    scale: float  # size of the person's hand over the mean hand's
    angles: np.ndarray  # (2, 16, 3)
    arms: tuple[Arm | None, Arm | None]
    joints: np.ndarray  # (2, 21, 3) metres; meaningless where there is no arm
    holder: int | None  # the hand posed to hold something

    def parameters(self) -> HandParameters:
        """The model's parameters; absent hands rest half a metre in front of the camera."""
        rotation, translation = np.zeros((2, 3)), np.tile([0.0, 0.0, 0.5], (2, 1))
        for side, arm in enumerate(self.arms):
            if arm is not None:
                rotation[side], translation[side] = axis_angle_from_matrix(arm.hand), arm.wrist
        return hand_parameters(self.angles, self.shape, rotation, translation)


def sample_staging(rng: np.random.Generator, config: SynthConfig, shape: np.ndarray) -> Staging:
    """A frame's camera, person and hands; draws until nothing collides and the hands are in view."""
    draw = rng.random()
    present = [True, True] if draw < config.two_hands else [False, False]
    if config.two_hands <= draw < config.two_hands + config.one_hand:
        present[int(rng.random() < 0.5)] = True
    close = all(present) and rng.random() < config.close_roots
    held = any(present) and rng.random() < config.held
    holder = int(rng.choice([side for side in (LEFT, RIGHT) if present[side]])) if held else None
    angles = np.stack([held_pose(rng) if side == holder else sample_angles(rng) for side in (LEFT, RIGHT)])
    most_outside = 0.5 if rng.random() < config.truncated else 0.1
    staging = _draw_staging(rng, config, shape, angles, present, close, holder)
    for attempt in range(_TRIES):
        if _acceptable(staging, config, most_outside, close):
            break
        # a close pair that cannot be placed becomes a far one, so that every frame has its hands
        close = close and attempt < _TRIES // 2
        staging = _draw_staging(rng, config, shape, angles, present, close, holder)
        if attempt % 15 == 14:
            angles = np.stack([held_pose(rng) if side == holder else sample_angles(rng) for side in (LEFT, RIGHT)])
    return staging


def sample_view(rng: np.random.Generator, config: SynthConfig, egocentric: bool) -> View:
    """A camera that looks down at a table, as from a head or from beside."""
    focal = rng.uniform(*config.focal) * config.width
    center = (np.array([config.width, config.height]) - 1) / 2 + rng.normal(0.0, 0.01, 2) * config.width
    aspect = rng.normal(1.0, 0.002)
    K = np.array([[focal, 0.0, center[0]], [0.0, focal * aspect, center[1]], [0.0, 0.0, 1.0]])
    pitch = np.radians(rng.uniform(28.0, 78.0) if egocentric else rng.uniform(8.0, 65.0))
    roll = np.radians(rng.normal(0.0, 6.0))
    turn = matrix_from_axis_angle(np.array([0.0, 0.0, roll]))
    up = turn @ np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
    forward = turn @ np.array([0.0, -np.sin(pitch), np.cos(pitch)])
    return View(Camera(K, config.width, config.height), np.cross(forward, up), forward, up)


def _draw_staging(
    rng: np.random.Generator,
    config: SynthConfig,
    shape: np.ndarray,
    angles: np.ndarray,
    present: list[bool],
    close: bool,
    holder: int | None,
) -> Staging:
    egocentric = bool(rng.random() < config.egocentric)
    view = sample_view(rng, config, egocentric)
    yaw = (
        rng.normal(0.0, 12.0)
        if egocentric
        else rng.choice([180.0, 90.0, -90.0], p=[0.5, 0.25, 0.25]) + rng.normal(0, 22)
    )
    body_forward = matrix_from_axis_angle(np.radians(yaw) * view.up) @ view.forward
    body_right = np.cross(body_forward, view.up)
    depth = config.distance[0] + (config.distance[1] - config.distance[0]) * rng.beta(1.6, 2.0)
    offset = rng.normal(0.0, [0.07, 0.06]) * [config.width, config.height] + [0.0, 0.03 * config.height]
    pixel = view.camera.center + offset
    center = view.camera.unproject(pixel[None], np.array([depth]))[0]
    local = np.stack([local_joints(angles[side], shape) for side in (LEFT, RIGHT)])
    local[LEFT] = local[LEFT] * [-1.0, 1.0, 1.0]
    scale = float(np.linalg.norm(local[0, ROOT] - local[0, 0]) / np.linalg.norm(local_rest_bone()))
    roots = _roots(rng, config, view, center, body_forward, body_right, close, sum(present))
    arms: list[Arm | None] = [None, None]
    joints = local.copy()
    for side in (LEFT, RIGHT):
        if present[side]:
            lateral = body_right if side == RIGHT else -body_right
            if egocentric:  # shoulders below the camera, which is on the head
                shoulder = 0.17 * lateral - rng.uniform(0.20, 0.30) * view.up + rng.uniform(-0.08, 0.02) * body_forward
            else:
                shoulder = (
                    center + 0.17 * lateral + rng.uniform(0.0, 0.30) * view.up - rng.uniform(0.25, 0.45) * body_forward
                )
            arms[side] = _reach(
                rng, side, roots[side], local[side, ROOT], shoulder, (body_forward, lateral, view.up), scale
            )
            joints[side] = local[side] @ arms[side].hand.T + arms[side].wrist
    return Staging(view, egocentric, body_forward, center, shape, scale, angles, (arms[0], arms[1]), joints, holder)


def _roots(
    rng: np.random.Generator,
    config: SynthConfig,
    view: View,
    center: np.ndarray,
    body_forward: np.ndarray,
    body_right: np.ndarray,
    close: bool,
    count: int,
) -> np.ndarray:
    """(2, 3) metres, the middle knuckles of both hands."""
    if count < 2:
        width = 0.22 * center[2] * config.width / float(view.camera.focal[0])
        return np.tile(center + rng.uniform(-width, width) * view.right, (2, 1))
    if close:
        direction = body_right * rng.choice([1.0, -0.35], p=[0.85, 0.15]) + rng.normal(0.0, 0.6, 3)
        half = 0.5 * rng.uniform(0.05, config.close_distance - 0.002) * direction / np.linalg.norm(direction)
    else:
        room = 0.62 * center[2] * config.width / float(view.camera.focal[0])
        apart = rng.uniform(0.13, max(0.15, min(0.40, room)))
        half = 0.5 * apart * (body_right if rng.random() >= config.crossed else -body_right)
        half = half + 0.5 * rng.normal(0.0, 0.06) * body_forward + 0.5 * rng.normal(0.0, 0.04) * view.up
    return np.stack([center - half, center + half])


def _reach(
    rng: np.random.Generator,
    side: int,
    root: np.ndarray,
    local_root: np.ndarray,
    shoulder: np.ndarray,
    axes: tuple[np.ndarray, np.ndarray, np.ndarray],
    scale: float,
) -> Arm:
    """The arm whose middle knuckle is at `root`; axes are the body's forward, this side's outward, and up."""
    forward, lateral, up = axes
    upper, fore = UPPER_ARM * scale, FOREARM * scale
    means, deviations, shares = (12.0, 75.0, 150.0), (28.0, 24.0, 22.0), (0.48, 0.37, 0.15)
    kind = rng.choice(3, p=shares)
    turn = np.radians(rng.normal(means[kind], deviations[kind]))  # 0 palm down, 90 palm inwards, 180 palm up
    bend = _wrist_bend(rng)
    pole = -up + rng.uniform(0.1, 1.0) * lateral - 0.3 * forward
    wrist = root - 0.09 * forward
    for _ in range(5):
        reach = wrist - shoulder
        distance = float(np.linalg.norm(reach))
        allowed = float(np.clip(distance, 0.45 * (upper + fore), 0.96 * (upper + fore)))
        start = wrist - reach * (allowed / max(distance, 1e-6))  # the person leans when something is out of reach
        axis = (wrist - start) / allowed
        along = (upper**2 - fore**2 + allowed**2) / (2 * allowed)
        elbow = start + along * axis + np.sqrt(max(upper**2 - along**2, 0.0)) * _orthogonal(pole, axis)
        forearm = _forearm_frame(side, (wrist - elbow) / np.linalg.norm(wrist - elbow), up - 0.5 * forward, turn)
        hand = forearm @ (bend if side == RIGHT else _MIRROR @ bend @ _MIRROR)
        wrist = root - hand @ local_root
    return Arm(hand, forearm, wrist, elbow, start)


def _wrist_bend(rng: np.random.Generator) -> np.ndarray:
    """(3, 3) hand from forearm frame of a right arm: extension is commoner than flexion at work."""
    flexion = np.radians(np.clip(rng.normal(-8.0, 17.0), -45.0, 35.0))
    abduction = np.radians(np.clip(rng.normal(-4.0, 8.0), -22.0, 14.0))
    axes = free_hand().joint_frames[0].astype(np.float64)
    return matrix_from_axis_angle(abduction * axes[:, 1]) @ matrix_from_axis_angle(flexion * axes[:, 0])


def _forearm_frame(side: int, z: np.ndarray, reference: np.ndarray, turn: float) -> np.ndarray:
    """Columns x, y, z: +z towards the hand, +y dorsal; turned outwards by `turn` from palm down."""
    y = _orthogonal(reference, z)
    x = np.cross(y, z)
    sine = -np.sin(turn) if side == RIGHT else np.sin(turn)
    dorsal = np.cos(turn) * y + sine * x
    return np.stack([np.cross(dorsal, z), dorsal, z], axis=-1)


def _orthogonal(vector: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """The unit vector of `vector` without its part along the unit vector `axis`."""
    rest = vector - (vector @ axis) * axis
    return rest / max(float(np.linalg.norm(rest)), 1e-9)


def _acceptable(staging: Staging, config: SynthConfig, most_outside: float, close: bool) -> bool:
    arms = [(side, arm) for side, arm in enumerate(staging.arms) if arm is not None]
    if not all(_in_view(staging, config, side, arm, most_outside) for side, arm in arms):
        return False
    if len(arms) < 2:
        return True
    apart = float(np.linalg.norm(staging.joints[0, ROOT] - staging.joints[1, ROOT]))
    pixels = staging.view.camera.project(staging.joints[:, ROOT])
    length = 0.185 * staging.scale * float(staging.view.camera.focal[0]) / float(staging.joints[:, ROOT, 2].mean())
    if np.linalg.norm(pixels[0] - pixels[1]) < _LEAST_OFFSET * length:
        return False
    if close != (apart < config.close_distance) or penetration(staging.joints[0], staging.joints[1]) > 0.001:
        return False
    return not _arms_collide(staging) and _most_hidden(staging) <= _MOST_HIDDEN


def _most_hidden(staging: Staging) -> float:
    """Largest share of one hand's joints whose line of sight passes through the other forearm or the other palm."""
    shares = [0.0]
    for side in (LEFT, RIGHT):
        arm = staging.arms[1 - side]
        assert arm is not None
        joints, other = staging.joints[side], staging.joints[1 - side]
        start, end = np.zeros_like(joints), 0.96 * joints  # from the camera to just before the joint
        distances = [
            segment_distance(start, end, np.tile(a, (21, 1)), np.tile(b, (21, 1))) - radius * staging.scale
            for a, b, radius in ((arm.wrist, arm.elbow, 0.036), (other[0], other[5], 0.02), (other[0], other[17], 0.02))
        ]
        shares.append(float((np.min(distances, axis=0) < 0).mean()))
    return max(shares)


def _in_view(staging: Staging, config: SynthConfig, side: int, arm: Arm, most_outside: float) -> bool:
    joints, camera = staging.joints[side], staging.view.camera
    if joints[:, 2].min() < 0.2 or not config.distance[0] <= joints[ROOT, 2] <= config.distance[1]:
        return False
    pixels = camera.project(joints)
    outside = (pixels < -0.5) | (pixels > np.array([camera.width, camera.height]) - 0.5)
    if outside.any(axis=1).mean() > most_outside or outside[ROOT].any():
        return False
    hand_length = 0.185 * staging.scale * float(camera.focal[0]) / joints[ROOT, 2]
    palm_length = np.linalg.norm(pixels[ROOT] - pixels[0])  # small when the hand points along the view
    if hand_length < config.smallest_hand * config.width or palm_length < _SHORTEST_PALM * hand_length:
        return False
    if not staging.egocentric:
        return True
    backwards = arm.elbow - arm.wrist  # the forearm must come from below, within 60 degrees
    motion = backwards[:2] - arm.wrist[:2] / arm.wrist[2] * backwards[2]
    return bool(motion[1] > 0.5 * np.linalg.norm(motion))


def _arms_collide(staging: Staging) -> bool:
    """Whether a forearm runs through the other forearm or the other hand's capsules."""
    first, second = staging.arms
    assert first is not None
    assert second is not None
    radius = 0.034 * staging.scale
    ends = [(arm.wrist - 0.03 * arm.forearm[:, 2], arm.elbow) for arm in (first, second)]
    if segment_distance(*(np.asarray(p)[None] for pair in ends for p in pair))[0] < 2 * radius:
        return True
    for side in (LEFT, RIGHT):
        a, b = ends[1 - side]
        hand = staging.joints[side]
        distance = segment_distance(
            hand[[0, 5, 9, 17, 8, 12]], hand[[9, 8, 12, 20, 7, 11]], *(np.tile(p, (6, 1)) for p in (a, b))
        )
        if distance.min() < radius + 0.012:
            return True
    return False
