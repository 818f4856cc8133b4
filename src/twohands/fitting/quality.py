"""Measure how well two hand meshes agree with the measured depth: residual and support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.geometry.zbuffer import sample_nearest, visible_vertices
from twohands.types import PRESENT, RGBDFrame

OCCLUDER = 0.06
"""Metres in front of the mesh from which a measured surface is an occluder, not the hand."""
SUPPORTED = 0.01
"""Largest distance, in metres, between a supported vertex and the measured surface."""


@dataclass(frozen=True)
class Comparison:
    """Both meshes of a frame against its depth, vertex by vertex. The vertices of an absent hand are not visible."""

    facing: np.ndarray  # (2, V) bool, the normal faces the camera
    visible: np.ndarray  # (2, V) bool, facing and hidden by neither mesh
    inside: np.ndarray  # (2, V) bool, inside the image
    measured: np.ndarray  # (2, V) metres, reading at the nearest pixel, 0 = none
    behind: np.ndarray  # (2, V) metres, z of the mesh - measured z, where there is a reading

    @property
    def compared(self) -> np.ndarray:
        """Vertices (2, V) bool that are visible and not behind an occluder."""
        return self.visible & (self.measured > 0) & (self.behind <= OCCLUDER)

    @property
    def residual(self) -> np.ndarray:
        """Depth residual (2,) float32 in metres, see `measure_quality`."""
        residual = np.full(2, np.nan, dtype=np.float32)
        for side, compared in enumerate(self.compared):
            if compared.any():
                residual[side] = np.median(np.abs(self.behind[side, compared]))
        return residual

    @property
    def support(self) -> np.ndarray:
        """Depth support (2,) float32 in [0, 1], see `measure_quality`."""
        near = self.compared & (np.abs(self.behind) < SUPPORTED)
        return (near.sum(axis=1) / np.maximum(self.visible.sum(axis=1), 1)).astype(np.float32)


def compare(vertices: np.ndarray, faces: np.ndarray, present: np.ndarray, frame: RGBDFrame) -> Comparison:
    """Return the comparison of two hands with one frame; arguments as in `measure_quality`."""
    sides, shape = np.flatnonzero(np.asarray(present) >= PRESENT), vertices.shape[:2]
    facing, visible, inside = (np.zeros(shape, dtype=bool) for _ in range(3))
    measured, behind = np.zeros(shape), np.zeros(shape)
    if len(sides):
        points = vertices[sides].reshape(-1, 3).astype(np.float64)
        joined = np.concatenate([faces[side] + position * shape[1] for position, side in enumerate(sides)])
        as_hands = (len(sides), shape[1])
        facing[sides], visible[sides] = (
            mask.reshape(as_hands) for mask in visible_vertices(points, joined, frame.camera)
        )
        readings, within = sample_nearest(frame.depth, points, frame.camera)
        measured[sides], inside[sides] = readings.reshape(as_hands), within.reshape(as_hands)
        behind[sides] = (points[:, 2] - readings).reshape(as_hands)
    return Comparison(facing, visible, inside, measured, behind)


def measure_quality(
    vertices: np.ndarray, faces: np.ndarray, present: np.ndarray, frame: RGBDFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return the depth residual (2,) in metres and depth support (2,) in [0, 1] of two hands in one frame, float32.

    vertices (2, V, 3) metres, camera frame; faces (2, F, 3) outward; present (2,). Both values are taken over the
    vertices whose normal faces the camera and that neither hand's mesh hides. A vertex is compared at its nearest pixel
    if this has a reading: r = z of the mesh - measured z; r > 0.06 m is an occluder and left out. The residual is the
    median of |r|, NaN when nothing is left; the support is the fraction of all these vertices, compared or not, with
    |r| < 0.01 m. An absent hand (see `TwoHands.is_present`) has residual NaN, support 0, and hides nothing.
    """
    comparison = compare(vertices, faces, present, frame)
    return comparison.residual, comparison.support
