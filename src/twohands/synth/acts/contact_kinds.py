"""Named places on the skin of a hand, the ways in which a person's two hands touch, and a choice among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from twohands.geometry.mesh import vertex_normals
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.free import free_hand
from twohands.hands.skeleton import FINGER_NAMES, JOINTS_FROM_ARTICULATED
from twohands.synth.acts.hand_motion import Placed, Posed, RestSkin, pose
from twohands.synth.acts.poses import local_hand
from twohands.types import LEFT, RIGHT

LARGEST_TURN = np.radians(35.0)
"""Largest turn of a wrist, radians."""
LARGEST_SHIFT = 0.10
"""Largest shift of a root, metres, until the places meet."""
_FINGERS = FINGER_NAMES[1:]
_SIDES = ("palmar", "dorsal", "radial", "ulnar")


@dataclass(frozen=True)
class Meeting:
    """Pairs of places that should touch, those of the acting hand first."""

    pairs: tuple[tuple[str, str], ...]
    seeking: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Places of either hand that come to rest on the nearest part of the other hand."""
    fist: bool = False
    """True if only a hand with bent fingers can act."""


def sample_meetings(rng: np.random.Generator) -> list[tuple[float, Meeting]]:
    """Sample one meeting of every kind, and return it with the kind's weight among possible kinds."""
    return [(weight, kind(rng)) for weight, kind in KINDS]


def _pads(fingers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{finger}_pad" for finger in fingers)


def _some(rng: np.random.Generator, groups: tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
    return groups[rng.integers(len(groups))]


def _palms(_rng: np.random.Generator) -> Meeting:
    return Meeting((("palm", "palm"),), (_pads(FINGER_NAMES), _pads(FINGER_NAMES)))


def _prayer(_rng: np.random.Generator) -> Meeting:
    pads = _pads(FINGER_NAMES)
    return Meeting((("palm", "palm"), *((pad, pad) for pad in pads)), (pads, pads))


def _finger_tips(rng: np.random.Generator) -> Meeting:
    groups = (("thumb", "index"), ("index", "middle"), FINGER_NAMES, _FINGERS, ("index",), ("thumb", "index", "middle"))
    pads = _pads(_some(rng, groups))
    return Meeting(tuple((pad, pad) for pad in pads), (pads, pads))


def _fist_in_palm(_rng: np.random.Generator) -> Meeting:
    first = ("index_proximal_dorsal", "middle_proximal_dorsal", "ring_proximal_dorsal")
    return Meeting((("middle_proximal_dorsal", "palm"),), (first, _pads(FINGER_NAMES)), fist=True)


def _hand_on_back(_rng: np.random.Generator) -> Meeting:
    return Meeting((("palm", "back"),), (_pads(FINGER_NAMES), ()))


def _hand_on_fingers(rng: np.random.Generator) -> Meeting:
    place = f"{rng.choice(_FINGERS[:3])}_proximal_dorsal"
    return Meeting((("palm", place),), (_pads(FINGER_NAMES), ()))


def _touched_back(rng: np.random.Generator) -> Meeting:
    pads = _pads(_some(rng, (("index",), ("index", "middle"), ("index", "middle", "ring"), ("thumb",), _FINGERS)))
    places = ("back", "back_index", "back_little", "wrist_back", *(f"{f}_proximal_dorsal" for f in FINGER_NAMES))
    return Meeting(((pads[len(pads) // 2], str(rng.choice(places))),), (pads, ()))


def _touched_palm(rng: np.random.Generator) -> Meeting:
    pads = _pads(_some(rng, (("index",), ("index", "middle"), ("thumb",), _FINGERS)))
    places = ("palm", "palm_index", "palm_little", "heel", "thenar", *(f"{f}_middle_palmar" for f in _FINGERS))
    return Meeting(((pads[len(pads) // 2], str(rng.choice(places))),), (pads, ()))


def _held_finger(rng: np.random.Generator) -> Meeting:
    finger, part = rng.choice(FINGER_NAMES), rng.choice(["proximal", "middle"])
    one, two = rng.permutation(_SIDES[:2] if rng.random() < 0.5 else _SIDES[2:])
    pads = _pads(("thumb", "index", "middle"))
    return Meeting(((pads[0], f"{finger}_{part}_{one}"), (pads[1], f"{finger}_{part}_{two}")), (pads, ()))


def _little_edges(_rng: np.random.Generator) -> Meeting:
    places = ("edge", "little_proximal_ulnar", "little_middle_ulnar")
    return Meeting(tuple((place, place) for place in places), (places, places))


def _index_edges(_rng: np.random.Generator) -> Meeting:
    places = ("index_proximal_radial", "index_middle_radial")
    return Meeting(tuple((place, place) for place in places), (places, ("thumb_pad", *places)))


def _hooked(_rng: np.random.Generator) -> Meeting:
    places = tuple(f"{finger}_middle_palmar" for finger in ("index", "middle", "ring"))
    return Meeting((("middle_middle_palmar", "middle_middle_palmar"),), ((*_pads(_FINGERS), *places), _pads(_FINGERS)))


def _interlaced(rng: np.random.Generator) -> Meeting:
    part = str(rng.choice(["proximal", "middle"]))
    pairs = [(f"{finger}_{part}_ulnar", f"{finger}_{part}_radial") for finger in _FINGERS[:3]]
    pairs += [(f"{outer}_{part}_radial", f"{finger}_{part}_ulnar") for finger, outer in pairwise(_FINGERS)]
    return Meeting(tuple(pairs), (_pads(_FINGERS), _pads(_FINGERS)))


KINDS: tuple[tuple[float, Callable[[np.random.Generator], Meeting]], ...] = (
    (1.5, _palms),
    (1.0, _prayer),
    (3.0, _finger_tips),
    (1.5, _fist_in_palm),
    (1.0, _hand_on_back),
    (0.7, _hand_on_fingers),
    (2.0, _touched_back),
    (2.5, _touched_palm),
    (1.0, _held_finger),
    (0.5, _little_edges),
    (0.5, _index_edges),
    (0.7, _hooked),
    (1.0, _interlaced),
)


@cache
def place_vertices(level: int) -> dict[str, int]:
    """Return the vertex of a mesh level at every named place: the skin beside a bone's point in one direction."""
    model = free_hand(level)
    vertices, joints = local_hand(model.rest_angles.astype(np.float64), level=level)
    normals = vertex_normals(vertices, np.asarray(model.right_faces))
    # start and end joint, fraction of the way, direction, joint whose axes define the direction
    bones: dict[str, tuple[int, int, float, str, int]] = {
        "palm": (0, 9, 0.62, "palmar", 0),
        "palm_index": (0, 5, 0.78, "palmar", 0),
        "palm_little": (0, 17, 0.65, "palmar", 0),
        "heel": (0, 13, 0.25, "palmar", 0),
        "thenar": (1, 2, 0.5, "palmar", 0),
        "back": (0, 9, 0.6, "dorsal", 0),
        "back_index": (0, 5, 0.8, "dorsal", 0),
        "back_little": (0, 17, 0.7, "dorsal", 0),
        "wrist_back": (0, 9, 0.15, "dorsal", 0),
        "edge": (0, 17, 0.6, "ulnar", 0),
    }
    for index, finger in enumerate(FINGER_NAMES):
        first = 4 * index + 1
        bones[f"{finger}_pad"] = (first + 2, first + 3, 0.6, "palmar", first + 2)
        for side in _SIDES:
            bones[f"{finger}_proximal_{side}"] = (first, first + 1, 0.55, side, first)
            bones[f"{finger}_middle_{side}"] = (first + 1, first + 2, 0.5, side, first + 1)
    places = {}
    for name, (start, end, fraction, direction, joint) in bones.items():
        frame = model.joint_frames[JOINTS_FROM_ARTICULATED[joint]]
        axis = -frame[:, 1] if direction in ("palmar", "dorsal") else frame[:, 0]
        axis = -axis if direction in ("dorsal", "ulnar") else axis
        offset = vertices - joints[start] - fraction * (joints[end] - joints[start])
        along, facing = offset @ axis, normals @ axis
        aside = np.linalg.norm(offset - along[:, None] * axis, axis=1)
        cost = along + 3 * aside + np.where((along > 0) & (facing > 0.5), 0.0, 1.0)
        places[name] = int(cost.argmin())
    return places


@dataclass(frozen=True)
class Approach:
    """A way of touching, with the hands turned and moved so that the places coincide."""

    meeting: Meeting
    actor: int  # LEFT or RIGHT
    placed: Placed
    outward: np.ndarray  # (3,) unit vector in which the actor is drawn back
    cost: float

    def vertices(self, level: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the vertices (P, 2) that pair up, left then right hand, and those (2, V) bool that seek contact."""
        places = place_vertices(level)
        pairs = np.array([[places[name] for name in names] for names in self.meeting.pairs])
        seeking = np.zeros((2, level), dtype=bool)
        for side, names in enumerate(self.meeting.seeking):
            seeking[side, [places[name] for name in names]] = True
        for side in (0, 1):
            seeking[side, pairs[:, side]] = True
        return (pairs, seeking) if self.actor == LEFT else (pairs[:, ::-1], seeking[::-1])


def sample_approaches(rng: np.random.Generator, skin: RestSkin, start: Placed, count: int) -> list[Approach]:
    """Sample `count` ways of touching in the order of trying; common ones with little motion tend to be first."""
    hands = [pose(skin, start, side) for side in (LEFT, RIGHT)]
    level = len(skin.vertices)
    faces = free_hand(level).faces
    normals = [vertex_normals(hands[side].vertices, faces[side]) for side in (LEFT, RIGHT)]
    bent = start.angles[:, 5::3, 0].mean(axis=1) > np.radians(55.0)
    found, keys = [], []
    for weight, meeting in sample_meetings(rng):
        for actor in (LEFT, RIGHT):
            gumbel = rng.gumbel()
            if meeting.fist and not bent[actor]:
                continue
            approach = _approach(start, hands, normals, meeting, actor)
            if np.linalg.norm(approach.placed.root - start.root, axis=1).max() > LARGEST_SHIFT:
                continue
            found.append(approach)
            keys.append(np.log(weight) - approach.cost + gumbel)  # the largest key is a draw by weight * exp(-cost)
    return [found[k] for k in np.argsort(keys)[::-1][:count]]


def _approach(start: Placed, hands: list[Posed], normals: list[np.ndarray], meeting: Meeting, actor: int) -> Approach:
    """Turn and move both hands by equal parts: least squares of the places, their normals and staying in place."""
    places = place_vertices(len(hands[0].vertices))
    mine, theirs = ([places[names[k]] for names in meeting.pairs] for k in (0, 1))
    other = 1 - actor
    p, q = hands[actor].vertices[mine], hands[other].vertices[theirs]
    m, n = normals[actor][mine], -normals[other][theirs]
    spread = (q - q.mean(axis=0)).T @ (p - p.mean(axis=0)) + 0.03**2 * n.T @ m
    u, _, vt = np.linalg.svd(spread + 0.02**2 * len(p) * np.eye(3))
    turn = axis_angle_from_matrix(u * [1, 1, np.linalg.det(u @ vt)] @ vt)
    angle = float(np.linalg.norm(turn))
    half = matrix_from_axis_angle(turn * min(0.5, 0.9 * LARGEST_TURN / max(angle, 1e-9)))
    p = (p - start.root[actor]) @ half.T + start.root[actor]
    q = (q - start.root[other]) @ half + start.root[other]
    m, n = m @ half.T, n @ half
    shift = q.mean(axis=0) - p.mean(axis=0)
    rotation, root = start.rotation.copy(), start.root.copy()
    rotation[actor], rotation[other] = half @ rotation[actor], half.T @ rotation[other]
    root[actor] += 0.5 * shift
    root[other] -= 0.5 * shift
    apart = root[actor] - root[other]
    outward = -(m + n).mean(axis=0)
    if np.linalg.norm(outward) < 1.2:  # places all around something
        outward = apart
    cost = (angle / 0.6) ** 2 + (np.linalg.norm(shift) / 0.07) ** 2 + ((m - n) ** 2).sum(axis=1).mean()
    cost += (max(0.0, float(np.linalg.norm(apart)) - 0.075) / 0.012) ** 2
    outward = outward / max(float(np.linalg.norm(outward)), 1e-9)
    return Approach(meeting, actor, Placed(start.angles, rotation, root), outward, float(cost))
