"""Closing fingers: a posable hand, the paths of its joints, and how far a solid lets them close.

Joints stop one after the other as in GraspIt! (Miller and Allen 2004): when a link touches, the joints up to it stop
and the outer ones continue. Everything is a right hand in its wrist frame (see `hands.model`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from twohands.hands.free import free_hand, free_hand_arrays
from twohands.hands.model import rotations_from_angles, skin
from twohands.hands.skeleton import JOINTS_FROM_ARTICULATED
from twohands.synth.acts.poses import capsules, local_rest_bone
from twohands.synth.acts.solids import Rods, Solid

_STEPS = 32  # steps along a finger's path


@dataclass(frozen=True)
class LinkedSkin:
    """A shaped right hand at one mesh level, with vertices in the order of the links that they belong to."""

    vertices: np.ndarray  # (V, 3) metres
    joints: np.ndarray  # (16, 3) metres
    weights: np.ndarray  # (V, 16)
    firsts: np.ndarray  # (16,) first vertex of each link
    faces: np.ndarray  # (F, 3)

    @classmethod
    def of(cls, shape: np.ndarray, level: int) -> LinkedSkin:
        model = free_hand(level)
        link = np.asarray(model.weights).argmax(axis=1)
        order = np.argsort(link, kind="stable")
        vertices = np.asarray(model.rest_vertices + model.shape_directions @ shape)
        joints = model.rest_joints + model.joint_directions @ shape
        firsts, faces = np.searchsorted(link[order], np.arange(16)), np.argsort(order)[model.right_faces]
        return cls(vertices[order], joints, model.weights[order], firsts, faces)

    def posed(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return vertices (T, V, 3) and joints (T, 16, 3), metres, at angles (T, 16, 3)."""
        model = free_hand()
        turns = rotations_from_angles(angles[:, 1:] - model.rest_angles[1:], model.joint_frames[1:])
        return skin(self.vertices, np.broadcast_to(self.joints, (len(angles), 16, 3)), self.weights, turns)

    def gaps(self, angles: np.ndarray, solid: Solid) -> np.ndarray:
        """Return the smallest distance (T, 16) metres of each link's skin from the solid at angles (T, 16, 3)."""
        return np.minimum.reduceat(solid.distance(self.posed(angles)[0]), self.firsts, axis=1)


@dataclass(frozen=True)
class GraspHand:
    """One person's right hand at the mesh levels that the grasp search needs."""

    skin: LinkedSkin  # coarse mesh, which closes
    fine: LinkedSkin  # fine mesh, which judges the grasp
    marks: LinkedSkin  # 10 vertices: the middles of the five finger pads, then the tips
    scale: float  # size over that of the mean hand

    @classmethod
    def of(cls, shape: np.ndarray) -> GraspHand:
        fine, model = LinkedSkin.of(shape, 1609), free_hand(1609)
        ids = np.concatenate([free_hand_arrays()["pulp_vertices"].astype(np.int64), model.tip_vertices])
        points = model.rest_vertices[ids] + model.shape_directions[ids] @ shape
        scale = float(np.linalg.norm(fine.joints[7] - fine.joints[0]) / np.linalg.norm(local_rest_bone()))
        return cls(LinkedSkin.of(shape, 778), fine, replace(fine, vertices=points, weights=model.weights[ids]), scale)

    def pads(self, angles: np.ndarray) -> np.ndarray:
        """Return the middles of the finger pads (T, 5, 3) metres at angles (T, 16, 3)."""
        return self.marks.posed(angles)[0][:, :5]

    def places(self, angles: np.ndarray) -> np.ndarray:
        """Return the 21 joints (21, 3) metres at one pose (16, 3)."""
        marks, joints = self.marks.posed(angles[None])
        return np.concatenate([joints[0], marks[0, 5:]])[list(JOINTS_FROM_ARTICULATED)]

    def bones(self, angles: np.ndarray, numbers: np.ndarray) -> Rods:
        """Return those of `poses.capsules` with the given numbers, at one pose (16, 3)."""
        places, c = self.places(angles), capsules()
        return Rods(places[c.starts[numbers]], places[c.ends[numbers]], self.scale * c.radii[numbers])


@dataclass(frozen=True)
class Path:
    """Start and end of every joint's motion while the hand closes, (16, 3) radians each."""

    start: np.ndarray
    end: np.ndarray

    def at(self, progress: np.ndarray) -> np.ndarray:
        """Return angles (..., 16, 3) at the progress (..., 16) of each joint in [0, 1]."""
        limits = free_hand().limits
        return np.clip(self.start + progress[..., None] * (self.end - self.start), limits[..., 0], limits[..., 1])

    def with_fingers(self, angles: np.ndarray) -> Path:
        """Return the thumb's path with the fingers at the given angles."""
        start, end = angles.copy(), angles.copy()
        start[1:4], end[1:4] = self.start[1:4], self.end[1:4]
        return Path(start, end)


def close(
    skin: LinkedSkin, path: Path, solid: Solid, digits: tuple[int, ...], working: tuple[int, ...], flesh: float
) -> np.ndarray:
    """Return angles (16, 3) with the digits closed along their path until they sink `flesh` metres into the solid.

    A working digit that meets nothing closes as far as the mean of those that do; the others stop where they touch or
    at the end of their path.
    """
    progress, moving = np.zeros(16), np.zeros(16, dtype=bool)
    rows = {digit: np.arange(3 * digit + 1, 3 * digit + 4) for digit in digits}
    for row in rows.values():
        moving[row] = True
    missed = set(digits)
    for _ in range(3):
        low, high = progress.copy(), np.where(moving, 1.0, progress)
        for steps in (_STEPS, 5):  # coarse, then within the step that touched
            # short steps first, so that pads that start beside a sheet do not jump over it
            trail = low + np.linspace(0, 1, steps + 1)[:, None] ** 2 * (high - low)
            touching = (skin.gaps(path.at(trail), solid) < -flesh) & moving  # (steps + 1, 16)
            for row in rows.values():
                hit = touching[:, row].any(axis=1)
                first = int(hit.argmax()) if hit.any() else steps
                low[row], high[row] = trail[max(first - 1, 0), row], trail[first, row]
        stopped = skin.gaps(path.at(high[None]), solid)[0] < -flesh
        for digit, row in rows.items():
            hit = np.flatnonzero(stopped[row] & moving[row])
            progress[row] = low[row] if len(hit) else high[row]
            moving[row[: hit[-1] + 1] if len(hit) else row] = False
            missed -= {digit} if len(hit) else set()
        if not moving.any():
            break
    touched = [progress[rows[digit]] for digit in digits if digit not in missed]
    for digit in missed.intersection(working):
        progress[rows[digit]] = np.mean(touched, axis=0) if touched else progress[rows[digit]]
    return path.at(progress)
