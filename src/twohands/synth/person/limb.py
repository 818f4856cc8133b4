"""Cross-sections of arms and fingers, for clothes and wear around them.

Everything worn follows the convex hull of a limb's cross-sections, so it touches the skin and no skin pokes through.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from twohands.geometry.mesh import edges_from_faces
from twohands.hands.free import free_hand, free_hand_arrays
from twohands.synth.acts.arms import Arm
from twohands.synth.person.body import forearm_rings

AROUND = 48
"""Number of directions around a limb: 0 is across, a quarter further is the back of hand and arm."""
_HAND_ROOT = 0.045  # metres from the wrist; this part of the hand may carry cuffs and bands
_THICKEST = 0.075  # metres from the middle of a limb; cuts beyond it belong to something else


@dataclass(frozen=True)
class Limb:
    """An arm or a finger, in the camera frame. Places are metres along `along`: from the wrist joint up the arm, or
    from the knuckle down the finger.
    """

    vertices: np.ndarray  # (V, 3) metres
    edges: np.ndarray  # (E, 2)
    along: np.ndarray  # (S,) rising
    centers: np.ndarray  # (S, 3) metres, the line inside the limb
    dorsal: np.ndarray  # (S, 3) roughly towards the back of the hand

    def axes(self, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for places (K,) the points (K, 3) of the middle line and (K, 3, 3) columns across, dorsal, onwards."""
        step = 0.012  # metres; long, so that planes around a bent wrist do not cross on its inner side
        before, center, after = (self._between(self.centers, at + offset) for offset in (-step, 0.0, step))
        onward = _unit(after - before)
        dorsal = self._between(self.dorsal, at)
        dorsal = _unit(dorsal - (dorsal * onward).sum(axis=-1, keepdims=True) * onward)
        return center, np.stack([np.cross(dorsal, onward), dorsal, onward], axis=-1)

    def rings(self, at: np.ndarray, height: np.ndarray, drop: np.ndarray | None = None) -> np.ndarray:
        """Return closed lines (K, AROUND, 3) in metres around the limb at places (K,).

        They are `height` (K,) or (K, AROUND) above its hull; `drop` (3,) moves all of them.
        """
        centers, frames = self.axes(at)
        radius = hull_radius(self.vertices, self.edges, centers, frames)
        radius = radius + (height if height.ndim == 2 else height[:, None])
        angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
        circle = np.cos(angle)[:, None] * frames[:, None, :, 0] + np.sin(angle)[:, None] * frames[:, None, :, 1]
        return centers[:, None] + radius[..., None] * circle + (0.0 if drop is None else drop)

    def _between(self, values: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(at, self.along, values[:, k]) for k in range(3)], axis=-1)


def hull_radius(vertices: np.ndarray, edges: np.ndarray, centers: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Return the metres (K, AROUND) from centres (K, 3) to the convex hull of the mesh's cuts with planes through them.

    vertices (V, 3), edges (E, 2), frames (K, 3, 3): a plane's two axes and its normal. The hull is the intersection of
    its AROUND supporting half-planes, so it is at most 0.3 % too wide. A plane that misses the mesh gives -inf.
    """
    ahead = frames[:, :, 2] @ vertices.T - (frames[:, :, 2] * centers).sum(axis=1)[:, None]  # (K, V) metres
    start, end = ahead[:, edges[:, 0]], ahead[:, edges[:, 1]]
    plane, edge = np.nonzero((start > 0) != (end > 0))
    share = (start[plane, edge] / (start[plane, edge] - end[plane, edge]))[:, None]
    a, b = vertices[edges[edge, 0]], vertices[edges[edge, 1]]
    cut = np.einsum("ni,nij->nj", a + share * (b - a) - centers[plane], frames[plane, :, :2])
    near = np.hypot(cut[:, 0], cut[:, 1]) < _THICKEST
    plane, cut = plane[near], cut[near]
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    support = np.full((len(centers), AROUND), -np.inf)
    met, first = np.unique(plane, return_index=True)
    if len(met):
        support[met] = np.maximum.reduceat(cut @ np.stack([np.cos(angle), np.sin(angle)]), first)
    cosine = np.cos(angle[:, None] - angle)
    reach = np.where(cosine > 0.1, support[:, None] / np.maximum(cosine, 0.1), np.inf)
    return reach.min(axis=-1)


def arm_limb(vertices: np.ndarray, arm: Arm, scale: float) -> Limb:
    """Return wrist and forearm as a limb. Hand vertices (1609, 3) in the camera frame."""
    kept, edges = _hand_root()
    rings = forearm_rings(vertices, arm, scale)
    count = rings.shape[1]
    numbers = len(kept) + np.arange(rings.shape[0] * count).reshape(-1, count)
    links = np.stack([numbers[:-1], numbers[1:]], axis=-1).reshape(-1, 2)
    centers = rings.mean(axis=1)
    first = -float((centers[0] - arm.wrist) @ arm.hand[:, 2])
    along = first + np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(centers, axis=0), axis=1))])
    turned = np.clip((along - first) / 0.03, 0, 1)[:, None]
    dorsal = (1 - turned) * arm.hand[:, 1] + turned * arm.forearm[:, 1]
    return Limb(
        vertices=np.concatenate([vertices[kept], rings.reshape(-1, 3)]),
        edges=np.concatenate([edges, links]),
        along=np.concatenate([[along[0] - 0.03], along]),
        centers=np.concatenate([centers[:1] + 0.03 * arm.hand[:, 2], centers]),
        dorsal=np.concatenate([dorsal[:1], dorsal]),
    )


def finger_limb(vertices: np.ndarray, joints: np.ndarray, dorsal: np.ndarray, finger: int) -> Limb:
    """Return the first bone of a finger (1 index to 4 little) as a limb: hand vertices (1609, 3), joints (21, 3)."""
    kept, edges = _finger(finger)
    ends = joints[[4 * finger + 1, 4 * finger + 2]]
    length = float(np.linalg.norm(ends[1] - ends[0]))
    return Limb(vertices[kept], edges, np.array([0.0, length]), ends, np.tile(dorsal, (2, 1)))


@cache
def _hand_root() -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (K,) of the hand next to the wrist and the edges (E, 2) between them, as positions in K."""
    return _part(free_hand_arrays()["vertices"][:1609, 2] < _HAND_ROOT)


@cache
def _finger(finger: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the vertices (K,) of one finger and the edges (E, 2) between them, as positions in K."""
    owner = free_hand_arrays()["weights"][:1609].argmax(axis=1)
    return _part((owner > 3 * finger) & (owner <= 3 * finger + 3))


def _part(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = edges_from_faces(free_hand(1609).right_faces)
    edges = edges[chosen[edges].all(axis=1)]
    return np.flatnonzero(chosen), (np.cumsum(chosen) - 1)[edges]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
