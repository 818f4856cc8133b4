"""The predictor checks the frame, locates, then fits; importing the package is cheap."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import twohands
from fakes import FakeFitter, FakeLocator, fake_predictor, make_frame, make_hands
from twohands.findings import Finding
from twohands.hands import free_hand
from twohands.locate import GuidedLocator, LightLocator
from twohands.predictor import Stopwatch, TwoHandPredictor
from twohands.types import LocatedHands, RGBDFrame, TwoHands


def test_hands_and_times():
    predictor = fake_predictor((0.2, 0.9))
    watch = Stopwatch()
    hands = predictor(make_frame(), watch)
    np.testing.assert_allclose(hands.present, [0.2, 0.9])
    np.testing.assert_allclose(hands.vertices, make_hands().vertices)
    assert set(watch.wall) == set(watch.cpu) == {"locate", "fit"}
    assert all(seconds >= 0 for seconds in watch.cpu.values())
    before = dict(watch.wall)
    predictor(make_frame(), watch)
    assert watch.wall["locate"] > before["locate"]  # a stopwatch adds up


def test_frames_are_checked_before_the_work():
    locate = FakeLocator()
    predictor = TwoHandPredictor(free_hand(), locate, FakeFitter())
    for depth, match in ((0.0, "zero everywhere"), (600.0, "looks like millimetres")):
        with pytest.raises(ValueError, match=match):
            predictor(make_frame(depth))
    assert locate.calls == 0
    with pytest.raises(ValueError, match=r"try depth_unit=0\.0001"):
        predictor(make_frame(5.0))
    fake_predictor((0, 0))(make_frame(5.0))  # no hand, no check of its size


def test_public_names():
    assert all(hasattr(twohands, name) for name in twohands.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        twohands.nothing  # noqa: B018


def test_import_is_light():
    code = "import sys, twohands, twohands.cli; print({'onnxruntime', 'trimesh', 'scipy'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "set()"


def test_findings_of_frame_and_hands_are_kept():
    read, seen = Finding("read", "note", "read"), Finding("seen", "warning", "seen")

    class Fitter(FakeFitter):
        def _fit(self, frame: RGBDFrame, located: LocatedHands) -> TwoHands:
            return replace(super()._fit(frame, located), findings=(seen,))

    predictor = TwoHandPredictor(free_hand(), FakeLocator(), Fitter())
    assert predictor(replace(make_frame(), findings=(read,))).findings == (read, seen)


@pytest.mark.parametrize(("method", "locator"), [(None, LightLocator), ("landmarks", GuidedLocator)])
def test_the_person_is_chosen_by_methods_that_find_all_hands(method, locator):
    predictor = twohands.load(method, person="left")
    assert isinstance(predictor, TwoHandPredictor)
    assert isinstance(predictor.locate, locator)
    assert predictor.locate.person == "left"
    with pytest.raises(ValueError, match="nearest, largest, left, right"):
        twohands.load(person="tallest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="leave out person"):
        twohands.load("pdfnet", person="left")
