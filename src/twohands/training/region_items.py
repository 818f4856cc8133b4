"""Training items of the region network: both regions of a frame, with the errors of finder, landmarks and cameras.

The left place of a frame holds its left hand, the right place its right hand. A place without a hand, and now and then
one with, shows some other spot of the frame; now and then a hand is shown as if it were of the other side.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from twohands.geometry.record import Array, TensorRecord
from twohands.hands.free import free_hand_arrays
from twohands.hands.skeleton import FINGERTIPS, NUM_JOINTS, ROOT
from twohands.locate.landmarks import MAP_SHAPES, LandmarkReader, Landmarks
from twohands.locate.light import look_at_hand
from twohands.locate.spots import SpotFinder
from twohands.region import DEPTH_SIZE, Region, colour_picture, depth_picture, region_at
from twohands.types import LEFT, RGBDFrame, Sample

MESH_LEVEL = 252
"""Vertices of the mesh with which the hand parameters are compared."""
SHOWN, CLEAR = 0.08, 0.2
"""Smallest visible fraction of a hand whose joints are learned, and of one that must be called present."""
HIDDEN_NOISE = 3.0
"""Growth of the noise of true landmarks from a hand in full view to one of which nothing is visible."""
AWAY = 0.11
"""Smallest distance of a region without a hand from every joint of both hands, metres."""


@dataclass(frozen=True)
class Disturbance:
    """Standard deviations (metres, radians) and probabilities of what is done to a region."""

    place: float = 0.010
    far_place: float = 0.028
    angle: float = 0.2
    far_angle: float = 0.6
    far: float = 0.35
    """Fraction of the regions that are placed as by a spot, not by landmarks."""
    depth: float = 0.012
    far_depth: float = 0.03
    guessed_depth: float = 0.08
    """Relative error of the region's depth where none is measured."""
    no_depth: float = 0.08
    no_colour: float = 0.08
    true_landmarks: float = 0.5
    """Fraction of the hands whose landmarks are the truth with the noise that real pictures have."""
    no_landmarks: float = 0.15
    other_side: float = 0.12
    elsewhere: float = 0.12
    """Fractions of the hands that are shown as of the other side, and that are replaced by another spot."""
    tempting: float = 0.4
    """Fraction of the other spots that the spot finder takes for a hand."""
    alone: float = 0.25
    """Fraction of the pairs that do not see each other."""


@dataclass(frozen=True)
class RegionItem(TensorRecord):
    """Inputs and targets of the two regions of a frame, or of a batch of frames."""

    axes: Array  # (*B, 2, 3, 3)
    region_depth: Array  # (*B, 2)
    depth: Array  # (*B, 2, S, S) metres, NaN: not measured
    maps: tuple[Array, ...]  # (*B, 2, C, s, s) float16
    landmarks: Array  # (*B, 2, 21, 3)
    seen: Array  # (*B, 2, 2)
    companions: Array  # (*B,) the two are hands of one person, and may see each other
    joints: Array  # (*B, 2, 21, 3) plane coordinates
    vertices: Array  # (*B, 2, MESH_LEVEL, 3) metres from joint 9, axes of the region
    shown: Array  # (*B, 2) visible fraction of the hand; 0 where the region shows none
    right: Array  # (*B, 2) 1: a right hand as the region shows it
    mask: Array  # (*B, 2, S / 4, S / 4) fraction of a cell that is the hand


class RegionViews:
    """Random views of frames: `item(sample, rng)`."""

    def __init__(self, disturbance: Disturbance | None = None):
        self.disturbance = disturbance or Disturbance()
        self._reader: LandmarkReader | None = None
        self._finder: SpotFinder | None = None
        levels = free_hand_arrays()
        place = {int(vertex): index for index, vertex in enumerate(levels["level_778"])}
        self.vertex_ids = np.array([place[int(vertex)] for vertex in levels[f"level_{MESH_LEVEL}"]])

    @property
    def reader(self) -> LandmarkReader:
        """The landmark network; every process opens its own."""
        if self._reader is None:
            self._reader = LandmarkReader()
        return self._reader

    @property
    def finder(self) -> SpotFinder:
        """The spot finder."""
        if self._finder is None:
            self._finder = SpotFinder()
        return self._finder

    def item(self, sample: Sample, rng: Generator) -> RegionItem:
        """Return a random view of both regions of a frame."""
        d = self.disturbance
        gains = np.exp(rng.normal(0, 0.15) + rng.normal(0, [0.06, 0.03, 0.09])).astype(np.float32)
        shown = np.where(sample.hands.is_present, np.asarray(sample.visible_fraction), 0.0)
        views = []
        for side in range(2):
            hand = shown[side] >= SHOWN and rng.random() >= d.elsewhere
            swapped = hand and rng.random() < d.other_side
            mirrored = (side == LEFT) != swapped
            region = self._around(sample, side, mirrored, rng) if hand else self._elsewhere(sample, mirrored, rng)
            views.append(self._view(sample, gains, region, side if hand else None, swapped, rng))
        together = all(v.shown[0] > 0 and v.right[0] > 0 for v in views) and rng.random() >= d.alone
        joined = RegionItem.stack([v.map(lambda array: array[0]) for v in views])
        return replace(joined, companions=np.asarray(float(together), np.float32))

    def _around(self, sample: Sample, side: int, mirrored: bool, rng: Generator) -> Region:
        d, camera = self.disturbance, sample.frame.camera
        look = look_at_hand(camera, np.asarray(sample.hands.joints[side], np.float64))
        far = rng.random() < d.far
        metres = rng.normal(0, d.far_place if far else d.place, 2).clip(-0.06, 0.06)
        pixel = look.pixel + metres * np.asarray(camera.focal, np.float64) / look.depth
        depth = look.depth + float(rng.normal(0, d.far_depth if far else d.depth))
        angle = look.angle + float(rng.normal(0, d.far_angle if far else d.angle))
        return region_at(camera.map(np.float64), pixel, angle, max(depth, 0.15), mirrored)

    def _elsewhere(self, sample: Sample, mirrored: bool, rng: Generator) -> Region:
        """Return a region without a hand: where the spot finder sees one, or anywhere."""
        if rng.random() < self.disturbance.tempting:
            spots = self.finder(sample.frame, 6)
            camera = sample.frame.camera.map(np.float64)
            away = _away(sample, np.asarray(camera.unproject(spots.pixels, spots.depth)))
            allowed = np.flatnonzero(away > AWAY)
            if len(allowed):
                spot = allowed[rng.integers(len(allowed))]
                return region_at(
                    camera, spots.pixels[spot], float(spots.angle[spot]), float(spots.depth[spot]), mirrored
                )
        return _anywhere(sample, mirrored, rng)

    def _view(
        self, sample: Sample, gains: np.ndarray, region: Region, side: int | None, swapped: bool, rng: Generator
    ) -> RegionItem:
        """Return one region as an item with a leading axis of 1; `side` is the hand in it, None without one."""
        d, frame = self.disturbance, sample.frame
        joints = np.zeros((NUM_JOINTS, 3))
        vertices = np.zeros((MESH_LEVEL, 3))
        mask = np.zeros((DEPTH_SIZE // 4,) * 2)
        blind, dark = rng.random() < d.no_depth, rng.random() < d.no_colour
        if blind and dark:
            blind = False
        if blind:
            region = replace(region, depth=region.depth * np.exp(rng.normal(0, d.guessed_depth)))
        if side is not None:
            joints = region.to_plane(np.asarray(sample.hands.joints[side], np.float64))
            about = (
                np.asarray(sample.hands.vertices)[side, self.vertex_ids] - np.asarray(sample.hands.joints)[side, ROOT]
            )
            vertices = about @ region.axes.T
            own = depth_picture(region, replace(frame, depth=np.asarray(sample.masks)[side].astype(np.float32)))
            cells = (~np.isnan(own)).reshape(DEPTH_SIZE // 4, 4, DEPTH_SIZE // 4, 4)
            mask = cells.mean(axis=(1, 3))
        depth = np.full((DEPTH_SIZE,) * 2, np.nan, np.float32)
        if not blind:
            depth = _worse_depth(depth_picture(region, _shifted(frame, rng)), rng)
        colours = np.clip(colour_picture(region, frame) * gains[:, None, None], 0, 1)
        fraction = 0.0 if side is None else float(np.asarray(sample.visible_fraction)[side])
        known = None if side is None else _noisy(joints, fraction, rng)
        seen = self._seen(colours, known, swapped, dark, rng)
        axes, place, joints, vertices, fraction, right, mask = (
            np.asarray(array, np.float32)[None]
            for array in (region.axes, region.depth, joints, vertices, fraction, not swapped, mask)
        )
        return RegionItem(
            axes=axes,
            region_depth=place,
            depth=depth[None],
            maps=tuple(values.astype(np.float16) for values in seen.maps),
            landmarks=seen.points.astype(np.float32),
            seen=np.stack([seen.present, seen.right], axis=-1).astype(np.float32),
            companions=np.zeros(1, np.float32),
            joints=joints,
            vertices=vertices,
            shown=fraction,
            right=right,
            mask=mask,
        )

    def _seen(
        self, colours: np.ndarray, known: np.ndarray | None, swapped: bool, dark: bool, rng: Generator
    ) -> Landmarks:
        """Return what the landmark network says, or landmarks that are known (21, 3) with the hand's side, or nothing.

        A `swapped` hand is shown as of the other side.
        """
        d = self.disturbance
        if dark:
            maps = tuple(np.zeros((1, *shape), np.float32) for shape in MAP_SHAPES)
            return Landmarks(np.zeros((1, NUM_JOINTS, 3)), np.zeros(1), np.full(1, 0.5), maps)
        seen = self.reader(colours[None])
        draw = rng.random()
        if draw < d.no_landmarks:
            return replace(seen, points=np.zeros_like(seen.points), present=np.zeros(1), right=np.full(1, 0.5))
        if known is not None and draw < d.no_landmarks + d.true_landmarks:
            present, told = np.maximum(seen.present, rng.uniform(0.6, 1.0, 1)), rng.uniform(0.3, 1.0, 1)
            right = np.minimum(seen.right, 1 - told) if swapped else np.maximum(seen.right, told)
            return replace(seen, points=known[None], present=present, right=right)
        return seen


def _away(sample: Sample, points: np.ndarray) -> np.ndarray:
    """Return the distances (N,) of points (N, 3) from the nearest joint of both hands, metres; 1 without hands."""
    there = np.asarray(sample.hands.is_present)
    joints = np.asarray(sample.hands.joints, np.float64)[there].reshape(-1, 3)
    if not len(joints):
        return np.ones(len(points))
    return np.linalg.norm(points[:, None] - joints, axis=-1).min(axis=1)


def _anywhere(sample: Sample, mirrored: bool, rng: Generator) -> Region:
    """Return a region at some measured spot of the frame away from both hands, half of the time near one."""
    camera = sample.frame.camera.map(np.float64)
    depth = np.asarray(sample.frame.depth)
    rows, columns = np.nonzero((depth > 0.15) & (depth < 2.2))
    pixel, distance = np.array([camera.width / 2, camera.height / 2]), 0.7
    if len(rows):
        chosen = rng.integers(0, len(rows), 48)
        pixels = np.stack([columns[chosen], rows[chosen]], axis=-1).astype(np.float64)
        measured = depth[rows[chosen], columns[chosen]].astype(np.float64)
        away = _away(sample, np.asarray(camera.unproject(pixels, measured)))
        allowed = np.flatnonzero(away > AWAY)
        near = allowed[away[allowed] < 0.35]
        if len(near) and rng.random() < 0.6:
            allowed = near
        if len(allowed):
            pixel, distance = pixels[allowed[0]], float(measured[allowed[0]])
    return region_at(camera, pixel, float(rng.uniform(-np.pi, np.pi)), distance + float(rng.normal(0, 0.02)), mirrored)


def _noisy(joints: np.ndarray, visible: float, rng: Generator) -> np.ndarray:
    """Return plane coordinates (21, 3) as landmarks of real pictures: z from joint 9, errors of real size.

    The sizes were measured between the landmark network and real frames with truth of a hand in full view: an offset
    of the hand, of each joint, a drift along the fingers, and finger tips that are read too short. The less of the hand
    is visible (fraction in [0, 1]), the larger they are.
    """
    points = joints.copy()
    points[:, 2] -= joints[ROOT, 2]
    tips = list(FINGERTIPS)
    before = [tip - 1 for tip in tips]
    points[tips] += (points[before] - points[tips]) * rng.uniform(0, 0.35)
    noise = rng.normal(0, 0.003, (1, 3)) + rng.normal(0, 0.0035, (NUM_JOINTS, 3))
    drift = rng.normal(0, 0.004, (5, 1, 3)) * np.arange(4)[:, None] / 3
    noise[1:] += drift.reshape(NUM_JOINTS - 1, 3)
    return points + noise * [1, 1, 2.5] * (1 + HIDDEN_NOISE * (1 - visible))


def _shifted(frame: RGBDFrame, rng: Generator) -> RGBDFrame:
    """Return the frame with its depth moved by up to three pixels, as registrations err."""
    down, right = np.rint(rng.normal(0, 1.0, 2).clip(-3, 3)).astype(int)
    return replace(frame, depth=np.roll(np.asarray(frame.depth), (down, right), axis=(0, 1)))


def _worse_depth(depth: np.ndarray, rng: Generator) -> np.ndarray:
    """Return relative depth with noise, an offset and holes."""
    size = depth.shape[0]
    coarse = rng.normal(0, 1, (size // 8, size // 8)).repeat(8, axis=0).repeat(8, axis=1)
    noise = rng.normal(0, 1, depth.shape) * rng.uniform(0, 0.0015) + coarse * rng.uniform(0, 0.0015)
    lost = rng.random((size // 8, size // 8)) < rng.uniform(0, 0.15) * (rng.random() < 0.4)
    depth = depth + noise + rng.normal(0, 0.003)
    return np.where(lost.repeat(8, axis=0).repeat(8, axis=1), np.nan, depth).astype(np.float32)
