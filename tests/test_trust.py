"""Confidence and sigma: features that move the right way, the formulas, absent hands, mirror images, a known law."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from test_fitting import Trial, render_trial
from twohands.choices import Method
from twohands.fitting import FitConfig, HandFitter
from twohands.fitting.observation import Observation, hand_features, joint_features
from twohands.fitting.trust import Scaling, SigmaFormula, Trust, calibration_name, shipped_trust, trust_from
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands.free import free_hand
from twohands.hands.skeleton import FINGERTIPS
from twohands.types import LEFT, RIGHT, RGBDFrame

METHODS: tuple[Method, ...] = get_args(Method)


class Watching:
    """A judge that keeps what it is shown and then asks the shipped one."""

    def __init__(self):
        self.seen: dict[int, Observation] = {}

    def __call__(self, observations):
        self.seen = {seen.side: seen for seen in observations}
        return shipped_trust("landmarks")(observations)


@pytest.fixture(scope="module")
def fitter() -> HandFitter:
    return HandFitter(free_hand(), trust=Watching())


def quality(fitter: HandFitter, trial: Trial, **changes):
    hands = fitter(trial.frame, replace(trial.located, **changes))
    assert hands.quality is not None
    return hands.quality, fitter.trust.seen


def with_depth(trial: Trial, depth: np.ndarray) -> Trial:
    return replace(trial, frame=RGBDFrame(trial.frame.rgb, depth, trial.frame.camera))


def test_a_well_measured_hand_is_trusted_and_a_hand_without_depth_is_not(fitter):
    trial = render_trial(0)
    sure, _ = quality(fitter, trial)
    blind, _ = quality(fitter, with_depth(trial, np.zeros_like(trial.frame.depth)))
    assert (sure.confidence > 0.8).all()
    assert (blind.confidence <= 0.1).all()
    assert (blind.sigma > sure.sigma).mean() > 0.9
    assert (blind.sigma[..., 0] > 0.03).all()  # nothing measures the distance


def test_a_hand_beside_the_surface_is_not_trusted(fitter):
    """Depth of another view: the surface is 40 pixels beside the hand of the image."""
    trial = render_trial(0)
    aside, _ = quality(fitter, with_depth(trial, np.roll(trial.frame.depth, 40, axis=1)))
    right, _ = quality(fitter, trial)
    assert (aside.confidence < right.confidence - 0.3).all()


def test_landmarks_of_a_wrong_pose_lower_the_confidence(fitter):
    """The image shows one hand, the relative landmarks and the pixels are those of another pose."""
    trial, other = render_trial(2), render_trial(4)
    scale = np.ptp(trial.located.pixels, axis=1).mean() / np.ptp(other.located.pixels, axis=1).mean()
    centered = other.located.pixels - other.located.pixels.mean(axis=1, keepdims=True)
    pixels = trial.located.pixels.mean(axis=1, keepdims=True) + scale * centered
    turned = other.located.relative @ matrix_from_axis_angle(np.array([1.5, 0.5, 0.0])).T
    wrong, _ = quality(fitter, trial, pixels=pixels, relative=turned)
    right, _ = quality(fitter, trial)
    assert (wrong.confidence < right.confidence).all()


def test_hidden_joints_get_larger_sigmas(fitter):
    """A box in front of the fingers of one hand changes the sigmas of these fingers, hardly those of the other hand."""
    plain, seen = quality(fitter, render_trial(5, occluder=False))
    covered, hidden = quality(fitter, render_trial(5, occluder=True))
    behind = joint_features(hidden[RIGHT])["shown"] - joint_features(hidden[RIGHT])["supported"]
    worst = np.argsort(behind)[-4:]
    assert np.median(covered.sigma[RIGHT, worst] / plain.sigma[RIGHT, worst]) > 1.2
    assert np.median(covered.sigma[LEFT] / plain.sigma[LEFT]) == pytest.approx(1, abs=0.25)
    assert seen.keys() == hidden.keys() == {LEFT, RIGHT}


def test_absent_hands_have_no_confidence_and_no_sigma(fitter):
    found, seen = quality(fitter, render_trial(0), present=np.array([0.9, 0.1]))
    assert seen.keys() == {LEFT}
    assert found.confidence.tolist()[RIGHT] == 0
    assert np.isnan(found.sigma[RIGHT]).all()
    assert np.isfinite(found.sigma[LEFT]).all()
    assert found.confidence.dtype == found.sigma.dtype == np.float32
    assert found.sigma.shape == (2, 21, 2)


def test_left_and_right_are_judged_alike(fitter):
    trial = render_trial(3)
    camera = trial.frame.camera.mirror()
    frame = RGBDFrame(trial.frame.rgb[:, :, ::-1].copy(), trial.frame.depth[:, ::-1].copy(), camera)
    pixels = np.stack([camera.width - 1 - trial.located.pixels[..., 0], trial.located.pixels[..., 1]], axis=-1)[::-1]
    located = replace(trial.located, pixels=pixels, relative=trial.located.relative[::-1] * [-1, 1, 1])
    one, _ = quality(fitter, trial)
    other = fitter(frame, located).quality
    np.testing.assert_allclose(other.confidence[::-1], one.confidence, atol=0.1)
    assert np.median(np.abs(np.log(other.sigma[::-1] / one.sigma))) < 0.1


def test_the_spread_of_the_normal_equations_is_what_more_evidence_makes_smaller(fitter):
    """Ten times the weight of everything measured gives sigmas that are sqrt(10) smaller, up to the 1 m limit."""
    _, seen = quality(fitter, render_trial(0))
    solved = seen[RIGHT].found.solved
    sharper = replace(solved, matrix=10 * solved.matrix)
    ratio = fitter.solver.spread(solved) / fitter.solver.spread(sharper)
    np.testing.assert_allclose(ratio, np.sqrt(10), rtol=0.02)
    assert fitter.solver.spread(solved)[list(FINGERTIPS)].mean() > fitter.solver.spread(solved)[[5, 9, 13, 17]].mean()


def test_spread_along_is_the_distance_that_the_equations_leave_open(fitter):
    """Equations that know everything but the distance leave it open along the ray and nothing across it."""
    _, seen = quality(fitter, render_trial(0))
    solved = seen[RIGHT].found.solved
    unknowns = len(solved.matrix)
    ray = solved.rig.state.translation / np.linalg.norm(solved.rig.state.translation)
    known = 1e10 * np.eye(unknowns)
    known[3:6, 3:6] = 1e10 * (np.eye(3) - np.outer(ray, ray)) + np.outer(ray, ray) / 0.1**2
    spread = fitter.solver.spread(replace(solved, matrix=known))
    joints = fitter.solver.hand.points(solved.rig, fitter.solver.hand.joint_rows)
    cosine = (joints / np.linalg.norm(joints, axis=1, keepdims=True)) @ ray  # a joint's ray is not the wrist's
    np.testing.assert_allclose(spread[:, 0], 0.1 * cosine, rtol=0.01)
    np.testing.assert_allclose(spread[:, 1], 0.1 * np.sqrt((1 - cosine**2) / 2), rtol=0.01, atol=1e-4)


def test_judging_changes_nothing_else():
    trial = render_trial(1)
    plain, judged = (
        HandFitter(free_hand(), trust=judge)(trial.frame, trial.located)
        for judge in (lambda seen: (np.zeros(2, np.float32), np.zeros((2, 21, 2), np.float32)), None)
    )
    for name in ("vertices", "joints", "present"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(judged, name))
    np.testing.assert_array_equal(plain.quality.energy, judged.quality.energy)
    np.testing.assert_array_equal(plain.quality.depth_support, judged.quality.depth_support)


def test_without_the_fit_the_other_calibration_judges():
    trial = render_trial(0)
    hands = HandFitter(free_hand(), FitConfig(point_rounds=0))(trial.frame, trial.located)
    assert hands.status == ["unfitted", "unfitted"]
    seen = Watching()
    HandFitter(free_hand(), FitConfig(point_rounds=0), seen)(trial.frame, trial.located)
    confidence, sigma = shipped_trust("landmarks", fit=False)(list(seen.seen.values()))
    np.testing.assert_array_equal(hands.quality.confidence, confidence)
    np.testing.assert_array_equal(hands.quality.sigma, sigma)


# The formulas --------------------------------------------------------------------------------------------------------


def test_every_calibration_is_shipped_and_knows_its_features(fitter):
    _, seen = quality(fitter, render_trial(0))
    hand, joint = hand_features(seen[LEFT]), joint_features(seen[LEFT])
    bare = replace(seen[LEFT], found=None, spread=None)
    for method in METHODS:
        for fit in (True, False):
            trust = shipped_trust(method, fit)
            known = (hand, joint) if (method, fit) != ("pdfnet", False) else (hand_features(bare), joint_features(bare))
            assert set(trust.hand.names) <= set(known[0])
            assert set(trust.joint.names) <= set(known[1])
            assert np.isfinite(trust.judge(*known)[1]).all()
    text = (files("twohands.fitting") / "trust.json").read_text()
    assert set(json.loads(text)) == {calibration_name(method, fit) for method in METHODS for fit in (True, False)}


def test_formulas_solved_by_hand():
    scaling = Scaling(("a",), np.array([0.0]), np.array([2.0]), np.array([1.0]), np.array([0.5]))
    sigma = SigmaFormula(
        bias=np.full((21, 2), np.log(0.01)),
        linear=np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]),
        start=np.zeros((21, 1)),
        inner=np.zeros((3, 1)),
        outer=np.ones((1, 2)),
    )
    trust = Trust(scaling, scaling, np.array([0.5]), 1.0, sigma)
    confidence, spread = trust.judge({"a": 9.0}, {"a": np.linspace(0, 1, 21)})  # 9 is limited to 2, which is z = 2
    assert confidence == pytest.approx(1 / (1 + np.exp(-2.0)))
    np.testing.assert_allclose(spread[:, 0], 0.01 * np.exp(np.linspace(-2, 0, 21)))
    np.testing.assert_allclose(spread[:, 1], 0.01 * np.exp(2.0 / 4))


def test_sigma_has_a_largest_value():
    scaling = Scaling(("a",), *np.array([[-1.0], [1.0], [0.0], [1.0]]))
    zero = np.zeros
    formula = SigmaFormula(np.full((21, 2), 9.0), zero((3, 2)), zero((21, 1)), zero((3, 1)), zero((1, 2)))
    assert Trust(scaling, scaling, zero(1), 0.0, formula).judge({"a": 0.0}, {"a": zero(21)})[1].max() == 1.0


# The calibration -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tool():
    pytest.importorskip("torch")
    path = Path(__file__).parent.parent / "tools" / "trust_formulas.py"
    spec = importlib.util.spec_from_file_location("trust_formulas", path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["trust_formulas"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def made_up_hands(tool, count: int, seed: int):
    """Hands of known law: log error = sign + noise; hidden joints err three times as much, across half as along."""
    rng = np.random.default_rng(seed)
    sign, nothing = rng.normal(size=count), rng.normal(size=count)
    size = 0.018 * np.exp(0.8 * sign + 0.2 * rng.normal(size=count))
    shown = rng.uniform(size=(count, 21))
    scale = size[:, None] * np.where(shown > 0.5, 1.0, 3.0)
    along = scale[..., None] * rng.normal(size=(count, 21, 1))
    across = 0.5 * scale[..., None] * rng.normal(size=(count, 21, 2))
    names = np.array([f"f{index // 2}" for index in range(count)])
    return tool.Hands({"sign": sign, "nothing": nothing}, {"shown": shown}, size, along, across, shown > 0.5, names)


def test_a_calibration_recovers_a_known_law(tool):
    known, fresh = made_up_hands(tool, 3000, 0), made_up_hands(tool, 3000, 1)
    trust = trust_from(json.loads(json.dumps(tool.document_of(tool.calibrated(known)))))
    confidence, sigma = trust.judge(fresh.hand, fresh.joint)
    right = fresh.error < 0.02
    order = np.array_split(np.argsort(confidence), 10)
    assert max(abs(confidence[part].mean() - right[part].mean()) for part in order) < 0.06
    for axis, errors in enumerate((fresh.along, fresh.across)):
        for group in (fresh.visible, ~fresh.visible):
            ratio = np.abs(errors[group]) / sigma[..., axis][group][:, None]
            assert (ratio < 1).mean() == pytest.approx(0.69, abs=0.025)
            assert (ratio < 1.96).mean() == pytest.approx(0.945, abs=0.02)
    hidden = np.median(sigma[~fresh.visible], axis=0) / np.median(sigma[fresh.visible], axis=0)
    np.testing.assert_allclose(hidden, 3, rtol=0.15)
