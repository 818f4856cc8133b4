"""RHD: a miniature copy in its layout is read back as it was written."""

import os
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

import old_pickles
from contract import check_contract
from scenes import scene
from twohands import cli
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.rhd import FARTHEST, RHD, decode_depth, read_annotations
from twohands.geometry.camera import Camera
from twohands.hands.mano import Convention
from twohands.hands.mano_files import read_mano
from twohands.types import LEFT, RIGHT, Sample

SQUARE = Camera(np.array([[300.0, 0, 160], [0, 300, 160], [0, 0, 1]], dtype=np.float32), 320, 320)
TIP_FIRST = (0, *(4 * finger + part for finger in range(5) for part in (4, 3, 2, 1)))  # our number of each of theirs
STEP = FARTHEST / 65535
TRAINING = 41  # frames, of which three are held out
WITH_FILES = (0, 1, 2, 38, 40)


def encode_depth(depth):
    """(H, W, 3) uint8, red first: high byte red, low byte green."""
    code = np.round(depth / STEP).astype(np.uint32)
    return np.stack([code // 256, code % 256, np.zeros_like(code)], axis=-1).astype(np.uint8)


def visible_joints(world, seed):
    """(2, 21) bool: most joints of a hand that is there, no more than 10 of another."""
    visible = np.random.default_rng(seed).uniform(size=(2, 21)) < 0.9
    visible[:, :11] = True
    for side in (LEFT, RIGHT):
        if not world.present[side]:
            visible[side, 10:] = False
    return visible


def write_images(folder, number, world, seed):
    """Colour, depth and mask of one frame."""
    rng = np.random.default_rng(seed)
    classes = np.zeros(world.depth.shape, dtype=np.uint8)
    classes[200:] = 1
    for side, first in ((LEFT, 2), (RIGHT, 18)):
        classes[world.masks[side]] = rng.integers(first, first + 16, size=world.masks[side].sum())
    pictures = {"color": world.rgb, "depth": encode_depth(world.depth), "mask": classes}
    for name, picture in pictures.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / name / f"{number:05d}.png")


def annotation(world, seed):
    """What the pickle has of one frame."""
    pixels = world.camera.project(world.joints.reshape(42, 3))
    both = np.concatenate([pixels.reshape(2, 21, 2), visible_joints(world, seed)[..., None]], axis=-1)
    order = list(TIP_FIRST)
    return {
        "uv_vis": both[:, order].reshape(42, 3),
        "xyz": world.joints[:, order].reshape(42, 3).astype(np.float32),
        "K": np.array(world.camera.K, dtype=np.float32),
    }


def write_copy(root, worlds):
    """A copy with the same few frames in both folders; of most of `training` there are only the annotations."""
    for name, count in (("training", TRAINING), ("evaluation", len(worlds))):
        found = {number: annotation(worlds[number % len(worlds)], number) for number in range(count)}
        for number in range(count) if name == "evaluation" else WITH_FILES:
            write_images(root / name, number, worlds[number % len(worlds)], number)
        (root / name / f"anno_{name}.pickle").write_bytes(old_pickles.dumps(found, "python2", 2))


@pytest.fixture(scope="module")
def worlds(mano_folder):
    mano = read_mano(mano_folder)
    there = ((True, True), (False, True), (True, False))
    return [scene(mano, seed, Convention(flat_hand_mean=True), there[seed], SQUARE) for seed in range(3)]


@pytest.fixture(scope="module")
def copy(worlds, tmp_path_factory):
    root = tmp_path_factory.mktemp("rhd") / "RHD_published_v2"
    write_copy(root, worlds)
    return root


@pytest.mark.parametrize(("split", "first"), [("train", 0), ("validation", 38), ("test", 0)])
def test_what_was_written_is_read(copy, worlds, split, first):
    dataset = RHD(copy, split)
    for index in range(3) if split != "validation" else (0, 2):
        number = first + index
        sample, world = dataset[index], worlds[number % 3]
        assert sample.id == f"{'evaluation' if split == 'test' else 'training'}/{number:05d}"
        assert sample.joint_definition == "annotated"
        assert sample.hands.vertices is None
        assert sample.hands.parameters is None
        assert sample.hands.present.tolist() == list(map(float, world.present))
        np.testing.assert_array_equal(sample.frame.rgb_uint8(), world.rgb)
        np.testing.assert_allclose(sample.frame.depth, world.depth, atol=STEP / 2 + 1e-6)
        np.testing.assert_array_equal(sample.frame.camera.K, SQUARE.K)
        there = np.array(world.present)
        np.testing.assert_array_equal(sample.masks, world.masks & there[:, None, None])
        np.testing.assert_array_equal(sample.visibility, visible_joints(world, number) & there[:, None])
        np.testing.assert_allclose(sample.visible_fraction, visible_joints(world, number).mean(axis=1) * there)
        for side in np.flatnonzero(world.present):
            np.testing.assert_allclose(sample.hands.joints[side], world.joints[side], atol=1e-6)


def test_the_splits_part_the_frames(copy):
    assert [len(RHD(copy, split)) for split in ("train", "validation", "test")] == [38, 3, 3]
    assert RHD(copy.parent, "validation")[-1].id == "training/00040"
    with pytest.raises(IndexError):
        RHD(copy, "test")[3]
    with pytest.raises(ValueError, match="choose one of train"):
        RHD(copy, "training")
    with pytest.raises(FileNotFoundError, match="RHD_published_v2"):
        RHD(copy / "training")


def test_left_comes_first_in_joints_and_masks(copy):
    sample = RHD(copy)[0]
    assert sample.hands.joints[LEFT, 0, 0] < sample.hands.joints[RIGHT, 0, 0]
    pixels = sample.frame.camera.project(sample.hands.joints)
    for side in (LEFT, RIGHT):
        middle = np.argwhere(sample.masks[side]).mean(axis=0)[::-1]
        gaps = np.linalg.norm(pixels.mean(axis=1) - middle, axis=1)
        assert gaps[side] < 30 < gaps[1 - side]
        rows, columns = np.nonzero(sample.masks[side])
        assert abs(np.median(sample.frame.depth[rows, columns]) - sample.hands.joints[side, :, 2].mean()) < 0.05


def test_fingers_run_from_the_palm_to_the_tip(copy):
    joints = RHD(copy)[0].hands.joints[RIGHT].reshape(21, 3)
    from_wrist = np.linalg.norm(joints - joints[0], axis=1)[1:].reshape(5, 4)
    assert (np.diff(from_wrist, axis=1) > 0).all()


@pytest.mark.parametrize(("count", "there"), [(10, 0.0), (11, 1.0)])
def test_a_hand_is_there_when_enough_of_its_joints_are_visible(copy, tmp_path, count, there):
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "evaluation" / "anno_evaluation.pickle"
    found = old_pickles.loads(path.read_bytes())
    found[0]["uv_vis"][:, 2] = np.arange(42) % 21 < count
    path.write_bytes(pickle.dumps(found, protocol=2))
    sample = RHD(tmp_path, "test")[0]
    assert sample.hands.present.tolist() == [there, there]
    assert sample.masks.any() == bool(there)
    assert sample.visibility.sum() == 2 * count * there


def test_depth_is_decoded_as_the_data_set_says():
    known = np.array([[[0, 0, 0], [0, 1, 0], [1, 0, 0], [255, 255, 0]]], dtype=np.uint8)
    np.testing.assert_allclose(decode_depth(known)[0], [0, STEP, 256 * STEP, 5], rtol=1e-6)
    depth = np.random.default_rng(0).uniform(0, 5, size=(40, 50))
    coded = encode_depth(depth)
    np.testing.assert_allclose(decode_depth(coded), depth, atol=STEP / 2 + 1e-6)
    assert np.median(np.abs(decode_depth(coded[..., [1, 0, 2]]) - depth)) > 0.5  # the other byte order
    with pytest.raises(ValueError, match="must be"):
        decode_depth(depth)


@pytest.mark.parametrize("name", ["color/00001.png", "depth/00001.png", "mask/00001.png", "anno_training.pickle"])
@pytest.mark.parametrize("fault", ["missing", "truncated", "another size"])
def test_a_damaged_file_is_named(copy, tmp_path, name, fault):
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "training" / name
    if fault == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif fault == "missing":
        path.unlink()
    elif path.suffix == ".png":
        Image.open(path).crop((0, 0, 100, 320)).save(path)
    else:
        path.write_bytes(pickle.dumps({0: {"uv_vis": np.zeros((21, 3)), "xyz": np.zeros((42, 3)), "K": np.eye(3)}}, 2))
    with pytest.raises(DamagedFileError, match=path.name):
        RHD(tmp_path, "train")[1]


def test_a_coloured_mask_and_impossible_intrinsics_are_refused(copy, worlds, tmp_path):
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "evaluation" / "anno_evaluation.pickle"
    found = old_pickles.loads(path.read_bytes())
    found[0]["K"] = np.fliplr(found[0]["K"])
    path.write_bytes(pickle.dumps(found, protocol=2))
    with pytest.raises(DamagedFileError, match=r"anno_evaluation.pickle: .*intrinsics must look like"):
        RHD(tmp_path, "test")[0]
    mask = tmp_path / "training" / "mask" / "00000.png"
    for picture in (worlds[0].rgb, np.full((320, 320), 34, dtype=np.uint8)):
        Image.fromarray(picture).save(mask)
        with pytest.raises(DamagedFileError, match=r"mask/00000.png is not a grey image"):
            RHD(tmp_path, "train")[0]


@pytest.mark.parametrize(("writer", "protocol"), old_pickles.WRITERS)
def test_annotations_are_read_whatever_wrote_them(copy, worlds, tmp_path, writer, protocol):
    path = tmp_path / "anno_evaluation.pickle"
    found = {number: annotation(world, number) for number, world in enumerate(worlds)}
    path.write_bytes(old_pickles.dumps(found, writer, protocol))
    read, expected = read_annotations(path), read_annotations(copy / "evaluation" / path.name)
    assert read.numbers == expected.numbers == (0, 1, 2)
    for name in ("intrinsics", "joints", "visible"):
        np.testing.assert_array_equal(getattr(read, name), getattr(expected, name))


class Program:
    """A pickle of it would run a command."""

    def __reduce__(self):
        return os.system, ("exit 1",)


def test_annotations_are_not_executed(copy, tmp_path):
    shutil.copytree(copy, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "evaluation" / "anno_evaluation.pickle"
    path.write_bytes(pickle.dumps({0: Program()}, protocol=2))
    with pytest.raises(DamagedFileError, match="it was not executed"):
        RHD(tmp_path, "test")
    path.write_bytes(pickle.dumps({0: {"xyz": np.zeros((42, 3)), "K": np.eye(3)}}, protocol=2))
    with pytest.raises(DamagedFileError, match=r"anno_evaluation.pickle: there are no numbers uv_vis"):
        RHD(tmp_path, "test")


def test_it_can_be_trained_on(copy):
    items = TrainingSet(RHD(copy), 96, PRESETS["tiny"].augment, seed=0)
    batch = Sample.stack([items[0, index].sample for index in (0, 1)])
    assert batch.frame.rgb.shape == (2, 3, 96, 96)
    assert batch.masks.any(axis=(1, 2, 3)).all()


def test_table2_runs_on_it(copy, tmp_path, monkeypatch, few_steps):
    source = f"rhd={copy}"
    monkeypatch.setitem(PRESETS, "paper-small", PRESETS["tiny"])
    monkeypatch.setattr(RHD, "__len__", lambda self: 3)  # only these frames of the copy have pictures
    folders = ["--out", tmp_path / "runs", "--reports", tmp_path / "rows", "--report", tmp_path / "tables.md"]
    minutes = ["--minutes", 0.01, "--whole-minutes", 0.01, "--backbone-minutes", 0.01]
    arguments = ["experiment", "table2", "--data", source, "--test", source, *folders, *minutes]
    assert cli.main([str(argument) for argument in arguments]) == 0
    text = (tmp_path / "tables.md").read_text()
    assert "MPJPE, paper (RHD)" in text
    assert "Table III" not in text
    row = next(line for line in text.splitlines() if line.startswith("| with fusion | given masks | 1 |"))
    assert [cell.strip() for cell in row.split("|")[5:8:2]] == ["-", "-"]  # RHD has no meshes
    assert "215.00 / 218.00" in row


def test_it_keeps_the_contract(copy):
    check_contract(f"rhd:test={copy}", range(3), unseen=("intrinsics", "sides"))
