"""Things on the table, in a hand, and between the camera and a hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from twohands.synth.shapes import Shape, ball, box, lathe, merged, sharp, tube

OBJECT_LABEL = 4
_SMALLEST_HELD = 0.009  # metres, half the thickness below which nothing is put into a hand


@dataclass(frozen=True)
class Thing:
    """A shape standing on z = 0 and the upright cylinder around it, metres."""

    shape: Shape
    radius: float
    height: float


def carton(rng: np.random.Generator) -> Thing:
    """A box that stands: milk, tea, a mobile phone's packaging."""
    width, depth, height = rng.uniform([0.05, 0.04, 0.07], [0.10, 0.09, 0.24])
    return Thing(box((width, depth, height)), float(np.hypot(width, depth) / 2), height)


def book(rng: np.random.Generator) -> Thing:
    """Something flat that lies."""
    width, depth, height = rng.uniform([0.10, 0.14, 0.006], [0.20, 0.27, 0.045])
    return Thing(box((width, depth, height)), float(np.hypot(width, depth) / 2), height)


def can(rng: np.random.Generator) -> Thing:
    """A closed cylinder."""
    radius, height = rng.uniform([0.022, 0.05], [0.042, 0.15])
    return Thing(_cylinder(radius, height), radius, height)


def bottle(rng: np.random.Generator) -> Thing:
    """A body, a shoulder and a neck with a cap."""
    radius, height = rng.uniform([0.026, 0.15], [0.042, 0.26])
    neck, body = radius * rng.uniform(0.3, 0.5), height * rng.uniform(0.55, 0.75)
    top = body + 0.5 * (height - body)
    profile = [(0.0, 0.0), (radius, 0.0), (radius, body), (0.8 * radius, body + 0.35 * (top - body)), (neck, top)]
    return Thing(lathe(sharp([*profile, (1.1 * neck, top), (1.1 * neck, height), (0.0, height)])), radius, height)


def mug(rng: np.random.Generator) -> Thing:
    """An open cup with a handle."""
    radius, height = rng.uniform([0.034, 0.075], [0.046, 0.11])
    wall = 0.004
    outside = [(0.0, 0.0), (0.9 * radius, 0.0), (radius, 0.15 * height), (radius, height)]
    inside = [(radius - wall, height), (radius - wall, 0.1 * height), (0.0, 0.08 * height)]
    bow = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 9)
    middle = np.stack([radius + 0.55 * radius * np.cos(bow), 0 * bow, height * (0.5 + 0.33 * np.sin(bow))], axis=-1)
    outward = np.stack([np.cos(bow), 0 * bow, np.sin(bow)], axis=-1)
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    circle = 0.005 * np.cos(angle)[None, :, None] * outward[:, None] + 0.007 * np.sin(angle)[:, None] * [0.0, 1.0, 0.0]
    handle = tube(middle[:, None] + circle)
    return Thing(merged([lathe(sharp([*outside, *inside])), handle]), 1.55 * radius, height)


def sphere(rng: np.random.Generator) -> Thing:
    """A ball or a fruit."""
    radius = float(rng.uniform(0.018, 0.05))
    return Thing(ball(radius), radius, 2 * radius)


STANDING: tuple[Callable[[np.random.Generator], Thing], ...] = (carton, book, can, bottle, mug, sphere)


def _cylinder(radius: float, height: float) -> Shape:
    return lathe(sharp([(0.0, 0.0), (radius, 0.0), (radius, height), (0.0, height)]))


@dataclass(frozen=True)
class Grip:
    """Where something of a given cross-section fits into a hand, in the wrist frame of a right hand."""

    kind: str  # "round", "square" or "ball"
    frame: np.ndarray  # (3, 3) columns: two directions of the cross-section, then the axis
    center: np.ndarray  # (3,) metres
    size: float  # metres, radius or half the thickness
    aspect: float  # of a square section: half its second side over `size`

    def gauge(self, points: np.ndarray, center: np.ndarray | None = None) -> np.ndarray:
        """Points (..., 3): the size of the cross-section about the centre that would just reach them."""
        local = (points - (self.center if center is None else center)) @ self.frame
        if self.kind == "ball":
            return np.linalg.norm(local, axis=-1)
        if self.kind == "round":
            return np.hypot(local[..., 0], local[..., 1])
        return np.maximum(np.abs(local[..., 0]), np.abs(local[..., 1]) / self.aspect)


def find_grip(rng: np.random.Generator, vertices: np.ndarray, joints: np.ndarray) -> Grip | None:
    """The largest thing that fits between palm, thumb and fingers of a right hand (1609, 3), (21, 3), wrist frame."""
    kind = str(rng.choice(["round", "square", "ball"], p=[0.45, 0.40, 0.15]))
    tilt = Rotation.from_euler("yz", rng.normal(0.0, 14.0, 2), degrees=True).as_matrix()
    axis = tilt @ np.array([1.0, 0.0, 0.0])  # across the palm
    first = np.array([0.0, -1.0, 0.0]) - axis * -axis[1]
    first = first / np.linalg.norm(first)
    turn = rng.normal(0.0, 0.2) if kind == "square" else 0.0
    frame = np.stack([first, np.cross(axis, first), axis], axis=-1) @ Rotation.from_euler("z", turn).as_matrix()
    grip = Grip(kind, frame, np.zeros(3), 0.0, float(rng.uniform(0.6, 1.5)))
    palm = 0.5 * (joints[5] + joints[17]) - [0.0, 0.015, 0.0]
    seed = 0.20 * joints[4] + 0.15 * (joints[8] + joints[12]) + 0.5 * palm
    largest = rng.uniform(0.022, 0.045)
    steps = np.linspace(-0.03, 0.03, 11)
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)
    centers = seed + grid @ frame[:, :2].T
    sizes = np.array([min(largest, grip.gauge(vertices[::2], center).min()) for center in centers])
    best = int(np.argmax(sizes - 0.2 * np.linalg.norm(grid, axis=1)))
    size = float(min(largest, grip.gauge(vertices, centers[best]).min())) - 0.0005
    return replace(grip, center=centers[best], size=size) if size >= _SMALLEST_HELD else None


def held_thing(rng: np.random.Generator, grip: Grip, low: float, high: float) -> Shape:
    """The thing in the grip, from `low` to `high` metres along its axis, in the right hand's wrist frame."""
    if grip.kind == "ball":
        shape = ball(grip.size).moved(np.eye(3), np.array([0.0, 0.0, -grip.size]))
    elif grip.kind == "square":
        shape = box((2 * grip.size, 2 * grip.size * grip.aspect, high - low)).moved(
            np.eye(3), np.array([0.0, 0.0, low])
        )
    else:
        shape = _held_lathe(rng, grip.size, high - low).moved(np.eye(3), np.array([0.0, 0.0, low]))
    return replace(shape.moved(grip.frame, grip.center), label=OBJECT_LABEL)


def _held_lathe(rng: np.random.Generator, radius: float, length: float) -> Shape:
    if rng.random() < 0.5 or length < 0.12:
        return _cylinder(radius, length)
    neck = radius * rng.uniform(0.3, 0.6)
    profile = [(0.0, 0.0), (radius, 0.0), (radius, 0.72 * length), (neck, 0.86 * length), (neck, length), (0.0, length)]
    shape = lathe(sharp(profile))
    if rng.random() < 0.5:
        turn = np.diag([1.0, -1.0, -1.0])
        shape = shape.moved(turn, np.array([0.0, 0.0, length]))
    return shape


def free_span(rng: np.random.Generator, grip: Grip, others: np.ndarray) -> tuple[float, float] | None:
    """How far the thing may reach along its axis without touching `others` (P, 3), same frame; None: it has no room."""
    if grip.kind == "ball":
        free = len(others) == 0 or grip.gauge(others).min() > grip.size + 0.003
        return (-grip.size, grip.size) if free else None
    low, high = -rng.uniform(0.03, 0.11), rng.uniform(0.03, 0.14)
    if len(others):
        along = (others - grip.center) @ grip.frame[:, 2]
        inside = along[grip.gauge(others) < grip.size + 0.004]
        if (np.abs(inside) < 0.03).any():
            return None
        low = max(low, float(inside[inside < 0].max(initial=-1.0)) + 0.005)
        high = min(high, float(inside[inside > 0].min(initial=1.0)) - 0.005)
    return low, high


def mirrored(shape: Shape) -> Shape:
    """The shape in a mirror across x = 0."""
    flip = np.array([-1.0, 1.0, 1.0])
    normals = None if shape.normals is None else shape.normals * flip
    return replace(
        shape, vertices=shape.vertices * flip, faces=shape.faces[:, ::-1], uv=shape.uv[:, ::-1], normals=normals
    )
