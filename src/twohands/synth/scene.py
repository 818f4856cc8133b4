"""From a staging to triangles, materials and light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.hands.free import free_hand
from twohands.synth import objects, textures
from twohands.synth.body import hand_shape, present_sides, sleeve, torso, upper_arm, with_arm
from twohands.synth.config import SynthConfig
from twohands.synth.objects import OBJECT_LABEL, Thing
from twohands.synth.placement import Staging
from twohands.synth.poses import local_hand
from twohands.synth.render import Light, Materials, Surfaces
from twohands.synth.shapes import Shape, box, joined, rectangle
from twohands.types import LEFT, TwoHands

ARM_LABEL = 2  # and 3 for the right arm; hands are 0 and 1
TABLE_LABEL, ROOM_LABEL = 5, 6
_SKIN_INFRARED = 0.55  # near-infrared reflectance of skin, nearly the same for every tone


@dataclass(frozen=True)
class Scene:
    """Everything the renderer and the depth camera need."""

    surfaces: Surfaces
    materials: Materials
    light: Light
    hands: TwoHands  # 1609 vertices a hand


@dataclass(frozen=True)
class _Table:
    """A table top: where things may stand."""

    shapes: list[Shape]
    middle: np.ndarray  # (3,) metres, a point of the top
    right: np.ndarray  # (3,) unit vectors along its sides
    forward: np.ndarray
    low: np.ndarray  # (2,) metres along right and forward from `middle`
    high: np.ndarray

    def holds(self, point: np.ndarray, radius: float) -> bool:
        """Whether something of this radius stands safely at a point."""
        place = np.array([self.right, self.forward]) @ (point - self.middle)
        return bool((place > self.low + radius).all() and (place < self.high - radius).all())


class _Palette:
    """Collects materials; `add` returns the number of the new one."""

    def __init__(self) -> None:
        self.textures: list[np.ndarray] = []
        self.values: list[tuple[float, float, float]] = []

    def add(self, texture: np.ndarray, specular: float, gloss: float, infrared: float) -> int:
        self.textures.append(texture)
        self.values.append((specular, gloss, infrared))
        return len(self.textures) - 1

    def materials(self) -> Materials:
        sizes = [texture.size for texture in self.textures]
        offsets = np.cumsum([0, *sizes[:-1]])
        layout = [(o, *texture.shape[:2]) for o, texture in zip(offsets, self.textures, strict=True)]
        values = np.array(self.values, dtype=np.float32).T
        texels = np.concatenate([texture.reshape(-1) for texture in self.textures])
        return Materials(texels, np.array(layout, dtype=np.int64), values[0].copy(), values[1].copy(), values[2].copy())


def build_scene(rng: np.random.Generator, staging: Staging, config: SynthConfig) -> Scene:
    """Hands, arms, things, table, room and light of a frame."""
    palette = _Palette()
    hands = free_hand(1609)(staging.parameters())
    person = _person(rng, staging, hands, config, palette)
    held = _held_things(rng, staging, hands, palette)
    if not person:
        table = _floor_height(staging, staging.center[None])
    else:
        solid = [shape.vertices for shape in (*held, *person) if shape.label != ROOM_LABEL]
        table = _floor_height(staging, _low_points(staging, hands, held)) - _clearance(rng)
        solid = np.concatenate(solid)
    occupied = solid if person else np.zeros((0, 3))
    furniture: list[Shape] = []
    if rng.random() < config.table:
        top = _table(rng, staging, table, occupied, palette)
        furniture = top.shapes + _standing_things(rng, staging, top, table, occupied, config, hands, palette)
    shapes = [*person, *held, *furniture, *_room(rng, staging, table, palette)]
    return Scene(joined(shapes), palette.materials(), _light(rng, staging), hands)


def hand_alone(scene: Scene, side: int) -> Surfaces:
    """Only one hand of the scene, for the pixels it would cover if nothing hid it."""
    kept = np.nonzero(scene.surfaces.label == side)[0]
    s = scene.surfaces
    return s._replace(faces=s.faces[kept], uv=s.uv[kept], material=s.material[kept], label=s.label[kept])


def _person(
    rng: np.random.Generator, staging: Staging, hands: TwoHands, config: SynthConfig, palette: _Palette
) -> list[Shape]:
    tone, tint = rng.random(), 1 + rng.uniform(-0.06, 0.06, 3)
    detail, redness = rng.uniform(0.6, 1.5), rng.uniform(0.5, 1.6)
    shine, gloss = rng.uniform(0.01, 0.07), rng.uniform(8.0, 30.0)
    infrared = _SKIN_INFRARED * rng.uniform(0.85, 1.15)
    skin = palette.add(textures.hand_skin(tone, tint, redness, detail), shine, gloss, infrared)
    arm_skin = palette.add(textures.arm_skin(rng, tone, tint, detail), 0.7 * shine, gloss, infrared)
    cloth = palette.add(textures.cloth(rng), 0.0, 8.0, rng.uniform(0.03, 0.8))
    cuff = rng.uniform(0.03, 0.16) if rng.random() < config.sleeves else None
    shapes: list[Shape] = []
    for side in present_sides(staging):
        arm = staging.arms[side]
        assert arm is not None
        hand, forearm = with_arm(hand_shape(hands.vertices[side], side), arm, staging.scale)
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


def _held_things(rng: np.random.Generator, staging: Staging, hands: TwoHands, palette: _Palette) -> list[Shape]:
    side = staging.holder
    if side is None:
        return []
    arm = staging.arms[side]
    assert arm is not None
    vertices, joints = local_hand(staging.angles[side], staging.shape)
    grip = objects.find_grip(rng, vertices, joints)
    if grip is None:
        return []
    others = np.zeros((0, 3))
    if staging.arms[1 - side] is not None:
        other = staging.arms[1 - side]
        assert other is not None
        forearm = np.linspace(other.wrist, other.elbow, 12)
        others = np.concatenate([hands.vertices[1 - side], forearm, forearm + 0.03 * other.forearm[:, 1]])
        others = (others - arm.wrist) @ arm.hand * ([-1.0, 1.0, 1.0] if side == LEFT else [1.0, 1.0, 1.0])
    span = objects.free_span(rng, grip, others)
    if span is None:
        return []
    shape = objects.held_thing(rng, grip, *span)
    if side == LEFT:
        shape = objects.mirrored(shape)
    return [replace(shape.moved(arm.hand, arm.wrist), material=_object_material(rng, palette))]


def _object_material(rng: np.random.Generator, palette: _Palette) -> int:
    shiny = rng.random() < 0.4
    specular, gloss = (rng.uniform(0.1, 0.5), rng.uniform(30, 120)) if shiny else (rng.uniform(0.0, 0.06), 12.0)
    return palette.add(textures.object_skin(rng), specular, gloss, rng.uniform(0.05, 0.9))


def _floor_height(staging: Staging, points: np.ndarray) -> float:
    """Height along `up` of the lowest point."""
    return float((points @ staging.view.up).min())


def _low_points(staging: Staging, hands: TwoHands, held: Sequence[Shape]) -> np.ndarray:
    """What must lie above the table: the hands, what they hold, and the half of the forearms next to the hand."""
    parts = [shape.vertices for shape in held]
    for side in present_sides(staging):
        arm = staging.arms[side]
        assert arm is not None
        middle = arm.wrist + np.linspace(0, 0.5, 6)[:, None] * (arm.elbow - arm.wrist)
        parts += [np.asarray(hands.vertices[side]), middle - 0.04 * staging.view.up]
    return np.concatenate(parts)


def _clearance(rng: np.random.Generator) -> float:
    """Metres between the hands and the table: often none."""
    return rng.uniform(0.001, 0.012) if rng.random() < 0.5 else rng.uniform(0.01, 0.18)


def _table(
    rng: np.random.Generator, staging: Staging, height: float, occupied: np.ndarray, palette: _Palette
) -> _Table:
    """A table top whose near edge leaves room for elbows that hang lower, and sometimes a cloth on it."""
    up, forward = staging.view.up, staging.body_forward
    right = np.cross(forward, up)
    middle = staging.center - (staging.center @ up - height) * up
    below = occupied[occupied @ up < height + 0.004] if len(occupied) else occupied
    near = -rng.uniform(0.18, 0.55)
    if len(below):
        near = max(near, float(((below - middle) @ forward).max()) + 0.02)
    near = min(near, -0.02)
    far, left, wide = rng.uniform(0.35, 1.0), -rng.uniform(0.5, 1.0), rng.uniform(1.1, 2.0)
    texture = textures.table_top(rng)
    scale = rng.uniform(1.5, 4.0)
    material = palette.add(texture, rng.uniform(0.0, 0.15), rng.uniform(15, 60), rng.uniform(0.25, 0.9))
    corner = middle + near * forward + left * right
    top = rectangle(corner, wide * right, (far - near) * forward, (scale * wide, scale * (far - near)))
    edge = rectangle(corner - 0.03 * up, wide * right, 0.03 * up, (scale * wide, scale * 0.03))
    shapes = [replace(shape, material=material, label=TABLE_LABEL) for shape in (top, edge)]
    if rng.random() < 0.35:
        turn = rng.normal(0.0, 0.12)
        x, y = np.cos(turn) * right + np.sin(turn) * forward, np.cos(turn) * forward - np.sin(turn) * right
        width, depth = rng.uniform(0.3, 0.6), far - near - 0.02
        start = middle + 0.0015 * up + (near + 0.01) * forward + rng.normal(-0.5 * width, 0.1) * right
        repeat = rng.uniform(2.0, 5.0)
        cloth = rectangle(start, width * x, depth * y, (repeat * width, repeat * depth))
        painter = textures.plaid if rng.random() < 0.6 else textures.cloth
        number = palette.add(painter(rng), 0.0, 8.0, rng.uniform(0.3, 0.9))
        shapes.append(replace(cloth, material=number, label=TABLE_LABEL))
    return _Table(shapes, middle, right, forward, np.array([left, near]), np.array([left + wide, far]))


def _standing_things(
    rng: np.random.Generator,
    staging: Staging,
    top: _Table,
    height: float,
    occupied: np.ndarray,
    config: SynthConfig,
    hands: TwoHands,
    palette: _Palette,
) -> list[Shape]:
    """Things on the table that touch neither the person nor each other; first one that hides a hand, if asked for."""
    up = staging.view.up
    frame = np.stack([staging.view.right, staging.view.forward, up])  # rows: level axes
    person = occupied @ frame.T
    middle = frame @ staging.center
    placed: list[tuple[np.ndarray, Thing]] = []

    def fits(spot: np.ndarray, thing: Thing) -> bool:
        place = frame.T @ np.array([*spot, height])
        return top.holds(place, thing.radius) and _has_room(spot, thing, height, person, placed)

    if rng.random() < config.occluder:
        for _ in range(30):
            candidate = _in_front_of_a_hand(rng, staging, frame, height, hands)
            if candidate is None or not fits(*candidate):
                continue
            if _cover(*candidate, height, frame, hands, staging) <= config.largest_cover:
                placed.append(candidate)
                break
    for _ in range(int(rng.integers(0, 6))):
        thing = objects.STANDING[int(rng.integers(len(objects.STANDING)))](rng)
        spot = middle[:2] + rng.normal(0.0, [0.22, 0.16])
        if fits(spot, thing):
            placed.append((spot, thing))
    shapes = []
    for spot, thing in placed:
        turn = rng.uniform(0, 2 * np.pi)
        rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
        standing = thing.shape.moved(frame.T @ rotation, frame.T @ np.array([*spot, height + 0.002]))
        shapes.append(replace(standing, material=_object_material(rng, palette), label=OBJECT_LABEL))
    return shapes


def _in_front_of_a_hand(
    rng: np.random.Generator, staging: Staging, frame: np.ndarray, height: float, hands: TwoHands
) -> tuple[np.ndarray, Thing] | None:
    """A spot (2,) and a thing whose upper part lies on the line of sight to a random point of a hand."""
    sides = present_sides(staging)
    if not sides:
        return None
    target = hands.vertices[sides[int(rng.integers(len(sides)))], int(rng.integers(1609))]
    point = frame @ (np.asarray(target, dtype=np.float64) * rng.uniform(0.70, 0.93))
    tall = float(point[2] - height + rng.uniform(0.0, 0.04))
    if not 0.03 < tall < 0.30:
        return None
    makers = (objects.carton, objects.bottle) if tall > 0.13 else (objects.carton, objects.can, objects.mug)
    thing = makers[int(rng.integers(len(makers)))](rng)
    stretch = tall / thing.height
    shape = replace(thing.shape, vertices=thing.shape.vertices * [1.0, 1.0, stretch])
    return point[:2], Thing(shape, thing.radius, tall)


def _cover(
    spot: np.ndarray, thing: Thing, height: float, frame: np.ndarray, hands: TwoHands, staging: Staging
) -> float:
    """Largest share of a hand's vertices whose line of sight passes through the upright cylinder around a thing."""
    covers = [0.0]
    for side in present_sides(staging):
        points = np.asarray(hands.vertices[side, ::8], dtype=np.float64) @ frame.T  # the camera is the origin
        shares = np.linspace(0.5, 1.0, 26)[:, None, None] * points  # (26, V, 3) along the lines of sight
        inside = np.linalg.norm(shares[..., :2] - spot, axis=-1) < 0.9 * thing.radius
        inside &= shares[..., 2] < height + thing.height
        covers.append(float(inside.any(axis=0).mean()))
    return max(covers)


def _has_room(
    spot: np.ndarray, thing: Thing, height: float, person: np.ndarray, placed: list[tuple[np.ndarray, Thing]]
) -> bool:
    near = np.linalg.norm(person[:, :2] - spot, axis=1) < thing.radius + 0.008
    if (person[near, 2] < height + thing.height + 0.008).any():
        return False
    return all(np.linalg.norm(spot - other) > thing.radius + taken.radius + 0.004 for other, taken in placed)


def _room(rng: np.random.Generator, staging: Staging, table: float, palette: _Palette) -> list[Shape]:
    """Floor, two walls and some furniture further away."""
    view = staging.view
    down = table - rng.uniform(0.60, 0.80)
    frame = np.stack([view.right, view.forward, view.up])
    flip = frame.T
    turn = rng.uniform(-0.6, 0.6)
    rotation = flip @ np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    nearest = 1.3 if staging.egocentric else 2.0  # somebody may sit opposite or beside
    far, aside = rng.uniform(nearest, 3.5), rng.uniform(nearest, 3.2) * rng.choice([-1.0, 1.0])
    x, y, z = np.eye(3)
    floor = rectangle(np.array([-5.0, -3.0, 0]), 10 * x, (far + 3) * y, (8.0, 6.0))
    wall = rectangle(np.array([-5.0, far, 0]), 10 * x, 3 * z, (6.0, 2.0))
    other = rectangle(np.array([aside, -3.0, 0]), (far + 3) * y, 3 * z, (6.0, 2.0))
    shapes = [floor, wall, other]
    for _ in range(int(rng.integers(1, 6))):
        spot = np.array([rng.uniform(-1.5, 1.5), rng.uniform(nearest, far), 0.0])
        shapes.append(box(rng.uniform([0.2, 0.2, 0.3], [0.9, 0.6, 1.4])).moved(np.eye(3), spot))
    moved = [shape.moved(rotation, flip @ np.array([0.0, 0.0, down])) for shape in shapes]
    numbers = [palette.add(textures.room(rng), 0.0, 8.0, rng.uniform(0.1, 0.9)) for _ in range(4)]
    return [replace(s, material=numbers[min(k, 3)], label=ROOM_LABEL) for k, s in enumerate(moved)]


def _light(rng: np.random.Generator, staging: Staging) -> Light:
    """A lamp somewhere above, and the surroundings: together about as bright as a well exposed photograph."""
    view = staging.view
    direction = (
        view.up * rng.uniform(0.6, 1.6) + rng.normal(0.0, 0.5) * view.right + rng.normal(-0.1, 0.5) * view.forward
    )
    position = staging.center + rng.uniform(0.8, 1.8) * direction / np.linalg.norm(direction)
    warmth = rng.normal(0.0, 0.06)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    share = rng.uniform(0.3, 0.75)  # of the lamp in all light
    ambient = (1 - share) * np.array([1 - 0.5 * warmth, 1.0, 1 + 0.5 * warmth])
    bounce = rng.uniform(0.45, 0.8) * np.array([1.03, 1.0, 0.95])
    return Light(
        *(position, staging.center.astype(np.float64), 0.55, float(rng.uniform(0.03, 0.25))),
        *(1.35 * share * tint, 1.1 * ambient, 1.1 * ambient * bounce, view.up),
    )
