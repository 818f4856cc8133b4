"""A complete person: hands, arms, clothes, wear, and the held object."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from twohands.synth.acts.placement import Staging
from twohands.synth.acts.poses import local_hand
from twohands.synth.config import SynthConfig
from twohands.synth.person import skin
from twohands.synth.person.body import (
    arm_to_body,
    body_end,
    bust,
    hand_shape,
    present_sides,
    short_sleeve,
    sleeve,
    torso,
    upper_arm,
    with_arm,
)
from twohands.synth.person.limb import arm_limb
from twohands.synth.person.sleeves import long_sleeve, sample_style
from twohands.synth.person.wear import sample_rings, sample_wear
from twohands.synth.rendering.shapes import ARM_LABEL, ROOM_LABEL, Shape
from twohands.synth.things import objects, textures
from twohands.synth.things.palette import Palette
from twohands.types import LEFT

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
        seen = bust(staging)
        hair = palette.add(np.full((4, 4, 3), (38, 26, 20), np.uint8), 0.05, 10.0, 0.1)
        for shape, material in ((seen.clothed, cloth), (seen.skin, arm_skin), (seen.hair, hair)):
            owned.append(Owned(replace(shape, material=material, label=ROOM_LABEL), NOBODY, ""))
    return owned


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
    """Return the object in the holder's hand, if the other hand leaves room for it."""
    side = staging.holder
    if side is None:
        return []
    shape = _grasped(staging, skins) if staging.grasp is not None else _fitted(rng, staging, skins)
    if shape is None:
        return []
    if side == LEFT:
        shape = objects.mirrored(shape)
    arm = staging.arm(side)
    part = "grasp" if staging.grasp is not None else ""
    return [Owned(replace(shape.moved(arm.hand, arm.wrist), material=palette.add_thing(rng)), side + 1, part)]


def _grasped(staging: Staging, skins: np.ndarray) -> Shape | None:
    """Return the object around which the fingers are closed, in the right hand's wrist frame."""
    assert staging.grasp is not None
    return staging.grasp.shape if staging.grasp.free_of(_others(staging, skins)) else None


def _fitted(rng: np.random.Generator, staging: Staging, skins: np.ndarray) -> Shape | None:
    """Return an object that fits between the fingers as posed, in the right hand's wrist frame."""
    side = staging.holder
    assert side is not None
    grip = objects.find_grip(rng, *local_hand(staging.angles[side], staging.shape))
    if grip is None:
        return None
    span = objects.free_span(rng, grip, _others(staging, skins))
    return None if span is None else objects.held_thing(rng, grip, *span)


def _others(staging: Staging, skins: np.ndarray) -> np.ndarray:
    """Return points (P, 3) of the other hand and forearm in the holder's wrist frame, mirrored for a left holder."""
    side = staging.holder
    assert side is not None
    if staging.arms[1 - side] is None:
        return np.zeros((0, 3))
    arm, other = staging.arm(side), staging.arm(1 - side)
    forearm = np.linspace(other.wrist, other.elbow, 12)
    points = np.concatenate([skins[1 - side], forearm, forearm + 0.03 * other.forearm[:, 1]])
    return (points - arm.wrist) @ arm.hand * ([-1.0, 1.0, 1.0] if side == LEFT else [1.0, 1.0, 1.0])
