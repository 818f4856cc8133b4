"""Solids with a signed distance (negative inside), on which fingers close.

A solid is in its own frame in metres. `distance` maps points (..., 3) to (...) metres. It never exceeds the true
distance, so a step as long as the distance cannot jump over the surface.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit


class Solid(Protocol):
    """A closed body with a signed distance."""

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distance (...) metres of points (..., 3) metres, negative inside."""
        ...


@dataclass(frozen=True)
class Cuboid:
    """A box about the origin."""

    half: np.ndarray  # (3,) metres

    def distance(self, points: np.ndarray) -> np.ndarray:
        """See `Solid`."""
        beyond = np.abs(points) - self.half
        return np.linalg.norm(np.maximum(beyond, 0.0), axis=-1) + np.minimum(beyond.max(axis=-1), 0.0)


@dataclass(frozen=True)
class Ball:
    """A ball about the origin."""

    radius: float

    def distance(self, points: np.ndarray) -> np.ndarray:
        """See `Solid`."""
        return np.linalg.norm(points, axis=-1) - self.radius


@dataclass(frozen=True)
class Revolved:
    """A body of revolution about z; its profile begins and ends on the axis and encloses the inside."""

    profile: np.ndarray  # (P, 2) metres: radius, z

    def distance(self, points: np.ndarray) -> np.ndarray:
        """See `Solid`."""
        flat = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
        return _revolved_distance(flat, np.asarray(self.profile, dtype=np.float64)).reshape(points.shape[:-1])


@dataclass(frozen=True)
class Rods:
    """Rods with round ends: the handle of a mug, the fingers of a hand."""

    starts: np.ndarray  # (R, 3) metres
    ends: np.ndarray  # (R, 3)
    radii: np.ndarray  # (R,)

    def distance(self, points: np.ndarray) -> np.ndarray:
        """See `Solid`."""
        flat = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
        ends = (np.asarray(part, dtype=np.float64) for part in (self.starts, self.ends, self.radii))
        return _rod_distance(flat, *ends).reshape(points.shape[:-1])


@dataclass(frozen=True)
class Union:
    """Several solids as one; inside an overlap the distance is a bound."""

    parts: Sequence[Solid]

    def distance(self, points: np.ndarray) -> np.ndarray:
        """See `Solid`."""
        return np.min([part.distance(points) for part in self.parts], axis=0)


@dataclass(frozen=True)
class Moved:
    """A solid at another place."""

    solid: Solid
    rotation: np.ndarray  # (3, 3) outer frame from the solid's
    translation: np.ndarray  # (3,) metres

    def distance(self, points: np.ndarray) -> np.ndarray:
        """See `Solid`."""
        return self.solid.distance((points - self.translation) @ self.rotation)


@njit(cache=True)
def _revolved_distance(points, profile):
    """Return distances (N,) of points (N, 3); inside, a ray away from the axis crosses the profile (P, 2) oddly."""
    result = np.empty(points.shape[0])
    for i in range(points.shape[0]):
        r, z = math.hypot(points[i, 0], points[i, 1]), points[i, 2]
        nearest, inside = 1e9, False
        for k in range(profile.shape[0] - 1):
            a, b = profile[k, 0], profile[k, 1]
            u, v = profile[k + 1, 0] - a, profile[k + 1, 1] - b
            t = ((r - a) * u + (z - b) * v) / max(u * u + v * v, 1e-18)
            t = min(max(t, 0.0), 1.0)
            nearest = min(nearest, (r - a - t * u) ** 2 + (z - b - t * v) ** 2)
            if (b > z) != (b + v > z) and a + u * (z - b) / v > r:
                inside = not inside
        result[i] = -math.sqrt(nearest) if inside else math.sqrt(nearest)
    return result


@njit(cache=True)
def _rod_distance(points, starts, ends, radii):
    """Return the distances (N,) of points (N, 3) from rods with starts and ends (R, 3) and radii (R,)."""
    result = np.empty(points.shape[0])
    for i in range(points.shape[0]):
        nearest = 1e9
        for k in range(starts.shape[0]):
            along, length = 0.0, 1e-18
            for c in range(3):
                axis = ends[k, c] - starts[k, c]
                along += (points[i, c] - starts[k, c]) * axis
                length += axis * axis
            t = min(max(along / length, 0.0), 1.0)
            squared = 0.0
            for c in range(3):
                squared += (points[i, c] - starts[k, c] - t * (ends[k, c] - starts[k, c])) ** 2
            nearest = min(nearest, math.sqrt(squared) - radii[k])
        result[i] = nearest
    return result
