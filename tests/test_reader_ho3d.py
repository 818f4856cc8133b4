"""HO-3D: miniature copies in its layout are read back as they were written."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

import old_pickles
from contract import check_contract
from ho3d_copies import (
    CONVENTION,
    DEPTH_UNIT,
    check,
    edit_meta,
    encode_depth,
    opengl_values,
    without_annotation,
    write_ho3d,
)
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.ho3d import HO3D, decode_depth, flipped
from twohands.evaluation.scoring import report_of
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands.mano import Values, place
from twohands.hands.mano_files import ORDER
from twohands.hands.skeleton import FINGERTIPS, JOINT_ORDERS, JOINTS_FROM_ARTICULATED
from twohands.types import LEFT, RIGHT, TwoHands


@pytest.fixture(scope="module")
def ho3d(mano, tmp_path_factory):
    root = tmp_path_factory.mktemp("ho3d")
    return root, write_ho3d(root, mano)


@pytest.mark.parametrize(("suffix", "protocol"), [(".png", 2), (".jpg", 4)])
def test_both_versions_of_ho3d_are_read_as_written(mano, tmp_path, suffix, protocol):
    worlds = write_ho3d(tmp_path, mano, suffix, protocol)
    dataset = HO3D(tmp_path)
    assert len(dataset) == 2
    for index in (0, 1):
        sample, world = dataset[index], worlds[f"ABF10/000{index}"]
        check(sample, world)
        difference = np.abs(sample.frame.rgb_uint8().astype(int) - world.rgb)
        assert difference.max() == 0 if suffix == ".png" else difference.mean() < 5
        assert sample.id == f"train/ABF10/000{index}"
    check(HO3D(tmp_path, "validation")[0], worlds["BB13/0007"])


def test_depth_comes_back_to_half_a_step_and_is_not_rhds():
    depth = np.random.default_rng(0).uniform(0.2, 5, (60, 80))
    assert np.abs(decode_depth(encode_depth(depth)) - depth).max() <= 0.5 * DEPTH_UNIT + 1e-6
    steps = np.rint(depth / 5 * 65535).astype(np.uint16)  # RHD: high byte red, low byte green, 5 m are 65535 steps
    coded = np.stack([steps >> 8, steps & 255, 0 * steps], axis=-1).astype(np.uint8)
    assert np.median(np.abs(decode_depth(coded) - depth)) > 0.5
    known = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0], [255, 255, 0]]], dtype=np.uint8)
    np.testing.assert_allclose(decode_depth(known) / DEPTH_UNIT, [[0, 1, 256, 65535]], rtol=1e-6)
    with pytest.raises(ValueError, match=r"\(height, width, 3\) uint8"):
        decode_depth(steps)


def test_joints_are_a_permutation_that_follows_from_the_hand_model(ho3d):
    assert sorted(JOINT_ORDERS["mano"]) == list(range(21))
    assert tuple(ORDER[joint] if joint < 16 else joint for joint in JOINTS_FROM_ARTICULATED) == JOINT_ORDERS["mano"]
    joints = HO3D(ho3d[0])[0].hands.joints[RIGHT]
    distances = np.linalg.norm(joints - joints[0], axis=1)
    for tip in FINGERTIPS:
        assert (np.diff(distances[tip - 3 : tip + 1]) > 0).all()


def test_a_flipped_hand_is_the_hand_of_the_flipped_values(mano):
    rng = np.random.default_rng(1)
    for side in (LEFT, RIGHT):
        values = Values(rng.normal(size=3), rng.normal(scale=0.3, size=45), rng.normal(size=10), rng.normal(size=3))
        hand = place(mano, side, values, CONVENTION)
        pose, translation = opengl_values(values, hand.joints[0])
        expected = place(mano, side, Values(pose[:3], pose[3:], values.shape, translation), CONVENTION)
        np.testing.assert_allclose(flipped(hand).vertices, expected.vertices, atol=1e-9)
        np.testing.assert_allclose(flipped(hand).joints, expected.joints, atol=1e-9)
        turns = [matrix_from_axis_angle(one.rotation) for one in (flipped(hand), expected)]
        np.testing.assert_allclose(*turns, atol=1e-9)
        assert np.linalg.det(turns[0]) == pytest.approx(1)
        np.testing.assert_allclose(flipped(hand).translation, expected.translation, atol=1e-9)
        np.testing.assert_allclose(flipped(flipped(hand)).vertices, hand.vertices, atol=1e-12)


def test_frames_to_evaluate_have_wrists_but_no_hands(ho3d):
    dataset, world = HO3D(ho3d[0], "test"), ho3d[1]["SM1/0003"]
    sample = dataset[0]
    assert sample.id == "evaluation/SM1/0003"
    assert sample.hands.present.tolist() == [0, 0]
    assert sample.hands.vertices is None
    np.testing.assert_allclose(dataset.root(0)[RIGHT], world.joints[RIGHT, 0], atol=1e-9)
    assert np.isnan(dataset.root(0)[LEFT]).all()
    guess = TwoHands(None, world.joints, np.ones(2))
    assert report_of((guess, dataset[index]) for index in range(len(dataset))).rows == ()


def test_roots_of_training_frames(ho3d):
    dataset = HO3D(ho3d[0])
    np.testing.assert_allclose(dataset.root(1)[RIGHT], dataset[1].hands.joints[RIGHT, 0], atol=1e-6)
    assert len(list(dataset)) == 2
    with pytest.raises(IndexError):
        dataset[2]


def test_frames_without_annotation_are_passed_over(mano, tmp_path):
    train = [f"MC1/{number:04d}" for number in range(4)]
    write_ho3d(tmp_path, mano, train=train)
    for number in (1, 3):
        edit_meta(tmp_path / "train" / "MC1" / "meta" / f"{number:04d}.pkl", without_annotation)
    dataset = HO3D(tmp_path)
    assert [sample.id[-4:] for sample in dataset] == ["0000", "0002", "0002", "0000"]
    for number in (0, 2):
        edit_meta(tmp_path / "train" / "MC1" / "meta" / f"{number:04d}.pkl", without_annotation)
    with pytest.raises(ValueError, match=r"no frame of .*train.txt in split 'train' has an annotated hand"):
        dataset[0]


@pytest.mark.parametrize("name", ["rgb/0001.jpg", "depth/0001.png", "meta/0001.pkl"])
@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_a_damaged_file_is_named(mano, tmp_path, name, fault):
    write_ho3d(tmp_path, mano)
    path = tmp_path / "train" / "ABF10" / name
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedFileError, match=path.name):
        HO3D(tmp_path)[1]


@pytest.mark.parametrize(("writer", "protocol"), old_pickles.WRITERS)
def test_annotations_are_read_whatever_wrote_them(ho3d, tmp_path, writer, protocol):
    shutil.copytree(ho3d[0], tmp_path, dirs_exist_ok=True)
    values = {"objName": np.str_("011_banana"), "objLabel": np.int64(9), "camIDList": np.array(["0", "1"])}
    edit_meta(tmp_path / "train/ABF10/meta/0000.pkl", lambda meta: meta | values, writer, protocol)
    check(HO3D(tmp_path)[0], ho3d[1]["ABF10/0000"])


class Hostile:
    """What unpickling it would do: make a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_not_executed(mano, tmp_path):
    write_ho3d(tmp_path, mano)
    trap = tmp_path / "trap"
    edit_meta(tmp_path / "train/ABF10/meta/0000.pkl", lambda meta: meta | {"objName": Hostile(trap)})
    with pytest.raises(DamagedFileError, match=r"0000.pkl asks for .*mkdir.*not executed"):
        HO3D(tmp_path)[0]
    assert not trap.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda meta: [meta], "holds a list"),
        (lambda meta: {k: v for k, v in meta.items() if k != "handPose"}, "lacks handPose"),
        (lambda meta: {k: v for k, v in meta.items() if k != "camMat"}, "lacks camMat"),
        (lambda meta: meta | {"handPose": np.zeros(45)}, "handPose has 45 numbers, expected 48"),
        (lambda meta: meta | {"handTrans": {}}, "there are no numbers handTrans"),
        (lambda meta: meta | {"handJoints3D": np.full((21, 3), np.nan)}, "handJoints3D has 63 numbers, .* all finite"),
        (lambda meta: meta | {"camMat": np.fliplr(meta["camMat"])}, "intrinsics must look like"),
        (lambda meta: meta | {"camMat": None}, "intrinsics"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(mano, tmp_path, change, message):
    write_ho3d(tmp_path, mano, train=("ABF10/0000",))
    edit_meta(tmp_path / "train" / "ABF10" / "meta" / "0000.pkl", change)
    with pytest.raises(DamagedFileError, match=f"0000.pkl.*{message}"):
        HO3D(tmp_path)[0]


def test_sizes_must_agree(mano, tmp_path):
    write_ho3d(tmp_path, mano)
    Image.new("RGB", (32, 18)).save(tmp_path / "train/ABF10/depth/0000.png")
    with pytest.raises(DamagedFileError, match=r"0000.jpg is 320x180, its depth 32x18"):
        HO3D(tmp_path)[0]


def test_folders_and_splits(mano, tmp_path):
    write_ho3d(_made(tmp_path / "HO3D_v3"), mano)
    assert HO3D(tmp_path)[0].id == "train/ABF10/0000"
    write_ho3d(_made(tmp_path / "HO3D_v2"), mano, ".png")
    with pytest.raises(FileNotFoundError, match="holds HO3D_v3 and HO3D_v2; give one of them"):
        HO3D(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"neither train.txt nor evaluation.txt; unpack HO-3D"):
        HO3D(tmp_path / "HO3D_v3" / "train")
    with pytest.raises(ValueError, match="HO-3D has no split 'val'; choose one of train, validation, test"):
        HO3D(tmp_path, "val")
    (tmp_path / "HO3D_v2" / "train.txt").write_text("ABF10\n")
    with pytest.raises(ValueError, match="lines like SEQUENCE/0000"):
        HO3D(tmp_path / "HO3D_v2")
    (tmp_path / "HO3D_v2" / "train.txt").write_text("ABF10/0000\n")
    with pytest.raises(FileNotFoundError, match="no frames of split 'validation'"):
        HO3D(tmp_path / "HO3D_v2", "validation")
    (tmp_path / "HO3D_v2" / "train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"train.txt does not exist"):
        HO3D(tmp_path / "HO3D_v2")


def _made(folder):
    folder.mkdir()
    return folder


def test_training_leaves_a_damaged_frame_out(mano, tmp_path, caplog):
    write_ho3d(tmp_path, mano)
    (tmp_path / "train/ABF10/meta/0000.pkl").write_bytes(b"not a pickle")
    items = TrainingSet(HO3D(tmp_path), 96, PRESETS["tiny"].augment, seed=0)
    assert items[0, 0].sample.id.endswith("ABF10/0001")
    assert "meta/0000.pkl" in caplog.text


def test_it_keeps_the_contract(ho3d):
    check_contract(f"ho3d={ho3d[0]}", range(2))
