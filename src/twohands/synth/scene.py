"""From a staging to triangles, materials and light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.hands.free import free_hand
from twohands.synth import objects, textures
from twohands.synth.body import hand_shape, present_sides, sleeve, torso, upper_arm, with_arm
from twohands.synth.config import SynthConfig
from twohands.synth.palette import Palette
from twohands.synth.placement import Staging
from twohands.synth.poses import local_hand
from twohands.synth.render import Light, Materials, Surfaces
from twohands.synth.shapes import Shape, joined
from twohands.synth.surroundings import ROOM_LABEL, Occupied, furnished_table, room
from twohands.types import LEFT, TwoHands

ARM_LABEL = 2
"""And 3 for the right arm; the hands are 0 and 1, the others see `objects` and `surroundings`."""
_SKIN_INFRARED = 0.55  # near-infrared reflectance of skin, nearly the same for every tone


@dataclass(frozen=True)
class Scene:
    """Everything the renderer and the depth camera need."""

    surfaces: Surfaces
    materials: Materials
    light: Light
    hands: TwoHands  # 1609 vertices a hand


def build_scene(rng: np.random.Generator, staging: Staging, config: SynthConfig) -> Scene:
    """Hands, arms, things, table, room and light of a frame."""
    palette = Palette()
    hands = free_hand(1609)(staging.parameters())
    skins = np.asarray(hands.vertices, dtype=np.float64)  # (2, 1609, 3)
    person = _person(rng, staging, skins, config, palette)
    held = _held_things(rng, staging, skins, palette)
    occupied = _occupied(rng, staging, skins, person, held)
    level = _level(staging)
    nearest = 1.3 if staging.egocentric else 2.0  # somebody may sit opposite or beside
    around = furnished_table(rng, config, occupied, palette) if rng.random() < config.table else []
    around += room(rng, occupied.height, nearest, palette)
    shapes = [*person, *held, *(shape.moved(level.T, np.zeros(3)) for shape in around)]
    return Scene(joined(shapes), palette.materials(), _light(rng, staging), hands)


def hand_alone(scene: Scene, side: int) -> Surfaces:
    """Only one hand of the scene, for the pixels it would cover if nothing hid it."""
    s = scene.surfaces
    kept = np.nonzero(s.label == side)[0]
    return s._replace(faces=s.faces[kept], uv=s.uv[kept], material=s.material[kept], label=s.label[kept])


def _level(staging: Staging) -> np.ndarray:
    """(3, 3) level axes (right, forward, up) from the camera frame."""
    return np.stack([staging.view.right, staging.view.forward, staging.view.up])


def _person(
    rng: np.random.Generator, staging: Staging, skins: np.ndarray, config: SynthConfig, palette: Palette
) -> list[Shape]:
    """Hands, arms and clothes; one skin and one cloth a person."""
    tone, tint = rng.random(), 1 + rng.uniform(-0.04, 0.04, 3)
    detail, redness = rng.uniform(0.6, 1.5), rng.uniform(0.5, 1.6)
    shine, gloss = rng.uniform(0.01, 0.07), rng.uniform(8.0, 30.0)
    infrared = _SKIN_INFRARED * rng.uniform(0.85, 1.15)
    skin = palette.add(textures.hand_skin(tone, tint, redness, detail), shine, gloss, infrared)
    arm_skin = palette.add(textures.arm_skin(rng, tone, tint, detail), 0.7 * shine, gloss, infrared)
    cloth = palette.add(textures.cloth(rng), 0.0, 8.0, rng.uniform(0.03, 0.8))
    cuff = rng.uniform(0.03, 0.16) if rng.random() < config.sleeves else None
    shapes: list[Shape] = []
    for side in present_sides(staging):
        arm = staging.arm(side)
        hand, forearm = with_arm(hand_shape(skins[side], side), arm, staging.scale)
        shapes += [replace(hand, material=skin), replace(forearm, material=arm_skin, label=ARM_LABEL + side)]
        if cuff is not None:
            clothes = sleeve(rng, hand.vertices, arm, staging.scale, cuff)
        else:
            clothes = upper_arm(arm, staging.scale, extra=0.015, start=0.45)
            bare = upper_arm(arm, staging.scale)
            shapes += [replace(part, material=arm_skin, label=ARM_LABEL + side) for part in bare]
        shapes += [replace(part, material=cloth, label=ARM_LABEL + side) for part in clothes]
    if not staging.egocentric and shapes:
        shapes += [replace(part, material=cloth, label=ROOM_LABEL) for part in torso(staging)]
    return shapes


def _held_things(rng: np.random.Generator, staging: Staging, skins: np.ndarray, palette: Palette) -> list[Shape]:
    """What the holder holds, if the other hand leaves room for it."""
    side = staging.holder
    if side is None:
        return []
    arm = staging.arm(side)
    grip = objects.find_grip(rng, *local_hand(staging.angles[side], staging.shape))
    if grip is None:
        return []
    others = np.zeros((0, 3))
    if staging.arms[1 - side] is not None:
        other = staging.arm(1 - side)
        forearm = np.linspace(other.wrist, other.elbow, 12)
        others = np.concatenate([skins[1 - side], forearm, forearm + 0.03 * other.forearm[:, 1]])
        others = (others - arm.wrist) @ arm.hand * ([-1.0, 1.0, 1.0] if side == LEFT else [1.0, 1.0, 1.0])
    span = objects.free_span(rng, grip, others)
    if span is None:
        return []
    shape = objects.held_thing(rng, grip, *span)
    if side == LEFT:
        shape = objects.mirrored(shape)
    return [replace(shape.moved(arm.hand, arm.wrist), material=palette.add_thing(rng))]


def _occupied(
    rng: np.random.Generator, staging: Staging, skins: np.ndarray, person: Sequence[Shape], held: Sequence[Shape]
) -> Occupied:
    """The person in level axes and the height of a table that lies below the hands and what they hold."""
    level = _level(staging)
    sides = present_sides(staging)
    solid = [shape.vertices for shape in (*held, *person) if shape.label != ROOM_LABEL]
    lowest = [staging.center[None]] if not sides else [shape.vertices for shape in held]
    for side in sides:  # the half of the forearm next to the hand counts, the elbow may hang beside the table
        arm = staging.arm(side)
        half = arm.wrist + np.linspace(0, 0.5, 6)[:, None] * (arm.elbow - arm.wrist)
        lowest += [skins[side], half - 0.04 * staging.view.up]
    clearance = rng.uniform(0.001, 0.012) if rng.random() < 0.5 else rng.uniform(0.01, 0.18)
    return Occupied(
        points=np.concatenate(solid) @ level.T if solid else np.zeros((0, 3)),
        hands=tuple(skins[side] @ level.T for side in sides),
        center=level @ staging.center,
        forward=level @ staging.body_forward,
        height=float((np.concatenate(lowest) @ staging.view.up).min()) - clearance,
    )


def _light(rng: np.random.Generator, staging: Staging) -> Light:
    """A lamp somewhere above, and the surroundings: together about as bright as a well exposed photograph."""
    level = _level(staging)
    direction = np.array([rng.normal(0.0, 0.5), rng.normal(-0.1, 0.5), rng.uniform(0.6, 1.6)]) @ level
    position = staging.center + rng.uniform(0.8, 1.8) * direction / np.linalg.norm(direction)
    warmth = rng.normal(0.0, 0.06)
    share = rng.uniform(0.3, 0.75)  # of the lamp in all light
    ambient = 1.1 * (1 - share) * np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
    return Light(
        position=position,
        target=staging.center.astype(np.float64),
        reach=0.55,
        size=float(rng.uniform(0.03, 0.25)),
        color=1.35 * share * np.array([1 + warmth, 1.0, 1 - warmth]),
        sky=ambient,
        ground=ambient * rng.uniform(0.45, 0.8) * np.array([1.03, 1.0, 0.95]),
        up=staging.view.up,
    )
