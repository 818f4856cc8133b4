"""Files of benchmarks: their content, and that every planted fault is named."""

import io
import json
import tarfile
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from scenes import scene
from twohands.evaluation.submissions import (
    ObjectPose,
    h2o_names,
    validate,
    write_arctic,
    write_dexycb,
    write_h2o,
    write_h2o3d,
    write_ho3d,
    write_hot3d,
)
from twohands.hands.mano import Convention, Values, place
from twohands.hands.mano_files import ORDER
from twohands.hands.skeleton import FINGERTIPS, JOINT_NAMES, JOINT_ORDERS
from twohands.types import LEFT, RIGHT, HandParameters, TwoHands

COUNT = 4
NAMES = [f"SM1/{10 * frame:04d}" for frame in range(COUNT)]
IMAGES = [3, 8, 13, 21]
ACTIONS = [(1, "000000.txt"), (1, "000001.txt"), (2, "000007.txt"), (242, "000000.txt")]
CONVENTION = Convention(flat_hand_mean=False, components=15, tips="hot3d")
FLIP = np.array([1.0, -1, -1])


@pytest.fixture(scope="module")
def scenes(mano):
    return [scene(mano, seed, CONVENTION) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def predictions(scenes):
    return [TwoHands(one.vertices, one.joints, np.ones(2)) for one in scenes]


@pytest.fixture
def written(tmp_path, predictions):
    """A valid file of every kind: its path and the expected names."""
    files = {
        "h2o": (tmp_path / "hand_poses.json", ACTIONS),
        "ho3d": (tmp_path / "ho3d.json", NAMES),
        "h2o3d": (tmp_path / "h2o3d.json", NAMES),
        "dexycb": (tmp_path / "dexycb.txt", IMAGES),
    }
    write_h2o(files["h2o"][0], ACTIONS, predictions)
    write_ho3d(files["ho3d"][0], NAMES, predictions)
    write_h2o3d(files["h2o3d"][0], NAMES, predictions)
    write_dexycb(files["dexycb"][0], IMAGES, predictions, [RIGHT, LEFT, LEFT, RIGHT])
    return files


@pytest.mark.parametrize("name", JOINT_ORDERS)
def test_orders_of_joints_are_permutations(name):
    assert sorted(JOINT_ORDERS[name]) == list(range(21))


def test_orders_of_joints_as_the_sets_name_them():
    mano = ["wrist", *(f"{finger}_{part}" for finger in ("index", "middle", "little", "ring") for part in range(3))]
    mano += [f"thumb_{part}" for part in range(3)]
    mano += [f"{finger}_tip" for finger in ("thumb", "index", "middle", "ring", "little")]
    tips_first = [f"{f}_{part}" for f in ("thumb", "index", "middle", "ring", "little") for part in ("tip", 2, 1, 0)]
    theirs = {"mano": mano, "rhd": ["wrist", *tips_first], "interhand": [*tips_first, "wrist"]}
    parts = {"thumb": ("cmc", "mcp", "ip"), "other": ("mcp", "pip", "dip")}
    for name, order in JOINT_ORDERS.items():
        for ours, entry in zip(JOINT_NAMES, (theirs[name][i] for i in order), strict=True):
            finger, _, part = entry.partition("_")
            if part.isdigit():
                part = parts.get(finger, parts["other"])[int(part)]
            assert ours == "_".join(filter(None, (finger, part)))
    articulated = [joint for joint in range(21) if joint not in FINGERTIPS]
    assert tuple(JOINT_ORDERS["mano"][joint] for joint in articulated) == ORDER


def test_sound_files_pass(written):
    for kind, (path, expected) in written.items():
        validate(path, kind, expected)


def test_h2o_has_left_then_right_in_the_camera(written, predictions):
    document = json.loads(written["h2o"][0].read_text())
    assert list(document) == ["modality", "1", "2", "242"]
    numbers = np.array(document["2"]["000007.txt"]).reshape(2, 21, 3)
    np.testing.assert_allclose(numbers, predictions[2].joints, atol=0.51e-6)


def with_tips_of_ho3d(hands):
    """Return the joints; their finger tips were those of HOT3D before."""
    joints = hands.joints.copy()
    joints[:, FINGERTIPS] = hands.vertices[:, [744, 333, 444, 555, 672]]
    assert np.abs(joints - hands.joints)[:, FINGERTIPS[1:]].max(axis=-1).min() > 0.001
    return joints


def test_ho3d_has_right_hands_of_an_opengl_camera_in_manos_order(written, predictions):
    joints, vertices = (np.array(part) for part in json.loads(written["ho3d"][0].read_text()))
    assert joints.shape == (COUNT, 21, 3)
    assert vertices.shape == (COUNT, 778, 3)
    true = np.stack([with_tips_of_ho3d(hands)[RIGHT] for hands in predictions])
    np.testing.assert_allclose(joints[:, list(JOINT_ORDERS["mano"])] * FLIP, true, atol=0.51e-6)
    np.testing.assert_allclose(joints[:, 4] * FLIP, true[:, 9], atol=0.51e-6)  # the middle knuckle
    np.testing.assert_allclose(vertices[1] * FLIP, predictions[1].vertices[RIGHT], atol=0.51e-6)
    assert (joints[..., 2] < 0).all()


def test_h2o3d_has_the_right_hand_first_relative_to_its_wrist(written, predictions, tmp_path):
    joints, vertices = (np.array(part) for part in json.loads(written["h2o3d"][0].read_text()))
    assert joints.shape == (COUNT, 21, 6)
    assert vertices.shape == (COUNT, 778, 6)
    assert (joints[:, 0, :3] == 0).all()
    order = list(JOINT_ORDERS["mano"])
    for one, hands in zip(joints, predictions, strict=True):
        relative = (with_tips_of_ho3d(hands) - hands.joints[RIGHT, 0]) * FLIP
        np.testing.assert_allclose(one[order, :3], relative[RIGHT], atol=1e-6)
        np.testing.assert_allclose(one[order, 3:], relative[LEFT], atol=1e-6)
    bare = [replace(hands, vertices=None) for hands in predictions]
    write_h2o3d(tmp_path / "bare.json", NAMES, bare)
    assert len(json.loads((tmp_path / "bare.json").read_text())) == 1
    validate(tmp_path / "bare.json", "h2o3d", NAMES)


def test_dexycb_has_millimetres_of_the_named_hand(written, predictions):
    lines = written["dexycb"][0].read_text().splitlines()
    numbers = lines[1].split(",")
    assert numbers[0] == "8"
    np.testing.assert_allclose(
        np.array(numbers[1:], float).reshape(21, 3), predictions[1].joints[LEFT] * 1e3, atol=6e-4
    )


def test_archives_hold_the_document(tmp_path, predictions):
    write_ho3d(tmp_path / "pred.zip", NAMES, predictions)
    with zipfile.ZipFile(tmp_path / "pred.zip") as archive:
        assert archive.namelist() == ["pred.json"]
    validate(tmp_path / "pred.zip", "ho3d", NAMES)
    write_h2o(tmp_path / "poses.zip", ACTIONS, predictions)
    with pytest.raises(ValueError, match=r"no archive with pred\.json"):
        validate(tmp_path / "poses.zip", "ho3d", NAMES)
    with pytest.raises(ValueError, match=r"must end in one of \.json"):
        write_ho3d(tmp_path / "pred.txt", NAMES, predictions)


@pytest.fixture(scope="module")
def hot3d(scenes):
    """Names, predictions with parameters, camera poses in the world, true shapes."""
    names = [("clip-1", 0, RIGHT), ("clip-1", 0, LEFT), ("clip-1", 10, RIGHT), ("clip-2", 0, LEFT)]
    rng = np.random.default_rng(5)
    cameras = np.tile(np.eye(4), (COUNT, 1, 1))
    cameras[:, :3, :3] = Rotation.random(COUNT, random_state=1).as_matrix()
    cameras[:, :3, 3] = rng.normal(size=(COUNT, 3))
    shapes = [one.values[name[2]].shape for one, name in zip(scenes, names, strict=True)]
    return names, cameras, shapes


def placed_predictions(mano, scenes):
    found = []
    for one in scenes:
        hands = [place(mano, side, one.values[side], CONVENTION) for side in (LEFT, RIGHT)]
        fields = {name: np.stack([getattr(hand, name) for hand in hands]) for name in HandParameters.__annotations__}
        found.append(TwoHands(one.vertices, one.joints, np.ones(2), HandParameters(**fields)))
    return found


def test_hot3d_poses_the_same_hands_in_the_world(tmp_path, mano, scenes, hot3d):
    names, cameras, shapes = hot3d
    path = tmp_path / "pose.tar"
    write_hot3d(path, names, placed_predictions(mano, scenes), cameras, shapes, mano)
    validate(path, "hot3d", names)
    with tarfile.open(path) as archive:
        document = json.load(archive.extractfile("result_pose_hot3d.json"))
    for entry, name, one, camera, shape in zip(document, names, scenes, cameras, shapes, strict=True):
        assert (entry["sequence_name"], entry["frame_id"], entry["hand_side"]) == name
        wrist = np.array(entry["wrist_xform"])
        values = Values(wrist[:3], np.array(entry["mano_theta"]), shape, wrist[3:])
        posed = place(mano, name[2], values, CONVENTION)
        truth = one.joints[name[2]] @ camera[:3, :3].T + camera[:3, 3]
        np.testing.assert_allclose(posed.joints, truth, atol=1e-6)
        np.testing.assert_allclose(entry["mano_theta"], one.values[name[2]].pose, atol=1e-6)


FRAMES = ["s03/box_use_01/0/00010", "s03/box_use_01/0/00011", "s03/mixer_grab_02/0/00010", "s03/mixer_grab_02/0/00011"]
OBJECT = ObjectPose(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.1, 0.6]), 0.4)
TASK = "pose_p2_test/eval/"


def stored(path):
    """Return the members of an archive of tensors."""
    with zipfile.ZipFile(path) as archive:
        return {name: torch.load(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def restored(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            stream = io.BytesIO()
            torch.save(content, stream)
            archive.writestr(name, stream.getvalue())


def test_arctic_poses_the_same_hands(tmp_path, mano, scenes):
    path, predictions = tmp_path / "pose_p2_test.zip", placed_predictions(mano, scenes)
    write_arctic(path, FRAMES, predictions, mano, [OBJECT] * COUNT)
    validate(path, "arctic", FRAMES)
    members = stored(path)
    assert len(members) == 2 * 10
    assert members[f"{TASK}s03_box_use_01_0/meta_info/meta_info.imgname.pt"] == [
        f"./data/arctic_data/data/cropped_images/{name}.jpg" for name in FRAMES[:2]
    ]
    rows = {key.partition("preds/pred.")[2]: value for key, value in members.items() if "mixer" in key}
    np.testing.assert_allclose(rows["object.rot.pt"], [OBJECT.rotation] * 2, atol=1e-7)
    assert rows["object.radian.pt"].shape == (2,)
    raw = Convention(flat_hand_mean=False, left_shape="raw", tips="hot3d")
    for row, one in enumerate(predictions[2:]):
        for side, letter in ((LEFT, "l"), (RIGHT, "r")):
            beta, shift, pose = (rows[f"mano.{name}.{letter}.pt"][row].numpy() for name in ("beta", "cam_t", "pose"))
            assert pose.dtype == np.float32
            turns = Rotation.from_matrix(pose).as_rotvec()
            posed = place(mano, side, Values(turns[0], turns[1:].reshape(45), beta, shift), raw)
            np.testing.assert_allclose(posed.joints[0], one.joints[side, 0], atol=1e-6)
            np.testing.assert_allclose(posed.rotation, one.parameters.rotation[side], atol=1e-5)
            np.testing.assert_allclose(posed.pose, one.parameters.pose[side], atol=1e-5)
            if side == RIGHT:  # the left shape is only the nearest of the raw basis
                np.testing.assert_allclose(posed.vertices, one.vertices[side], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("pose.r", lambda v: v * 1.1), "s03/box_use_01/0/00010 mano.pose.r: these are not rotations"),
        (("pose.l", lambda v: v[:, :15]), r"00010 mano.pose.l: the shape is \(15, 3, 3\)"),
        (("cam_t.r", lambda v: v * 1e3), "00010 mano.cam_t.r: the hand is at z = .*metres"),
        (("cam_t.l", lambda v: v * torch.tensor([1, -1, -1])), "in front of the camera"),
        (("cam_t.l", lambda v: v * torch.nan), "numbers that are not finite"),
        (("beta.l", lambda v: v * 0 + 30), "30 standard deviations"),
        (("beta.r", lambda v: v[:1]), r"1 entries of mano\.beta\.r, expected 2; nothing .*/00011"),
        (("imgname", lambda v: v[::-1]), "not in the order of their numbers"),
        (("imgname", lambda v: [v[0].replace("s03", "s05"), v[1]]), "s05/box_use_01/0/00010 does not belong there"),
    ],
)  # fmt: skip
def test_planted_faults_of_arctic_are_named(change, complaint, tmp_path, mano, scenes):
    path = tmp_path / "a.zip"
    write_arctic(path, FRAMES, placed_predictions(mano, scenes), mano)
    members, (what, function) = stored(path), change
    key = next(key for key in members if f".{what}.pt" in key)
    restored(path, {**members, key: function(members[key])})
    with pytest.raises(ValueError, match=complaint):
        validate(path, "arctic", FRAMES)


def test_archives_of_arctic_that_are_not_whole(tmp_path, mano, scenes):
    path, predictions = tmp_path / "a.zip", placed_predictions(mano, scenes)
    write_arctic(path, FRAMES, predictions, mano)
    members = stored(path)
    with pytest.raises(ValueError, match="s03/box_use_01/0/00012 is missing"):
        validate(path, "arctic", [*FRAMES, "s03/box_use_01/0/00012"])
    with pytest.raises(ValueError, match="these names belong into pose_p1_test/eval/"):
        validate(path, "arctic", [name.replace("/0/", "/3/") for name in FRAMES])
    restored(path, {key: value for key, value in members.items() if "radian" not in key})
    with pytest.raises(ValueError, match=r"no readable .*pred\.object\.radian\.pt"):
        validate(path, "arctic", FRAMES)
    path.write_bytes(b"PK")
    with pytest.raises(ValueError, match="no archive"):
        validate(path, "arctic", FRAMES)
    with pytest.raises(ValueError, match=r"got views \[0, 2\]"):
        write_arctic(path, ["s03/box_use_01/0/00010", "s03/box_use_01/2/00010"], predictions[:2], mano)
    with pytest.raises(ValueError, match="'7' is no frame of ARCTIC"):
        write_arctic(path, ["7"], predictions[:1], mano)
    with pytest.raises(ValueError, match="1 objects for 4 names"):
        write_arctic(path, FRAMES, predictions, mano, [OBJECT])
    with pytest.raises(ValueError, match="3 predictions for 4 names"):
        write_arctic(path, FRAMES, predictions[:3], mano)
    with pytest.raises(ValueError, match="ARCTIC needs those of the hand model 'mano'"):
        write_arctic(path, FRAMES, [replace(hands, parameters=None) for hands in predictions], mano)


def test_h2o_names_of_a_list(tmp_path):
    path = tmp_path / "action_test.txt"
    path.write_text(
        "id path start_act end_act start_frame end_frame\n1 subject4/h1/0 5 7 0 400\n2 subject4/h1/0 9 9 0 400\n"
    )
    assert h2o_names(path) == [(1, "000005.txt"), (1, "000006.txt"), (1, "000007.txt"), (2, "000009.txt")]
    path.write_text("subject4/h1/0/cam4/rgb/000000.png\n")
    with pytest.raises(ValueError, match="no columns id, start_act"):
        h2o_names(path)


# planted faults: kind, change of the document, expected message


def scaled(factor):
    return lambda numbers: (np.array(numbers) * factor).tolist()


def edited(entries, number, function):
    return [function(entry) if i == number else entry for i, entry in enumerate(entries)]


def in_h2o(function):
    return lambda d: {**d, "2": {frame: function(numbers) for frame, numbers in d["2"].items()}}


def in_joints(number, function):
    return lambda d: [edited(d[0], number, function), *d[1:]]


def with_nan(numbers):
    array = np.array(numbers)
    array.reshape(-1)[4] = np.nan
    return array.tolist()


def columns_swapped(document):
    swapped = [np.roll(np.array(part), 3, axis=2) for part in document]
    return [(part - np.tile(swapped[0][:, :1, 3:], 2)).tolist() for part in swapped]


FAULTS = [
    ("h2o", in_h2o(scaled(1e3)), r"entry \(2, '000007.txt'\) left.*millimetres"),
    ("h2o", in_h2o(with_nan), r"entry \(2, '000007.txt'\): there are numbers that are not finite"),
    ("h2o", in_h2o(lambda n: n[:63]), r"\(2, '000007.txt'\): the shape is \(63,\), expected \(126,\)"),
    ("h2o", in_h2o(lambda n: (np.array(n).reshape(-1, 3) * FLIP).reshape(-1).tolist()), "expected positive values"),
    ("h2o", lambda d: {k: v for k, v in d.items() if k != "242"}, r"\(242, '000000.txt'\) is missing"),
    ("h2o", lambda d: {**d, "243": d["2"]}, r"\(243, '000007.txt'\) is not one of them"),
    (
        "h2o",
        lambda d: {k: d[k] for k in ("modality", "2", "1", "242")},
        r"\(2, '000007.txt'\) where \(1, '000000.txt'\)",
    ),
    ("h2o", lambda d: {k: v for k, v in d.items() if k != "modality"}, "'modality'"),
    ("ho3d", in_joints(2, scaled(1e3)), "SM1/0020.*millimetres"),
    ("ho3d", in_joints(1, with_nan), "SM1/0010: there are numbers that are not finite"),
    ("ho3d", in_joints(3, lambda j: (np.array(j) * FLIP).tolist()), "SM1/0030: z is .* negative values of an OpenGL"),
    ("ho3d", in_joints(0, lambda j: j[:20]), r"SM1/0000: the shape is \(20, 3\)"),
    ("ho3d", in_joints(0, lambda j: [[0.0] * 3] * 21), "SM1/0000: .*this is no hand"),
    ("ho3d", lambda d: [d[0][:3], d[1]], "3 entries of joints, expected 4; nothing is there for SM1/0030"),
    ("ho3d", lambda d: [d[0], d[1] + d[1][:1]], "5 entries of vertices, expected 4"),
    ("ho3d", lambda d: d[:1], r"must be a list \[joints, vertices\]"),
    ("ho3d", lambda d: [d[0], edited(d[1], 1, scaled(1e3))], "SM1/0010: the centre of the vertices"),
    ("ho3d", lambda d: [np.array(d[0])[:, JOINT_ORDERS["mano"]].tolist(), d[1]], "order 'standard', expected 'mano'"),
    ("h2o3d", in_joints(1, scaled(1e3)), "SM1/0010 right.*millimetres"),
    ("h2o3d", in_joints(1, with_nan), "SM1/0010: there are numbers that are not finite"),
    ("h2o3d", in_joints(2, lambda j: (np.array(j) + 0.3).tolist()), "SM1/0020: the right wrist .* relative to it"),
    ("h2o3d", columns_swapped, "SM1/0000: the right wrist .* the left hand stands first"),
    ("h2o3d", lambda d: [d[0][1:], d[1]], "3 entries of joints"),
    ("h2o3d", lambda d: [np.array(d[0])[:, JOINT_ORDERS["mano"]].tolist(), d[1]], "order 'standard', expected 'mano'"),
]


@pytest.mark.parametrize(("kind", "plant", "complaint"), FAULTS)
def test_planted_faults_are_named(kind, plant, complaint, written):
    path, expected = written[kind]
    path.write_text(json.dumps(plant(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=complaint) as caught:
        validate(path, kind, expected)
    assert str(path) in str(caught.value)


def test_frames_of_another_order_are_seen_by_their_wrists(written, predictions):
    path, _ = written["ho3d"]
    walk = np.arange(COUNT)[:, None] * [0.3, 0, 0]  # the hand moves far
    moved = [
        replace(hands, joints=hands.joints + step, vertices=hands.vertices + step)
        for hands, step in zip(predictions, walk, strict=True)
    ]
    wrists = np.stack([hands.joints[RIGHT, 0] for hands in moved]) + 0.01
    write_ho3d(path, NAMES, moved)
    validate(path, "ho3d", NAMES, wrists)
    write_ho3d(path, NAMES, moved[::-1])
    with pytest.raises(ValueError, match=r"entry SM1/00[03]0; is the order that of evaluation\.txt"):
        validate(path, "ho3d", NAMES, wrists)


@pytest.mark.parametrize(
    ("plant", "complaint"),
    [
        (
            lambda r: [*r[:1], [r[1][0], *(str(float(v) / 1e3) for v in r[1][1:])], *r[2:]],
            "entry 8: .*look like metres",
        ),
        (lambda r: [*r[:1], [*r[1][:9], "nan", *r[1][10:]], *r[2:]], "entry 8: there are numbers that are not finite"),
        (lambda r: [*r[:1], [*r[1][:9], "far", *r[1][10:]], *r[2:]], "entry 8: these are not numbers"),
        (
            lambda r: [*r[:1], [r[1][0], *(v if i % 3 < 2 else f"-{v}" for i, v in enumerate(r[1][1:]))], *r[2:]],
            "entry 8: z",
        ),
        (lambda r: [r[1], r[0], *r[2:]], "has 8 where 3 belongs"),
        (lambda r: r[:3], "3 entries, expected 4; 21 is missing"),
        (lambda r: [*r, r[0]], "entry 3 2 times"),
        (lambda r: [r[0][:-1], *r[1:]], "line 1: 63 values"),
    ],
)
def test_planted_faults_of_dexycb_are_named(plant, complaint, written):
    path, expected = written["dexycb"]
    lines = plant([line.split(",") for line in path.read_text().splitlines()])
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    with pytest.raises(ValueError, match=complaint):
        validate(path, "dexycb", expected)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda d: edited(d, 1, lambda e: {**e, "mano_theta": e["mano_theta"][:14]}),
            r"mano_theta: the shape is \(14,\)",
        ),
        (
            lambda d: edited(d, 1, lambda e: {**e, "mano_theta": [np.inf] * 15}),
            "mano_theta: there are numbers that are",
        ),
        (
            lambda d: edited(d, 2, lambda e: {**e, "wrist_xform": [*e["wrist_xform"][:3], 100.0, 20.0, 900.0]}),
            r"\('clip-1', 10, 1\): the wrist is .*millimetres",
        ),
        (
            lambda d: edited(d, 0, lambda e: {("pose" if k == "mano_theta" else k): v for k, v in e.items()}),
            "entry 0: .*mano_theta",
        ),
        (lambda d: d[:3], r"\('clip-2', 0, 0\) is missing"),
        (lambda d: edited(d, 0, lambda e: {**e, "hand_side": 0}), "2 times"),
        (lambda d: d[::-1], r"\('clip-2', 0, 0\) where \('clip-1', 0, 1\) belongs"),
        (lambda d: {"poses": d}, "must be a list"),
    ],
)
def test_planted_faults_of_hot3d_are_named(change, complaint, tmp_path, mano, scenes, hot3d):
    names, cameras, shapes = hot3d
    path = tmp_path / "pose.json"
    write_hot3d(path, names, placed_predictions(mano, scenes), cameras, shapes, mano)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=complaint):
        validate(path, "hot3d", names)


def test_writers_refuse_what_cannot_be_scored(tmp_path, predictions, mano, hot3d):
    lost = [*predictions[:2], replace(predictions[2], present=np.array([1.0, 0])), predictions[3]]
    with pytest.raises(ValueError, match="SM1/0020 has no right hand"):
        write_ho3d(tmp_path / "a.json", NAMES, lost)
    with pytest.raises(ValueError, match="13 has no right hand"):
        write_dexycb(tmp_path / "a.txt", IMAGES, lost, [RIGHT] * 4)
    write_dexycb(tmp_path / "a.txt", IMAGES, lost, [LEFT] * 4)
    with pytest.raises(ValueError, match="3 predictions for 4 names"):
        write_h2o(tmp_path / "a.json", ACTIONS, predictions[:3])
    with pytest.raises(ValueError, match=r"SM1/0000 has vertices None; predict with the hand model 'mano'"):
        write_ho3d(tmp_path / "a.json", NAMES, [replace(hands, vertices=None) for hands in predictions])
    with pytest.raises(ValueError, match="'mano'"):
        write_hot3d(tmp_path / "a.json", hot3d[0], predictions, hot3d[1], hot3d[2], mano)
    broken = [replace(predictions[0], joints=predictions[0].joints * np.nan), *predictions[1:]]
    with pytest.raises(ValueError, match="SM1/0000 has joints that are not finite"):
        write_h2o3d(tmp_path / "a.json", NAMES, broken)
    assert not (tmp_path / "a.json").exists()


def test_wrong_questions_are_refused(tmp_path, written):
    with pytest.raises(ValueError, match="no files of kind 'contactpose'"):
        validate(tmp_path / "a.json", "contactpose", [])
    with pytest.raises(FileNotFoundError, match="no file"):
        validate(tmp_path / "none.json", "ho3d", NAMES)
    with pytest.raises(FileNotFoundError, match="no file"):
        validate(tmp_path / "none.txt", "dexycb", IMAGES)
    with pytest.raises(ValueError, match="wrists are known for 'ho3d' only"):
        validate(written["h2o"][0], "h2o", ACTIONS, np.zeros((4, 3)))
    written["h2o"][0].write_text("{")
    with pytest.raises(ValueError, match="no valid JSON"):
        validate(written["h2o"][0], "h2o", ACTIONS)
