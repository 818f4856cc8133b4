"""Observations of found hands as arrays on disk, for tools/calibrate_trust.py."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from scipy import ndimage

from trust_formulas import Hands
from twohands.fitting import HandFitter
from twohands.fitting.articulation import HandState
from twohands.fitting.energy import Cloud
from twohands.fitting.evidence import HandEvidence
from twohands.fitting.observation import Observation, hand_features, joint_features
from twohands.fitting.solver import FoundHand, HandSolver, SolvedHand
from twohands.geometry.camera import Camera
from twohands.hands import free_hand
from twohands.predictor import Predictor
from twohands.types import PRESENT, RGBDFrame, Sample

CLOUD = 180
"""Largest number of points of the fit, see `FitConfig`."""
Fault: TypeAlias = Literal["none", "holes", "shifted"]
HOLE, LEAST_SHIFT, LARGEST_SHIFT = 0.15, 12, 60
"""Margin of a hole as a fraction of the hand's extent, and limits of a shift in pixels."""
RAGGED = ("points", "point_colors")
"""Arrays whose length differs between hands."""


class Recorder:
    """Stand-in for `Trust` that keeps the observations of the frame."""

    def __init__(self):
        self.observations: list[Observation] = []

    def __call__(self, observations: Sequence[Observation]) -> tuple[np.ndarray, np.ndarray]:
        self.observations = list(observations)
        return np.full(2, np.nan, np.float32), np.full((2, 21, 2), np.nan, np.float32)


FOUND, MISSED = 1, 0


def damaged(sample: Sample, fault: Fault) -> Sample:
    """Return the sample with damaged depth: without readings at most hands ('holes'), or beside the colour
    ('shifted').
    """
    depth, rng = np.array(sample.frame.depth), np.random.default_rng(zlib.crc32(sample.id.encode()))
    height, width = depth.shape
    if fault == "holes":
        for side in sample.hands.present_sides:
            pixels = sample.frame.camera.project(sample.hands.joints[side])
            margin = HOLE * np.ptp(pixels, axis=0).max()
            left, top = np.clip(pixels.min(axis=0) - margin, 0, [width, height]).astype(int)
            right, bottom = np.clip(pixels.max(axis=0) + margin, 0, [width, height]).astype(int)
            if rng.uniform() < 0.8:
                depth[top:bottom, left:right] = 0
    elif fault == "shifted":
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(LEAST_SHIFT, LARGEST_SHIFT)
        shift = np.rint(length * np.array([np.sin(angle), np.cos(angle)]))
        depth = ndimage.shift(depth, shift, order=0)
    return replace(sample, frame=replace(sample.frame, depth=depth))


def rows_of(sample: Sample, predictor: Predictor, recorder: Recorder) -> list[dict[str, Any]]:
    """Return what is known about the hands of a frame: one row for each hand that is found or there."""
    recorder.observations = []
    try:
        predictor(sample.frame)
    except ValueError as error:
        print(f"{sample.id}: {error}")
    observations = {observation.side: observation for observation in recorder.observations}
    rows = []
    for side in range(2):
        assert sample.visibility is not None
        assert sample.visible_fraction is not None
        truth = {
            "frame": np.array(sample.id, dtype="U64"),
            "side": side,
            "kind": FOUND if side in observations else MISSED,
            "there": bool(sample.hands.present[side] >= PRESENT),
            "true_joints": np.asarray(sample.hands.joints[side], np.float32),
            "visibility": np.asarray(sample.visibility[side], np.float32),
            "visible_fraction": np.float32(sample.visible_fraction[side]),
            "K": np.asarray(sample.frame.camera.K, np.float64),
            "size": np.array(sample.frame.depth.shape[::-1]),
        }
        if side in observations:
            rows.append({**truth, **stored(observations[side], sample.frame)})
        elif truth["there"]:
            rows.append(truth)
    return rows


def stored(seen: Observation, frame: RGBDFrame) -> dict[str, Any]:
    """Return the arrays of an observation, and the colours at its vertices."""
    K, f4 = np.asarray(seen.camera.K), np.float32
    pixels = Camera(K, seen.camera.width, seen.camera.height).project(np.maximum(seen.vertices, [-9, -9, 0.01]))
    columns = np.clip(np.rint(pixels[:, 0]), 0, seen.camera.width - 1).astype(int)
    rows = np.clip(np.rint(pixels[:, 1]), 0, seen.camera.height - 1).astype(int)
    result = {
        "present": f4(seen.present),
        "vertices": seen.vertices.astype(f4),
        "joints": seen.joints.astype(f4),
        **{name: getattr(seen, name) for name in ("facing", "visible", "inside")},
        "measured": seen.measured.astype(f4),
        "vertex_colors": np.rint(frame.rgb[:, rows, columns].T * 255).astype(np.uint8),
        "side_odds": f4(seen.side_odds),
        "depth_gain": f4(seen.depth_gain),
        "has_other": seen.other is not None,
    }
    if seen.found is None:
        return result
    evidence, solved = seen.found.evidence, seen.found.solved
    state, cloud = solved.rig.state, np.full((CLOUD, 4), np.nan, f4)
    if solved.cloud is not None:
        cloud[: len(solved.cloud.points)] = np.column_stack([solved.cloud.points, solved.cloud.weights])
    return {
        **result,
        "rotation": state.rotation,
        "translation": state.translation,
        "angles": state.angles,
        "shape": state.shape,
        "energy": f4(solved.energy),
        "landmark_energy": f4(seen.found.landmark_energy),
        "fitted": solved.cloud is not None,
        "cloud": cloud,
        "matrix": np.asarray(solved.matrix, f4),
        "window_K": np.asarray(evidence.camera.K),
        "window_size": np.array([evidence.camera.width, evidence.camera.height]),
        "plane": evidence.plane,
        "relative": evidence.relative,
        "landmark_depth": evidence.landmark_depth,
        "palm_depth": evidence.palm_depth,
        "number_of_points": len(evidence.points),
        "points": evidence.points.astype(f4),
        "point_colors": np.rint(evidence.colors * 255).astype(np.uint8),
    }


def packed(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the rows as arrays by name; missing values are NaN or 0, points of all hands follow one another."""
    template: dict[str, np.ndarray] = {}
    for row in rows:
        template |= {name: np.asarray(value) for name, value in row.items() if name not in template}
    result = {}
    for name, example in template.items():
        if name in RAGGED:
            result[name] = np.concatenate([row[name] for row in rows if name in row])
            continue
        fill = np.full_like(example, np.nan) if example.dtype.kind == "f" else np.zeros_like(example)
        result[name] = np.stack([np.asarray(row.get(name, fill)) for row in rows])
    return result


def read_hands(paths: list[Path]) -> Hands:
    """Return the found hands of archives with their features and errors."""
    return Hands.join([_hands_of(dict(np.load(path))) for path in paths])


def _hands_of(stored: dict[str, np.ndarray]) -> Hands:
    rows, observed = zip(*observations(stored), strict=True)
    rows = np.array(rows)
    hand, joint = [hand_features(seen) for seen in observed], [joint_features(seen) for seen in observed]
    joints, there = stored["joints"][rows].astype(np.float64), stored["there"][rows]
    away = joints - stored["true_joints"][rows]
    ray = joints / np.linalg.norm(joints, axis=2, keepdims=True)
    first = np.cross(ray, [0.0, 1.0, 0.0])
    first /= np.linalg.norm(first, axis=2, keepdims=True)
    across = [(away * axis).sum(axis=2) for axis in (first, np.cross(first, ray))]
    return Hands(
        {name: np.array([features[name] for features in hand]) for name in hand[0]},
        {name: np.stack([features[name] for features in joint]) for name in joint[0]},
        np.where(there, np.linalg.norm(away, axis=2).mean(axis=1), np.inf),
        (away * ray).sum(axis=2)[..., None],
        np.stack(across, axis=2),
        stored["visibility"][rows] > 0.5,
        stored["frame"][rows],
    )


def observations(stored: dict[str, np.ndarray]) -> Iterator[tuple[int, Observation]]:
    """Yield the row and the observation of every found hand."""
    solver = HandFitter(free_hand(), trust=Recorder()).solver
    found = np.flatnonzero(stored["kind"] == FOUND)
    row_of = {(stored["frame"][row], int(stored["side"][row])): row for row in found}
    ends = np.cumsum(stored["number_of_points"]) if "number_of_points" in stored else None
    for row in found:
        one = {name: values[row] for name, values in stored.items() if name not in RAGGED}
        mate = row_of.get((one["frame"], 1 - int(one["side"])))
        fit = None
        if ends is not None:
            own = slice(ends[row] - one["number_of_points"], ends[row])
            colors = stored["point_colors"][own] / 255.0
            fit = _found_hand(one, stored["points"][own].astype(np.float64), colors, solver)
        vertices = one["vertices"].astype(np.float64)
        yield (
            int(row),
            Observation(
                side=int(one["side"]),
                camera=Camera(one["K"], int(one["size"][0]), int(one["size"][1])),
                present=float(one["present"]),
                vertices=vertices,
                joints=one["joints"].astype(np.float64),
                facing=one["facing"],
                visible=one["visible"],
                inside=one["inside"],
                measured=one["measured"].astype(np.float64),
                behind=vertices[:, 2] - one["measured"],
                other=None if mate is None else stored["joints"][mate].astype(np.float64),
                found=fit,
                spread=None if fit is None else solver.spread(fit.solved),
                side_odds=float(one["side_odds"]),
                depth_gain=float(one["depth_gain"]),
            ),
        )


def _found_hand(one: dict[str, Any], points: np.ndarray, colors: np.ndarray, solver: HandSolver) -> FoundHand:
    width, height = one["window_size"]
    evidence = HandEvidence(
        Camera(one["window_K"], int(width), int(height)),
        one["plane"],
        one["relative"],
        one["landmark_depth"],
        one["palm_depth"],
        points,
        colors,
    )
    rig = solver.hand.rig(HandState(one["rotation"], one["translation"], one["angles"], one["shape"]))
    kept = one["cloud"][np.isfinite(one["cloud"][:, 0])].astype(np.float64)
    cloud = Cloud(kept[:, :3], kept[:, 3]) if one["fitted"] else None
    vertices = solver.hand.points(rig, solver.hand.surface)
    solved = SolvedHand(rig, vertices, float(one["energy"]), cloud, one["matrix"].astype(np.float64))
    return FoundHand(evidence, solved, float(one["landmark_energy"]))
