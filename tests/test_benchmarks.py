"""Metrics of benchmarks on cases solved by hand, and against independent implementations."""

import dataclasses

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.distance import cdist

from twohands.evaluation import metrics
from twohands.evaluation.benchmarks import BENCHMARKS, align_reflecting, contact_deviation, pairs
from twohands.evaluation.benchmarks.benchmark import average
from twohands.hands.skeleton import FINGERTIPS
from twohands.types import LEFT, RIGHT, TwoHands

RIGID = np.linalg.qr(np.random.default_rng(8).normal(size=(3, 3)))[0]


def hands_at_random(count, seed, vertices=40, one_hand=None):
    """Return two random hands per frame, about half a metre away, or only `one_hand`."""
    rng = np.random.default_rng(seed)
    present = np.ones(2) if one_hand is None else np.eye(2)[one_hand]
    frames = []
    for _ in range(count):
        place = rng.normal(scale=0.1, size=(2, 1, 3)) + [0, 0, 0.5]
        joints, mesh = (rng.normal(scale=0.04, size=(2, n, 3)) + place for n in (21, vertices))
        frames.append(TwoHands(mesh, joints, present))
    return frames


def disturbed(frames, seed, scale=0.02):
    """Return the frames with errors of all sizes up to 5 cm and more."""
    rng = np.random.default_rng(seed)
    return [
        dataclasses.replace(
            hands,
            **{name: getattr(hands, name) + rng.normal(scale=scale, size=getattr(hands, name).shape) for name in NAMES},
        )
        for hands in frames
    ]


NAMES = ("joints", "vertices")


def moved(frames, function, names=NAMES):
    return [dataclasses.replace(hands, **{name: function(getattr(hands, name)) for name in names}) for hands in frames]


def joints_of(frames, side):
    return np.stack([hands.joints[side] for hands in frames])


# independent implementations: loops over frames, curves over thresholds


def area(distances, highest, count):
    """Return the area for distances (N, P): a curve for each point, by trapezoids, then the mean over points."""
    thresholds = np.linspace(0, highest, count)
    curves = np.stack([(distances <= t + 1e-9).mean(axis=0) for t in thresholds])
    return np.mean(np.trapezoid(curves, thresholds, axis=0)) / highest


def procrustes(points, true):
    """Align as FreiHAND: unit Frobenius norm, SciPy's orthogonal matrix, scale from the sum of singular values."""
    a, b = points - points.mean(0), true - true.mean(0)
    size_a, size_b = np.linalg.norm(a), np.linalg.norm(b)
    turn, scale = orthogonal_procrustes(b / size_b, a / size_a)
    return (a / size_a) @ turn.T * scale * size_b + true.mean(0)


def f_score(points, true, threshold):
    gaps = cdist(points, true)
    precision, recall = (gaps.min(axis=1) < threshold).mean(), (gaps.min(axis=0) < threshold).mean()
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def aligned_by_hand(name, points, true, joints, true_joints):
    if name == "pa_":
        return procrustes(points, true)
    if name == "st_":
        factor = np.linalg.norm(true_joints[9] - true_joints[0]) / np.linalg.norm(joints[9] - joints[0])
        return factor * points - factor * joints[0] + true_joints[0]
    return points - joints[0] + true_joints[0] if name == "root_" else points


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_truth_has_no_error_and_the_full_fraction(name):
    frames = hands_at_random(5, 1, one_hand=RIGHT if name in ("ho3d", "freihand") else None)
    objects = [(hands.vertices[0], hands.vertices[0]) for hands in frames]
    benchmark = BENCHMARKS[name]
    measured = benchmark.measure(frames, frames, roots=[hands.joints[:, 9] for hands in frames], objects=objects)
    for key, value in measured.items():
        metric = benchmark.metrics.get(key) or benchmark.metrics.get(key.rpartition("_")[0])
        if key == "mpjpe_single" or key.startswith("mpjpe_single_"):
            assert np.isnan(value)
        else:
            fraction = metric is None or metric.kind == "fraction"
            np.testing.assert_allclose(value, 1 if fraction else 0, atol=1e-9, err_msg=key)
    assert set(benchmark.metrics) <= set(measured)


@pytest.mark.parametrize(("name", "prefixes"), [("ho3d", ("", "st_", "pa_")), ("dexycb", ("", "root_", "pa_"))])
def test_joints_agree_with_an_independent_implementation(name, prefixes):
    truth = hands_at_random(30, 2, one_hand=LEFT if name == "dexycb" else RIGHT)
    predictions = disturbed(truth, 3)
    measured = BENCHMARKS[name].measure(predictions, truth)
    side = LEFT if name == "dexycb" else RIGHT
    ours, theirs = joints_of(predictions, side), joints_of(truth, side)
    for prefix in prefixes:
        aligned = [aligned_by_hand(prefix, p, t, p, t) for p, t in zip(ours, theirs, strict=True)]
        distances = np.linalg.norm(np.stack(aligned) - theirs, axis=-1)
        assert measured[f"{prefix}mpjpe"] == pytest.approx(distances.mean(), rel=1e-6)
        assert measured[f"{prefix}auc"] == pytest.approx(area(distances, 0.05, 100), rel=1e-6)


@pytest.mark.parametrize("name", ["ho3d", "freihand"])
def test_meshes_agree_with_an_independent_implementation(name):
    truth = hands_at_random(12, 4, one_hand=RIGHT)
    predictions = disturbed(truth, 5, 0.006)
    measured = BENCHMARKS[name].measure(predictions, truth)
    ours, theirs = ([hands.vertices[RIGHT] for hands in frames] for frames in (predictions, truth))
    for prefix, align in (("", lambda p, t: p), ("pa_", procrustes)):
        aligned = [align(p, t) for p, t in zip(ours, theirs, strict=True)]
        distances = np.linalg.norm(np.stack(aligned) - np.stack(theirs), axis=-1)
        for key, threshold in (("f5", 0.005), ("f15", 0.015)):
            expected = np.mean([f_score(p, t, threshold) for p, t in zip(aligned, theirs, strict=True)])
            assert measured[prefix + key] == pytest.approx(expected)
        if name == "ho3d" or prefix:
            assert measured[f"{prefix}mpvpe"] == pytest.approx(distances.mean(), rel=1e-6)
            assert measured[f"{prefix}mesh_auc"] == pytest.approx(area(distances, 0.05, 100), rel=1e-6)


def test_a_mirrored_hand_is_aligned_by_the_programs_of_the_data_sets_only():
    truth = hands_at_random(3, 6)
    mirrored = moved(truth, lambda points: 1.4 * points * [-1, 1, 1] @ RIGID.T + [0.1, 0.2, 0.3])
    for name in ("ho3d", "freihand", "dexycb"):
        assert BENCHMARKS[name].measure(mirrored, truth)["pa_mpjpe"] < 1e-9
    assert BENCHMARKS["freihand"].measure(mirrored, truth)["pa_mpvpe"] < 1e-9
    for one, other in zip(mirrored, truth, strict=True):
        assert (metrics.pa_mpjpe(one, other) > 0.005).all()


def test_alignment_of_numbers_that_are_not_there():
    points = np.random.default_rng(0).normal(size=(2, 9, 3))
    true = points.copy()
    true[1, 4] = np.nan
    aligned = align_reflecting(points, true)
    np.testing.assert_allclose(aligned[0], points[0])
    assert np.isnan(aligned[1]).all()


def test_scale_and_shift_are_removed_but_no_rotation():
    truth = hands_at_random(4, 7, one_hand=RIGHT)
    scaled = moved(truth, lambda points: 1.7 * points + [0.3, -0.1, 0.2])
    assert BENCHMARKS["ho3d"].measure(scaled, truth)["st_mpjpe"] == pytest.approx(0, abs=1e-9)
    assert BENCHMARKS["ho3d"].measure(moved(truth, lambda points: points @ RIGID.T), truth)["st_mpjpe"] > 0.01


def test_area_at_known_distances():
    truth = hands_at_random(2, 9)

    def area_at(metres, name):
        shifted = moved(truth, lambda points: points + [0, 0, metres])
        return BENCHMARKS[name].measure(shifted, truth)

    assert area_at(0.0, "dexycb")["auc"] == 1
    assert area_at(0.06, "dexycb")["auc"] == 0
    # 12.2 mm: right from threshold 25 of 101, 0.5 mm apart: half an interval before it and 75 after
    assert area_at(0.0122, "hot3d")["pck_auc"] == pytest.approx(75.5 / 100)
    assert area_at(0.0122, "dexycb")["auc"] == pytest.approx((99 - 25 + 0.5) / 99)
    assert area_at(0.0122, "dexycb")["root_auc"] == 1


def test_h2o_reports_each_hand_and_both_roots():
    truth = hands_at_random(6, 10)
    shift = np.array([[[0.003, 0, 0.004]], [[0, 0.012, 0.005]]])  # 5 mm and 13 mm
    predictions = moved(truth, lambda points: points + shift)
    measured = BENCHMARKS["h2o"].measure(predictions, truth)
    for name in ("mpjpe", "mpvpe"):
        expected = {name: 0.009, f"{name}_left": 0.005, f"{name}_right": 0.013}
        assert {key: measured[key] for key in expected} == pytest.approx(expected)
        assert measured[f"al_{name}"] == pytest.approx(0, abs=1e-9)
        assert f"al_published_{name}" not in measured
    roots = [hands.joints[:, 9] + [0.002, 0, 0] for hands in predictions]  # off its joint 9
    published = BENCHMARKS["h2o"].measure(predictions, truth, roots=roots)
    assert published["al_published_mpjpe_right"] == pytest.approx(0.002)
    assert published["al_published_mpvpe"] == pytest.approx(0.002)


def test_h2o3d_shifts_both_hands_by_the_right_wrist():
    truth = hands_at_random(4, 11)
    shifted = moved(truth, lambda points: points + [0.1, 0, 0])
    assert BENCHMARKS["h2o3d"].measure(shifted, truth)["mpjpe"] == pytest.approx(0, abs=1e-9)
    apart = moved(shifted, lambda points: points + np.array([[[0.006, 0, 0]], [[0, 0, 0]]]))
    measured = BENCHMARKS["h2o3d"].measure(apart, truth)
    assert [measured[key] for key in ("mpjpe", "mpjpe_left", "mpjpe_right")] == pytest.approx([0.003, 0.006, 0])


def test_rhd_mean_median_and_area():
    truth = hands_at_random(21, 12, one_hand=LEFT)
    predictions = disturbed(truth, 13)
    measured = BENCHMARKS["rhd"].measure(predictions, truth)
    ours, theirs = (joints_of(frames, LEFT) for frames in (predictions, truth))
    distances = np.linalg.norm((ours - ours[:, :1]) - (theirs - theirs[:, :1]), axis=-1)
    assert measured["epe"] == pytest.approx(distances.mean(axis=0).mean())
    assert measured["epe_median"] == pytest.approx(np.median(distances, axis=0).mean())
    assert measured["auc"] == pytest.approx(area(distances, 0.05, 20))
    assert np.isnan(measured["al_mpjpe_right"])
    assert measured["al_mpjpe"] == measured["al_mpjpe_left"] > 0


def test_interhand_means_over_42_joints_and_kinds_of_frames():
    truth = hands_at_random(9, 14) + hands_at_random(3, 15, one_hand=RIGHT)
    unknown = truth[2].joints.copy()
    unknown[LEFT, 3] = np.nan  # one joint was not annotated
    truth[2] = dataclasses.replace(truth[2], joints=unknown)
    predictions = disturbed(hands_at_random(9, 14) + truth[9:], 16)
    measured = BENCHMARKS["interhand"].measure(predictions, truth)
    errors = [[] for _ in range(42)]
    for one, other in zip(predictions, truth, strict=True):
        for side in np.flatnonzero(other.present):
            for joint in range(21):
                error = (
                    one.joints[side, joint] - one.joints[side, 0] - other.joints[side, joint] + other.joints[side, 0]
                )
                if not np.isnan(error).any():
                    errors[21 * side + joint].append(np.linalg.norm(error))
    assert len(errors[3]) == 8
    assert measured["mpjpe"] == pytest.approx(np.mean([np.mean(one) for one in errors]))
    assert np.isnan(measured["mpjpe_single_left"])
    singles = [np.mean(one[9:]) for one in errors[21:]]
    assert measured["mpjpe_single"] == pytest.approx(np.mean(singles))
    gaps = [hands.joints[LEFT, 0] - hands.joints[RIGHT, 0] for frames in (predictions, truth) for hands in frames[:9]]
    assert measured["mrrpe"] == pytest.approx(np.mean(np.linalg.norm(np.subtract(gaps[:9], gaps[9:]), axis=1)))


def test_hot3d_leaves_out_the_wrist_and_the_base_of_the_thumb():
    truth = hands_at_random(8, 17)
    wrong = []
    for hands in truth:
        joints = hands.joints.copy()
        joints[:, [0, 1]] += 1.0
        joints[:, FINGERTIPS] += [0, 0.019, 0]
        wrong.append(dataclasses.replace(hands, joints=joints))
    measured = BENCHMARKS["hot3d"].measure(wrong, truth)
    assert measured["mpjpe"] == pytest.approx(0.019 * 5 / 19)
    far = np.full((1, 5), 0.019 + 1e-9)
    assert measured["fingertip_pck_auc"] == pytest.approx(area(far, 0.05, 101), abs=0.011)
    assert measured["pck_auc"] == pytest.approx((14 + 5 * measured["fingertip_pck_auc"]) / 19)


def test_contact_deviation():
    hand = np.array([[0.0, 0, 0], [0.1, 0, 0], [0.2, 0, 0]])
    thing = np.array([[0.1, 0.002, 0], [0.2, 0.0031, 0]])  # the first touches vertex 1, the second nothing
    assert contact_deviation(hand, hand, hand, hand) == 0
    assert contact_deviation(hand, hand, thing, thing) == pytest.approx(0.002)
    assert contact_deviation(hand + [0, 0, 0.01], hand, thing + [0, -0.002, 0], thing) == pytest.approx(0.01)
    assert np.isnan(contact_deviation(hand, hand, thing + 1, thing + 1))
    rng = np.random.default_rng(18)
    hands, things = rng.normal(scale=0.01, size=(2, 60, 3)), rng.normal(scale=0.01, size=(2, 50, 3))
    gaps = cdist(hands[1], things[1])
    pairs_of = [(v, gaps[v].argmin()) for v in range(60) if gaps[v].min() <= 0.003]
    expected = np.mean([np.linalg.norm(things[0][o] - hands[0][v]) for v, o in pairs_of])
    assert contact_deviation(hands[0], hands[1], things[0], things[1]) == pytest.approx(expected)


def test_arctic_averages_the_hands_of_a_frame_first():
    truth = hands_at_random(3, 19)
    shift = np.array([[[0.004, 0, 0]], [[0.008, 0, 0]]])
    predictions = moved(truth, lambda points: points + shift * (np.arange(points.shape[1]) > 0)[:, None], ("joints",))
    predictions[0] = dataclasses.replace(predictions[0], present=np.array([1.0, 0]))
    measured = BENCHMARKS["arctic"].measure(predictions, truth)
    assert measured["mpjpe"] == pytest.approx((4 + 6 + 6) / 3 * 20 / 21 / 1000)
    assert measured["found"] == pytest.approx(5 / 6)
    assert measured["mrrpe"] == pytest.approx(0, abs=1e-9)  # the wrists are right
    assert "cdev" not in measured
    things = [(hands.vertices[0] + 0.3, hands.vertices[0]) for hands in truth]
    cdev = BENCHMARKS["arctic"].measure(truth, truth, objects=things)["cdev"]
    assert cdev == pytest.approx(0.3 * 3**0.5)


def test_acceleration_error_within_recordings_and_across_blocks(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 4)
    still = hands_at_random(1, 20)[0]
    count = 11
    truth = [still] * count
    times = np.arange(count) / 30
    # 3 m/s^2 of the vertices relative to the wrist, which goes its own way
    predictions = [
        dataclasses.replace(
            still, vertices=still.vertices + t + [0, 1.5 * t**2, 0], joints=still.joints + np.array([t, t, t])
        )
        for t in times
    ]
    arctic = BENCHMARKS["arctic"]
    assert arctic.measure(predictions, truth)["acc"] == pytest.approx(3)
    jump = [dataclasses.replace(hands, vertices=hands.vertices + 5 * (i > 5)) for i, hands in enumerate(predictions)]
    recordings = ["one"] * 6 + ["other"] * 5
    assert arctic.measure(jump, truth)["acc"] > 100
    assert arctic.measure(jump, truth, sequences=recordings)["acc"] == pytest.approx(3)
    lost = [dataclasses.replace(hands, present=np.zeros(2)) if i == 5 else hands for i, hands in enumerate(jump)]
    assert arctic.measure(lost, truth)["acc"] == pytest.approx(3)  # no frame beside the jump has both its neighbours


def test_a_hand_that_was_not_found_counts_as_not_found_only():
    truth = hands_at_random(10, 21)
    predictions = disturbed(truth, 22)
    absent = predictions[3]
    numbers = {name: np.full_like(getattr(absent, name), np.nan) for name in NAMES}
    for name, benchmark in BENCHMARKS.items():
        alone = benchmark.measure(predictions[:3], truth[:3])
        lost = [*predictions[:3], dataclasses.replace(absent, present=np.zeros(2), **numbers)]
        bare = [*predictions[:3], dataclasses.replace(absent, present=np.zeros(2), vertices=None)]
        for given in (lost, bare):
            measured = benchmark.measure(given, truth[:4])
            assert measured.pop("found") == 3 / 4
            assert measured == pytest.approx({key: alone[key] for key in measured}, nan_ok=True), name


def test_blocks_change_nothing(monkeypatch):
    truth = hands_at_random(11, 23)
    predictions = disturbed(truth, 24)
    whole = {name: benchmark.measure(predictions, truth) for name, benchmark in BENCHMARKS.items()}
    monkeypatch.setattr(pairs, "BLOCK", 3)
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.measure(predictions, truth) == pytest.approx(whole[name], nan_ok=True), name


def test_joints_alone_have_no_figures_of_meshes():
    truth = hands_at_random(3, 25)
    predictions = [dataclasses.replace(hands, vertices=None) for hands in disturbed(truth, 26)]
    measured = BENCHMARKS["ho3d"].measure(predictions, truth)
    assert measured["pa_mpjpe"] > 0
    assert all(np.isnan(measured[key]) for key in ("mpvpe", "mesh_auc", "f5", "pa_mpvpe", "pa_f15"))
    assert np.isnan(BENCHMARKS["arctic"].measure(predictions, truth)["acc"])


def test_printed_units():
    h2o, ho3d, arctic = (BENCHMARKS[name] for name in ("h2o", "ho3d", "arctic"))
    assert h2o.text({"found": 1.0, "mpjpe_left": 0.00964}) == "found 1.000\nmpjpe_left 9.64 mm"
    assert ho3d.text({"pa_mpjpe": 0.0104, "pa_f5": 0.5}) == "pa_mpjpe 1.04 cm\npa_f5 0.500"
    assert arctic.text({"acc": 5.71}) == "acc 5.71 m/s^2"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda frames: frames[:2], "2 predictions for 3 targets"),
        (lambda frames: moved(frames, lambda points: points * np.nan, ("joints",)), "prediction 0 has joints"),
        (lambda frames: [*frames[:2], *moved(frames[2:], lambda p: p / 0, ("vertices",))], "prediction 2 has vertices"),
        (
            lambda frames: moved(frames, lambda points: points[:, :7], ("vertices",)),
            r"\[7\] vertices, targets of \[40\]",
        ),
        (
            lambda frames: [*frames[:2], dataclasses.replace(frames[2], vertices=None)],
            "prediction 2 has a hand without",
        ),
        (lambda frames: moved(frames, lambda points: points[:, :20], ("joints",)), r"joints must be \(2, 21, 3\)"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_wrong_predictions_are_refused(change, complaint):
    truth = hands_at_random(3, 27)
    with pytest.raises(ValueError, match=complaint):
        BENCHMARKS["ho3d"].measure(change(truth), truth)
    with pytest.raises(ValueError, match="no frames"):
        BENCHMARKS["ho3d"].measure([], [])


def test_the_order_of_the_mean():
    nan = np.nan  # two frames, two hands, two joints: the right hand is in the first frame only
    values = np.array([[[1.0, nan], [7.0, 9.0]], [[3.0, 5.0], [nan, nan]]])
    assert average(values, "joints") == pytest.approx(((1 + 3 + 7) / 3 + (5 + 9) / 2) / 2)
    assert average(values, "hands") == pytest.approx(((2 + 5) / 2 + (7 + 9) / 2) / 2)
    assert average(values, "frames") == pytest.approx(((1 + 8) / 2 + 4) / 2)
    assert average(np.array([[[1.0]], [[2.0]], [[9.0]], [[nan]]]), "joints", "median") == 2
    assert np.isnan(average(np.full((3, 2, 4), nan), "frames"))
