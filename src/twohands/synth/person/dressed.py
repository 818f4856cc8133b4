"""A complete person: hands, arms, clothes, wear, and the held object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.synth.acts.placement import Staging
from twohands.synth.acts.poses import local_hand
from twohands.synth.config import SynthConfig
from twohands.synth.person import skin
from twohands.synth.person.body import (
    arm_to_body,
    body_end,
    hand_shape,
    present_sides,
    short_sleeve,
    sleeve,
    torso,
    upper_arm,
    with_arm,
)
from twohands.synth.person.bust import bust
from twohands.synth.person.limb import arm_limb
from twohands.synth.person.sleeves import long_sleeve, sample_style
from twohands.synth.person.wear import sample_rings, sample_wear
from twohands.synth.rendering.shapes import ARM_LABEL, ROOM_LABEL, Shape
from twohands.synth.things import objects, textures
from twohands.synth.things.palette import Palette
from twohands.types import LEFT

_WHITE, _IRIS = np.array([225, 220, 214]), np.array([60, 42, 34])  # sRGB
_HAIR = ((22, 17, 15), (38, 26, 20), (78, 54, 38), (150, 118, 78), (140, 136, 132))  # sRGB
NOBODY = 0
"""Owner of shapes that stand still. Shapes of LEFT + 1 and RIGHT + 1 move with a hand."""


@dataclass(frozen=True)
class Owned:
    """A shape and its owner."""

    shape: Shape
    owner: int
    part: str  # the engine's part that it shows, for previews; '' for shapes of every frame


def dressed_person(
    rng: np.random.Generator, staging: Staging, skins: np.ndarray, config: SynthConfig, palette: Palette
) -> list[Owned]:
    """Return hands (2, 1609, 3), closed arms, sleeves and wear, and a bust where the camera is not on the head."""
    look = skin.sample_skin(rng)
    own_skin = {"specular": look.specular, "gloss": look.gloss, "infrared": look.infrared, "scatter": 1.0}
    hand_skin, arm_skin = (palette.add(texture, **own_skin) for texture in (look.hand, look.arm))
    cloth = palette.add(palette.surface(rng, textures.cloth), 0.0, 8.0, rng.uniform(0.03, 0.8))
    style = sample_style(rng, cloth, palette)
    sleeved = bool(rng.random() < config.sleeves)
    owned: list[Owned] = []
    for side, stream in zip((0, 1), rng.spawn(2), strict=True):
        if staging.arms[side] is None:
            continue
        arm, up = staging.arm(side), staging.view.up
        hand, forearm = with_arm(hand_shape(skins[side], side), arm, staging.scale, closed=True)
        limb, end = arm_limb(hand.vertices, arm, staging.scale), body_end(staging, side)
        shapes = [("", replace(hand, material=hand_skin)), ("", _arm(forearm, side, arm_skin))]
        if sleeved:
            parts = long_sleeve(stream, style, limb, arm, staging.scale, up, end)
            shapes += [("sleeve", replace(part, label=ARM_LABEL + side)) for part in parts]
        else:
            start, gap = stream.uniform(0.2, 0.7), stream.uniform(0.008, 0.02)
            shapes.append(("", _arm(arm_to_body(arm, staging.scale, end), side, arm_skin)))
            shapes.append(("", _arm(short_sleeve(arm, staging.scale, end, start, gap), side, cloth)))
        worn = sample_wear(stream, config, limb, up, style.cuff if sleeved else None, palette)
        rings = sample_rings(stream, config, skins[side], staging.joints[side], arm.hand[:, 1], palette)
        shapes += [("watch", replace(part, label=ARM_LABEL + side)) for part in worn]
        shapes += [("ring", replace(part, label=ARM_LABEL + side)) for part in rings]
        owned += [Owned(shape, side + 1, part) for part, shape in shapes]
    if not staging.egocentric and owned:
        seen = bust(rng, staging)
        hair, white, iris = (_plain(palette, color) for color in (_hair_color(rng), _WHITE, _IRIS))
        lips = _plain(palette, 0.62 * look.arm.mean(axis=(0, 1)) + [62.0, 18.0, 20.0])
        for shape, material in zip(seen.shapes, (cloth, arm_skin, hair, white, iris, lips), strict=True):
            owned.append(Owned(replace(shape, material=material, label=ROOM_LABEL), NOBODY, ""))
    return owned


def _plain(palette: Palette, color: np.ndarray) -> int:
    texture = np.full((4, 4, 3), color.astype(np.uint8), np.uint8)
    return palette.add(texture, 0.05, 10.0, 0.1 if texture.max() < 128 else 0.5)


def _hair_color(rng: np.random.Generator) -> np.ndarray:
    """Sample the sRGB colour (3,) of black, brown, fair or grey hair."""
    first, second = np.array(_HAIR)[rng.integers(len(_HAIR), size=2)]
    return first + rng.uniform(0.0, 0.5) * (second - first)


def _arm(shape: Shape, side: int, material: int) -> Shape:
    return replace(shape, material=material, label=ARM_LABEL + side)


def plain_person(
    rng: np.random.Generator, staging: Staging, skins: np.ndarray, config: SynthConfig, palette: Palette
) -> list[Owned]:
    """Return the person of the first engine."""
    tone, tint = rng.random(), 1 + rng.uniform(-0.04, 0.04, 3)
    detail, redness = rng.uniform(0.6, 1.5), rng.uniform(0.5, 1.6)
    shine, gloss = rng.uniform(0.01, 0.07), rng.uniform(8.0, 30.0)
    infrared = skin.INFRARED * rng.uniform(0.85, 1.15)
    hand_skin = palette.add(skin.hand_skin(tone, tint, redness, detail), shine, gloss, infrared)
    arm_skin = palette.add(skin.arm_skin(rng, tone, tint, detail), 0.7 * shine, gloss, infrared)
    cloth = palette.add(textures.cloth(rng), 0.0, 8.0, rng.uniform(0.03, 0.8))
    cuff = rng.uniform(0.03, 0.16) if rng.random() < config.sleeves else None
    owned: list[Owned] = []
    for side in present_sides(staging):
        arm = staging.arm(side)
        hand, forearm = with_arm(hand_shape(skins[side], side), arm, staging.scale)
        shapes = [replace(hand, material=hand_skin), _arm(forearm, side, arm_skin)]
        if cuff is not None:
            clothes = sleeve(rng, hand.vertices, arm, staging.scale, cuff)
        else:
            clothes = upper_arm(arm, staging.scale, extra=0.015, start=0.45)
            shapes += [_arm(part, side, arm_skin) for part in upper_arm(arm, staging.scale)]
        shapes += [_arm(part, side, cloth) for part in clothes]
        owned += [Owned(shape, side + 1, "") for shape in shapes]
    if not staging.egocentric and owned:
        owned += [Owned(replace(part, material=cloth, label=ROOM_LABEL), NOBODY, "") for part in torso(staging)]
    return owned


def held_thing(rng: np.random.Generator, staging: Staging, skins: np.ndarray, palette: Palette) -> list[Owned]:
    """Return the objects in the holders' hands, as far as the other hand leaves room for them."""
    held: list[Owned] = []
    for side in staging.holders:
        others = _others(staging, skins, side, held)
        shape = _grasped(staging, others) if staging.grasp is not None else _fitted(rng, staging, side, others)
        if shape is None:
            continue
        if side == LEFT:
            shape = objects.mirrored(shape)
        arm = staging.arm(side)
        part = "grasp" if staging.grasp is not None else ""
        held.append(Owned(replace(shape.moved(arm.hand, arm.wrist), material=palette.add_thing(rng)), side + 1, part))
    return held


def _grasped(staging: Staging, others: np.ndarray) -> Shape | None:
    """Return the object around which the fingers are closed, in the right hand's wrist frame."""
    assert staging.grasp is not None
    return staging.grasp.shape if staging.grasp.free_of(others) else None


def _fitted(rng: np.random.Generator, staging: Staging, side: int, others: np.ndarray) -> Shape | None:
    """Return an object that fits between the fingers as posed, in the right hand's wrist frame."""
    grip = objects.find_grip(rng, *local_hand(staging.angles[side], staging.shape))
    if grip is None:
        return None
    span = objects.free_span(rng, grip, others)
    return None if span is None else objects.held_thing(rng, grip, *span)


def _others(staging: Staging, skins: np.ndarray, side: int, held: Sequence[Owned]) -> np.ndarray:
    """Return points (P, 3) of the other hand and arm and of held objects in a hand's wrist frame, as of a right one."""
    if staging.arms[1 - side] is None:
        return np.zeros((0, 3))
    arm, other = staging.arm(side), staging.arm(1 - side)
    forearm = np.linspace(other.wrist, other.elbow, 12)
    things = [owned.shape.vertices for owned in held]
    points = np.concatenate([skins[1 - side], forearm, forearm + 0.03 * other.forearm[:, 1], *things])
    return (points - arm.wrist) @ arm.hand * ([-1.0, 1.0, 1.0] if side == LEFT else [1.0, 1.0, 1.0])
