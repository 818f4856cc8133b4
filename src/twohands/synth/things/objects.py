"""Objects on the table, in a hand, and between the camera and a hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from twohands.synth.rendering.shapes import OBJECT_LABEL, Shape, ball, box, lathe, merged, sharp, tube
from twohands.synth.things import prints, textures

_LAID = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])  # turns the axis of an upright object to x
_SMALLEST_HELD = 0.009  # metres, smallest half thickness of a held object


@dataclass(frozen=True)
class Thing:
    """An object that stands on z = 0, and the upright cylinder around it, in metres."""

    shape: Shape
    radius: float
    height: float
    texture: np.ndarray | None = None  # (H, W, 3) uint8, the object's own texture; None: any texture


def carton(rng: np.random.Generator) -> Thing:
    """Return a standing box: a carton of milk or tea, or a phone's packaging."""
    width, depth, height = rng.uniform([0.05, 0.04, 0.07], [0.10, 0.09, 0.24])
    return Thing(box((width, depth, height)), float(np.hypot(width, depth) / 2), height)


def book(rng: np.random.Generator) -> Thing:
    """Return a flat, lying box."""
    width, depth, height = rng.uniform([0.10, 0.14, 0.006], [0.20, 0.27, 0.045])
    return Thing(box((width, depth, height)), float(np.hypot(width, depth) / 2), height)


def can(rng: np.random.Generator) -> Thing:
    """Return a closed cylinder."""
    radius, height = rng.uniform([0.022, 0.05], [0.042, 0.15])
    return Thing(_cylinder(radius, height), radius, height)


def bottle(rng: np.random.Generator) -> Thing:
    """Return a body with a shoulder and a neck with a cap."""
    radius, height = rng.uniform([0.026, 0.15], [0.042, 0.26])
    neck, body = radius * rng.uniform(0.3, 0.5), height * rng.uniform(0.55, 0.75)
    top = body + 0.5 * (height - body)
    profile = [(0.0, 0.0), (radius, 0.0), (radius, body), (0.8 * radius, body + 0.35 * (top - body)), (neck, top)]
    return Thing(lathe(sharp([*profile, (1.1 * neck, top), (1.1 * neck, height), (0.0, height)])), radius, height)


def mug(rng: np.random.Generator) -> Thing:
    """Return an open cup with a handle."""
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
    """Return a ball or a fruit."""
    radius = float(rng.uniform(0.018, 0.05))
    return Thing(ball(radius), radius, 2 * radius)


def bowl(rng: np.random.Generator) -> Thing:
    """Return an open round vessel, wider than high."""
    radius, height = rng.uniform([0.05, 0.035], [0.11, 0.085])
    rise = np.linspace(0.0, 1.0, 6)
    wide = radius * (0.45 + 0.55 * rise ** rng.uniform(0.4, 0.8))
    dish = _vessel([(0.0, 0.0), *zip(wide, height * rise, strict=True)], 0.004)
    return Thing(_seen_from_above(dish, radius), radius, height)


def plate(rng: np.random.Generator) -> Thing:
    """Return a flat dish with a raised rim."""
    radius, height = rng.uniform([0.07, 0.012], [0.14, 0.028])
    dish = _vessel([(0.0, 0.0), (0.62 * radius, 0.0), (radius, height)], 0.004)
    return Thing(_seen_from_above(dish, radius), radius, height)


def cup(rng: np.random.Generator) -> Thing:
    """Return a beaker without a handle."""
    radius, height = rng.uniform([0.03, 0.06], [0.045, 0.13])
    foot = radius * rng.uniform(0.65, 1.0)
    return Thing(_vessel([(0.0, 0.0), (foot, 0.0), (radius, height)], 0.0025), radius, height)


def jar(rng: np.random.Generator) -> Thing:
    """Return a wide body with a lid."""
    radius, height = rng.uniform([0.028, 0.06], [0.05, 0.15])
    lid, neck = 0.9 * radius, height - rng.uniform(0.012, 0.02)
    body = [(0.0, 0.0), (radius, 0.0), (radius, 0.9 * neck), (0.85 * radius, neck)]
    return Thing(lathe(sharp([*body, (lid, neck), (lid, height), (0.0, height)])), radius, height)


def wine_glass(rng: np.random.Generator) -> Thing:
    """Return an opaque glass with a foot, a stem and a bulge."""
    radius, height = rng.uniform([0.03, 0.14], [0.045, 0.22])
    stem, middle, rim = 0.42 * height, 0.68 * height, 0.8 * radius
    foot = [(0.0, 0.0), (0.9 * radius, 0.0), (0.9 * radius, 0.003), (0.004, 0.010), (0.004, stem)]
    outside = [(0.75 * radius, stem + 0.2 * (height - stem)), (radius, middle), (rim, height)]
    inside = [(rim - 0.002, height), (radius - 0.002, middle), (0.7 * radius, stem + 0.22 * (height - stem))]
    return Thing(lathe([*sharp(foot), *outside, *inside, (0.0, stem + 0.01)]), radius, height)


def pen(rng: np.random.Generator) -> Thing:
    """Return a lying pen or pencil."""
    radius, length = rng.uniform([0.0035, 0.11], [0.006, 0.17])
    profile = sharp([(0.0, 0.0), (0.2 * radius, 0.0), (radius, 0.016), (radius, length), (0.0, length)])
    shape = lathe(profile, 12).moved(_LAID, np.array([-0.5 * length, 0.0, radius]))
    return Thing(shape, 0.5 * length + radius, 2 * radius)


def scissors(rng: np.random.Generator) -> Thing:
    """Return two crossed bars with a ring each, like scissors and pliers."""
    length, angle = rng.uniform(0.12, 0.21), rng.uniform(0.08, 0.45)
    turn = np.linspace(0, 2 * np.pi, 17)
    around = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=-1)
    circle = np.linspace(0, 2 * np.pi, 6, endpoint=False)
    rings = 0.004 * (np.cos(circle)[:, None] * around[:, None] + np.sin(circle)[:, None] * [0.0, 0.0, 1.0])
    handle = tube(rings + (around * [0.022, 0.015, 0.0])[:, None])
    parts = []
    for k, sign in enumerate((1.0, -1.0)):
        blade = box((0.8 * length, 0.011, 0.003)).moved(np.eye(3), np.array([0.05 * length, 0.0, 0.003 * k]))
        ring = handle.moved(np.eye(3), np.array([-0.35 * length - 0.02, sign * 0.012, 0.0035]))
        about = Rotation.from_euler("z", 0.5 * sign * angle).as_matrix()
        parts += [part.moved(about, np.zeros(3)) for part in (blade, ring)]
    return Thing(merged(parts), 0.36 * length + 0.05, 0.007, prints.metal(rng))


def phone(rng: np.random.Generator) -> Thing:
    """Return a flat box with a picture on its glass."""
    width, depth, height = rng.uniform([0.062, 0.13, 0.007], [0.08, 0.165, 0.011])
    return Thing(box((width, depth, height)), float(np.hypot(width, depth) / 2), height, prints.screen(rng))


def keyboard(rng: np.random.Generator) -> Thing:
    """Return a flat box with rows of keys."""
    width, depth, height = rng.uniform([0.26, 0.10, 0.010], [0.44, 0.15, 0.025])
    return Thing(box((width, depth, height)), float(np.hypot(width, depth) / 2), height, prints.keys(rng))


def mouse(rng: np.random.Generator) -> Thing:
    """Return a low dome, longer than wide."""
    angle = np.linspace(0, np.pi / 2, 9)
    dome = lathe([(0.0, 0.0), (1.0, 0.0), *zip(np.cos(angle), np.sin(angle) ** 0.7, strict=True)])
    wide, long, high = rng.uniform([0.026, 0.045, 0.026], [0.034, 0.06, 0.04])
    return Thing(stretched(dome, (wide, long, high)), long, high, prints.metal(rng))


def fruit(rng: np.random.Generator) -> Thing:
    """Return a round shape between an apple, a pear and a lemon, or a banana."""
    if rng.random() < 0.2:
        return _banana(rng)
    radius, slant, tall = rng.uniform([0.02, -0.4, 0.8], [0.045, 0.15, 1.4])
    angle = np.linspace(-np.pi / 2, np.pi / 2, 15)
    wide = radius * np.cos(angle) * (1 + slant * np.sin(angle))
    body = lathe(list(zip(wide, radius * tall * (1 + np.sin(angle)), strict=True)), 24)
    return Thing(body, float(wide.max()), 2 * radius * tall, textures.fruit_skin(rng))


def _banana(rng: np.random.Generator) -> Thing:
    bend, thick = rng.uniform(0.07, 0.12), rng.uniform(0.014, 0.019)
    turn = np.linspace(-0.85, 0.85, 13)
    outward = np.stack([np.sin(turn), np.cos(turn), 0 * turn], axis=-1)
    circle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    wide = thick * np.clip(1.15 - np.abs(turn) ** 4 * 2.0, 0.05, 1.0)
    flat = np.cos(circle)[:, None] * outward[:, None] + np.sin(circle)[:, None] * [0.0, 0.0, 1.0]
    shape = tube(bend * outward[:, None] + wide[:, None, None] * flat)
    return Thing(
        shape.moved(np.eye(3), np.array([0.0, -0.8 * bend, thick])), 0.95 * bend, 2 * thick, textures.fruit_skin(rng)
    )


STANDING: tuple[Callable[[np.random.Generator], Thing], ...] = (carton, book, can, bottle, mug, sphere)
CLUTTER = (*STANDING, bowl, plate, cup, jar, wine_glass, pen, pen, scissors, phone, keyboard, mouse, fruit)
"""Objects that are common where people work and eat."""
ROUNDISH = (can, bottle, mug, sphere, bowl, cup, jar, fruit)


def stretched(shape: Shape, scale: tuple[float, float, float]) -> Shape:
    """Return the shape enlarged by a factor along each axis."""
    normals = shape.normals
    if normals is not None:
        normals = normals / np.array(scale)
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return replace(shape, vertices=shape.vertices * np.array(scale), normals=normals)


def _seen_from_above(shape: Shape, radius: float) -> Shape:
    """Return the shape with its texture projected onto it from above, without repetition."""
    return replace(shape, uv=0.5 + shape.vertices[shape.faces][..., :2] / (2 * radius))


def _vessel(outside: list[tuple[float, float]], wall: float) -> Shape:
    """Return an open vessel of constant wall from its outer profile, centre of the bottom first."""
    inside = [(max(radius - wall, 0.0), max(height, wall)) for radius, height in reversed(outside[1:])]
    return lathe(sharp([*outside, *inside, (0.0, wall)]))


def _cylinder(radius: float, height: float) -> Shape:
    return lathe(sharp([(0.0, 0.0), (radius, 0.0), (radius, height), (0.0, height)]))


@dataclass(frozen=True)
class Grip:
    """The place where an object of a given cross-section fits into a hand, in the wrist frame of a right hand."""

    kind: str  # "round", "square" or "ball"
    frame: np.ndarray  # (3, 3) columns: two directions of the cross-section, then the axis
    center: np.ndarray  # (3,) metres
    size: float  # metres, radius or half of the thickness
    aspect: float  # square sections only: half of the second side over `size`

    def gauge(self, points: np.ndarray, center: np.ndarray | None = None) -> np.ndarray:
        """Return for points (..., 3) the size at which the cross-section about the centre would just reach them."""
        local = (points - (self.center if center is None else center)) @ self.frame
        if self.kind == "ball":
            return np.linalg.norm(local, axis=-1)
        if self.kind == "round":
            return np.hypot(local[..., 0], local[..., 1])
        return np.maximum(np.abs(local[..., 0]), np.abs(local[..., 1]) / self.aspect)


def find_grip(rng: np.random.Generator, vertices: np.ndarray, joints: np.ndarray) -> Grip | None:
    """Return the largest grip inside a right hand (1609, 3), (21, 3) in the wrist frame, None if it is too small."""
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
    """Return the object in the grip, `low` to `high` metres along its axis, in the right hand's wrist frame."""
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
    """Return the ends of an object along its axis that keep clear of `others` (P, 3), same frame; None without room."""
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
    """Return the shape mirrored across x = 0."""
    flip = np.array([-1.0, 1.0, 1.0])
    normals = None if shape.normals is None else shape.normals * flip
    return replace(
        shape, vertices=shape.vertices * flip, faces=shape.faces[:, ::-1], uv=shape.uv[:, ::-1], normals=normals
    )
