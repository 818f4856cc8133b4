"""Placement of the camera, the person and both hands.

A person has shoulders, upper arms and forearms: the hands' orientation follows from their positions (two-bone inverse
kinematics), the turn of the forearm and a moderate bend of the wrist. Everything is in the camera frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from twohands.geometry.transforms import axis_angle_from_matrix
from twohands.hands.skeleton import ROOT
from twohands.synth.acts.arms import Arm, arms_collide, follow, hidden_fraction, reach
from twohands.synth.acts.contact import Pair, bring_together, mirror_fingers
from twohands.synth.acts.cover import hidden_by_object, keeps_off
from twohands.synth.acts.grasp import Grasp, sample_grasp
from twohands.synth.acts.graspables import LARGE_MAKERS
from twohands.synth.acts.poses import (
    hand_parameters,
    held_pose,
    local_joints,
    local_rest_bone,
    penetration,
    sample_angles,
    segment_distance,
)
from twohands.synth.acts.viewing import Body, View, decide_view, faces_camera, sample_body, sample_view
from twohands.synth.config import CLOSEST_ROOTS, DEEPEST_COVER, SynthConfig
from twohands.types import LEFT, RIGHT, HandParameters

_TRIES = 80
_SHORTEST_PALM = 0.26
"""Least length of the palm in the image over the hand's stretched length; 0.48 where the palm is seen square on."""
_BORDER = 0.07
"""Least distance of a root from the image's border, in image widths."""
_LEAST_OFFSET = 0.45
"""Least distance in the image of two roots over a hand's length: one hand may hide much of the other, not all."""
_MOST_HIDDEN = 0.45
"""Largest fraction of a hand's joints that the person's other arm may hide."""
_TOUCHING_OFFSET, _TOUCHING_HIDDEN = 0.15, 0.6
"""`_LEAST_OFFSET` and `_MOST_HIDDEN` for hands in contact."""
_CONTACT_TRIES = 3
_OBJECT_FIRST = 0.4
"""Least fraction of a hand that an object which is to stand before it hides."""
_BOTH_HOLD = 0.4
"""Fraction of the frames with an object before the hand in which the other hand holds one like it."""
_HEAD = (0.26, 0.12)
"""Metres of the head's middle above the middle of the shoulders, and its radius."""


@dataclass(frozen=True)
class Staging:
    """Camera, person and hands of a frame."""

    view: View
    egocentric: bool
    body_forward: np.ndarray  # (3,) direction in which the person looks, level
    center: np.ndarray  # (3,) metres, middle between the hands
    shape: np.ndarray  # (S,)
    scale: float  # size of the person's hand over that of the mean hand
    angles: np.ndarray  # (2, 16, 3)
    arms: tuple[Arm | None, Arm | None]
    joints: np.ndarray  # (2, 21, 3) metres; meaningless where there is no arm
    holder: int | None  # the hand posed to hold something
    grasp: Grasp | None = None  # closed grasp of the holder; None: an object is to be fitted between its fingers
    mirrored: bool = False  # the fingers of one hand mirror the other's
    touching: bool = False  # the hands are in contact
    object_first: bool = False  # the held object is to stand before the hand as seen from the camera
    both_hold: bool = False  # the other hand holds a mirrored copy of the holder's grasp

    @property
    def facing(self) -> bool:
        """True if the person faces the camera."""
        return faces_camera(self.view, self.body_forward)

    @property
    def holders(self) -> tuple[int, ...]:
        """The hands that hold something."""
        if self.holder is None:
            return ()
        return (self.holder, 1 - self.holder) if self.both_hold else (self.holder,)

    def arm(self, side: int) -> Arm:
        """Return the arm of a present hand."""
        arm = self.arms[side]
        assert arm is not None
        return arm

    def parameters(self) -> HandParameters:
        """Return the model's parameters; absent hands are unturned, half a metre ahead, in an arbitrary pose."""
        rotation, translation = np.zeros((2, 3)), np.tile([0.0, 0.0, 0.5], (2, 1))
        for side, arm in enumerate(self.arms):
            if arm is not None:
                rotation[side], translation[side] = axis_angle_from_matrix(arm.hand), arm.wrist
        return hand_parameters(self.angles, self.shape, rotation, translation)


def sample_staging(
    rng: np.random.Generator, config: SynthConfig, shape: np.ndarray, acts: np.random.Generator
) -> Staging:
    """Sample a frame's camera, person and hands until nothing collides and the hands are in view, or `_TRIES` times.

    `acts` draws how the hands interact with each other and with an object: touch, mirror, grasp.
    """
    if config.generator > 1:
        config = decide_view(acts, config)
    draw = rng.random()
    both, lonely = draw < config.two_hands, int(rng.random() < 0.5)
    one = not both and draw < config.two_hands + config.one_hand
    present = (both or (one and lonely == LEFT), both or (one and lonely == RIGHT))
    close = both and rng.random() < config.close_roots
    held = any(present) and rng.random() < config.held
    holder = int(rng.choice([side for side in (LEFT, RIGHT) if present[side]])) if held else None
    most_outside = 0.35 if rng.random() < config.truncated else 0.1
    object_first = holder is not None and bool(acts.random() < config.object_first)
    cast = _cast(rng, acts, config, shape, present, holder, object_first)
    if both and not close and acts.random() * (1 - config.close_roots) < config.contact:
        staging = _draw_touching(rng, acts, config, cast, most_outside)
        if staging is not None:
            return staging
    staging = _draw_staging(rng, config, cast, close)
    for attempt in range(_TRIES):
        if _acceptable(staging, config, most_outside, close):
            break
        if attempt % 15 == 14:
            object_first = object_first and attempt < 60
            cast = _cast(rng, acts, config, shape, present, holder, object_first)
        # a close pair that cannot be placed becomes a far one, so that every frame has its hands
        close = close and attempt < _TRIES // 2
        staging = _draw_staging(rng, config, cast, close)
    return staging


def _cast(
    rng: np.random.Generator,
    acts: np.random.Generator,
    config: SynthConfig,
    shape: np.ndarray,
    present: tuple[bool, bool],
    holder: int | None,
    object_first: bool,
) -> _Cast:
    """Sample the person's fingers: free, mirroring each other, or holding something."""
    angles = np.stack([held_pose(rng) if side == holder else sample_angles(rng) for side in (LEFT, RIGHT)])
    mirrored = all(present) and bool(acts.random() < config.mirrored)
    if mirrored:
        angles = mirror_fingers(acts, angles)
    grasp = None
    if holder is not None and acts.random() < config.closed_grasps:
        grasp = sample_grasp(acts, shape, LARGE_MAKERS if object_first else None)
        if grasp is not None:
            angles[holder] = grasp.angles
    object_first = object_first and grasp is not None
    both_hold = object_first and all(present) and bool(acts.random() < _BOTH_HOLD)
    if both_hold and grasp is not None:
        angles[:] = grasp.angles
    return _Cast(shape, angles, present, holder, grasp, mirrored and grasp is None, object_first, both_hold)


def _draw_touching(
    rng: np.random.Generator, acts: np.random.Generator, config: SynthConfig, cast: _Cast, most_outside: float
) -> Staging | None:
    """Sample hands that touch each other and hold nothing; return None when no placement allows it."""
    contacts = 0
    for _ in range(_TRIES):
        angles = np.stack([sample_angles(rng) for _ in (LEFT, RIGHT)])
        cast = replace(
            cast, holder=None, grasp=None, mirrored=False, object_first=False, both_hold=False, angles=angles
        )
        staging = _draw_staging(rng, config, cast, close=True)
        if not all(_in_view(staging, config, side, staging.arm(side), most_outside) for side in (LEFT, RIGHT)):
            continue
        touching = _brought_together(acts, staging)
        if touching is not None and _acceptable(touching, config, most_outside, close=True):
            return touching
        contacts += 1
        if contacts == _CONTACT_TRIES:
            break
    return None


def _brought_together(rng: np.random.Generator, staging: Staging) -> Staging | None:
    """Return the staging with its hands moved until they touch and its arms following, or None."""
    arms = [staging.arm(side) for side in (LEFT, RIGHT)]
    pair = Pair(staging.angles, np.stack([arm.hand for arm in arms]), np.stack([arm.wrist for arm in arms]))
    pair = bring_together(rng, pair, staging.shape)
    if pair is None:
        return None
    moved = [
        follow(arm, hand, wrist, staging.scale)
        for arm, hand, wrist in zip(arms, pair.rotation, pair.translation, strict=True)
    ]
    if moved[LEFT] is None or moved[RIGHT] is None:
        return None
    local = _both_local(pair.angles, staging.shape)
    joints = np.einsum("hij,hnj->hni", pair.rotation, local) + pair.translation[:, None]
    return replace(staging, angles=pair.angles, arms=(moved[0], moved[1]), joints=joints, touching=True)


def _both_local(angles: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Return the joints (2, 21, 3) metres of each hand in its wrist frame; angles (2, 16, 3)."""
    return np.stack([local_joints(a, shape) for a in angles]) * [[[-1, 1, 1]], [[1, 1, 1]]]


@dataclass(frozen=True)
class _Cast:
    """Everything that stays fixed while placements are tried: the person, the hands and their fingers."""

    shape: np.ndarray  # (S,)
    angles: np.ndarray  # (2, 16, 3)
    present: tuple[bool, bool]
    holder: int | None
    grasp: Grasp | None
    mirrored: bool
    object_first: bool
    both_hold: bool

    def score(self, side: int) -> Callable[[Arm], float] | None:
        """Return what an arm is turned to: the fraction of its hand that the held object is to hide; None: nothing."""
        if not self.object_first or self.grasp is None or not (self.both_hold or side == self.holder):
            return None
        grasp, local = self.grasp, self.local[side]
        return lambda arm: hidden_by_object(grasp, local @ arm.hand.T + arm.wrist, arm, side)

    @cached_property
    def local(self) -> np.ndarray:
        """Return the joints (2, 21, 3) metres of each hand in its wrist frame."""
        return _both_local(self.angles, self.shape)


def _draw_staging(rng: np.random.Generator, config: SynthConfig, cast: _Cast, close: bool) -> Staging:
    egocentric = bool(rng.random() < config.egocentric)
    view = sample_view(rng, config, egocentric)
    body = sample_body(rng, config, view, egocentric)
    local = cast.local
    scale = float(np.linalg.norm(local[0, ROOT] - local[0, 0]) / np.linalg.norm(local_rest_bone()))
    roots = _roots(rng, config, view, body, close, sum(cast.present))
    arms: list[Arm | None] = [None, None]
    joints = local.copy()
    for side in (LEFT, RIGHT):
        if cast.present[side]:
            axes = (body.forward, body.outward(side), body.up)
            shoulder, score = body.shoulder(rng, side), cast.score(side)
            arm = reach(rng, side, roots[side], local[side, ROOT], shoulder, axes, scale, score)
            arms[side], joints[side] = arm, local[side] @ arm.hand.T + arm.wrist
    return Staging(
        *(view, egocentric, body.forward, body.center, cast.shape, scale, cast.angles),
        *((arms[0], arms[1]), joints, cast.holder, cast.grasp, cast.mirrored),
        object_first=cast.object_first,
        both_hold=cast.both_hold,
    )


def _roots(
    rng: np.random.Generator, config: SynthConfig, view: View, body: Body, close: bool, count: int
) -> np.ndarray:
    """Sample the middle knuckles (2, 3) metres of both hands."""
    view_width = body.center[2] * config.width / float(view.camera.focal[0])  # metres
    if count < 2:
        return np.tile(body.center + rng.uniform(-0.22, 0.22) * view_width * view.right, (2, 1))
    if close:
        direction = body.right * rng.choice([1.0, -0.35], p=[0.85, 0.15]) + rng.normal(0.0, 0.6, 3)
        half = 0.5 * rng.uniform(CLOSEST_ROOTS, config.close_distance - 0.002) * direction / np.linalg.norm(direction)
    else:
        apart = rng.uniform(0.13, max(0.15, min(0.40, 0.62 * view_width)))
        half = 0.5 * apart * (body.right if rng.random() >= config.crossed else -body.right)
        half = half + 0.5 * rng.normal(0.0, 0.06) * body.forward + 0.5 * rng.normal(0.0, 0.04) * view.up
    return np.stack([body.center - half, body.center + half])


def _acceptable(staging: Staging, config: SynthConfig, most_outside: float, close: bool) -> bool:
    arms = [(side, arm) for side, arm in enumerate(staging.arms) if arm is not None]
    if not all(_in_view(staging, config, side, arm, most_outside) for side, arm in arms):
        return False
    if not staging.egocentric and not _clear_of_lens(staging, config.clear_lens):
        return False
    if staging.object_first and not all(_object_before(staging, side) for side in staging.holders):
        return False
    if len(arms) < 2:
        return True
    apart = float(np.linalg.norm(staging.joints[0, ROOT] - staging.joints[1, ROOT]))
    pixels = staging.view.camera.project(staging.joints[:, ROOT])
    length = 0.185 * staging.scale * float(staging.view.camera.focal[0]) / float(staging.joints[:, ROOT, 2].mean())
    least, most_hidden = (_TOUCHING_OFFSET, _TOUCHING_HIDDEN) if staging.touching else (_LEAST_OFFSET, _MOST_HIDDEN)
    if np.linalg.norm(pixels[0] - pixels[1]) < least * length:
        return False
    if close != (apart < config.close_distance):
        return False
    if not staging.touching and penetration(staging.joints[0], staging.joints[1]) > 0.001:
        return False
    pair = (staging.arm(LEFT), staging.arm(RIGHT))
    if arms_collide(pair, staging.joints, staging.scale):
        return False
    return hidden_fraction(pair, staging.joints, staging.scale) <= most_hidden


def _clear_of_lens(staging: Staging, least: float) -> bool:
    """Return whether arms and head keep `least` metres from the camera, which is the origin."""
    arms = [arm for arm in staging.arms if arm is not None]
    if least == 0 or not arms:
        return True
    starts = np.array([point for arm in arms for point in (arm.wrist, arm.elbow)])
    ends = np.array([point for arm in arms for point in (arm.elbow, arm.shoulder)])
    lens = np.zeros_like(starts)
    height, radius = _HEAD
    head = np.mean([arm.shoulder for arm in arms], axis=0) + height * staging.view.up
    nearest = min(float(segment_distance(starts, ends, lens, lens).min()), float(np.linalg.norm(head)) - radius)
    return nearest > least


def _object_before(staging: Staging, side: int) -> bool:
    """Return whether the held object hides enough of the hand, not all of it, and keeps off the other hand."""
    grasp, arm, other = staging.grasp, staging.arm(side), staging.arms[1 - side]
    assert grasp is not None
    if not _OBJECT_FIRST <= hidden_by_object(grasp, staging.joints[side], arm, side) <= DEEPEST_COVER:
        return False
    return other is None or keeps_off(grasp, arm, side, other, staging.joints[1 - side], staging.both_hold)


def _in_view(staging: Staging, config: SynthConfig, side: int, arm: Arm, most_outside: float) -> bool:
    joints, camera = staging.joints[side], staging.view.camera
    if joints[:, 2].min() < 0.2 or not config.distance[0] <= joints[ROOT, 2] <= config.distance[1]:
        return False
    pixels = camera.project(joints)
    outside = (pixels < -0.5) | (pixels > np.array([camera.width, camera.height]) - 0.5)
    inside = np.minimum(pixels[ROOT] + 0.5, np.array([camera.width, camera.height]) - 0.5 - pixels[ROOT])
    if outside.any(axis=1).mean() > most_outside or inside.min() < _BORDER * camera.width:
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
