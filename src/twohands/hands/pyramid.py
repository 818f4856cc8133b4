"""The decoder's mesh levels of a hand model, and the joint regressor shared by predictions and targets.

Levels are nested: a level's vertices are a subset of the full mesh, so its targets are found by indexing, the same for
both hands. Joints are linear in the vertices (docs/method.md, Decoder).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from twohands.geometry.record import Array, TensorRecord
from twohands.hands.coarsening import coarsen
from twohands.hands.free import free_hand_arrays
from twohands.hands.model import HandModel
from twohands.hands.skeleton import JOINTS_FROM_ARTICULATED, NUM_ARTICULATED

GRAPHS = (63, 126, 252)
"""Vertices of the decoder's graphs, coarse to fine (the paper's levels)."""
RIDGE = 1e-8
"""Ridge against large weights: square metres added to the fit of a joint for a weight of 1 on a vertex at the joint."""
REACH = 0.01
"""Distance from the joint, in metres, over which the ridge grows by a factor of e; keeps weights near the joint."""
FIT_POSES = 128
"""Number of random hands to which the regressor is fitted."""


@dataclass(frozen=True)
class MeshLevel(TensorRecord):
    """One graph of V vertices inside the full mesh of a hand model."""

    vertices: Array  # (V,) indices in the full mesh
    faces: Array  # (F, 3) indices in this level, outward on the right hand
    template: Array  # (2, V, 3) rest vertices of both hands, metres, wrist frame
    up: Array  # (V of the next finer level or of the full mesh, V): rows sum to 1
    joint_regressor: Array  # (21, V)


def mesh_levels(hand_model: HandModel) -> tuple[MeshLevel, ...]:
    """Return the levels 63, 126 and 252 of a hand model of NumPy arrays, coarse to fine.

    Levels of the free hand are stored; levels of other models are computed once per process, in about two seconds.
    """
    key = hashlib.sha256(hand_model.rest_vertices.tobytes() + hand_model.weights.tobytes()).hexdigest()
    if key not in _known_levels:
        _known_levels[key] = _mesh_levels(hand_model)
    return _known_levels[key]


_known_levels: dict[str, tuple[MeshLevel, ...]] = {}


def _mesh_levels(hand_model: HandModel) -> tuple[MeshLevel, ...]:
    posed = _posed_hands(hand_model)
    stored = hand_model.name == "free" and f"up_{GRAPHS[-1]}_{len(hand_model.rest_vertices)}" in free_hand_arrays()
    chosen, ups = _stored_levels(hand_model) if stored else coarsen(hand_model, GRAPHS, posed[0])
    both = hand_model.rest_vertices * np.array([[[-1, 1, 1]], [[1, 1, 1]]], dtype=np.float32)
    return tuple(
        MeshLevel(vertices, faces, both[:, vertices], up.astype(np.float32), _fit(hand_model, posed, vertices))
        for (vertices, faces), up in zip(chosen, ups, strict=True)
    )


def _stored_levels(hand_model: HandModel) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[np.ndarray]]:
    """Return the result of `coarsen` from the asset of the free hand."""
    arrays, full = free_hand_arrays(), len(hand_model.rest_vertices)
    stored = arrays.get(f"level_{full}", np.arange(full))
    position = {int(vertex): index for index, vertex in enumerate(stored)}
    levels = [
        (
            np.array([position[int(vertex)] for vertex in arrays[f"level_{count}"]]),
            arrays[f"level_{count}_faces"].astype(np.int64),
        )
        for count in GRAPHS
    ]
    return levels, [arrays[f"up_{count}_{finer}"] for count, finer in zip(GRAPHS, (*GRAPHS[1:], full), strict=True)]


def joint_regressor(hand_model: HandModel) -> np.ndarray:
    """Return the matrix (21, V) float32 from a model's vertices to its joints; rows sum to 1, tips are vertices.

    It is fitted to random poses and shapes; its mean error for the free hand's kinematic joints is below 0.05 mm.
    """
    return _fit(hand_model, _posed_hands(hand_model), np.arange(len(hand_model.rest_vertices)))


def _posed_hands(hand_model: HandModel) -> tuple[np.ndarray, np.ndarray]:
    """Return random right hands (P, V, 3) and joints (P, 21, 3), float64: uniform in the limits, Gaussian in shape."""
    rng = np.random.default_rng(0)
    limits = hand_model.limits
    angles = rng.uniform(limits[..., 0], limits[..., 1], size=(FIT_POSES, 2, NUM_ARTICULATED, 3)).astype(np.float32)
    parameters = hand_model.neutral((FIT_POSES,))
    shape = rng.normal(size=parameters.shape.shape).astype(np.float32)
    hands = hand_model(replace(parameters, pose=hand_model.pose_from_angles(angles), shape=shape))
    return hands.vertices[:, 1].astype(np.float64), hands.joints[:, 1].astype(np.float64)  # type: ignore[index]


def _fit(hand_model: HandModel, posed: tuple[np.ndarray, np.ndarray], vertices: np.ndarray) -> np.ndarray:
    """Return weights (21, len(vertices)): each row w sums to 1 and minimises |sum w (vertex - joint)|^2 + ridge."""
    meshes, joints = posed[0][:, vertices], posed[1]
    regressor = np.zeros((len(JOINTS_FROM_ARTICULATED), len(vertices)))
    for row, articulated in enumerate(JOINTS_FROM_ARTICULATED):
        if articulated >= NUM_ARTICULATED:
            tip = hand_model.tip_vertices[articulated - NUM_ARTICULATED]
            regressor[row, vertices == tip] = 1
            continue
        distance = np.linalg.norm(hand_model.rest_vertices[vertices] - hand_model.rest_joints[articulated], axis=1)
        near = np.argsort(distance, kind="stable")[:128]
        offsets = (meshes[:, near] - joints[:, None, row]).transpose(0, 2, 1).reshape(-1, len(near))
        normal = offsets.T @ offsets / len(meshes) + np.diag(RIDGE * np.exp(distance[near] / REACH))
        weights = np.linalg.solve(normal, np.ones(len(near)))  # the Lagrange condition of the sum
        regressor[row, near] = weights / weights.sum()
    return regressor.astype(np.float32)
