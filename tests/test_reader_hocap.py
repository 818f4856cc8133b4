"""HO-Cap: a miniature copy in its layout is read back as it was written."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import yaml
from PIL import Image
from scipy.spatial.transform import Rotation

from contract import check_contract
from faults import damaged
from scenes import assert_hands_of, scene
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers import common
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.hocap import HOCap
from twohands.geometry.camera import Camera
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands.mano import Convention, place
from twohands.types import LEFT, RIGHT

CAMERA = Camera(np.array([[613.1, 0, 313.0], [0, 612.0, 245.0], [0, 0, 1]], dtype=np.float32), 640, 480)
SERIALS = ("105322251564", "037522251142")  # the second begins with 0 and looks like an octal number
RECORDINGS = {
    "subject_1": "20231022_190534",
    "subject_8": "20231024_154531",
    "subject_9": "20231027_123403",
}
SPLIT_OF = {"subject_1": "train", "subject_8": "validation", "subject_9": "test"}
CONVENTIONS = {
    "mean pose, raw left shape": Convention(flat_hand_mean=False, components=45, left_shape="raw"),
    "flat pose, raw left shape": Convention(flat_hand_mean=True, components=45, left_shape="raw"),
    "mean pose, flip_x left shape": Convention(flat_hand_mean=False, components=45, left_shape="flip_x"),
    "flat pose, flip_x left shape": Convention(flat_hand_mean=True, components=45, left_shape="flip_x"),
}
FIRST = "mean pose, raw left shape"


def random_transform(rng):
    """Return (4, 4) with a random rotation and a shift of decimetres."""
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = Rotation.random(random_state=rng).as_matrix(), rng.normal(scale=0.4, size=3)
    return found


def cameras_and_tag(seed=3):
    """Return transforms to the master camera's frame: from two cameras, which are close together, and from the tag."""
    rng = np.random.default_rng(seed)
    first, aside = random_transform(rng), np.eye(4)
    aside[:3, :3], aside[:3, 3] = Rotation.from_rotvec([0.03, -0.05, 0.1]).as_matrix(), (0.04, -0.02, 0.03)
    return {SERIALS[0]: first, SERIALS[1]: first @ aside, "tag_1": random_transform(rng), "tag_0": np.eye(4)}


def values_in_world(mano, side, values, convention, world_from_camera):
    """Return the values (51,) of a hand of the first camera's frame, moved to the world by MANO's definition."""
    still = replace(values, translation=np.zeros(3))
    wrist = place(mano, side, still, convention).joints[0]
    turn = world_from_camera[:3, :3]
    orientation = (Rotation.from_matrix(turn) * Rotation.from_rotvec(values.orientation)).as_rotvec()
    goal = turn @ (wrist + values.translation) + world_from_camera[:3, 3] - wrist
    return [*orientation, *values.pose, *goal]


def write_calibration(root, worlds, form):
    """Write extrinsics, and the shape of each subject's hands."""
    write = {"yaml": yaml.safe_dump, "json": json.dumps}[form]
    named = {"yaml": ("{}.yaml", "{}.yaml"), "json": ("{}/extrinsics.json", "{}/mano.json")}[form]
    transforms = {name: matrix[:3].ravel().tolist() for name, matrix in cameras_and_tag().items()}
    path = root / "calibration" / "extrinsics" / named[0].format("extrinsics_20231014")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(write({"rs_master": SERIALS[0], "extrinsics": transforms}))
    for subject, world in worlds.items():
        path = root / "calibration" / "mano" / named[1].format(subject)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(write({"betas": world.values[RIGHT].shape.tolist()}))


def write_recording(root, mano, subject, world, form, convention):
    """Write two frames of two cameras: the hands of a world, then none."""
    recording = root / subject / RECORDINGS[subject]
    recording.mkdir(parents=True)
    meta = {
        "num_frames": 2,
        "mano_sides": ["right", "left"],
        "realsense": {"serials": list(SERIALS), "width": 640, "height": 480},
        "task_id": 1,
        "thresholds": [0.5],
    }
    (recording / f"meta.{form}").write_text({"yaml": yaml.safe_dump, "json": json.dumps}[form](meta))
    transforms = cameras_and_tag()
    world_from_camera = np.linalg.inv(transforms["tag_1"]) @ transforms[SERIALS[0]]
    poses = np.full((2, 2, 51), -1, np.float32)
    for side in np.flatnonzero(world.present):
        values = values_in_world(mano, side, world.values[side], convention, world_from_camera)
        poses[1 - side, 0] = values
    np.save(recording / "poses_m.npy", poses)
    for serial in SERIALS:
        camera_from_first = np.linalg.inv(transforms[serial]) @ transforms[SERIALS[0]]
        for number in range(2):
            write_frame(recording / serial, number, world, camera_from_first)


def write_frame(folder, number, world, camera_from_first):
    """Write a frame: number 0 has the hands of the world, in number 1 no hand is annotated."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(world.rgb).save(folder / f"color_{number:06d}.jpg", quality=95, subsampling=0)
    Image.fromarray(np.round(world.depth * 1000).astype(np.uint16)).save(folder / f"depth_{number:06d}.png")
    joints = np.full((2, 21, 3), -1, np.float32)
    for side in np.flatnonzero(world.present) if number == 0 else ():
        joints[1 - side] = world.joints[side] @ camera_from_first[:3, :3].T + camera_from_first[:3, 3]
    write_label(folder / f"label_{number:06d}.npz", joints)


def write_label(path, joints):
    classes = np.zeros((480, 640), np.uint8)
    np.savez_compressed(path, cam_K=CAMERA.K, hand_joints_3d=joints, seg_mask=classes, obj_class_names=np.array(["a"]))


def write_copy(root, mano, worlds, form="yaml", convention=CONVENTIONS[FIRST]):
    write_calibration(root, worlds, form)
    for subject, world in worlds.items():
        write_recording(root, mano, subject, world, form, convention)


@pytest.fixture(scope="module")
def worlds(mano):
    there = ((True, True), (False, True), (True, False))
    return {
        subject: scene(mano, seed, CONVENTIONS[FIRST], there[seed], CAMERA, shared_shape=True)
        for seed, subject in enumerate(RECORDINGS)
    }


@pytest.fixture(scope="module")
def copy(mano, worlds, tmp_path_factory):
    root = tmp_path_factory.mktemp("hocap")
    write_copy(root, mano, worlds)
    return root


@pytest.fixture
def small(mano, worlds, tmp_path):
    """Return a separate copy of the first subject, to be changed."""
    write_copy(tmp_path, mano, {"subject_1": worlds["subject_1"]})
    return tmp_path


@pytest.mark.parametrize("subject", RECORDINGS)
def test_what_was_written_is_read(copy, worlds, subject):
    dataset, world = HOCap(copy, SPLIT_OF[subject]), worlds[subject]
    assert len(dataset) == 4
    sample = dataset[0]
    assert sample.id == f"{subject}/{RECORDINGS[subject]}/{SERIALS[0]}/000000"
    assert sample.joint_definition == "mano"
    assert sample.hands.present.tolist() == list(map(float, world.present))
    assert np.abs(sample.frame.rgb_uint8().astype(int) - world.rgb).mean() < 3  # JPEG
    np.testing.assert_allclose(sample.frame.depth, world.depth, atol=5.1e-4)
    np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
    assert_hands_of(sample, world, vertices=2e-6)
    for side in np.flatnonzero(~np.array(world.present)):
        assert not sample.masks[side].any()


def test_every_camera_sees_the_hands_from_its_own_place(copy, worlds):
    """The second camera's meshes are computed from the world, not from the labels."""
    sample, transforms = HOCap(copy, "train")[2], cameras_and_tag()
    assert SERIALS[1] in sample.id
    second_from_first = np.linalg.inv(transforms[SERIALS[1]]) @ transforms[SERIALS[0]]
    expected = worlds["subject_1"].vertices @ second_from_first[:3, :3].T + second_from_first[:3, 3]
    assert np.abs(expected - worlds["subject_1"].vertices).max() > 0.02
    np.testing.assert_allclose(sample.hands.vertices, expected, atol=2e-6)
    np.testing.assert_allclose(sample.hands.parameters.translation, sample.hands.joints[:, 0], atol=2e-6)


def test_absent_hands_and_hands_out_of_sight(small):
    dataset = HOCap(small, "train")
    assert dataset[1].hands.present.tolist() == [0, 0]
    assert dataset[1].presence_known.tolist() == [False, False]
    path = small / "subject_1" / RECORDINGS["subject_1"] / SERIALS[0] / "label_000000.npz"
    joints = np.load(path)["hand_joints_3d"]
    write_label(path, joints + np.array([[[0.0, 0, 0]], [[3, 0, 0]]], np.float32))  # right hand first
    assert dataset[0].hands.present.tolist() == [0, 1]
    assert dataset[0].presence_known.tolist() == [True, True]  # the left hand is out of sight
    write_label(path, joints * np.array([[[1, 1, -1]], [[1, 1, 1]]], np.float32))
    assert dataset[0].hands.present.tolist() == [1, 0]


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_convention_is_the_one_that_agrees_with_the_labels(mano, tmp_path, name, caplog):
    caplog.set_level("INFO")
    world = scene(mano, 5, CONVENTIONS[name], (True, True), CAMERA, shared_shape=True)
    write_copy(tmp_path, mano, {"subject_1": world}, convention=CONVENTIONS[name])
    dataset = HOCap(tmp_path, "train")
    assert dataset.convention == name
    assert f"hands have {name}" in caplog.text
    np.testing.assert_allclose(dataset[0].hands.vertices, world.vertices, atol=2e-6)


@pytest.mark.parametrize("name", ["poses_m.npy", f"{SERIALS[0]}/label_000000.npz"])
def test_a_damaged_recording_does_not_take_part_in_finding_the_convention(mano, tmp_path, name):
    world = scene(mano, 5, CONVENTIONS["flat pose, raw left shape"], (True, True), CAMERA, shared_shape=True)
    write_copy(tmp_path, mano, {"subject_1": world}, convention=CONVENTIONS["flat pose, raw left shape"])
    subject = tmp_path / "subject_1"
    shutil.copytree(subject / RECORDINGS["subject_1"], subject / "20231022_190600")
    (subject / "20231022_190600" / name).unlink()
    dataset = HOCap(tmp_path, "train")
    np.testing.assert_allclose(dataset[0].hands.vertices, world.vertices, atol=2e-6)
    assert dataset.convention == "flat pose, raw left shape"
    with pytest.raises(DamagedFileError, match=name):
        dataset[4]


def test_files_named_as_in_the_first_release(mano, worlds, tmp_path):
    write_copy(tmp_path / "datasets", mano, {"subject_9": worlds["subject_9"]}, "json")
    sample = HOCap(tmp_path, "test")[0]
    np.testing.assert_allclose(sample.hands.vertices[LEFT], worlds["subject_9"].vertices[LEFT], atol=2e-6)


def test_the_official_list_is_followed_where_there_is_one(mano, worlds, tmp_path):
    write_copy(tmp_path / "datasets", mano, {"subject_8": worlds["subject_8"]})
    (tmp_path / "config").mkdir()
    names = {
        "subject_ids": ["subject_1", "subject_8"],
        "sequence_ids": ["20231022_190534", "20231024_154531"],
        "device_serials": [*SERIALS, "hololens_kv5h72"],
    }
    (tmp_path / "config" / "hocap_info.yaml").write_text(yaml.safe_dump(names))
    path = tmp_path / "config" / "hocap_hpe.json"
    path.write_text(json.dumps({"train": [[1, 1, 1, 1], [1, 1, 0, 0]], "valid": [[1, 1, 1, 0]], "test": []}))
    folder = f"subject_8/{RECORDINGS['subject_8']}"
    train, validation = HOCap(tmp_path, "train"), HOCap(tmp_path, "validation")
    assert [sample.id for sample in (train[0], train[1], validation[0])] == [
        f"{folder}/{SERIALS[1]}/000001",
        f"{folder}/{SERIALS[0]}/000000",
        f"{folder}/{SERIALS[1]}/000000",
    ]
    assert train[1].hands.present.tolist() == [0, 1]
    path.write_text(json.dumps({"train": [[1, 7, 1, 1]]}))
    with pytest.raises(DamagedFileError, match=r"hocap_info.yaml"):
        HOCap(tmp_path, "train")
    with pytest.raises(DamagedFileError, match=r"hocap_hpe.json"):
        HOCap(tmp_path, "test")
    path.write_text("[]")
    with pytest.raises(DamagedFileError, match=r"hocap_hpe.json is not laid out as in the data set"):
        HOCap(tmp_path, "train")


def test_without_the_hand_model_there_are_joints(copy, worlds, monkeypatch):
    monkeypatch.setattr(common, "mano_files", lambda: None)
    sample = HOCap(copy, "train")[0]
    assert sample.hands.vertices is None
    assert sample.masks is None
    np.testing.assert_allclose(sample.hands.joints, worlds["subject_1"].joints, atol=1e-6)


def test_a_hand_without_values_has_joints(small, worlds):
    path = small / "subject_1" / RECORDINGS["subject_1"] / "poses_m.npy"
    poses = np.load(path)
    poses[0] = -1
    np.save(path, poses)
    sample = HOCap(small, "train")[0]
    assert sample.hands.vertices is None
    np.testing.assert_allclose(sample.hands.joints, worlds["subject_1"].joints, atol=1e-6)


def test_names_and_places(copy):
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        HOCap(copy, "valid")
    with pytest.raises(FileNotFoundError, match="no folders subject_1 to subject_9"):
        HOCap(copy / "subject_1")
    with pytest.raises(IndexError):
        HOCap(copy)[4]


def test_a_split_without_recordings_is_refused(small):
    with pytest.raises(FileNotFoundError, match="no recordings of subject_8, split 'validation'"):
        HOCap(small, "validation")


@pytest.mark.parametrize("fault", ["missing", "truncated", "other content"])
def test_a_damaged_file_is_named(small, fault):
    recording = small / "subject_1" / RECORDINGS["subject_1"]
    paths = [
        *(recording / SERIALS[0] / f"{name}_000000.{end}" for name, end in (("color", "jpg"), ("depth", "png"))),
        recording / SERIALS[0] / "label_000000.npz",
        recording / "poses_m.npy",
        recording / "meta.yaml",
        small / "calibration" / "extrinsics" / "extrinsics_20231014.yaml",
        small / "calibration" / "mano" / "subject_1.yaml",
    ]
    for path in paths:
        with damaged(path, fault, b"\x80 no: [such, file"), pytest.raises(DamagedFileError, match=path.name):
            HOCap(small, "train")[0]
    assert HOCap(small, "train")[0].hands.present.all()


def test_other_shapes_are_refused(small):
    recording = small / "subject_1" / RECORDINGS["subject_1"]
    np.save(recording / "poses_m.npy", np.zeros((2, 2, 48)))
    with pytest.raises(DamagedFileError, match=r"poses_m.npy: has shape \(2, 2, 48\), expected \(2, frames, 51\)"):
        HOCap(small, "train")[0]
    write_label(recording / SERIALS[0] / "label_000000.npz", np.zeros((1, 21, 3)))
    with pytest.raises(DamagedFileError, match=r"label_000000.npz: .*hand_joints_3d \(1, 21, 3\)"):
        HOCap(small, "train")[0]


def test_a_moved_hand_comes_back_and_keeps_its_parameters_true(mano, worlds):
    rng = np.random.default_rng(0)
    hand = place(mano, LEFT, worlds["subject_1"].values[LEFT], CONVENTIONS[FIRST])
    there = random_transform(rng)
    away = hand.moved(there)
    np.testing.assert_allclose(away.joints[0], away.translation, atol=1e-12)
    turn = there[:3, :3] @ matrix_from_axis_angle(hand.rotation)
    np.testing.assert_allclose(matrix_from_axis_angle(away.rotation), turn, atol=1e-9)
    back = away.moved(np.linalg.inv(there))
    for name in ("vertices", "joints", "rotation", "translation"):
        np.testing.assert_allclose(getattr(back, name), getattr(hand, name), atol=1e-9)


def test_it_trains(copy):
    item = TrainingSet(HOCap(copy, "train"), 96, PRESETS["tiny"].augment, seed=0)[0, 0]
    assert item.sample.masks.any()


def test_it_keeps_the_contract(copy):
    check_contract(f"hocap={copy}", range(2))
