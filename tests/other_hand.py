"""A second hand model made of the free hand: nothing of it coincides, yet where each vertex belongs is known."""

from dataclasses import dataclass

import numpy as np

from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands import HandModel, free_hand
from twohands.hands.coarsening import EdgeCollapse, kept_vertices
from twohands.hands.skeleton import ARTICULATED_PARENTS

NUM_VERTICES = 1000


@dataclass(frozen=True)
class OtherHand:
    """The model, and the place of its vertices on the finest free hand."""

    model: HandModel
    mixture: np.ndarray  # (1000, 1609), rows sum to 1


def other_hand(seed=0):
    """Make a hand of other triangles, joints, proportions, rest pose, wrist axes, shape basis and pose corrections.

    The vertices slide up to a third of an edge, then the mesh is thinned. Joints are 3 mm away along every axis. A
    smooth field of 1 mm makes proportions that the free hand's shapes do not have.
    """
    rng = np.random.default_rng(seed)
    free = free_hand(1609)
    mixture, faces, tips = _remeshed(free, rng)
    joints = free.rest_joints + rng.normal(scale=0.003, size=(16, 3))
    vertices, weights = mixture @ free.rest_vertices, mixture @ free.weights
    change = np.linalg.qr(rng.normal(size=(10, 10)))[0] * rng.uniform(0.7, 1.3, size=10)
    directions = np.tensordot(mixture, free.shape_directions, axes=1) @ change
    joint_directions = free.joint_directions @ change
    wave = _waves(rng, 1)
    vertices, joints = vertices + 1e-3 * wave(vertices)[..., 0], joints + 1e-3 * wave(joints)[..., 0]
    corrections = 3e-4 * _waves(rng, 135)(vertices)
    bent = matrix_from_axis_angle(rng.normal(scale=0.15, size=(15, 3)))
    axes = matrix_from_axis_angle(rng.normal(scale=0.05, size=3))
    turned = [axes]
    for joint, parent in enumerate(ARTICULATED_PARENTS[1:], start=1):
        turned.append(turned[parent] @ bent[joint - 1])
    turned = np.array(turned)
    places = [turned[0] @ joints[0]]
    for joint, parent in enumerate(ARTICULATED_PARENTS[1:], start=1):
        places.append(places[parent] + turned[parent] @ (joints[joint] - joints[parent]))
    offsets = np.array(places) - np.einsum("jab,jb->ja", turned, joints)
    blended = np.einsum("vj,jab->vab", weights, turned)
    arrays = {
        "rest_vertices": np.einsum("vab,vb->va", blended, vertices) + weights @ offsets - places[0],
        "rest_joints": np.array(places) - places[0],
        "shape_directions": blended @ (directions - joint_directions[0]),
        "joint_directions": turned @ (joint_directions - joint_directions[0]),
        "weights": weights,
        "joint_frames": turned @ free.joint_frames,
        "pose_directions": corrections,
    }
    arrays = {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}
    model = HandModel(
        "other", right_faces=faces, tip_vertices=tips, rest_angles=free.rest_angles, limits=free.limits, **arrays
    )
    return OtherHand(model, mixture)


def _remeshed(free, rng):
    """Return the mixture (1000, 1609) of vertices, the faces (F, 3), and the numbers of the tips."""
    count = len(free.rest_vertices)
    moved = np.eye(count)
    directed = free.right_faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).tolist()
    border = {a for a, b in directed if [b, a] not in directed}
    fixed = border | set(free.tip_vertices)
    for face in rng.permutation(free.right_faces):
        vertex, *others = rng.permutation(face)
        if vertex not in fixed:
            fixed.add(vertex)
            moved[vertex, vertex], moved[vertex, others] = 0.4, rng.dirichlet([1, 1]) * 0.6
    collapse = EdgeCollapse(moved @ free.rest_vertices, free.right_faces, moved @ free.weights)
    chosen, faces = collapse.reduce(NUM_VERTICES, kept_vertices(free))
    tips = tuple(int(np.flatnonzero(chosen == tip)[0]) for tip in free.tip_vertices)
    return moved[chosen], faces, tips


def _waves(rng, count):
    """Return a function of points (N, 3), metres: smooth values (N, 3, count) of magnitude one, 6 cm or longer."""
    frequencies, phases = rng.normal(scale=50, size=(3, 3, count)), rng.uniform(0, 2 * np.pi, size=(3, count))
    return lambda points: np.sqrt(2) * np.sin(np.einsum("na,abk->nbk", points, frequencies) + phases)
