"""Contact between the two hands of one person.

A way of touching is drawn among those that the arms allow. Both hands are turned and moved by equal parts until the
places meet, drawn back until they are free of each other, and brought together again by damped least squares (contact,
penetration, limits and nearness to the given pose). The finest mesh decides whether the result is accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands.free import free_hand
from twohands.synth.acts.contact_kinds import LARGEST_TURN, Approach, sample_approaches
from twohands.synth.acts.hand_motion import (
    HINGES,
    NUMBERS,
    Placed,
    Posed,
    RestSkin,
    Springs,
    changes,
    local_root,
    moved,
    normal_equations,
    pose,
    shaped_skin,
)
from twohands.synth.acts.poses import local_joints, local_rest_bone, self_penetration
from twohands.synth.acts.touching import Nearest, SolidHand, nearest, posed_surface
from twohands.types import LEFT, RIGHT

_COARSE, _FINE = 778, 1609  # mesh levels of the search and of the acceptance test
_ATTEMPTS = 5  # ways of touching that are tried
_COARSE_STEPS, _FINE_STEPS = 16, 4
_LOOK_AROUND, _NEAR, _BESIDE = 4, 0.02, 0.008
"""Steps between searches for vertices that may get inside; reach in metres of that search and of a single step."""
_FAR = 0.03  # metres, reach of the vertices that seek the other hand
_LARGEST_ROOTS = 0.072  # metres between the roots, beyond which they attract each other
_FOREARM = 0.034  # metres, radius of the mean forearm, as in `arms`
_DEEPEST, _WIDEST = 0.0035, 0.0008  # metres, largest accepted penetration and gap
_TANGLE = 0.002  # metres that one hand's fingers may overlap, as in `poses`; more only where the given pose has more
_SETTLED = 0.0015  # metres of penetration at which the hands are no longer pushed apart
_OVERLAP, _HOPELESS = 0.006, 0.010  # metres of penetration that the search may start with, and that no push can mend
_PUSHES = 4
_STILL = 0.03  # fraction of the largest step at which the search has ended
# standard deviations in radians or metres
_TURN_SCALE, _SHIFT_SCALE, _FLEXION_SCALE, _ABDUCTION_SCALE = 0.3, 0.05, 0.35, 0.10
_CONTACT_SCALE, _SLIDE_SCALE, _SOLID_SCALE = 0.003, 0.02, 0.0006
_DAMPING = 1.5  # damping over the stiffness that keeps the hands where they were
_STEP_LIMITS = np.tile([*[0.12] * 3, *[0.006] * 3, *[0.20] * (NUMBERS - 6)], 2)


@dataclass(frozen=True)
class Pair:
    """Two hands of one person in the camera frame."""

    angles: np.ndarray  # (2, 16, 3) anatomical angles, radians
    rotation: np.ndarray  # (2, 3, 3) camera from wrist frame
    translation: np.ndarray  # (2, 3) metres, wrists


def bring_together(rng: np.random.Generator, pair: Pair, shape: np.ndarray) -> Pair | None:
    """Move and turn the hands and bend their fingers until they touch; return None when no attempt succeeds.

    shape (S,) is the person's. Wrists turn by at most `LARGEST_TURN` each, roots move by at most about `LARGEST_SHIFT`.
    An attempt succeeds with a contact, free of deep penetration of the hands and of one hand's own fingers.
    """
    coarse, fine = shaped_skin(shape, _COARSE), shaped_skin(shape, _FINE)
    roots = [pair.rotation[side] @ local_root(coarse, side) for side in (LEFT, RIGHT)]
    start = Placed(pair.angles.astype(np.float64), pair.rotation, pair.translation + np.stack(roots))
    tangle = np.maximum(_TANGLE, _tangle(start.angles))
    for approach in sample_approaches(rng, coarse, start, _ATTEMPTS):
        placed = _cleared(coarse, approach)
        if placed is None:
            continue
        placed = _settle(coarse, start, approach, placed, _COARSE_STEPS)
        if (_tangle(placed.angles) > tangle).any():
            continue
        placed, closest = _pushed_apart(fine, _settle(fine, start, approach, placed, _FINE_STEPS))
        if -_DEEPEST <= closest <= _WIDEST and (_tangle(placed.angles) <= tangle).all():
            wrists = [placed.root[side] - placed.rotation[side] @ local_root(fine, side) for side in (LEFT, RIGHT)]
            return Pair(placed.angles, placed.rotation, np.stack(wrists))
    return None


def mirror_fingers(rng: np.random.Generator, angles: np.ndarray) -> np.ndarray:
    """Give one hand, drawn at random, almost the finger angles of the other; angles (2, 16, 3) radians.

    Equal angles are a mirrored pose. Fingers that the deviation would put into each other get none.
    """
    source = int(rng.integers(2))
    noise = np.zeros((16, 3))
    noise[1:, 0], noise[1::3, 1] = rng.normal(0.0, np.radians(3.0), 15), rng.normal(0.0, np.radians(1.5), 5)
    limits = free_hand().limits
    mirrored = angles.astype(np.float64).copy()
    mirrored[1 - source] = np.clip(angles[source] + noise, limits[..., 0], limits[..., 1])
    tangle = _tangle(mirrored)
    if tangle[1 - source] > max(_TANGLE, tangle[source]):
        mirrored[1 - source] = mirrored[source]
    return mirrored


def _cleared(skin: RestSkin, approach: Approach) -> Placed | None:
    """Return the hands drawn back until they are nearly free of each other, or None when that is too far."""
    placed = approach.placed
    hands = [pose(skin, placed, side) for side in (LEFT, RIGHT)]
    sign = 1 if approach.actor == LEFT else -1
    for distance in (0.01, 0.03, 0.055, 0.08):
        shift = 0.5 * sign * distance * np.stack([approach.outward, -approach.outward])
        found = _both_ways([hands[side].vertices + shift[side] for side in (LEFT, RIGHT)], 0.0)
        if min(float(f.distance.min()) for f in found) > -_OVERLAP:
            return replace(placed, root=placed.root + shift)
    return None


def _both_ways(vertices: list[np.ndarray], reach: float) -> tuple[Nearest, Nearest]:
    """Return the nearest points on the other hand for the vertices of the left and of the right hand."""
    surfaces = [posed_surface(vertices[side], side) for side in (LEFT, RIGHT)]
    return nearest(vertices[LEFT], surfaces[RIGHT], reach), nearest(vertices[RIGHT], surfaces[LEFT], reach)


def _settle(skin: RestSkin, start: Placed, approach: Approach, placed: Placed, steps: int) -> Placed:
    """Take damped Gauss-Newton steps towards contact without penetration, near the pose at the start."""
    pairs, seeking = approach.vertices(len(skin.vertices))
    near: list[np.ndarray] = []
    for count in range(steps):
        hands = (pose(skin, placed, LEFT), pose(skin, placed, RIGHT))
        if count % _LOOK_AROUND == 0:
            found = _both_ways([hand.vertices for hand in hands], _NEAR)
            near = [np.flatnonzero(f.face >= 0) for f in found]
        wishes, solids = [_pairing(skin, hands, pairs), _roots(hands)], []
        for side in (LEFT, RIGHT):
            surface = posed_surface(hands[1 - side].vertices, 1 - side)
            wishes.append(_seeking(skin, hands, side, surface, seeking[side]))
            wishes.append(_forearm(skin, hands, side, placed.rotation[1 - side]))
            solids.append(_solid(skin, hands, side, surface, near[side]))
        step = _step(hands, _joined(wishes), _joined(solids), *_away(start, placed))
        largest = float(np.abs(step / _STEP_LIMITS).max())
        placed = _within_turn(start, moved(placed, step / max(1.0, largest)))
        if largest < _STILL:
            break
    return placed


def _joined(springs: list[Springs]) -> Springs:
    return Springs(*(np.concatenate(column) for column in zip(*springs, strict=True)))


def _step(
    hands: tuple[Posed, Posed], wishes: Springs, solids: Springs, away: np.ndarray, stiffness: np.ndarray
) -> np.ndarray:
    """Return the damped step (42,); vertices that would enter the other hand are held at its surface beforehand."""
    matrix, vector = normal_equations(wishes, hands)
    matrix += np.diag((1 + _DAMPING) * stiffness)
    vector += stiffness * away
    pressing = solids.residual < 0
    step = np.zeros(2 * NUMBERS)
    for _ in range(3):
        push = normal_equations(Springs(*(column[pressing] for column in solids)), hands)
        step = -np.linalg.solve(matrix + push[0], vector + push[1])
        entering = ~pressing & (solids.residual + changes(solids, hands, step) < 0)
        if not entering.any():
            break
        pressing |= entering
    return step


def _away(start: Placed, placed: Placed) -> tuple[np.ndarray, np.ndarray]:
    """Return the change (42,) of the numbers since the start, and the stiffness (42,) against it."""
    away, scale = np.zeros((2, NUMBERS)), np.zeros((2, NUMBERS))
    scale[:, :3], scale[:, 3:6] = _TURN_SCALE, _SHIFT_SCALE
    scale[:, HINGES.number] = np.where(HINGES.axis == 0, _FLEXION_SCALE, _ABDUCTION_SCALE)
    change = placed.angles - start.angles
    for side in (LEFT, RIGHT):
        away[side, :3] = _turn_between(start.rotation[side], placed.rotation[side])
        away[side, 3:6] = placed.root[side] - start.root[side]
        away[side, HINGES.number] = change[side, HINGES.joint, HINGES.axis] / HINGES.gain
    return away.reshape(-1), (1 / scale**2).reshape(-1)


def _within_turn(start: Placed, placed: Placed) -> Placed:
    rotation = placed.rotation.copy()
    for side in (LEFT, RIGHT):
        turn = _turn_between(start.rotation[side], rotation[side])
        fraction = LARGEST_TURN / max(float(np.linalg.norm(turn)), 1e-9)
        if fraction < 1:
            rotation[side] = matrix_from_axis_angle(fraction * turn) @ start.rotation[side]
    return replace(placed, rotation=rotation)


def _turn_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the axis-angle (3,) in radians of the rotation from one matrix (3, 3) to another, below half a turn."""
    m = end @ start.T
    double = np.array([m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]])  # 2 sin(angle) axis
    sine, cosine = 0.5 * float(np.linalg.norm(double)), 0.5 * (float(np.trace(m)) - 1)
    return double * (0.5 * np.arctan2(sine, cosine) / max(sine, 1e-12))


def _solid(skin: RestSkin, hands: tuple[Posed, Posed], side: int, surface: SolidHand, near: np.ndarray) -> Springs:
    """Return springs for vertices of one hand inside or next to the other; `near` (N,) are the candidates."""
    found = nearest(hands[side].vertices[near], surface, _BESIDE)
    beside = np.flatnonzero(found.face >= 0)
    found = Nearest(*(column[beside] for column in found))
    stiffness = np.full(len(beside), _SOLID_SCALE**-2)
    return _to_surface(skin, side, hands[side].vertices, near[beside], surface, found, stiffness)


def _seeking(skin: RestSkin, hands: tuple[Posed, Posed], side: int, surface: SolidHand, seeking: np.ndarray) -> Springs:
    """Return springs that draw chosen vertices (V,) bool to the other hand's surface, weaker with distance."""
    chosen = np.flatnonzero(seeking)
    found = nearest(hands[side].vertices[chosen], surface, _FAR)
    near = np.flatnonzero((found.face >= 0) & (found.distance > 0))
    found = Nearest(*(column[near] for column in found))
    stiffness = 1 / (_CONTACT_SCALE**2 + found.distance**2)
    return _to_surface(skin, side, hands[side].vertices, chosen[near], surface, found, stiffness)


def _to_surface(
    skin: RestSkin,
    side: int,
    vertices: np.ndarray,
    chosen: np.ndarray,
    surface: SolidHand,
    found: Nearest,
    stiffness: np.ndarray,
) -> Springs:
    """Return springs between chosen (N,) vertices of one hand and the nearest points found on the other."""
    corners = surface.faces[found.face]  # (N, 3)
    return Springs(
        side=np.full(len(chosen), side),
        point=vertices[chosen],
        outward=skin.outward[chosen],
        other=np.einsum("nk,nki->ni", found.weights, surface.vertices[corners]),
        other_outward=np.einsum("nk,nkj->nj", found.weights, skin.outward[corners]),
        direction=found.direction,
        residual=found.distance,
        stiffness=stiffness,
    )


def _pairing(skin: RestSkin, hands: tuple[Posed, Posed], pairs: np.ndarray) -> Springs:
    """Return springs by which paired vertices (P, 2) attract each other softly in all directions."""
    a, b = np.repeat(pairs, 3, axis=0).T
    first, second = hands[LEFT].vertices[a], hands[RIGHT].vertices[b]
    direction = np.tile(np.eye(3), (len(pairs), 1))
    residual = ((first - second) * direction).sum(axis=1)
    stiffness = np.full(len(a), _SLIDE_SCALE**-2)
    side = np.full(len(a), LEFT)
    return Springs(side, first, skin.outward[a], second, skin.outward[b], direction, residual, stiffness)


def _roots(hands: tuple[Posed, Posed]) -> Springs:
    """Return a spring between roots that are farther apart than those of touching hands usually are."""
    apart = hands[LEFT].root - hands[RIGHT].root
    distance = float(np.linalg.norm(apart))
    residual = np.array([max(0.0, distance - _LARGEST_ROOTS)])
    still, stiffness = np.zeros((1, 16)), np.array([0.010**-2 if residual[0] else 0.0])
    first, second = hands[LEFT].root[None], hands[RIGHT].root[None]
    return Springs(
        np.array([LEFT]), first, still, second, still, apart[None] / max(distance, 1e-9), residual, stiffness
    )


def _forearm(skin: RestSkin, hands: tuple[Posed, Posed], side: int, rotation: np.ndarray) -> Springs:
    """Return springs that keep one hand's skin out of the other's forearm, a straight extension of its palm."""
    scale = float(np.linalg.norm(local_root(skin, RIGHT) - skin.joints[0]) / np.linalg.norm(local_rest_bone()))
    wrist = hands[1 - side].root - rotation @ local_root(skin, 1 - side)
    back = -rotation[:, 2]
    along = np.clip((hands[side].vertices - wrist) @ back, 0.03, 0.20)
    other = wrist + along[:, None] * back
    apart = hands[side].vertices - other
    distance = np.linalg.norm(apart, axis=1)
    inside = np.flatnonzero(distance < _FOREARM * scale)
    return Springs(
        side=np.full(len(inside), side),
        point=hands[side].vertices[inside],
        outward=skin.outward[inside],
        other=other[inside],
        other_outward=np.zeros((len(inside), 16)),
        direction=apart[inside] / distance[inside, None],
        residual=distance[inside] - _FOREARM * scale,
        stiffness=np.full(len(inside), 0.005**-2),
    )


def _pushed_apart(skin: RestSkin, placed: Placed) -> tuple[Placed, float]:
    """Shift both hands along the directions of penetration until it is as deep as soft skin gives way.

    Return also the smallest signed distance between them in metres; infinity where they are too far apart for a
    contact.
    """
    hands = [pose(skin, placed, side) for side in (LEFT, RIGHT)]
    shift, closest = np.zeros((2, 3)), np.inf
    for push in range(_PUSHES + 1):
        found = _both_ways([hands[side].vertices + shift[side] for side in (LEFT, RIGHT)], _WIDEST)
        closest = min(float(f.distance.min()) for f in found)
        if push == _PUSHES or not -_HOPELESS < closest < -_SETTLED:
            break
        pushes = [np.minimum(f.distance, 0.0)[f.face >= 0] @ f.direction[f.face >= 0] for f in found]
        way = pushes[RIGHT] - pushes[LEFT]  # direction for the left hand
        step = 0.5 * (-closest - 0.5 * _SETTLED) * way / max(float(np.linalg.norm(way)), 1e-9)
        shift += np.stack([step, -step])
    return replace(placed, root=placed.root + shift), closest


def _tangle(angles: np.ndarray) -> np.ndarray:
    """Return the depth (2,) metres to which the fingers of either hand penetrate each other, angles (2, 16, 3)."""
    return np.array([self_penetration(local_joints(hand)) for hand in angles])
