"""Fit one right hand by damped Gauss-Newton (metres, radians): first to landmarks, then to depth points as well."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import KDTree

from twohands.fitting.articulation import ANGLES, ROTATION, SHAPE, TRANSLATION, HandState, Rig, RightHand
from twohands.fitting.energy import Cloud, Energy, EnergyConfig, Equations, VisibleSurface
from twohands.fitting.evidence import BASES, PALM_POINTS, HandEvidence
from twohands.geometry.transforms import procrustes
from twohands.geometry.zbuffer import hidden_vertices

COARSE = 5
"""Downscale factor of the z-buffer used for the visibility test."""

BOUNDS = ((ROTATION, 0.5), (TRANSLATION, 0.06), (ANGLES, 0.6), (SHAPE, 1.5))
"""Largest step of each part of the unknowns: radians, metres, radians, standard deviations."""


@dataclass(frozen=True)
class FitConfig:
    """Steps and thresholds of the fit; lengths in metres."""

    energy: EnergyConfig = field(default_factory=EnergyConfig)
    landmark_steps: int = 8
    settled: float = 0.005
    """Relative decrease of the energy below which a step is the last one."""
    point_rounds: int = 3
    """Rounds of the depth stage; the visible surface is determined again before each."""
    point_steps: int = 2
    """Steps of one round."""
    cluster_gap: float = 0.025
    """Gap between sorted depth readings at the palm above which they belong to different surfaces."""
    palm_misfit: float = 0.012
    """Largest RMS misfit to a rigid palm at which the readings at the palm joints are taken to show the palm."""
    candidate_radius: float = 0.025
    """Distance from the hand fitted so far within which points are candidates for the hand's surface."""
    max_points: int = 180
    color_distance: float = 3.0
    """Distance in colour, in spreads of the hand's own colour, at which a point has lost half of its weight."""
    min_points: int = 60
    """Number of depth points below which the solution from the landmarks is kept."""


@dataclass(frozen=True)
class SolvedHand:
    """Result of one stage of the fit."""

    rig: Rig
    vertices: np.ndarray  # (V, 3) metres, camera frame
    energy: float
    cloud: Cloud | None = None  # the depth points it was fitted to; None: fitted to landmarks only
    matrix: np.ndarray | None = None  # (U, U) of the normal equations at the solution, see `energy.Equations`
    measured: HandState | None = None  # the hand with the shape that its points measure, see `measured`


@dataclass(frozen=True)
class FoundHand:
    """One hand of the image, fitted as a hand of one side."""

    evidence: HandEvidence
    solved: SolvedHand
    landmark_energy: float

    @property
    def depth_energy(self) -> float:
        """Energy added by the depth points; the landmarks' energy only repeats the side seen in the colour image."""
        return self.solved.energy - self.landmark_energy


class HandSolver:
    """Two-stage solver for one right hand: `solve` fits landmarks, `refine` adds depth points."""

    def __init__(self, hand: RightHand, config: FitConfig):
        self.hand, self.config = hand, config

    def solve(self, evidence: HandEvidence) -> SolvedHand:
        """Return the best result of the landmark stage over several starts."""
        energy = Energy(self.hand, self.config.energy, evidence)
        half = self.config.landmark_steps // 2
        tried = [self._descend(energy, state, half) for state in self.starts(evidence)]
        best = min(tried, key=lambda result: result.energy)
        best = self._descend(energy, best.rig.state, self.config.landmark_steps - half)
        return SolvedHand(best.rig, self.hand.points(best.rig, self.hand.surface), best.energy, matrix=best.matrix)

    def starts(self, evidence: HandEvidence) -> list[HandState]:
        """Return states of mean shape and pose, one for each depth at which several readings of the palm agree.

        The palm is aligned with its measured points. Where these do not have the shape of a palm (occlusion, no data)
        the relative landmarks give its rotation. Without any readings its size in the image gives its distance.
        """
        config, hand = self.config, self.hand
        state = HandState(np.eye(3), np.zeros(3), hand.pose_mean, np.zeros(hand.num_shape))
        if evidence.joints is not None:
            rest = hand.points(hand.rig(state), hand.joint_rows[BASES])
            _, rotation, shift = procrustes(rest, evidence.joints[BASES], scale=False)
            return [replace(state, rotation=rotation, translation=shift)]
        palm = PALM_POINTS @ hand.points(hand.rig(state), hand.landmark_rows[BASES])
        _, rotation, _ = procrustes(palm, PALM_POINTS @ evidence.relative[BASES])
        turned = palm @ rotation.T
        plane = PALM_POINTS @ evidence.plane[BASES]
        rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
        readings = evidence.palm_depth + config.energy.joint_depth
        starts = []
        for low, high in clusters(readings[np.isfinite(readings)], config.cluster_gap):
            seen = (readings >= low) & (readings <= high)
            center = rays.mean(axis=0) * np.median(readings[seen])
            starts.append(replace(state, rotation=rotation, translation=center - turned.mean(axis=0)))
            if seen.sum() >= 6:
                measured = rays[seen] * readings[seen, None]
                _, flat, shift = procrustes(palm[seen], measured, scale=False)
                misfit = palm[seen] @ flat.T + shift - measured
                if np.sqrt((misfit**2).sum(axis=1).mean()) < config.palm_misfit:
                    starts[-1] = replace(state, rotation=flat, translation=shift)
        spread, extent = (np.sqrt(((p - p.mean(axis=0)) ** 2).sum()) for p in (turned[:, :2], plane))
        center = rays.mean(axis=0) * spread / max(extent, 1e-9)
        return starts or [replace(state, rotation=rotation, translation=center - turned.mean(axis=0))]

    def refine(
        self, evidence: HandEvidence, start: SolvedHand, others: np.ndarray, other_shape: np.ndarray | None
    ) -> SolvedHand:
        """Return the hand after one round with depth points, or `start` itself when too few points are near it.

        others (n, 3) metres are surface points of the other hand, other_shape (S,) is its shape.
        """
        cloud = start.cloud or self._candidates(evidence, start.vertices, others)
        surface = self._visible(evidence, start.vertices)
        if cloud is None or not len(surface.rows):
            return start
        energy = Energy(self.hand, self.config.energy, evidence, cloud, surface, other_shape)
        best = self._descend(energy, start.rig.state, self.config.point_steps)
        vertices = self.hand.points(best.rig, self.hand.surface)
        return SolvedHand(best.rig, vertices, best.energy, cloud, best.matrix, measured(best))

    def spread(self, solved: SolvedHand) -> np.ndarray:
        """Return the standard deviation (21, 2) of every joint along and across its viewing ray, metres.

        It is that of the normal equations, which take residuals for independent and the priors for true: the order of
        joints is right, the size too small. "Across" is the root mean square of both axes.
        """
        hand, rows = self.hand, self.hand.joint_rows
        joints = hand.points(solved.rig, rows)
        jacobian = hand.jacobian(solved.rig, rows, joints).astype(np.float64)
        assert solved.matrix is not None
        covariance = np.linalg.inv(solved.matrix + np.eye(hand.num_unknowns))  # nothing is more unsure than 1 m, 1 rad
        rays = joints / np.linalg.norm(joints, axis=1, keepdims=True)
        moved = (rays[:, None] @ jacobian)[:, 0]  # (21, U)
        along = ((moved @ covariance) * moved).sum(axis=1)
        total = ((jacobian @ covariance) * jacobian).sum(axis=(1, 2))
        return np.sqrt(np.stack([along, np.maximum(total - along, 0) / 2], axis=1))

    def _visible(self, evidence: HandEvidence, vertices: np.ndarray) -> VisibleSurface:
        width, height = (max(1, size // COARSE) for size in (evidence.camera.width, evidence.camera.height))
        normals = self.hand.normals(vertices)
        facing = (normals * vertices).sum(axis=1) < 0
        rows = np.flatnonzero(
            facing & ~hidden_vertices(vertices, self.hand.faces, evidence.camera.resize(width, height))
        )
        return VisibleSurface(rows, normals[rows])

    def _candidates(self, evidence: HandEvidence, vertices: np.ndarray, others: np.ndarray) -> Cloud | None:
        """Return depth points nearer to `vertices` (V, 3) than to `others` (n, 3), weighted by colour, or None."""
        config = self.config
        radius = config.candidate_radius
        box = (evidence.points > vertices.min(axis=0) - radius) & (evidence.points < vertices.max(axis=0) + radius)
        index = np.flatnonzero(box.all(axis=1))
        if len(index) < config.min_points:
            return None
        distance, _ = KDTree(vertices).query(evidence.points[index], distance_upper_bound=radius)
        index, distance = index[distance < radius], distance[distance < radius]
        if len(others) and len(index):
            own = distance < KDTree(others).query(evidence.points[index], distance_upper_bound=radius)[0]
            index, distance = index[own], distance[own]
        if len(index) < config.min_points:
            return None
        points = evidence.points[index]
        weights = color_weights(evidence.colors[index], distance < 0.4 * radius, config.color_distance)
        keep = np.linspace(0, len(points) - 1, min(len(points), config.max_points)).astype(int)
        return Cloud(points[keep], weights[keep])

    def _descend(self, energy: Energy, state: HandState, steps: int) -> Equations:
        """Return the best equations after some steps. A step that raises the energy is undone and the damping grows."""
        best = energy.equations(self.hand.rig(state))
        damping = 1e-2
        for _ in range(steps):
            matrix = best.matrix + np.diag(np.diag(best.matrix) * damping + 1e-9)
            moved = best.rig.state.moved(clamped(np.linalg.solve(matrix, -best.vector)))
            tried = energy.equations(self.hand.rig(moved))
            if tried.energy >= best.energy:
                damping *= 10
                continue
            settled = best.energy - tried.energy < self.config.settled * best.energy
            best, damping = tried, damping * 0.3
            if settled:
                break
        return best


def measured(best: Equations) -> HandState:
    """Return the state whose shape is one step further without most of the hints, and the rest as fits this shape."""
    small = 1e-9 * np.eye(len(best.matrix))
    matrix, vector = (total - part for total, part in zip((best.matrix, best.vector), best.hints, strict=True))
    step = np.linalg.solve(matrix + small, -vector)
    pose = slice(0, SHAPE.start)
    vector = best.vector[pose] + best.matrix[pose, SHAPE] @ step[SHAPE]
    step[pose] = np.linalg.solve((best.matrix + small)[pose, pose], -vector)
    return best.rig.state.moved(clamped(step))


def clusters(values: np.ndarray, gap: float, smallest: int = 3) -> list[tuple[float, float]]:
    """Return (first, last) of every run of at least `smallest` sorted values whose gaps are at most `gap`."""
    runs = np.split(np.sort(values), np.flatnonzero(np.diff(np.sort(values)) > gap) + 1)
    return [(float(run[0]), float(run[-1])) for run in runs if len(run) >= smallest]


def color_weights(colors: np.ndarray, sure: np.ndarray, distance: float) -> np.ndarray:
    """Return weights (N,) in [0, 1]: similarity in chroma of sRGB colors (N, 3) to the hand's points `sure` (N,)."""
    if sure.sum() < 30:
        return np.ones(len(colors))
    logarithm = np.log(colors + 0.02)
    chroma = logarithm[:, :2] - logarithm[:, 1:]
    center = np.median(chroma[sure], axis=0)
    spread = 1.4826 * np.median(np.abs(chroma[sure] - center), axis=0) + 0.05
    squared = (((chroma - center) / spread) ** 2).sum(axis=1)
    return 1 / (1 + (squared / distance**2) ** 2)


def clamped(step: np.ndarray) -> np.ndarray:
    """Return the step (28 + S,) with each of its parts scaled down to the bounds of `BOUNDS`."""
    size = np.maximum.reduceat(np.abs(step), [part.start for part, _ in BOUNDS])
    scale = np.minimum(1.0, [bound for _, bound in BOUNDS] / np.maximum(size, 1e-12))
    return step * np.repeat(scale, np.diff([*(part.start for part, _ in BOUNDS), len(step)]))
