"""Results of one hand model as results of another: counterparts, round trips, residuals, the cache, the command."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from other_hand import other_hand
from test_cli_info_synth import WITHOUT_TORCH
from twohands import cli
from twohands.files import user_cache
from twohands.geometry.nearest import Surface, closest_weights
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands import correspondence, free_hand, mano_hand
from twohands.hands.convert import HandConverter
from twohands.hands.correspondence import find_correspondence, match
from twohands.hands.free import pose_prior
from twohands.hands.kinematics import Kinematics, OneHand, turn_bones
from twohands.hands.mano import FOLDER_VARIABLE
from twohands.results import failed_row, make_row, read_results, split_rows, write_npz
from twohands.types import LEFT, RIGHT, HandParameters, Quality

FREE = free_hand()
MIRROR = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def other():
    return other_hand()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def there(other, cache):
    """The free hand to the other one."""
    return HandConverter(FREE, other.model, cache)


@pytest.fixture(scope="module")
def back(other, cache):
    return HandConverter(other.model, FREE, cache)


def hands_of(angles, seed, model=FREE):
    """Two hands of one of the library's poses (16, 3), with random shapes and places."""
    rng = np.random.default_rng(seed)
    parameters = HandParameters(
        model.pose_from_angles(np.stack([angles, angles])),
        rng.normal(size=(2, model.num_shape)).astype(np.float32),
        rng.normal(size=(2, 3)).astype(np.float32),
        (0.1 * rng.normal(size=(2, 3)) + [0, 0, 0.5]).astype(np.float32),
    )
    return model(parameters)


def surface_distance(points, hands, side, faces):
    """Distances (N,) of points from the surface of a hand, metres."""
    sign = MIRROR if side == LEFT else 1
    return Surface(hands.vertices[side] * sign, faces).nearest(points * sign).distances


def turn_between(a, b):
    """The angle in degrees between two axis-angles."""
    return np.degrees(np.linalg.norm(axis_angle_from_matrix(matrix_from_axis_angle(a).T @ matrix_from_axis_angle(b))))


def test_nearest_place_on_a_triangle():
    rng = np.random.default_rng(0)
    corners, points = rng.normal(size=(300, 3, 3)), 1.5 * rng.normal(size=(300, 3))
    weights, squared = closest_weights(points, corners)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-12)
    assert weights.min() > -1e-9
    places = np.einsum("nk,nka->na", weights, corners)
    np.testing.assert_allclose(((places - points) ** 2).sum(axis=1), squared, atol=1e-9)
    steps = 60
    grid = np.array([(i, j, steps - i - j) for i, j in product(range(steps + 1), repeat=2) if i + j <= steps]) / steps
    tried = ((np.einsum("gk,nka->nga", grid, corners) - points[:, None]) ** 2).sum(axis=-1).min(axis=1)
    assert (squared <= tried + 1e-9).all()
    assert np.max(np.sqrt(tried) - np.sqrt(squared)) < 0.06  # the grid's own spacing


def test_nearest_place_on_a_hand():
    rng = np.random.default_rng(1)
    hands = hands_of(pose_prior().library[pose_prior().names.index("fist")], 0)
    surface = Surface(hands.vertices[RIGHT].astype(float), FREE.right_faces)
    points = hands.vertices[RIGHT] + rng.normal(scale=0.003, size=(778, 3))
    found = surface.nearest(points)
    exact = np.sqrt(closest_weights(points[:, None], surface.corners)[1].min(axis=1))
    assert (found.distances >= exact - 1e-9).all()
    assert np.mean(found.distances > exact + 1e-6) < 0.02
    assert np.max(found.distances - exact) < 0.001
    normals = rng.normal(size=(778, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    facing = surface.nearest(points, 0.005, normals, 0.5)
    assert 0.05 < facing.found.mean() < 0.95
    chosen = facing.found
    assert (np.einsum("na,na->n", surface.normals[facing.faces[chosen]], normals[chosen]) >= 0.5).all()
    assert facing.distances[chosen].max() <= 0.005
    assert np.isinf(facing.distances[~chosen]).all()


def test_jacobian_of_a_hand(other):
    """Against differences, and the points against the hand model itself."""
    rng = np.random.default_rng(2)
    kinematics = Kinematics(other.model)
    hand = OneHand(
        matrix_from_axis_angle(rng.normal(size=3)),
        rng.normal(size=3),
        rng.normal(scale=0.6, size=(15, 3)),
        rng.normal(size=10),
    )
    hand.pose[3] = 0  # where formulas for rotations divide by the angle
    points, jacobian = kinematics.points_and_jacobian(hand)
    for unknown in range(jacobian.shape[-1]):
        step = np.zeros(jacobian.shape[-1])
        step[unknown] = 1e-5
        numeric = (kinematics.points(hand.moved(step)) - kinematics.points(hand.moved(-step))) / 2e-5
        np.testing.assert_allclose(jacobian[..., unknown], numeric, atol=1e-8)
    both = HandParameters(
        *(np.stack([a, a]) for a in (hand.pose, hand.shape, axis_angle_from_matrix(hand.rotation), hand.translation))
    )
    posed = other.model(both)
    np.testing.assert_allclose(points[:1000], posed.vertices[RIGHT], atol=1e-6)
    np.testing.assert_allclose(points[1000 + 7], posed.joints[RIGHT, 9], atol=1e-6)


def test_bones_turn_with_their_skin():
    rng = np.random.default_rng(3)
    kinematics = Kinematics(FREE)
    hand = replace(kinematics.neutral(), pose=rng.normal(scale=0.3, size=(15, 3)), rotation=np.diag([-1.0, -1, 1]))
    goal = kinematics.points(hand)[:778]
    start = turn_bones(kinematics, np.arange(778), goal)
    assert np.linalg.norm(kinematics.points(start)[:778] - goal, axis=1).max() < 0.012
    np.testing.assert_allclose(start.rotation, hand.rotation, atol=0.05)


@pytest.mark.parametrize("seed", [1, 2])
def test_counterparts_are_the_true_ones(seed):
    """Measured: median 1.1 mm, 95 % 2.3 mm; the surfaces themselves differ by 1 mm."""
    other, source = other_hand(seed), free_hand(1609)
    found = match(source, other.model)
    assert found.found.mean() > 0.97
    assert found.covered.mean() > 0.97
    places = found.places(source.rest_vertices, source.right_faces)
    error = np.linalg.norm(places - (other.mixture @ source.rest_vertices)[found.found], axis=1)
    assert np.median(error) < 0.0015
    assert np.quantile(error, 0.95) < 0.0035


def test_round_trip_of_the_named_poses(there, back):
    """Every pose of the library with two random shapes, both sides.

    Measured: surface 0.6 mm (median) and 2.3 mm (95 %), vertices after both ways 1.1 and 2.3 mm, joints 1.8 mm (95 %)
    and at most 3.7 mm, wrists at most 2.6 mm and 2 degrees.
    """
    surface, returned, joints, wrists, turns = [], [], [], [], []
    for index, angles in enumerate(pose_prior().library):
        hands = hands_of(angles, index)
        converted = there(hands)
        again = back(converted.hands).hands
        for side in (LEFT, RIGHT):
            placed = converted.hands.vertices[side][there.correspondence.found]
            surface.append(surface_distance(placed, hands, side, FREE.right_faces))
            returned.append(np.linalg.norm(again.vertices[side] - hands.vertices[side], axis=1))
            joints.append(np.linalg.norm(again.joints[side] - hands.joints[side], axis=1))
            before, after = hands.parameters, again.parameters
            wrists.append(np.linalg.norm(after.translation[side] - before.translation[side]))
            turns.append(turn_between(after.rotation[side], before.rotation[side]))
    assert np.median(surface) < 0.001
    assert np.quantile(surface, 0.95) < 0.003
    assert np.median(returned) < 0.0015
    assert np.quantile(returned, 0.95) < 0.003
    assert np.quantile(joints, 0.95) < 0.0025
    assert np.max(joints) < 0.005
    assert max(wrists) < 0.003
    assert max(turns) < 3


def test_left_is_the_mirror_image_of_right(there):
    hands = hands_of(pose_prior().library[5], 3)
    mirrored = np.stack([hands.vertices[RIGHT] * MIRROR, hands.vertices[RIGHT]])
    converted = there(replace(hands, vertices=mirrored))
    np.testing.assert_allclose(converted.hands.vertices[LEFT] * MIRROR, converted.hands.vertices[RIGHT], atol=1e-6)
    np.testing.assert_allclose(converted.rms[LEFT], converted.rms[RIGHT], rtol=1e-6)


def test_residual_is_the_distance_of_the_surfaces(there, other):
    hands = hands_of(pose_prior().library[8], 4)
    converted = there(hands)
    chosen, covered = there.correspondence.found, there.correspondence.covered
    for side in (LEFT, RIGHT):
        outward = surface_distance(converted.hands.vertices[side][chosen], hands, side, FREE.right_faces)
        inward = surface_distance(hands.vertices[side][covered], converted.hands, side, other.model.right_faces)
        distances = np.concatenate([outward, inward])
        np.testing.assert_allclose(converted.distances[side], distances, atol=1e-6)
        np.testing.assert_allclose(converted.rms[side], np.sqrt((distances**2).mean()), rtol=1e-3)
        np.testing.assert_allclose(converted.quantile(0.5)[side], np.median(distances), rtol=1e-3)


def test_meshes_without_parameters(there):
    """A network without a fit gives no parameters, and vertices that no hand model has."""
    hands = hands_of(pose_prior().library[2], 5)
    noise = np.random.default_rng(6).normal(scale=0.001, size=hands.vertices.shape)
    noisy = replace(hands, vertices=hands.vertices + noise, parameters=None, joints=np.full((2, 21, 3), np.nan))
    clean, rough = there(hands), there(noisy)
    assert np.abs(clean.hands.joints - rough.hands.joints).max() < 0.002
    assert (rough.rms < 0.002).all()


def test_a_hand_that_cannot_be_reproduced(there):
    hands = FREE(FREE.neutral())
    vertices, finger = hands.vertices.copy(), FREE.weights[:, 4:7].sum(axis=1) > 0.5
    knuckle = hands.joints[RIGHT, 5]
    vertices[RIGHT, finger] += vertices[RIGHT, finger] - knuckle  # an index finger twice as long
    vertices[LEFT] = vertices[LEFT, ::-1]  # no hand at all
    converted = there(replace(hands, vertices=vertices))
    assert converted.quantile(0.95)[RIGHT] > 0.006
    assert converted.rms[LEFT] > 0.01
    good = there(hands)
    assert good.quantile(0.95)[RIGHT] < 0.003


def test_absent_hands_stay_absent(there):
    hands = hands_of(pose_prior().library[0], 7)
    vertices = hands.vertices.copy()
    vertices[LEFT] = np.nan
    converted = there(replace(hands, vertices=vertices, present=np.array([0.3, 0.8])))
    assert len(converted.distances[LEFT]) == 0
    assert np.isnan(converted.rms[LEFT])
    assert np.isnan(converted.quantile(0.5)[LEFT])
    assert np.isfinite(converted.rms[RIGHT])
    np.testing.assert_array_equal(converted.hands.present, [0.3, 0.8])


def test_where_one_hand_model_ends(cache):
    """A source that ends 2 cm nearer to the fingers has no counterparts for the wrist of the target."""
    cut = FREE.rest_vertices[:, 2].min() + 0.02
    kept = (FREE.rest_vertices[FREE.right_faces][..., 2] > cut).all(axis=1)
    short = replace(FREE, right_faces=FREE.right_faces[kept])
    found = match(short, FREE).found
    height = FREE.rest_vertices[:, 2] - cut
    assert not found[height < -0.004].any()
    assert found[height > 0.004].mean() > 0.99
    hands = hands_of(pose_prior().library[1], 8)
    error = np.linalg.norm(HandConverter(short, FREE, cache)(hands).hands.vertices - hands.vertices, axis=-1)
    assert error.max() < 0.004
    assert np.median(error) < 0.001


def test_models_that_cannot_be_matched():
    flat = replace(FREE, rest_vertices=FREE.rest_vertices[::-1].copy())
    with pytest.raises(ValueError, match=r"cannot be matched.*original files"):
        match(FREE, flat)


def test_counterparts_are_kept(other, tmp_path, monkeypatch):
    first = find_correspondence(FREE, other.model, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(correspondence, "match", None)  # not to be called again
        second = find_correspondence(FREE, other.model, tmp_path)
    np.testing.assert_array_equal(first.faces, second.faces)
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_array_equal(first.covered, second.covered)
    moved = replace(FREE, rest_vertices=FREE.rest_vertices + np.float32(1e-4))
    calls = []
    monkeypatch.setattr(correspondence, "match", lambda *models: calls.append(models) or first)
    find_correspondence(moved, other.model, tmp_path)
    find_correspondence(FREE, replace(other.model, right_faces=other.model.right_faces[::-1]), tmp_path)
    assert len(calls) == 2
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("damage", ["truncated", "text", "shapes", "indices", "empty"])
def test_a_damaged_file_is_replaced(other, there, tmp_path, monkeypatch, damage):
    good = there.correspondence
    monkeypatch.setattr(correspondence, "match", lambda source, target: good)
    find_correspondence(FREE, other.model, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("nothing of the kind")
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        cut = 10 if damage == "shapes" else None
        faces = np.where(damage == "indices", good.faces + 100_000, good.faces)[:cut]
        np.savez(path, faces=faces, weights=good.weights[:cut], covered=good.covered)
    found = find_correspondence(FREE, other.model, tmp_path)
    np.testing.assert_array_equal(found.faces, good.faces)
    assert path.read_bytes() == content


def test_a_cache_that_cannot_be_written(other, there, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(correspondence, "match", lambda source, target: there.correspondence)
    (tmp_path / "file").write_text("")
    found = find_correspondence(FREE, other.model, tmp_path / "file" / "cache")
    assert found is there.correspondence
    assert "cannot write" in caplog.text
    assert "matched again next time" in caplog.text


def test_place_of_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TWOHANDS_CACHE", str(tmp_path))
    assert user_cache() == tmp_path
    monkeypatch.delenv("TWOHANDS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    assert user_cache() == tmp_path / "twohands"


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """A result of the free hand: a frame with both hands, one with a right hand, one that failed."""
    K = np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]])
    quality = Quality(np.array([0.002, 0.003]), np.array([0.9, 0.8]), np.array([True, True]))
    rows = []
    for index, present in enumerate(([0.9, 1.0], [0.1, 0.7])):
        hands = replace(hands_of(pose_prior().library[index], index), present=np.array(present), quality=quality)
        rows.append(make_row(f"frame{index}", hands, K, np.full((2, 2), index)))
    rows.append(failed_row("frame2", "no depth at all", K, FREE))
    folder = tmp_path_factory.mktemp("result")
    write_npz(folder / "hands.npz", rows, np.asarray(FREE.faces), "free")
    return folder


@pytest.fixture(autouse=True)
def cache_of_the_session(cache, monkeypatch):
    monkeypatch.setenv("TWOHANDS_CACHE", str(cache))


def test_command_without_torch(result, tmp_path):
    def convert(source, to, out):
        command = [sys.executable, "-c", WITHOUT_TORCH, "convert-hands", source, "--to", to, "--out", out]
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)

    done = convert(result, "mano", tmp_path / "mano")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 frames, 3 hands; distance from the original surface: median ")
    assert "matching the surfaces" in done.stderr
    before, after = read_results(result), read_results(tmp_path / "mano")
    assert str(after["hand_model"]) == "mano"
    np.testing.assert_array_equal(after["faces"], mano_hand().faces)
    for name in ("frame_id", "K", "inputs", "error", "present"):
        np.testing.assert_array_equal(after[name], before[name])
    absent = before["present"] < 0.5
    assert absent.sum() == 3
    for name in ("vertices", "joints", "pose", "shape", "T_camera_from_wrist"):
        np.testing.assert_array_equal(np.isnan(after[name]).reshape(3, 2, -1).all(axis=2), absent)
    assert np.isnan(after["depth_residual"]).all()
    assert not after["depth_support"].any()
    assert not after["fitted"].any()
    frames = json.loads((tmp_path / "mano" / "hands.json").read_text())["frames"]
    assert frames[1]["hands"]["left"] is None
    assert frames[1]["hands"]["right"]["depth_residual"] is None
    assert frames[2]["error"] == "no depth at all"
    done = convert(tmp_path / "mano" / "hands.npz", "free", tmp_path / "again.npz")
    assert done.returncode == 0, done.stderr
    again = read_results(tmp_path / "again.npz")
    error = np.linalg.norm(again["vertices"] - before["vertices"], axis=-1)[~absent]
    assert np.quantile(error, 0.95) < 0.002
    assert (tmp_path / "again.json").exists()


def test_command_names_poor_hands(result, tmp_path, capsys):
    arrays = read_results(result)
    arrays["vertices"][0, RIGHT] = arrays["vertices"][0, RIGHT, ::-1]
    write_npz(tmp_path / "hands.npz", split_rows(arrays), arrays["faces"], "free")
    assert cli.main(["convert-hands", str(tmp_path), "--to", "mano", "--out", str(tmp_path / "out")]) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "frame0" in line]
    assert len(lines) == 1
    assert lines[0].startswith("twohands: frame0, right hand: 5 % of the surface is more than ")


def test_command_refuses(result, tmp_path, capsys, monkeypatch):
    def complaint(source=result, to="mano", out=tmp_path / "out"):
        assert cli.main(["convert-hands", str(source), "--to", to, "--out", str(out)]) == 2
        assert not (tmp_path / "out").exists()
        return capsys.readouterr().err

    assert "holds hands of the model 'free' already" in complaint(to="free")
    assert "does not exist; give a hands.npz, or a folder" in complaint(tmp_path / "missing")
    assert "exists and is not overwritten; give another --out" in complaint(out=result)
    arrays = read_results(result)
    write_npz(tmp_path / "faces.npz", split_rows(arrays), arrays["faces"][:, 1:], "free")
    assert "has other triangles than the hand model 'free'" in complaint(tmp_path / "faces.npz")
    arrays["vertices"][1, RIGHT] = np.nan
    write_npz(tmp_path / "meshes.npz", split_rows(arrays), arrays["faces"], "free")
    assert "without a mesh in frame frame1" in complaint(tmp_path / "meshes.npz")
    monkeypatch.delenv(FOLDER_VARIABLE)
    mano_hand.cache_clear()
    try:
        assert f"set {FOLDER_VARIABLE} to their folder" in complaint()
    finally:
        mano_hand.cache_clear()
