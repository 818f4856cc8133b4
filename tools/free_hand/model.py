"""Build the shipped hand model, apart from mesh levels, poses and colours."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import anatomy
from .cutting import HandMesh, build_mesh, cut_hand
from .makehuman import Indices, MakeHumanSource
from .numerics import Array
from .population import (
    HandSampler,
    joint_regressor,
    sample_population,
    shape_directions,
    skinning_weights,
    without_forearm,
)
from .skinning import HandShape, anatomical_rotations, bone_maps, posed_joints, skin

NUM_SHAPE = 10


@dataclass(frozen=True)
class FreeHand:
    """Right hand with forearm stub; wrist at the origin, +z to the finger tips, +y dorsal, +x radial."""

    mesh: HandMesh
    vertices: Array  # (V, 3) metres
    weights: Array  # (V, 17); the last column is the forearm
    shape_directions: Array  # (V, 3, 10) metres
    shape_explained: Array  # (10,)
    joint_regressor: Array  # (16, num_hand_vertices)
    tip_vertices: Indices  # (5,)
    pulp_vertices: Indices  # (5,)
    joint_frames: Array  # (16, 3, 3) columns flexion, abduction, twist axis
    rest_angles: Array  # (16, 3) radians
    limits: Array  # (16, 3, 2) radians

    @cached_property
    def joints(self) -> Array:
        """Joints (16, 3) of the template."""
        return self.joints_of(self.vertices)

    @cached_property
    def straight_weights(self) -> Array:
        """Skinning weights (V, 16) with the forearm in line with the wrist."""
        return without_forearm(self.weights)

    @property
    def hand_vertices(self) -> Array:
        """The template (num_hand_vertices, 3) without the forearm."""
        return self.vertices[: self.mesh.num_hand_vertices]

    @property
    def hand_weights(self) -> Array:
        """Skinning weights (num_hand_vertices, 16) without the forearm."""
        return self.straight_weights[: self.mesh.num_hand_vertices]

    @property
    def shape(self) -> HandShape:
        """The template; its tips are the tip vertices."""
        return HandShape(self.vertices, self.joints, self.vertices[self.tip_vertices])

    def joints_of(self, vertices: Array) -> Array:
        """Return the joints (16, 3) of an unposed surface (V, 3)."""
        return self.joint_regressor @ vertices[: self.mesh.num_hand_vertices]

    def posed(self, angles: Array, coefficients: Array | None = None) -> tuple[Array, Array]:
        """Return vertices (V, 3) and joints (16, 3) for anatomical `angles` (16, 3) and shape `coefficients` (10,)."""
        vertices = self.vertices if coefficients is None else self.vertices + self.shape_directions @ coefficients
        joints = self.joints if coefficients is None else self.joints_of(vertices)
        maps = bone_maps(anatomical_rotations(angles - self.rest_angles, self.joint_frames))
        return skin(vertices, joints, self.straight_weights, maps), posed_joints(joints, maps)

    def clipped(self, angles: Array) -> Array:
        """Clip `angles` (*B, 16, 3) to the joint limits."""
        return np.clip(angles, self.limits[..., 0], self.limits[..., 1])


def build_hand(source: MakeHumanSource, num_bodies: int, seed: int) -> FreeHand:
    """Build the hand model from `num_bodies` random bodies."""
    body = source.body()
    region = cut_hand(body)
    sampler = HandSampler(source, body, region)
    mesh = build_mesh(region, body, source, sampler.template.vertices)
    weights = skinning_weights(source, region)
    hand_weights = without_forearm(weights)
    frames = anatomy.first_frames(sampler.template, mesh)
    rng = np.random.default_rng([seed, 0])
    population = sample_population(sampler, mesh, hand_weights, frames, num_bodies, rng)
    directions, explained = shape_directions(population, mesh, NUM_SHAPE)
    regressor = joint_regressor(population, mesh.num_hand_vertices, np.random.default_rng([seed, 1]))
    mean = population.mean()
    tips = anatomy.tip_vertices(mean, hand_weights)
    vertices = wrist_at_origin(mean.vertices, regressor)
    hand = HandShape(vertices, regressor @ vertices[: mesh.num_hand_vertices], vertices[tips])
    frames = anatomy.refreshed_frames(hand, frames)
    return FreeHand(
        mesh=mesh,
        vertices=vertices,
        weights=weights,
        shape_directions=wrist_at_origin(directions, regressor),
        shape_explained=explained,
        joint_regressor=regressor,
        tip_vertices=tips,
        pulp_vertices=anatomy.pulp_vertices(hand, hand_weights, frames),
        joint_frames=frames,
        rest_angles=anatomy.rest_angles(hand, frames),
        limits=anatomy.joint_limits(),
    )


def wrist_at_origin(vertices: Array, regressor: Array) -> Array:
    """Move vertices or displacements (V, 3, ...) so that the regressed wrist joint is, or stays, at the origin."""
    return vertices - np.tensordot(regressor[0], vertices[: regressor.shape[1]], 1)
