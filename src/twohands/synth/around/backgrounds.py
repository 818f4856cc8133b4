"""The background close behind the hands: a wall, partition or monitor; a lap or a floor where there is no table.

Built in level axes like `surroundings`: the camera is the origin, x right, y forward, z up, metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from twohands.synth.acts.placement import Staging
from twohands.synth.around.surroundings import GAP, Occupied, Top
from twohands.synth.rendering.shapes import ROOM_LABEL, Shape, about_up, box, tube
from twohands.synth.things import prints, textures
from twohands.synth.things.objects import Thing
from twohands.synth.things.palette import Palette

_WALL_DISTANCE = (0.15, 2.8)
"""Range of the distance in metres from the camera to a wall near the hands. Farther walls belong to the room."""
_FLOOR_TO_TABLE = 0.75  # metres


def wall_behind(
    rng: np.random.Generator,
    occupied: Occupied,
    placed: Sequence[tuple[np.ndarray, Thing]] | None,
    palette: Palette,
) -> tuple[list[Shape], np.ndarray]:
    """Return a wall, or on a table also a partition or monitor, behind or beside the person, and points (P, 3) in it.

    `placed` holds the objects on the table, None without a table. Both results are empty if something is in the way.
    """
    turn = np.radians(rng.choice([0.0, 75.0, -75.0], p=[0.6, 0.2, 0.2]) + rng.normal(0.0, 14.0))
    rotation = about_up(turn)
    facing, aside = rotation[:, 1], rotation[:, 0]
    people = occupied.points if len(occupied.points) else occupied.center[None]
    distance = float((people @ facing).max()) + rng.uniform(0.02, 0.30)
    crossed = any(abs(spot @ facing[:2] - distance) < thing.radius + 0.06 for spot, thing in placed or ())
    if crossed or not _WALL_DISTANCE[0] < distance < _WALL_DISTANCE[1]:
        return [], np.zeros((0, 3))
    kind = rng.random() if placed is not None else 0.0
    if kind < 0.5:
        width, thick, height, base = 4.0, 0.02, 2.2, occupied.height - _FLOOR_TO_TABLE
    elif kind < 0.75:
        width, thick, height, base = rng.uniform(0.5, 1.4), 0.03, rng.uniform(0.25, 0.6), occupied.height + 0.001
    else:
        width, thick, height, base = rng.uniform(0.3, 0.6), 0.02, rng.uniform(0.2, 0.36), occupied.height + 0.09
    middle = facing * (distance + 0.5 * thick) + aside * (occupied.center @ aside + rng.normal(0.0, 0.12))
    middle[2] = base
    panel = box((width, thick, height))
    if kind < 0.75:
        panel = replace(panel, uv=panel.uv * max(1.0, width))
        number = palette.add(palette.surface(rng, textures.room), 0.0, 8.0, rng.uniform(0.1, 0.9))
        parts = [replace(panel, material=number)]
    else:
        foot = [(0.2, 0.12, 0.012, 0.0), (0.04, 0.02, 0.15, 0.0)]
        stand = [box(size[:3]).moved(np.eye(3), np.array([0.0, 0.025, -0.088 + size[3]])) for size in foot]
        dark = palette.add(prints.metal(rng), 0.1, 30.0, rng.uniform(0.05, 0.5))
        parts = [replace(panel, material=palette.add(prints.screen(rng), 0.15, 60.0, 0.1))]
        parts += [replace(part, material=dark) for part in stand]
    across, up = np.meshgrid(np.linspace(-0.5, 0.5, 41) * min(width, 1.6), np.arange(-0.02, 0.6, 0.04))
    grid = np.stack([across, np.zeros_like(across), occupied.height - base + up], axis=-1).reshape(-1, 3)
    shapes = [replace(part.moved(rotation, middle), label=ROOM_LABEL) for part in parts]
    return shapes, grid @ rotation.T + middle


def ground_without_table(
    rng: np.random.Generator, staging: Staging, occupied: Occupied, palette: Palette
) -> tuple[Top | None, Occupied, list[Shape]]:
    """Return a lap, floor or wall: its top for objects (or None), the occupied space with its height, and shapes."""
    kind = rng.random()
    if kind < 0.45 and staging.egocentric:
        return None, occupied, _lap(rng, occupied, palette)
    if kind < 0.75:
        return _floor(rng, occupied, palette)
    shapes, _ = wall_behind(rng, occupied, None, palette)
    return None, occupied, shapes


def _floor(rng: np.random.Generator, occupied: Occupied, palette: Palette) -> tuple[Top | None, Occupied, list[Shape]]:
    """Return a floor or bed that reaches beyond the picture, below all arms."""
    lowest = float(occupied.points[:, 2].min(initial=occupied.height))
    height = lowest - rng.uniform(0.01, 0.25)
    forward = occupied.forward
    middle = np.array([*occupied.center[:2], height])
    top = Top(middle, np.cross(forward, [0.0, 0.0, 1.0]), forward, np.array([-2.5, -2.5]), np.array([2.5, 2.5]))
    painter = textures.room if rng.random() < 0.6 else textures.cloth
    number = palette.add(palette.surface(rng, painter), 0.0, 8.0, rng.uniform(0.15, 0.9))
    surface = top.rectangle(0.0, rng.uniform(0.8, 3.0))
    return top, replace(occupied, height=height), [replace(surface, material=number, label=ROOM_LABEL)]


def _lap(rng: np.random.Generator, occupied: Occupied, palette: Palette) -> list[Shape]:
    """Return thighs and shins of the person with the head camera, lowered until no hand or elbow is in them."""
    forward = occupied.forward
    right = np.cross(forward, [0.0, 0.0, 1.0])
    up = np.array([0.0, 0.0, 1.0])
    hip_height, long, thick = -rng.uniform(0.55, 0.68), rng.uniform(0.42, 0.52), rng.uniform(0.08, 0.11)
    hips = rng.uniform(-0.02, 0.10) * forward + hip_height * up
    legs = []
    for sign in (-1.0, 1.0):
        hip = hips + sign * 0.105 * right
        knee = hip + long * forward + sign * rng.uniform(-0.02, 0.10) * right + rng.uniform(-0.04, 0.06) * up
        foot = knee - rng.uniform(0.36, 0.44) * up - rng.uniform(-0.1, 0.15) * forward
        bend = (knee - 0.02 * forward + 0.01 * up, knee + 0.015 * forward - 0.03 * up)
        legs.append(np.array([hip - 0.05 * forward, 0.5 * (hip + knee), *bend, 0.5 * (knee + foot), foot]))
    drop = max(_needed_drop(occupied.points, leg[0], leg[2], thick) for leg in legs)
    number = palette.add(textures.cloth(rng), 0.0, 8.0, rng.uniform(0.05, 0.8))
    return [replace(_leg(leg - drop * up, thick, right), material=number, label=ROOM_LABEL) for leg in legs]


def _needed_drop(points: np.ndarray, start: np.ndarray, end: np.ndarray, thick: float) -> float:
    """Return the metres by which a thigh must be lower to pass under all points (P, 3) above it."""
    if not len(points):
        return 0.0
    axis = end - start
    share = np.clip((points - start)[:, :2] @ axis[:2] / (axis[:2] @ axis[:2]), 0, 1)
    on_axis = start + share[:, None] * axis
    above = np.linalg.norm((points - on_axis)[:, :2], axis=1) < thick + GAP
    return float((on_axis[above, 2] + thick + GAP - points[above, 2]).max(initial=0.0))


def _leg(path: np.ndarray, thick: float, right: np.ndarray) -> Shape:
    """Return a trouser leg along a path (6, 3)."""
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.cross(right, tangent)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    side = np.cross(tangent, normal)
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.cos(turn)[:, None] * side[:, None] + np.sin(turn)[:, None] * normal[:, None]
    radius = thick * np.array([1.05, 1.0, 0.86, 0.78, 0.64, 0.50])
    return tube(path[:, None] + radius[:, None, None] * ring, u_repeat=2.0, v_scale=4.0)
