"""The measure of realism: evaluated hands, hands found on their side, and the metrics of a case solved by hand."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from twohands.types import LEFT, RIGHT, LocatedHands

PATH = Path(__file__).parent.parent / "tools" / "measure_realism.py"
SPEC = importlib.util.spec_from_file_location("measure_realism", PATH)
assert SPEC is not None
assert SPEC.loader is not None
gauge = sys.modules["measure_realism"] = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(gauge)

HAND = np.stack([np.linspace(0, 100, 21), np.linspace(0, 40, 21)], axis=-1)  # 100 pixels long
FAR = np.array([300.0, 0.0])


def frame(visible=(1.0, 1.0), size=1.0):
    shown = np.ones((2, 21), dtype=bool)
    shown[:, 11:] = False
    return gauge.Labelled(
        np.zeros((3, 8, 8), np.float32), size * np.stack([HAND, HAND + FAR]), np.array(visible), shown
    )


def located(left, right):
    """Return two located hands, None for an absent one."""
    pixels = np.array([np.full((21, 2), np.nan) if hand is None else hand for hand in (left, right)])
    present = np.array([hand is not None for hand in (left, right)], dtype=float)
    return LocatedHands(present, pixels, np.zeros((2, 21, 3)), np.zeros((2, 4)), np.zeros(2))


def test_hands_that_are_hidden_or_small_are_not_evaluated():
    assert len(gauge.look(located(HAND, HAND + FAR), frame())[0]) == 2
    assert [hand.side for hand in gauge.look(located(None, None), frame((0.29, 0.31)))[0]] == [100]
    assert gauge.look(located(None, None), frame(size=0.59))[0] == []


def test_sides_and_false_positives():
    right, false_positives = gauge.look(located(HAND + [0, 3], HAND + FAR + [4, 0]), frame())
    assert [(hand.found, hand.right_side, hand.distances[5]) for hand in right] == [(True, True, 3), (True, True, 4)]
    assert false_positives == 0
    swapped, false_positives = gauge.look(located(HAND + FAR, HAND), frame())
    assert [(hand.found, hand.right_side) for hand in swapped] == [(True, False)] * 2
    missed, false_positives = gauge.look(located(HAND + [36, 0], None), frame())  # more than 35 % of the hand away
    assert not any(hand.found or hand.right_side for hand in missed)
    assert false_positives == 1


def test_absent_hands_are_no_hands():
    one = frame()
    one.pixels[LEFT] = np.nan
    seen, false_positives = gauge.look(located(HAND, HAND + FAR), one)
    assert len(seen) == 1
    assert false_positives == 1


def test_metrics_of_a_known_case():
    away = np.repeat([2.0, 20.0], [11, 10])[:, None] * [1, 0]  # hidden joints are badly placed
    seen = gauge.look(located(HAND + away, HAND + FAR), frame((0.7, 1.0)))[0]
    seen += gauge.look(located(None, HAND + FAR + [0, 8]), frame((0.5, 1.0)))[0]
    whole = gauge.summary(seen, false_positives=0, frames=2)
    assert whole["hands"] == 4
    assert whole["recall"] == pytest.approx(0.75)
    assert whole["right_side"] == 1
    assert whole["distance_px"] == pytest.approx(2)  # 21 zeros, 11 twos, 21 eights, 10 twenties
    assert whole["distance"] == pytest.approx(0.02)
    assert not whole["passes"]  # one in four is missed
    parts = whole["visible"]
    assert [part["hands"] for part in parts.values()] == [1, 1, 2]
    assert parts["30% to 60%"]["recall"] == 0
    assert parts["30% to 60%"]["distance"] is None
    assert parts["60% to 90%"]["distance_shown"] == pytest.approx(0.02)
    text = gauge.table({"basic": whole})
    assert "| basic (2, 0 false positives) | all | 4 | 75.0 | 100.0 | 2.0 |" in text
    assert gauge.summary(seen[:2], 0, 1)["passes"]


def test_real_labels_are_read_by_side(tmp_path):
    for name in ("rgb", "depth"):
        (tmp_path / name).mkdir()
    Image.fromarray(np.full((6, 9, 3), 51, np.uint8)).save(tmp_path / "rgb" / "000007.png")
    Image.fromarray(np.zeros((6, 9), np.uint16)).save(tmp_path / "depth" / "000007.png")
    (tmp_path / "cam_K.txt").write_text("9 0 4\n0 9 2.5\n0 0 1\n")
    (tmp_path / "joints2d.json").write_text(json.dumps({"000007": {"right": HAND.tolist()}}))
    (real,) = gauge.photographed(tmp_path)
    np.testing.assert_allclose(real.rgb, 0.2)
    np.testing.assert_array_equal(real.pixels[RIGHT], HAND)
    assert np.isnan(real.pixels[LEFT]).all()


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="neither a folder nor one of"):
        gauge.rendered("no_such_frames", 1, None, 0)
