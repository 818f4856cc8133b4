"""Measure how well two hand meshes agree with the measured depth: residual and support."""

from __future__ import annotations

import numpy as np

from twohands.geometry.zbuffer import sample_nearest, visible_vertices
from twohands.types import PRESENT, RGBDFrame

OCCLUDER = 0.06
"""Metres in front of the mesh from which a measured surface is an occluder, not the hand."""
SUPPORTED = 0.01
"""Largest distance, in metres, between a supported vertex and the measured surface."""


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
    residual = np.full(2, np.nan, dtype=np.float32)
    support = np.zeros(2, dtype=np.float32)
    sides = np.flatnonzero(np.asarray(present) >= PRESENT)
    if not len(sides):
        return residual, support
    count = vertices.shape[1]
    points = np.concatenate([vertices[side] for side in sides]).astype(np.float64)
    joined = np.concatenate([faces[side] + position * count for position, side in enumerate(sides)])
    _, visible = visible_vertices(points, joined, frame.camera)
    measured, _ = sample_nearest(frame.depth, points, frame.camera)
    difference = points[:, 2] - measured
    compared = visible & (measured > 0) & (difference <= OCCLUDER)
    for position, side in enumerate(sides):
        own = np.zeros(len(points), dtype=bool)
        own[position * count : (position + 1) * count] = True
        distances = np.abs(difference[own & compared])
        if len(distances):
            residual[side] = np.median(distances)
            support[side] = (distances < SUPPORTED).sum() / (own & visible).sum()
    return residual, support
