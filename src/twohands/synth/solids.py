"""Solids: things with a signed distance (negative inside), to close fingers on.

A solid lives in its own frame in metres. `distance` takes points (..., 3) and gives (...) metres. It never exceeds the
true distance, so a step as long as the distance cannot jump over the surface.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numba import njit
from scipy.ndimage import distance_transform_edt, map_coordinates

_BAND = 2  # grid steps around the surface in which every triangle is asked


class Solid(Protocol):
    """Anything with an inside."""

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) metres -> signed distance (...) metres, negative inside."""
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
    """A body of revolution about z. The profile begins and ends on the axis; the other side of it is inside."""

    profile: np.ndarray  # (P, 2) metres: radius, z

    def distance(self, points: np.ndarray) -> np.ndarray:
        """See `Solid`."""
        flat = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
        return _revolved_distance(flat, np.asarray(self.profile, dtype=np.float64)).reshape(points.shape[:-1])


@dataclass(frozen=True)
class Rods:
    """Round-ended rods: the handle of a mug, the fingers of a hand."""

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


@dataclass(frozen=True)
class Grid:
    """A signed distance sampled on a grid and interpolated; beyond it distances are lower bounds."""

    origin: np.ndarray  # (3,) metres, of sample (0, 0, 0)
    step: float  # metres
    values: np.ndarray  # (I, J, K) float32 metres

    def distance(self, points: np.ndarray) -> np.ndarray:
        """See `Solid`; right to a fraction of `step`, blunt where the thing is thinner than two steps."""
        flat = ((np.asarray(points, dtype=np.float64) - self.origin) / self.step).reshape(-1, 3)
        inside = np.clip(flat, 0, np.array(self.values.shape) - 1)
        near = map_coordinates(self.values, inside.T, order=1, mode="nearest")
        beyond = self.step * np.linalg.norm(flat - inside, axis=-1)
        # the way on from the nearest point of the convex grid makes no sharp angle with the way to it: a lower bound
        distance = np.where(beyond > 0, np.hypot(beyond, np.maximum(near, 0.0)), near)
        return distance.reshape(points.shape[:-1])


def solid_of(vertices: np.ndarray, faces: np.ndarray, resolution: int = 48) -> Grid:
    """The solid inside a closed mesh (V, 3) metres, (F, 3), on a grid of `resolution` samples along its longest side.

    Near the surface the distances are exact, further away they are those of the triangle nearest to the nearest sample
    of that band. A sample is inside if the rays of two of three axes cross the surface an odd number of times, so a
    small hole in the mesh does no harm.
    """
    triangles = np.ascontiguousarray(vertices[faces], dtype=np.float64)
    low, high = triangles.min(axis=(0, 1)), triangles.max(axis=(0, 1))
    margin = _BAND + 1
    step = float((high - low).max()) / (resolution - 1 - 2 * margin)
    # a shift by an odd fraction keeps the rays off the edges of meshes with round coordinates
    origin = low - (margin + np.array([0.013, 0.0171, 0.0193])) * step
    size = np.ceil((high - origin) / step).astype(np.int64) + 1 + margin
    scaled = (triangles - origin) / step
    squared, nearest = _band(scaled, size, float(_BAND))
    index = np.asarray(distance_transform_edt(nearest < 0, return_distances=False, return_indices=True))
    nearest = nearest[tuple(index)]
    _fill(scaled, squared, nearest)
    odd = sum(_odd_crossings(np.ascontiguousarray(np.roll(scaled, -axis, axis=2)), size, axis) for axis in range(3))
    values = step * np.sqrt(squared) * np.where(np.asarray(odd) >= 2, -1.0, 1.0)
    return Grid(origin, step, values.astype(np.float32))


def _odd_crossings(rolled: np.ndarray, size: np.ndarray, axis: int) -> np.ndarray:
    """(I, J, K) 0 or 1: whether the ray from a sample along -`axis` crosses the surface an odd number of times."""
    crossings = _crossings(rolled, np.roll(size, -axis))
    return np.moveaxis(np.cumsum(crossings, axis=0) % 2, (0, 1, 2), [(axis + k) % 3 for k in range(3)])


@njit(cache=True)
def _revolved_distance(points, profile):
    """(N, 3), (P, 2) -> (N,); inside when a ray away from the axis crosses the profile an odd number of times."""
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
    """(N, 3), (R, 3), (R, 3), (R,) -> (N,)."""
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


@njit(cache=True)
def _band(triangles, size, reach):
    """Squared distance and nearest triangle (I, J, K) within `reach` of the surface, grid steps; else 1e18 and -1."""
    squared = np.full((size[0], size[1], size[2]), 1e18)
    nearest = np.full((size[0], size[1], size[2]), -1)
    low, high = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for f in range(triangles.shape[0]):
        for c in range(3):
            low[c] = max(int(triangles[f, :, c].min() - reach), 0)
            high[c] = min(int(triangles[f, :, c].max() + reach) + 1, size[c] - 1)
        for i in range(low[0], high[0] + 1):
            for j in range(low[1], high[1] + 1):
                for k in range(low[2], high[2] + 1):
                    distance = _triangle_distance(i, j, k, triangles[f])
                    if distance < squared[i, j, k] and distance <= reach * reach:
                        squared[i, j, k], nearest[i, j, k] = distance, f
    return squared, nearest


@njit(cache=True)
def _fill(triangles, squared, nearest):
    """Write the squared distances of samples outside the band from the triangle they are given."""
    for i in range(squared.shape[0]):
        for j in range(squared.shape[1]):
            for k in range(squared.shape[2]):
                if squared[i, j, k] > 1e17:
                    squared[i, j, k] = _triangle_distance(i, j, k, triangles[nearest[i, j, k]])


@njit(cache=True)
def _triangle_distance(i, j, k, triangle):
    """Squared distance of a point from a triangle (3, 3): its plane if the foot lies inside, else its nearest edge."""
    point = (i, j, k)
    pp = bp = cp = bb = bc = cc = 0.0  # products of the point, the second and the third corner, all from the first
    for axis in range(3):
        start = triangle[0, axis]
        p, b, c = point[axis] - start, triangle[1, axis] - start, triangle[2, axis] - start
        pp, bp, cp, bb, bc, cc = pp + p * p, bp + b * p, cp + c * p, bb + b * b, bc + b * c, cc + c * c
    area = bb * cc - bc * bc
    if area > 1e-18:
        v, w = (cc * bp - bc * cp) / area, (bb * cp - bc * bp) / area
        if v >= 0 and w >= 0 and v + w <= 1:
            return max(pp - v * bp - w * cp, 0.0)
    third = _segment_distance(pp - 2 * bp + bb, cp - bp - bc + bb, bb + cc - 2 * bc)
    return max(min(_segment_distance(pp, bp, bb), _segment_distance(pp, cp, cc), third), 0.0)


@njit(cache=True)
def _segment_distance(squared, along, length):
    """Squared distance from a segment: products of point and point, point and edge, edge and edge, from its start."""
    t = min(max(along / max(length, 1e-18), 0.0), 1.0)
    return squared - 2 * t * along + t * t * length


@njit(cache=True)
def _crossings(triangles, size):
    """(I, J, K) how often the first axis' line through (j, k) crosses the surface between sample i - 1 and i."""
    counts = np.zeros((size[0], size[1], size[2]), np.int64)
    for f in range(triangles.shape[0]):
        x, y, z = triangles[f, :, 0], triangles[f, :, 1], triangles[f, :, 2]
        area = (y[1] - y[0]) * (z[2] - z[0]) - (y[2] - y[0]) * (z[1] - z[0])
        if area == 0:
            continue
        for j in range(math.ceil(y.min()), math.floor(y.max()) + 1):
            for k in range(math.ceil(z.min()), math.floor(z.max()) + 1):
                u = ((j - y[0]) * (z[2] - z[0]) - (y[2] - y[0]) * (k - z[0])) / area
                v = ((y[1] - y[0]) * (k - z[0]) - (j - y[0]) * (z[1] - z[0])) / area
                if u >= 0 and v >= 0 and u + v <= 1:
                    counts[math.ceil(x[0] + u * (x[1] - x[0]) + v * (x[2] - x[0])), j, k] += 1
    return counts
