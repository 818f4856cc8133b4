"""Watches, bracelets and rings on wrists and fingers, fitted to the skin below them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from twohands.synth.config import SynthConfig
from twohands.synth.person.body import facing_out
from twohands.synth.person.limb import AROUND, Limb, finger_limb
from twohands.synth.rendering.shapes import Shape, ball, lathe, merged, sharp, tube
from twohands.synth.things import textures
from twohands.synth.things.palette import Palette

_FINGER_SHARES = (0.20, 0.25, 0.43, 0.12)
"""Probabilities of a ring on the index, middle, ring and little finger."""
_METALS = np.array([[0.86, 0.66, 0.30], [0.80, 0.80, 0.82], [0.88, 0.62, 0.50], [0.24, 0.24, 0.26]])
_METAL_SHARES = (0.38, 0.38, 0.08, 0.16)


def band(limb: Limb, at: float, section: np.ndarray, drop: np.ndarray | None = None, repeat: float = 1.0) -> Shape:
    """Return a closed ring around a limb. `section` (P, 2) is its outline: metres along the limb and above the skin."""
    loop = np.concatenate([section, section[:1]])
    return facing_out(tube(limb.rings(at + loop[:, 0], loop[:, 1], drop), repeat, v_scale=60.0))


def strap_section(width: float, thickness: float, inside: float = -0.0004) -> np.ndarray:
    """Return a flat section with rounded edges that starts `inside` metres above the skin."""
    w, t = 0.5 * width, inside + thickness
    edge = min(0.3 * thickness, 0.2 * width)
    return np.array(
        [[0, inside], [w - edge, inside], [w, inside + edge], [w, t - edge], [w - edge, t], [0, t + 0.05 * thickness]]
        + [[edge - w, t], [-w, t - edge], [-w, inside + edge], [edge - w, inside]]
    )


def round_section(width: float, thickness: float, inside: float = -0.0002) -> np.ndarray:
    """Return an ellipse with its lowest point `inside` metres above the skin."""
    angle = np.linspace(-np.pi / 2, 1.5 * np.pi, 10, endpoint=False)
    return np.stack([0.5 * width * np.cos(angle), inside + 0.5 * thickness * (1 + np.sin(angle))], axis=-1)


def sample_wear(
    rng: np.random.Generator, config: SynthConfig, limb: Limb, up: np.ndarray, cuff: float | None, palette: Palette
) -> list[Shape]:
    """Return a watch or bracelets for a fraction `config.watches` of arms, nothing for the others.

    Wear stays below a sleeve that ends at `cuff` metres; `up` (3,). Materials are added; the caller sets the labels.
    """
    if rng.random() >= config.watches:
        return []
    last = np.inf if cuff is None else cuff - 0.004
    if rng.random() < 0.6:
        at, width = rng.uniform(0.028, 0.044), rng.uniform(0.014, 0.022)
        return _watch(rng, limb, at, width, palette) if at + 0.022 < last else []
    shapes, place = [], rng.uniform(0.012, 0.030)
    for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15]))):
        width = rng.uniform(0.003, 0.012)
        if place + 0.5 * width < last:
            shapes += _bracelet(rng, limb, place, width, up, palette)
        place += width + rng.uniform(0.002, 0.010)
    return shapes


def sample_rings(
    rng: np.random.Generator,
    config: SynthConfig,
    vertices: np.ndarray,
    joints: np.ndarray,
    dorsal: np.ndarray,
    palette: Palette,
) -> list[Shape]:
    """Return one or two rings for a fraction `config.rings` of hands, none for the others.

    Hand vertices (1609, 3), joints (21, 3), `dorsal` (3,) out of the back of the hand; camera frame.
    """
    if rng.random() >= config.rings:
        return []
    fingers = rng.choice([1, 2, 3, 4], size=int(rng.choice([1, 2], p=[0.75, 0.25])), replace=False, p=_FINGER_SHARES)
    shapes = []
    for finger in fingers:
        limb = finger_limb(vertices, joints, dorsal, int(finger))
        at = limb.along[-1] * rng.uniform(0.56, 0.70)
        width, thickness = rng.uniform(0.002, 0.004), rng.uniform(0.0011, 0.0018)
        flat = rng.random() < 0.4
        section = strap_section(width, thickness, -0.0001) if flat else round_section(width, thickness, -0.0001)
        material = _metal(rng, palette)
        shapes.append(replace(band(limb, at, section), material=material))
        if rng.random() < 0.3:
            shapes.append(_stone(rng, limb, at, thickness, palette))
    return shapes


def _stone(rng: np.random.Generator, limb: Limb, at: float, thickness: float, palette: Palette) -> Shape:
    """Return a cut stone or a signet plate on the back of a ring."""
    place, turn = _seat(limb, at, 0.6 * thickness)
    size, height = rng.uniform(0.0022, 0.0045), rng.uniform(0.0012, 0.003)
    shape = lathe(
        sharp([(0.0, -0.001), (0.8 * size, -0.001), (size, 0.5 * height), (0.6 * size, height), (0, height)]), 10
    )
    material = palette.add(_tinted(rng, textures.random_color(rng)), 0.9, 90.0, rng.uniform(0.2, 0.8))
    return replace(shape.moved(turn, place), material=material)


def _seat(limb: Limb, at: float, height: float, palmar: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return a point (3,) above the skin on the limb's back, and columns (3, 3) along the limb, across it, outwards."""
    ring = limb.rings(np.array([at]), np.array([height]))[0]
    _, frames = limb.axes(np.array([at]))
    outward = -frames[0, :, 1] if palmar else frames[0, :, 1]
    onward = frames[0, :, 2]
    return ring[3 * AROUND // 4 if palmar else AROUND // 4], np.stack(
        [onward, np.cross(outward, onward), outward], axis=-1
    )


def _watch(rng: np.random.Generator, limb: Limb, at: float, width: float, palette: Palette) -> list[Shape]:
    """Return strap, case and glass."""
    thickness = rng.uniform(0.0018, 0.0032)
    links = rng.random() < 0.35
    strap = _links(rng, palette) if links else _leather(rng, palette)
    shapes = [replace(band(limb, at, strap_section(width, thickness), repeat=30.0 if links else 4.0), material=strap)]
    radius, height = rng.uniform(0.55, 0.95) * width + 0.006, rng.uniform(0.007, 0.011)
    square = rng.random() < 0.4
    place, turn = _seat(limb, at, -0.0015, palmar=rng.random() < 0.12)
    below = (limb.vertices - place) @ turn  # a hand that is bent backwards lifts the case
    below = below[(np.abs(below[:, :2]) < 0.9 * radius).all(axis=1), 2]
    place = place + np.clip(below.max(initial=0.0) - 0.5 * height, 0.0, 0.004) * turn[:, 2]
    body = [(0.0, 0.0), (0.90 * radius, 0.0), (radius, 0.0025), (radius, 0.75 * height), (0.93 * radius, height)]
    rim = 0.86 if square else rng.uniform(0.78, 0.88)
    case = lathe(sharp([*body, (rim * radius, height), (rim * radius, height - 0.001), (0.0, height - 0.001)]), 40)
    glass = lathe([(rim * radius, height - 0.0004), (0.5 * rim * radius, height), (0.0, height + 0.0001)], 40)
    if square:
        aspect = rng.uniform(0.8, 1.0)
        case, glass = _squared(case, aspect), _squared(glass, aspect)
    glass = replace(glass, uv=0.5 + 0.499 * glass.vertices[glass.faces][..., :2] / (rim * radius))
    crown = ball(0.0026, 8).moved(np.eye(3), np.array([0.0, 1.0, 0.0]) * radius + [0.0, 0.0, 0.5 * height - 0.0026])
    dial = palette.add(_dial(rng, digital=square), 0.85, 220.0, rng.uniform(0.02, 0.2))
    metal = _metal(rng, palette)
    shapes += [replace(part.moved(turn, place), material=metal) for part in (case, crown)]
    return [*shapes, replace(glass.moved(turn, place), material=dial)]


def _squared(shape: Shape, aspect: float) -> Shape:
    """Return a lathed shape with rounded squares in place of circles, `aspect` times as wide as long."""
    across = shape.vertices[:, :2]
    radius = np.linalg.norm(across, axis=1, keepdims=True)
    corner = (np.abs(across / np.maximum(radius, 1e-9)) ** 5).sum(axis=1, keepdims=True) ** (1 / 5)
    flat = across / np.where(corner > 0, corner, 1.0) * [1.0, aspect]
    return replace(shape, vertices=np.concatenate([flat, shape.vertices[:, 2:]], axis=1), normals=None)


def _bracelet(
    rng: np.random.Generator, limb: Limb, at: float, width: float, up: np.ndarray, palette: Palette
) -> list[Shape]:
    """Return a bangle, beads, a cord or a rubber band."""
    kind = rng.choice(4, p=[0.3, 0.25, 0.25, 0.2])
    if kind == 0:  # loose and stiff: it hangs down until it rests on the arm
        gap = rng.uniform(0.001, 0.004)
        thin = rng.uniform(0.0015, 0.003)
        ring = band(limb, at, round_section(min(width, 0.006), thin, gap), drop=-0.8 * gap * up)
        return [replace(ring, material=_metal(rng, palette))]
    if kind == 1:
        radius = rng.uniform(0.0025, 0.0045)
        beads = _beads(limb.rings(np.array([at]), np.array([0.9 * radius]))[0], radius)
        shine, gloss, infrared = rng.uniform([0.1, 20.0, 0.1], [0.8, 90.0, 0.8])
        return [replace(beads, material=palette.add(textures.noise(rng, 64), shine, gloss, infrared))]
    if kind == 2:
        cord = band(limb, at, round_section(min(width, 0.005), rng.uniform(0.0015, 0.003)), repeat=12.0)
        return [replace(cord, material=palette.add(textures.stripes(rng, 64), 0.02, 10.0, rng.uniform(0.1, 0.8)))]
    rubber = band(limb, at, strap_section(width, rng.uniform(0.0015, 0.0025)))
    material = palette.add(_tinted(rng, textures.random_color(rng)), 0.06, 15.0, rng.uniform(0.1, 0.8))
    return [replace(rubber, material=material)]


def _beads(line: np.ndarray, radius: float) -> Shape:
    """Return balls that touch each other along a closed line (N, 3)."""
    closed = np.concatenate([line, line[:1]])
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    places = np.linspace(0, along[-1], int(along[-1] / (2.02 * radius)), endpoint=False)
    middles = np.stack([np.interp(places, along, closed[:, k]) for k in range(3)], axis=-1)
    bead = ball(radius, 8)
    return merged([bead.moved(np.eye(3), middle - [0, 0, radius]) for middle in middles])


def _tinted(rng: np.random.Generator, color: np.ndarray, unevenness: float = 0.04, size: int = 32) -> np.ndarray:
    """Return one colour (3,) with faint unevenness, (size, size, 3) uint8."""
    shades = color * (1 + unevenness * textures.fractal_noise(rng, size)[..., None])
    return (np.clip(shades, 0, 1) * 255 + 0.5).astype(np.uint8)


def _metal(rng: np.random.Generator, palette: Palette) -> int:
    """Add gold, silver, red gold or dark metal. Light and dark stripes around it imitate reflections."""
    color = _METALS[int(rng.choice(len(_METALS), p=_METAL_SHARES))] * rng.uniform(0.85, 1.1)
    knots = rng.uniform(0.35, 1.25, 9)
    knots[-1] = knots[0]
    shades = np.interp(np.linspace(0, 1, 64, endpoint=False), np.linspace(0, 1, 9), knots)
    texture = np.broadcast_to((np.clip(shades[:, None] * color, 0, 1) * 255).astype(np.uint8), (4, 64, 3))
    return palette.add(texture, rng.uniform(0.5, 1.0), rng.uniform(25.0, 120.0), rng.uniform(0.05, 0.7))


def _links(rng: np.random.Generator, palette: Palette) -> int:
    """Add a strap of metal links: dark gaps between bright pieces."""
    color = _METALS[int(rng.choice(len(_METALS), p=_METAL_SHARES))]
    shades = np.interp(np.arange(32), [0, 3, 6, 16, 27, 31], [0.15, 0.2, 0.7, 1.0, 0.75, 0.3])
    texture = np.broadcast_to((np.clip(shades[:, None] * color, 0, 1) * 255).astype(np.uint8), (4, 32, 3))
    return palette.add(texture, rng.uniform(0.3, 0.7), rng.uniform(25.0, 60.0), rng.uniform(0.1, 0.6))


def _leather(rng: np.random.Generator, palette: Palette) -> int:
    """Add a strap of leather, cloth or rubber: mostly dark, sometimes bright."""
    dark = rng.random() < 0.7
    color = textures.random_color(rng, (0.04, 0.35) if dark else (0.3, 0.95))
    return palette.add(_tinted(rng, color, 0.10, 64), rng.uniform(0.0, 0.12), 15.0, rng.uniform(0.03, 0.8))


def _dial(rng: np.random.Generator, digital: bool, size: int = 96) -> np.ndarray:
    """Return the picture below a watch's glass: ticks and two hands, or a dark screen with some writing."""
    v, u = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    image = np.full((size, size, 3), 0.015)
    if digital:
        if rng.random() < 0.4:
            for row in range(int(rng.integers(1, 4))):
                image[20 + 18 * row : 30 + 18 * row, 20 : int(rng.integers(40, 76))] = textures.random_color(rng)
        return (image * 255).astype(np.uint8)
    face, ink = (0.9, 0.08) if rng.random() < 0.5 else (0.05, 0.85)
    image[:] = face * (1 + rng.uniform(-0.06, 0.06, 3))
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    ticks = (radius > 0.74) & (radius < 0.9) & (np.abs((6 * angle / np.pi + 0.5) % 1 - 0.5) < 0.09)
    for length, wide in ((0.5, 0.05), (0.75, 0.035)):
        turn = rng.uniform(0, 2 * np.pi)
        ahead, aside = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
        ticks |= (ahead > -0.08) & (ahead < length) & (np.abs(aside) < wide)
    image[ticks] = ink
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)
