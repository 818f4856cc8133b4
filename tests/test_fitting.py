"""The fit: exact Jacobians, and known hands recovered from rendered depth."""

import runpy
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from twohands.evaluation import metrics
from twohands.findings import Finding
from twohands.fitting import EnergyConfig, FitConfig, HandFitter, located_hands
from twohands.fitting.articulation import HandState, RightHand
from twohands.fitting.energy import Cloud, Energy, VisibleSurface
from twohands.fitting.evidence import BASES, PALM_POINTS, HandEvidence, gather
from twohands.fitting.solver import HandSolver, SolvedHand, color_weights
from twohands.geometry.camera import Camera
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.geometry.zbuffer import rasterize
from twohands.hands.free import free_hand, pose_prior
from twohands.hands.skeleton import BONES, JOINTS_FROM_ARTICULATED, NUM_ARTICULATED, ROOT
from twohands.types import LEFT, RIGHT, HandParameters, LocatedHands, OneSide, RGBDFrame, TwoHands

TOOL = runpy.run_path(str(Path(__file__).parent.parent / "tools" / "measure_landmark_offsets.py"))


def random_state(hand: RightHand, seed: int) -> HandState:
    rng = np.random.default_rng(seed)
    return HandState(
        matrix_from_axis_angle(rng.normal(size=3)),
        rng.normal(size=3) * 0.1 + [0, 0, 0.5],
        hand.pose_mean + rng.normal(size=22) * 0.2,
        rng.normal(size=hand.num_shape),
    )


def right_hand() -> RightHand:
    return RightHand(free_hand(), pose_prior(), np.random.default_rng(0).normal(size=(21, 3)) * 0.01)


def joint_rows(hand: RightHand) -> np.ndarray:
    """Return rows (21,) of the joints: 16 articulated ones, and the finger-tip vertices."""
    rows = np.concatenate([hand.num_vertices + np.arange(NUM_ARTICULATED), free_hand().tip_vertices])
    return rows[list(JOINTS_FROM_ARTICULATED)]


def test_jacobian_equals_finite_differences():
    hand = right_hand()
    state = random_state(hand, 1)
    rows = np.concatenate([np.arange(0, hand.num_vertices, 7), joint_rows(hand), hand.landmark_rows])
    rig = hand.rig(state)
    exact = hand.jacobian(rig, rows, hand.points(rig, rows))
    for unknown in range(hand.num_unknowns):
        step = np.zeros(hand.num_unknowns)
        step[unknown] = 1e-6
        ahead, behind = (hand.points(hand.rig(state.moved(sign * step)), rows) for sign in (1, -1))
        np.testing.assert_allclose(exact[..., unknown], (ahead - behind) / 2e-6, atol=1e-6, err_msg=str(unknown))


def test_the_rig_is_the_hand_model():
    hand, model = right_hand(), free_hand()
    state = random_state(hand, 2)
    parameters = model.neutral().map(lambda array: array.astype(np.float64))
    parameters.pose[RIGHT] = hand.axis_angles(state.angles)
    parameters.shape[RIGHT] = state.shape
    parameters.rotation[RIGHT] = axis_angle_from_matrix(state.rotation)
    parameters.translation[RIGHT] = state.translation
    hands, rig = model(parameters), hand.rig(state)
    np.testing.assert_allclose(hand.points(rig, hand.surface), hands.vertices[RIGHT], atol=1e-7)
    np.testing.assert_allclose(hand.points(rig, joint_rows(hand)), hands.joints[RIGHT], atol=1e-7)


# Single steps --------------------------------------------------------------------------------------------------------


def evidence_of(hand: RightHand, state: HandState) -> HandEvidence:
    """Return the evidence of a perfect camera and hand network: landmarks and every point of the surface."""
    rig = hand.rig(state)
    landmarks, vertices = hand.points(rig, hand.landmark_rows), hand.points(rig, hand.surface)
    depth = np.concatenate([landmarks, PALM_POINTS @ landmarks[BASES]])[:, 2] - EnergyConfig().joint_depth
    return HandEvidence(
        camera=Camera(np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1.0]]), 640, 480),
        plane=landmarks[:, :2] / landmarks[:, 2:],
        relative=landmarks,
        landmark_depth=depth[:21],
        palm_depth=depth[21:],
        points=vertices,
        colors=np.tile([0.8, 0.6, 0.5], (len(vertices), 1)),
    )


def degrees_between(rotation: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(np.linalg.norm(axis_angle_from_matrix(rotation @ other.T))))


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_relative_landmarks_are_turned_to_the_viewing_ray(side):
    """The network sees every hand as if the camera looked straight at it; its z axis is the ray to the hand."""
    camera = Camera(np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]], np.float32), 640, 480)
    frame = RGBDFrame(np.zeros((3, 480, 640), np.float32), np.ones((480, 640), np.float32), camera)
    pixels = np.random.default_rng(0).uniform([420, 20], [620, 220], (21, 2))
    away = np.linspace(-0.1, 0.1, 21)
    measured = gather(frame, side, pixels, away[:, None] * [0.0, 0.0, 1.0])
    ray = camera.unproject(pixels.mean(axis=0), np.ones(()))
    if side == LEFT:
        ray = ray * [-1, 1, 1]
    np.testing.assert_allclose(measured.relative, away[:, None] * ray / np.linalg.norm(ray), atol=1e-7)


def test_reconstructed_hands_give_back_their_joints_as_relative_landmarks():
    trial = render_trial(0)
    located = located_hands(trial.target, trial.frame.camera)
    for side, axes in ((LEFT, [-1, 1, 1]), (RIGHT, [1, 1, 1])):
        relative = (trial.target.joints[side] - trial.target.joints[side, ROOT]) * axes
        measured = gather(trial.frame, side, located.pixels[side], located.relative[side])
        np.testing.assert_allclose(measured.relative, relative, atol=1e-6)


def test_a_start_lies_on_the_palm_that_was_measured():
    """Measured palm points overrule rotated relative landmarks, which give the rotation without such readings."""
    hand = right_hand()
    solver, state = HandSolver(hand, FitConfig()), random_state(hand, 3)
    state = replace(state, angles=hand.pose_mean, shape=np.zeros(hand.num_shape))
    seen = evidence_of(hand, state)
    wrong = matrix_from_axis_angle(np.array([0.3, -0.4, 0.2]))
    turned = replace(seen, relative=seen.relative @ wrong.T)
    (start,) = solver.starts(turned)
    assert degrees_between(start.rotation, state.rotation) < 3  # a point between landmarks is not between their pixels
    np.testing.assert_allclose(start.translation, state.translation, atol=0.003)
    few, rough = turned.palm_depth.copy(), turned.palm_depth.copy()
    few[5:] = np.nan
    rough[::2] += 0.04
    for depth in (few, rough):
        for start in HandSolver(hand, FitConfig(cluster_gap=1.0)).starts(replace(turned, palm_depth=depth)):
            assert degrees_between(start.rotation, wrong @ state.rotation) < 1e-3


def test_a_common_turn_of_the_relative_landmarks_costs_nothing():
    """A common turn does not change the gradient either; a bent finger costs energy."""
    hand = right_hand()
    state = random_state(hand, 4)
    seen, rig = evidence_of(hand, state), hand.rig(state)
    given, turned, bent = (
        Energy(hand, EnergyConfig(), replace(seen, relative=relative)).equations(rig)
        for relative in (
            seen.relative,
            seen.relative @ matrix_from_axis_angle(np.array([0.5, -0.8, 0.6])).T,
            hand.points(hand.rig(replace(state, angles=state.angles + 0.3)), hand.landmark_rows),
        )
    )
    assert turned.energy == pytest.approx(given.energy)
    np.testing.assert_allclose(turned.vector, given.vector, atol=1e-4)
    assert bent.energy > given.energy + 0.1


def test_colors_unlike_the_hand_lose_their_weight():
    """Darker colours of the same chroma keep it; with too few sure points every colour counts."""
    rng = np.random.default_rng(0)
    skin = np.array([0.8, 0.6, 0.5]) * rng.uniform(0.5, 1, (40, 1)) + rng.normal(size=(40, 3)) * 0.01
    others = np.array([[0.4, 0.3, 0.25], [0.2, 0.4, 0.8], [0.5, 0.5, 0.5]])
    colors, sure = np.concatenate([skin, others]), np.arange(43) < 40
    weights = color_weights(colors, sure, 3.0)
    assert np.median(weights[:40]) > 0.95
    assert weights[40] > 0.9
    assert (weights[41:] < [0.01, 0.3]).all()
    np.testing.assert_array_equal(color_weights(colors, sure & (np.arange(43) < 29), 3.0), 1)


def test_points_without_weight_do_not_count():
    hand = right_hand()
    state = random_state(hand, 6)
    seen = evidence_of(hand, state)
    surface = VisibleSurface(np.arange(hand.num_vertices), hand.normals(seen.points))
    weights = np.arange(len(seen.points)) % 2.0
    energies = [
        Energy(hand, EnergyConfig(), seen, Cloud(seen.points + moved[:, None] * 0.005, weights), surface)
        .equations(hand.rig(state))
        .energy
        for moved in (0 * weights, 1 - weights, weights)
    ]
    assert energies[0] == pytest.approx(energies[1])
    assert energies[0] + 1 < energies[2]


def test_candidates_are_the_points_nearer_to_the_hand_than_to_the_other_one():
    hand = right_hand()
    state = random_state(hand, 5)
    own = evidence_of(hand, state)
    others = own.points + [0.012, 0, 0]
    seen = replace(
        own,
        points=np.concatenate([own.points, others]),
        colors=np.concatenate([own.colors, 0 * own.colors + [0.2, 0.4, 0.8]]),
    )
    solver, start = HandSolver(hand, FitConfig(max_points=10_000)), SolvedHand(hand.rig(state), own.points, 0.0)
    clouds = [solver.refine(seen, start, surface, None).cloud for surface in (others, np.zeros((0, 3)))]
    np.testing.assert_array_equal(clouds[0].points, own.points)
    np.testing.assert_array_equal(clouds[1].points, seen.points)
    # a single hand recognises the other hand's points by their colour
    np.testing.assert_allclose(clouds[1].weights, np.repeat([1.0, 0.0], len(others)), atol=0.05)


# Whole hands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """A rendered frame of two known hands, and a plausible output of a hand network for them."""

    frame: RGBDFrame
    target: TwoHands
    located: LocatedHands


def landmark_points(hands: TwoHands) -> np.ndarray:
    """Return where (2, 21, 3) the landmark network sees the joints of hands: beside them, fixed to their bones."""
    offsets = np.load(str(files("twohands.fitting") / "landmark_offsets.npy"))
    assert hands.parameters is not None
    points = []
    for side, mirror in ((LEFT, np.array([-1.0, 1.0, 1.0])), (RIGHT, np.ones(3))):
        turns = [hands.parameters.rotation[side], hands.parameters.pose[side]]
        rotation, pose = (matrix_from_axis_angle(turn * mirror * mirror[0]) for turn in turns)
        beside = (rotation @ TOOL["bone_rotations"](pose) @ offsets[..., None])[..., 0]
        points.append(hands.joints[side] + beside * mirror)
    return np.stack(points)


def render_trial(seed: int, noise: float = 1.0, occluder: bool = False, sure: float = 9.0) -> Trial:
    """Render two hands 0.3-0.6 m away in front of a wall; `noise` scales errors of depth and landmarks."""
    rng, model, prior = np.random.default_rng(seed), free_hand(), pose_prior()
    angles = np.zeros((2, 16, 3))
    angles[:, 1:] = (prior.mean + 0.8 * rng.normal(size=(2, len(prior.components))) @ prior.components).reshape(
        2, 15, 3
    )
    angles = np.clip(angles, model.limits[..., 0], model.limits[..., 1])
    turn = matrix_from_axis_angle(rng.normal(size=(2, 3)) * 0.5)
    away = matrix_from_axis_angle(np.array([[np.pi / 2, 0.0, 0.0]] * 2))  # back of the hand to the camera, fingers up
    translation = rng.uniform([[-0.16, -0.02, 0.3], [0.06, -0.02, 0.3]], [[-0.1, 0.1, 0.6], [0.16, 0.1, 0.6]])
    shape = np.repeat(rng.normal(size=(1, 10)) * 0.8, 2, axis=0)
    parameters = HandParameters(
        model.pose_from_angles(angles), shape, axis_angle_from_matrix(turn @ away), translation
    ).map(lambda array: array.astype(np.float32))
    target = model(parameters)
    camera = Camera(np.array([[500, 0, 319.5], [0, 500, 239.5], [0, 0, 1]], np.float32), 640, 480)
    vertices = np.concatenate([*target.vertices])
    faces = np.concatenate([model.faces[LEFT], model.faces[RIGHT] + len(vertices) // 2])
    depth, index = rasterize(vertices, faces, camera)
    rgb = np.where(index >= 0, 0.6, 0.2).astype(np.float32) * np.array([1.0, 0.75, 0.6], np.float32)[:, None, None]
    depth = np.where(index >= 0, depth + noise * 0.001 * rng.normal(size=depth.shape), 0.85).astype(np.float32)
    pixels = np.stack([camera.project(points) for points in landmark_points(target)])
    if occluder:  # a flat box in front of the fingers of the right hand
        u, v = pixels[RIGHT, 12].astype(int)
        window = np.s_[max(v - 25, 0) : v + 40, max(u - 40, 0) : u + 40]
        depth[window], rgb[(slice(None), *window)] = target.joints[RIGHT, 12, 2] - 0.05, 0.9
    size = np.ptp(pixels, axis=1).max(axis=1)[:, None, None]
    pixels = pixels + noise * size * (0.03 * rng.normal(size=pixels.shape) + 0.02 * rng.normal(size=(2, 1, 2)))
    wrong = matrix_from_axis_angle(noise * 0.25 * rng.normal(size=(2, 3)))
    relative = (target.joints - target.joints[:, :1]) @ np.swapaxes(wrong, 1, 2)
    relative = relative + noise * 0.008 * rng.normal(size=relative.shape)
    located = LocatedHands(np.ones(2), pixels, relative, np.zeros((2, 4)), np.full(2, sure))
    return Trial(RGBDFrame(rgb, depth, camera), target, located)


@pytest.fixture(scope="module")
def fitter() -> HandFitter:
    return HandFitter(free_hand())


def fit(fitter: HandFitter, frame: RGBDFrame, located: LocatedHands) -> TwoHands:
    return fitter(frame, located)


def errors(fitter: HandFitter, noise: float, occluder: bool, trials: int = 6) -> np.ndarray:
    """Return the camera-space MPJPE (trials, 2) in metres."""
    result = []
    for seed in range(trials):
        trial = render_trial(seed, noise, occluder)
        hands = fit(fitter, trial.frame, trial.located)
        assert hands.quality is not None
        assert hands.quality.fitted.all()
        result.append(metrics.mpjpe(hands, trial.target))
    return np.array(result)


def test_a_clean_hand_is_recovered(fitter):
    assert errors(fitter, noise=0, occluder=False).max() < 0.003


def test_a_noisy_hand_is_recovered(fitter):
    found = errors(fitter, noise=1, occluder=False)
    assert found.mean() < 0.005
    assert found.max() < 0.010


def test_an_occluder_hardly_moves_the_hand(fitter):
    assert np.median(errors(fitter, noise=1, occluder=True)) < 0.005


def test_wrong_landmarks_are_survived(fitter):
    found = errors(fitter, noise=2, occluder=False)  # landmarks off by 7 % of the hand, turned by 30-50 degrees
    assert np.median(found) < 0.010
    assert found.max() < 0.030


def test_the_measured_size_hardly_follows_the_landmarks(fitter):
    """All landmarks 5 % too far in or out change the size less than half as much as that of the fit."""
    sizes = []
    for scale in (0.95, 1.05):
        for seed in range(3):
            trial = render_trial(seed, noise=0)
            middle = trial.located.pixels.mean(axis=1, keepdims=True)
            located = replace(trial.located, pixels=middle + scale * (trial.located.pixels - middle))
            found = [fit(each, trial.frame, located) for each in (fitter, fitter.measuring())]
            parents, children = np.array(BONES).T
            lengths = [np.linalg.norm(h.joints[:, children] - h.joints[:, parents], axis=-1).sum() for h in found]
            sizes.append(lengths)
    too_small, too_large = np.array(sizes).reshape(2, 3, 2).mean(axis=1)
    as_fitted, measured = too_large - too_small
    assert as_fitted > 0
    assert abs(measured) < 0.5 * as_fitted


def test_left_and_right_are_mirror_images(fitter):
    trial = render_trial(3)
    hands = fit(fitter, trial.frame, trial.located)
    camera = trial.frame.camera.mirror()
    frame = RGBDFrame(trial.frame.rgb[:, :, ::-1], trial.frame.depth[:, ::-1], camera)
    pixels = trial.located.pixels
    pixels = np.stack([camera.width - 1 - pixels[..., 0], pixels[..., 1]], axis=-1)[::-1]
    located = replace(trial.located, pixels=pixels, relative=trial.located.relative[::-1] * [-1, 1, 1])
    swapped = fit(fitter, frame, located)
    np.testing.assert_allclose(swapped.vertices[::-1] * [-1, 1, 1], hands.vertices, atol=3e-3)


def test_without_depth_the_landmark_solution_is_kept_and_marked(fitter):
    trial = render_trial(0)
    frame = RGBDFrame(trial.frame.rgb, np.zeros_like(trial.frame.depth), trial.frame.camera)
    hands = fit(fitter, frame, replace(trial.located, present=np.array([0.9, 0.1])))
    assert not hands.quality.fitted.any()
    np.testing.assert_allclose(hands.present, [0.9, 0.1], rtol=1e-6)
    image = np.linalg.norm(frame.camera.project(hands.joints[LEFT]) - trial.located.pixels[LEFT], axis=1)
    assert image.mean() < 12
    assert hands.quality.depth_support[LEFT] == 0
    assert np.isfinite(hands.quality.energy).tolist() == [True, False]


def test_a_worse_explanation_has_more_energy(fitter):
    good, bad = (render_trial(1, noise) for noise in (0, 2))
    energies = [fit(fitter, trial.frame, trial.located).quality.energy for trial in (good, bad)]
    assert (energies[0] < energies[1]).all()


@pytest.mark.parametrize("seed", range(4))
def test_depth_settles_the_sides_that_the_image_confused(fitter, seed):
    trial = render_trial(seed, sure=1.0)
    swapped = trial.located.map(lambda values: values[::-1])
    hands = fit(fitter, trial.frame, swapped)
    assert metrics.mpjpe(hands, trial.target).max() < 0.02
    alone = fit(
        fitter, trial.frame, replace(swapped, present=np.array([0.0, 0.8]))
    )  # the left hand, taken for a right one
    np.testing.assert_allclose(alone.present, [0.8, 0])
    assert metrics.mpjpe(alone, trial.target)[LEFT] < 0.02


@pytest.mark.parametrize(("odds", "hands", "said"), [(0.4, 1, "left hand"), (0.4, 2, "both hands"), (3.0, 1, "")])
def test_an_undecided_side_is_said(fitter, odds, hands, said):
    """Without depth only the image is left to decide; its log-odds are those of each hand."""
    trial = render_trial(0)
    frame = RGBDFrame(trial.frame.rgb, np.zeros_like(trial.frame.depth), trial.frame.camera)
    present = np.array([0.9, 0.9 * (hands == 2)])
    findings = fit(fitter, frame, replace(trial.located, present=present, side_odds=np.full(2, odds))).findings
    assert [finding.code for finding in findings] == ["side_undecided"] * bool(said)
    for finding in findings:
        assert said in finding.sentence
        assert finding.values["probability"] == pytest.approx(1 / (1 + np.exp(-0.9 * odds * hands)))


def suspect(side: int, kept: int, odds: float) -> OneSide:
    return OneSide(side, np.full(2, odds), kept, Finding("two_hands_of_one_side", "warning", "two"))


@pytest.mark.parametrize(("seed", "kept"), [(0, LEFT), (1, RIGHT), (2, LEFT)])
def test_of_two_left_hands_one_is_given(fitter, seed, kept):
    """The window with the left hand twice: the second one must not become a right hand, whichever is kept."""
    trial = render_trial(seed)
    pixels = trial.located.pixels[LEFT]
    first = int(np.clip(pixels[:, 0].mean() - 160, 0, 320))
    rgb, depth = (
        np.concatenate([image[..., first : first + 320]] * 2, axis=-1) for image in (trial.frame.rgb, trial.frame.depth)
    )
    located = LocatedHands(
        np.ones(2),
        np.stack([pixels - [first, 0], pixels + [320 - first, 0]]),
        np.stack([trial.located.relative[LEFT]] * 2),
        np.zeros((2, 4)),
        np.array([2.0, -2.0]),
        one_side=suspect(LEFT, kept, 2.0),
    )
    hands = fit(fitter, RGBDFrame(rgb, depth, trial.frame.camera), located)
    np.testing.assert_allclose(hands.present, [1, 0])
    assert [finding.code for finding in hands.findings] == ["two_hands_of_one_side"]
    away = np.linalg.norm(trial.frame.camera.project(hands.joints[LEFT]) - located.pixels[kept], axis=1).mean()
    assert away < 0.15 * np.ptp(pixels, axis=0).max()


@pytest.mark.parametrize("seed", range(3))
def test_the_depth_refutes_two_hands_of_one_side(fitter, seed):
    """A left and a right hand, of which the image misread one, are both given."""
    trial = render_trial(seed)
    located = replace(trial.located, side_odds=np.array([1.0, -1.0]), one_side=suspect(LEFT, LEFT, 1.0))
    hands = fit(fitter, trial.frame, located)
    np.testing.assert_allclose(hands.present, 1)
    assert hands.findings == ()
    assert metrics.mpjpe(hands, trial.target).max() < 0.02
