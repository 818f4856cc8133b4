"""Grasps: an object against the palm or between thumb and fingers, and fingers closed on it until they touch.

The grips are those of Feix et al. (2016) that look different: wraps, sphere, hook, precision, tripod, pinch, key.
Everything is a right hand in its wrist frame (see `hands.model`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from twohands.synth.acts.closing import GraspHand, LinkedSkin, Path, close
from twohands.synth.acts.graspables import MAKERS, Graspable, Hold, Maker
from twohands.synth.acts.poses import capsules, finger_pairs, named_pose, overlaps
from twohands.synth.acts.solids import Moved, Rods, Solid, Union
from twohands.synth.rendering.shapes import OBJECT_LABEL, Shape, smooth_normals

_THINGS, _TRIES = 5, 3  # objects that are tried, and how often each
_TOUCH = 0.002  # metres, largest gap that counts as contact
_DEEPEST = 0.0035  # metres, deepest penetration of the skin
_OWN = 0.002  # metres, deepest overlap of two fingers
_FLESH = 0.0008  # metres a pad is pressed in
_FINGERS = (1, 2, 3, 4)
_FINGER_BONES = np.array([4 * finger + part for finger in _FINGERS for part in (1, 2, 3)])  # numbers in `capsules`
_FOREARM = np.array([[0.0, 0.0, -0.035], [0.0, 0.0, -0.22]])  # metres
_FOREARM_RADIUS = 0.030
_ACROSS_PALM = np.array(
    [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]]
)  # columns: across, out of the palm, normal


@dataclass(frozen=True)
class Grasp:
    """A right hand holding an object."""

    angles: np.ndarray  # (16, 3) anatomical angles, radians
    shape: Shape  # the object, wrist frame, metres
    solid: Solid  # the object, wrist frame
    kind: str  # kind of the object
    grip: str  # one of GRIPS

    def free_of(self, points: np.ndarray, margin: float = 0.003) -> bool:
        """Return whether other objects' points (P, 3) metres, wrist frame, stay `margin` metres away from this one."""
        return len(points) == 0 or float(self.solid.distance(points).min()) >= margin


@dataclass(frozen=True)
class _Grip:
    """Parameters of one way of holding."""

    poses: tuple[str, ...]  # names in the library, about how the hand closes
    working: tuple[int, ...] = _FINGERS  # fingers that close until they touch; the others stay about as in the pose
    slant: tuple[float, float] = (0.0, 0.0)  # degrees from the line across the palm to the object: mean, deviation
    reach: tuple[float, float] = (0.0, 0.0)  # range of the middle's distance from the wrist over the palm's length


GRIPS = {
    "wrap": _Grip(("grasp_large", "grasp_medium"), slant=(8.0, 7.0), reach=(0.55, 1.15)),
    "fist": _Grip(("grasp_small",), slant=(22.0, 9.0), reach=(0.70, 1.0)),
    "sphere": _Grip(("sphere",), slant=(0.0, 25.0), reach=(0.60, 1.15)),
    "flat": _Grip(("grasp_large",), slant=(28.0, 8.0), reach=(0.85, 1.15)),
    "hook": _Grip(("hook",), slant=(0.0, 5.0), reach=(1.2, 1.4)),
    "precision": _Grip(("precision_disk",)),
    "rim": _Grip(("precision_disk",)),
    "tripod": _Grip(("tripod",), (1, 2)),
    "write": _Grip(("tripod",), (1, 2)),
    "pinch": _Grip(("pinch",), (1,)),
    "key": _Grip(("lateral",), ()),
}


def sample_grasp(
    rng: np.random.Generator, hand_shape: np.ndarray, things: Sequence[Maker] | None = None
) -> Grasp | None:
    """Sample a grasp of one of `things` (default: `graspables.MAKERS`) by the hand of a person of shape (S,).

    An object is tried three times, then another one is drawn; return None after five objects.
    """
    hand = GraspHand.of(hand_shape)
    makers = MAKERS if things is None else things
    for _ in range(_THINGS):
        thing = makers[int(rng.integers(len(makers)))](rng)
        for _ in range(_TRIES):
            grasp = _grasp(rng, hand, thing, thing.holds[int(rng.integers(len(thing.holds)))])
            if grasp is not None:
                return grasp
    return None


def _grasp(rng: np.random.Generator, hand: GraspHand, thing: Graspable, hold: Hold) -> Grasp | None:
    placed = (_against_palm if hold.width is None else _between_pads)(rng, hand, thing.solid, hold)
    if placed is None:
        return None
    solid, path = placed
    flesh = _FLESH if hold.width is None else min(_FLESH, 0.15 * hold.width)
    angles = close(hand.skin, path, solid, _FINGERS, GRIPS[hold.grip].working, flesh)
    if hold.grip != "hook":  # the thumb is idle in a hook
        with_fingers = Union((solid, hand.bones(angles, _FINGER_BONES)))
        angles = close(hand.skin, path.with_fingers(angles), with_fingers, (0,), (0,), flesh)
    shape = replace(thing.shape.moved(solid.rotation, solid.translation), label=OBJECT_LABEL)
    grasp = Grasp(angles, shape, solid, thing.kind, hold.grip)
    return grasp if _holds(rng, hand, grasp) else None


def _wrap_path(rng: np.random.Generator, name: str) -> Path:
    """Sample a path from a hand as open as it must be to let the object in, to a fist."""
    grip = GRIPS[name]
    closed = named_pose(str(rng.choice(grip.poses)))
    closed[1:, 1] += np.radians(2.0) * rng.standard_normal(15)
    start, end = closed.copy(), closed.copy()
    start[4:, 0] = np.radians(np.tile((0.0, 35.0, 20.0) if name == "hook" else (12.0, 10.0, 5.0), 4))
    start[4:, 0] += np.radians(4.0) * rng.standard_normal(12)
    end[4:, 0] = np.radians(np.tile((25.0, 110.0, 75.0) if name == "hook" else (88.0, 106.0, 72.0), 4))
    if name != "hook":
        flexion = closed[1, 0]
        start[1:4] = np.radians([[0.0, 35.0, 8.0], [-5.0, 0.0, 0.0], [-5.0, 0.0, 0.0]])
        start[1, 0] = flexion - np.radians(12.0)
        start[2:4, 0] += np.radians(25.0) * (name == "fist")
        end[1:4] = np.radians([[0.0, -15.0, 4.0], [40.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
        end[1, 0] = flexion + np.radians(16.0)
    return Path(start, end)


def _pinch_path(rng: np.random.Generator, grip: _Grip) -> Path:
    """Sample a path from the library's pose with thumb and fingers opened far apart to one closed beyond it."""
    closed = named_pose(grip.poses[0])
    closed[4:, 0] += np.repeat(np.radians(4.0) * rng.standard_normal(4), 3)
    start, end = closed.copy(), closed.copy()
    start[1:4, 0] -= np.radians([30.0, 12.0, 12.0])
    start[1, 1] += np.radians(8.0)
    end[1:4, 0] += np.radians([30.0, 20.0, 25.0])
    for finger in _FINGERS:
        row = np.arange(3 * finger + 1, 3 * finger + 4)
        if finger in grip.working:
            start[row, 0] -= np.radians([38.0, 34.0, 16.0])
            end[row, 0] += np.radians([30.0, 18.0, 10.0])
        elif grip.working:
            start[row, 0] -= np.radians([20.0, 30.0, 15.0])
    return Path(start, end)


def _against_palm(rng: np.random.Generator, hand: GraspHand, solid: Solid, hold: Hold) -> tuple[Moved, Path] | None:
    """Push the object from below against the opened hand, nearest to the palm; return it and the fingers' path."""
    grip, path = GRIPS[hold.grip], _wrap_path(rng, hold.grip)
    slant = rng.normal(*grip.slant)
    attitude = Rotation.from_euler("yz", [-slant, rng.normal(0.0, 5.0)], degrees=True).as_matrix()
    rotation = attitude @ _ACROSS_PALM @ _frame(hold.first, hold.away).T
    knuckles = 0.5 * (hand.skin.joints[4] + hand.skin.joints[13])
    reach = np.linspace(*grip.reach, 8) + rng.uniform(-0.04, 0.04)
    aside = knuckles[0] + rng.normal(0.014 if hold.grip == "wrap" else 0.0, 0.006)  # the thumb needs room
    places = np.stack([np.full(8, aside), np.full(8, -0.16), reach * knuckles[2]], axis=-1) - rotation @ hold.point
    vertices = hand.skin.posed(path.start[None])[0][0]
    gaps = np.zeros((8, len(vertices)))
    for _ in range(14):  # each step is as long as the way is certainly free
        gaps = solid.distance((vertices - places[:, None]) @ rotation)
        places[:, 1] += np.maximum(gaps.min(axis=1) + 0.5 * _FLESH, 0.0)
    palm = np.minimum.reduceat(gaps, hand.skin.firsts, axis=1)[:, [0, 4, 7, 10, 13]]
    miss = np.sort(palm, axis=1)[:, :2].sum(axis=1) if hold.grip != "hook" else palm.min(axis=1)
    best = int(np.argmin(miss + 0.03 * np.abs(reach - np.mean(grip.reach))))
    if miss[best] > 0.012 or gaps[best].min() < -_DEEPEST:
        return None
    return Moved(solid, rotation, places[best]), path


def _between_pads(rng: np.random.Generator, hand: GraspHand, solid: Solid, hold: Hold) -> tuple[Moved, Path] | None:
    """Put the object between the pads of a hand just open enough; return it and the fingers' remaining path."""
    assert hold.width is not None
    path = _pinch_path(rng, GRIPS[hold.grip])
    poses = path.at(np.repeat(np.linspace(0, 1, 41)[:, None], 16, axis=1))
    pads = hand.pads(poses)
    working = GRIPS[hold.grip].working
    thumb = pads[:, 0]
    fingers = pads[:, list(working)].mean(axis=1) if working else _side_of_index(hand, poses, thumb)
    gap = np.linalg.norm(fingers - thumb, axis=1)
    gap = gap[: gap.argmin() + 1]
    tilt = rng.normal(0.0, 3.0 if hold.grip == "write" else 9.0)
    jitter = Rotation.from_euler("xyz", [tilt, *rng.normal(0.0, 3.0, 2)], degrees=True).as_matrix()
    for room in (0.008, 0.014, 0.022, 0.032):
        if gap[0] < hold.width + room:
            return None
        opened = int(np.flatnonzero(gap >= hold.width + room)[-1])
        middle = 0.5 * (fingers[opened] + thumb[opened])
        frame = _frame(fingers[opened] - thumb[opened], _onwards(rng, hand, hold, middle)) @ jitter
        rotation = frame @ _frame(hold.first, hold.away).T
        place = _centred(hand.skin, poses[opened], Moved(solid, rotation, middle - rotation @ hold.point), frame)
        if place is not None:
            return place, Path(poses[opened], path.end)
    return None


def _centred(skin: LinkedSkin, angles: np.ndarray, place: Moved, frame: np.ndarray) -> Moved | None:
    """Move the object half way between thumb and fingers and out of the hand; return None if it is not free."""
    for _ in range(8):
        gaps = skin.gaps(angles[None], place)[0]
        if gaps.min() > -_FLESH:
            return place
        across = 0.5 * (gaps[4:].min() - gaps[1:4].min())
        onwards = 0.003 if gaps[4:].min() < 0 or gaps[0] < 0 else 0.0
        place = replace(place, translation=place.translation + across * frame[:, 0] + onwards * frame[:, 1])
    return None


def _side_of_index(hand: GraspHand, poses: np.ndarray, thumb: np.ndarray) -> np.ndarray:
    """Return the point (T, 3) metres of the index finger's outer links that the thumb's pad (T, 3) comes nearest to."""
    first, last = hand.skin.firsts[5], hand.skin.firsts[7]
    vertices = hand.skin.posed(poses)[0][:, first:last]
    distance = np.linalg.norm(vertices - thumb[:, None], axis=-1)
    return vertices[:, np.unravel_index(distance.argmin(), distance.shape)[1]]


def _onwards(rng: np.random.Generator, hand: GraspHand, hold: Hold, middle: np.ndarray) -> np.ndarray:
    """Return the direction (3,) of the object's `away`: out of the hand, or for a pen from the index knuckle."""
    joints = hand.skin.joints
    if hold.grip == "write":
        rest = joints[4] + hand.scale * (np.array([0.019, 0.002, 0.0]) + rng.uniform(-0.004, 0.006, 3))
        return middle - rest
    return middle - 0.5 * (joints[0] + 0.5 * (joints[4] + joints[13]))


def _frame(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return columns (3, 3): the first direction, the second's part at right angles to it, and their normal."""
    first = first / np.linalg.norm(first)
    second = second - (second @ first) * first
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=-1)


def _holds(rng: np.random.Generator, hand: GraspHand, grasp: Grasp) -> bool:
    """Return whether the object is held: touched from two sides, nothing sunk in, no finger in another."""
    vertices = hand.fine.posed(grasp.angles[None])[0][0]
    distance = grasp.solid.distance(vertices)
    gaps = np.minimum.reduceat(distance, hand.fine.firsts)
    if gaps.min() < -_DEEPEST or own_penetration(hand, grasp.angles) > _OWN:
        return False
    if not _touches(gaps <= _TOUCH, grasp.grip):
        return False
    return _opposed(grasp.solid, vertices, distance) and not _sunk(rng, hand, grasp, vertices)


def own_penetration(hand: GraspHand, angles: np.ndarray) -> float:
    """Return how much deeper, in metres, two bones' capsules of a person's hand overlap than they may.

    This is `poses.self_penetration` at the size of the mean hand, except that overlaps in the person's open hand are
    allowed: they come from the proportions (the capsules are the mean hand's) and not from the grasp.
    """
    first, second, allowed = finger_pairs()
    now, opened = (overlaps(hand.places(a) / hand.scale, first, second) for a in (angles, named_pose("open")))
    return float((now - np.maximum(allowed, opened)).max())


def _touches(touching: np.ndarray, grip: str) -> bool:
    """Return whether the links that touch, (16,) bool, are those that the grip holds with."""
    fingers = int(touching[4:].reshape(4, 3).any(axis=1).sum())
    if grip == "hook":
        return fingers >= 3
    if grip == "fist":
        return fingers >= 2 and bool(touching[:4].any())
    return fingers >= 1 and bool(touching[2:4].any())


def _opposed(solid: Solid, vertices: np.ndarray, distance: np.ndarray) -> bool:
    """Return whether two of the touching vertices press against each other, at most 60 degrees off."""
    points = vertices[distance <= _TOUCH]
    steps = 0.0005 * np.concatenate([np.eye(3), -np.eye(3)])
    around = solid.distance(points[:, None] + steps)  # (N, 6)
    normal = around[:, :3] - around[:, 3:]
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return bool((normal @ normal.T).min() < -0.5)


def _sunk(rng: np.random.Generator, hand: GraspHand, grasp: Grasp, vertices: np.ndarray) -> bool:
    """Return whether points of the object's surface are deep in hand or forearm, where skin vertices miss them."""
    corners = grasp.shape.vertices[grasp.shape.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    faces = rng.choice(len(area), 3000, p=area / area.sum())
    weights = rng.dirichlet(np.ones(3), 3000)
    points = (weights[..., None] * corners[faces]).sum(axis=1)
    forearm = Rods(_FOREARM[:1], _FOREARM[1:], np.array([hand.scale * _FOREARM_RADIUS]))
    if forearm.distance(points).min() < 0:
        return True
    bones = hand.bones(grasp.angles, np.arange(len(capsules().radii)))
    points = points[bones.distance(points) < 0.002]
    if not len(points):
        return False
    normals = smooth_normals(vertices, hand.fine.faces)
    nearest = KDTree(vertices).query(points)[1]
    depth = ((vertices[nearest] - points) * normals[nearest]).sum(axis=1)
    return bool(depth.max() > _DEEPEST)
