"""Figures: the columns, the errors in captions, and hands that are large and whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fakes import PosedHands
from twohands.evaluation import figures
from twohands.evaluation.figures import WIDTH, caption, close_camera, draw_figure
from twohands.geometry.zbuffer import rasterize
from twohands.hands import free_hand, mano_hand
from twohands.types import TwoHands

FACES = np.asarray(free_hand().faces)
SAMPLE = PosedHands()[0]


def shifted(hands: TwoHands, shift: Sequence[float]) -> TwoHands:
    by = np.array(shift, np.float32)
    return replace(hands, vertices=np.asarray(hands.vertices) + by, joints=hands.joints + by)


def test_captions():
    truth = SAMPLE.hands
    assert caption("full-0", truth, truth) == "full-0\nMPJPE 0.0 mm, AL-MPJPE 0.0 mm"
    assert caption("x", shifted(truth, (0, 0.006, 0.008)), truth) == "x\nMPJPE 10.0 mm, AL-MPJPE 0.0 mm"
    joints = truth.joints.copy()
    joints[:, [4, 8], 0] += 0.0105  # two of 21 joints of each hand, neither the one that is aligned
    assert caption("x", replace(truth, joints=joints), truth) == "x\nMPJPE 1.0 mm, AL-MPJPE 1.0 mm"
    joints[0] = truth.joints[0]
    half = replace(truth, joints=joints)
    assert caption("x", half, truth) == "x\nMPJPE 0.5 mm, AL-MPJPE 0.5 mm"
    right_only = replace(half, present=np.array([0.0, 1.0]))
    assert caption("x", right_only, truth) == "x (1 of 2 hands)\nMPJPE 1.0 mm, AL-MPJPE 1.0 mm"
    assert caption("x", half, replace(truth, present=np.array([0.0, 1.0]))) == "x\nMPJPE 1.0 mm, AL-MPJPE 1.0 mm"
    assert caption("x", replace(truth, present=np.zeros(2)), truth) == "x (0 of 2 hands)"


@pytest.fixture
def tiles(monkeypatch) -> dict[str, np.ndarray]:
    """Pictures of a drawn figure by caption."""
    seen: dict[str, np.ndarray] = {}
    original = figures.contact_sheet

    def sheet(images, labels, columns, width):
        seen.update(zip(labels, images, strict=True))
        return original(images, labels, columns, width)

    monkeypatch.setattr(figures, "contact_sheet", sheet)
    return seen


def test_columns(tiles):
    away = shifted(SAMPLE.hands, (0, 0, 0.05))
    bones = replace(SAMPLE.hands, vertices=None)
    picture = draw_figure(SAMPLE, [("one", SAMPLE.hands, FACES), ("two", away, FACES), ("three", bones, FACES)])
    assert picture.dtype == np.uint8
    assert picture.shape[1:] == (5 * (WIDTH + 4) + 4, 3)
    side = "\nfrom the side, with the measured points"
    assert list(tiles) == [
        *("colour", "target", "one\nMPJPE 0.0 mm, AL-MPJPE 0.0 mm", "two\nMPJPE 50.0 mm, AL-MPJPE 0.0 mm"),
        "three\nMPJPE 0.0 mm, AL-MPJPE 0.0 mm",
        *("measured depth", f"target{side}", f"one{side}", f"two{side}", f"three{side}"),
    ]
    assert len({tile.shape for tile in tiles.values()}) == 1
    for true, predicted in (("target", "one\nMPJPE 0.0 mm, AL-MPJPE 0.0 mm"), (f"target{side}", f"one{side}")):
        np.testing.assert_array_equal(tiles[true], tiles[predicted])
    others = [name for name in tiles if not name.startswith("one")]
    assert len({tiles[name].tobytes() for name in others}) == len(others)


def test_meshes_have_the_faces_of_their_own_hand_model(monkeypatch):
    used: list[np.ndarray] = []
    original = figures.draw_overlay
    monkeypatch.setattr(figures, "draw_overlay", lambda *arguments: used.append(arguments[2]) or original(*arguments))
    draw_figure(replace(SAMPLE, joint_definition="ho3d"), [("one", SAMPLE.hands, FACES)])
    mano = mano_hand().faces
    assert not np.array_equal(mano, FACES)
    for faces, expected in zip(used, (mano, FACES), strict=True):
        np.testing.assert_array_equal(faces, expected)


def test_both_hands_have_their_colours_over_the_whole_hand(tiles):
    draw_figure(SAMPLE, [])
    camera = close_camera(SAMPLE.frame.camera, [SAMPLE.hands])
    top = len(tiles["colour"]) - camera.height
    plain, target = (tiles[name][top:].astype(int) for name in ("colour", "target"))
    for side, sign in enumerate((1, -1)):  # the left hand is red, the right one green
        inside = rasterize(np.asarray(SAMPLE.hands.vertices)[side], FACES[side], camera)[0] > 0
        redness = [sign * (tile[inside][:, 0] - tile[inside][:, 1]).mean() for tile in (plain, target)]
        assert abs(redness[0]) < 2
        assert redness[1] > 20


def test_hands_fill_the_view_and_none_is_cut_off():
    camera = SAMPLE.frame.camera
    away = shifted(SAMPLE.hands, (0.05, 0, 0.1))
    small = replace(SAMPLE.hands, present=np.array([0.0, 1.0]))
    fractions = []
    for everything in ([small], [small, away], [SAMPLE.hands, away]):
        close = close_camera(camera, everything)
        assert (close.width, close.height) == (WIDTH, WIDTH * camera.height // camera.width)
        pixels = np.concatenate(
            [close.project(hands.joints[hands.present >= 0.5]).reshape(-1, 2) for hands in everything]
        )
        assert (pixels > 0).all()
        assert (pixels < [WIDTH, close.height]).all()
        fractions.append(float((np.ptp(pixels, axis=0) / [close.width, close.height]).max()))
    assert min(fractions) > 0.7
    whole = close_camera(camera, [replace(SAMPLE.hands, present=np.zeros(2))])
    np.testing.assert_allclose(whole.K, camera.resize(whole.width, whole.height).K)
