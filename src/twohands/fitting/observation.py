"""Collect what speaks for and against a reconstructed hand: the features of `trust.Trust`.

Every feature has a reason that holds for any camera and scene: a hand whose surface is measured where it should be is
right more often than one that is hidden, outside of the image, or unlike its landmarks. Lengths enter as logarithms of
metres, so that a hand's error and its signs grow together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import KDTree

from twohands.fitting.quality import SUPPORTED, Comparison
from twohands.fitting.solver import FoundHand, HandSolver, color_weights
from twohands.geometry.camera import Camera
from twohands.geometry.transforms import procrustes
from twohands.hands.skeleton import BONES, FINGERTIPS, KNUCKLES, ROOT
from twohands.types import LEFT, TwoHands

NEIGHBOURHOOD = 0.012
"""Standard deviation in metres of the weights of the vertices around a joint."""
APART = 0.015
"""Metres between mesh and measured surface from which both are different surfaces."""
EXPLAINED, NEAR = 0.010, 0.045
"""Metres from the mesh up to which a depth point is explained by it, and up to which it is near."""
POINTS_STEP = 4
"""Every fourth of the depth points is looked at: a fraction of them is wanted, not their shape."""
IMAGE_WEIGHT, DEPTH_WEIGHT = 0.9, 0.024
"""Weights of both kinds of evidence in the log-odds of the sides, as in `fit`."""
PARENT, CHILD = np.array(BONES).T
"""Parent and child joint of each bone (20,)."""


@dataclass(frozen=True)
class Observation:
    """One reconstructed hand with everything that speaks for or against it; metres, camera frame."""

    side: int
    camera: Camera
    present: float
    vertices: np.ndarray  # (V, 3)
    joints: np.ndarray  # (21, 3)
    facing: np.ndarray  # (V,) bool, see `quality.Comparison`; likewise the next four
    visible: np.ndarray  # (V,) bool
    inside: np.ndarray  # (V,) bool
    measured: np.ndarray  # (V,) metres
    behind: np.ndarray  # (V,) metres
    other: np.ndarray | None  # (21, 3) joints of the other hand, if there is one
    found: FoundHand | None = None  # the fit, in the right hand's (mirrored) camera; None without a fit
    spread: np.ndarray | None = None  # (21, 2) metres, see `HandSolver.spread`; None without a fit
    side_odds: float = np.inf  # log-odds of the sides of all hands of the frame, from the colour image
    depth_gain: float = np.nan  # depth energy that all hands would gain on exchanged sides; NaN: not tried

    @property
    def mirror(self) -> np.ndarray:
        """Factors (3,) from the camera frame to the frame of the fit."""
        return np.array([-1.0, 1.0, 1.0]) if self.side == LEFT else np.ones(3)

    @cached_property
    def misfit(self) -> np.ndarray:
        """Distance (21,) in metres of every joint from its landmark's ray, at the joint's depth."""
        assert self.found is not None
        joints = self.joints * self.mirror
        return np.linalg.norm(joints[:, :2] - self.found.evidence.plane * joints[:, 2:], axis=1)

    @cached_property
    def bone_misfit(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Scale and rotation (3, 3) that take the relative landmarks to the joints, and the difference (20,) of the
        unit directions of each bone after this rotation.
        """
        assert self.found is not None
        joints, relative = self.joints * self.mirror, self.found.evidence.relative
        scale, rotation, _ = procrustes(relative, joints)
        ours, theirs = joints[CHILD] - joints[PARENT], (relative[CHILD] - relative[PARENT]) @ rotation.T
        ours, theirs = (
            bones / np.maximum(np.linalg.norm(bones, axis=1, keepdims=True), 1e-6) for bones in (ours, theirs)
        )
        return float(scale), rotation, np.linalg.norm(ours - theirs, axis=1)


def observe(
    camera: Camera,
    hands: TwoHands,
    comparison: Comparison,
    found: Mapping[int, FoundHand] | None = None,
    solver: HandSolver | None = None,
    odds: float = np.inf,
    gain: float = np.nan,
) -> list[Observation]:
    """Return an observation of every present hand; with `found`, its fits by side, and the solver that made them.

    odds, gain: `side_odds` and `depth_gain` of the hands.
    """
    assert hands.vertices is not None
    sides, result = hands.present_sides, []
    for side in sides:
        fit = None if found is None else found[side]
        seen = Observation(
            side=side,
            camera=camera,
            present=float(hands.present[side]),
            vertices=np.asarray(hands.vertices[side], np.float64),
            joints=np.asarray(hands.joints[side], np.float64),
            facing=comparison.facing[side],
            visible=comparison.visible[side],
            inside=comparison.inside[side],
            measured=comparison.measured[side],
            behind=comparison.behind[side],
            other=np.asarray(hands.joints[1 - side], np.float64) if 1 - side in sides else None,
            found=fit,
            spread=None if fit is None or solver is None else solver.spread(fit.solved),
            side_odds=odds,
            depth_gain=gain,
        )
        result.append(seen)
    return result


def hand_features(seen: Observation) -> dict[str, float]:
    """Return the features of a hand by name; those of the fit only where there is one."""
    features = {**_surface_features(seen), **_place_features(seen)}
    return features if seen.found is None else {**features, **_landmark_features(seen), **_point_features(seen)}


def _surface_features(seen: Observation) -> dict[str, float]:
    """Return the agreement of the mesh with the measured depth."""
    visible, count = seen.visible, len(seen.visible)
    behind = seen.behind[visible & (seen.measured > 0)]
    shown = max(int(visible.sum()), 1)
    near = np.abs(behind[behind < 0.06])
    return {
        "visible": shown / max(int(seen.facing.sum()), 1),
        "outside": 1 - seen.inside.mean(),
        "unmeasured": 1 - len(behind) / shown,
        "support": (near < SUPPORTED).sum() / shown,
        "close": (near < 0.5 * SUPPORTED).sum() / shown,
        "covered": (behind > APART).sum() / shown,
        "see_through": (behind < -APART).sum() / shown,
        "far_through": (behind < -0.05).sum() / shown,
        "residual": _log(np.median(near) if len(near) else 0.05, 0.002),
        "spread_of_residual": _log(np.percentile(near, 90) if len(near) else 0.05, 0.002),
        "offset": float(np.clip(np.median(behind), -0.03, 0.03)) if len(behind) else 0.0,
        "supported_surface": (near < SUPPORTED).sum() / count,
    }


def _place_features(seen: Observation) -> dict[str, float]:
    """Return presence, side, distance, size and pose of the hand and its distance from the other one."""
    joints, other = seen.joints, seen.other
    size = np.linalg.norm(joints[list(KNUCKLES)] - joints[0], axis=1).mean()
    depth = max(float(joints[:, 2].mean()), 0.01)
    focal = float(np.mean(np.asarray(seen.camera.focal)))
    certainty = IMAGE_WEIGHT * min(seen.side_odds, 10.0) + DEPTH_WEIGHT * float(
        np.clip(np.nan_to_num(seen.depth_gain), -400, 400)
    )
    across = np.linalg.norm(joints[FINGERTIPS[1]] - joints[0]) / max(size, 1e-3)
    normal = np.cross(joints[KNUCKLES[0]] - joints[0], joints[KNUCKLES[-1]] - joints[0])
    normal /= max(float(np.linalg.norm(normal)), 1e-9)
    ray = joints[ROOT] / max(float(np.linalg.norm(joints[ROOT])), 1e-9)
    apart = 0.3 if other is None else float(np.linalg.norm(joints[:, None] - other[None], axis=2).min())
    return {
        "absence": _log(1 - min(seen.present, 1.0), 1e-3),
        "side_certainty": float(np.clip(certainty, -2, 6)),
        "sides_tried": float(np.isfinite(seen.depth_gain)),
        "alone": float(other is None),
        "apart": min(_log(apart, 0.005), _log(0.3, 0.005)),
        "log_depth": float(np.log(depth)),
        "log_pixels": float(np.log(focal * size / depth)),
        "palm_size": float(np.log(max(size, 1e-3) / 0.09)),
        "edge_on": 1 - abs(float(normal @ ray)),
        "stretched": float(across),
    }


def _landmark_features(seen: Observation) -> dict[str, float]:
    """Return the agreement of the fit with the landmarks and the readings at them, and its prior energies."""
    assert seen.found is not None
    evidence, solved = seen.found.evidence, seen.found.solved
    joints = seen.joints * seen.mirror
    misfit = seen.misfit
    scale, rotation, bones = seen.bone_misfit
    turn = float(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
    extent = [
        np.sqrt(((p - p.mean(axis=0)) ** 2).sum(axis=1).mean()) for p in (evidence.plane, joints[:, :2] / joints[:, 2:])
    ]
    behind = joints[:, 2] - evidence.landmark_depth - 0.01
    read = behind[np.isfinite(behind)]
    palm = evidence.palm_depth[np.isfinite(evidence.palm_depth)]
    return {
        "fitted": float(solved.cloud is not None),
        "energy": _log(solved.energy, 5.0),
        "landmark_energy": _log(seen.found.landmark_energy, 5.0),
        "misfit": _log(np.median(misfit), 0.002),
        "misfit_largest": _log(np.percentile(misfit, 90), 0.002),
        "misfit_tips": _log(float(np.mean(misfit[list(FINGERTIPS)])), 0.002),
        "bones": float(np.sqrt((bones**2).mean())),
        "bones_largest": float(bones.max()),
        "turn": turn,
        "scale": float(np.log(max(scale, 1e-3))),
        "extent": float(np.log(max(extent[1], 1e-6) / max(extent[0], 1e-6))),
        "shape": float(np.sqrt((solved.rig.state.shape**2).mean())),
        "angles": float(np.sqrt(((solved.rig.state.angles) ** 2).mean())),
        "landmarks_read": len(read) / 21,
        "landmarks_covered": float((read > 0.02).sum()) / 21,
        "landmarks_through": float((read < -0.03).sum()) / 21,
        "landmarks_depth": _log(np.median(np.abs(read)) if len(read) else 0.05, 0.003),
        "palm_spread": _log(np.ptp(palm) if len(palm) else 0.05, 0.005),
        "spread_along": _log(np.median(seen.spread[:, 0]), 1e-4) if seen.spread is not None else 0.0,
        "spread_across": _log(np.median(seen.spread[:, 1]), 1e-4) if seen.spread is not None else 0.0,
    }


def _point_features(seen: Observation) -> dict[str, float]:
    """Return how well the mesh explains the depth points around it, and what it leaves unexplained."""
    assert seen.found is not None
    evidence, solved = seen.found.evidence, seen.found.solved
    tree = KDTree(solved.vertices, balanced_tree=False, compact_nodes=False)  # few queries: built fast
    points, colors = evidence.points[::POINTS_STEP], evidence.colors[::POINTS_STEP]
    distance, _ = tree.query(points, distance_upper_bound=NEAR)
    own = np.isfinite(distance)
    if seen.other is not None and own.any():
        others = seen.other * seen.mirror
        own[own] = np.linalg.norm(points[own][:, None] - others[None], axis=2).min(axis=1) > np.maximum(
            0.02, distance[own]
        )
    explained = own & (distance < EXPLAINED)
    weights = color_weights(colors, explained, 3.0) if len(colors) else np.ones(0)
    inner, outer = weights[explained].sum(), weights[own & ~explained].sum()
    result = {
        "unexplained": outer / max(inner + outer, 1.0),
        "unexplained_any": (own & ~explained).sum() / max(int(own.sum()), 1),
        "color_agreement": float(weights[explained].mean()) if explained.any() else 0.0,
        "cloud_weight": 0.0,
        "cloud_near": 0.0,
        "cloud_distance": _log(0.03, 0.002),
    }
    cloud = solved.cloud
    if cloud is None:
        return result
    away, _ = tree.query(cloud.points)
    total = max(cloud.weights.sum(), 1e-6)
    return result | {
        "cloud_weight": cloud.weights.sum() / 180,
        "cloud_near": float((cloud.weights * (away < 0.008)).sum() / total),
        "cloud_distance": _log(float((cloud.weights * np.minimum(away, 0.03)).sum() / total), 0.002),
    }


def joint_features(seen: Observation) -> dict[str, np.ndarray]:
    """Return features (21,) of the joints by name: is the surface around each seen, measured and explained?"""
    joints, vertices = ((points - seen.joints[ROOT]).astype(np.float32) for points in (seen.joints, seen.vertices))
    squared = (joints**2).sum(axis=1)[:, None] + (vertices**2).sum(axis=1) - 2 * joints @ vertices.T
    weights = np.exp(np.maximum(squared, 0) * np.float32(-0.5 / NEIGHBOURHOOD**2)) + np.float32(1e-12)
    weights /= weights.sum(axis=1, keepdims=True)
    read = seen.visible & (seen.measured > 0)
    near = read & (np.abs(seen.behind) < SUPPORTED)
    masks = (
        seen.visible & seen.inside,
        near,
        read & (seen.behind > APART),
        read & (seen.behind < -APART),
        seen.visible & ~(seen.measured > 0),
    )
    shown, supported, covered, through, unread = (np.stack(masks).astype(np.float32) @ weights.T).astype(np.float64)
    distance = (np.stack([near, near * np.abs(seen.behind)]).astype(np.float32) @ weights.T).astype(np.float64)
    other_near = np.full(21, 0.3)
    if seen.other is not None:
        other_near = np.linalg.norm(seen.joints[:, None] - seen.other[None], axis=2).min(axis=1)
    features = {
        "shown": shown,
        "supported": supported,
        "covered": covered,
        "through": through,
        "unread": unread,
        "distance": np.log(distance[1] / np.maximum(distance[0], 1e-6) + 0.002),
        "finger_supported": _of_finger(supported),
        "other_near": np.log(np.minimum(other_near, 0.3) + 0.005),
    }
    if seen.found is None or seen.spread is None:
        return features
    misfit = seen.misfit
    bones = seen.bone_misfit[2]
    behind = seen.joints[:, 2] - seen.found.evidence.landmark_depth - 0.01
    return features | {
        "spread_along": np.log(seen.spread[:, 0] + 1e-4),
        "spread_across": np.log(seen.spread[:, 1] + 1e-4),
        "misfit": np.log(misfit + 0.002),
        "finger_misfit": np.log(_of_finger(misfit) + 0.002),
        "bone": np.concatenate([bones[:1], bones]),
        "finger_bones": _of_finger(np.concatenate([bones[:1], bones])),
        "reading_covers": np.nan_to_num(np.clip(behind, 0, 0.05)) * 20,
        "reading_through": np.nan_to_num(np.clip(-behind, 0, 0.05)) * 20,
        "no_reading": np.isnan(behind).astype(np.float64),
    }


def _of_finger(values: np.ndarray) -> np.ndarray:
    """Return values (21,) replaced by the mean of their finger; the wrist keeps its own."""
    return np.concatenate([values[:1], np.repeat(values[1:].reshape(5, 4).mean(axis=1), 4)])


def _mirror(seen: Observation) -> np.ndarray:
    """Return the factors (3,) from the camera frame to the frame of the fit."""
    return np.array([-1.0, 1.0, 1.0]) if seen.side == LEFT else np.ones(3)


def _log(value: float, smallest: float) -> float:
    """Return log(value + smallest): `smallest` is the size below which differences mean nothing."""
    return float(np.log(value + smallest))
