"""Spots where the depth and the colours around them look like a hand, for hands that show no palm.

A small network (484-64-64-11) judges every cell of a coarse grid over the frame by colours and depths on rings around
it. The radii of the rings are metres: the cell's own depth tells how many pixels they are, so near and far hands look
alike. It says whether the cell shows a hand, where the hand's middle is and which way the fingers point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from twohands.geometry.camera import Camera
from twohands.geometry.record import TensorRecord
from twohands.locate.perceptron import Perceptron
from twohands.types import RGBDFrame

CELLS = 80
"""Cells along the longer side of the frame."""
RADII = (0.03, 0.06, 0.10, 0.15, 0.22, 0.32)
"""Radii of the rings, metres."""
DIRECTIONS, HEADINGS = 16, 8
"""Places on a ring, and directions of the fingers that the network tells apart."""
DEPTHS = (0.15, 2.5)
"""Depths between which hands are looked for, metres."""
STEP, OFFSET = 0.08, 0.05
"""Scales of a depth difference and of the way to the hand's middle, metres."""
LIKELY = 0.2
"""Smallest probability of a cell that counts."""
APART = 0.07
"""Smallest distance of two spots, metres."""
OWN = 0.04
"""Distance from the middle of a known hand within which the middle that a cell tells is this hand's, metres."""
NO_HANDS = np.zeros((0, 3))
"""Middles of no hands."""
SAME_DEPTH = 0.12
"""Largest difference in depth of the cells of one spot, metres."""
MOST_CELLS = 600
MOST_HEADINGS = 3
"""Largest number of directions that one spot tells, without the opposite of the likeliest."""
OPPOSITE, TURNED = 0.3, 2.2
"""Likelihood of the opposite direction, relative to the likeliest one, and the angle (radians) from which a direction
counts as its opposite."""
FULL_AREA = 0.003
"""Area of likely cells in square metres from which a spot does not become likelier."""
RING = np.stack(
    [
        radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        for angles in [np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)]
        for radius in RADII
    ]
).reshape(-1, 2)
"""(96, 2) places on the rings, metres."""


@dataclass(frozen=True)
class Cells(TensorRecord):
    """A frame on the grid, and the surroundings of some of its cells."""

    size: int  # pixels along a cell
    pixels: np.ndarray  # (N, 2) middles of the cells
    depth: np.ndarray  # (N,) metres
    colour: np.ndarray  # (N, 3) logarithms: red / green, blue / green, brightness
    around: np.ndarray  # (N, 5, 96) relative depth in STEPs, 1 where measured, colours as `colour`

    def features(self) -> np.ndarray:
        """Return the network's input (N, 484)."""
        around = self.around.copy()
        around[:, 2:] = np.clip(around[:, 2:] - self.colour[:, :, None], -1.5, 1.5)
        own = np.column_stack([np.log(self.depth), self.colour])
        return np.concatenate([around.reshape(len(around), 5 * len(RING)), own], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Spots(TensorRecord):
    """Places that may show a hand, likeliest first; one place may be told with several directions."""

    pixels: np.ndarray  # (M, 2) middle of the hand
    depth: np.ndarray  # (M,) metres
    angle: np.ndarray  # (M,) direction of the fingers in the image: 0 is up, pi / 2 to the right
    score: np.ndarray  # (M,) in [0, 1]


def cells_of(frame: RGBDFrame, chosen: np.ndarray | None = None) -> Cells:
    """Return the cells of a frame with a reading between DEPTHS, or those with the numbers `chosen` among them."""
    height, width = frame.depth.shape
    size = max(1, round(max(height, width) / CELLS))
    rows, columns = height // size, width // size
    planes = [np.asarray(Image.fromarray(np.ascontiguousarray(plane)).reduce(size)) for plane in np.asarray(frame.rgb)]
    red, green, blue = np.stack(planes)[:, :rows, :columns] + 0.02
    colours = np.stack([np.log(red / green), np.log(blue / green), np.log((red + green + blue) / 3 + 0.03)], axis=-1)
    depth = np.asarray(frame.depth)[size // 2 : rows * size : size, size // 2 : columns * size : size]
    row, column = np.nonzero((depth > DEPTHS[0]) & (depth < DEPTHS[1]))
    if chosen is not None:
        row, column = row[chosen], column[chosen]
    own = depth[row, column]
    focal = float(np.mean(np.asarray(frame.camera.focal))) / size
    places = np.stack([column, row], axis=-1)[:, None] + RING * (focal / own)[:, None, None]
    u, v = np.moveaxis(np.rint(places).astype(np.int32), -1, 0)
    inside = (u >= 0) & (v >= 0) & (u < columns) & (v < rows)
    index = v.clip(0, rows - 1) * columns + u.clip(0, columns - 1)
    reading = depth.ravel()[index]
    measured = inside & (reading > 0)
    beyond = np.where(measured, np.clip((reading - own[:, None]) / STEP, -2, 2), 0)
    tints = np.moveaxis(colours.reshape(-1, 3)[index], -1, 1)
    around = np.concatenate([beyond[:, None], measured[:, None], tints], axis=1).astype(np.float32)
    pixels = (np.stack([column, row], axis=-1) + 0.5) * size - 0.5
    return Cells(size, pixels, own.astype(np.float32), colours[row, column].astype(np.float32), around)


@dataclass(frozen=True)
class JudgedCells:
    """The cells of a frame, and what the network tells of each."""

    cells: Cells
    values: np.ndarray  # (N, 11) outputs of the network
    camera: Camera  # of the frame

    def spots(self, places: int = 4, known: np.ndarray = NO_HANDS) -> Spots:
        """Return up to `places` places, each with up to MOST_HEADINGS directions.

        known (N, 3): middles of known hands, metres; the cells of these hands do not count, so that a hand beside them
        is found.
        """
        likely = 1 / (1 + np.exp(-self.values[:, 0]))
        middle = np.asarray(self.camera.unproject(middles(self), self.cells.depth))
        away = np.linalg.norm(middle[:, None] - known, axis=-1)
        likely = np.where((away > OWN).all(axis=1), likely, 0)
        best = np.argsort(-likely)[:MOST_CELLS]
        best = best[likely[best] > LIKELY]
        chosen = JudgedCells(self.cells.map(lambda array: array[best]), self.values[best], self.camera)
        return merged(chosen, likely[best], places)


class SpotFinder:
    """Function from a frame to its Spots."""

    def __init__(self) -> None:
        self.judge = Perceptron("spots")

    def __call__(self, frame: RGBDFrame, places: int = 4) -> Spots:
        """Return the spots of a frame, see `JudgedCells.spots`."""
        return self.judged(frame).spots(places)

    def judged(self, frame: RGBDFrame) -> JudgedCells:
        """Return the cells of a frame with what the network tells of them, from which spots are drawn."""
        cells = cells_of(frame)
        return JudgedCells(cells, self.judge(cells.features()), frame.camera)


def middles(judged: JudgedCells) -> np.ndarray:
    """Return the pixels (N, 2) of the middles of the hands that cells tell."""
    return judged.cells.pixels + judged.values[:, 1:3] * OFFSET * _pixels_per_metre(judged)[:, None]


def _pixels_per_metre(judged: JudgedCells) -> np.ndarray:
    return float(np.mean(np.asarray(judged.camera.focal))) / judged.cells.depth


def merged(judged: JudgedCells, likely: np.ndarray, places: int) -> Spots:
    """Return the spots on which cells with probabilities `likely` (N,) agree."""
    cells, values = judged.cells, judged.values
    pixels_per_metre, middle = _pixels_per_metre(judged), middles(judged)
    away = np.linalg.norm(middle[:, None] - middle, axis=-1) / pixels_per_metre[:, None]
    same = (away < APART / 2) & (np.abs(cells.depth[:, None] - cells.depth) < SAME_DEPTH)
    area = (cells.size / pixels_per_metre) ** 2
    votes = same @ (likely * area)
    score = np.minimum(votes / FULL_AREA, 1) * votes / np.maximum(same @ area, 1e-12)
    shares = np.exp(values[:, 3:] - values[:, 3:].max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    found = []
    for _ in range(places):
        if not (score > 0).any():
            break
        first = int(score.argmax())
        weight = (likely * area)[same[first]]
        table = np.column_stack([middle, cells.depth, shares])[same[first]]
        u, v, depth, *share = np.average(table, axis=0, weights=weight)
        found += [(u, v, depth, angle, score[first] * part) for angle, part in headings(np.array(share))]
        score[away[:, first] < APART] = 0
    rows = np.array(found, dtype=np.float64).reshape(-1, 5)
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    return Spots(rows[:, :2], rows[:, 2], rows[:, 3], rows[:, 4])


def headings(share: np.ndarray) -> list[tuple[float, float]]:
    """Return the directions (radians) that probabilities (HEADINGS,) tell, likeliest first, and the mass of each.

    The forearm is easily taken for the fingers, so the opposite of the likeliest direction is always among them.
    """
    found, step = [], 2 * np.pi / HEADINGS
    kernel = np.array([0.5, 1, 0.5])
    for _ in range(MOST_HEADINGS):
        near = np.stack([np.roll(share, 1) / 2, share, np.roll(share, -1) / 2])
        mass = near.sum(axis=0)
        best = int(mass.argmax())
        if mass[best] < 0.15:
            break
        found.append((step * (best + (near[2, best] - near[0, best]) / mass[best]), float(mass[best])))
        share = share.copy()
        share[(best + np.array([-1, 0, 1])) % HEADINGS] *= 1 - kernel
    if found and all(math.cos(angle - found[0][0]) > math.cos(TURNED) for angle, _ in found):
        found.append((found[0][0] + np.pi, OPPOSITE * found[0][1]))
    return found
