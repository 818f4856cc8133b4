"""The table, the objects on it, and the room, around a person who is already placed.

Built in level axes with the camera as the origin: x right, y forward, z up, metres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.synth.config import SynthConfig
from twohands.synth.rendering.shapes import OBJECT_LABEL, ROOM_LABEL, TABLE_LABEL, Shape, about_up, box, rectangle
from twohands.synth.things import objects, textures
from twohands.synth.things.objects import Thing
from twohands.synth.things.palette import Palette

GAP = 0.008  # metres between objects and people
_LARGEST_OCCLUDER = 0.30  # metres


@dataclass(frozen=True)
class Occupied:
    """The occupied space before the table is placed, in level axes."""

    points: np.ndarray  # (P, 3) points of the person and of held objects
    hands: tuple[np.ndarray, ...]  # (1609, 3) vertices of every hand
    center: np.ndarray  # (3,) centre of the hands' action
    forward: np.ndarray  # (3,) the person's viewing direction
    height: float  # height of the table


@dataclass(frozen=True)
class Top:
    """A table top, on which objects may stand."""

    middle: np.ndarray  # (3,) a point on the top
    right: np.ndarray  # (3,) unit vectors along its sides
    forward: np.ndarray
    low: np.ndarray  # (2,) metres along right and forward from `middle`
    high: np.ndarray

    def holds(self, spot: np.ndarray, radius: float) -> bool:
        """Return True if an object of this radius stands safely at a spot, or at all spots (..., 2)."""
        place = (spot - self.middle[:2]) @ np.array([self.right, self.forward])[:, :2].T
        return bool((place > self.low + radius).all() and (place < self.high - radius).all())

    def rectangle(self, height: float, repeat: float) -> Shape:
        """Return the top, raised by `height`, with its texture repeated `repeat` times per metre."""
        (left, near), (wide, deep) = self.low, self.high - self.low
        corner = self.middle + near * self.forward + left * self.right + [0.0, 0.0, height]
        return rectangle(corner, wide * self.right, deep * self.forward, (repeat * wide, repeat * deep))


@dataclass(frozen=True)
class Table:
    """A table and the objects on it."""

    top: Top
    placed: tuple[tuple[np.ndarray, Thing], ...]  # spots (2,) and the objects that stand there
    surfaces: tuple[Shape, ...]  # the table and its cloth
    things: tuple[Shape, ...]

    @property
    def shapes(self) -> list[Shape]:
        """All shapes of the table, for rendering."""
        return [*self.surfaces, *self.things]


def set_table(rng: np.random.Generator, config: SynthConfig, occupied: Occupied, palette: Palette) -> Table:
    """Return a table, sometimes with a cloth, and objects on it."""
    top = _place_table(rng, occupied)
    surfaces = _table_shapes(rng, top, palette)
    placed = _standing_things(rng, config, occupied, top, palette)
    things = [stood(rng, spot, thing, occupied.height, palette) for spot, thing in placed]
    return Table(top, tuple(placed), tuple(surfaces), tuple(things))


def _place_table(rng: np.random.Generator, occupied: Occupied) -> Top:
    """Return a table top. Its near edge leaves room for elbows that hang lower than the table."""
    forward = occupied.forward
    right = np.cross(forward, [0.0, 0.0, 1.0])
    middle = np.array([*occupied.center[:2], occupied.height])
    below = occupied.points[occupied.points[:, 2] < occupied.height + 0.004]
    near = max(-rng.uniform(0.18, 0.55), float(((below - middle) @ forward).max(initial=-1.0)) + 0.02)
    far, left, wide = rng.uniform(0.35, 1.0), -rng.uniform(0.5, 1.0), rng.uniform(1.1, 2.0)
    return Top(middle, right, forward, np.array([left, min(near, -0.02)]), np.array([left + wide, far]))


def _table_shapes(rng: np.random.Generator, top: Top, palette: Palette) -> list[Shape]:
    material = palette.add(
        palette.surface(rng, textures.table_top), rng.uniform(0.0, 0.15), rng.uniform(15, 60), rng.uniform(0.25, 0.9)
    )
    repeat = rng.uniform(1.5, 4.0)
    surface = top.rectangle(0.0, repeat)
    edge = rectangle(
        surface.vertices[0] - [0, 0, 0.03],
        surface.vertices[1] - surface.vertices[0],
        np.array([0, 0, 0.03]),
        (4.0, 0.1),
    )
    shapes = [replace(shape, material=material, label=TABLE_LABEL) for shape in (surface, edge)]
    if rng.random() < 0.35:
        turn, width = rng.normal(0.0, 0.12), rng.uniform(0.3, 0.6)
        x = np.cos(turn) * top.right + np.sin(turn) * top.forward
        y = np.cos(turn) * top.forward - np.sin(turn) * top.right
        depth = top.high[1] - top.low[1] - 0.02
        corner = top.middle + (top.low[1] + 0.01) * top.forward + rng.normal(-0.5 * width, 0.1) * top.right
        repeat = rng.uniform(2.0, 5.0)
        cloth = rectangle(corner + [0, 0, 0.0015], width * x, depth * y, (repeat * width, repeat * depth))
        painter = textures.plaid if rng.random() < 0.6 else textures.cloth
        number = palette.add(palette.surface(rng, painter), 0.0, 8.0, rng.uniform(0.3, 0.9))
        shapes.append(replace(cloth, material=number, label=TABLE_LABEL))
    return shapes


def _standing_things(
    rng: np.random.Generator, config: SynthConfig, occupied: Occupied, top: Top, palette: Palette
) -> list[tuple[np.ndarray, Thing]]:
    """Return spots (2,) and objects that touch neither people nor each other; first an occluder, where drawn."""
    placed: list[tuple[np.ndarray, Thing]] = []
    level = config.level_shoulders and bool(occupied.hands)  # from outside, whatever stands about may hide the hands

    def fits(spot: np.ndarray, thing: Thing) -> bool:
        return top.holds(spot, thing.radius) and has_room(spot, thing, occupied, placed)

    if occupied.hands and rng.random() < config.occluder:
        for _ in range(30):
            spot, thing = _in_front_of_a_hand(rng, occupied)
            if thing is not None and fits(spot, thing) and _cover(spot, thing, occupied) <= config.largest_cover:
                placed.append((spot, thing))
                break
    for _ in range(int(rng.integers(0, 6))):
        thing = some_thing(rng, objects.STANDING, palette)
        spot = occupied.center[:2] + rng.normal(0.0, [0.22, 0.16])
        if fits(spot, thing) and (not level or _cover(spot, thing, occupied) <= config.largest_cover):
            placed.append((spot, thing))
    return placed


def some_thing(
    rng: np.random.Generator, makers: Sequence[Callable[[np.random.Generator], Thing]], palette: Palette
) -> Thing:
    """Return an object of a random maker, or a stored model for the fraction of objects that the config sets."""
    if palette.assets is not None and palette.models and rng.random() < palette.models:
        return palette.assets.model(rng)
    return makers[int(rng.integers(len(makers)))](rng)


def stood(rng: np.random.Generator, spot: np.ndarray, thing: Thing, height: float, palette: Palette) -> Shape:
    """Return the object at a spot (2,) on a surface of this height, turned at random, with a material."""
    standing = thing.shape.moved(about_up(rng.uniform(0, 2 * np.pi)), np.array([*spot, height + 0.002]))
    return replace(standing, material=palette.add_thing(rng, thing.texture), label=OBJECT_LABEL)


def _in_front_of_a_hand(rng: np.random.Generator, occupied: Occupied) -> tuple[np.ndarray, Thing | None]:
    """Return a spot (2,) and an object with its upper part on the line of sight to a random point of a hand."""
    hand = occupied.hands[int(rng.integers(len(occupied.hands)))]
    point = hand[int(rng.integers(len(hand)))] * rng.uniform(0.70, 0.93)
    tall = float(point[2] - occupied.height + rng.uniform(0.0, 0.04))
    if not 0.03 < tall < _LARGEST_OCCLUDER:
        return point[:2], None
    makers = (objects.carton, objects.bottle) if tall > 0.13 else (objects.carton, objects.can, objects.mug)
    thing = makers[int(rng.integers(len(makers)))](rng)
    stretched = replace(thing.shape, vertices=thing.shape.vertices * [1.0, 1.0, tall / thing.height])
    return point[:2], Thing(stretched, thing.radius, tall)


def _cover(spot: np.ndarray, thing: Thing, occupied: Occupied) -> float:
    """Return the largest fraction of a hand's vertices seen through the upright cylinder around an object."""
    covers = []
    for hand in occupied.hands:
        along = np.linspace(0.5, 1.0, 26)[:, None, None] * hand[::8]  # (26, V, 3) on the lines of sight
        inside = np.linalg.norm(along[..., :2] - spot, axis=-1) < 0.9 * thing.radius
        inside &= along[..., 2] < occupied.height + thing.height
        covers.append(float(inside.any(axis=0).mean()))
    return max(covers)


def has_room(spot: np.ndarray, thing: Thing, occupied: Occupied, placed: Sequence[tuple[np.ndarray, Thing]]) -> bool:
    """Return True if an object at a spot (2,) of the table touches neither the person nor placed objects."""
    near = np.linalg.norm(occupied.points[:, :2] - spot, axis=1) < thing.radius + GAP
    if (occupied.points[near, 2] < occupied.height + thing.height + GAP).any():
        return False
    return all(np.linalg.norm(spot - other) > thing.radius + taken.radius + 0.5 * GAP for other, taken in placed)


def room(rng: np.random.Generator, table_height: float, nearest: float, palette: Palette) -> list[Shape]:
    """Return floor, two walls and furniture. Walls and centres of furniture are at least `nearest` metres away."""
    far, aside = rng.uniform(nearest, 3.5), rng.uniform(nearest, 3.2) * rng.choice([-1.0, 1.0])
    x, y, z = np.eye(3)
    shapes = [
        rectangle(np.array([-5.0, -3.0, 0]), 10 * x, (far + 3) * y, (8.0, 6.0)),
        rectangle(np.array([-5.0, far, 0]), 10 * x, 3 * z, (6.0, 2.0)),
        rectangle(np.array([aside, -3.0, 0]), (far + 3) * y, 3 * z, (6.0, 2.0)),
    ]
    stored: list[Shape] = []
    for _ in range(int(rng.integers(1, 6))):
        spot = np.array([rng.uniform(-1.5, 1.5), rng.uniform(nearest, far), 0.0])
        if palette.assets is not None and palette.models and rng.random() < palette.models:
            piece = palette.assets.furniture(rng)
            standing = piece.shape.moved(about_up(rng.uniform(0, 2 * np.pi)), spot + piece.radius * y)
            stored.append(replace(standing, material=palette.add_thing(rng, piece.texture)))
            continue
        width, depth, height = rng.uniform([0.2, 0.2, 0.3], [0.9, 0.6, 1.4])
        shapes.append(box((width, depth, height)).moved(np.eye(3), spot))
    turn, down = about_up(rng.uniform(-0.6, 0.6)), np.array([0.0, 0.0, table_height - rng.uniform(0.60, 0.80)])
    numbers = [palette.add(palette.surface(rng, textures.room), 0.0, 8.0, rng.uniform(0.1, 0.9)) for _ in range(4)]
    shapes = [replace(shape, material=numbers[min(k, 3)]) for k, shape in enumerate(shapes)]
    return [replace(shape.moved(turn, down), label=ROOM_LABEL) for shape in (*shapes, *stored)]
