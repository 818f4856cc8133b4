"""One right hand fitted to its evidence by damped Gauss-Newton: first to landmarks, then to depth points as well."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from twohands.fitting.articulation import ANGLES, ROTATION, SHAPE, TRANSLATION, HandState, Rig, RightHand
from twohands.fitting.energy import Cloud, Energy, EnergyConfig, Equations
from twohands.fitting.evidence import HandEvidence
from twohands.geometry.transforms import procrustes
from twohands.geometry.zbuffer import visible_vertices
from twohands.hands.skeleton import KNUCKLES

PALM = [0, 1, *KNUCKLES]


@dataclass(frozen=True)
class FitConfig:
    """How the fit proceeds; lengths in metres."""

    energy: EnergyConfig = field(default_factory=EnergyConfig)
    landmark_steps: int = 8
    point_rounds: int = 2
    """Rounds of the depth stage; the visible surface and the candidate points are found anew before each."""
    point_steps: int = 5
    """Steps of one round."""
    palm_extent: float = 0.07
    """Readings at palm joints farther than this from the palm's depth are occluders or background."""
    palm_misfit: float = 0.012
    """With a larger misfit the readings at the palm joints do not show the palm."""
    candidate_radius: float = 0.03
    """Points this near to the hand fitted so far are candidates for lying on it."""
    max_points: int = 260
    color_distance: float = 3.0
    """Distance in colour, in spreads of the hand's own colour, at which a point has lost half of its weight."""
    min_points: int = 60
    """With fewer depth points the solution from the landmarks is kept."""


@dataclass(frozen=True)
class SolvedHand:
    """Result of one fit; `fitted` is false when only landmarks were used."""

    rig: Rig
    vertices: np.ndarray  # (V, 3) metres, camera frame
    energy: float
    start_energy: float
    fitted: bool


class HandSolver:
    """Fits one right hand."""

    def __init__(self, hand: RightHand, config: FitConfig):
        self.hand, self.config = hand, config

    def start(self, evidence: HandEvidence) -> HandState:
        """Mean shape and pose, the palm laid on the measured points of its joints.

        Where those do not have the shape of a palm (occluded, no readings) the relative landmarks say how it is turned,
        and the readings, or at last its size in the image, how far away it is.
        """
        config, hand = self.config, self.hand
        state = HandState(np.eye(3), np.zeros(3), hand.pose_mean, np.zeros(hand.num_shape))
        joints = hand.points(hand.rig(state), hand.landmark_rows[PALM])
        _, rotation, _ = procrustes(joints, evidence.relative[PALM])
        turned = joints @ rotation.T
        depth = self._palm_depth(evidence, turned)
        rays = np.concatenate([evidence.plane[PALM], np.ones((len(PALM), 1))], axis=1)
        readings = evidence.landmark_depth[PALM] + config.energy.joint_depth
        seen = np.abs(readings - depth) < config.palm_extent
        if seen.sum() >= 4:
            measured = rays[seen] * readings[seen, None]
            _, flat, shift = procrustes(joints[seen], measured, scale=False)
            misfit = joints[seen] @ flat.T + shift - measured
            if np.sqrt((misfit**2).sum(axis=1).mean()) < config.palm_misfit:
                return HandState(flat, shift, state.angles, state.shape)
        return HandState(rotation, rays.mean(axis=0) * depth - turned.mean(axis=0), state.angles, state.shape)

    def _palm_depth(self, evidence: HandEvidence, turned: np.ndarray) -> float:
        """Depth of the palm joints' mean: median of the palm's readings that agree with its size in the image."""
        spread = turned[:, :2] - turned[:, :2].mean(axis=0)
        image = evidence.plane[PALM] - evidence.plane[PALM].mean(axis=0)
        by_size = float(np.sqrt((spread**2).sum() / max((image**2).sum(), 1e-9)))
        readings = evidence.landmark_depth[PALM] + self.config.energy.joint_depth
        near = readings[np.abs(np.log(readings / by_size)) < np.log(1.6)]
        return float(np.median(near)) if len(near) >= 3 else by_size

    def solve(self, evidence: HandEvidence, state: HandState) -> SolvedHand:
        """The landmark stage; `fitted` is false."""
        energy = Energy(self.hand, self.config.energy, evidence)
        best, start = self._descend(energy, state, self.config.landmark_steps, np.zeros(0, np.int64))
        return SolvedHand(best.rig, self.hand.points(best.rig, self.hand.surface), best.energy, start, False)

    def refine(self, evidence: HandEvidence, start: SolvedHand, others: np.ndarray) -> SolvedHand:
        """The depth stage from the landmark stage's result; `others` (n, 3) are surface points of the other hand."""
        config, hand = self.config, self.hand
        solved = start
        camera = evidence.camera.resize(-(-evidence.camera.width // 3), -(-evidence.camera.height // 3))
        for _ in range(config.point_rounds):
            cloud = self._candidates(evidence, solved.vertices, others)
            if cloud is None:
                return start
            visible = np.flatnonzero(visible_vertices(solved.vertices, hand.faces, camera)[1])
            if not len(visible):
                return start
            energy = Energy(hand, config.energy, evidence, cloud)
            best, before = self._descend(energy, solved.rig.state, config.point_steps, visible)
            solved = SolvedHand(best.rig, hand.points(best.rig, hand.surface), best.energy, before, True)
        return solved

    def _candidates(self, evidence: HandEvidence, vertices: np.ndarray, others: np.ndarray) -> Cloud | None:
        """Depth points near the hand and nearer to it than to the other hand, weighted by their colour; None: too few."""
        config = self.config
        distance, _ = cKDTree(vertices).query(evidence.points, distance_upper_bound=config.candidate_radius)
        near = np.isfinite(distance)
        if len(others) and near.any():
            near[near] = distance[near] < cKDTree(others).query(evidence.points[near])[0]
        points = evidence.points[near]
        if len(points) < config.min_points:
            return None
        weights = color_weights(evidence.colors[near], distance[near] < 0.4 * config.candidate_radius, config.color_distance)
        keep = np.linspace(0, len(points) - 1, min(len(points), config.max_points)).astype(int)
        return Cloud(points[keep], weights[keep], cKDTree(points[:, :2] / points[:, 2:]))

    def _descend(self, energy: Energy, state: HandState, steps: int, visible: np.ndarray) -> tuple[Equations, float]:
        """The best equations after some steps, and the energy at the start.

        A step that raises the energy is taken back and the damping grows.
        """
        best = energy.equations(self.hand.rig(state), visible)
        start, damping = best.energy, 1e-2
        for _ in range(steps):
            matrix = best.matrix + np.diag(np.diag(best.matrix) * damping + 1e-9)
            moved = best.rig.state.moved(clamped(np.linalg.solve(matrix, -best.vector)))
            tried = energy.equations(self.hand.rig(moved), visible)
            if tried.energy < best.energy:
                best, damping = tried, damping * 0.3
            else:
                damping *= 10
        return best, start


def color_weights(colors: np.ndarray, sure: np.ndarray, distance: float) -> np.ndarray:
    """(N,) weights in [0, 1]: how much the chroma of colors (N, 3) looks like that of the points surely on the hand."""
    if sure.sum() < 30:
        return np.ones(len(colors))
    logarithm = np.log(colors + 0.02)
    chroma = logarithm[:, :2] - logarithm[:, 1:]
    center = np.median(chroma[sure], axis=0)
    spread = 1.4826 * np.median(np.abs(chroma[sure] - center), axis=0) + 0.05
    squared = (((chroma - center) / spread) ** 2).sum(axis=1)
    return 1 / (1 + (squared / distance**2) ** 2)


def clamped(step: np.ndarray) -> np.ndarray:
    """The step with its parts bounded: 0.5 rad of rotation, 6 cm of translation, 0.6 rad an angle, 1.5 of shape."""
    step = step.copy()
    for part, bound in ((ROTATION, 0.5), (TRANSLATION, 0.06), (ANGLES, 0.6), (SHAPE, 1.5)):
        step[part] *= min(1.0, bound / max(float(np.abs(step[part]).max()), 1e-12))
    return step
