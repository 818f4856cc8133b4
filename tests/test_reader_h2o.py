"""H2O: a miniature copy in its layout is read back as it was written."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from contract import check_contract
from scenes import CAMERA, assert_hands_of, scene
from twohands import cli
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet, open_dataset
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.h2o import H2O
from twohands.evaluation import scoring as evaluation
from twohands.hands.mano import Convention
from twohands.networks.checkpoint import load_checkpoint
from twohands.types import LEFT, RIGHT

CONVENTION = Convention(flat_hand_mean=True, left_shape="raw", tips="mano")
PRESENT = ((True, True), (False, True), (True, False))


def write_frame(folder, index, world, mano_folder="hand_pose_mano"):
    """Write one frame in H2O's layout."""
    for name in ("rgb", "depth", "cam_pose", "hand_pose", mano_folder):
        (folder / name).mkdir(parents=True, exist_ok=True)
    number = f"{index:06d}"
    Image.fromarray(world.rgb).save(folder / "rgb" / f"{number}.png")
    Image.fromarray(np.round(world.depth * 1000).astype(np.uint16)).save(folder / "depth" / f"{number}.png")
    joints, mano = np.zeros((2, 64)), np.zeros((2, 62))
    for side in (LEFT, RIGHT):
        if world.present[side]:
            v = world.values[side]
            joints[side] = [1, *world.joints[side].ravel()]
            mano[side] = [1, *v.translation, *v.orientation, *v.pose, *v.shape]
    (folder / "hand_pose" / f"{number}.txt").write_text(" ".join(repr(float(x)) for x in joints.ravel()))
    (folder / mano_folder / f"{number}.txt").write_text(" ".join(repr(float(x)) for x in mano.ravel()))
    (folder / "cam_pose" / f"{number}.txt").write_text(" ".join(map(str, np.eye(4).ravel())))
    K = world.camera.K
    numbers = (K[0, 0], K[1, 1], K[0, 2], K[1, 2], world.camera.width, world.camera.height)
    (folder / "cam_intrinsics.txt").write_text(" ".join(str(float(x)) for x in numbers))


def write_copy(root, mano, frames=3, mano_folder="hand_pose_mano", listed=True):
    """Write a copy with the same few frames for subjects of train, validation and test."""
    worlds = [scene(mano, seed, CONVENTION, PRESENT[seed % 3]) for seed in range(frames)]
    lines = {"train": [], "val": [], "test": []}
    for part, place in (("train", "subject1/h1/0"), ("val", "subject3/k2/0"), ("test", "subject4/k1/2")):
        for index, world in enumerate(worlds):
            write_frame(root / place / "cam4", index, world, mano_folder)
            lines[part].append(f"{place}/cam4/rgb/{index:06d}.png")
    if listed:
        (root / "label_split").mkdir()
        for part, text in lines.items():
            (root / "label_split" / f"pose_{part}.txt").write_text("\n".join(text) + "\n")
    return worlds


@pytest.fixture(scope="module")
def copy(mano, tmp_path_factory):
    root = tmp_path_factory.mktemp("h2o")
    return root, write_copy(root, mano)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_what_was_written_is_read(copy, split):
    root, worlds = copy
    dataset = H2O(root, split)
    assert len(dataset) == 3
    for index, world in enumerate(worlds):
        sample = dataset[index]
        assert sample.hands.present.tolist() == list(map(float, world.present))
        assert sample.presence_known.tolist() == list(world.present)
        np.testing.assert_array_equal(sample.frame.rgb_uint8(), world.rgb)
        np.testing.assert_allclose(sample.frame.depth, world.depth, atol=5.1e-4)
        np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
        assert_hands_of(sample, world)
        assert sample.joint_definition == "mano"
    assert dataset[1].id.endswith("cam4/000001")


def test_left_comes_first_and_lies_on_its_depth(copy):
    root, _ = copy
    sample = H2O(root, "train")[0]
    assert sample.hands.joints[LEFT, 0, 0] < sample.hands.joints[RIGHT, 0, 0]
    for side in (LEFT, RIGHT):
        rows, columns = np.nonzero(sample.masks[side])
        middle = sample.hands.vertices[side, :, 2].mean()
        assert abs(np.median(sample.frame.depth[rows, columns]) - middle) < 0.05


def test_names_and_places_that_copies_have(mano, tmp_path):
    write_copy(tmp_path / "ego_view", mano, 1, "hand_pose_MANO", listed=False)
    dataset = H2O(tmp_path, "test")
    assert dataset[0].id == "subject4/k1/2/cam4/000000"
    with pytest.raises(FileNotFoundError, match="seen by cam2"):
        H2O(tmp_path, "test", camera=2)
    with pytest.raises(FileNotFoundError, match="no folders subject1"):
        H2O(tmp_path / "ego_view" / "subject4")
    with pytest.raises(ValueError, match="choose one of train"):
        H2O(tmp_path, "val")


@pytest.mark.parametrize(
    ("folder", "suffix", "lists"), [("", "_ego", ""), ("H2O/ego_view", "", "H2O"), ("ego_view", "_ego", "")]
)
def test_the_official_list_is_followed_wherever_the_archives_are_unpacked(mano, tmp_path, folder, suffix, lists):
    write_copy(tmp_path / folder, mano, 2)
    for subject in ("subject1", "subject3", "subject4"):
        (tmp_path / folder / subject).rename(tmp_path / folder / f"{subject}{suffix}")
    (tmp_path / folder / "label_split").rename(tmp_path / lists / "label_split")
    (tmp_path / lists / "label_split" / "pose_train.txt").write_text("subject1/h1/0/cam4/rgb/000001.png\n")
    assert [sample.id for sample in H2O(tmp_path)] == [f"subject1{suffix}/h1/0/cam4/000001"]
    shutil.rmtree(tmp_path / lists / "label_split")
    assert [len(H2O(tmp_path, split)) for split in ("train", "validation", "test")] == [2, 2, 2]


def test_the_fixed_cameras_lie_in_an_archive_of_their_own(mano, tmp_path):
    write_copy(tmp_path, mano, 1, listed=False)
    (tmp_path / "subject1").rename(tmp_path / "subject1_ego")
    shutil.copytree(tmp_path / "subject1_ego/h1/0/cam4", tmp_path / "subject1/h1/0/cam2")
    assert H2O(tmp_path, camera=2)[0].id == "subject1/h1/0/cam2/000000"
    assert [sample.id for sample in H2O(tmp_path)] == ["subject1_ego/h1/0/cam4/000000"]


def test_numbers_that_are_not_finite_are_damage(mano, tmp_path):
    write_copy(tmp_path, mano, 1)
    path = tmp_path / "subject1/h1/0/cam4/hand_pose/000000.txt"
    path.write_text(" ".join(["nan", *path.read_text().split()[1:]]))
    with pytest.raises(DamagedFileError, match=r"hand_pose/000000.txt has 128 numbers, expected 128, all finite"):
        H2O(tmp_path)[0]


@pytest.mark.parametrize("name", ["rgb/000001.png", "depth/000001.png", "hand_pose/000001.txt", "cam_intrinsics.txt"])
@pytest.mark.parametrize("fault", ["missing", "truncated"])
def test_a_damaged_file_is_named(mano, tmp_path, name, fault):
    write_copy(tmp_path, mano, 2)
    path = tmp_path / "subject1/h1/0/cam4" / name
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedFileError, match=path.name):
        H2O(tmp_path, "train")[1]


def test_without_the_hand_model_there_are_joints(copy, monkeypatch):
    from twohands.data.readers import common

    root, worlds = copy
    monkeypatch.setattr(common, "mano_files", lambda: None)
    sample = H2O(root, "train")[0]
    assert sample.hands.vertices is None
    assert sample.masks is None
    np.testing.assert_allclose(sample.hands.joints, worlds[0].joints, atol=1e-6)


def test_the_left_shape_basis_is_the_raw_one(copy, mano):
    root, worlds = copy
    repaired = scene(mano, 0, replace(CONVENTION, left_shape="flip_x"))
    left = H2O(root, "train")[0].hands.vertices[LEFT]
    assert np.abs(left - worlds[0].vertices[LEFT]).max() < 1e-5
    shape_only = left - left.mean(axis=0) - (repaired.vertices[LEFT] - repaired.vertices[LEFT].mean(axis=0))
    assert np.abs(shape_only).max() > 1e-3


def test_sources_name_a_data_set_and_a_split(copy):
    root, _ = copy
    assert open_dataset(f"h2o={root}")[0].id.startswith("subject1")
    assert open_dataset(f"h2o={root}", "test")[0].id.startswith("subject4")
    assert open_dataset(f"h2o:validation={root}", "test")[0].id.startswith("subject3/k2")
    with pytest.raises(ValueError, match="data set 'h20' is unknown; known are synthetic, h2o"):
        open_dataset(f"h20={root}")
    with pytest.raises(ValueError, match="split 'val' is unknown; choose one of train, validation, test"):
        open_dataset(f"h2o:val={root}")


def test_training_leaves_a_damaged_frame_out_and_names_the_file(mano, tmp_path, caplog):
    write_copy(tmp_path, mano, 2)
    (tmp_path / "subject1/h1/0/cam4/depth/000000.png").write_bytes(b"not a picture")
    items = TrainingSet(H2O(tmp_path, "train"), 96, PRESETS["tiny"].augment, seed=0)
    assert items[0, 0].sample.id.endswith("000001")
    assert "depth/000000.png" in caplog.text
    (tmp_path / "subject1/h1/0/cam4/depth/000001.png").unlink()
    with pytest.raises(DamagedFileError, match=r"depth/00000\d.png"):
        items[0, 0]


def test_a_network_trains_and_is_measured_on_it(copy, tmp_path, capsys):
    root, _ = copy
    run = tmp_path / "run"
    small = ["--network.hand-model", "mano", "--train.steps", "2", "--train.batch-size", "2", "--train.workers", "0"]
    assert cli.main(["train", "tiny", "--data", f"h2o={root}", "--out", str(run), *small]) == 0
    network = ["--no-fit", "--network", str(run / "final"), "--masks", "own", "ground_truth"]
    assert cli.main(["evaluate", "--data", f"h2o={root}", *network, "--out", str(tmp_path)]) == 0
    assert "As the benchmark of this data set measures:\n\n- found 1.000\n- mpjpe " in capsys.readouterr().out
    document = json.loads((tmp_path / "report.json").read_text())
    assert set(document) == {"own", "ground_truth"}
    figures = document["ground_truth"]["benchmark"]
    assert figures["mpjpe"] == pytest.approx((figures["mpjpe_left"] + figures["mpjpe_right"]) / 2)
    assert 0 < figures["al_mpjpe"] < figures["mpvpe"] < 10


def test_the_tables_run_on_it(copy, tmp_path, monkeypatch, few_steps):
    """The networks' hand model is MANO, the model of the data set's meshes."""
    source = f"h2o={copy[0]}"
    monkeypatch.setitem(PRESETS, "paper-small", PRESETS["tiny"])
    monkeypatch.setattr(evaluation, "SMALLEST_LENGTH", 20)  # the copy is small
    folders = ["--out", tmp_path / "runs", "--reports", tmp_path / "rows", "--report", tmp_path / "tables.md"]
    minutes = ["--minutes", 0.01, "--whole-minutes", 0.01, "--backbone-minutes", 0.01, "--seeds", 1]
    arguments = ["experiment", "full", "--data", source, "--test", source, *folders, *minutes]
    assert cli.main([str(argument) for argument in arguments]) == 0
    assert load_checkpoint(tmp_path / "runs" / "full-0" / "final")[1].hand_model == "mano"
    text = (tmp_path / "tables.md").read_text()
    assert text.startswith("# The tables of the paper, on h2o frames")
    row = next(line for line in text.splitlines() if line.startswith("| full model | given masks"))
    assert " - |" not in row  # meshes were measured as well


def test_it_keeps_the_contract(copy):
    check_contract(f"h2o={copy[0]}", range(3))


@pytest.mark.parametrize("hand_model", ["mano", "free"])
def test_the_shipped_network_trains_on(copy, tmp_path, hand_model, capsys):
    """Training works on any data set: the network of the free hand ignores MANO's meshes, and uses joints and masks."""
    root, run = copy[0], tmp_path / "run"
    small = ["--train.steps", "2", "--train.batch-size", "2", "--train.workers", "0"]
    start = ["--start", "shipped", "--network.hand-model", hand_model, "--train.precision", "no"]
    assert cli.main(["train", "paper-small", "--data", f"h2o={root}", "--out", str(run), *small, *start]) == 0
    network = ["--no-fit", "--network", str(run / "final")]
    arguments = ["--data", f"h2o={root}", *network, "--masks", "own", "--out", str(tmp_path)]
    assert cli.main(["evaluate", *arguments]) == 0
    assert "found" in capsys.readouterr().out
