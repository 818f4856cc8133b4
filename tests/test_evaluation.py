"""The report: which hands count, found, wrong side, phantoms, intervals."""

import dataclasses
import json

import numpy as np
import pytest

from twohands.evaluation import bootstrap_interval, evaluate
from twohands.geometry.camera import Camera
from twohands.hands import free_hand
from twohands.types import LEFT, RIGHT, RGBDFrame, Sample, TwoHands


def sample(shares=(1.0, 1.0), gap=0.3) -> Sample:
    model = free_hand()
    parameters = model.neutral()
    parameters.translation[:] = [[-gap / 2, 0, 0.5], [gap / 2, 0, 0.5]]
    parameters.rotation[:] = [np.pi / 2, 0, 0]
    camera = Camera(np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]], np.float32), 640, 480)
    frame = RGBDFrame(np.zeros((3, 480, 640), np.float32), np.ones((480, 640), np.float32), camera)
    return Sample(frame, model(parameters), None, None, np.array(shares), "free", "s")


def changed(hands: TwoHands, joints=None, present=(1.0, 1.0)) -> TwoHands:
    joints = hands.joints if joints is None else joints
    return dataclasses.replace(hands, joints=joints, present=np.array(present), vertices=hands.vertices)


def test_the_truth_is_perfect():
    truth = sample()
    report = evaluate(lambda frame: truth.hands, [truth])
    figures = report.summary()["all"]
    assert (figures["count"], figures["found"], figures["wrong_side"], report.phantoms) == (2, 1, 0, 0)
    assert figures["mpjpe"] == 0


def test_hidden_and_small_hands_do_not_count():
    truth = sample(shares=(0.29, 1.0))
    assert [row.side for row in evaluate(lambda frame: truth.hands, [truth]).rows] == [RIGHT]
    far = dataclasses.replace(truth, hands=changed(truth.hands, truth.hands.joints * [1, 1, 8]))
    assert not evaluate(lambda frame: far.hands, [far]).rows


def test_swapped_sides_are_found_but_wrong():
    truth = sample()
    swapped = changed(truth.hands, truth.hands.joints[::-1])
    report = evaluate(lambda frame: swapped, [truth])
    figures = report.summary()["all"]
    assert figures["found"] == 1
    assert figures["wrong_side"] == 1
    assert np.isnan(figures["mpjpe"])


def test_missing_hands_and_phantoms_are_counted():
    truth = sample()
    away = truth.hands.joints + np.array([[[0, 0, 0]], [[0.0, 0.4, 0]]])
    report = evaluate(lambda frame: changed(truth.hands, away), [truth])
    assert report.summary()["all"]["found"] == 0.5
    assert report.phantoms == 1
    one = evaluate(lambda frame: changed(truth.hands, present=(1.0, 0.0)), [truth])
    assert one.phantoms == 0
    assert [row.found for row in one.rows] == [True, False]
    assert one.rows[LEFT].close is False


def test_report_texts():
    truth = sample(gap=0.1)
    report = evaluate(lambda frame: truth.hands, [truth])
    assert "| close | 2 | 100.0% | 0.0% | 0.0 (0.0-0.0)" in report.markdown()
    assert json.loads(report.json())["summary"]["left"]["count"] == 1


def test_bootstrap_interval_holds_the_mean():
    values = np.random.default_rng(0).normal(5, 1, 400)
    low, high = bootstrap_interval(values)
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 * 1 / 20, rel=0.2)
    assert np.isnan(bootstrap_interval(np.zeros(0))).all()
