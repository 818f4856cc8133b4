"""ARCTIC: a miniature copy in its layout is read back as it was written, world to camera, lens and all."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

import old_pickles
from contract import check_contract
from scenes import CAMERA, HEIGHT, WIDTH, scene
from twohands.data.readers import common
from twohands.data.readers.arctic import ARCTIC, read_dictionary
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.lenses import bent, places
from twohands.geometry.camera import Camera
from twohands.hands.mano import Convention, Values, place
from twohands.types import LEFT, RIGHT, SIDE_NAMES

CONVENTION = Convention(flat_hand_mean=False, left_shape="raw", tips="hot3d")
RECORDINGS = ("s01/box_grab_01", "s05/box_use_01")
UNLABELLED = "s03/box_grab_01"
ROWS, OFFSET = 23, 2  # frames of the labels; number of the image of the first one
NUMBERS = (10, 11, 12)  # the images that the official lists take
SINCE = np.arange(ROWS) - (NUMBERS[0] - OFFSET)  # rows after that of the first such image
STEP = np.array([0.004, -0.003, 0.005])  # metres that both hands move from row to row, world
DRIFT = np.array([-0.002, 0.003, 0.001])  # what the motion of the head adds to it, camera frame
LENS = (-0.3, 0.12, 0.004, -0.003, 0.02, -0.05, 0.03, 0.01)  # k1, k2, p1, p2, k3, k4, k5, k6
POINT = np.array([0.4, 0.15, 0.6])  # metres, camera frame: shown as a dot
STATIC = 3  # the view that has images
TURNS = {
    0: Rotation.from_rotvec([0.3, -0.5, 2.0]).as_matrix(),
    STATIC: Rotation.from_rotvec([-1.1, 0.4, 0.2]).as_matrix(),
}
SHIFTS = {0: np.array([0.2, -0.1, 0.4]), STATIC: np.array([-0.3, 0.5, 1.0])}


def world_values(world, side, turn, shift):
    """The values of a hand of a scene in a world from which (turn, shift) lead to the camera."""
    values = world.values[side]
    rest_wrist = world.joints[side, 0] - values.translation
    orientation = (Rotation.from_matrix(turn.T) * Rotation.from_rotvec(values.orientation)).as_rotvec()
    translation = turn.T @ (world.joints[side, 0] - shift) - rest_wrist
    return Values(orientation, values.pose, values.shape, translation)


def seen_by_lens(points):
    """(..., 2) pixels of the bent image of points (..., 3): the model as OpenCV's manual writes it."""
    k1, k2, p1, p2, k3, k4, k5, k6 = LENS
    x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    r2, r4, r6 = (np.hypot(x, y) ** power for power in (2, 4, 6))
    radial = (1 + k1 * r2 + k2 * r4 + k3 * r6) / (1 + k4 * r2 + k5 * r4 + k6 * r6)
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2)
    v = y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
    return np.stack([u, v], axis=-1) * CAMERA.focal + CAMERA.center


def dotted(pixels):
    """A black image with a soft white dot at a pixel."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    dot = 255 * np.exp(-((columns - pixels[0]) ** 2 + (rows - pixels[1]) ** 2) / 18)
    return np.repeat(dot[..., None], 3, axis=2).round().astype(np.uint8)


def place_of_dot(rgb):
    """(u, v) of the middle of what is bright."""
    bright = rgb[..., 0].astype(float)
    bright[bright < 40] = 0
    rows, columns = np.mgrid[: rgb.shape[0], : rgb.shape[1]]
    return np.array([(bright * columns).sum(), (bright * rows).sum()]) / bright.sum()


def write_recording(root, name, world, view):
    """The labels of a recording whose row NUMBERS[0] - OFFSET is the scene, and the images of a view."""
    turn, shift = TURNS[view], SHIFTS[view]
    moves = SINCE[:, None] * STEP
    labels = {}
    for side in (LEFT, RIGHT):
        values = world_values(world, side, turn, shift)
        labels[SIDE_NAMES[side]] = {
            "rot": np.tile(values.orientation, (ROWS, 1)),
            "pose": np.tile(values.pose, (ROWS, 1)),
            "trans": values.translation + moves,
            "shape": values.shape,
            "fitting_err": [0.001] * ROWS,
        }
    path = root / "raw_seqs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    old_pickles.save_object(path.with_name(f"{path.name}.mano.npy"), labels, "numpy1", 3)
    write_images(root, name, view, dict.fromkeys(NUMBERS, dotted(seen_by_lens(POINT))))


def write_ego_camera(root, name):
    camera = {
        "R_k_cam_np": np.tile(TURNS[0], (ROWS, 1, 1)),
        "T_k_cam_np": (SHIFTS[0] + SINCE[:, None] * DRIFT)[..., None],
        "intrinsics": CAMERA.K,
        "dist8": np.array(LENS),
    }
    path = root / "raw_seqs" / f"{name}.egocam.dist.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    old_pickles.save_object(path, camera, "numpy1", 3)


def write_images(root, name, view, images):
    folder = root / "images" / name / str(view)
    folder.mkdir(parents=True)
    for number, rgb in images.items():
        Image.fromarray(rgb).save(folder / f"{number:05d}.jpg", quality=98)


def write_copy(root, mano, view=0):
    """A recording of train and one of validation, labelled; one of test, images only. Returns the scenes by name."""
    worlds = {name: scene(mano, seed, CONVENTION) for seed, name in enumerate(RECORDINGS)}
    for name, world in worlds.items():
        write_recording(root, name, world, view)
    write_images(root, UNLABELLED, view, dict.fromkeys(range(21), np.zeros((HEIGHT, WIDTH, 3), np.uint8)))
    for name in (*RECORDINGS, UNLABELLED):
        write_ego_camera(root, name)
    one = {
        "ioi_offset": OFFSET,
        "image_size": [[WIDTH, HEIGHT]] * 9,
        "intris_mat": [CAMERA.K.tolist()] * 8,
        "world2cam": [np.eye(4).tolist()] * 8,
        "gender": "female",
    }
    static = np.eye(4)
    static[:3, :3], static[:3, 3] = TURNS[STATIC], SHIFTS[STATIC]
    one["world2cam"][STATIC - 1] = static.tolist()
    (root / "meta").mkdir()
    (root / "meta" / "misc.json").write_text(json.dumps(dict.fromkeys(("s01", "s03", "s05"), one)))
    return worlds


@pytest.fixture(scope="module")
def copy(mano, tmp_path_factory):
    root = tmp_path_factory.mktemp("arctic")
    return root, write_copy(root, mano)


@pytest.mark.parametrize(("split", "name"), [("train", RECORDINGS[0]), ("validation", RECORDINGS[1])])
def test_what_was_written_is_read(copy, split, name):
    root, worlds = copy
    dataset, world = ARCTIC(root, split), worlds[name]
    assert len(dataset) == len(NUMBERS)
    for index, number in enumerate(NUMBERS):
        sample, move = dataset[index], index * (TURNS[0] @ STEP + DRIFT)
        assert sample.id == f"{name}/0/{number:05d}"
        assert sample.hands.present.tolist() == [1, 1]
        np.testing.assert_allclose(sample.hands.joints, world.joints + move, atol=2e-6)
        np.testing.assert_allclose(sample.hands.vertices, world.vertices + move, atol=2e-6)
        np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
        assert not sample.frame.depth.any()
    assert (dataset[0].masks == world.masks).mean() > 0.999


def test_parameters_are_those_of_the_camera_frame(copy, mano):
    root, worlds = copy
    parameters = ARCTIC(root)[0].hands.parameters
    for side in (LEFT, RIGHT):
        expected = place(mano, side, worlds[RECORDINGS[0]].values[side], CONVENTION)
        for name in ("pose", "shape", "rotation", "translation"):
            np.testing.assert_allclose(getattr(parameters, name)[side], getattr(expected, name), atol=5e-6)


def test_a_fixed_view_has_its_own_place_and_a_straight_image(mano, tmp_path):
    worlds = write_copy(tmp_path, mano, STATIC)
    sample = ARCTIC(tmp_path, view=STATIC)[0]
    np.testing.assert_allclose(sample.hands.joints, worlds[RECORDINGS[0]].joints, atol=2e-6)
    written = tmp_path / "images" / RECORDINGS[0] / str(STATIC) / "00010.jpg"
    np.testing.assert_array_equal(sample.frame.rgb_uint8(), np.array(Image.open(written).convert("RGB")))


def test_the_bent_image_is_straightened(copy):
    """A dot where the lens shows a point comes to lie where the pinhole camera projects the point."""
    straight = CAMERA.project(POINT[None])[0]
    assert np.linalg.norm(seen_by_lens(POINT) - straight) > 10
    np.testing.assert_allclose(place_of_dot(ARCTIC(copy[0])[0].frame.rgb_uint8()), straight, atol=0.3)


def test_the_lens_at_points_solved_by_hand():
    np.testing.assert_allclose(bent(np.array([0.5, 0.0]), (0.1, 0, 0, 0, 0, 0, 0, 0)), [0.5125, 0])
    np.testing.assert_allclose(bent(np.array([0.5, 0.2]), (0, 0, 0.01, 0, 0, 0, 0, 0)), [0.502, 0.2037])
    np.testing.assert_allclose(bent(np.array([0.5, 0.2]), (0, 0, 0, 0.01, 0, 0, 0, 0)), [0.5079, 0.202])
    np.testing.assert_allclose(bent(np.array([1.0, 0.0]), (0, 0, 0, 0, 0.3, 0.1, 0.1, 0.1)), [1, 0])
    points = np.random.default_rng(0).uniform(-1, 1, size=(50, 3)) * [0.6, 0.4, 0] + [0, 0, 1]
    np.testing.assert_allclose(bent(points[:, :2], LENS) * CAMERA.focal + CAMERA.center, seen_by_lens(points))


def test_the_lens_is_asked_for_few_pixels_and_those_between_are_right():
    camera = Camera(np.array([[850.0, 0, 700], [0, 850, 500], [0, 0, 1]], dtype=np.float32), 1395, 1001)
    asked = []

    def see(rays):
        asked.append(len(rays))
        return bent(rays[..., :2], LENS) * camera.focal + camera.center

    found = places(camera, see)
    assert sum(asked) < camera.width * camera.height / 60
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, see(camera.rays()), atol=0.01)


def test_test_frames_have_images_alone(copy):
    dataset = ARCTIC(copy[0], "test")
    assert len(dataset) == 1  # ten are left out at each end
    sample = dataset[0]
    assert sample.id == f"{UNLABELLED}/0/00010"
    assert sample.hands.present.tolist() == [0, 0]
    assert sample.hands.vertices is None
    assert sample.masks is None


def test_a_hand_out_of_the_image_is_absent(mano, tmp_path):
    worlds = write_copy(tmp_path, mano)
    path = tmp_path / "raw_seqs" / f"{RECORDINGS[0]}.mano.npy"
    labels = read_dictionary(path)
    labels["left"]["trans"] += TURNS[0].T @ [-2.0, 0, 0]
    np.save(path, labels, allow_pickle=True)
    sample = ARCTIC(tmp_path)[0]
    assert sample.hands.present.tolist() == [0, 1]
    assert not sample.hands.joints[LEFT].any()
    assert not sample.masks[LEFT].any()
    np.testing.assert_allclose(sample.hands.vertices[RIGHT], worlds[RECORDINGS[0]].vertices[RIGHT], atol=2e-6)


def test_official_lists_come_before_subjects(mano, tmp_path):
    write_copy(tmp_path / "arctic_data" / "data", mano)
    lists = tmp_path / "arctic_data" / "data" / "splits_json"
    lists.mkdir()
    for protocol, train in (("p1", RECORDINGS[0]), ("p2", RECORDINGS[1])):
        (lists / f"protocol_{protocol}.json").write_text(json.dumps({"train": [train], "val": [], "test": []}))
    assert ARCTIC(tmp_path)[0].id.startswith(RECORDINGS[1])
    assert ARCTIC(tmp_path, view=1).recordings[0].name == RECORDINGS[0]
    with pytest.raises(FileNotFoundError, match="no frames of split 'validation' seen by view 0"):
        ARCTIC(tmp_path, "validation")


def test_splits_views_and_folders_that_there_are_not(copy, tmp_path):
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        ARCTIC(copy[0], "val")
    with pytest.raises(ValueError, match="no view 9; choose one from 0 to 8"):
        ARCTIC(copy[0], view=9)
    with pytest.raises(FileNotFoundError, match=r"no meta/misc\.json"):
        ARCTIC(tmp_path)


def test_without_mano_it_is_refused(copy, monkeypatch):
    monkeypatch.setattr(common, "mano_files", lambda: None)
    with pytest.raises(FileNotFoundError, match=r"ARCTIC has no 3D joints, only values of MANO.*TWOHANDS_MANO"):
        ARCTIC(copy[0])


@pytest.mark.parametrize("fault", ["missing", "truncated"])
@pytest.mark.parametrize(
    "name",
    [
        "images/s01/box_grab_01/0/00010.jpg",
        "raw_seqs/s01/box_grab_01.egocam.dist.npy",
        "raw_seqs/s01/box_grab_01.mano.npy",
    ],
)
def test_a_damaged_file_is_named(mano, tmp_path, name, fault):
    write_copy(tmp_path, mano)
    path = tmp_path / name
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif "mano" in name:
        np.save(path, {"left": {}, "right": {}}, allow_pickle=True)
    else:
        path.unlink()
    with pytest.raises(DamagedFileError, match=path.name):
        ARCTIC(tmp_path)[0]


def test_an_image_of_another_size_is_refused(mano, tmp_path):
    write_copy(tmp_path, mano)
    Image.new("RGB", (WIDTH // 2, HEIGHT // 2)).save(tmp_path / "images/s01/box_grab_01/0/00010.jpg")
    with pytest.raises(DamagedFileError, match=r"00010\.jpg is 160x90, its calibration 320x180"):
        ARCTIC(tmp_path)[0]


@pytest.mark.parametrize(("writer", "protocol"), old_pickles.WRITERS)
def test_labels_and_cameras_are_read_whatever_wrote_them(copy, tmp_path, writer, protocol):
    for name in (f"{RECORDINGS[0]}.mano.npy", f"{RECORDINGS[0]}.egocam.dist.npy"):
        expected = read_dictionary(copy[0] / "raw_seqs" / name)
        path = tmp_path / "again.npy"
        old_pickles.save_object(path, expected, writer, protocol)
        np.testing.assert_equal(read_dictionary(path), expected)


def test_no_pickle_is_executed(mano, tmp_path):
    class Program:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    write_copy(tmp_path, mano)
    np.save(tmp_path / "raw_seqs/s01/box_grab_01.mano.npy", {"left": Program()}, allow_pickle=True)
    with pytest.raises(DamagedFileError, match="was not executed"):
        ARCTIC(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_the_left_shape_basis_is_the_raw_one(copy, mano):
    root, worlds = copy
    repaired = scene(mano, 0, replace(CONVENTION, left_shape="flip_x"))
    left = ARCTIC(root)[0].hands.vertices[LEFT]
    assert np.abs(left - worlds[RECORDINGS[0]].vertices[LEFT]).max() < 1e-5
    difference = left - left.mean(axis=0) - (repaired.vertices[LEFT] - repaired.vertices[LEFT].mean(axis=0))
    assert np.abs(difference).max() > 1e-3


def test_it_keeps_the_contract(copy):
    check_contract(f"arctic={copy[0]}", range(2))
