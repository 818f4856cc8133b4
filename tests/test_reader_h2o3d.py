"""H2O-3D: a miniature copy in its layout is read back as it was written, whatever its left hands mean."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import old_pickles
from contract import check_contract
from ho3d_copies import CONVENTION, TIPS, check, edit_meta, write_h2o3d
from twohands.data.readers import common
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.h2o3d import H2O3D
from twohands.hands.mano import place
from twohands.hands.skeleton import FINGERTIPS
from twohands.types import LEFT


@pytest.fixture(scope="module")
def h2o3d(mano, tmp_path_factory):
    root = tmp_path_factory.mktemp("h2o3d")
    return root, write_h2o3d(root, mano)


def test_h2o3d_is_read_as_written(h2o3d):
    root, worlds = h2o3d
    dataset = H2O3D(root)
    check(dataset[0], worlds["TTMB2/0002"])
    validation = H2O3D(root, "validation")
    assert [validation[index].id for index in (0, 1)] == ["train/SSPD0/0000", "train/SSPD4/0001"]
    for index, line in enumerate(("SSPD0/0000", "SSPD4/0001")):
        check(validation[index], worlds[line])


@pytest.mark.parametrize(("writer", "protocol"), old_pickles.WRITERS)
def test_annotations_are_read_whatever_wrote_them(h2o3d, tmp_path, writer, protocol):
    root = _copied(h2o3d[0], tmp_path)
    edit_meta(root / "train/TTMB2/meta/0002.pkl", lambda meta: meta, writer, protocol)
    check(H2O3D(root)[0], h2o3d[1]["TTMB2/0002"])


@pytest.mark.parametrize("name", ["raw", "flip_x", "negated"])
def test_left_hands_are_taken_as_their_joints_say(mano, tmp_path, name, caplog):
    convention = replace(CONVENTION, left_shape="flip_x" if name == "flip_x" else "raw")
    worlds = write_h2o3d(tmp_path, mano, convention, sign=-1.0 if name == "negated" else 1.0)
    dataset = H2O3D(tmp_path, "validation")
    broken = tmp_path / "train" / "SSPD4" / "meta" / "0001.pkl"
    broken.write_bytes(b"nothing")  # the other one decides
    with caplog.at_level(logging.INFO):
        hands = dataset[0].hands
    assert dataset.left_shape == name
    assert f"left hands are '{name}'" in caplog.text
    assert f"{name} 0.00 mm" in caplog.text
    world = worlds["SSPD0/0000"]
    values = replace(world.values[LEFT], shape=(-1 if name == "negated" else 1) * world.values[LEFT].shape)
    joints = place(mano, LEFT, values, convention).joints
    np.testing.assert_allclose(hands.joints[LEFT], joints, atol=1e-6)
    np.testing.assert_allclose(hands.vertices[LEFT, TIPS], joints[list(FINGERTIPS)], atol=1e-6)
    np.testing.assert_allclose(hands.parameters.translation[LEFT], joints[0], atol=1e-6)


def test_a_hand_with_half_an_annotation_or_an_unset_flag_is_not_annotated(mano, tmp_path):
    write_h2o3d(tmp_path, mano, train=("A0/0000", "B0/0000", "B0/0001", "B0/0002"))
    metas = tmp_path / "train" / "B0" / "meta"
    flags = {name: np.ones(size) for name, size in (("jointValidLeft", 21), ("poseValidLeft", 48))}
    edit_meta(metas / "0000.pkl", lambda meta: meta | flags)
    edit_meta(metas / "0001.pkl", lambda meta: meta | flags | {"jointValidLeft": np.arange(21) > 0})
    edit_meta(metas / "0002.pkl", lambda meta: meta | {"rightHandPose": None})
    dataset = H2O3D(tmp_path)
    assert [sample.hands.present.tolist() for sample in dataset] == [[1, 1], [0, 1], [1, 0]]
    assert [sample.presence_known.tolist() for sample in dataset] == [[1, 1], [0, 1], [1, 0]]
    assert dataset[2].hands.vertices is not None


def test_without_the_hand_model_there_are_joints(h2o3d, monkeypatch):
    root, worlds = h2o3d
    monkeypatch.setattr(common, "mano_files", lambda: None)
    sample = H2O3D(root)[0]
    assert sample.hands.vertices is None
    np.testing.assert_allclose(sample.hands.joints, worlds["TTMB2/0002"].joints, atol=1e-6)


def test_frames_to_evaluate_have_wrists_but_no_hands(h2o3d):
    dataset, world = H2O3D(h2o3d[0], "test"), h2o3d[1]["ZZ1/0003"]
    assert dataset[0].hands.present.tolist() == [0, 0]
    np.testing.assert_allclose(dataset.root(0), world.joints[:, 0], atol=1e-9)


def test_a_copy_of_ho3d_is_not_taken_for_one(h2o3d, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither train.txt nor evaluation.txt; unpack H2O-3D"):
        H2O3D(tmp_path)
    edit_meta(_copied(h2o3d[0], tmp_path) / "train/TTMB2/meta/0002.pkl", lambda meta: {"camMat": meta["camMat"]})
    with pytest.raises(DamagedFileError, match=r"lacks leftHandJoints3D; is it of this data set\?"):
        H2O3D(tmp_path)[0]


def _copied(root, folder):
    return Path(shutil.copytree(root, folder, dirs_exist_ok=True))


def test_it_keeps_the_contract(h2o3d):
    check_contract(f"h2o3d={h2o3d[0]}", range(1))
