"""Sides of hands from their surroundings in the depth: forearms, the body and the other hand.

A small network (344-64-32-1) reads the depth on rings around the palm. The radii of the rings are metres, and their
first place is that to which the fingers point, so that the turn of the camera says nothing. The log-odds of a hand are
those of its surroundings minus those of the surroundings' mirror image: a mirrored frame gives mirrored sides.
"""

from __future__ import annotations

import numpy as np

from twohands.hands.skeleton import KNUCKLES, PALM, WRIST
from twohands.locate.perceptron import Perceptron
from twohands.types import RGBDFrame

RADII = (0.08, 0.12, 0.17, 0.24, 0.33, 0.45, 0.62)
"""Radii of the rings, metres."""
DIRECTIONS = 24
"""Places on a ring."""
STEP, MOST_STEPS = 0.15, 2.0
"""Scale of a depth difference in metres, and the largest one in this scale."""
REACH = 0.3
"""Scale of the way to the other hand, metres."""
_ANGLES = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
_RINGS = (np.array(RADII)[:, None, None] * np.stack([np.sin(_ANGLES), np.cos(_ANGLES)], axis=-1)).reshape(-1, 2)
"""(R D, 2) places on the rings: to the side, and along the fingers; metres."""
OTHER = 8
"""Numbers that tell the direction of the fingers along the ray, and the other hand: there, its place, its direction."""


def surroundings(frame: RGBDFrame, joints: np.ndarray, other: np.ndarray | None = None) -> np.ndarray:
    """Return the network's input (344,) for a hand with joints (21, 3) metres; `other` are those of the other hand."""
    focal = np.asarray(frame.camera.focal, np.float64)
    middle, fingers = joints[PALM].mean(axis=0), _fingers(joints)
    ends = frame.camera.map(np.float64).project(np.stack([middle, middle + 0.02 * fingers]))
    along = ends[1] - ends[0]
    along = along / np.linalg.norm(along) if np.linalg.norm(along) > 1e-6 else np.array([0.0, -1.0])
    aside = np.array([-along[1], along[0]])
    pixels = ends[0] + _RINGS @ np.stack([aside, along]) * (focal.mean() / middle[2])
    column, row = np.rint(pixels).astype(np.int64).T
    height, width = frame.depth.shape
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    reading = np.asarray(frame.depth)[row.clip(0, height - 1), column.clip(0, width - 1)]
    known = inside & (reading > 0)
    beyond = np.where(known, np.clip((reading - middle[2]) / STEP, -MOST_STEPS, MOST_STEPS), 0)
    axes = np.array([[*aside, 0], [*along, 0], [0, 0, 1]])
    told = np.zeros(OTHER)
    told[0] = fingers @ middle / np.linalg.norm(middle)
    if other is not None:
        way = np.clip(axes @ (other[PALM].mean(axis=0) - middle) / REACH, -2, 2)
        told[1:] = 1, *way, *(axes @ _fingers(other))
    return np.concatenate([beyond, known, told]).astype(np.float32)


def mirrored(values: np.ndarray) -> np.ndarray:
    """Return the inputs (..., 344) of the mirror images of surroundings."""
    rings = values[..., :-OTHER].reshape(*values.shape[:-1], 2, len(RADII), DIRECTIONS)
    turned = rings[..., -np.arange(DIRECTIONS) % DIRECTIONS].reshape(*values.shape[:-1], -1)
    return np.concatenate([turned, values[..., -OTHER:] * [1, 1, -1, 1, 1, -1, 1, 1]], axis=-1).astype(np.float32)


class SidesBySurroundings:
    """Function from a frame and the joints (N, 21, 3) of its hands to log-odds (N,) of right hands."""

    def __init__(self) -> None:
        self.judge = Perceptron("sides")

    def __call__(self, frame: RGBDFrame, joints: np.ndarray) -> np.ndarray:
        """Two hands are taken for those of one person."""
        if not len(joints):
            return np.zeros(0)
        others = joints[::-1] if len(joints) == 2 else [None] * len(joints)
        seen = np.stack([surroundings(frame, hand, other) for hand, other in zip(joints, others, strict=True)])
        return (self.judge(seen) - self.judge(mirrored(seen)))[:, 0]


def _fingers(joints: np.ndarray) -> np.ndarray:
    """Return the unit vector (3,) from the wrist to the middle knuckle."""
    way = joints[KNUCKLES[1]] - joints[WRIST]
    return way / max(float(np.linalg.norm(way)), 1e-9)
