"""Other people's arms, and objects shaped like arms; none of them has a hand.

Built in level axes with the camera as the origin, like `surroundings`: x right, y forward, z up, metres.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from twohands.geometry.camera import Camera
from twohands.synth.around.surroundings import Occupied
from twohands.synth.config import SynthConfig
from twohands.synth.person.body import facing_out, rounded_end
from twohands.synth.person.skin import arm_skin
from twohands.synth.rendering.shapes import OBJECT_LABEL, Shape, grid_faces, lathe, sharp, tube
from twohands.synth.things import textures
from twohands.synth.things.objects import Thing
from twohands.synth.things.palette import Palette

_TRIES = 40
_GAP = 0.012  # metres to the person and to held objects
_LIFT = 0.005  # metres above the table
_LONGEST = 0.62  # largest visible length of an arm in metres
_MOST_HIDDEN = 0.1  # largest fraction of a hand's vertices behind an arm


def stray_arms(
    rng: np.random.Generator,
    config: SynthConfig,
    occupied: Occupied,
    points: np.ndarray,
    camera: Camera,
    level: np.ndarray,
    rests: Callable[[np.ndarray, float], bool] | None,
    palette: Palette,
) -> list[Shape]:
    """Return another person's arm or one to three arm-shaped objects near the hands (`config.distractors` of frames).

    They keep away from `points` (P, 3); `level` (3, 3) are level axes from the camera frame. Arms leave the picture at
    both ends or end under a heap of cloth. `rests` returns True if the table carries an object at a spot (2,) with a
    radius; without a table there are only arms in the air. The list is empty where there is no room.
    """
    if rng.random() >= config.distractors:
        return []
    keep_away = _KeepAway(points, occupied.hands, camera, level, rests)
    if rests is None or rng.random() < 0.5:
        return _somebody(rng, occupied, keep_away, palette)
    shapes: list[Shape] = []
    for _ in range(int(rng.integers(1, 4))):
        shapes += _rod(rng, occupied, keep_away, palette)
    return shapes


def pillars(placed: Sequence[tuple[np.ndarray, Thing]], table: float) -> np.ndarray:
    """Return points (P, 3) in the upright cylinders around objects at spots (2,) on a table at height `table`."""
    angle = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    points = [np.zeros((0, 3))]
    for spot, thing in placed:
        flat = (spot + thing.radius * np.array([0.4, 1.0])[:, None, None] * circle).reshape(-1, 2)
        for height in np.arange(0.0, thing.height + 0.02, 0.02):
            points.append(np.column_stack([flat, np.full(len(flat), table + height)]))
    return np.concatenate(points)


class _KeepAway:
    """The points and hands that a new object must not touch or hide."""

    def __init__(
        self,
        points: np.ndarray,
        hands: tuple[np.ndarray, ...],
        camera: Camera,
        level: np.ndarray,
        rests: Callable[[np.ndarray, float], bool] | None,
    ):
        self.points, self.camera, self.level, self.rests = points[::3], camera, level, rests
        self.hands = [(self.pixels(hand[::8]), (hand[::8] @ level)[:, 2]) for hand in hands]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels (N, 2) of points (N, 3); far outside the picture for points behind the camera."""
        seen = points @ self.level
        behind = seen[:, 2] < 0.02
        return np.where(behind[:, None], -1e6, self.camera.project(np.where(behind[:, None], [0.0, 0.0, 1.0], seen)))

    def outside(self, points: np.ndarray, radius: float) -> np.ndarray:
        """Return (N,) True where nothing within `radius` metres of points (N, 3) is in the picture."""
        pixels = self.pixels(points)
        margin = self._margin(points, radius)[:, None]
        size = np.array([self.camera.width, self.camera.height])
        return np.asarray(((pixels < -margin) | (pixels > size + margin)).any(axis=1))

    def carries(self, points: np.ndarray, radius: float) -> bool:
        """Return True if a table is below all of these points (N, 3)."""
        return self.rests is not None and all(self.rests(point[:2], radius) for point in points)

    def allows(self, path: np.ndarray, radius: float) -> bool:
        """Return True if a rod of `radius` metres along `path` (N, 3) has room and hides no hand."""
        if len(self.points):
            gap = np.linalg.norm(self.points[:, None] - path, axis=-1).min()
            if gap < radius + _GAP:
                return False
        here, reach, depth = self.pixels(path), self._margin(path, radius), (path @ self.level)[:, 2]
        for pixels, behind in self.hands:
            near = np.linalg.norm(pixels[:, None] - here, axis=-1) < reach
            if (near & (behind[:, None] > depth)).any(axis=1).mean() > _MOST_HIDDEN:
                return False
        return True

    def _margin(self, points: np.ndarray, radius: float) -> np.ndarray:
        return float(self.camera.focal[0]) * radius / np.maximum((points @ self.level)[:, 2], 0.02)


def _somebody(rng: np.random.Generator, occupied: Occupied, keep_away: _KeepAway, palette: Palette) -> list[Shape]:
    """Return an arm that rests on the table: straight, bent at the elbow, or with its end under a cloth."""
    thick = rng.uniform(0.036, 0.046)
    for _ in range(_TRIES):
        kind = rng.choice(["straight", "bent", "covered"], p=[0.3, 0.4, 0.3])
        start = _spot(rng, occupied, (0.12, 0.34), thick)
        if keep_away.rests is not None and not keep_away.carries(start[None], 0.12 if kind == "covered" else thick):
            continue
        turn, spread = rng.uniform(0, 2 * np.pi), 1.9 if kind == "bent" else 0.15
        rise = rng.uniform(0.0, 0.9) if kind == "bent" else rng.uniform(0.0, 0.15)
        path = _leg(keep_away, start, _direction(turn, rise), thick)
        if path is None:
            continue
        if kind == "covered":
            if (
                keep_away.rests is not None
                and keep_away.allows(start[None], 0.085)
                and keep_away.allows(path, thick + 0.01)
            ):
                heap = _heap(rng, start, occupied.height, path[1] - path[0], palette)
                return [*_arm_shapes(rng, path, thick, palette), heap]
            continue
        onward = _leg(keep_away, start, _direction(turn + np.pi + rng.uniform(-spread, spread), 0.5 * rise), thick)
        if onward is not None:
            path = np.concatenate([path[::-1], onward[1:]])
            if keep_away.allows(path, thick + 0.01):
                return _arm_shapes(rng, path, thick, palette)
    return []


def _spot(rng: np.random.Generator, occupied: Occupied, distance: tuple[float, float], radius: float) -> np.ndarray:
    """Return a point (3,) above the table, at a distance from the hands' middle."""
    turn, away = rng.uniform(0, 2 * np.pi), rng.uniform(*distance)
    flat = occupied.center[:2] + away * np.array([np.cos(turn), np.sin(turn)])
    return np.array([*flat, occupied.height + radius + _LIFT])


def _direction(turn: float, rise: float) -> np.ndarray:
    """Return a unit vector (3,) from the angles in the plane and above it, in radians."""
    return np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])


def _leg(keep_away: _KeepAway, start: np.ndarray, direction: np.ndarray, radius: float) -> np.ndarray | None:
    """Return a path (N, 3) from `start` until it leaves the picture for good; None if it is longer than an arm."""
    path = start + np.linspace(0, 0.9, 46)[:, None] * direction
    seen = np.flatnonzero(~keep_away.outside(path, 1.3 * radius))
    if len(seen) == 0 or seen[-1] * 0.02 > _LONGEST or seen[-1] < 3:
        return None
    return path[: seen[-1] + 4]


def _arm_shapes(rng: np.random.Generator, path: np.ndarray, thick: float, palette: Palette) -> list[Shape]:
    """Return skin along a path (N, 3), half of the time with a sleeve over one part of it."""
    path = gaussian_filter1d(path, 1.5, axis=0, mode="nearest")
    length = np.linspace(0, 1, len(path))
    muscle = thick * np.interp(length, [0, 0.15, 0.5, 1], [0.72, 0.8, 1.0, 1.05])
    tone, tint = rng.random(), 1 + rng.uniform(-0.04, 0.04, 3)
    skin = palette.add(
        arm_skin(rng, tone, tint, rng.uniform(0.6, 1.5)),
        rng.uniform(0.01, 0.05),
        15.0,
        rng.uniform(0.47, 0.63),
    )
    shapes = [replace(_swept(path, muscle, 0.86), material=skin, label=OBJECT_LABEL)]
    if rng.random() < 0.5:
        first = int(len(path) * rng.uniform(0.15, 0.7))
        gap = rng.uniform(0.005, 0.014) * np.ones(len(path) - first)
        folds = 0.003 * np.sin(rng.uniform(40, 90) * np.arange(len(gap)) * 0.02 + rng.uniform(0, 6.3))
        outer = muscle[first:] + gap + folds
        tail, radius = path[first:], outer
        lip = np.concatenate([path[[first + 1, first]], tail])
        shape = _swept(lip, np.concatenate([[0.8 * muscle[first], outer[0] - 0.002], radius]), 0.86, lining=2)
        cloth = palette.add(textures.cloth(rng), 0.0, 8.0, rng.uniform(0.03, 0.8))
        shapes.append(replace(shape, material=cloth, label=OBJECT_LABEL))
    return shapes


def _swept(path: np.ndarray, radius: np.ndarray, flat: float, lining: int = 0) -> Shape:
    """Return a tube of ellipses along `path` (N, 3), `flat` times as high as wide, its last end rounded.

    The first `lining` points run back inside. Their sections have the direction of the section after them.
    """
    tangents = np.gradient(path[lining:], axis=0)
    tangents = np.concatenate([np.repeat(tangents[:1], lining, axis=0), tangents])
    tangents = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
    across = np.cross(tangents, [0.0, 0.0, 1.0])
    across = across / np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    above = np.cross(across, tangents)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
    circle = np.cos(angle) * across[:, None] + flat * np.sin(angle) * above[:, None]
    return facing_out(tube(rounded_end(path[:, None] + radius[:, None, None] * circle), v_scale=6.0))


def _heap(rng: np.random.Generator, place: np.ndarray, table: float, along: np.ndarray, palette: Palette) -> Shape:
    """Return a towel or jumper over the end of an arm at `place` (3,) on a table at height `table`."""
    wide, tall = rng.uniform(0.07, 0.095), place[2] - table + rng.uniform(0.045, 0.06)
    angle = np.linspace(0, 2 * np.pi, 41)
    share = np.linspace(1, 0, 12)[:, None]
    waves = sum(rng.uniform(0.02, 0.08) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 5, 7))
    radius = wide * share * (1 + waves * share)
    height = tall * np.maximum(1 - share**3.0, 0) * (1 + 0.4 * waves * share * (1 - share))
    ahead = np.array([along[0], along[1], 0.0]) / max(float(np.hypot(along[0], along[1])), 1e-9)
    aside = np.cross([0.0, 0.0, 1.0], ahead)
    flat = 1.25 * (radius * np.cos(angle))[..., None] * ahead + (radius * np.sin(angle))[..., None] * aside
    vertices = np.array([place[0], place[1], table + 0.001]) + flat + height[..., None] * [0.0, 0.0, 1.0]
    uv = flat[..., :2].reshape(-1, 2) * 5
    faces = grid_faces(12, 41)
    cloth = palette.add(textures.cloth(rng), 0.0, 8.0, rng.uniform(0.05, 0.8))
    return replace(facing_out(Shape(vertices.reshape(-1, 3), faces, uv[faces])), material=cloth, label=OBJECT_LABEL)


def _rod(rng: np.random.Generator, occupied: Occupied, keep_away: _KeepAway, palette: Palette) -> list[Shape]:
    """Return a rolled cloth, a wooden dowel or a tube of about a skin's colour on the table."""
    kind = rng.choice(["cloth", "dowel", "tube"])
    low, high = {"cloth": (0.025, 0.05), "dowel": (0.006, 0.022), "tube": (0.018, 0.042)}[kind]
    radius, length = rng.uniform(low, high), rng.uniform(0.14, 0.38)
    for _ in range(_TRIES):
        middle, turn = _spot(rng, occupied, (0.06, 0.32), radius), rng.uniform(0, 2 * np.pi)
        axis = _direction(turn, 0.0)
        path = middle + np.linspace(-0.5, 0.5, 16)[:, None] * length * axis
        if not keep_away.carries(path[[0, -1]], radius) or keep_away.outside(path, radius).all():
            continue
        if not keep_away.allows(path, radius):
            continue
        frame = np.stack([np.array([0.0, 0.0, 1.0]), np.cross(axis, [0.0, 0.0, 1.0]), axis], axis=-1)
        shape = _roll(rng, radius, length) if kind == "cloth" else _pipe(radius, length, hollow=kind == "tube")
        if kind == "cloth":
            material = palette.add(textures.cloth(rng), 0.0, 8.0, rng.uniform(0.05, 0.8))
        elif kind == "dowel":
            material = palette.add(textures.wood(rng, 128), rng.uniform(0, 0.1), 20.0, rng.uniform(0.3, 0.8))
        else:
            skin = arm_skin(rng, rng.random(), 1 + rng.uniform(-0.08, 0.08, 3), rng.uniform(0.0, 1.0))
            material = palette.add(skin, rng.uniform(0, 0.3), rng.uniform(10, 60), rng.uniform(0.2, 0.8))
        keep_away.points = np.concatenate([keep_away.points, shape.moved(frame, path[0]).vertices])
        return [replace(shape.moved(frame, path[0]), material=material, label=OBJECT_LABEL)]
    return []


def _pipe(radius: float, length: float, hollow: bool) -> Shape:
    """Return a rod along z from 0 to `length`, or a tube with a wall and a floor near each end."""
    if not hollow:
        return lathe(sharp([(0.0, 0.0), (radius, 0.0), (radius, length), (0.0, length)]))
    inner, deep = 0.85 * radius, min(3 * radius, 0.4 * length)
    profile = [(0.0, deep), (inner, deep), (inner, 0.0), (radius, 0.0), (radius, length), (inner, length)]
    return lathe(sharp([*profile, (inner, length - deep), (0.0, length - deep)]))


def _roll(rng: np.random.Generator, radius: float, length: float) -> Shape:
    """Return a cloth rolled up along z: uneven, with the turns visible as steps at the ends."""
    steps = [(0.0, 0.006), (0.3, 0.004), (0.34, 0.010), (0.62, 0.002), (0.66, 0.008), (0.93, 0.0), (1.0, 0.004)]
    ends = [(share * radius, depth) for share, depth in steps]
    body = [(radius * rng.uniform(0.93, 1.0), length * share) for share in (0.2, 0.4, 0.6, 0.8)]
    return lathe([*ends, *body, *((wide, length - depth) for wide, depth in reversed(ends))])
