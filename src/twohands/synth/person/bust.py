"""Torso and head of a person whom a camera opposite or beside sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.synth.acts.placement import Staging
from twohands.synth.person.body import chest, facing_out, rounded_end
from twohands.synth.rendering.shapes import Shape, ball, merged, tube

# rows: metres above the shoulders, half width and half depth of the torso, from the neck to below the floor
_TORSO = np.array(
    [
        [0.10, 0.01, 0.01],
        [0.09, 0.06, 0.06],
        [0.05, 0.14, 0.12],
        [-0.02, 0.185, 0.18],
        [-0.15, 0.17, 0.18],
        [-0.35, 0.15, 0.17],
        [-0.60, 0.165, 0.18],
        [-0.90, 0.15, 0.16],
        [-1.50, 0.15, 0.16],
    ]
)
_HalfAxes = tuple[float, float, float]
_Put = Callable[[_HalfAxes, float, float, float], Shape]
"""Makes an ellipsoid of the head from half axes and its middle across, forward and up in the head; metres."""
_PutPair = Callable[[_HalfAxes, float, float, float], list[Shape]]
_SKULL = np.array([0.074, 0.093, 0.115])  # metres, half axes across, forward and up


@dataclass(frozen=True)
class Bust:
    """The parts of a person, besides the arms, by what they are made of."""

    clothed: Shape
    skin: Shape  # neck, head, nose, ears
    hair: Shape  # hair, brows, sometimes a beard
    whites: Shape  # of the eyes
    irises: Shape
    lips: Shape

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """All parts."""
        return self.clothed, self.skin, self.hair, self.whites, self.irises, self.lips


def bust(rng: np.random.Generator, staging: Staging) -> Bust:
    """Sample a torso down to the floor, and a head that looks about at the hands. Not for cameras on that head."""
    up, forward = staging.view.up, staging.body_forward
    right = np.cross(forward, up)
    middle = chest(staging)
    body = _stack(middle, right, forward, up, _TORSO * [1.0, 1.0, 0.6])
    neck = _stack(middle + 0.01 * forward, right, forward, up, np.array([[0.04, 0.062, 0.06], [0.19, 0.05, 0.055]]))
    nod, shake = rng.uniform(-0.05, 0.55), rng.normal(0.0, 0.25)
    ahead, aside = np.cos(shake) * forward + np.sin(shake) * right, np.cos(shake) * right - np.sin(shake) * forward
    length = np.sqrt(1 + nod * nod)
    axes = np.stack([aside, (ahead - nod * up) / length, (up + nod * ahead) / length], axis=-1)
    place = middle + 0.245 * up + 0.065 * forward

    def put(half_axes: _HalfAxes, x: float, y: float, z: float) -> Shape:
        return _ellipsoid(half_axes).moved(axes, place + axes @ np.array([x, y, z]))

    def pair(half_axes: _HalfAxes, x: float, y: float, z: float) -> list[Shape]:
        return [put(half_axes, sign * x, y, z) for sign in (-1.0, 1.0)]

    head, nose = put((_SKULL[0], _SKULL[1], _SKULL[2]), 0.0, 0.0, 0.0), put((0.012, 0.022, 0.022), 0.0, 0.084, -0.02)
    ears = pair((0.008, 0.017, 0.03), 0.074, -0.005, -0.005)
    narrow = rng.uniform(0.5, 1.0)  # half-closed to open eyes
    eyes = pair((0.013, 0.008, 0.008 * narrow), 0.030, _face(0.030, 0.012) - 0.004, 0.012)
    irises = pair((0.006, 0.004, 0.0065 * narrow), 0.030, _face(0.030, 0.012) + 0.003, 0.012)
    lips = put((rng.uniform(0.019, 0.027), 0.008, rng.uniform(0.005, 0.011)), 0.0, _face(0.0, -0.058) - 0.003, -0.058)
    return Bust(
        *(body, merged([neck, head, nose, *ears]), merged(_hair(rng, put, pair))),
        *(merged(eyes), merged(irises), lips),
    )


def _hair(rng: np.random.Generator, put: _Put, pair: _PutPair) -> Sequence[Shape]:
    """Sample brows, hair that is short, full or long, and sometimes a beard."""
    parts = pair((0.018, 0.006, 0.0045), 0.030, _face(0.030, 0.036), 0.036)
    full = rng.uniform(0.0, 1.0)
    parts.append(put((0.079 + 0.012 * full, 0.092 + 0.012 * full, 0.097 + 0.014 * full), 0.0, -0.024, 0.026))
    if rng.random() < 0.3:
        parts.append(put((0.088, 0.055, rng.uniform(0.12, 0.19)), 0.0, -0.062, -0.07))
    if rng.random() < 0.25:
        parts.append(put((0.058, 0.052, rng.uniform(0.045, 0.06)), 0.0, 0.034, -0.072))
    return parts


def _face(x: float, z: float) -> float:
    """Return how far forward the face is, in metres, at a place across and up."""
    return float(_SKULL[1] * np.sqrt(1 - (x / _SKULL[0]) ** 2 - (z / _SKULL[2]) ** 2))


def _stack(place: np.ndarray, right: np.ndarray, forward: np.ndarray, up: np.ndarray, sections: np.ndarray) -> Shape:
    """Return a stack of ellipses (height, half width, half depth) above `place`. The last one is rounded off."""
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
    height, wide, deep = sections[:, :, None, None].transpose(1, 0, 2, 3)
    rings = place + height * up + wide * np.cos(angle) * right + deep * np.sin(angle) * forward
    return facing_out(tube(rounded_end(rings)))


def _ellipsoid(axes: tuple[float, float, float]) -> Shape:
    """Return an ellipsoid about the origin."""
    sphere = ball(1.0).moved(np.eye(3), np.array([0.0, 0.0, -1.0]))
    normals = sphere.vertices / np.array(axes)
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return replace(sphere, vertices=sphere.vertices * axes, normals=normals)
