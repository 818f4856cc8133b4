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


@dataclass(frozen=True)
class Setting:
    """The surroundings and the light of a person who moves."""

    around: tuple[Owned, ...]  # in the camera frame
    materials: Materials  # also those of the person
    light: Light


@dataclass(frozen=True)
class _People:
    """The person of a frame and what they hold."""

    staging: Staging
    hands: TwoHands  # 1609 vertices a hand
    person: list[Owned]
    held: list[Owned]

    @property
    def skins(self) -> np.ndarray:
        """Return the vertices of both hands (2, 1609, 3) float64 metres."""
        return np.asarray(self.hands.vertices, dtype=np.float64)


def build_scene(streams: Streams, staging: Staging, config: SynthConfig) -> Scene:
    """Build the hands, arms, objects, table, room and light of a frame."""
    palette, rng = Palette(config), streams("scene")
    people = _people(streams, rng, staging, config, palette)
    return _scene(people, _setting(streams, rng, [people], config, palette))


def build_setting(streams: Streams, moments: Sequence[Staging], config: SynthConfig) -> Setting:
    """Build what surrounds a person who moves, with room for all the `moments`; it is made for the first of them."""
    palette, rng = Palette(config), streams("scene")
    first = _people(streams, rng, moments[0], config, palette)
    others = [_people(streams, streams("scene"), staging, config, Palette(config)) for staging in moments[1:]]
    return _setting(streams, rng, [first, *others], config, palette)


def build_moment(streams: Streams, staging: Staging, config: SynthConfig, setting: Setting) -> Scene:
    """Build a frame of a person who moves in a setting; `streams` are those that the setting was built with."""
    return _scene(_people(streams, streams("scene"), staging, config, Palette(config)), setting)


def _people(
    streams: Streams, rng: np.random.Generator, staging: Staging, config: SynthConfig, palette: Palette
) -> _People:
    """Return the person of a frame; `rng` is the generator of the scene, before anything was drawn with it."""
    hands = free_hand(1609)(staging.parameters())
    skins = np.asarray(hands.vertices, dtype=np.float64)  # (2, 1609, 3)
    if config.skin:
        person = dressed_person(streams("person's look"), staging, skins, config, palette)
    else:
        person = plain_person(rng, staging, skins, config, palette)
    return _People(staging, hands, person, held_thing(rng, staging, skins, palette))


def _setting(
    streams: Streams, rng: np.random.Generator, moments: Sequence[_People], config: SynthConfig, palette: Palette
) -> Setting:
    """Return what surrounds one person at one or more moments."""
    if streams("cover").random() < config.deep_cover:
        config = replace(config, largest_cover=DEEPEST_COVER)
    staging = moments[0].staging
    level = _level(staging)
    occupied = _occupied(rng, config, moments)
    if config.skin:  # the arms continue beside the lens
        occupied = replace(occupied, points=occupied.points[(occupied.points @ level)[:, 2] > _BESIDE_LENS])
        person = [owned for people in moments for owned in people.person]
        torso = [o.shape.vertices @ level.T for o in person if o.shape.label == ROOM_LABEL]
        occupied = replace(occupied, points=np.concatenate([occupied.points, *(_upper(points) for points in torso)]))
    around = _surroundings(rng, streams, staging, config, occupied, palette)
    light = sample_light(streams("light"), simple_light(rng, level, staging.center), level, config)
    origin = np.zeros(3)
    placed = tuple(replace(o, shape=o.shape.moved(level.T, origin)) for o in around)
    return Setting(placed, palette.materials(), light)


def _scene(people: _People, setting: Setting) -> Scene:
    """Return the renderer's input of a person in a setting."""
    owned = [*people.person, *people.held, *setting.around]
    return Scene(
        surfaces=joined([o.shape for o in owned]),
        materials=setting.materials,
        light=setting.light,
        hands=people.hands,
        owner=np.repeat([o.owner for o in owned], [len(o.shape.vertices) for o in owned]),
        parts=_parts(people.staging, owned, setting.light),
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


def _occupied(rng: np.random.Generator, config: SynthConfig, moments: Sequence[_People]) -> Occupied:
    """Return the person in level axes, and the height of a table below the hands and held objects."""
    staging = moments[0].staging
    level = _level(staging)
    solid = [o.shape.vertices for m in moments for o in (*m.held, *m.person) if o.shape.label != ROOM_LABEL]
    lowest = [staging.center[None]] if not present_sides(staging) else []
    for moment in moments:
        lowest += [o.shape.vertices for o in moment.held]
        for side in present_sides(moment.staging):  # only the half of the forearm next to the hand counts;
            arm = moment.staging.arm(side)  # the elbow may hang beside the table
            half = arm.wrist + np.linspace(0, 0.5, 6)[:, None] * (arm.elbow - arm.wrist)
            lowest += [moment.skins[side], half - 0.04 * staging.view.up]
    clearance = rng.uniform(0.001, 0.012) if rng.random() < 0.5 else rng.uniform(0.01, 0.18)
    height = float((np.concatenate(lowest) @ staging.view.up).min()) - clearance
    if config.level_shoulders and not staging.egocentric:  # seen level, a table at eye height would hide everything
        height = min(height, -rng.uniform(0.10, 0.25))
    return Occupied(
        points=np.concatenate(solid) @ level.T if solid else np.zeros((0, 3)),
        hands=tuple(m.skins[side] @ level.T for m in moments for side in present_sides(m.staging)),
        center=level @ staging.center,
        forward=level @ staging.body_forward,
        height=height,
    )
