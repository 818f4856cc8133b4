"""DexYCB: a miniature copy in its layout is read back as it was written."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import yaml
from PIL import Image

from contract import check_contract
from faults import damaged
from scenes import scene
from twohands.config import PRESETS
from twohands.data.dataset import TrainingSet
from twohands.data.readers import common
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.dexycb import SERIALS, SUBJECTS, DexYCB
from twohands.geometry.camera import Camera
from twohands.hands.mano import Convention, place
from twohands.types import LEFT, RIGHT, Sample

CONVENTION = Convention(flat_hand_mean=False, components=45, left_shape="raw", tips="mano")
CAMERA = Camera(np.array([[613.1, 0, 313.0], [0, 612.0, 245.0], [0, 0, 1]], dtype=np.float32), 640, 480)
VALIDATION = SUBJECTS[6]  # the one subject that validation of s1 needs
SIDES = ("right", "left")


def recording_name(number):
    """Recordings are named by date and time."""
    return f"20200928_{140000 + number}"


def write_subject(root, subject, frames=2):
    """The descriptions of 100 recordings, right and left in turns, each of two frames; no pictures."""
    for number in range(100):
        folder = root / subject / recording_name(number)
        folder.mkdir(parents=True)
        (folder / "meta.yml").write_text(description(subject, SIDES[number % 2], frames, number < 50))


@cache
def description(subject, side, frames, flow):
    meta = {
        "extrinsics": "20200702_151821",
        "mano_calib": [f"{subject}_{side}"],
        "mano_sides": [side],
        "num_frames": frames,
        "serials": list(SERIALS),
        "ycb_grasp_ind": 1,
        "ycb_ids": [2, 5, 21],
    }
    return yaml.safe_dump(meta, default_flow_style=flow)


def write_calibration(root, worlds, subject, flow):
    """Intrinsics of all cameras and the shapes of a subject's hands."""
    (root / "calibration" / "intrinsics").mkdir(parents=True, exist_ok=True)
    K = CAMERA.K.astype(float).tolist()
    colour = {"fx": K[0][0], "fy": K[1][1], "ppx": K[0][2], "ppy": K[1][2]}
    for serial in SERIALS:
        path = root / "calibration" / "intrinsics" / f"{serial}_640x480.yml"
        path.write_text(yaml.safe_dump({"color": colour, "depth": dict.fromkeys(colour, 1.0)}, default_flow_style=flow))
    for side, world in zip((RIGHT, LEFT), worlds, strict=True):
        folder = root / "calibration" / f"mano_{subject}_{('left', 'right')[side]}"
        folder.mkdir(parents=True)
        shape = {"betas": world.values[side].shape.tolist()}
        (folder / "mano.yml").write_text(yaml.safe_dump(shape, default_flow_style=flow))


def write_frame(folder, number, world, side):
    """One frame; without a hand where the world has none on that side."""
    folder.mkdir(exist_ok=True)
    Image.fromarray(world.rgb).save(folder / f"color_{number:06d}.jpg", quality=95, subsampling=0)
    depth = np.round(world.depth * 1000).astype(np.uint16)
    Image.fromarray(depth).save(folder / f"aligned_depth_to_color_{number:06d}.png")
    values, classes = world.values[side], np.zeros(world.depth.shape, dtype=np.uint8)
    classes[:40] = 21
    classes[world.masks[side]] = 255
    pose, joints = np.zeros((1, 51), np.float32), np.full((1, 21, 3), -1, np.float32)
    if world.present[side]:
        pose[0] = [*values.orientation, *values.pose, *values.translation]
        joints[0] = world.joints[side]
    labels = {"seg": classes, "pose_y": np.zeros((3, 3, 4), np.float32), "pose_m": pose, "joint_3d": joints}
    np.savez_compressed(folder / f"labels_{number:06d}.npz", joint_2d=joints[..., :2], **labels)


def write_copy(root, worlds, flow=True):
    """The subject of s1's validation: recording 0 is of a right hand, recording 1 of a left one, then of none."""
    write_subject(root, VALIDATION)
    write_calibration(root, worlds[:2], VALIDATION, flow)
    write_frame(root / VALIDATION / recording_name(0) / SERIALS[0], 0, worlds[0], RIGHT)
    write_frame(root / VALIDATION / recording_name(1) / SERIALS[7], 0, worlds[1], LEFT)
    write_frame(root / VALIDATION / recording_name(1) / SERIALS[7], 1, worlds[2], LEFT)


FRAMES = {RIGHT: 0, LEFT: 16 + 14}
"""Index of each side's frame: two frames of each of eight cameras to a recording."""


@pytest.fixture(scope="module")
def worlds(mano):
    there = ((False, True), (True, False), (False, False))
    return [scene(mano, seed, CONVENTION, there[seed], CAMERA) for seed in range(3)]


@pytest.fixture(scope="module")
def copy(worlds, tmp_path_factory):
    root = tmp_path_factory.mktemp("dexycb")
    write_copy(root, worlds)
    return root


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """All subjects, without any pictures."""
    root = tmp_path_factory.mktemp("all") / "DexYCB"
    for subject in SUBJECTS:
        write_subject(root, subject, frames=2 + SUBJECTS.index(subject) % 2)
    return root.parent


@pytest.mark.parametrize(("side", "place"), [(RIGHT, 0), (LEFT, 1)])
def test_what_was_written_is_read(copy, worlds, side, place):
    sample, world = DexYCB(copy, "validation", "s1")[FRAMES[side]], worlds[place]
    assert sample.id == f"{VALIDATION}/{recording_name(place)}/{SERIALS[7 * place]}/000000"
    assert sample.joint_definition == "mano"
    assert sample.hands.present.tolist() == [float(side == LEFT), float(side == RIGHT)]
    assert np.abs(sample.frame.rgb_uint8().astype(int) - world.rgb).mean() < 3  # JPEG
    np.testing.assert_allclose(sample.frame.depth, world.depth, atol=5.1e-4)
    np.testing.assert_allclose(sample.frame.camera.K, CAMERA.K, atol=1e-4)
    np.testing.assert_allclose(sample.hands.joints[side], world.joints[side], atol=1e-6)
    np.testing.assert_allclose(sample.hands.vertices[side], world.vertices[side], atol=1e-6)
    np.testing.assert_array_equal(sample.masks[side], world.masks[side])
    assert not sample.masks[1 - side].any()
    assert sample.visible_fraction[side] > 0.95
    assert sample.visible_fraction[1 - side] == 0


def test_the_hand_lies_on_the_depth_under_its_mask(copy):
    for side, index in FRAMES.items():
        sample = DexYCB(copy, "validation", "s1")[index]
        rows, columns = np.nonzero(sample.masks[side])
        middle = sample.hands.vertices[side, :, 2].mean()
        assert abs(np.median(sample.frame.depth[rows, columns]) - middle) < 0.05
        pixels = sample.frame.camera.project(sample.hands.joints[side])
        assert np.linalg.norm(pixels.mean(axis=0) - (columns.mean(), rows.mean())) < 60


def test_the_side_is_that_of_the_recording(worlds, tmp_path):
    write_copy(tmp_path, worlds)
    path = tmp_path / VALIDATION / recording_name(0) / "meta.yml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "mano_sides": ["left"]}))
    hands = DexYCB(tmp_path, "validation", "s1")[0].hands
    assert hands.present.tolist() == [1, 0]
    wrong = hands.vertices[LEFT].mean(axis=0) - hands.joints[LEFT].mean(axis=0)
    right = worlds[0].vertices[RIGHT].mean(axis=0) - worlds[0].joints[RIGHT].mean(axis=0)
    assert np.linalg.norm(wrong - right) > 0.05  # the values of a right hand do not make this left one


def test_poses_are_principal_components_about_the_mean_pose(mano, worlds, tmp_path):
    write_copy(tmp_path, worlds)
    left, right = worlds[0].values
    world = replace(worlds[0], values=(left, replace(right, pose=0.5 * np.eye(45)[3])))
    write_frame(tmp_path / VALIDATION / recording_name(0) / SERIALS[0], 0, world, RIGHT)
    pose = DexYCB(tmp_path, "validation", "s1")[0].hands.parameters.pose[RIGHT]
    hand = mano.sides[RIGHT]
    expected = hand.mean_pose + 0.5 * hand.pose_components[3]
    np.testing.assert_allclose(np.linalg.norm(pose, axis=1), np.linalg.norm(expected, axis=1), rtol=1e-5)


def test_the_left_shape_basis_is_the_raw_one(copy, mano, worlds):
    left = DexYCB(copy, "validation", "s1")[FRAMES[LEFT]].hands.vertices[LEFT]
    for basis, low, high in (("raw", 0, 1e-5), ("flip_x", 1e-3, 1)):
        placed = place(mano, LEFT, worlds[1].values[LEFT], replace(CONVENTION, left_shape=basis)).vertices
        assert low <= np.abs(left - left.mean(axis=0) - placed + placed.mean(axis=0)).max() < high


def test_a_hand_out_of_sight_is_absent_and_its_frame_fits_into_a_batch(copy):
    dataset = DexYCB(copy, "validation", "s1")
    unseen = dataset[FRAMES[LEFT] + 1]
    assert not unseen.hands.present.any()
    assert not unseen.hands.joints.any()
    assert not unseen.masks.any()
    assert not unseen.visible_fraction.any()
    batch = Sample.stack([dataset[0], unseen])
    assert batch.hands.vertices.shape == (2, 2, 778, 3)
    assert TrainingSet(dataset, 96, PRESETS["tiny"].augment, seed=0)[0, FRAMES[LEFT]].sample.masks.any()


def test_without_the_hand_model_there_are_joints_and_masks(copy, worlds, monkeypatch):
    monkeypatch.setattr(common, "mano_files", lambda: None)
    sample = DexYCB(copy, "validation", "s1")[0]
    assert sample.hands.vertices is None
    np.testing.assert_array_equal(sample.masks[RIGHT], worlds[0].masks[RIGHT])
    np.testing.assert_allclose(sample.hands.joints[RIGHT], worlds[0].joints[RIGHT], atol=1e-6)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_the_protocols_are_the_official_ones(described, split):
    """Membership of every recording and camera, from the sentences that describe the protocols."""

    def belongs(protocol, subject, camera, number):
        if protocol == "s0":
            kept = number % 5 == 4
            return {"train": not kept, "validation": kept and subject < 2, "test": kept and subject >= 2}[split]
        if protocol == "s1":
            return subject in {"train": (0, 1, 2, 3, 4, 5, 9), "validation": (6,), "test": (7, 8)}[split]
        if protocol == "s2":
            return camera in {"train": range(6), "validation": (6,), "test": (7,)}[split]
        held_out = {"validation": (3, 19), "test": (7, 11, 15)}
        group = next((name for name, objects in held_out.items() if number // 5 in objects), "train")
        return group == split

    for protocol in ("s0", "s1", "s2", "s3"):
        dataset = DexYCB(described, split, protocol)
        expected = [
            (SUBJECTS[subject], recording_name(number), SERIALS[camera], f"{frame:06d}")
            for subject in range(10)
            for number in range(100)
            for camera in range(8)
            if belongs(protocol, subject, camera, number)
            for frame in range(2 + subject % 2)
        ]
        assert len(dataset) == len(expected)
        for index in [*range(0, len(expected), 97), -1]:
            recording, serial, number = dataset._place(index)
            assert (recording.folder.parent.name, recording.folder.name, serial, number) == expected[index]


def test_names_that_there_are_not_and_subjects_that_are_missing(copy):
    with pytest.raises(ValueError, match="choose one of s0, s1, s2, s3"):
        DexYCB(copy, protocol="S0")
    with pytest.raises(ValueError, match="choose one of train, validation, test"):
        DexYCB(copy, "val")
    with pytest.raises(FileNotFoundError, match=rf"{SUBJECTS[0]} does not exist"):
        DexYCB(copy, "train")
    with pytest.raises(FileNotFoundError, match="no folders 20200709-subject-01"):
        DexYCB(copy / VALIDATION)
    with pytest.raises(IndexError):
        DexYCB(copy, "validation", "s1")[1600]


def test_a_subject_that_is_not_whole_is_refused(tmp_path):
    for number in range(99):
        (tmp_path / VALIDATION / recording_name(number)).mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="has 99 recordings, expected 100"):
        DexYCB(tmp_path, "validation", "s1")


@pytest.mark.parametrize("fault", ["missing", "truncated", "other content"])
def test_a_damaged_file_is_named(worlds, tmp_path, fault):
    write_copy(tmp_path, worlds, flow=False)
    recording = tmp_path / VALIDATION / recording_name(0)
    frame = recording / SERIALS[0]
    calibration = tmp_path / "calibration"
    paths = [
        *(frame / "color_000000.jpg", frame / "aligned_depth_to_color_000000.png", frame / "labels_000000.npz"),
        calibration / "intrinsics" / f"{SERIALS[0]}_640x480.yml",
        calibration / f"mano_{VALIDATION}_right" / "mano.yml",
        recording / "meta.yml",
    ]
    for path in paths:
        with damaged(path, fault, b"\x80 no: [such, file"), pytest.raises(DamagedFileError, match=path.name):
            DexYCB(tmp_path, "validation", "s1")[0]
    assert DexYCB(tmp_path, "validation", "s1")[0].hands.present[RIGHT] == 1


def test_labels_of_another_size_are_refused(worlds, tmp_path):
    write_copy(tmp_path, worlds)
    path = tmp_path / VALIDATION / recording_name(0) / SERIALS[0] / "labels_000000.npz"
    with np.load(path) as archive:
        labels = dict(archive)
    np.savez(path, **{**labels, "seg": labels["seg"][:240]})
    with pytest.raises(DamagedFileError, match=r"its labels 640x240"):
        DexYCB(tmp_path, "validation", "s1")[0]
    np.savez(path, **{**labels, "seg": labels["seg"][..., None]})
    with pytest.raises(DamagedFileError, match=r"labels_000000.npz: seg has shape \(480, 640, 1\)"):
        DexYCB(tmp_path, "validation", "s1")[0]
    np.savez(path, **{**labels, "pose_m": np.full((1, 51), "text")})
    with pytest.raises(DamagedFileError, match=r"labels_000000.npz: .*isfinite"):
        DexYCB(tmp_path, "validation", "s1")[0]
    np.savez(path, **{**labels, "pose_m": np.zeros((2, 51))})
    with pytest.raises(DamagedFileError, match=r"labels_000000.npz: pose_m has shape \(2, 51\)"):
        DexYCB(tmp_path, "validation", "s1")[0]


def test_labels_hold_no_pickle(worlds, tmp_path):
    """Refuse objects in its archives unread: the data set has none."""
    write_copy(tmp_path, worlds)
    path = tmp_path / VALIDATION / recording_name(0) / SERIALS[0] / "labels_000000.npz"
    with np.load(path) as archive:
        labels = dict(archive)
    np.savez(path, **{**labels, "pose_m": labels["pose_m"].astype(object)})
    with pytest.raises(DamagedFileError, match=r"labels_000000.npz.*[Oo]bject"):
        DexYCB(tmp_path, "validation", "s1")[0]


@pytest.mark.parametrize("text", ["a: [1, 2", "a: 1\n   b: 2", "- 1\n- 2", ""])
def test_a_description_that_is_no_mapping_is_a_damaged_file(worlds, tmp_path, text):
    write_copy(tmp_path, worlds)
    (tmp_path / VALIDATION / recording_name(0) / "meta.yml").write_text(text)
    with pytest.raises(DamagedFileError, match=r"meta.yml.*copy this file"):
        DexYCB(tmp_path, "validation", "s1")


def test_it_keeps_the_contract(copy):
    check_contract(f"dexycb_s1:validation={copy}", FRAMES.values())
