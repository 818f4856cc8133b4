"""Motion of two hands' skin with 21 numbers per hand, and its derivatives for the optimisation of poses, in numba.

The numbers of a hand: its turn about the root (3, radians), the shift of the root (3, metres), flexion and abduction of
the thumb's base and flexion of its outer joints together (3), and for each finger flexion and abduction of the knuckle
and flexion of the two outer joints together (3). Twists stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit

from twohands.hands.free import free_hand
from twohands.hands.skeleton import ARTICULATED_PARENTS, JOINTS_FROM_ARTICULATED, NUM_ARTICULATED, ROOT
from twohands.types import LEFT

NUMBERS = 21
_ROOT_JOINT = JOINTS_FROM_ARTICULATED[ROOT]
_PARENTS = np.array(ARTICULATED_PARENTS)
_MIRROR = np.diag([-1.0, 1.0, 1.0])


class Hinges(NamedTuple):
    """Map from a hand's numbers to the joints that they turn: about which axis, and how far."""

    number: np.ndarray  # (D,) int64, 6 to 20
    joint: np.ndarray  # (D,) int64 of the 16
    axis: np.ndarray  # (D,) int64: 0 flexion, 1 abduction
    gain: np.ndarray  # (D,)


def _hinges() -> Hinges:
    rows = [(6, 1, 0, 1.0), (7, 1, 1, 1.0), (8, 2, 0, 0.6), (8, 3, 0, 1.0)]
    for finger in range(1, 5):
        first, joint = 6 + 3 * finger, 3 * finger + 1
        # the two outer joints share a tendon, as in `poses`
        rows += [(first, joint, 0, 1.0), (first + 1, joint, 1, 1.0)]
        rows += [(first + 2, joint + 1, 0, 1.0), (first + 2, joint + 2, 0, 2 / 3)]
    number, joint, axis, gain = zip(*rows, strict=True)
    return Hinges(*(np.array(column) for column in (number, joint, axis, gain)))


HINGES = _hinges()


class RestSkin(NamedTuple):
    """One person's right hand at one mesh level, at rest."""

    vertices: np.ndarray  # (V, 3) float64 metres, wrist frame
    joints: np.ndarray  # (16, 3)
    bones: np.ndarray  # (V, 4) int64, the joints that carry a vertex
    weights: np.ndarray  # (V, 4)
    outward: np.ndarray  # (V, 16) summed weight of a joint and those further out on its finger


class Posed(NamedTuple):
    """One hand in the camera frame, with the pivots and axes of its hinges."""

    vertices: np.ndarray  # (V, 3) metres
    root: np.ndarray  # (3,) metres
    pivots: np.ndarray  # (D, 3) metres, of the hinges
    axes: np.ndarray  # (D, 3) unit vectors; their sign is that of the camera frame


@dataclass(frozen=True)
class Placed:
    """Two hands placed by their roots: the variables of the optimisation."""

    angles: np.ndarray  # (2, 16, 3) radians
    rotation: np.ndarray  # (2, 3, 3) camera from wrist frame
    root: np.ndarray  # (2, 3) metres


@cache
def _carriers(level: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    weights = free_hand(level).weights.astype(np.float64)
    bones = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    largest = np.take_along_axis(weights, bones, axis=1)
    outward = weights.copy()
    for joint in range(NUM_ARTICULATED - 1, 0, -1):
        if _PARENTS[joint] > 0:
            outward[:, _PARENTS[joint]] += outward[:, joint]
    return bones.astype(np.int64), largest / largest.sum(axis=1, keepdims=True), outward


def shaped_skin(shape: np.ndarray, level: int) -> RestSkin:
    """Return the skin of a hand of the given shape (S,) at one of the free hand's mesh levels."""
    model = free_hand(level)
    shape = np.asarray(shape, dtype=np.float32)
    vertices = (model.rest_vertices + model.shape_directions @ shape).astype(np.float64)
    joints = (model.rest_joints + model.joint_directions @ shape).astype(np.float64)
    return RestSkin(vertices, joints, *_carriers(level))


def local_root(skin: RestSkin, side: int) -> np.ndarray:
    """Return the root (3,) metres in a hand's own wrist frame; no finger moves it."""
    root = skin.joints[_ROOT_JOINT]
    return root @ _MIRROR if side == LEFT else root


def pose(skin: RestSkin, placed: Placed, side: int) -> Posed:
    """Return one posed hand of the pair; its mesh equals the hand model's."""
    model = free_hand()
    linear = placed.rotation[side] @ _MIRROR if side == LEFT else placed.rotation[side]
    turns = (placed.angles[side] - model.rest_angles).astype(np.float64)
    frames = model.joint_frames.astype(np.float64)
    vertices, pivots, axes = _skinned(skin, turns, frames, _PARENTS, HINGES)
    offset = placed.root[side] - linear @ skin.joints[_ROOT_JOINT]
    sign = -1.0 if side == LEFT else 1.0  # a mirrored turn runs the other way round
    return Posed(vertices @ linear.T + offset, placed.root[side], pivots @ linear.T + offset, sign * axes @ linear.T)


@njit(cache=True)
def _turn(axis, angle):
    """Return the rotation (3, 3) about a unit vector."""
    s, c = np.sin(angle), np.cos(angle)
    x, y, z = axis[0], axis[1], axis[2]
    k = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + s * k + (1 - c) * (k @ k)


@njit(cache=True)
def _skinned(skin, turns, frames, parents, hinges):
    """Return skinned vertices (V, 3), and pivots and axes (D, 3) of the hinges; right hand, wrist frame."""
    count = len(parents)
    turned, moved, axes = np.zeros((count, 3, 3)), np.zeros((count, 3)), np.zeros((count, 2, 3))
    turned[0] = np.eye(3)
    moved[0] = skin.joints[0]
    for j in range(1, count):
        parent = parents[j]
        frame = frames[j].T.copy()  # rows: flexion, abduction, twist
        abducted = turned[parent] @ _turn(frame[1], turns[j, 1])
        axes[j, 1] = turned[parent] @ frame[1]
        axes[j, 0] = abducted @ frame[0]
        turned[j] = abducted @ _turn(frame[0], turns[j, 0]) @ _turn(frame[2], turns[j, 2])
        moved[j] = moved[parent] + turned[parent] @ (skin.joints[j] - skin.joints[parent])
    offsets = np.zeros((count, 3))
    for j in range(count):
        offsets[j] = moved[j] - turned[j] @ skin.joints[j]
    vertices = np.zeros_like(skin.vertices)
    for v in range(len(vertices)):
        for m in range(skin.bones.shape[1]):
            w, j = skin.weights[v, m], skin.bones[v, m]
            if w == 0:
                continue
            for k in range(3):
                vertices[v, k] += w * (
                    offsets[j, k]
                    + turned[j, k, 0] * skin.vertices[v, 0]
                    + turned[j, k, 1] * skin.vertices[v, 1]
                    + turned[j, k, 2] * skin.vertices[v, 2]
                )
    size = len(hinges.joint)
    pivots, hinge_axes = np.zeros((size, 3)), np.zeros((size, 3))
    for d in range(size):
        pivots[d] = moved[hinges.joint[d]]
        hinge_axes[d] = axes[hinges.joint[d], hinges.axis[d]]
    return vertices, pivots, hinge_axes


class Springs(NamedTuple):
    """N residuals: the distance of a point of one hand from a point of the other, along a direction."""

    side: np.ndarray  # (N,) int64, the hand of the first point
    point: np.ndarray  # (N, 3) metres
    outward: np.ndarray  # (N, 16) how the first point is carried by its hand's joints
    other: np.ndarray  # (N, 3) metres, on the other hand
    other_outward: np.ndarray  # (N, 16)
    direction: np.ndarray  # (N, 3)
    residual: np.ndarray  # (N,) metres
    stiffness: np.ndarray  # (N,) 1 / metres^2


def normal_equations(springs: Springs, hands: tuple[Posed, Posed]) -> tuple[np.ndarray, np.ndarray]:
    """Return J^T W J (42, 42) and J^T W r (42,) of the springs for the left, then the right hand's numbers."""
    return _normal_equations(springs, hands[0], hands[1], HINGES)


def changes(springs: Springs, hands: tuple[Posed, Posed], step: np.ndarray) -> np.ndarray:
    """Return the changes (N,) metres of the residuals, to first order, for a step (42,) of the numbers."""
    return _changes(springs, hands[0], hands[1], HINGES, step.reshape(2, NUMBERS))


@njit(cache=True)
def _changes(springs, first, second, hinges, step):
    change = np.zeros(len(springs.residual))
    row = np.zeros((2, NUMBERS))
    for i in range(len(change)):
        row[:] = 0
        _slopes(row, springs, i, first, second, hinges)
        for side in range(2):
            for a in range(NUMBERS):
                change[i] += row[side, a] * step[side, a]
    return change


@njit(cache=True)
def _normal_equations(springs, first, second, hinges):
    matrix, vector = np.zeros((2 * NUMBERS, 2 * NUMBERS)), np.zeros(2 * NUMBERS)
    row = np.zeros((2, NUMBERS))
    for i in range(len(springs.residual)):
        row[:] = 0
        _slopes(row, springs, i, first, second, hinges)
        flat = row.reshape(-1)
        for a in range(2 * NUMBERS):
            if flat[a] == 0:
                continue
            scaled = springs.stiffness[i] * flat[a]
            vector[a] += scaled * springs.residual[i]
            for b in range(2 * NUMBERS):
                matrix[a, b] += scaled * flat[b]
    return matrix, vector


@njit(cache=True)
def _slopes(row, springs, i, first, second, hinges):
    """Add the derivatives of residual i with respect to the numbers of both hands to row (2, 21)."""
    n = springs.direction[i]
    for side in range(2):
        hand = first if side == 0 else second
        if side == springs.side[i]:
            _slope(row[side], 1.0, n, springs.point[i], springs.outward[i], hand, hinges)
        else:
            _slope(row[side], -1.0, n, springs.other[i], springs.other_outward[i], hand, hinges)


@njit(cache=True)
def _slope(row, sign, n, p, outward, hand, hinges):
    """Add the derivatives of `n . p` with respect to the numbers of the hand that carries p to row (21,)."""
    u = p - hand.root
    row[0] += sign * (u[1] * n[2] - u[2] * n[1])
    row[1] += sign * (u[2] * n[0] - u[0] * n[2])
    row[2] += sign * (u[0] * n[1] - u[1] * n[0])
    for k in range(3):
        row[3 + k] += sign * n[k]
    for d in range(len(hinges.joint)):
        w = outward[hinges.joint[d]]
        if w == 0:
            continue
        x, y, z = p[0] - hand.pivots[d, 0], p[1] - hand.pivots[d, 1], p[2] - hand.pivots[d, 2]
        axis = hand.axes[d]
        slope = axis[0] * (y * n[2] - z * n[1]) + axis[1] * (z * n[0] - x * n[2]) + axis[2] * (x * n[1] - y * n[0])
        row[hinges.number[d]] += sign * w * hinges.gain[d] * slope


def moved(placed: Placed, step: np.ndarray) -> Placed:
    """Return the pair after a step (42,) of its numbers, with angles kept within the hand's limits."""
    angles, rotation, root = placed.angles.copy(), placed.rotation.copy(), placed.root.copy()
    limits = free_hand().limits
    for side, part in enumerate(step.reshape(2, NUMBERS)):
        size = float(np.linalg.norm(part[:3]))
        rotation[side] = _turn(part[:3] / max(size, 1e-12), size) @ rotation[side]
        root[side] += part[3:6]
        np.add.at(angles[side], (HINGES.joint, HINGES.axis), HINGES.gain * part[HINGES.number])
    return Placed(np.clip(angles, limits[..., 0], limits[..., 1]), rotation, root)
