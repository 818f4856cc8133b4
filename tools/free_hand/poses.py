"""Build the library of named poses, and a Gaussian pose prior from it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from .meshes import vertex_normals
from .model import FreeHand
from .numerics import Array, principal_coefficients
from .skinning import FINGERS, NUM_JOINTS

NUM_PRIOR_SAMPLES = 6000
NUM_COMPONENTS = 15
RELUCTANCE = 0.0026  # metres of gap between two finger pads that cost as much as one radian off the written pose

Angles = Sequence[Sequence[float]]  # of one finger's three joints: flexion, abduction, twist in degrees

THUMB_REST = ((0, 0, 0), (5, 0, 0), (2, 0, 0))
THUMB_FLAT = ((0, 0, 0), (10, 0, 0), (5, 0, 0))
THUMB_OVER_FIST = ((28, 18, 8), (38, 0, 0), (48, 0, 0))
THUMB_UP = ((-8, -6, 0), (-4, 0, 0), (-6, 0, 0))


def finger(base: float, middle: float, last: float, abduction: float = 0) -> Angles:
    """Return the angles of a finger from its three flexions and first abduction, degrees."""
    return (base, abduction, 0), (middle, 0, 0), (last, 0, 0)


def straight(abduction: float = 0) -> Angles:
    """Return the angles of a straight finger, degrees."""
    return finger(0, 2, 2, abduction)


def curled(abduction: float = 0) -> Angles:
    """Return the angles of a finger rolled into the palm, degrees."""
    return finger(84, 100, 62, abduction)


# Written by hand; thumb to little, degrees.
LIBRARY: dict[str, tuple[Angles, ...]] = {
    "open": (THUMB_REST, straight(8), straight(), straight(-8), straight(-18)),
    "flat": (THUMB_FLAT, straight(1), straight(), straight(-1), straight(-2)),
    "spread": (
        ((-12, -12, 0), (-5, 0, 0), (-8, 0, 0)),
        finger(-8, 0, 0, 16),
        finger(-8, 0, 0),
        finger(-8, 0, 0, -14),
        finger(-8, 0, 0, -28),
    ),
    "relaxed": (
        ((8, 5, 0), (12, 0, 0), (12, 0, 0)),
        finger(25, 30, 12, 3),
        finger(32, 36, 15),
        finger(36, 40, 16, -3),
        finger(40, 38, 16, -8),
    ),
    "fist": (THUMB_OVER_FIST, finger(80, 100, 62), finger(86, 102, 64), finger(88, 102, 62), finger(88, 98, 60, 2)),
    "pointing": (((26, 18, 8), (36, 0, 0), (44, 0, 0)), straight(), curled(), curled(), curled()),
    "thumbs_up": (THUMB_UP, finger(78, 100, 62), curled(), curled(), curled()),
    "peace": (THUMB_OVER_FIST, straight(12), straight(-6), curled(), curled()),
    "three": (THUMB_OVER_FIST, straight(12), straight(), straight(-12), curled()),
    "four": (((30, 22, 10), (35, 0, 0), (40, 0, 0)), straight(8), straight(2), straight(-5), straight(-14)),
    "hook": (THUMB_REST, finger(5, 95, 60), finger(5, 98, 60), finger(5, 98, 58), finger(5, 92, 55)),
    "tabletop": (
        ((10, 8, 0), (10, 0, 0), (5, 0, 0)),
        finger(82, 4, 2),
        finger(85, 4, 2),
        finger(85, 4, 2),
        finger(85, 4, 2),
    ),
    "grasp_large": (
        ((10, 20, 8), (12, 0, 0), (14, 0, 0)),
        finger(32, 34, 18, 8),
        finger(34, 38, 20),
        finger(36, 38, 20, -6),
        finger(36, 36, 18, -14),
    ),
    "grasp_medium": (
        ((18, 20, 8), (20, 0, 0), (24, 0, 0)),
        finger(50, 56, 30, 4),
        finger(54, 60, 32),
        finger(56, 60, 32, -3),
        finger(56, 56, 30, -8),
    ),
    "grasp_small": (
        ((26, 18, 8), (28, 0, 0), (36, 0, 0)),
        finger(66, 78, 45, 2),
        finger(70, 80, 46),
        finger(72, 80, 46),
        finger(72, 78, 44, -4),
    ),
    "sphere": (
        ((6, 24, 6), (10, 0, 0), (16, 0, 0)),
        finger(30, 38, 25, 15),
        finger(32, 40, 26, 3),
        finger(32, 40, 26, -10),
        finger(32, 38, 24, -24),
    ),
    "lateral": (
        ((16, -2, -4), (18, 0, 0), (22, 0, 0)),
        finger(62, 72, 40),
        finger(70, 84, 50),
        finger(74, 88, 50),
        finger(76, 86, 50),
    ),
    "horns": (THUMB_OVER_FIST, straight(6), curled(), curled(), straight(-12)),
    "pistol": (THUMB_UP, straight(), straight(), curled(), curled()),
    "shaka": (THUMB_UP, curled(), curled(), curled(), straight(-24)),
    "pinch": (
        ((20, 22, 8), (22, 0, 0), (24, 0, 0)),
        finger(46, 50, 26),
        finger(30, 34, 16),
        finger(22, 28, 14, -3),
        finger(16, 26, 12, -8),
    ),
    "ok": (
        ((20, 22, 8), (22, 0, 0), (24, 0, 0)),
        finger(46, 56, 30),
        finger(8, 8, 4),
        finger(4, 5, 3, -6),
        finger(0, 4, 2, -14),
    ),
    "tripod": (
        ((20, 24, 10), (22, 0, 0), (26, 0, 0)),
        finger(48, 52, 28, -2),
        finger(54, 54, 30, 2),
        finger(62, 70, 40, -2),
        finger(66, 74, 42, -5),
    ),
    "pinch_middle": (
        ((24, 24, 12), (24, 0, 0), (26, 0, 0)),
        finger(20, 22, 10, 4),
        finger(54, 56, 30),
        finger(40, 48, 26, -2),
        finger(36, 44, 22, -6),
    ),
    "precision_disk": (
        ((8, 24, 8), (14, 0, 0), (20, 0, 0)),
        finger(40, 46, 28, 10),
        finger(44, 48, 30, 2),
        finger(44, 48, 30, -7),
        finger(44, 46, 28, -16),
    ),
}


@dataclass(frozen=True)
class Contact:
    """Finger pads that meet in a pose."""

    pairs: tuple[tuple[int, int], ...]  # fingers, 0 thumb to 4 little
    distance: float  # of the pads' skin vertices, metres
    facing: float = 0.003
    """Metres of gap that cost as much as one unit between a pad's normal and the opposite of the other's."""


# The tripod leaves room for a pen, which need not lie flat on every pad.
CONTACTS = {
    "pinch": Contact(((0, 1),), 0.002),
    "ok": Contact(((0, 1),), 0.002),
    "tripod": Contact(((0, 1), (0, 2)), 0.012, facing=0.001),
    "pinch_middle": Contact(((0, 2),), 0.002),
}


@dataclass(frozen=True)
class Poses:
    """Anatomical angles in radians."""

    names: tuple[str, ...]
    library: Array  # (P, 16, 3)
    mean: Array  # (45,) of the 15 finger joints
    components: Array  # (15, 45), each as long as its standard deviation
    explained: Array  # (15,)


def build_poses(hand: FreeHand, seed: int) -> Poses:
    """Return the library with its contacts closed, and the prior."""
    library = []
    for name, fingers in LIBRARY.items():
        angles = hand.clipped(written_angles(fingers))
        if name in CONTACTS:
            angles = closed_contact(hand, angles, CONTACTS[name])
        library.append(angles)
    samples = random_poses(hand, np.stack(library), NUM_PRIOR_SAMPLES, np.random.default_rng([seed, 2]))
    fingers_only = samples[:, 1:].reshape(len(samples), -1)
    mean = fingers_only.mean(0)
    coefficients, explained = principal_coefficients(fingers_only - mean, NUM_COMPONENTS)
    components = coefficients.T @ (fingers_only - mean) / len(samples)
    return Poses(tuple(LIBRARY), np.stack(library), mean, components, explained)


def written_angles(fingers: tuple[Angles, ...]) -> Array:
    """Return written angles as (16, 3) radians; the wrist is straight."""
    return np.radians(np.concatenate([np.zeros((1, 3)), *(np.array(angles, np.float64) for angles in fingers)]))


def closed_contact(hand: FreeHand, angles: Array, contact: Contact) -> Array:
    """Change `angles` (16, 3) as little as needed to bring the finger pads together, within the limits."""
    free = np.zeros((NUM_JOINTS, 3), bool)
    for touching in {number for pair in contact.pairs for number in pair}:
        base = 3 * touching + 1
        free[base : base + 3, 0] = True
        free[base, 1] = True
        free[base, 2] = touching == 0
    first, second = np.array(contact.pairs).T
    lowest, highest = hand.limits[free].T
    start = np.clip(angles[free], lowest + 1e-6, highest - 1e-6)

    def residuals(free_angles: Array) -> Array:
        trial = angles.copy()
        trial[free] = free_angles
        vertices = hand.posed(trial)[0]
        normals = vertex_normals(vertices, hand.mesh.faces)[hand.pulp_vertices]
        pulps = vertices[hand.pulp_vertices]
        gaps = np.linalg.norm(pulps[first] - pulps[second], axis=1) - contact.distance
        facing = contact.facing * (normals[first] + normals[second])  # zero where two pads face each other
        return np.concatenate([gaps, facing.ravel(), RELUCTANCE * (free_angles - start)])

    closed = angles.copy()
    closed[free] = least_squares(residuals, start, bounds=(lowest, highest), xtol=1e-10, ftol=1e-10).x
    return closed


def random_poses(hand: FreeHand, library: Array, count: int, rng: np.random.Generator) -> Array:
    """Return (count, 16, 3) radians: mixtures of two library poses, with fingers swapped, bent and spread at random."""
    poses = np.empty((count, NUM_JOINTS, 3))
    for row in range(count):
        angles = np.tensordot(rng.dirichlet([0.5, 0.5]), library[rng.choice(len(library), 2)], 1)
        if rng.random() < 0.35:
            base = 3 * rng.integers(len(FINGERS)) + 1
            angles[base : base + 3] = library[rng.integers(len(library)), base : base + 3]
        noise = np.zeros((NUM_JOINTS, 3))  # degrees
        bend = np.outer(rng.normal(0, 7, len(FINGERS)), [0.7, 1, 0.6])
        noise[1:, 0] = bend.ravel() + rng.normal(0, 4, NUM_JOINTS - 1)
        noise[1::3, 1] = rng.normal(0, 4, len(FINGERS))
        noise[1] += rng.normal(0, 5, 3)
        poses[row] = hand.clipped(angles + np.radians(noise))
    return poses
