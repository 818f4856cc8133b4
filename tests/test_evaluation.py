"""The report: evaluated hands, found, wrong side, false positives, intervals."""

import dataclasses
import json

import numpy as np
import pytest

import twohands
from fakes import PosedHands
from twohands.evaluation import scoring as evaluation
from twohands.evaluation.benchmarks import BENCHMARKS
from twohands.evaluation.report import (
    HandRow,
    Report,
    bootstrap_interval,
    difference_of_runs,
    paired_difference,
    run_spread,
)
from twohands.evaluation.scoring import predict_with, predictions, report_of
from twohands.geometry.camera import Camera
from twohands.hands import free_hand, mano_hand
from twohands.hands.skeleton import FINGERTIP_VERTICES, FINGERTIPS
from twohands.predictor import NetworkPredictor
from twohands.types import LEFT, RIGHT, RGBDFrame, Sample, TwoHands


def evaluate(predict, samples, known_presence=False, hand_model=None):
    """Return the report of a function of samples."""
    return report_of(predictions(predict, samples, known_presence, hand_model), known_presence)


def sample(visible_fraction=(1.0, 1.0), gap=0.3) -> Sample:
    model = free_hand()
    parameters = model.neutral()
    parameters.translation[:] = [[-gap / 2, 0, 0.5], [gap / 2, 0, 0.5]]
    parameters.rotation[:] = [np.pi / 2, 0, 0]
    camera = Camera(np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]], np.float32), 640, 480)
    frame = RGBDFrame(np.zeros((3, 480, 640), np.float32), np.ones((480, 640), np.float32), camera)
    return Sample(frame, model(parameters), None, None, np.array(visible_fraction), "free", "s")


def changed(hands: TwoHands, joints=None, present=(1.0, 1.0)) -> TwoHands:
    joints = hands.joints if joints is None else joints
    return dataclasses.replace(hands, joints=joints, present=np.array(present), vertices=hands.vertices)


def test_the_truth_is_perfect():
    truth = sample()
    report = evaluate(lambda sample: truth.hands, [truth])
    metrics = report.summary()["all"]
    assert (metrics["count"], metrics["found"], metrics["wrong_side"], report.false_positives) == (2, 1, 0, 0)
    assert metrics["mpjpe"] == 0


def test_hidden_and_small_hands_are_not_evaluated():
    truth = sample(visible_fraction=(0.29, 1.0))
    assert [row.side for row in evaluate(lambda sample: truth.hands, [truth]).rows] == [RIGHT]
    far = dataclasses.replace(truth, hands=changed(truth.hands, truth.hands.joints * [1, 1, 8]))
    nothing = evaluate(lambda sample: far.hands, [far])
    assert not nothing.rows
    assert "nan" not in nothing.markdown()
    unknown = dataclasses.replace(truth, visible_fraction=None)
    report = evaluate(lambda sample: unknown.hands, [unknown])
    assert report.summary()["all"]["count"] == len(Report.from_json(report.json()).rows) == 2


def test_swapped_sides_are_found_but_wrong():
    truth = sample()
    swapped = changed(truth.hands, truth.hands.joints[::-1])
    report = evaluate(lambda sample: swapped, [truth])
    metrics = report.summary()["all"]
    assert metrics["found"] == 1
    assert metrics["wrong_side"] == 1
    assert np.isnan(metrics["mpjpe"])


def test_missing_hands_and_false_positives_are_counted():
    truth = sample()
    away = truth.hands.joints + np.array([[[0, 0, 0]], [[0.0, 0.4, 0]]])
    report = evaluate(lambda sample: changed(truth.hands, away), [truth])
    assert report.summary()["all"]["found"] == 0.5
    assert report.false_positives == 1
    one = evaluate(lambda sample: changed(truth.hands, present=(1.0, 0.0)), [truth])
    assert one.false_positives == 0
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


def test_with_known_presence_every_evaluated_hand_is_scored():
    truth = sample()
    away = changed(truth.hands, truth.hands.joints + np.array([[[0, 0, 0]], [[0.0, 0.4, 0]]]), (0.1, 0.0))
    report = evaluate(lambda sample: away, [truth], known_presence=True)
    assert [row.errors["mpjpe"] for row in report.rows] == pytest.approx([0, 0.4], abs=1e-6)
    assert [row.found for row in report.rows] == [True, False]
    assert report.summary()["all"]["mpjpe_median"] == pytest.approx(0.2, abs=1e-6)


def test_hands_fall_into_their_buckets():
    near, far = evaluate(lambda sample: sample.hands, [sample(gap=0.1), sample(gap=0.3)]).rows[::2]
    summary = Report((near, far), 0, 2).summary()
    counts = {name: metrics["count"] for name, metrics in summary.items() if name.startswith("roots")}
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


@pytest.mark.parametrize("name", FINGERTIP_VERTICES)
def test_a_perfect_mesh_is_perfect_whatever_vertices_the_labels_call_finger_tips(name):
    truth = sample()
    hands = mano_hand()(truth.hands.parameters)
    joints = hands.joints.copy()
    for side, tips in enumerate(FINGERTIP_VERTICES[name]):
        joints[side, FINGERTIPS] = hands.vertices[side, tips]
    labelled = dataclasses.replace(
        truth, hands=dataclasses.replace(hands, joints=joints), joint_definition=name, visible_fraction=None
    )
    metrics = evaluate(lambda sample: hands, [labelled], hand_model="mano").summary()["all"]
    assert (metrics["count"], metrics["mpjpe"], metrics["mpvpe"]) == (2, 0, 0)


def test_with_known_presence_an_absent_hand_is_no_false_positive():
    truth = sample()
    single = dataclasses.replace(truth, hands=changed(truth.hands, present=(1.0, 0.0)))
    report = evaluate(lambda sample: changed(truth.hands, present=(0.1, 0.2)), [single], known_presence=True)
    assert (report.false_positives, [row.found for row in report.rows]) == (0, [True])
    assert evaluate(lambda sample: truth.hands, [single]).false_positives == 1
    unlabelled = dataclasses.replace(single, presence_known=np.array([True, False]))
    assert evaluate(lambda sample: truth.hands, [unlabelled]).false_positives == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("known", [False, True])
def test_in_a_refused_frame_no_hand_is_found(known, caplog):
    truths = [dataclasses.replace(sample(), id=name) for name in ("black", "good")]

    def predictor(frame):
        if frame is truths[0].frame:
            raise ValueError("depth is zero everywhere")
        return sample().hands

    report = evaluate(predict_with(predictor, "own"), truths, known_presence=known)
    metrics = report.summary()["all"]
    assert (report.frames, report.refused, report.false_positives) == (2, 1, 0)
    assert (metrics["count"], metrics["found"], metrics["scored"], metrics["mpjpe"]) == (4, 0.5, 2, 0)
    assert "refused 1 of the frames" in report.markdown()
    assert "no hands in black: depth is zero everywhere" in caplog.text
    assert Report.from_json(report.json()).refused == 1


def test_data_that_are_not_for_the_predictor_end_the_evaluation(monkeypatch):
    monkeypatch.setattr(evaluation, "PATIENCE", 3)
    seen = []

    def predictor(frame):
        seen.append(frame)
        raise ValueError("depth is zero everywhere")

    with pytest.raises(ValueError, match="zero everywhere"):
        evaluate(predict_with(predictor, "own"), [sample()] * 5)
    assert len(seen) == 3
    seen.clear()
    sometimes = evaluation.Forgiving(lambda frame: predictor(frame) if seen else seen.append(frame) or sample().hands)
    assert [sometimes(sample()) is None for _ in range(5)] == [False, True, True, True, True]
    with pytest.raises(ValueError, match="s has no true masks"):  # that is no refusal
        evaluate(predict_with(NetworkPredictor(None), "ground_truth"), [sample()])


def test_a_report_is_json_and_older_ones_are_read():
    truth = dataclasses.replace(sample(), visible_fraction=None)
    text = evaluate(lambda sample: changed(sample.hands, present=(0.0, 1.0)), [truth]).json()
    document = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert document["hands"][0]["visible"] is document["summary"]["one hand"]["mpjpe"] is None
    for version in (text, text.replace("null", "NaN").replace('"refused": 0,', "")):
        left, right = Report.from_json(version).rows
        assert np.isnan([left.visible, left.depth_residual, right.errors["mrrpe"]]).all()
        assert right.errors["mpjpe"] == 0


def test_the_distance_from_the_measured_depth_is_reported():
    rows = [HandRow("s", side, 1.0, 0.3, True, True, {}, residual) for side, residual in ((0, 0.002), (1, 0.004))]
    report = Report((*rows, HandRow("t", 0, 1.0, 0.3, False, False)), 0, 2)
    assert report.summary()["all"]["depth_residual_median"] == pytest.approx(0.003)
    assert "meshes are 3.0 mm from the measured depth" in report.markdown()
    assert "measured depth" not in Report((), 0, 0).markdown()


class Exact:
    """Knows the hands of a data set, which it is shown in order."""

    model = free_hand()

    def __init__(self, dataset):
        self.answers = iter([dataset[index].hands for index in range(len(dataset))])

    def __call__(self, frame):
        return next(self.answers)


def test_evaluation_from_python(tmp_path):
    frames = PosedHands(4)
    result = twohands.evaluate(Exact(frames), frames, count=3, out=tmp_path, progress=False)
    assert (result.report.frames, result.report.summary()["all"]["mpjpe"]) == (3, 0)
    assert (tmp_path / "report.md").read_text() == result.markdown() + "\n" == result.report.markdown() + "\n"
    scored = twohands.evaluate(Exact(frames), frames, benchmark=BENCHMARKS["h2o"], progress=False)
    assert scored.sections["own"].metrics["mpjpe"] == 0
    with pytest.raises(ValueError, match="there is nothing to evaluate"):
        twohands.evaluate(Exact(frames), frames, count=0, progress=False)
