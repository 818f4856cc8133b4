"""Clutter touches nobody and hides no more than allowed, and each of its parts can be switched off."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from twohands.synth.acts.placement import Staging
from twohands.synth.around import clutter as clutter_module
from twohands.synth.around.backgrounds import ground_without_table, wall_behind
from twohands.synth.around.clutter import clutter
from twohands.synth.around.sight import Sight
from twohands.synth.around.surroundings import Occupied, set_table
from twohands.synth.config import BASIC, FULL, SynthConfig
from twohands.synth.engine import SyntheticHands
from twohands.synth.person.body import hand_shape
from twohands.synth.rendering.render import draw
from twohands.synth.rendering.shapes import ARM_LABEL, Shape, ball, joined
from twohands.synth.things import lying, objects
from twohands.synth.things.palette import Palette
from twohands.types import RIGHT

HANDS = replace(FULL, decals=0.0)
QUIET = replace(HANDS, clutter=0.0, distractors=0.0, floating=0.0)
BUSY = replace(HANDS, clutter=1.0, distractors=1.0, floating=0.0)


@cache
def drawn(index: int) -> tuple[Staging, np.ndarray, np.ndarray]:
    """Return a staging, the points of the person (P, 3) and the hands (2, 1609, 3), camera frame."""
    config = replace(BASIC, width=320, height=240, two_hands=1.0, one_hand=0.0, held=0.0, table=0.0)
    staging, scene = SyntheticHands(5, config=config).scene(index)
    of_person = np.unique(scene.surfaces.faces[scene.surfaces.label <= ARM_LABEL + 1])
    return staging, scene.surfaces.vertices[of_person], np.asarray(scene.hands.vertices, dtype=np.float64)


class Stage:
    """A staging with its table and the occupied space, in level axes."""

    def __init__(self, index: int, with_table: bool = True) -> None:
        self.staging, points, hands = drawn(index)
        view = self.staging.view
        self.level = np.stack([view.right, view.forward, view.up])
        hands = tuple(hand @ self.level.T for hand in hands)
        height = float(min(hand[:, 2].min() for hand in hands)) - 0.05
        center, forward = self.level @ self.staging.center, self.level @ self.staging.body_forward
        self.occupied = Occupied(points @ self.level.T, hands, center, forward, height)
        self.palette = Palette()
        rng = np.random.default_rng(index)
        self.table = set_table(rng, replace(HANDS, occluder=0.0), self.occupied, self.palette) if with_table else None

    def clutter(self, seed: int, config: SynthConfig) -> list[Shape]:
        rng = np.random.default_rng(seed)
        return clutter(rng, config, self.staging, self.occupied, self.table, self.palette)

    def cover(self, shapes: list[Shape]) -> np.ndarray:
        """Return the fraction of each hand's pixels that the shapes hide, at full size."""
        camera = self.staging.view.camera
        hands = [draw(joined([hand_shape(hand @ self.level, RIGHT)]), camera)[0] for hand in self.occupied.hands]
        front, _ = draw(joined([shape.moved(self.level.T, np.zeros(3)) for shape in shapes]), camera)
        front = np.where(front > 0, front, np.inf)
        return np.array([(front < hand)[hand > 0].mean() for hand in hands])


def test_shares_of_zero_switch_every_part_off():
    for index in range(4):
        assert Stage(index).clutter(index, QUIET) == []


def test_each_part_has_its_own_stream():
    added = 0
    for index in range(3):
        both = Stage(index).clutter(7, replace(QUIET, clutter=1.0, distractors=1.0))
        first = Stage(index).clutter(7, replace(QUIET, clutter=1.0))
        assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(first, both, strict=False))
        assert 0 < len(first) <= len(both)
        added += len(both) - len(first)
    assert added > 0


def test_clutter_is_a_pure_function_of_the_generator():
    first, again, other = (Stage(3).clutter(seed, BUSY) for seed in (1, 1, 2))
    assert [len(shape.faces) for shape in first] == [len(shape.faces) for shape in again]
    assert all(np.array_equal(a.vertices, b.vertices) for a, b in zip(first, again, strict=True))
    assert len(first) != len(other) or not np.array_equal(first[0].vertices, other[0].vertices)


@pytest.mark.parametrize("index", range(6))
def test_no_person_is_inside_anything_and_hands_stay_seen(index):
    stage = Stage(index)
    shapes = stage.clutter(index, BUSY)
    assert stage.cover(shapes).max() <= HANDS.largest_cover + 0.03  # counted in a smaller picture
    for shape in shapes:
        low, high = shape.vertices.min(axis=0), shape.vertices.max(axis=0)
        inside = ((stage.occupied.points > low) & (stage.occupied.points < high)).all(axis=1)
        if np.prod(np.maximum(high - low, 1e-3)) < 0.002 and inside.any():  # a box may be near a round thing's corner
            gap = np.linalg.norm(stage.occupied.points[inside][:, None] - shape.vertices[None], axis=-1).min()
            assert gap > 0.001


def test_table_things_stand_on_the_table_and_apart(monkeypatch):
    spots = []
    stand = clutter_module._Site.stand

    def recorded(site, *arguments):
        placed = stand(site, *arguments)
        spots[:] = site.placed
        return placed

    monkeypatch.setattr(clutter_module._Site, "stand", recorded)
    counts = []
    for index in range(6):
        stage = Stage(index)
        spots.clear()
        stage.clutter(index, BUSY)
        counts.append(len(spots))
        for k, (spot, thing) in enumerate(spots):
            assert stage.table is not None
            assert stage.table.top.holds(spot, thing.radius)
            assert all(np.linalg.norm(spot - a) > thing.radius + b.radius for a, b in spots[:k])
    assert np.mean(counts) > 4


def test_what_floats_hides_a_fifth_of_a_hand_to_the_largest_cover():
    covers = []
    for index in range(8):
        stage = Stage(index)
        shapes = stage.clutter(index, replace(QUIET, floating=1.0))
        assert len(shapes) <= 1
        if shapes:
            covers.append(stage.cover(shapes).max())
            nearest = np.linalg.norm(shapes[0].vertices[:, None] - stage.occupied.points[None, ::4], axis=-1).min()
            assert nearest > 0.003
    assert len(covers) >= 4
    assert min(covers) > 0.17
    assert max(covers) < HANDS.largest_cover + 0.03


def test_sight_counts_the_hidden_share_and_remembers_it():
    stage = Stage(1)
    hand = stage.occupied.hands[0]
    sight = Sight(stage.staging.view.camera, stage.level, (hand,))
    huge = ball(0.4).moved(np.eye(3), 0.5 * hand.mean(axis=0) - [0, 0, 0.4])
    away = ball(0.01).moved(np.eye(3), -hand.mean(axis=0))
    assert not sight.admits(huge, most=0.99)
    assert sight.admits(away, most=0.0)
    assert not sight.admits(away, most=1.0, least=0.1)
    small = ball(0.015).moved(np.eye(3), 0.8 * hand[100] - [0, 0, 0.015])
    share = stage.cover([small])[0]
    assert 0.01 < share < 0.9
    assert not sight.admits(small, most=share - 0.03)
    assert sight.admits(small, most=share + 0.03)
    assert sight.admits(small, most=share + 0.03)  # the same pixels do not count twice
    assert sight.admits(away, most=0.0)  # a hidden hand does not bar shapes that hide nothing of it


def test_a_wall_leaves_everybody_on_one_side():
    seen = 0
    for index in range(8):
        stage = Stage(index)
        shapes, points = wall_behind(np.random.default_rng(index), stage.occupied, (), stage.palette)
        seen += bool(shapes)
        assert bool(shapes) == bool(len(points))
        if shapes:
            corners = shapes[0].vertices
            axes = np.linalg.svd(corners - corners.mean(axis=0), full_matrices=False)[2]
            across = axes[2]  # the thin direction
            side = (stage.occupied.points - corners.mean(axis=0)) @ across
            assert (np.sign(side) == np.sign(side[0])).all()
            assert np.abs(side).min() > 0.01
    assert seen >= 3


def test_without_a_table_something_is_below_or_behind_and_not_in_the_person():
    kinds = set()
    for index in range(8):
        stage = Stage(index, with_table=False)
        rng = np.random.default_rng(index)
        top, occupied, shapes = ground_without_table(rng, stage.staging, stage.occupied, stage.palette)
        kinds.add((top is not None, len(shapes)))
        if top is not None:
            assert occupied.height < stage.occupied.points[:, 2].min()
        elif len(shapes) == 2:  # the legs
            for shape in shapes:
                apart = np.linalg.norm(shape.vertices[:, None] - stage.occupied.points[None, ::3], axis=-1)
                assert apart.min() > 0.002
    assert kinds <= {(True, 1), (False, 2), (False, 1), (False, 0)}  # a floor, legs, a wall; no monitor in the air
    assert (True, 1) in kinds
    assert (False, 2) in kinds


def test_a_cloth_avoids_what_stands_and_who_leans_on_the_table():
    stage = Stage(0)
    assert stage.table is not None
    sight = Sight(stage.staging.view.camera, stage.level, ())
    thing = objects.can(np.random.default_rng(0))
    empty = replace(stage.occupied, points=np.zeros((0, 3)), hands=())
    site = clutter_module._Site(empty, stage.staging.view, stage.level, sight, FULL, stage.palette, stage.table.top)
    cloth = lying.cloth(np.random.default_rng(1)).moved(np.eye(3), np.array([0.0, 0.0, empty.height + 0.002]))
    assert site._free_below(cloth)
    site.placed.append((np.zeros(2), thing))
    assert not site._free_below(cloth)
    site.placed.clear()
    site.occupied = replace(empty, points=np.array([[0.0, 0.0, empty.height + 0.001]]))
    assert not site._free_below(cloth)
