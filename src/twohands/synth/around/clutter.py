"""Objects close to the hands, walls close behind them, skin-coloured objects, and objects in front of a hand.

Built in level axes like `surroundings`: the camera is the origin, x right, y forward, z up, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from twohands.synth.acts.placement import Staging
from twohands.synth.acts.viewing import View
from twohands.synth.around.backgrounds import ground_without_table, wall_behind
from twohands.synth.around.sight import Sight
from twohands.synth.around.surroundings import GAP, Occupied, Table, Top, has_room, some_thing
from twohands.synth.config import DEEPEST_COVER, SynthConfig
from twohands.synth.rendering.shapes import OBJECT_LABEL, Shape, about_up
from twohands.synth.things import lying, objects, prints, textures
from twohands.synth.things.objects import Thing
from twohands.synth.things.palette import Palette

_NEAR = 0.30  # metres from a hand, within which clutter is placed
_PART = 0.5  # fraction of `largest_cover` that clutter may hide, so that it is not in front of most hands
_LEAST_COVER = (0.2, 0.45)  # least fraction of a hand that a floating object hides: as a rule, in a deep cover
_FLOATING = (objects.carton, objects.book, objects.can, objects.bottle, objects.mug, objects.bowl, objects.plate)
_FLOATING_TRIES = 40


def clutter(
    rng: np.random.Generator,
    config: SynthConfig,
    staging: Staging,
    occupied: Occupied,
    table: Table | None,
    palette: Palette,
) -> list[Shape]:
    """Return all shapes around the hands beyond the table's own: parts `clutter`, `distractors` and `floating`.

    Nothing touches the points of `occupied`. Together with the table's objects, nothing hides more than
    `config.largest_cover` of a hand. Each of the three parts has its own stream of random numbers.
    """
    view = staging.view
    level = np.stack([view.right, view.forward, view.up])
    sight = Sight(view.camera, level, occupied.hands)
    for shape in table.things if table else ():
        sight.admits(shape, most=1.0)
    site = _Site(occupied, view, level, sight, config, palette, table.top if table else None)
    site.placed += table.placed if table else ()
    near, alike, hanging = rng.spawn(3)
    if near.random() < config.clutter:
        _litter(near, site, staging)
    if alike.random() < config.distractors:
        _skin_like_things(alike, site)
    if occupied.hands and hanging.random() < config.floating:
        _hang_in_front(hanging, site)
    return site.shapes


@dataclass
class _Site:
    """The scene around the hands so far, and the shapes that were added to it."""

    occupied: Occupied
    view: View
    level: np.ndarray  # (3, 3) level axes from the camera frame
    sight: Sight
    config: SynthConfig
    palette: Palette
    top: Top | None
    placed: list[tuple[np.ndarray, Thing]] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)

    @property
    def most(self) -> float:
        """Largest fraction of a hand that clutter may hide."""
        return _PART * self.config.largest_cover

    def spot(self, rng: np.random.Generator) -> np.ndarray:
        """Return a point (2,) within 30 cm of a random point of the hands."""
        hands = self.occupied.hands
        middle = self.occupied.center
        if hands:
            hand = hands[int(rng.integers(len(hands)))]
            middle = hand[int(rng.integers(len(hand)))]
        angle = rng.uniform(0, 2 * np.pi)
        return middle[:2] + _NEAR * np.sqrt(rng.random()) * np.array([np.cos(angle), np.sin(angle)])

    def stand(self, rng: np.random.Generator, thing: Thing, material: int | None = None) -> bool:
        """Put an object onto the table near the hands and return True, if there is room."""
        for _ in range(3):
            spot = self.spot(rng)
            if self.top is None or not self.top.holds(spot, thing.radius):
                continue
            if not has_room(spot, thing, self.occupied, self.placed):
                continue
            place = np.array([*spot, self.occupied.height + 0.002])
            standing = thing.shape.moved(about_up(rng.uniform(0, 2 * np.pi)), place)
            if self.sight.admits(standing, self.most):
                number = self.palette.add_thing(rng, thing.texture) if material is None else material
                self.shapes.append(replace(standing, material=number, label=OBJECT_LABEL))
                self.placed.append((spot, thing))
                return True
        return False

    def lay(self, rng: np.random.Generator, shape: Shape, lift: float, material: int) -> bool:
        """Put a flat shape onto the table, `lift` metres above it, if it touches nothing. Return True if it did."""
        for _ in range(5):
            if self.top is None:
                return False
            place = np.array([*self.spot(rng), self.occupied.height + lift])
            lain = shape.moved(about_up(rng.uniform(0, 2 * np.pi)), place)
            if self.top.holds(lain.vertices[:, :2], 0.0) and self._free_below(lain) and self.sight.admits(lain, 0.1):
                self.shapes.append(replace(lain, material=material, label=OBJECT_LABEL))
                return True
        return False

    def _free_below(self, lain: Shape) -> bool:
        """Return True if no point of the person and no object stands in a flat shape."""
        vertices = lain.vertices
        for spot, thing in self.placed:
            under = np.linalg.norm(vertices[:, :2] - spot, axis=1) < thing.radius + 0.5 * GAP
            if (vertices[under, 2] > self.occupied.height + 0.002).any():
                return False
        low = self.occupied.points[self.occupied.points[:, 2] < vertices[:, 2].max() + 0.004]
        if not len(low):
            return True
        found = KDTree(vertices[:, :2]).query(low[:, :2], distance_upper_bound=0.02)
        distance, nearest = np.asarray(found[0]), np.asarray(found[1])
        close = distance < 0.02
        return not (low[close, 2] < vertices[nearest[close], 2] + 0.001).any()

    def hang(self, rng: np.random.Generator, thing: Thing, center: np.ndarray, most: float, least: float = 0.0) -> bool:
        """Put an object in a random orientation around `center` (3,), clear of people, table and standing objects.

        It may touch hanging or lying objects. Return False, and add nothing, if there is no room for it.
        """
        turn = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
        place = center - turn @ [0.0, 0.0, 0.5 * thing.height]
        hung = thing.shape.moved(turn, place)
        if self.top is not None and hung.vertices[:, 2].min() < self.occupied.height + GAP:
            return False
        bound = float(np.hypot(thing.radius, 0.5 * thing.height)) + GAP
        for spot, other in self.placed:
            beside = np.linalg.norm(center[:2] - spot) > bound + other.radius
            if not beside and center[2] - bound < self.occupied.height + other.height:
                return False
        local = (self.occupied.points - place) @ turn
        inside = np.hypot(local[:, 0], local[:, 1]) < thing.radius + GAP
        if (inside & (local[:, 2] > -GAP) & (local[:, 2] < thing.height + GAP)).any():
            return False
        if not self.sight.admits(hung, most, least):
            return False
        number = self.palette.add_thing(rng, thing.texture)
        self.shapes.append(replace(hung, material=number, label=OBJECT_LABEL))
        return True


def _litter(rng: np.random.Generator, site: _Site, staging: Staging) -> None:
    """Add papers, objects, a cloth and cables on the table, a wall or monitor, and a near object at the border."""
    if site.top is None:
        site.top, site.occupied, shapes = ground_without_table(rng, staging, site.occupied, site.palette)
        site.shapes += shapes
    elif rng.random() < (0.4 if staging.egocentric else 0.65):
        shapes, points = wall_behind(rng, site.occupied, site.placed, site.palette)
        site.shapes += shapes
        site.occupied = replace(site.occupied, points=np.concatenate([site.occupied.points, points]))
    for k in range(int(rng.integers(0, 4))):
        number = site.palette.add(_paper_texture(rng), 0.0, 8.0, rng.uniform(0.6, 0.9))
        site.lay(rng, lying.paper(rng), 0.0016 + 0.0001 * k, number)
    for _ in range(int(rng.integers(6, 20))):
        site.stand(rng, some_thing(rng, objects.CLUTTER, site.palette))
    if rng.random() < 0.4:
        texture = site.palette.surface(rng, textures.cloth)
        site.lay(rng, lying.cloth(rng), 0.002, site.palette.add(texture, 0.0, 8.0, rng.uniform(0.1, 0.9)))
    for _ in range(int(rng.integers(0, 4))):
        number = site.palette.add(prints.metal(rng), rng.uniform(0.0, 0.2), 20.0, rng.uniform(0.03, 0.6))
        site.lay(rng, lying.cable(rng), 0.002, number)
    if rng.random() < 0.35:
        _at_the_border(rng, site)


def _paper_texture(rng: np.random.Generator) -> np.ndarray:
    return prints.sheet(rng) if rng.random() < 0.75 else prints.decorated(rng, textures.plain(rng))


def _skin_like_things(rng: np.random.Generator, site: _Site) -> None:
    """Add one to four round objects and cloths in a colour of skin."""

    def material() -> int:
        shine, gloss = rng.uniform(0.0, 0.15), rng.uniform(8.0, 40.0)
        return site.palette.add(textures.skin_like(rng), shine, gloss, rng.uniform(0.4, 0.7))

    for _ in range(int(rng.integers(1, 5))):
        if rng.random() < 0.3:
            site.lay(rng, lying.cloth(rng), 0.002, material())
        else:
            site.stand(rng, objects.ROUNDISH[int(rng.integers(len(objects.ROUNDISH)))](rng), material())


def _at_the_border(rng: np.random.Generator, site: _Site) -> None:
    """Add an object, nearer than the hands, that reaches into the picture and is held from outside."""
    camera = site.view.camera
    hands = site.occupied.hands or (site.occupied.center[None],)
    nearest = min(float((hand @ site.level)[:, 2].min()) for hand in hands)
    for _ in range(8):
        thing = some_thing(rng, (*_FLOATING, objects.phone, objects.scissors), site.palette)
        depth = rng.uniform(0.4, 0.9) * nearest
        outward = float(camera.focal[0]) * thing.radius / depth  # pixels
        if depth < 0.15 or outward > 0.3 * camera.width:
            continue
        pixel = rng.uniform(0.0, 1.0, 2) * [camera.width, camera.height]
        axis = int(rng.integers(2))
        beyond = rng.uniform(0.0, 0.8) * outward
        pixel[axis] = -beyond if rng.random() < 0.5 else (camera.width, camera.height)[axis] + beyond
        center = site.level @ camera.unproject(pixel[None], np.array([depth]))[0]
        if site.hang(rng, thing, center, most=0.1):
            return


def _hang_in_front(rng: np.random.Generator, site: _Site) -> None:
    """Add an object between the camera and a hand that hides a fifth of the hand or more."""
    hands, most = site.occupied.hands, site.config.largest_cover
    least = _LEAST_COVER[most == DEEPEST_COVER]
    for _ in range(_FLOATING_TRIES):
        hand = hands[int(rng.integers(len(hands)))]
        point = hand[int(rng.integers(len(hand)))]
        thing = some_thing(rng, _FLOATING, site.palette)
        center = point * rng.uniform(0.5, 0.93)
        if np.linalg.norm(center) < thing.radius + 0.5 * thing.height + 0.08:  # too close to the camera
            continue
        if site.hang(rng, thing, center, most, least):
            return
