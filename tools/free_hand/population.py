"""Sample right hands of many bodies in one pose and frame, and condense them into template and shape directions."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from . import anatomy
from .cutting import HandMesh, HandRegion
from .makehuman import RACES, BodyMesh, BodyModel, Indices, MakeHumanSource, merged
from .meshes import vertex_areas
from .numerics import Array, alignment_rotation, principal_coefficients, rotation_between, unit
from .skinning import FINGERS, KNUCKLES, MIDDLE_KNUCKLE, NUM_JOINTS, PARENTS, HandShape

FOREARM = NUM_JOINTS  # column of the skinning weights that moves the forearm stub
PALM = (0, *KNUCKLES)
NEUTRAL = {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5}
NEUTRAL |= dict.fromkeys(RACES, 1.0)
WRIST_POSITION = 0.15  # the wrist joint is the head of the capitate: fraction of the way radius -> middle knuckle

# MakeHuman's wrist is about 7 % slim. Its own target for the wrist's circumference, which fades out over the palm and
# the forearm, is added to every body by this amount to reach WRIST_GIRTH in the mean hand.
WRIST_TARGET_MEAN = 0.28

# Hand length (wrist crease to middle tip) and wrist circumference of adults in metres: means near those of the 1988
# US Army survey (ANSUR), quoted from memory and so approximate.
MALE_LENGTH, FEMALE_LENGTH, LENGTH_DEVIATION = 0.1938, 0.1805, 0.0090
WRIST_GIRTH = 0.163
CREASE_POSITION = -0.085  # z of the wrist crease, in lengths wrist -> middle knuckle
FLAT_FACTOR = 1.025  # length of the flat hand / length of the slightly bent template

# Length factors (proximal, middle, distal) from MakeHuman's finger bones to real ones, based on bone lengths quoted
# from Buryanov & Kotiuk (2010) and finger-tip offsets quoted from Chatzioglou (2024), neither checked against the
# publication; they are approximate, so only part of them is applied (the exponent).
BONE_FACTORS = {
    "thumb": (1.00, 0.86, 0.96),
    "index": (1.19, 0.97, 0.79),
    "middle": (1.10, 0.96, 0.90),
    "ring": (1.11, 1.07, 0.85),
    "little": (1.25, 1.18, 1.03),
}
BONE_FACTOR_EXPONENT = 0.7

CHILD_FRACTION = 0.08
NUM_REGRESSOR_HANDS = 200
SUM_WEIGHT = 50.0  # metres: weight of the condition that the regressor's rows sum to one
RIDGE = 0.02  # metres: spreads a joint over many vertices
FOREARM_IMPORTANCE = 0.3


@dataclass(frozen=True)
class Population:
    """Hands of many bodies in one pose, in the wrist frame, metres."""

    vertices: Array  # (N, V, 3)
    joints: Array  # (N, 16, 3)
    tips: Array  # (N, 5, 3)

    def mean(self) -> HandShape:
        """Return the template."""
        return HandShape(self.vertices.mean(0), self.joints.mean(0), self.tips.mean(0))


class HandSampler:
    """Sampler of right hands from bodies, in one pose and in the wrist frame: +z distal, +y dorsal, +x radial."""

    def __init__(self, source: MakeHumanSource, body: BodyMesh, region: HandRegion) -> None:
        cubes = {name: np.unique(quads) for name, quads in body.quads.items() if name.startswith("joint-r-")}
        cubes = {name: ids for name, ids in cubes.items() if name == "joint-r-hand" or "finger" in name}
        tracked = np.concatenate([region.vertices, merged(cubes.values())])
        row_of = {int(vertex): row for row, vertex in enumerate(tracked)}
        self._cube_rows = {name: [row_of[vertex] for vertex in ids.tolist()] for name, ids in cubes.items()}
        self._num_vertices = len(region.vertices)
        self._model = BodyModel(source, body, tracked)
        neutral = self._read(NEUTRAL, {})
        self._origin, self._axes = neutral.joints[0], wrist_axes(neutral)
        self.template = neutral.moved(self._axes, self._origin)

    def _read(self, macro: Mapping[str, float], local: Mapping[str, float]) -> HandShape:
        """Return the hand of a body, in MakeHuman's axes and pose."""
        points = self._model.vertices(macro, local)

        def center(name: str) -> Array:
            return points[self._cube_rows[f"joint-r-{name}"]].mean(0)

        fingers = [[center(f"finger-{finger}-{number}") for number in (1, 2, 3, 4)] for finger in range(1, 6)]
        radius, middle_knuckle = center("hand"), fingers[2][0]
        wrist = radius + WRIST_POSITION * (middle_knuckle - radius)
        joints = np.stack([wrist, *(joint for finger in fingers for joint in finger[:3])])
        return HandShape(points[: self._num_vertices], joints, np.stack([finger[3] for finger in fingers]))

    def hand(self, macro: Mapping[str, float], local: Mapping[str, float], weights: Array) -> HandShape:
        """Return the hand of a body with its palm aligned to the template and its bones turned to the template's."""
        hand = self._read(macro, local).moved(self._axes, self._origin)
        rotation = alignment_rotation(hand.joints[list(PALM)], self.template.joints[list(PALM)])
        hand = hand.moved(rotation, hand.joints[0])
        return hand.posed(weights, rotations_between_poses(hand, self.template))


def wrist_axes(hand: HandShape) -> Array:
    """Return rows (3, 3) radial, dorsal, distal of a right hand; its slightly bent fingers show the palm's side."""
    distal = unit(hand.joints[MIDDLE_KNUCKLE] - hand.joints[0])
    across = hand.joints[KNUCKLES[0]] - hand.joints[KNUCKLES[-1]]
    dorsal = np.cross(distal, unit(across - distal * (across @ distal)))
    if (hand.tips[0] - hand.joints[0]) @ dorsal > 0:
        raise ValueError("expected a right hand with its thumb on the palm's side")
    return np.stack([np.cross(dorsal, distal), dorsal, distal])


def rotations_between_poses(hand: HandShape, target: HandShape) -> Array:
    """Return local rotations (16, 3, 3) that turn the bones of `hand` to their directions in `target`."""
    current, wanted = (shape.bone_ends() - shape.joints for shape in (hand, target))
    local, chained = np.tile(np.eye(3), (NUM_JOINTS, 1, 1)), np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
    for joint in range(1, NUM_JOINTS):
        parent = chained[PARENTS[joint]]
        chained[joint] = rotation_between(parent @ current[joint], wanted[joint]) @ parent
        local[joint] = parent.T @ chained[joint]
    return local


def skinning_weights(source: MakeHumanSource, region: HandRegion) -> Array:
    """Return weights (V, 17), rows summing to one: the 16 joints, then the forearm."""
    columns = {f"finger{finger}-{k}.R": 3 * (finger - 1) + k for finger in range(1, 6) for k in (1, 2, 3)}
    columns |= {"wrist.R": 0, **{f"metacarpal{number}.R": 0 for number in range(1, 5)}}
    columns |= dict.fromkeys(("lowerarm01.R", "lowerarm02.R", "upperarm01.R", "upperarm02.R"), FOREARM)
    bones = source.skinning_weights()
    row_of = {int(vertex): row for row, vertex in enumerate(region.vertices)}
    weights = np.zeros((len(row_of), NUM_JOINTS + 1))
    for bone, column in columns.items():
        for vertex, weight in bones[bone]:
            if vertex in row_of:
                weights[row_of[vertex], column] += weight
    return weights / weights.sum(1, keepdims=True)


def without_forearm(weights: Array) -> Array:
    """Return weights (V, 17) as (V, 16): the forearm is added to the wrist."""
    merged_weights = weights[:, :NUM_JOINTS].copy()
    merged_weights[:, 0] += weights[:, FOREARM]
    return merged_weights


def hand_length(hand: HandShape) -> float:
    """Return metres from the wrist crease to the farthest finger tip along z."""
    crease = CREASE_POSITION * np.linalg.norm(hand.joints[MIDDLE_KNUCKLE] - hand.joints[0])
    return float(hand.vertices[:, 2].max() - hand.joints[0, 2] - crease)


def random_body(rng: np.random.Generator) -> tuple[dict[str, float], dict[str, float], bool]:
    """Return macro and local parameters of a random body, and whether it is a child's."""

    def spread(center: float, deviation: float, low: float) -> float:
        return float(np.clip(rng.normal(center, deviation), low, 1))

    is_child = bool(rng.random() < CHILD_FRACTION)
    deviations = {"muscle": 0.2, "weight": 0.2, "height": 0.17, "proportions": 0.2}
    macro = {name: spread(0.5, deviation, 0) for name, deviation in deviations.items()}
    macro |= {"gender": rng.beta(0.35, 0.35), "age": rng.uniform(0.38, 0.55) if is_child else rng.uniform(0.58, 1)}
    macro |= dict(zip(RACES, rng.dirichlet([0.7] * len(RACES)) + 1e-3, strict=True))
    local = {"hand_scale": spread(0, 0.25, -1)}
    local |= {name: spread(0, 0.35, -1) for name in ("finger_length", "finger_diameter")}
    local |= {"wrist_circumference": spread(WRIST_TARGET_MEAN, 0.3, -1)}
    local |= {name: spread(0, 0.3, -1) for name in ("forearm_fat", "forearm_muscle")}
    return macro, local, is_child


def random_stretches(rng: np.random.Generator, frames: Array) -> Array:
    """Return stretches (16, 3, 3) of palm and finger bones that MakeHuman lacks, with corrected mean lengths."""
    stretches = np.zeros((NUM_JOINTS, 3, 3))
    stretches[0] = np.diag(np.exp(rng.normal(0, [0.03, 0.035, 0.025])))  # palm: width, thickness, length
    hand_longer, hand_thicker = rng.normal(0, [0.02, 0.03])
    for finger, name in enumerate(FINGERS):
        finger_longer, finger_thicker = rng.normal([hand_longer, hand_thicker], 0.03)
        for number, factor in enumerate(BONE_FACTORS[name]):
            joint = 3 * finger + 1 + number
            longer = finger_longer + rng.normal(0, 0.035) + BONE_FACTOR_EXPONENT * np.log(factor)
            scales = np.exp([finger_thicker, finger_thicker + rng.normal(0, 0.015), longer])
            stretches[joint] = frames[joint] @ np.diag(scales) @ frames[joint].T
    return stretches


def random_length(rng: np.random.Generator, gender: float, is_child: bool) -> float:
    """Return a length of the flat hand in metres; `gender` from 0 male to 1 female."""
    adult = MALE_LENGTH * (1 - gender) + FEMALE_LENGTH * gender + rng.normal(0, LENGTH_DEVIATION)
    return adult * rng.uniform(0.68, 0.95) if is_child else adult


def sample_population(
    sampler: HandSampler, mesh: HandMesh, weights: Array, frames: Array, count: int, rng: np.random.Generator
) -> Population:
    """Return `count` hands in the template's pose; sizes from anthropometry, proportions mostly from MakeHuman."""
    hands = []
    for _ in range(count):
        macro, local, is_child = random_body(rng)
        hand = sampler.hand(macro, local, weights)
        joints = anatomy.centered_joints(hand, mesh, frames, FLAT_FACTOR * hand_length(hand))
        hand = HandShape(hand.vertices, joints, hand.tips)
        straight = np.tile(np.eye(3), (NUM_JOINTS, 1, 1))
        hand = hand.posed(weights, straight, random_stretches(rng, frames))
        wanted = random_length(rng, macro["gender"], is_child)
        hands.append(hand.moved(np.eye(3), np.zeros(3), scale=wanted / (FLAT_FACTOR * hand_length(hand))))
    return Population(*(np.stack([getattr(hand, part) for hand in hands]) for part in ("vertices", "joints", "tips")))


def shape_directions(population: Population, mesh: HandMesh, count: int) -> tuple[Array, Array]:
    """Return displacements (V, 3, count) in metres per unit-variance coefficient, and explained fractions (count,).

    Positive coefficients make the hand longer.
    """
    centered = population.vertices - population.vertices.mean(0)
    mean = population.vertices.mean(0)
    importance = np.sqrt(vertex_areas(mean, mesh.faces))
    importance[mesh.num_hand_vertices :] *= FOREARM_IMPORTANCE
    weighted = (centered * importance[:, None]).reshape(len(centered), -1)
    coefficients, explained = principal_coefficients(weighted, count)
    directions = np.einsum("nk,nvc->vck", coefficients, centered) / len(centered)
    farthest = mean[: mesh.num_hand_vertices, 2].argmax()
    return directions * np.sign(directions[farthest, 2]), explained


def joint_regressor(population: Population, num_hand_vertices: int, rng: np.random.Generator) -> Array:
    """Return (16, num_hand_vertices): non-negative rows, summing to one, that give joints from vertices around them."""
    chosen = rng.choice(len(population.vertices), NUM_REGRESSOR_HANDS, replace=False)
    vertices, joints = population.vertices[chosen, :num_hand_vertices], population.joints[chosen]
    mean = population.mean()
    regressor = np.zeros((NUM_JOINTS, num_hand_vertices))
    for joint in range(NUM_JOINTS):
        distances = np.linalg.norm(mean.vertices[:num_hand_vertices] - mean.joints[joint], axis=1)
        near: Indices = np.argsort(distances, kind="stable")[: 60 if joint else 120]
        size = len(near)
        positions = vertices[:, near].transpose(0, 2, 1).reshape(-1, size)
        rows = np.concatenate([positions, np.full((1, size), SUM_WEIGHT), RIDGE * np.eye(size)])
        values = np.concatenate([joints[:, joint].ravel(), [SUM_WEIGHT], np.zeros(size)])
        solution, _ = nnls(rows, values)
        regressor[joint, near] = solution / solution.sum()
    return regressor
