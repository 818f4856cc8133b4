"""TACO: a miniature copy in its layout is read back as it was written."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from contract import check_contract
from scenes import CAMERA, scene
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers import common
from twohands.data.readers.common import ContradictionError, DamagedFileError
from twohands.data.readers.taco import SPLIT_FILE, TACO, read_poses, read_recording, read_shape, read_splits
from twohands.hands.mano import Convention, place
from twohands.types import LEFT, RIGHT, SIDE_NAMES, Sample

CONVENTION = Convention(flat_hand_mean=True, left_shape="raw", wrist_centred=True, tips="mano")
FRAMES = 12  # so that the order of names as text differs from their order as numbers
TRAIN, TEST = "(pour in some, cup, bowl)/20230919_001", "(stir-fry, spoon, pan)/20231020_071"


def camera_places(seed, count=FRAMES):
    """Return T_camera_from_room (N, 4, 4), metres."""
    rng = np.random.default_rng(seed)
    places = np.tile(np.eye(4), (count, 1, 1))
    places[:, :3, :3] = Rotation.random(count, random_state=seed).as_matrix()
    places[:, :3, 3] = rng.normal(size=(count, 3))
    return places


def in_room(values, camera_from_room):
    """Return tensors (48,) and (3,) float32: values of a hand moved from the camera's frame to the room's."""
    turn = camera_from_room[:3, :3].T
    orientation = (Rotation.from_matrix(turn) * Rotation.from_rotvec(values.orientation)).as_rotvec()
    pose = torch.tensor(np.concatenate([orientation, values.pose]), dtype=torch.float32)
    return pose, torch.tensor(turn @ (values.translation - camera_from_room[:3, 3]), dtype=torch.float32)


def write_sequence(root, sequence, worlds, seed=0, key="{:05d}", wrap=lambda tensor: tensor):
    """Write a sequence by a moving camera: frame i shows worlds[i]; all worlds have the shapes of the first."""
    extrinsics = camera_places(seed, len(worlds))
    folders = {
        name: root / name / sequence
        for name in ("Egocentric_RGB_Videos", "Egocentric_Depth_Videos", "Egocentric_Camera_Parameters", "Hand_Poses")
    }
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    colour, depth, cameras, poses = folders.values()
    for number, world in enumerate(worlds):
        Image.fromarray(world.rgb).save(colour / f"{number:05d}.jpg", quality=95, subsampling=0)
        steps = np.round(world.depth * 4000).astype(np.uint16)
        Image.fromarray(steps).save(depth / f"{number:05d}.png")
    np.savetxt(cameras / "egocentric_intrinsic.txt", CAMERA.K)
    np.save(cameras / "egocentric_frame_extrinsic.npy", extrinsics)
    for side, name in enumerate(SIDE_NAMES):
        content = {}
        for number, world in reversed(list(enumerate(worlds))):
            pose, wrist = in_room(world.values[side], extrinsics[number])
            content[key.format(number + 1)] = {"hand_pose": wrap(pose), "hand_trans": wrap(wrist)}
        (poses / f"{name}_hand.pkl").write_bytes(pickle.dumps(content))
        shape = {"hand_shape": wrap(torch.tensor(worlds[0].values[side].shape, dtype=torch.float32))}
        (poses / f"{name}_hand_shape.pkl").write_bytes(pickle.dumps(shape))


def marked(world, number):
    """Return the world with a corner that is specific to frame `number`."""
    rgb, depth = world.rgb.copy(), world.depth.copy()
    rgb[:16, :16], depth[:16, :16] = 20 * number, 0.5 + 0.01 * number
    return replace(world, rgb=rgb, depth=depth)


def write_list(root, lines=(f"{TRAIN[-12:]},train", f"{TEST[-12:]},test_4")):
    root.mkdir(parents=True, exist_ok=True)
    (root / SPLIT_FILE).write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def worlds(mano):
    return [scene(mano, seed, CONVENTION) for seed in range(2)]


@pytest.fixture(scope="module")
def copy(worlds, tmp_path_factory):
    root = tmp_path_factory.mktemp("taco")
    write_list(root)
    write_sequence(root, TRAIN, [marked(worlds[0], number) for number in range(FRAMES)], seed=0)
    write_sequence(
        root, TEST, [marked(worlds[1], number) for number in range(FRAMES)], seed=1, key="{}", wrap=torch.nn.Parameter
    )
    return root


@pytest.mark.parametrize(("split", "seed"), [("train", 0), ("test", 1)])
def test_what_was_written_is_read(copy, worlds, split, seed):
    dataset = TACO(copy, split)
    assert len(dataset) == FRAMES
    assert dataset[1].id == f"{(TRAIN, TEST)[seed]}/00001"
    for index in (0, 1, FRAMES - 1):
        sample, world = dataset[index], marked(worlds[seed], index)
        assert sample.hands.present.tolist() == [1, 1]
        assert np.abs(sample.frame.rgb_uint8().astype(int) - world.rgb).mean() < 4  # JPEG
        assert abs(sample.frame.rgb_uint8()[:16, :16].mean() - 20 * index) < 3
        np.testing.assert_allclose(sample.frame.depth, world.depth, atol=1.3e-4)
        np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
        np.testing.assert_allclose(sample.hands.joints, world.joints, atol=3e-6)
        np.testing.assert_allclose(sample.hands.vertices, world.vertices, atol=3e-6)
        assert (sample.masks == world.masks).mean() > 0.999
        assert sample.visible_fraction.min() > 0.95
        assert sample.joint_definition == "mano"


def test_parameters_are_in_the_frame_of_the_camera(copy, worlds, mano):
    hands = TACO(copy)[7].hands
    for side in (LEFT, RIGHT):
        placed = place(mano, side, worlds[0].values[side], CONVENTION)
        for name in ("pose", "shape", "rotation", "translation"):
            np.testing.assert_allclose(getattr(hands.parameters, name)[side], getattr(placed, name), atol=1e-5)


def test_values_are_about_the_flat_hand_on_the_raw_left_basis_at_the_wrist(copy, worlds, mano):
    hands, values = TACO(copy)[7].hands, worlds[0].values
    np.testing.assert_allclose(hands.joints[:, 0], [value.translation for value in values], atol=3e-6)
    for side, basis, low, high in ((LEFT, "raw", 0, 1e-5), (LEFT, "flip_x", 1e-3, 1), (RIGHT, "raw", 0, 1e-5)):
        placed = place(mano, side, values[side], Convention(flat_hand_mean=True, left_shape=basis))
        difference = hands.vertices[side] - hands.joints[side, 0] - (placed.vertices - placed.joints[0])
        assert low <= np.abs(difference).max() < high


def test_the_hands_lie_on_their_depth(copy):
    sample = TACO(copy)[3]
    for side in (LEFT, RIGHT):
        middle = sample.hands.vertices[side, :, 2].mean()
        assert abs(np.median(sample.frame.depth[sample.masks[side]]) - middle) < 0.05


def test_a_hand_out_of_the_picture_is_absent_and_its_frame_fits_into_a_batch(worlds, tmp_path):
    write_list(tmp_path)
    left, right = worlds[0].values
    beside = replace(worlds[0], values=(replace(left, translation=left.translation - (3, 0, 0)), right))
    behind = replace(worlds[0], values=(left, replace(right, translation=right.translation - (0, 0, 2))))
    write_sequence(tmp_path, TRAIN, [worlds[0], beside, behind])
    dataset = TACO(tmp_path)
    assert [dataset[i].hands.present.tolist() for i in range(3)] == [[1, 1], [0, 1], [1, 0]]
    assert not dataset[1].masks[LEFT].any()
    assert Sample.stack([dataset[0], dataset[2]]).hands.vertices.shape == (2, 2, 778, 3)
    assert TrainingSet(dataset, 96, PRESETS["tiny"].augment, seed=0)[0, 2].sample.masks.any()


def test_splits_are_the_official_ones_and_validation_is_the_end_of_train(tmp_path):
    names = [f"2023{month:02d}01_{number:03d}" for month in (9, 10) for number in range(20)]
    lines = [f"{name},train" for name in reversed(names)] + [f"2023110{part}_001,test_{part}" for part in (1, 2, 3, 4)]
    write_list(tmp_path / "data_lists", lines)
    splits = read_splits(tmp_path)
    assert splits["validation"] == {"20231001_018", "20231001_019"}
    assert splits["train"] == set(names) - splits["validation"]
    assert splits["test"] == {f"2023110{part}_001" for part in (1, 2, 3, 4)}


def test_names_and_places_that_copies_have(copy, worlds, tmp_path):
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        TACO(copy, "val")
    with pytest.raises(FileNotFoundError, match="no sequence of split 'validation'"):
        TACO(copy, "validation")
    with pytest.raises(FileNotFoundError, match="no folder Egocentric_RGB_Videos; unpack"):
        TACO(tmp_path)
    write_sequence(tmp_path / "TACO", TEST, [worlds[1]])
    with pytest.raises(FileNotFoundError, match=f"no {SPLIT_FILE}; copy it from data_lists"):
        TACO(tmp_path)
    write_list(tmp_path / "TACO", ["20231020_071;test_4"])
    with pytest.raises(DamagedFileError, match=f"{SPLIT_FILE} is not a list"):
        TACO(tmp_path)
    write_list(tmp_path / "TACO")
    assert TACO(tmp_path, "test").frames == [(TEST, 0)]


def test_videos_must_be_extracted(tmp_path):
    write_list(tmp_path)
    folder = tmp_path / "Egocentric_RGB_Videos" / TRAIN
    folder.mkdir(parents=True)
    (folder / "color.mp4").write_bytes(b"video")
    with pytest.raises(
        FileNotFoundError, match=r"still videos; .*color.mp4.*/%05d.jpg.*egocentric_depth.avi.*%05d.png"
    ):
        TACO(tmp_path)


@pytest.mark.parametrize("lost", ["Egocentric_RGB_Videos/{}/00001.jpg", "Egocentric_Depth_Videos/{}/00002.png"])
def test_frames_that_cannot_be_matched_to_poses_are_refused(worlds, tmp_path, lost):
    write_list(tmp_path)
    write_sequence(tmp_path, TRAIN, [worlds[0]] * 3)
    (tmp_path / lost.format(TRAIN)).unlink()
    with pytest.raises(ContradictionError, match=r"has 3 poses.* 2 (colour|depth) images.*ffmpeg"):
        TACO(tmp_path)[0]


@pytest.mark.parametrize("kind", ["Egocentric_RGB_Videos", "Egocentric_Depth_Videos"])
def test_images_that_are_counted_from_1_are_refused(worlds, tmp_path, kind):
    write_list(tmp_path)
    write_sequence(tmp_path, TRAIN, [worlds[0]] * 2)
    for path in sorted((tmp_path / kind / TRAIN).iterdir(), reverse=True):
        path.rename(path.with_name(f"{int(path.stem) + 1:05d}{path.suffix}"))
    dataset = TACO(tmp_path)
    for index in (0, 1):
        with pytest.raises(ContradictionError, match=r"images must be numbered from 0; .*ffmpeg"):
            dataset[index]


def test_the_labels_of_a_sequence_are_read_once_but_not_kept_for_ever(copy):
    read_recording.cache_clear()
    dataset = TACO(copy)
    assert dataset[0].id != dataset[1].id
    assert read_recording.cache_info()[:2] == (1, 1)  # found in the cache, read
    assert read_recording.cache_parameters()["maxsize"] <= 1000  # of 100 kB


def test_without_the_hand_model_there_is_nothing_to_read(copy, monkeypatch):
    monkeypatch.setattr(common, "mano_files", lambda: None)
    with pytest.raises(FileNotFoundError, match=r"TACO has no 3D joints.*TWOHANDS_MANO"):
        TACO(copy)


@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_a_damaged_file_is_named(worlds, tmp_path, fault):
    write_list(tmp_path)
    write_sequence(tmp_path, TRAIN, [worlds[0]])
    cameras, poses = (tmp_path / name / TRAIN for name in ("Egocentric_Camera_Parameters", "Hand_Poses"))
    paths = [
        *(cameras / "egocentric_intrinsic.txt", cameras / "egocentric_frame_extrinsic.npy"),
        *(poses / "left_hand.pkl", poses / "right_hand_shape.pkl"),
    ]
    images = [
        tmp_path / "Egocentric_RGB_Videos" / TRAIN / "00000.jpg",
        tmp_path / "Egocentric_Depth_Videos" / TRAIN / "00000.png",
    ]
    for path in paths if fault == "missing" else paths + images:
        content = path.read_bytes()
        path.unlink()
        if fault == "truncated":
            path.write_bytes(content[: len(content) // 2])
        read_recording.cache_clear()
        with pytest.raises(DamagedFileError, match=path.name):
            TACO(tmp_path)[0]
        path.write_bytes(content)
    assert TACO(tmp_path)[0].hands.present.all()


def test_labels_that_are_something_else_are_damaged_files(worlds, tmp_path):
    path = tmp_path / "left_hand.pkl"
    pose = {"hand_pose": torch.zeros(48), "hand_trans": torch.zeros(3)}
    for content, fault in (
        ([1], "not hold a dictionary"),
        ({"a": pose}, "invalid literal"),
        ({"1": {**pose, "hand_pose": torch.zeros(45)}}, "hand_pose has 45 numbers"),
        ({"1": {**pose, "hand_trans": torch.full((3,), torch.nan)}}, "all finite"),
        ({"1": {"hand_pose": torch.zeros(48)}}, "no numbers hand_trans"),
    ):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(DamagedFileError, match=rf"left_hand\.pkl.*{fault}"):
            read_poses(path)
    with pytest.raises(DamagedFileError, match="no numbers hand_shape"):
        read_shape(path)
    write_list(tmp_path)
    write_sequence(tmp_path, TRAIN, [worlds[0]])
    extrinsics = tmp_path / "Egocentric_Camera_Parameters" / TRAIN / "egocentric_frame_extrinsic.npy"
    for matrices in (np.zeros((1, 4, 4)), np.eye(4), np.full((1, 4, 4), np.nan)):
        np.save(extrinsics, matrices)
        with pytest.raises(DamagedFileError, match=extrinsics.name):
            TACO(tmp_path)[0]


def test_it_keeps_the_contract(copy):
    check_contract(f"taco={copy}", range(2))
