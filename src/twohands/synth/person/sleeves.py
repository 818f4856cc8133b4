"""Long sleeves that hang on the arm: hems, buttoned and rolled cuffs, ribs, wide ends, folds.

Every line around the arm keeps at least a thin layer of air to the skin's convex hull, so no skin pokes through. The
lining runs back inside until it meets the arm, so no camera sees into an open tube.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from twohands.synth.acts.arms import Arm
from twohands.synth.person.body import arm_to_body, facing_out, rounded_end
from twohands.synth.person.limb import AROUND, Limb
from twohands.synth.rendering.shapes import Shape, lathe, merged, tube
from twohands.synth.things.palette import Palette

_LEAST_GAP = 0.0012  # metres between skin and cloth
_LONGEST_STEP = 0.007  # metres between two lines around the arm
_KINDS = ("hem", "buttoned", "ribbed", "rolled", "wide")
_SHARES = (0.30, 0.25, 0.15, 0.12, 0.18)


@dataclass(frozen=True)
class SleeveStyle:
    """The style of one person's sleeves. Lengths are in metres."""

    kind: str  # "hem", "buttoned", "ribbed", "rolled" or "wide"
    cuff: float  # place of the edge up the arm from the wrist joint; negative: on the root of the hand
    step: float  # mean height of the edge over the skin
    thickness: float  # thickness of the cloth at the edge
    band: float  # length of the cuff, 0 where the sleeve has none
    ease: float  # height over the skin farther up the arm
    folds: float  # height of the folds
    cloth: int  # number of the cloth's material
    button: int  # number of the buttons' material


def sample_style(rng: np.random.Generator, cloth: int, palette: Palette) -> SleeveStyle:
    """Draw a style of sleeves of material `cloth`. Buttons get a material of their own."""
    kind = str(rng.choice(_KINDS, p=_SHARES))
    cuff = rng.uniform(-0.010, 0.030) if rng.random() < 0.5 else rng.uniform(0.03, 0.13)
    if kind == "rolled":
        cuff = rng.uniform(0.05, 0.14)
    step = {"ribbed": (0.004, 0.006), "wide": (0.011, 0.015)}.get(kind, (0.004, 0.012))
    band = {"buttoned": (0.04, 0.07), "ribbed": (0.03, 0.06), "rolled": (0.025, 0.05)}.get(kind, (0.0, 0.0))
    button = palette.add(np.full((4, 4, 3), int(rng.choice([25, 90, 225])), np.uint8), 0.3, 40.0, rng.uniform(0.2, 0.8))
    return SleeveStyle(
        kind=kind,
        cuff=cuff,
        step=rng.uniform(*step),
        thickness=rng.uniform(0.0015, 0.003),
        band=rng.uniform(*band),
        ease=rng.uniform(0.012, 0.018) if kind == "wide" else rng.uniform(0.006, 0.016),
        folds=rng.uniform(0.0015, 0.005),
        cloth=cloth,
        button=button,
    )


def long_sleeve(
    rng: np.random.Generator,
    style: SleeveStyle,
    limb: Limb,
    arm: Arm,
    scale: float,
    up: np.ndarray,
    end: np.ndarray,
) -> list[Shape]:
    """Return one sleeve from its cuff over the elbow and the shoulder to `end` (3,); `up` (3,) is against gravity.

    `limb` is `limb.arm_limb` of this arm. The caller sets the labels.
    """
    at, height = _outline(rng, style, float(limb.along[-1]))
    upper = replace(arm_to_body(arm, scale, end, extra=style.ease), material=style.cloth)
    rings = limb.rings(at, _hanging(height, limb, at, up, _slack(style, at)))
    rings = _slanted(rng, rings, limb, at, style.cuff)
    parts = [replace(facing_out(tube(rounded_end(rings), u_repeat=2.0)), material=style.cloth), upper]
    if style.kind == "buttoned":
        parts.append(replace(_buttons(rng, style, rings, at), material=style.button))
    return parts


def _outline(rng: np.random.Generator, style: SleeveStyle, elbow: float) -> tuple[np.ndarray, np.ndarray]:
    """Return places (K,) along the arm and heights (K, AROUND) over the skin: lining, edge, cuff, sleeve to the elbow.

    The lining starts below the skin.
    """
    cuff, step, thick, band = style.cuff, style.step, style.thickness, style.band
    inner = max(step - thick, _LEAST_GAP)
    lining = [(cuff + 0.045, -0.002), (cuff + 0.025, 0.6 * inner), (cuff + 0.0005, inner)]
    edge = [(cuff - 0.0008, 0.5 * (inner + step)), (cuff, step)]
    if band == 0:
        edge += [(cuff + 0.012, step - 0.0003), (cuff + 0.013, step + 0.0004)]  # the seam of a hem
    elif style.kind == "rolled":
        edge += [(cuff + 0.002, step + 0.0012), (cuff + band - 0.002, step + 0.0015), (cuff + band, step)]
        edge += [(cuff + band + 0.0005, max(step - 0.003, _LEAST_GAP))]
    else:
        edge += [(cuff + band - 0.002, step), (cuff + band, step - 0.0006), (cuff + band + 0.003, step + 0.0015)]
    start = edge[-1][0]
    last = elbow - 0.003  # a plane at the elbow itself would cut nothing
    places = np.linspace(start, last, int(np.ceil((last - start) / _LONGEST_STEP)) + 1)[1:]
    grown = np.clip((places - start) / 0.05, 0, 1)
    heights = edge[-1][1] + grown * (3 - 2 * grown) * grown * (style.ease - edge[-1][1])
    if style.kind == "ribbed":  # cloth gathers above the rib
        heights = heights + 0.006 * np.sin(np.pi * np.clip((places - start) / 0.05, 0, 1))
    folds = np.zeros((len(places), AROUND))
    for _ in range(3):
        folds += _fold(rng, places)
    folds *= style.folds * np.clip((places - start) / 0.02, 0.25, 1)[:, None]
    edge = [(place, max(height, _LEAST_GAP)) for place, height in edge]
    at, fixed = _refined(np.array([*lining, *edge])).T
    loose = np.maximum(heights[:, None] + folds, _LEAST_GAP)
    return np.concatenate([at, places]), np.concatenate([np.tile(fixed[:, None], (1, AROUND)), loose])


def _refined(line: np.ndarray) -> np.ndarray:
    """Return the points (K, 2) of a line with more in between: no step along the arm, which may bend, is long."""
    steps = np.ceil(np.abs(np.diff(line[:, 0])) / _LONGEST_STEP).astype(int)
    pieces = [np.linspace(a, b, max(n, 1), endpoint=False) for a, b, n in zip(line[:-1], line[1:], steps, strict=True)]
    return np.concatenate([*pieces, line[-1:]])


def _fold(rng: np.random.Generator, places: np.ndarray) -> np.ndarray:
    """Return slanting wrinkles (K, AROUND) in [-0.6, 0.6], sharper at their tops, that fade around the arm."""
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    wave, slant = rng.uniform(0.018, 0.05), rng.choice([-1.0, 0.0, 1.0]) * rng.uniform(0.5, 1.5)
    phase = 2 * np.pi * places[:, None] / wave + slant * np.sin(angle + rng.uniform(0, 2 * np.pi)) + rng.uniform(0, 6.3)
    crest = (0.5 + 0.5 * np.sin(phase)) ** 1.5 - 0.4
    return crest * (0.5 + 0.5 * np.sin(angle + rng.uniform(0, 2 * np.pi)))


def _slack(style: SleeveStyle, at: np.ndarray) -> np.ndarray:
    """Return the metres (K,) by which the cloth hangs below the arm: most at the end of a wide sleeve."""
    if style.kind != "wide":
        return np.full(len(at), 0.5 * style.step)
    return 0.5 * style.step + 0.022 * np.clip(1 - (at - style.cuff) / 0.12, 0, 1)


def _hanging(height: np.ndarray, limb: Limb, at: np.ndarray, up: np.ndarray, slack: np.ndarray) -> np.ndarray:
    """Return heights (K, AROUND) after gravity: the cloth rests on the arm's upper side and does not enter it."""
    _, frames = limb.axes(at)
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    upward = frames.transpose(0, 2, 1) @ up  # (K, 3)
    rise = upward[:, :1] * np.cos(angle) + upward[:, 1:2] * np.sin(angle)
    lying = height - 0.55 * np.maximum(height - _LEAST_GAP, 0) * np.maximum(rise, 0)
    return lying + (slack * (height[:, 0] > 0))[:, None] * np.maximum(-rise, 0) ** 1.5


def _slanted(rng: np.random.Generator, rings: np.ndarray, limb: Limb, at: np.ndarray, cuff: float) -> np.ndarray:
    """Return the rings moved along the arm so that the edge is not plane. Nothing moves beyond 4 cm up the arm."""
    angle = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)
    wave = rng.uniform(0.0, 0.004) * np.cos(angle + rng.uniform(0, 6.3))
    wave = wave + rng.uniform(0.0, 0.0015) * np.cos(3 * angle + rng.uniform(0, 6.3))
    near = np.clip(1 - (at - cuff) / 0.04, 0, 1)[:, None] * wave
    _, frames = limb.axes(at)
    return rings + near[..., None] * frames[:, None, :, 2]


def _buttons(rng: np.random.Generator, style: SleeveStyle, rings: np.ndarray, at: np.ndarray) -> Shape:
    """Return one or two buttons on the outer side of the cuff."""
    outside = np.arange(len(at)) > int(np.argmin(at))
    row = int(np.argmax(outside & (at >= style.cuff + 0.4 * style.band)))
    corner = int(rng.integers(AROUND))
    above = rings[row] - rings[row].mean(axis=0)
    outward = np.cross(
        rings[row, (corner + 1) % AROUND] - rings[row, corner - 1], rings[row + 1, corner] - rings[row, corner]
    )
    outward = outward / np.linalg.norm(outward) * np.sign(outward @ above[corner])
    side = np.cross(outward, [0.3, 0.5, 0.8])
    side = side / np.linalg.norm(side)
    turn = np.stack([side, np.cross(outward, side), outward], axis=-1)
    button = lathe([(0.0055, -0.001), (0.0055, 0.0012), (0.0045, 0.0020), (0.0, 0.0014)], 14)
    onward = rings[row + 1, corner] - rings[row, corner]
    spots = [rings[row, corner] + share * onward for share in ([0.2, 0.9] if rng.random() < 0.4 else [0.4])]
    return merged([button.moved(turn, spot) for spot in spots])
