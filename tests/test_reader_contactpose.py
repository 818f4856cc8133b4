"""ContactPose: a miniature copy in its layout is read back as it was written."""

import json
import shutil
from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from contract import check_contract
from faults import damaged
from scenes import Scene, scene
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers import common
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.contactpose import PARTICIPANTS, TURNS, ContactPose, turned_intrinsics
from twohands.geometry.camera import Camera
from twohands.hands.mano import Convention, place
from twohands.types import LEFT, RIGHT

CONVENTION = Convention(flat_hand_mean=False, components=15, left_shape="raw", tips="contactpose")
FX, FY, CX, CY = 541.2, 540.1, 479.3, 268.8  # of the sensors, 960 x 540


def camera(fx, fy, cx, cy, width, height):
    return Camera(np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float32), width, height)


CAMERAS = {
    "kinect2_left": camera(FY, FX, 540 - CY, CX, 540, 960),
    "kinect2_middle": camera(FX, FY, 960 - CX, 540 - CY, 960, 540),
    "kinect2_right": camera(FY, FX, CY, 960 - CX, 540, 960),
}
"""Intrinsics of the pictures, converted by hand from the sensor's values."""
ABOUT_AXIS = {"kinect2_left": 90, "kinect2_middle": 180, "kinect2_right": -90}
"""Rotation of the pictures in degrees, clockwise for the viewer."""


@dataclass(frozen=True)
class Grasp:
    """One recording of the copy: two frames of one camera with the hands at the same position in the picture."""

    split: str
    folder: str
    camera: str
    world: Scene
    moving: tuple[bool, bool]

    @property
    def name(self):
        return f"{self.folder}/{self.camera}"


def random_transform(rng):
    """Return (4, 4) with a random rotation and a shift of decimetres."""
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = Rotation.random(random_state=rng).as_matrix(), rng.normal(scale=0.4, size=3)
    return found


def pose(transform):
    """Return a transform as in the files: quaternion with its real part first."""
    x, y, z, w = Rotation.from_matrix(transform[:3, :3]).as_quat().tolist()
    return {"translation": transform[:3, 3].tolist(), "rotation": [w, x, y, z]}


def apply(transform, points):
    return points @ transform[:3, :3].T + transform[:3, 3]


def write_grasp(root, grasp, mano, seed=0):
    """Write annotations.json, mano_fits_15.json and two frames."""
    rng = np.random.default_rng(seed)
    folder = root / grasp.folder
    camera_from_hand = [random_transform(rng), random_transform(rng)]
    camera_from_object = [random_transform(rng)] * 2 if not any(grasp.moving) else []
    camera_from_object = camera_from_object or [random_transform(rng), random_transform(rng)]
    camera_from_sensor = np.eye(4)
    turn = Rotation.from_euler("z", ABOUT_AXIS[grasp.camera], degrees=True)
    camera_from_sensor[:3, :3] = turn.as_matrix()
    world_from_sensor = random_transform(rng)
    hands, fits = [], []
    for side in (LEFT, RIGHT):
        if not grasp.moving[side]:
            camera_from_hand[side] = camera_from_object[0]
        present = grasp.world.present[side]
        joints = (
            apply(np.linalg.inv(camera_from_hand[side]), grasp.world.joints[side]) if present else np.zeros((21, 3))
        )
        hands.append({"valid": present, "moving": grasp.moving[side], "joints": joints.tolist()})
        fits.append(fit(mano, side, grasp.world.values[side], camera_from_hand[side], rng) if present else no_fit())
    frames = []
    for now in camera_from_object:
        object_from_world = np.linalg.inv(now) @ camera_from_sensor @ np.linalg.inv(world_from_sensor)
        hand_from_object = [
            np.linalg.inv(camera_from_hand[side]) @ now if grasp.moving[side] else random_transform(rng)
            for side in (LEFT, RIGHT)
        ]
        frames.append(
            {
                "object_pose_optimized": True,
                "hTo": [pose(transform) for transform in hand_from_object],
                "oTw": pose(object_from_world),
            }
        )
    cameras = {name: {"valid": False} for name in CAMERAS}
    cameras[grasp.camera] = {
        "valid": True,
        "K": {"fx": FX, "fy": FY, "cx": CX, "cy": CY},
        "wTc": pose(world_from_sensor),
    }
    folder.mkdir(parents=True)
    (folder / "annotations.json").write_text(json.dumps({"frames": frames, "cameras": cameras, "hands": hands}))
    (folder / "mano_fits_15.json").write_text(json.dumps(fits))
    write_pictures(folder / "images_full" / grasp.camera, grasp.world)


def fit(mano, side, values, camera_from_hand, rng):
    """Return MANO's values at a random wrist rotation in its own frame, and the transform of this frame."""
    orientation = Rotation.random(random_state=rng)
    still = replace(values, orientation=orientation.as_rotvec(), translation=np.zeros(3))
    wrist = place(mano, side, still, CONVENTION).joints[0]
    camera_from_mano = np.eye(4)
    camera_from_mano[:3, :3] = (Rotation.from_rotvec(values.orientation) * orientation.inv()).as_matrix()
    camera_from_mano[:3, 3] = wrist + values.translation - camera_from_mano[:3, :3] @ wrist
    return {
        "valid": True,
        "pose": [*orientation.as_rotvec().tolist(), *values.pose.tolist()],
        "betas": values.shape.tolist(),
        "mTc": pose(np.linalg.inv(camera_from_mano) @ camera_from_hand),
    }


def no_fit():
    return {"valid": False, "pose": [0.0] * 18, "betas": [0.0] * 10, "mTc": pose(np.eye(4))}


def write_pictures(folder, world):
    for kind in ("color", "depth"):
        (folder / kind).mkdir(parents=True)
    depth = np.round(world.depth * 1000).astype(np.uint16)
    Image.fromarray(world.rgb).save(folder / "color" / "frame000.png", compress_level=1)
    Image.fromarray(depth).save(folder / "depth" / "frame000.png", compress_level=1)
    for kind in ("color", "depth"):
        shutil.copy(folder / kind / "frame000.png", folder / kind / "frame001.png")


@pytest.fixture(scope="module")
def grasps(mano):
    """Return grasps of still hands, a right hand that moves on the object, and a single left hand, by three cameras."""
    kinds = (
        ("train", "full1_use/binoculars", "kinect2_middle", (True, True), (False, False)),
        ("validation", "full5_handoff/mug", "kinect2_left", (True, True), (False, True)),
        ("test", "full50_use/apple", "kinect2_right", (True, False), (True, False)),
    )
    return {
        split: Grasp(split, folder, name, scene(mano, seed, CONVENTION, present, CAMERAS[name]), moving)
        for seed, (split, folder, name, present, moving) in enumerate(kinds)
    }


@pytest.fixture(scope="module")
def copy(mano, grasps, tmp_path_factory):
    root = tmp_path_factory.mktemp("contactpose")
    for seed, grasp in enumerate(grasps.values()):
        write_grasp(root, grasp, mano, seed)
    return root


@pytest.fixture
def small(copy, grasps, tmp_path):
    """Return a separate copy of the first grasp, to be changed."""
    shutil.copytree(copy / grasps["train"].folder, tmp_path / grasps["train"].folder)
    return tmp_path


@pytest.mark.parametrize("split", PARTICIPANTS)
def test_what_was_written_is_read(copy, grasps, split):
    dataset, grasp = ContactPose(copy, split), grasps[split]
    assert len(dataset) == 2
    sample, world = dataset[0], grasp.world
    assert sample.id == f"{grasp.name}/000"
    assert sample.joint_definition == "contactpose"
    assert sample.hands.present.tolist() == list(map(float, world.present))
    np.testing.assert_array_equal(sample.frame.rgb_uint8(), world.rgb)
    np.testing.assert_allclose(sample.frame.depth, world.depth, atol=5.1e-4)
    np.testing.assert_allclose(sample.frame.camera.K, CAMERAS[grasp.camera].K, atol=1e-4)
    for side in np.flatnonzero(world.present):
        np.testing.assert_allclose(sample.hands.joints[side], world.joints[side], atol=1e-6)
        np.testing.assert_allclose(sample.hands.vertices[side], world.vertices[side], atol=1e-6)
        assert (sample.masks[side] == world.masks[side]).mean() > 0.999
        assert sample.visible_fraction[side] > 0.95


def test_a_hand_that_moves_on_the_object_follows_each_frame(copy, grasps):
    """The object and the left hand turned between the frames; the right hand did not move."""
    first, second = ContactPose(copy, "validation")
    right = grasps["validation"].world.joints[RIGHT]
    np.testing.assert_allclose([first.hands.joints[RIGHT], second.hands.joints[RIGHT]], [right, right], atol=1e-6)
    assert np.abs(first.hands.joints[LEFT] - second.hands.joints[LEFT]).max() > 0.05
    sizes = [np.linalg.norm(s.hands.joints[LEFT, 12] - s.hands.joints[LEFT, 0]) for s in (first, second)]
    assert sizes[0] == pytest.approx(sizes[1], rel=1e-5)


@pytest.mark.parametrize(("name", "quarters"), [("kinect2_left", -1), ("kinect2_middle", 2), ("kinect2_right", 1)])
def test_pictures_and_calibration_turn_together(name, quarters):
    """A point that a sensor sees at a pixel projects to the position of this pixel in the turned picture."""
    sensor = camera(FX, FY, CX, CY, 960, 540)
    picture = np.zeros((540, 960))
    picture[100, 700] = 1  # v, u
    turned = np.rot90(picture, quarters)
    goal = np.argwhere(turned)[0, ::-1]  # u, v
    point = sensor.unproject(np.array([[700.0, 100.0]]), np.array([0.8]))
    height, width = turned.shape
    seen = Camera(turned_intrinsics(sensor.K, TURNS[name], width, height), width, height)
    pixel = seen.project(point @ TURNS[name].T)[0]
    assert np.abs(pixel - goal).max() < 1 + 1e-3  # the data set's turns are a pixel off where an axis is mirrored
    assert np.linalg.det(TURNS[name]) == pytest.approx(1)


def test_without_the_hand_model_there_are_joints(copy, grasps, monkeypatch):
    monkeypatch.setattr(common, "mano_files", lambda: None)
    sample = ContactPose(copy, "train")[0]
    assert sample.hands.vertices is None
    assert sample.masks is None
    np.testing.assert_allclose(sample.hands.joints, grasps["train"].world.joints, atol=1e-6)


def test_the_left_shape_basis_is_the_raw_one(copy, grasps, mano):
    left = ContactPose(copy, "test")[0].hands.vertices[LEFT]
    for basis, low, high in (("raw", 0, 1e-5), ("flip_x", 1e-3, 1)):
        convention = replace(CONVENTION, left_shape=basis)
        placed = place(mano, LEFT, grasps["test"].world.values[LEFT], convention).vertices
        assert low <= np.abs(left - left.mean(axis=0) - placed + placed.mean(axis=0)).max() < high


def test_a_hand_that_was_not_fitted_has_joints(small, grasps):
    path = small / grasps["train"].folder / "mano_fits_15.json"
    path.write_text(json.dumps([no_fit(), json.loads(path.read_text())[RIGHT]]))
    sample = ContactPose(small)[0]
    assert sample.hands.vertices is None
    np.testing.assert_allclose(sample.hands.joints, grasps["train"].world.joints, atol=1e-6)


def test_participants_are_whole_and_in_one_split(small, grasps):
    everybody = sorted(number for part in PARTICIPANTS.values() for number in part)
    assert everybody == list(range(1, 51))
    grasp = grasps["train"]
    (small / "full1_use").rename(small / "full2_handoff")
    assert ContactPose(small)[0].id == f"full2_handoff/binoculars/{grasp.camera}/000"
    (small / "full2_handoff").rename(small / "full45_handoff")
    assert len(ContactPose(small, "validation")) == 2
    with pytest.raises(FileNotFoundError, match="no pictures of split 'train'; download images of participants 1, 2"):
        ContactPose(small, "train")


def test_only_grasps_and_cameras_with_pictures_count(small, grasps, copy):
    folder = small / grasps["train"].folder
    shutil.copytree(folder, small / "full3_use" / "hands")
    shutil.copytree(folder, small / "full3_use" / "banana", ignore=shutil.ignore_patterns("images_full"))
    (folder / "images_full" / "kinect2_left").mkdir()  # not valid in the annotations
    assert len(ContactPose(small)) == 2
    shutil.copytree(folder, small / "full4_use" / "hammer")
    dataset = ContactPose(small)
    assert [sample.id.split("/")[0] for sample in dataset] == ["full1_use"] * 2 + ["full4_use"] * 2


def test_names_and_places(copy, tmp_path):
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        ContactPose(copy, "val")
    with pytest.raises(FileNotFoundError, match="no folders full1_use to full50_handoff"):
        ContactPose(copy / "full1_use")
    with pytest.raises(IndexError):
        ContactPose(copy)[2]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "contactpose_data").symlink_to(copy)  # the layout of the data set's own program
    assert len(ContactPose(tmp_path)) == 2


@pytest.mark.parametrize("fault", ["missing", "truncated", "other content"])
def test_a_damaged_file_is_named(small, grasps, fault):
    folder = small / grasps["train"].folder
    pictures = folder / "images_full" / grasps["train"].camera
    paths = [
        *(pictures / kind / "frame000.png" for kind in ("color", "depth")),
        *(folder / name for name in ("annotations.json", "mano_fits_15.json")),
    ]
    for path in paths:
        with (
            damaged(path, fault, b'["no such", "file"]'),
            pytest.raises(DamagedFileError, match=f"{path.parent.name}/{path.name}"),
        ):
            ContactPose(small)[0]
    assert ContactPose(small)[0].hands.present.all()


def test_content_that_cannot_be_is_refused(small, grasps):
    folder = small / grasps["train"].folder
    path = folder / "annotations.json"
    found = json.loads(path.read_text())
    for hand in found["hands"]:
        hand["joints"] = hand["joints"][:20]
    path.write_text(json.dumps(found))
    with pytest.raises(DamagedFileError, match=r"annotations.json: .*\(20, 3\), expected \(21, 3\)"):
        ContactPose(small)[0]
    found["cameras"]["kinect9"] = {"valid": True}
    path.write_text(json.dumps(found))
    with pytest.raises(DamagedFileError, match="cameras kinect9"):
        ContactPose(small)


def test_pictures_that_were_not_turned_are_refused(small, grasps):
    pictures = small / grasps["train"].folder / "images_full" / "kinect2_middle"
    for kind in ("color", "depth"):
        path = pictures / kind / "frame001.png"
        Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path, compress_level=1)
    with pytest.raises(DamagedFileError, match=r"frame001.png is 540x960, .* intrinsics 960x540"):
        ContactPose(small)[1]


def test_it_trains(copy):
    item = TrainingSet(ContactPose(copy), 96, PRESETS["tiny"].augment, seed=0)[0, 0]
    assert item.sample.masks.any()


def test_it_keeps_the_contract(copy):
    check_contract(f"contactpose={copy}", range(2))
