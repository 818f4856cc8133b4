"""Hands of one hand model as hands of another one: the same surface in the camera frame, in the other's parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twohands.geometry.nearest import Surface
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.correspondence import find_correspondence
from twohands.hands.kinematics import Kinematics, OneHand, Pull, draw_to, selection, turn_bones
from twohands.hands.model import HandModel
from twohands.types import LEFT, TwoHands

VERTEX_DEVIATION = 0.003
"""Standard deviation in metres of a vertex from its counterpart, against the wide priors on pose and shape."""
STEPS = 15


@dataclass(frozen=True)
class Converted:
    """Hands of the target model, and the residual: the distances between their surfaces and those of the source."""

    hands: TwoHands
    distances: tuple[np.ndarray, np.ndarray]  # (n,) metres by side, one per compared vertex; empty for an absent hand

    @property
    def rms(self) -> np.ndarray:
        """(2,) metres, NaN for an absent hand."""
        return np.array([np.sqrt((d**2).mean()) if len(d) else np.nan for d in self.distances])

    def quantile(self, fraction: float) -> np.ndarray:
        """Return the distance (2,) in metres that this fraction of the vertices stays below; NaN for an absent hand."""
        return np.array([np.quantile(d, fraction) if len(d) else np.nan for d in self.distances])


class HandConverter:
    """Converts hands of one model into another one."""

    def __init__(self, source: HandModel, target: HandModel, folder: Path | None = None):
        """Read the counterparts of the two models from the cache `folder`, by default the user's, or compute them."""
        self.source, self.target = source, target
        self.correspondence = find_correspondence(source, target, folder)
        self._kinematics = Kinematics(target)
        self._found = np.flatnonzero(self.correspondence.found)

    def __call__(self, hands: TwoHands) -> Converted:
        """Return the two hands in the target model; only `vertices` and `present` of `hands` are used.

        An absent hand (see `TwoHands.is_present`) becomes the rest pose. Quality is left out: it belongs to a fit to
        the depth.
        """
        parameters, distances = self.target.neutral(), [np.zeros(0), np.zeros(0)]
        for side in hands.present_sides:
            assert hands.vertices is not None
            # a left hand is fitted as a right hand in a mirror; rotations keep x of their axis and negate y and z
            points = np.array([-1.0, 1.0, 1.0]) if side == LEFT else np.ones(3)
            axes = points * points[0]
            goal = np.asarray(hands.vertices[side], dtype=np.float64) * points
            hand = self.solve(goal)
            parameters.pose[side] = axis_angle_from_matrix(matrix_from_axis_angle(hand.pose)) * axes
            parameters.shape[side] = hand.shape
            parameters.rotation[side] = axis_angle_from_matrix(hand.rotation) * axes
            parameters.translation[side] = hand.translation * points
            distances[side] = self.distances(goal, hand)
        return Converted(replace(self.target(parameters), present=hands.present), (distances[0], distances[1]))

    def solve(self, goal: np.ndarray) -> OneHand:
        """Return the right hand of the target model whose vertices are nearest to their counterparts on `goal`.

        goal (W, 3) are the vertices of a right hand of the source, metres.
        """
        kinematics, chosen = self._kinematics, self._found
        places = self.correspondence.places(goal, self.source.right_faces)
        start = turn_bones(kinematics, chosen, places)
        metrics = np.broadcast_to(np.eye(3) / VERTEX_DEVIATION**2, (len(chosen), 3, 3))
        pull = Pull(selection(chosen, len(kinematics.rest)), places, metrics)
        return draw_to(kinematics, start, [pull], STEPS)

    def distances(self, goal: np.ndarray, hand: OneHand) -> np.ndarray:
        """Return the distance of every vertex with a counterpart from the other model's surface, metres.

        goal (W, 3) are the vertices of a right hand of the source. The vertices of the target come first.
        """
        vertices = self._kinematics.points(hand)[: self._kinematics.num_vertices]
        on_source = Surface(goal, self.source.right_faces).nearest(vertices[self._found])
        on_target = Surface(vertices, self.target.right_faces).nearest(goal[self.correspondence.covered])
        return np.concatenate([on_source.distances, on_target.distances])
