"""The report: which hands count, found, wrong side, phantoms, intervals."""

import dataclasses
import json

import numpy as np
import pytest

from twohands.evaluation import evaluate
from twohands.geometry.camera import Camera
from twohands.hands import free_hand
from twohands.report import Report, bootstrap_interval, difference_of_runs, paired_difference, run_spread
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
    report = evaluate(lambda sample: truth.hands, [truth])
    figures = report.summary()["all"]
    assert (figures["count"], figures["found"], figures["wrong_side"], report.phantoms) == (2, 1, 0, 0)
    assert figures["mpjpe"] == 0


def test_hidden_and_small_hands_do_not_count():
    truth = sample(shares=(0.29, 1.0))
    assert [row.side for row in evaluate(lambda sample: truth.hands, [truth]).rows] == [RIGHT]
    far = dataclasses.replace(truth, hands=changed(truth.hands, truth.hands.joints * [1, 1, 8]))
    nothing = evaluate(lambda sample: far.hands, [far])
    assert not nothing.rows
    assert "nan" not in nothing.markdown()
    unknown = dataclasses.replace(truth, shares=None)
    report = evaluate(lambda sample: unknown.hands, [unknown])
    assert report.summary()["all"]["count"] == len(Report.from_json(report.json()).rows) == 2


def test_swapped_sides_are_found_but_wrong():
    truth = sample()
    swapped = changed(truth.hands, truth.hands.joints[::-1])
    report = evaluate(lambda sample: swapped, [truth])
    figures = report.summary()["all"]
    assert figures["found"] == 1
    assert figures["wrong_side"] == 1
    assert np.isnan(figures["mpjpe"])


def test_missing_hands_and_phantoms_are_counted():
    truth = sample()
    away = truth.hands.joints + np.array([[[0, 0, 0]], [[0.0, 0.4, 0]]])
    report = evaluate(lambda sample: changed(truth.hands, away), [truth])
    assert report.summary()["all"]["found"] == 0.5
    assert report.phantoms == 1
    one = evaluate(lambda sample: changed(truth.hands, present=(1.0, 0.0)), [truth])
    assert one.phantoms == 0
    assert [row.found for row in one.rows] == [True, False]
    assert one.rows[LEFT].distance == pytest.approx(0.3, abs=0.05)


def test_report_texts():
    truth = sample(gap=0.1)
    report = evaluate(lambda sample: truth.hands, [truth])
    assert "| close | 2 | 100.0% | 0.0% | 0.0 (0.0-0.0)" in report.markdown()
    assert json.loads(report.json())["summary"]["left"]["count"] == 1


def test_bootstrap_interval_holds_the_mean():
    values = np.random.default_rng(0).normal(5, 1, 400)
    low, high = bootstrap_interval(values, [str(index) for index in range(400)])
    assert low < values.mean() < high
    assert high - low == pytest.approx(4 * 1 / 20, rel=0.2)
    assert np.isnan(bootstrap_interval(np.zeros(0), [])).all()


def test_bootstrap_draws_frames_not_hands():
    frames = np.random.default_rng(0).normal(5, 1, 200)
    twice = np.repeat(frames, 2)  # both hands of a frame err alike: 200 independent values, not 400
    low, high = bootstrap_interval(twice, [str(index // 2) for index in range(400)])
    assert high - low == pytest.approx(4 * 1 / np.sqrt(200), rel=0.2)


def test_where_presence_is_known_every_hand_that_counts_is_scored():
    truth = sample()
    away = changed(truth.hands, truth.hands.joints + np.array([[[0, 0, 0]], [[0.0, 0.4, 0]]]), (0.1, 0.0))
    report = evaluate(lambda sample: away, [truth], known_presence=True)
    assert [row.errors["mpjpe"] for row in report.rows] == pytest.approx([0, 0.4], abs=1e-6)
    assert [row.found for row in report.rows] == [True, False]
    assert report.summary()["all"]["mpjpe_median"] == pytest.approx(0.2, abs=1e-6)


def test_hands_fall_into_their_buckets():
    near, far = evaluate(lambda sample: sample.hands, [sample(gap=0.1), sample(gap=0.3)]).rows[::2]
    summary = Report((near, far), 0, 2).summary()
    counts = {name: figures["count"] for name, figures in summary.items() if name.startswith("roots")}
    assert counts == {"roots 0-6 cm": 0, "roots 6-12 cm": 1, "roots 12-25 cm": 0, "roots beyond 25 cm": 1}
    assert summary["one hand"]["count"] == 0


def test_two_reports_are_compared_hand_by_hand():
    truths = [dataclasses.replace(sample(), id=str(index)) for index in range(30)]
    errors = np.random.default_rng(0).uniform(0.01, 0.05, 30)

    def report(extra):
        def predict(sample):
            return changed(sample.hands, sample.hands.joints + np.array([0, 0, errors[int(sample.id)] + extra]))

        return evaluate(predict, truths)

    one, other = report(0.002), report(0.0)
    difference = paired_difference(one, other, "mpjpe")
    assert (difference.mean, difference.count) == (pytest.approx(0.002, abs=1e-6), 60)
    assert difference.resolved  # although the errors themselves vary by 40 mm
    assert not paired_difference(one, one, "mpjpe").resolved
    again = Report.from_json(one.json())  # to the micrometre
    assert paired_difference(one, again, "mpjpe").mean == pytest.approx(0, abs=1e-6)
    spread = run_spread([[report(0.001), report(0.003)], [one]], "mpjpe")
    assert (spread.deviation, spread.freedom) == (pytest.approx(0.002 / np.sqrt(2), rel=1e-3), 1)
    runs = difference_of_runs([one], [other], "mpjpe", spread)
    half = 12.706 * 0.002  # Student's t with one degree of freedom; the frames agree
    assert (runs.mean, runs.high - runs.mean) == (pytest.approx(0.002, abs=1e-6), pytest.approx(half, rel=1e-3))
    assert not runs.resolved
    assert not difference_of_runs([one], [other], "mpjpe", run_spread([[one]], "mpjpe")).resolved


def test_meshes_of_another_hand_model_are_not_compared():
    truth = sample()
    other = dataclasses.replace(truth, joint_definition="mano")
    report = evaluate(lambda sample: sample.hands, [truth, other], hand_model="free")
    assert [row.errors["mpvpe"] for row in report.rows[:2]] == [0, 0]
    assert all(np.isnan(row.errors["mpvpe"]) and row.errors["mpjpe"] == 0 for row in report.rows[2:])
