"""InterHand2.6M: a miniature copy in its layout is read back as it was written."""

import json
import logging
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from contract import check_contract
from scenes import CAMERA, Scene, scene
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers import common
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.interhand import InterHand
from twohands.hands.mano import Convention, mano_hand, place
from twohands.types import LEFT, RIGHT, Sample

CONVENTION = Convention(flat_hand_mean=False, left_shape="flip_x")
TIP_FIRST = (*(4 * finger + part for finger in range(5) for part in (4, 3, 2, 1)), 0)  # joints in the data set's order
TYPES = {(True, True): "interacting", (True, False): "left", (False, True): "right"}
PRESENT = ((True, True), (False, True), (True, False))
FOLDERS = {"train": "train", "validation": "val", "test": "test"}
TURN = Rotation.from_rotvec([0.4, -2.1, 0.9]).as_matrix()  # camera from world
PLACE = np.array([0.21, -1.3, 0.64])  # metres, the camera in the world
SIDE_TURN = Rotation.from_rotvec([0, 0.3, 0]).as_matrix()  # second camera from first camera


def to_world(points):
    return points @ TURN + PLACE


@dataclass
class Moment:
    """Content of a copy for one moment, with its flags."""

    world: Scene
    hand_type: str
    hand_type_valid: int
    view_flags: np.ndarray  # (42,), right first
    moment_flags: np.ndarray
    fitted: tuple[bool, bool] = (True, True)  # by side


def moment(world, **changes):
    """Return a moment with complete annotations, apart from `changes`."""
    flags = np.concatenate([np.full(21, int(world.present[side])) for side in (RIGHT, LEFT)])
    return replace(Moment(world, TYPES[world.present], 1, flags, flags.astype(bool)), **changes)


def in_the_world(mano, world, side):
    """Return MANO's values of a hand of a scene, in the world of the capture."""
    values = world.values[side]
    wrist = place(mano, side, values, CONVENTION).joints[0]
    rest = wrist - values.translation  # wrist of the shaped hand, the centre of its rotation
    orientation = (Rotation.from_matrix(TURN.T) * Rotation.from_rotvec(values.orientation)).as_rotvec()
    pose = [*orientation, *values.pose]
    return {"pose": pose, "shape": values.shape.tolist(), "trans": (to_world(wrist) - rest).tolist()}


def write_copy(root, mano, moments, cameras=("400262",), split="train"):
    """Write a part of a copy: moment `i` of capture 7 has frame number 26360 + 3 i."""
    images, annotations, joints, fits = [], [], {}, {}
    for number, one in enumerate(moments):
        frame, world = 26360 + 3 * number, one.world
        both = to_world(world.joints[[RIGHT, LEFT]][:, list(TIP_FIRST)].reshape(42, 3)) * 1000
        joints[str(frame)] = {
            "world_coord": both.tolist(),
            "joint_valid": [[bool(flag)] for flag in one.moment_flags],
            "hand_type": one.hand_type,
            "hand_type_valid": bool(one.hand_type_valid),
        }
        fits[str(frame)] = {
            name: in_the_world(mano, world, side) if world.present[side] and one.fitted[side] else None
            for name, side in (("right", RIGHT), ("left", LEFT))
        }
        for camera in cameras:
            file = f"Capture7/0390_dh_touchROM/cam{camera}/image{frame}.jpg"
            path = root / "images" / split / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(world.rgb).save(path, quality=95, subsampling=0)
            height, width = world.depth.shape
            image = {"id": 50 + len(images), "file_name": file, "width": width, "height": height, "capture": 7}
            images.append(image | {"subject": 3, "seq_name": "0390_dh_touchROM", "camera": camera, "frame_idx": frame})
            flags = [[int(flag)] for flag in one.view_flags]
            about = {"hand_type": one.hand_type, "hand_type_valid": one.hand_type_valid, "bbox": [1.0, 2.0, 3.0, 4.0]}
            annotations.append({"id": image["id"], "image_id": image["id"], "joint_valid": flags, **about})
    K = CAMERA.K.astype(float)
    turns, places = {"400262": TURN}, {"400262": PLACE}
    turns["410028"], places["410028"] = SIDE_TURN @ TURN, PLACE + np.array([0.1, 0, 0.05])
    parts = {
        "data": {"images": images[::-1], "annotations": annotations},
        "camera": {
            "7": {
                "campos": {name: (place * 1000).tolist() for name, place in places.items()},
                "camrot": {name: turn.tolist() for name, turn in turns.items()},
                "focal": {name: [K[0, 0], K[1, 1]] for name in turns},
                "princpt": {name: K[:2, 2].tolist() for name in turns},
            }
        },
        "joint_3d": {"7": joints},
        "MANO_NeuralAnnot": {"7": fits},
    }
    folder = root / "annotations" / split
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in parts.items():
        (folder / f"InterHand2.6M_{split}_{name}.json").write_text(json.dumps(content))


@pytest.fixture(scope="module")
def worlds(mano):
    return [scene(mano, seed, CONVENTION, PRESENT[seed]) for seed in range(3)]


@pytest.fixture(scope="module")
def copy(mano, worlds, tmp_path_factory):
    root = tmp_path_factory.mktemp("interhand")
    for split in FOLDERS.values():
        write_copy(root, mano, [moment(world) for world in worlds], split=split)
    return root


@pytest.mark.parametrize("split", FOLDERS)
def test_what_was_written_is_read(copy, worlds, split):
    dataset = InterHand(copy, split)
    assert len(dataset) == 3
    for index, world in enumerate(worlds):
        sample = dataset[index]
        number = f"image{26360 + 3 * index}"
        assert sample.id == f"{FOLDERS[split]}/Capture7/0390_dh_touchROM/cam400262/{number}"
        assert sample.joint_definition == "annotated"
        assert sample.hands.present.tolist() == list(map(float, world.present))
        assert np.abs(sample.frame.rgb_uint8().astype(int) - world.rgb).mean() < 4  # JPEG
        assert not sample.frame.depth.any()
        np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
        for side in np.flatnonzero(world.present):
            np.testing.assert_allclose(sample.hands.joints[side], world.joints[side], atol=1e-6)
            np.testing.assert_allclose(sample.hands.vertices[side], world.vertices[side], atol=1e-6)
            assert (sample.masks[side] == world.masks[side]).mean() > 0.999
            assert sample.visible_fraction[side] > 0.95
        assert sample.masks.any(axis=(1, 2)).tolist() == list(world.present)


def test_parameters_are_those_of_the_mesh_in_the_camera_frame(copy):
    hands = InterHand(copy)[0].hands
    np.testing.assert_allclose(mano_hand()(hands.parameters).vertices, hands.vertices, atol=1e-5)


def test_poses_are_about_the_mean_pose(copy, mano, worlds):
    hands = InterHand(copy)[0].hands
    for side in (LEFT, RIGHT):
        little = worlds[0].values[side].pose[18:21] + mano.sides[side].mean_pose[12]  # MANO's joint 7, the package's 13
        assert np.linalg.norm(hands.parameters.pose[side, 12]) == pytest.approx(np.linalg.norm(little), rel=1e-5)


def test_every_camera_sees_the_hands_from_its_place(mano, worlds, tmp_path):
    write_copy(tmp_path, mano, [moment(worlds[0])], cameras=("400262", "410028"))
    first, other = InterHand(tmp_path)[0].hands, InterHand(tmp_path)[1].hands
    moved = np.array([0.1, 0, 0.05])
    for name in ("joints", "vertices"):
        expected = (to_world(getattr(first, name).astype(np.float64)) - PLACE - moved) @ (SIDE_TURN @ TURN).T
        np.testing.assert_allclose(getattr(other, name), expected, atol=1e-6)
    assert np.abs(first.joints - other.joints).max() > 0.05


def test_the_left_shape_basis_is_the_repaired_one(copy, mano, worlds):
    left = InterHand(copy)[2].hands.vertices[LEFT]
    for basis, low, high in (("flip_x", 0, 1e-5), ("raw", 1e-3, 1)):
        placed = place(mano, LEFT, worlds[2].values[LEFT], replace(CONVENTION, left_shape=basis)).vertices
        assert low <= np.abs(left - left.mean(axis=0) - placed + placed.mean(axis=0)).max() < high


def without(world, *joints):
    """Return 42 flags, right first, with 0 for `joints`."""
    flags = moment(world).view_flags.copy()
    flags[list(joints)] = 0
    return flags


def test_frames_whose_hands_are_not_wholly_annotated_are_left_out(mano, worlds, tmp_path, caplog):
    both, right, left = worlds
    moments = [
        moment(both, view_flags=without(both, 30)),  # one joint of the left hand in this view
        moment(both, moment_flags=without(both, 5)),  # one joint of the right hand at this moment
        moment(both, view_flags=without(both, *range(21))),  # a whole hand, which is in the picture
        moment(right, hand_type_valid=0),  # there may be a left hand
        moment(both, hand_type_valid=0),
        moment(right),  # flags of the left hand are 0: it is not there
        moment(left, view_flags=np.ones(42)),  # flags of the right hand do not matter
    ]
    write_copy(tmp_path, mano, moments)
    with caplog.at_level(logging.INFO):
        dataset = InterHand(tmp_path)
    assert "left out 4 of 7 pictures" in caplog.text
    assert [dataset[index].id[-5:] for index in range(3)] == [str(26360 + 3 * number) for number in (4, 5, 6)]
    assert [dataset[index].hands.present.tolist() for index in range(3)] == [[1, 1], [0, 1], [1, 0]]
    with pytest.raises(IndexError):
        dataset[3]


def test_joints_that_are_no_numbers_are_not_annotated(mano, worlds, tmp_path):
    write_copy(tmp_path, mano, [moment(worlds[0]), moment(worlds[1])])
    path = tmp_path / "annotations/train/InterHand2.6M_train_joint_3d.json"
    found = json.loads(path.read_text())
    found["7"]["26360"]["world_coord"][3] = [None, float("nan"), 1.0]
    path.write_text(json.dumps(found))
    assert [InterHand(tmp_path)[index].id[-5:] for index in (0, -1)] == ["26363", "26363"]


def test_a_frame_has_meshes_when_all_its_hands_were_fitted(copy, mano, worlds, tmp_path, monkeypatch):
    write_copy(tmp_path, mano, [moment(worlds[0], fitted=(True, False)), moment(worlds[1])])
    assert [InterHand(tmp_path)[index].hands.vertices is None for index in (0, 1)] == [True, False]
    assert InterHand(tmp_path)[0].masks is None
    (tmp_path / "annotations/train/InterHand2.6M_train_MANO_NeuralAnnot.json").unlink()
    assert InterHand(tmp_path)[1].hands.vertices is None
    monkeypatch.setattr(common, "mano_files", lambda: None)
    sample = InterHand(copy)[0]
    assert sample.hands.vertices is None
    assert sample.masks is None
    np.testing.assert_allclose(sample.hands.joints, worlds[0].joints, atol=1e-6)


def test_names_and_places(mano, worlds, tmp_path):
    root = tmp_path / "InterHand2.6M_5fps_batch1"
    write_copy(root, mano, [moment(worlds[1], view_flags=np.zeros(42))], split="val")
    with pytest.raises(FileNotFoundError, match="1 pictures, none of them wholly annotated"):
        InterHand(tmp_path, "validation")
    with pytest.raises(FileNotFoundError, match=r"no annotations/train/InterHand2.6M_train_data.json; unpack"):
        InterHand(root)
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        InterHand(root, "val")


@pytest.mark.parametrize("fault", ["missing", "truncated", "[1]", "{}", '{"images": [{"id": 50}], "annotations": [3]}'])
def test_a_damaged_file_is_named(copy, tmp_path, fault):
    shutil.copytree(copy / "annotations/train", tmp_path / "annotations/train")
    shutil.copytree(copy / "images/train", tmp_path / "images/train")
    paths = [*(tmp_path / "annotations/train").iterdir(), next((tmp_path / "images").rglob("image26360.jpg"))]
    for path in paths:
        if fault == "missing" and path.name.endswith(("data.json", "NeuralAnnot.json")):
            continue  # the folder is not recognised, or there are no meshes
        if fault == "{}" and path.name.endswith("NeuralAnnot.json"):
            continue  # no hand was fitted
        content = path.read_bytes()
        path.unlink()
        if fault == "truncated":
            path.write_bytes(content[: len(content) // 2])
        elif fault != "missing":
            path.write_text(fault)
        with pytest.raises(DamagedFileError, match=path.name):
            InterHand(tmp_path)[0]
        path.write_bytes(content)
    assert len(InterHand(tmp_path)) == 3


def test_a_mirroring_camera_and_another_size_are_refused(mano, worlds, tmp_path):
    write_copy(tmp_path, mano, [moment(worlds[0])])
    path = tmp_path / "annotations/train/InterHand2.6M_train_camera.json"
    content = path.read_text()
    found = json.loads(content)
    found["7"]["camrot"]["400262"] = (np.diag([-1, 1, 1]) @ TURN).tolist()
    path.write_text(json.dumps(found))
    with pytest.raises(DamagedFileError, match="camrot of capture 7, camera 400262 is not a rotation"):
        InterHand(tmp_path)
    path.write_text(content)
    picture = next((tmp_path / "images").rglob("*.jpg"))
    Image.fromarray(worlds[0].rgb[:100]).save(picture)
    with pytest.raises(DamagedFileError, match=r"is 320x100, its description 320x180"):
        InterHand(tmp_path)[0]


def test_it_can_be_trained_on(copy):
    items = TrainingSet(InterHand(copy), 96, PRESETS["tiny"].augment, seed=0, hand_model="mano")
    batch = Sample.stack([items[0, index].sample for index in range(3)])
    assert batch.masks.any(axis=(1, 2, 3)).all()
    assert batch.meshes_known.all()


def test_it_keeps_the_contract(copy):
    check_contract(f"interhand={copy}", range(3))
