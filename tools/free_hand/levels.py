"""Compute nested mesh levels, ever smaller subsets of the vertices, and linear maps from coarse to fine."""

from dataclasses import dataclass

import numpy as np

from twohands.hands.coarsening import EdgeCollapse, learned_up_map

from .makehuman import Indices
from .meshes import vertex_normals
from .model import FreeHand
from .numerics import Array
from .poses import Poses
from .skinning import NUM_JOINTS

LEVELS = (778, 252, 126, 63)
UP_MAPS = ((63, 126), (126, 252), (252, 778), (252, 1609))
FINEST_CLOSED_RING = 778  # down to this level the wrist ring keeps all its vertices

NUM_TRAINING_HANDS = 640
NUM_TEST_HANDS = 160
LIBRARY_NOISE = np.radians([6, 3, 1])


@dataclass(frozen=True)
class Levels:
    """Mesh levels by their number of vertices."""

    vertices: dict[int, Indices]  # level -> (level,) hand vertices
    faces: dict[int, Indices]  # level -> (F, 3) rows of `vertices`
    up_maps: dict[tuple[int, int], Array]  # (coarse, fine) -> (fine, coarse)


def kept_vertices(hand: FreeHand) -> list[int]:
    """Return the vertices that every level keeps: five tips, and one above and one below each finger bone's middle."""
    normals = vertex_normals(hand.hand_vertices, hand.mesh.hand_faces)
    ends = hand.shape.bone_ends()
    kept = set(hand.tip_vertices.tolist())
    for joint in range(1, NUM_JOINTS):
        weights = hand.hand_weights[:, joint]
        middle = (hand.joints[joint] + ends[joint]) / 2
        for side in (1, -1):
            facing = side * normals @ hand.joint_frames[joint, :, 1] > 0.3
            candidates = np.flatnonzero(facing & (weights > 0.5 * weights.max()))
            kept.add(int(candidates[np.linalg.norm(hand.vertices[candidates] - middle, axis=1).argmin()]))
    return sorted(kept)


def random_hands(hand: FreeHand, poses: Poses, count: int, rng: np.random.Generator) -> Array:
    """Return hands (count, num_hand_vertices, 3), metres: every other pose from the library, others from the prior."""
    hands = []
    for number in range(count):
        if number % 2:
            angles = poses.mean + rng.normal(size=len(poses.components)) @ poses.components
            angles = np.concatenate([np.zeros((1, 3)), angles.reshape(-1, 3)])
        else:
            angles = poses.library[rng.integers(len(poses.library))] + rng.normal(size=(NUM_JOINTS, 3)) * LIBRARY_NOISE
            angles[0] = 0
        coefficients = rng.normal(size=hand.shape_directions.shape[-1])
        hands.append(hand.posed(hand.clipped(angles), coefficients)[0][: hand.mesh.num_hand_vertices])
    return np.stack(hands)


def build_levels(hand: FreeHand, poses: Poses, seed: int) -> Levels:
    """Return all levels and up maps."""
    kept = kept_vertices(hand)
    collapse = EdgeCollapse(hand.hand_vertices, hand.mesh.hand_faces, hand.hand_weights)
    ring = hand.mesh.wrist_ring.tolist()
    reduced = {
        level: collapse.reduce(level, [*kept, *ring] if level >= FINEST_CLOSED_RING else kept) for level in LEVELS
    }
    vertices = {level: chosen for level, (chosen, _) in reduced.items()}
    hands = random_hands(hand, poses, NUM_TRAINING_HANDS, np.random.default_rng([seed, 3]))
    fine = vertices | {hand.mesh.num_hand_vertices: np.arange(hand.mesh.num_hand_vertices)}
    up_maps = {pair: learned_up_map(hands, vertices[pair[0]], fine[pair[1]]) for pair in UP_MAPS}
    return Levels(vertices, {level: faces for level, (_, faces) in reduced.items()}, up_maps)
