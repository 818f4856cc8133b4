"""The scene of a frame: triangles, materials and light, built from its staging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.hands.free import free_hand
from twohands.synth.acts.placement import Staging
from twohands.synth.around.bystanders import pillars, stray_arms
from twohands.synth.around.clutter import clutter
from twohands.synth.around.surroundings import Occupied, Table, room, set_table
from twohands.synth.config import DEEPEST_COVER, SynthConfig
from twohands.synth.person.body import present_sides
from twohands.synth.person.dressed import NOBODY, Owned, dressed_person, held_thing, plain_person
from twohands.synth.rendering.light import sample_light, simple_light
from twohands.synth.rendering.render import Light, Materials, Surfaces
from twohands.synth.rendering.shapes import ROOM_LABEL, Shape, joined
from twohands.synth.things.palette import Palette
from twohands.types import TwoHands

_BEHIND_PERSON = 0.9  # metres from the hands of a person who may sit opposite or beside to the nearest wall
_WAIST = 0.75  # metres below the top of a head or torso; what is below stands behind or under a table
_BESIDE_LENS = 0.1  # metres in front of the camera; nearer points belong to an arm that leaves the picture

Streams = Callable[[str], np.random.Generator]
"""The generator of a part of the frame by the part's name. Parts do not disturb each other."""


@dataclass(frozen=True)
class Scene:
    """The input of the renderer and of the depth camera."""

    surfaces: Surfaces
    materials: Materials
    light: Light
    hands: TwoHands  # 1609 vertices a hand
    owner: np.ndarray  # (V,) the hand that a vertex moves with: NOBODY, LEFT + 1 or RIGHT + 1
    parts: tuple[str, ...]  # names of the engine's parts that this frame shows


def build_scene(streams: Streams, staging: Staging, config: SynthConfig) -> Scene:
    """Build the hands, arms, objects, table, room and light of a frame."""
    if streams("cover").random() < config.deep_cover:
        config = replace(config, largest_cover=DEEPEST_COVER)
    palette = Palette(config)
    hands = free_hand(1609)(staging.parameters())
    skins = np.asarray(hands.vertices, dtype=np.float64)  # (2, 1609, 3)
    rng = streams("scene")
    if config.skin:
        person = dressed_person(streams("person's look"), staging, skins, config, palette)
    else:
        person = plain_person(rng, staging, skins, config, palette)
    held = held_thing(rng, staging, skins, palette)
    level = _level(staging)
    occupied = _occupied(rng, config, staging, skins, [*held, *person], [o.shape.vertices for o in held])
    if config.skin:  # the arms continue beside the lens
        occupied = replace(occupied, points=occupied.points[(occupied.points @ level)[:, 2] > _BESIDE_LENS])
        torso = [o.shape.vertices @ level.T for o in person if o.shape.label == ROOM_LABEL]
        occupied = replace(occupied, points=np.concatenate([occupied.points, *(_upper(points) for points in torso)]))
    around = _surroundings(rng, streams, staging, config, occupied, palette)
    origin = np.zeros(3)
    owned = [*person, *held, *(replace(o, shape=o.shape.moved(level.T, origin)) for o in around)]
    light = sample_light(streams("light"), simple_light(rng, level, staging.center), level, config)
    return Scene(
        surfaces=joined([o.shape for o in owned]),
        materials=palette.materials(),
        light=light,
        hands=hands,
        owner=np.repeat([o.owner for o in owned], [len(o.shape.vertices) for o in owned]),
        parts=_parts(staging, owned, light),
    )


def hand_alone(scene: Scene, side: int) -> Surfaces:
    """Return only one hand of the scene, for the pixels that it would cover if nothing hid it."""
    s = scene.surfaces
    kept = np.nonzero(s.label == side)[0]
    return s._replace(faces=s.faces[kept], uv=s.uv[kept], material=s.material[kept], label=s.label[kept])


def _parts(staging: Staging, owned: Sequence[Owned], light: Light) -> tuple[str, ...]:
    seen = dict.fromkeys(o.part for o in owned if o.part)
    told = {"contact": staging.touching, "mirrored": staging.mirrored, "facing": staging.facing}
    told |= {"from beside": not staging.egocentric and not staging.facing, "object first": staging.object_first}
    told |= {"environment": light.environment is not None, "second lamp": light.second is not None}
    return (*(name for name, there in told.items() if there), *seen)


def _level(staging: Staging) -> np.ndarray:
    """Return level axes (right, forward, up) from the camera frame, (3, 3)."""
    return np.stack([staging.view.right, staging.view.forward, staging.view.up])


def _surroundings(
    rng: np.random.Generator,
    streams: Streams,
    staging: Staging,
    config: SynthConfig,
    occupied: Occupied,
    palette: Palette,
) -> list[Owned]:
    """Return the table, room, other people's arms and clutter, in level axes."""
    nearest = 1.3 if staging.egocentric else max(2.0, float(staging.center[2]) + _BEHIND_PERSON)
    table = set_table(rng, config, occupied, palette) if rng.random() < config.table else None
    plain = [*(table.shapes if table else []), *room(rng, occupied.height, nearest, palette)]
    strange = replace(config, distractors=config.distractors / 2)  # half stray arms, half skin-like objects
    arms = _stray(streams("bystanders"), strange, staging, occupied, table, palette)
    if arms:
        points = np.concatenate([occupied.points, *(shape.vertices for shape in arms)])
        occupied = replace(occupied, points=points)
    litter = clutter(streams("clutter"), strange, staging, occupied, table, palette)
    parts = (("", plain), ("stray arm", arms), ("clutter", litter))
    return [Owned(shape, NOBODY, part) for part, shapes in parts for shape in shapes]


def _stray(
    rng: np.random.Generator,
    config: SynthConfig,
    staging: Staging,
    occupied: Occupied,
    table: Table | None,
    palette: Palette,
) -> list[Shape]:
    points = np.concatenate([occupied.points, pillars(table.placed if table else (), occupied.height)])
    rests = table.top.holds if table else None
    return stray_arms(rng, config, occupied, points, staging.view.camera, _level(staging), rests, palette)


def _upper(points: np.ndarray) -> np.ndarray:
    """Return the points (P, 3), in level axes, of the upper part of a torso or head."""
    return points[points[:, 2] > points[:, 2].max() - _WAIST]


def _occupied(
    rng: np.random.Generator,
    config: SynthConfig,
    staging: Staging,
    skins: np.ndarray,
    owned: Sequence[Owned],
    held: list[np.ndarray],
) -> Occupied:
    """Return the person in level axes, and the height of a table below the hands and held objects."""
    level = _level(staging)
    sides = present_sides(staging)
    solid = [o.shape.vertices for o in owned if o.shape.label != ROOM_LABEL]
    lowest = [staging.center[None]] if not sides else held
    for side in sides:  # only the half of the forearm next to the hand counts; the elbow may hang beside the table
        arm = staging.arm(side)
        half = arm.wrist + np.linspace(0, 0.5, 6)[:, None] * (arm.elbow - arm.wrist)
        lowest += [skins[side], half - 0.04 * staging.view.up]
    clearance = rng.uniform(0.001, 0.012) if rng.random() < 0.5 else rng.uniform(0.01, 0.18)
    height = float((np.concatenate(lowest) @ staging.view.up).min()) - clearance
    if config.level_shoulders and not staging.egocentric:  # seen level, a table at eye height would hide everything
        height = min(height, -rng.uniform(0.10, 0.25))
    return Occupied(
        points=np.concatenate(solid) @ level.T if solid else np.zeros((0, 3)),
        hands=tuple(skins[side] @ level.T for side in sides),
        center=level @ staging.center,
        forward=level @ staging.body_forward,
        height=height,
    )
