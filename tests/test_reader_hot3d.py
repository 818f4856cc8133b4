"""HOT3D: a miniature copy of its clips is read back as it was written, from fisheye to pinhole, world to camera."""

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from contract import check_contract
from scenes import CAMERA, HEIGHT, WIDTH, scene
from test_reader_arctic import dotted, place_of_dot, world_values
from twohands.data.readers import common
from twohands.data.readers.common import DamagedFileError, joints_in_image
from twohands.data.readers.hot3d import FRAMES, HOT3D
from twohands.data.readers.lenses import Fisheye
from twohands.hands.mano import Convention, place
from twohands.types import LEFT, RIGHT, SIDE_NAMES

CONVENTION = Convention(flat_hand_mean=False, components=15, left_shape="flip_x", tips="hot3d")
LENS = (160.0, 159.5, 158.8, 91.7, 0.05, -0.04, 0.03, -0.02, 0.01, -0.004, 0.003, -0.002, 0.001, 0.002, -0.003, 0.0015)
PRESENT = ((True, True), (False, True), (True, False))
POINT = np.array([0.35, 0.2, 0.6])  # metres, camera frame: shown as a dot
TURN = Rotation.from_rotvec([0.4, -1.0, 1.7])  # camera from world
SHIFT = np.array([0.3, -0.2, 0.5])
CLIPS = {7: "P0001_aaaa", 8: "P0002_bbbb", 9: "P0003_cccc", 11: "P0003_dddd"}  # the last from a Quest 3
TEST_CLIP = 20


def seen_by_lens(points):
    """Return pixels (..., 2) of points (..., 3), term by term from the description of FISHEYE624."""
    fx, fy, cx, cy, *k = LENS[:10]
    p0, p1, s0, s1, s2, s3 = LENS[10:]
    direction = points / np.linalg.norm(points, axis=-1, keepdims=True)
    theta, phi = np.arccos(direction[..., 2]), np.arctan2(points[..., 1], points[..., 0])
    radius = theta * (1 + sum(k[n] * theta ** (2 * n + 2) for n in range(6)))
    x, y = radius * np.cos(phi), radius * np.sin(phi)
    r2 = radius**2
    u = x + (2 * x**2 + r2) * p0 + 2 * x * y * p1 + s0 * r2 + s1 * r2**2
    v = y + (2 * y**2 + r2) * p1 + 2 * x * y * p0 + s2 * r2 + s3 * r2**2
    return np.stack([u, v], axis=-1) * (fx, fy) + (cx, cy)


def files_of(world, number, stream):
    """Return the files of a frame, content by name."""
    image = io.BytesIO()
    Image.fromarray(dotted(seen_by_lens(POINT))).save(image, "JPEG", quality=98)
    x, y, z, w = TURN.inv().as_quat()
    camera = {
        "calibration": {
            "projection_model_type": "CameraModelType.FISHEYE624",
            "projection_params": LENS,
            "image_width": WIDTH,
            "image_height": HEIGHT,
        },
        "T_world_from_camera": {
            "quaternion_wxyz": [w, x, y, z],
            "translation_xyz": TURN.inv().apply(-SHIFT).tolist(),
        },
    }
    hands = {}
    for side in (LEFT, RIGHT):
        if world.present[side]:
            values = world_values(world, side, TURN.as_matrix(), SHIFT)
            wrist = [*values.orientation, *values.translation]
            hands[SIDE_NAMES[side]] = {"mano_pose": {"thetas": values.pose.tolist(), "wrist_xform": wrist}}
    return {
        f"{number:06d}.image_{stream}.jpg": image.getvalue(),
        f"{number:06d}.cameras.json": json.dumps({stream: camera}).encode(),
        f"{number:06d}.hands.json": json.dumps(hands).encode(),
    }


def write_clip(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_copy(root, mano):
    """Write four clips of train and one of test, one frame each, three in the first; return the first clip's scenes."""
    one = scene(mano, 0, CONVENTION, shared_shape=True)
    worlds = [replace(one, present=present) for present in PRESENT]
    shapes = {"__hand_shapes.json__": json.dumps({"mano": one.values[LEFT].shape.tolist(), "umetrack": {}}).encode()}
    for number in CLIPS:
        device, stream = ("quest3", "1201-1") if number == 11 else ("aria", "214-1")
        files = {}
        for frame, world in enumerate(worlds if number == 7 else worlds[:1]):
            files |= files_of(world, frame, stream)
        write_clip(root / f"train_{device}" / f"clip-{number:06d}.tar", files | shapes)
    hidden = {name: content for name, content in files_of(one, 0, "214-1").items() if "hands" not in name}
    write_clip(root / "test_aria" / f"clip-{TEST_CLIP:06d}.tar", hidden | shapes)
    aria = [*(number for number in CLIPS if number != 11), 10]  # clip 10 is not in the copy
    lists = {
        "train": {"Aria": aria, "Quest3": [11]},
        "test_ht_pose": {"Aria": [TEST_CLIP], "Quest3": []},
        "test_ht_shape": {"Aria": [], "Quest3": []},
    }
    (root / "clip_splits.json").write_text(json.dumps(lists))
    persons = {**CLIPS, 10: "P0001_aaaa", TEST_CLIP: "P0020_eeee"}
    clips = {str(number): {"sequence_id": name, "device": "Aria"} for number, name in persons.items()}
    (root / "clip_definitions.json").write_text(json.dumps(clips))
    return worlds


def copy_lists(root, folder):
    folder.mkdir(exist_ok=True)
    for name in ("clip_splits.json", "clip_definitions.json"):
        (folder / name).write_bytes((root / name).read_bytes())


@pytest.fixture(scope="module")
def copy(mano, tmp_path_factory):
    root = tmp_path_factory.mktemp("hot3d")
    return root, write_copy(root, mano)


def test_what_was_written_is_read(copy, mano):
    root, worlds = copy
    dataset = HOT3D(root)
    assert len(dataset) == FRAMES
    for index, world in enumerate(worlds):
        sample = dataset[index]
        assert sample.id == f"clip-000007/{index:06d}"
        assert sample.joint_definition == "hot3d"
        assert sample.hands.present.tolist() == list(map(float, world.present))
        assert not sample.frame.depth.any()
        np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
        for side in np.flatnonzero(world.present):
            np.testing.assert_allclose(sample.hands.joints[side], world.joints[side], atol=1e-6)
            np.testing.assert_allclose(sample.hands.vertices[side], world.vertices[side], atol=1e-6)
            assert (sample.masks[side] == world.masks[side]).mean() > 0.999
            expected = place(mano, side, world.values[side], CONVENTION)
            for name in ("pose", "shape", "rotation", "translation"):
                written = getattr(sample.hands.parameters, name)[side]
                np.testing.assert_allclose(written, getattr(expected, name), atol=2e-6)


def test_splits_part_the_participants(copy):
    root, _ = copy
    assert [path.stem for path in HOT3D(root, "train").clips] == ["clip-000007"]
    assert [path.stem for path in HOT3D(root, "validation").clips] == ["clip-000008", "clip-000009"]
    assert [path.stem for path in HOT3D(root, "validation", "1201-1").clips][-1] == "clip-000011"
    assert [path.stem for path in HOT3D(root, "test").clips] == ["clip-000020"]


def test_test_frames_have_no_hands_but_a_shape_and_a_place(copy):
    root, worlds = copy
    dataset = HOT3D(root, "test")
    sample = dataset[0]
    assert sample.hands.present.tolist() == [0, 0]
    assert sample.hands.vertices is None
    np.testing.assert_allclose(dataset.shape(0), worlds[0].values[LEFT].shape)
    T = dataset.T_world_from_camera(0)
    np.testing.assert_allclose(TURN.apply(T[:3, :3] @ POINT + T[:3, 3]) + SHIFT, POINT, atol=1e-12)


def test_the_fisheye_is_resampled_into_a_pinhole(copy):
    """A dot at the lens' projection of a point moves to the pinhole camera's projection of the point."""
    frame = HOT3D(copy[0])[0].frame
    straight = CAMERA.project(POINT[None])[0]
    assert np.linalg.norm(seen_by_lens(POINT) - straight) > 10
    np.testing.assert_allclose(place_of_dot(frame.rgb_uint8()), straight, atol=0.3)


def test_the_lens_against_its_description_and_by_hand():
    points = np.random.default_rng(0).uniform(-1, 1, size=(100, 3)) + [0, 0, 1.2]
    np.testing.assert_allclose(Fisheye(LENS, WIDTH, HEIGHT).project(points), seen_by_lens(points), atol=1e-9)
    plain = Fisheye((100, 100, 50, 40, *[0] * 12), 100, 80)
    np.testing.assert_allclose(
        plain.project(np.array([[0, 0, 2.0], [1, 0, 1], [0, 1, 0]])),
        [[50, 40], [50 + 25 * np.pi, 40], [50, 40 + 50 * np.pi]],
    )


def test_joints_behind_or_beside_the_image_are_not_in_it():
    joints = np.zeros((2, 21, 3))
    joints[LEFT] = [0, 0, 0.5]
    joints[LEFT, :5, 2] = -0.5
    joints[RIGHT] = [2, 0, 0.5]
    assert joints_in_image(joints, CAMERA).sum(axis=1).tolist() == [16, 0]


def test_a_hand_out_of_the_pinhole_image_or_without_mano_pose_is_absent(mano, tmp_path):
    worlds = write_copy(tmp_path, mano)
    aside = replace(worlds[0], joints=worlds[0].joints + np.array([[[0, 0, 0]], [[1.5, 0, 0]]]))
    files = files_of(aside, 0, "214-1") | files_of(worlds[0], 1, "214-1")
    hands = json.loads(files["000001.hands.json"])
    del hands["left"]["mano_pose"]
    files["000001.hands.json"] = json.dumps({**hands, "right": None}).encode()
    shape = json.dumps({"mano": worlds[0].values[LEFT].shape.tolist()}).encode()
    write_clip(tmp_path / "train_aria" / "clip-000007.tar", {**files, "__hand_shapes.json__": shape})
    dataset = HOT3D(tmp_path)
    sample = dataset[0]
    assert sample.hands.present.tolist() == [1, 0]
    assert not sample.hands.joints[RIGHT].any()
    assert not sample.masks[RIGHT].any()
    assert dataset[1].hands.present.tolist() == [0, 0]


def test_splits_streams_and_folders_that_there_are_not(copy, tmp_path):
    root, _ = copy
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        HOT3D(root, "val")
    with pytest.raises(ValueError, match="no stream '214-2'; choose one of 214-1"):
        HOT3D(root, "train", "214-2")
    with pytest.raises(FileNotFoundError, match=r"no clip_splits\.json"):
        HOT3D(tmp_path)
    copy_lists(root, tmp_path / "hot3d")
    with pytest.raises(FileNotFoundError, match="no clips of split 'test' with images of 214-1"):
        HOT3D(tmp_path, "test")


def test_without_mano_it_is_refused(copy, monkeypatch):
    monkeypatch.setattr(common, "mano_files", lambda: None)
    with pytest.raises(FileNotFoundError, match=r"HOT3D has no 3D joints, only values of MANO.*TWOHANDS_MANO"):
        HOT3D(copy[0])


FAULTS = {
    "000000.hands.json": lambda content: content[: len(content) // 2],
    "000000.cameras.json": lambda content: content.replace(b"FISHEYE624", b"PINHOLE"),
    "000000.image_214-1.jpg": lambda content: content[: len(content) // 2],
    "__hand_shapes.json__": lambda content: b'{"mano": [0.1, 0.2]}',
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("missing", [True, False])
def test_a_damaged_file_of_a_clip_is_named(copy, tmp_path, name, missing):
    root, worlds = copy
    files = files_of(worlds[0], 0, "214-1")
    files["__hand_shapes.json__"] = json.dumps({"mano": worlds[0].values[LEFT].shape.tolist()}).encode()
    content = files.pop(name)
    if not missing:
        files[name] = FAULTS[name](content)
    write_clip(tmp_path / "train_aria" / "clip-000007.tar", files)
    copy_lists(root, tmp_path)
    with pytest.raises(DamagedFileError, match=f"clip-000007.tar.*{name}"):
        HOT3D(tmp_path)[0]


def test_a_clip_that_ends_early_and_a_broken_list_are_named(copy, tmp_path):
    root, _ = copy
    copy_lists(root, tmp_path)
    clip = tmp_path / "train_aria" / "clip-000007.tar"
    clip.parent.mkdir()
    clip.write_bytes((root / "train_aria" / clip.name).read_bytes()[:1000])
    with pytest.raises(DamagedFileError, match=r"clip-000007\.tar is not a whole tar file"):
        HOT3D(tmp_path)[0]
    (tmp_path / "clip_definitions.json").write_text('{"7": {"sequence_id": "P0001_aaaa"}}')
    with pytest.raises(DamagedFileError, match=r"clip_definitions\.json is not what it should be"):
        HOT3D(tmp_path)


def test_it_keeps_the_contract(copy):
    check_contract(f"hot3d={copy[0]}", range(2))
