"""Samplers of articulation and of hand shape.

Articulation: named poses and their blends, the pose PCA, and 15 % uniform inside the anatomical limits with the usual
coupling of the two outer joints. Poses in which capsules of the fingers run through each other are drawn again. Shape:
standard normal, but the space of the first three components is divided into cells that belong to one split each (see
`shape_split`), so a test hand was never seen in training.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations, pairwise

import numpy as np

from twohands.hands.free import free_hand, free_hand_arrays, pose_prior
from twohands.hands.skeleton import BONES, KNUCKLES
from twohands.types import HandParameters

SPLITS = ("train", "validation", "test")
GRASPS = ("grasp_large", "grasp_medium", "sphere", "precision_disk", "relaxed", "grasp_small")
"""Names of poses in which a hand can hold something; `held_pose` draws them with `_GRASP_CHANCES`."""
_GRASP_CHANCES = (0.32, 0.24, 0.16, 0.12, 0.10, 0.06)
_COMMON_POSES = (
    "open",
    "flat",
    "relaxed",
    "grasp_large",
    "grasp_medium",
    "sphere",
    "pinch",
    "tripod",
    "precision_disk",
)
_SHAPE_CELL = 0.75  # standard deviations, edge of a cell of the first three components
_SHAPE_REACH = 2.2  # standard deviations, largest component drawn
_SEGMENTS = (*BONES, *pairwise(KNUCKLES))  # capsules: the bones and the row of knuckles
_TRIES = 12


def shape_split(shape: np.ndarray) -> str:
    """Return the split of a hand shape: its cell of the first three components, hashed, modulo 10.

    0 and 1 are test, 2 is validation, the other seven are training.
    """
    cell = np.floor(np.asarray(shape[:3], dtype=np.float64) / _SHAPE_CELL).astype(np.int64)
    bucket = int((cell * np.array([73856093, 19349663, 83492791])).sum() % 10)
    return "test" if bucket < 2 else "validation" if bucket == 2 else "train"


def sample_shape(rng: np.random.Generator, split: str) -> np.ndarray:
    """Sample the shape (S,) float32, in standard deviations, of a person of the given split."""
    while True:
        shape = np.clip(rng.standard_normal(free_hand().num_shape), -_SHAPE_REACH, _SHAPE_REACH).astype(np.float32)
        if shape_split(shape) == split:
            return shape


def sample_angles(rng: np.random.Generator) -> np.ndarray:
    """Sample anatomical angles (16, 3) of one hand, radians: flexion, abduction, twist; free of self-penetration."""
    for _ in range(_TRIES):
        kind = rng.random()
        draw = _library_pose if kind < 0.5 else _prior_pose if kind < 0.85 else _uniform_pose
        angles = _within_limits(draw(rng))
        if self_penetration(local_joints(angles)) <= 0.002:
            return angles
    return _within_limits(named_pose("relaxed").copy())


def held_pose(rng: np.random.Generator) -> np.ndarray:
    """Sample angles (16, 3) of a hand that holds something about as thick as a bottle."""
    angles = named_pose(str(rng.choice(GRASPS, p=_GRASP_CHANCES)))
    return _within_limits(angles + _finger_noise(rng, np.radians(5.0)))


def local_joints(angles: np.ndarray, shape: np.ndarray | None = None) -> np.ndarray:
    """Return the joints (21, 3) metres of a right hand in its wrist frame."""
    return local_hand(angles, shape, level=63)[1]


def local_hand(angles: np.ndarray, shape: np.ndarray | None = None, level: int = 1609) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (V, 3) and joints (21, 3) of a right hand in its wrist frame, float64 metres."""
    model = free_hand(level)
    parameters = hand_parameters(np.stack([angles, angles]), np.zeros(model.num_shape) if shape is None else shape)
    hands = model(parameters)
    assert hands.vertices is not None
    return np.asarray(hands.vertices[1], dtype=np.float64), np.asarray(hands.joints[1], dtype=np.float64)


def hand_parameters(
    angles: np.ndarray, shape: np.ndarray, rotation: np.ndarray | None = None, translation: np.ndarray | None = None
) -> HandParameters:
    """Return float32 parameters of a person's hands: angles (2, 16, 3), shape (S,), axis-angle and metres (2, 3)."""
    zero = np.zeros((2, 3))
    return HandParameters(
        pose=free_hand().pose_from_angles(angles.astype(np.float32)).astype(np.float32),
        shape=np.stack([shape, shape]).astype(np.float32),
        rotation=(zero if rotation is None else rotation).astype(np.float32),
        translation=(zero if translation is None else translation).astype(np.float32),
    )


def named_pose(name: str) -> np.ndarray:
    """Return the angles (16, 3) of a pose of the library."""
    prior = pose_prior()
    return prior.library[prior.names.index(name)].astype(np.float64)


def _library_pose(rng: np.random.Generator) -> np.ndarray:
    """Sample a named pose, mostly of hands at work, often blended with another or with one finger of another."""
    library = pose_prior().library.astype(np.float64)
    first = named_pose(str(rng.choice(_COMMON_POSES))) if rng.random() < 0.6 else library[rng.integers(len(library))]
    if rng.random() < 0.5:
        first = first + rng.uniform(0.0, 0.6) * (library[rng.integers(len(library))] - first)
    angles = first.copy()
    if rng.random() < 0.2:
        finger = rng.integers(5)
        rows = slice(3 * finger + 1, 3 * finger + 4)
        angles[rows] = library[rng.integers(len(library)), rows]
    return angles + _finger_noise(rng, np.radians(5.0))


def _prior_pose(rng: np.random.Generator) -> np.ndarray:
    prior = pose_prior()
    weights = 0.9 * rng.standard_normal(len(prior.components))
    angles = np.zeros((16, 3))
    angles[1:] = (prior.mean + weights @ prior.components).reshape(15, 3)
    return _coupled(angles, rng)


def _uniform_pose(rng: np.random.Generator) -> np.ndarray:
    limits = free_hand().limits.astype(np.float64)
    angles = rng.uniform(limits[..., 0], limits[..., 1])
    angles[0] = 0
    return _coupled(angles, rng)


def _coupled(angles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bend the four fingers' outer joints, in place, to two thirds of the middle ones plus noise (a shared tendon)."""
    angles[6::3, 0] = 2 / 3 * angles[5::3, 0] + rng.normal(0.0, np.radians(6.0), 4)
    return angles


def _finger_noise(rng: np.random.Generator, deviation: float) -> np.ndarray:
    """Sample noise (16, 3) radians: each finger bends more or less as a whole, and every joint a little by itself."""
    noise = np.zeros((16, 3))
    whole = np.repeat(rng.normal(0.0, deviation, 5), 3)
    noise[1:, 0] = whole * np.tile([0.7, 1.0, 0.6], 5) + rng.normal(0.0, 0.6 * deviation, 15)
    noise[1::3, 1] = rng.normal(0.0, 0.8 * deviation, 5)
    return noise


def _within_limits(angles: np.ndarray) -> np.ndarray:
    limits = free_hand().limits
    return np.clip(angles, limits[..., 0], limits[..., 1])


@dataclass(frozen=True)
class Capsules:
    """Bones with a thickness; joints (21, 3) give them a place."""

    starts: np.ndarray  # (C,) joint numbers
    ends: np.ndarray  # (C,)
    radii: np.ndarray  # (C,) metres, of the mean hand


@cache
def capsules() -> Capsules:
    """Return the capsules of the free hand; radius = 0.95 x the median distance of the skin around a bone."""
    vertices, joints = local_hand(free_hand_arrays()["rest_angles"].astype(np.float64))
    starts, ends = np.array(_SEGMENTS).T
    distances = point_segment_distance(vertices[:, None], joints[starts], joints[ends])  # (V, C)
    nearest = distances.argmin(axis=1)
    radii = np.array(
        [np.median(distances[nearest == c, c]) if (nearest == c).any() else 0.01 for c in range(len(starts))]
    )
    return Capsules(starts, ends, 0.95 * radii)


@cache
def finger_pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return capsule pairs that could collide (different fingers, not both palm), and the overlap the library needs."""
    c = capsules()
    finger = (c.ends - 1) // 4
    palm = np.isin(c.ends, (1, *KNUCKLES)) | np.isin(c.starts, KNUCKLES) & np.isin(c.ends, KNUCKLES)
    pairs = [
        (a, b)
        for a, b in combinations(range(len(c.starts)), 2)
        if not (palm[a] and palm[b])
        and (finger[a] != finger[b] or palm[a] != palm[b])
        and len({c.starts[a], c.ends[a], c.starts[b], c.ends[b]}) == 4
    ]
    first, second = np.array(pairs).T
    found = [overlaps(local_joints(angles.astype(np.float64)), first, second) for angles in pose_prior().library]
    return first, second, np.maximum(np.max(found, axis=0), 0.002)


def self_penetration(joints: np.ndarray) -> float:
    """Return how much deeper, in metres, two capsules of one hand overlap than in any pose of the library."""
    first, second, allowed = finger_pairs()
    return float((overlaps(joints, first, second) - allowed).max())


def penetration(joints: np.ndarray, other: np.ndarray) -> float:
    """Return the deepest overlap in metres of two hands' capsules, (21, 3) each; negative: their gap."""
    c = capsules()
    scale = [np.linalg.norm(j[9] - j[0]) / np.linalg.norm(local_rest_bone()) for j in (joints, other)]
    first, second = (grid.reshape(-1) for grid in np.meshgrid(range(len(c.starts)), range(len(c.starts))))
    distance = segment_distance(
        joints[c.starts[first]], joints[c.ends[first]], other[c.starts[second]], other[c.ends[second]]
    )
    return float((scale[0] * c.radii[first] + scale[1] * c.radii[second] - distance).max())


@cache
def local_rest_bone() -> np.ndarray:
    """Return the vector (3,) metres from the wrist to the middle knuckle of the mean hand."""
    return np.asarray(free_hand().rest_joints[7] - free_hand().rest_joints[0], dtype=np.float64)


def overlaps(joints: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the metres by which pairs of capsules of a mean-sized hand (21, 3) overlap; negative: their gap."""
    c = capsules()
    distance = segment_distance(
        joints[c.starts[first]], joints[c.ends[first]], joints[c.starts[second]], joints[c.ends[second]]
    )
    return c.radii[first] + c.radii[second] - distance


def point_segment_distance(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distance of points (..., 3) from segments a (..., 3) to b (..., 3), broadcast."""
    axis = b - a
    t = np.clip(((points - a) * axis).sum(-1) / np.maximum((axis * axis).sum(-1), 1e-18), 0, 1)
    return np.linalg.norm(points - a - t[..., None] * axis, axis=-1)


def segment_distance(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Return the distance (N,) between segments a-b and c-d, (N, 3) each (Ericson 2005, 5.1.9)."""
    u, v, w = b - a, d - c, a - c
    uu, vv, uv = (u * u).sum(-1) + 1e-18, (v * v).sum(-1) + 1e-18, (u * v).sum(-1)
    uw, vw = (u * w).sum(-1), (v * w).sum(-1)
    denominator = uu * vv - uv * uv
    s = np.clip(np.where(denominator > 1e-16, (uv * vw - uw * vv) / np.maximum(denominator, 1e-16), 0), 0, 1)
    t = (uv * s + vw) / vv
    s = np.where(t < 0, np.clip(-uw / uu, 0, 1), np.where(t > 1, np.clip((uv - uw) / uu, 0, 1), s))
    t = np.clip(t, 0, 1)
    return np.linalg.norm(w + s[..., None] * u - t[..., None] * v, axis=-1)
