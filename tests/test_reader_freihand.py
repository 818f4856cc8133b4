"""FreiHAND: a miniature copy in its layout is read back as it was written."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from contract import check_contract
from scenes import scene
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers import common
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.freihand import SIZE, FreiHAND, held_out
from twohands.geometry.camera import Camera
from twohands.hands.mano import Convention, mano_hand
from twohands.hands.mano_files import read_mano
from twohands.types import LEFT, RIGHT, Sample

CONVENTION = Convention(flat_hand_mean=False, tips="freihand")
CAMERA = Camera(np.array([[300.0, 0, 60.0], [0, 301.0, 112.0], [0, 0, 1]], dtype=np.float32), SIZE, SIZE)
TRAINING = 6  # frames of training, of three hands in turns
VALIDATION = (2, 5)  # the last hand


def numbers(world):
    """Return the 61 MANO numbers of a frame: pose, shape, and the root as pixels and a scale."""
    values, root, K = world.values[RIGHT], world.joints[RIGHT, 9], world.camera.K
    focal = (K[0, 0] + K[1, 1]) / 2
    scale = focal / root[2]
    uv = root[:2] * scale + K[:2, 2]
    return [*values.orientation, *values.pose, *values.shape, *uv, scale]


def write_part(root, part, worlds, labelled=True):
    """Write JSON files and pictures of a folder; the first picture of a frame is the world's, the others are grey."""
    (root / part / "rgb").mkdir(parents=True)
    names = {"K": [world.camera.K.astype(float).tolist() for world in worlds], "scale": [0.03 for _ in worlds]}
    if labelled:
        names["xyz"] = [world.joints[RIGHT].tolist() for world in worlds]
        names["mano"] = [[[float(number) for number in numbers(world)]] for world in worlds]
    for name, content in names.items():
        (root / f"{part}_{name}.json").write_text(json.dumps(content))
    for number in range(len(worlds) * (4 if part == "training" else 1)):
        background, row = divmod(number, len(worlds))
        rgb = worlds[row].rgb if background == 0 else np.full((SIZE, SIZE, 3), 60 * background, dtype=np.uint8)
        Image.fromarray(rgb).save(root / part / "rgb" / f"{number:08d}.jpg", quality=95, subsampling=0)


def write_masks(root, worlds):
    (root / "training" / "mask").mkdir()
    for row, world in enumerate(worlds):
        grey = np.repeat(np.where(world.masks[RIGHT], 255, 0)[..., None], 3, axis=2).astype(np.uint8)
        Image.fromarray(grey).save(root / "training" / "mask" / f"{row:08d}.jpg", quality=95)


@pytest.fixture(scope="module")
def worlds(mano_folder):
    mano = read_mano(mano_folder)
    three = [scene(mano, seed, CONVENTION, (False, True), CAMERA) for seed in range(3)]
    return [three[row % 3] for row in range(TRAINING)]


@pytest.fixture(scope="module")
def copy(worlds, tmp_path_factory):
    root = tmp_path_factory.mktemp("freihand") / "FreiHAND_pub_v2"
    write_part(root, "training", worlds)
    write_masks(root, worlds)
    write_part(root, "evaluation", worlds[:2])
    return root


@pytest.mark.parametrize(("split", "rows"), [("train", (0, 1, 3, 4)), ("validation", VALIDATION), ("test", (0, 1))])
def test_what_was_written_is_read(copy, worlds, split, rows):
    dataset = FreiHAND(copy, split)
    for index, row in enumerate(rows):
        sample, world = dataset[index], worlds[row]
        assert sample.id == f"{'evaluation' if split == 'test' else 'training'}/{row:08d}"
        assert sample.joint_definition == "freihand"
        assert sample.hands.present.tolist() == [0, 1]
        assert np.abs(sample.frame.rgb_uint8().astype(int) - world.rgb).mean() < 3  # JPEG
        assert not sample.frame.depth.any()
        np.testing.assert_array_equal(sample.frame.camera.K, CAMERA.K)
        np.testing.assert_allclose(sample.hands.joints[RIGHT], world.joints[RIGHT], atol=1e-6)
        np.testing.assert_allclose(sample.hands.vertices[RIGHT], world.vertices[RIGHT], atol=1e-6)
        assert (sample.masks[RIGHT] == world.masks[RIGHT]).mean() > 0.999
        assert not sample.masks[LEFT].any()
        assert sample.visible_fraction[RIGHT] > 0.95
        assert sample.visible_fraction[LEFT] == 0


def test_all_four_pictures_of_a_frame_are_on_one_side(copy):
    sizes = {"train": 16, "validation": 8}
    rows = {split: [int(FreiHAND(copy, split)[i].id[-8:]) for i in range(size)] for split, size in sizes.items()}
    assert rows["validation"] == [row + TRAINING * background for background in range(4) for row in VALIDATION]
    assert sorted(rows["train"] + rows["validation"]) == list(range(4 * TRAINING))
    assert [len(FreiHAND(copy, split)) for split in sizes] == list(sizes.values())


def test_a_picture_with_another_background_has_the_same_labels(copy, worlds):
    dataset = FreiHAND(copy, "validation")
    first, last = dataset[0], dataset[6]
    assert (first.id, last.id) == ("training/00000002", "training/00000020")
    np.testing.assert_array_equal(first.masks, last.masks)
    np.testing.assert_array_equal(first.hands.vertices, last.hands.vertices)
    assert abs(int(np.median(last.frame.rgb_uint8())) - 180) < 3


def test_hands_are_held_out_whole():
    values = np.random.default_rng(0).normal(size=(41, 61))
    assert np.flatnonzero(held_out(values)).tolist() == [38, 39, 40]  # every frame a different hand: the last block
    seen_again = np.concatenate([values, values[[40, 0]]])
    seen_again[41:, :3] += 1  # from another side
    seen_again[41:, 58:] += 1
    assert np.flatnonzero(held_out(seen_again)).tolist() == [38, 39, 40, 41]


def test_poses_are_about_the_mean_pose_and_parameters_give_the_mesh(copy, mano_folder):
    hands = FreiHAND(copy, "test")[0].hands
    np.testing.assert_allclose(mano_hand()(hands.parameters).vertices[RIGHT], hands.vertices[RIGHT], atol=1e-5)
    found = json.loads((copy / "evaluation_mano.json").read_text())[0][0]
    hand = read_mano(mano_folder).sides[RIGHT]
    little = np.array(found[3 + 18 : 3 + 21]) + hand.mean_pose[12]  # MANO's joint 7, the package's 13
    assert np.linalg.norm(hands.parameters.pose[RIGHT, 12]) == pytest.approx(np.linalg.norm(little), rel=1e-5)


def test_without_the_hand_model_there_are_joints_and_masks(copy, worlds, monkeypatch):
    monkeypatch.setattr(common, "mano_files", lambda: None)
    sample = FreiHAND(copy, "train")[0]
    assert sample.hands.vertices is None
    assert (sample.masks[RIGHT] == worlds[0].masks[RIGHT]).mean() > 0.999
    np.testing.assert_allclose(sample.hands.joints[RIGHT], worlds[0].joints[RIGHT], atol=1e-6)
    assert FreiHAND(copy, "test")[0].masks is None


def test_older_copies_have_no_labels_of_test(worlds, tmp_path):
    write_part(tmp_path, "evaluation", worlds[:1], labelled=False)
    sample = FreiHAND(tmp_path, "test")[0]
    assert not sample.hands.present.any()
    assert sample.hands.vertices is None
    assert sample.masks is None
    with pytest.raises(FileNotFoundError, match=r"no training_K.json"):
        FreiHAND(tmp_path, "train")


def test_names_and_places(copy):
    assert len(FreiHAND(copy.parent, "test")) == 2
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        FreiHAND(copy, "training")
    with pytest.raises(FileNotFoundError, match=r"no training_K.json; unpack FreiHAND_pub_v2.zip"):
        FreiHAND(copy / "training")
    with pytest.raises(IndexError):
        FreiHAND(copy, "test")[2]


@pytest.mark.parametrize("fault", ["missing", "truncated", "other content"])
def test_a_damaged_file_is_named(copy, tmp_path, fault):
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    for name in ("training/rgb/00000002.jpg", "training/mask/00000002.jpg", "training_K.json", "training_mano.json"):
        path = tmp_path / name
        content = path.read_bytes()
        path.unlink()
        if fault == "missing" and name == "training_K.json":
            path.write_bytes(content)  # without it the folder is not recognised
            continue
        if fault == "truncated":
            path.write_bytes(content[: len(content) // 2])
        elif fault == "other content":
            path.write_text('[{"no": "such"}, [1, 2]]')
        with pytest.raises(DamagedFileError, match=path.name):
            FreiHAND(tmp_path, "validation")[0]
        path.write_bytes(content)
    assert FreiHAND(tmp_path, "validation")[0].hands.present[RIGHT] == 1


def test_files_that_do_not_go_together_are_refused(copy, worlds, tmp_path):
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    joints = json.loads((tmp_path / "evaluation_xyz.json").read_text())
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps(joints[:1]))
    with pytest.raises(DamagedFileError, match=r"evaluation_xyz.json: .* \(1, 21, 3\), expected \(2, 21, 3\)"):
        FreiHAND(tmp_path, "test")
    (tmp_path / "evaluation_xyz.json").write_text(json.dumps([joint[:20] for joint in joints]))
    with pytest.raises(DamagedFileError, match=r"numbers of shape \(2, 20, 3\), expected \(2, 21, 3\)"):
        FreiHAND(tmp_path, "test")
    Image.fromarray(worlds[0].rgb[:200]).save(tmp_path / "training" / "rgb" / "00000000.jpg")
    with pytest.raises(DamagedFileError, match=r"00000000.jpg is 224x200"):
        FreiHAND(tmp_path)[0]


def test_it_can_be_trained_on(copy):
    items = TrainingSet(FreiHAND(copy), 96, PRESETS["tiny"].augment, seed=0, hand_model="mano")
    batch = Sample.stack([items[0, index].sample for index in (0, 9)])
    assert batch.masks.any(axis=(1, 2, 3)).all()
    assert batch.meshes_known.all()


def test_it_keeps_the_contract(copy):
    check_contract(f"freihand={copy}", range(3))
