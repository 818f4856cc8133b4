"""Household objects that a hand can hold: makers of a mesh, a solid and the holds it offers.

Objects have their own frames in metres, z along the object. A `Hold` states how a hand holds the object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from twohands.synth.acts.solids import Ball, Cuboid, Moved, Revolved, Rods, Solid, Union
from twohands.synth.rendering.shapes import Shape, ball, box, lathe, merged, sharp, tube

_X, _Y, _Z = np.eye(3)
_THINNEST = 0.0035
"""Least thickness of a solid in metres; the vertices of a finger would jump over a sheet of paper."""


@dataclass(frozen=True)
class Hold:
    """One way of holding an object, in the object's own frame.

    In a wrap (`width` None) `first` is the axis across the palm; in a pinch it goes from the thumb's side to the
    fingers'. `away` points out of the palm (wrap) or onwards from the finger tips (pinch).
    """

    grip: str
    """One of `grasp.GRIPS`."""
    point: np.ndarray  # (3,) metres, in the palm or between thumb and fingers
    first: np.ndarray  # (3,) unit vector
    away: np.ndarray  # (3,) unit vector, perpendicular to `first`
    width: float | None = None  # metres between thumb and fingers


@dataclass(frozen=True)
class Graspable:
    """An object with its holds."""

    kind: str
    shape: Shape
    solid: Solid
    holds: tuple[Hold, ...]


Maker = Callable[[np.random.Generator], Graspable]


def can(rng: np.random.Generator) -> Graspable:
    """Make a drink can, a tin or a jar, held around the body, by the finger tips, or from above."""
    radius, height = rng.uniform([0.025, 0.085], [0.040, 0.17])
    lid = height - rng.uniform(0.008, 0.02)
    holds = [*_around(rng, radius, height), _pinch("precision", lid, radius, -_Z)]
    return _revolved("can", [(0, 0), (radius, 0), (radius, height), (0, height)], holds)


def bottle(rng: np.random.Generator) -> Graspable:
    """Make a body, a shoulder and a neck with a cap."""
    radius, height = rng.uniform([0.025, 0.15], [0.040, 0.26])
    neck, body = radius * rng.uniform(0.35, 0.5), height * rng.uniform(0.55, 0.75)
    top = body + 0.5 * (height - body)
    profile = [(0, 0), (radius, 0), (radius, body), (0.8 * radius, body + 0.35 * (top - body)), (neck, top)]
    return _revolved(
        "bottle", [*profile, (1.1 * neck, top), (1.1 * neck, height), (0, height)], _around(rng, radius, body)
    )


def glass(rng: np.random.Generator) -> Graspable:
    """Make an open cup without a handle, a little wider at the rim."""
    radius, height = rng.uniform([0.027, 0.08], [0.036, 0.15])
    wide, wall = radius * rng.uniform(1.0, 1.25), 0.0025
    profile = [(0, 0), (radius, 0), (wide, height), (wide - wall, height), (radius - wall, 0.008), (0, 0.008)]
    return _full(_revolved("glass", profile, _around(rng, 0.5 * (radius + wide), height)), profile[:3])


def mug(rng: np.random.Generator) -> Graspable:
    """Make an open cup with a handle, held around the body or by the handle."""
    radius, height = rng.uniform([0.035, 0.08], [0.043, 0.11])
    profile = [(0, 0), (0.9 * radius, 0), (radius, 0.15 * height), (radius, height)]
    profile += [(radius - 0.004, height), (radius - 0.004, 0.1 * height), (0, 0.08 * height)]
    bow = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 9)
    out, thick = rng.uniform(0.028, 0.036), rng.uniform(0.0045, 0.006)
    middle = np.stack([0.97 * radius + out * np.cos(bow), 0 * bow, height * (0.5 + 0.36 * np.sin(bow))], axis=-1)
    outward = np.stack([np.cos(bow), 0 * bow, np.sin(bow)], axis=-1)
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    circle = thick * (np.cos(angle)[:, None] * outward[:, None] + np.sin(angle)[:, None] * _Y)
    cup = _full(_revolved("mug", profile, _around(rng, radius, height, turn=0.0)), profile[:4])
    handle = Rods(middle[:-1], middle[1:], np.full(8, thick))
    place = np.array([0.97 * radius + out, 0.0, height * rng.uniform(0.5, 0.68)])
    by_handle = [
        Hold(grip, place - 0.004 * _X, sign * _Y, -_X, 2 * thick) for grip in ("tripod", "key") for sign in (1, -1)
    ]
    return replace(
        cup,
        shape=merged([cup.shape, tube(middle[:, None] + circle)]),
        solid=Union((cup.solid, handle)),
        holds=(*cup.holds, *by_handle),
    )


def bowl(rng: np.random.Generator) -> Graspable:
    """Make a bowl or a plate, held by its rim with the thumb inside or outside."""
    wide, height = rng.uniform([0.055, 0.02], [0.085, 0.065])
    wall, foot = 0.0035, 0.4 * wide
    angle = np.linspace(0, np.pi / 2, 7)[1:]
    outside = np.stack([foot + (wide - foot) * np.sin(angle), height * (1 - np.cos(angle))], axis=-1)
    profile = [(0, 0), (foot, 0), *map(tuple, outside), *((max(r - wall, 0), z + 0.5 * wall) for r, z in outside[::-1])]
    down = outside[-1] - outside[-3]
    down = -np.array([down[0], 0.0, down[1]]) / np.linalg.norm(down)
    point = np.array([wide - 0.5 * wall, 0, height]) + rng.uniform(0.35, 0.6) * height * down
    across = np.cross(down, _Y)
    holds = [Hold(grip, point, sign * across, down, wall) for grip in ("rim", "rim", "tripod") for sign in (1, -1)]
    return _revolved("bowl", [*profile, (0, 0.5 * wall)], holds)


def block(rng: np.random.Generator) -> Graspable:
    """Make a carton, a tin box or a phone's packaging, held by two opposite sides."""
    thick, wide, height = rng.uniform([0.022, 0.03, 0.06], [0.055, 0.075, 0.17])
    return cuboid("block", np.array([thick, wide, height]))


def phone(rng: np.random.Generator) -> Graspable:
    """Make a telephone with its back in the palm, fingers and thumb around its long sides."""
    thick, wide, height = rng.uniform([0.0075, 0.066, 0.14], [0.011, 0.078, 0.165])
    point = np.array([0.0, 0.0, rng.uniform(-0.03, 0.0)])
    holds = (*3 * (Hold("flat", point, _Z, _X),), Hold("precision", point, _Y, _X, wide))
    return replace(cuboid("phone", np.array([thick, wide, height])), holds=holds)


def card(rng: np.random.Generator) -> Graspable:
    """Make a card, an envelope, a sheet or a slim book, held by thumb and side of the index finger, or by the pads."""
    thick = rng.uniform(0.001, 0.002) if rng.random() < 0.6 else rng.uniform(0.004, 0.02)
    wide, height = rng.uniform([0.05, 0.08], [0.11, 0.18])
    inwards = rng.uniform(0.010, 0.022)
    point = np.array([0.0, rng.uniform(-0.2, 0.2) * wide, 0.5 * height - inwards])
    grips = ("key", "key", "pinch", "rim", "rim") if thick < 0.01 else ("rim",)
    holds = tuple(Hold(grip, point, sign * _X, -_Z, max(thick, _THINNEST)) for grip in grips for sign in (1, -1))
    solid = Cuboid(0.5 * np.array([max(thick, _THINNEST), wide, height]))
    return replace(cuboid("card", np.array([thick, wide, height])), solid=solid, holds=holds)


def fruit(rng: np.random.Generator) -> Graspable:
    """Make a ball, an apple or an egg, held in the palm or between the finger tips."""
    radius = float(rng.uniform(0.018, 0.042))
    grips = ("tripod", "precision") if radius < 0.025 else ("sphere", "sphere", "precision")
    holds = tuple(Hold(g, np.zeros(3), _Z, _X, None if g == "sphere" else 2 * radius) for g in grips)
    return Graspable("fruit", ball(radius).moved(np.eye(3), np.array([0, 0, -radius])), Ball(radius), holds)


def pen(rng: np.random.Generator) -> Graspable:
    """Make a pen, a brush or a thin spoon, held as for writing or by the finger tips."""
    radius, length = rng.uniform([0.0035, 0.13], [0.0065, 0.19])
    profile = [(0, 0), (0.3 * radius, 0.003), (radius, 0.022), (radius, length - 0.002), (0, length)]
    point = np.array([0.0, 0.0, rng.uniform(0.030, 0.045)])
    middle = np.array([0.0, 0.0, rng.uniform(0.4, 0.6) * length])
    holds = [Hold("write", point, _X, -_Z, 2 * radius)] * 2
    holds += [Hold("tripod", middle, _X, _Y, 2 * radius), Hold("fist", middle, _Z, _X)]
    return _revolved("pen", profile, holds)


def tool(rng: np.random.Generator) -> Graspable:
    """Make a handle with a thinner or thicker end: a screwdriver, a hammer, a torch, a brush."""
    radius, handle = rng.uniform([0.009, 0.095], [0.018, 0.13])
    profile = [(0, 0), (0.8 * radius, 0), (radius, 0.01), (radius, 0.4 * handle), (0.88 * radius, 0.7 * handle)]
    profile += [(radius, handle)]
    if rng.random() < 0.6:
        shaft, length = rng.uniform([0.003, 0.05], [0.007, 0.13])
        profile += [(shaft, handle), (shaft, handle + length), (0, handle + length)]
    else:
        head, length = rng.uniform([1.1, 0.02], [1.9, 0.06]) * [radius, 1.0]
        profile += [(head, handle + 0.012), (head, handle + length), (0, handle + length)]
    point = np.array([0.0, 0.0, rng.uniform(0.42, 0.52) * handle])
    return _revolved("tool", profile, [Hold("fist", point, _Z * sign, _X) for sign in (1, 1, -1)])


def bag_handle(rng: np.random.Generator) -> Graspable:
    """Make the bow of a basket, a bucket or a case, hooked by the fingers."""
    radius, wide, drop = rng.uniform([0.007, 0.10, 0.05], [0.012, 0.13, 0.09])
    corners = np.array([[0, drop, -wide / 2], [0, 0, -wide / 2 + 0.02], [0, 0, wide / 2 - 0.02], [0, drop, wide / 2]])
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    circle = radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    side = np.array([[0, 0, -1.0], [0, -0.4, -0.9], [0, -0.4, 0.9], [0, 0, 1.0]])
    rings = corners[:, None] + circle[None, :, :1] * _X + circle[None, :, 1:] * side[:, None]
    body = np.array([0.03, 0.05, wide / 2 + 0.02])
    low = np.array([0.0, drop + body[1], 0.0])
    return Graspable(
        "bag",
        merged([tube(rings), box((2 * body).tolist()).moved(np.eye(3), low - [0, 0, body[2]])]),
        Union((Rods(corners[:-1], corners[1:], np.full(3, radius)), Moved(Cuboid(body), np.eye(3), low))),
        (Hold("hook", np.zeros(3), _Z, _Y), Hold("hook", np.zeros(3), -_Z, _Y)),
    )


def roll(rng: np.random.Generator) -> Graspable:
    """Make a foam tube, a paper roll or a rolled towel, held near its middle or near one end."""
    radius, length = rng.uniform([0.022, 0.20], [0.040, 0.42])
    holds = []
    for place in (0.5, rng.uniform(0.22, 0.35)):
        point = np.array([0.0, 0.0, place * length])
        holds += [Hold("wrap", point, sign * _Z, _X) for sign in (1, -1)]
    return _revolved("roll", [(0, 0), (radius, 0), (radius, length), (0, length)], holds)


MAKERS: tuple[Maker, ...] = (can, bottle, glass, mug, bowl, block, phone, card, fruit, pen, tool, bag_handle, roll)
LARGE_MAKERS: tuple[Maker, ...] = (can, bottle, glass, mug, block, roll, roll, roll)
"""Makers of things that hide most of the hand from their own side."""


def cuboid(kind: str, size: np.ndarray) -> Graspable:
    """Return a box of the given sides, with the holds that suit its sides."""
    shape = box(size.tolist()).moved(np.eye(3), np.array([0.0, 0.0, -0.5 * size[2]]))
    return Graspable(kind, shape, Cuboid(0.5 * size), _side_holds(size))


def _side_holds(size: np.ndarray) -> tuple[Hold, ...]:
    """Return the holds of a box (thickness, width, length) about the origin: around it, and by the finger tips."""
    thick, wide, _ = size
    holds = []
    if max(thick, wide) < 0.08:
        grip = "fist" if max(thick, wide) < 0.035 else "wrap"
        holds += [Hold(grip, np.zeros(3), s * _Z, a) for s in (1, -1) for a in ((_Y,) if thick < 0.03 else (_X, _Y))]
    if thick < 0.065:
        grips = ("tripod", "rim") if thick < 0.03 else ("precision",)
        holds += [Hold(g, np.zeros(3), s * _X, a, thick) for g in grips for s in (1, -1) for a in (_Y, -_Y)]
    return tuple(holds)


def _around(rng: np.random.Generator, radius: float, height: float, turn: float | None = None) -> list[Hold]:
    """Sample holds of an upright body, mostly by the whole hand; `turn` is the side away from the palm, None: any."""
    turn = rng.uniform(0, 2 * np.pi) if turn is None else turn + rng.normal(0.0, 0.25)
    away = np.array([np.cos(turn), np.sin(turn), 0.0])
    point = np.array([0.0, 0.0, height * rng.uniform(0.42, 0.58)])
    wraps = [Hold("wrap", point, sign * _Z, away) for sign in (1, 1, 1, -1)]
    return [*wraps, Hold("precision", point, np.cross(away, _Z), away, 2 * radius)]


def _pinch(grip: str, height: float, radius: float, away: np.ndarray) -> Hold:
    return Hold(grip, np.array([0.0, 0.0, height]), _X, away, 2 * radius)


def _full(cup: Graspable, outside: list) -> Graspable:
    """Return the cup with a solid as if it were full to the brim: no finger closes into it."""
    return replace(cup, solid=Revolved(np.array([*outside, (0.0, outside[-1][1])], dtype=np.float64)))


def _revolved(kind: str, profile: list, holds: list[Hold]) -> Graspable:
    return Graspable(kind, lathe(sharp(profile)), Revolved(np.array(profile, dtype=np.float64)), tuple(holds))
