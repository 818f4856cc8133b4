"""MANO: files are read without running them, and posed by the formulas of its paper."""

import os
import pickle
import pickletools
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

import mano_standin
import old_pickles
from twohands import cli
from twohands.hands.mano import Convention, Values, hand_model, mano_hand, place, values_of
from twohands.hands.mano_files import read_arrays, read_mano, save_npz
from twohands.hands.pyramid import joint_regressor, mesh_levels
from twohands.hands.skeleton import FINGERTIP_VERTICES, ROOT
from twohands.types import LEFT, RIGHT, HandParameters

FLAT = Convention(flat_hand_mean=True)
FIELDS = ("pose", "shape", "rotation", "translation")


@pytest.fixture(scope="module")
def folder(mano_folder):
    return mano_folder


@pytest.fixture(scope="module")
def mano(folder):
    return read_mano(folder)


def random_values(seed, scale=0.3):
    rng = np.random.default_rng(seed)
    sizes = {"orientation": (3, 1.5), "pose": (45, scale), "shape": (10, 0.8), "translation": (3, 0.3)}
    return Values(**{name: rng.normal(size=n) * s for name, (n, s) in sizes.items()})


def by_the_paper(content, values, shapedirs=None):
    """Vertices of the MANO paper, formulas 2 to 4, with 4x4 transforms and MANO's own order of joints."""
    parents = [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14]
    theta = np.concatenate([values.orientation, values.pose]).reshape(16, 3)
    rotations = Rotation.from_rotvec(theta).as_matrix()
    shaped = content["v_template"] + (content["shapedirs"] if shapedirs is None else shapedirs) @ values.shape
    joints = content["J_regressor"] @ shaped
    posed = shaped + content["posedirs"] @ (rotations[1:] - np.eye(3)).reshape(-1)
    world = []
    for joint, parent in enumerate(parents):
        local = np.eye(4)
        local[:3, :3], local[:3, 3] = rotations[joint], joints[joint] - (joints[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    carried = np.stack(
        [t @ np.block([[np.eye(3), -j[:, None]], [np.zeros((1, 3)), 1]]) for t, j in zip(world, joints, strict=True)]
    )
    blended = np.einsum("vj,jab->vab", content["weights"], carried)
    vertices = np.einsum("vab,vb->va", blended, np.concatenate([posed, np.ones((len(posed), 1))], axis=1))[:, :3]
    return vertices + values.translation, np.stack([t[:3, 3] for t in world]) + values.translation


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_skinning_is_that_of_the_paper(mano, side):
    content = mano_standin.arrays(side)
    for seed in range(3):
        values = random_values(seed)
        vertices, joints = by_the_paper(content, values)
        placed = place(mano, side, values, replace(FLAT, left_shape="raw"))
        np.testing.assert_allclose(placed.vertices, vertices, atol=1e-9)
        np.testing.assert_allclose(placed.joints[[0, 5, 9, 13, 17]], joints[[0, 1, 4, 10, 7]], atol=1e-9)
        np.testing.assert_array_equal(placed.joints[4], placed.vertices[FINGERTIP_VERTICES["mano"][side][0]])


@pytest.mark.parametrize("side", [LEFT, RIGHT])
def test_the_hand_model_is_the_same_hand(mano, side):
    """Our parameters in the wrist frame give the vertices of MANO's values, for the mirrored left hand as well."""
    model = hand_model(mano)
    values = random_values(4 + side)
    placed = place(mano, side, values, FLAT)
    parameters = HandParameters(*(np.stack([getattr(placed, name)] * 2).astype(np.float32) for name in FIELDS))
    hands = model(parameters)
    np.testing.assert_allclose(hands.vertices[side], placed.vertices, atol=2e-6)
    np.testing.assert_allclose(hands.joints[side][:4], placed.joints[:4], atol=2e-6)
    mirrored = by_the_paper(mano_standin.arrays(side), values, _repaired(side))[0]
    np.testing.assert_allclose(placed.vertices, mirrored, atol=1e-9)
    for convention in (FLAT, Convention(flat_hand_mean=False, components=45, wrist_centred=True)):
        back = values_of(mano, side, *(getattr(placed, name) for name in FIELDS), convention)
        again = place(mano, side, back, convention)
        np.testing.assert_allclose(again.vertices, placed.vertices, atol=1e-9)


def test_values_of_the_raw_left_basis_keep_the_wrist(mano):
    placed = place(mano, LEFT, random_values(7), FLAT)
    raw = replace(FLAT, left_shape="raw")
    again = place(mano, LEFT, values_of(mano, LEFT, *(getattr(placed, name) for name in FIELDS), raw), raw)
    np.testing.assert_allclose(again.joints[0], placed.joints[0], atol=1e-9)
    error = np.linalg.norm(again.vertices - placed.vertices, axis=1).mean()
    unmoved = place(mano, LEFT, replace(random_values(7), shape=np.zeros(10)), raw)
    assert error < np.linalg.norm(unmoved.vertices - placed.vertices, axis=1).mean()


def _repaired(side):
    flip = np.array([-1.0, 1, 1])[:, None] if side == LEFT else 1.0
    return mano_standin.arrays(RIGHT)["shapedirs"] * flip


def test_raw_and_repaired_left_shapes_differ(mano):
    values = random_values(1)
    raw, repaired = (place(mano, LEFT, values, replace(FLAT, left_shape=name)) for name in ("raw", "flip_x"))
    assert np.linalg.norm(raw.vertices - repaired.vertices, axis=1).max() > 1e-3
    right = [place(mano, RIGHT, values, replace(FLAT, left_shape=name)).vertices for name in ("raw", "flip_x")]
    np.testing.assert_array_equal(*right)


def test_components_and_mean_pose(mano):
    content = mano_standin.arrays(RIGHT)
    values = random_values(2)
    coefficients = values.pose[:15]
    full = coefficients @ content["hands_components"][:15] + content["hands_mean"]
    expected = place(mano, RIGHT, replace(values, pose=full), FLAT)
    found = place(mano, RIGHT, replace(values, pose=coefficients), Convention(flat_hand_mean=False, components=15))
    np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-12)


def test_the_translation_may_be_the_wrist(mano):
    values = random_values(3)
    placed = place(mano, RIGHT, values, replace(FLAT, wrist_centred=True))
    np.testing.assert_allclose(placed.joints[0], values.translation, atol=1e-12)


def test_mesh_levels_of_any_model(mano):
    model = hand_model(mano)
    levels = mesh_levels(model)
    assert [len(level.vertices) for level in levels] == [63, 126, 252]
    assert set(levels[0].vertices) <= set(levels[1].vertices) <= set(levels[2].vertices)
    values = place(mano, RIGHT, random_values(5, 0.15), FLAT)
    vertices = values.vertices
    for level, finer in zip(levels, (*levels[1:], None), strict=True):
        fine = vertices if finer is None else vertices[finer.vertices]
        error = np.linalg.norm(level.up @ vertices[level.vertices] - fine, axis=-1)
        assert error.mean() < 2e-3  # the stand-in's pose blend shapes are noise
        np.testing.assert_allclose(level.up.sum(axis=1), 1, atol=1e-4)
    regressed = joint_regressor(model) @ vertices
    assert np.linalg.norm(regressed[ROOT] - values.joints[ROOT]) < 2e-3


def test_files_as_npz_say_the_same(folder, mano, tmp_path):
    for name in ("MANO_LEFT", "MANO_RIGHT"):
        save_npz(read_arrays(folder / f"{name}.pkl"), tmp_path / f"{name}.npz")
    again = read_mano(tmp_path)
    for side in (LEFT, RIGHT):
        for name in vars(mano.sides[side]):
            np.testing.assert_array_equal(getattr(again.sides[side], name), getattr(mano.sides[side], name))


def test_the_stand_in_asks_for_what_the_original_files_ask_for(folder):
    for name in ("MANO_LEFT", "MANO_RIGHT"):
        operations = list(pickletools.genops((folder / f"{name}.pkl").read_bytes()))
        assert operations[0][1] == 2  # the protocol
        assert {asked for operation, asked, _ in operations if operation.name == "GLOBAL"} == {
            "__builtin__ set",
            "chumpy.ch Ch",
            "chumpy.reordering Select",
            "numpy dtype",
            "numpy ndarray",
            "numpy.core.multiarray _reconstruct",
            "scipy.sparse.csc csc_matrix",
        }
        others = {operation.name for operation, _, _ in operations}
        assert not {name for name in others if "UNICODE" in name or "BYTES" in name or name in ("INST", "OBJ")}


@pytest.mark.parametrize(("writer", "protocol"), old_pickles.WRITERS)
def test_files_that_users_wrote_again_say_the_same(mano, tmp_path, writer, protocol):
    again = read_mano(mano_standin.write(tmp_path, writer, protocol))
    for side in (LEFT, RIGHT):
        for name in vars(mano.sides[side]):
            np.testing.assert_array_equal(getattr(again.sides[side], name), getattr(mano.sides[side], name))


def test_other_wrappings_say_the_same(mano, tmp_path):
    """Read any release: they differ in what chumpy wraps, and files without it have plain arrays."""
    plain = mano_standin.arrays(RIGHT)
    wrapped = {name: mano_standin.chumpy(plain[name]) for name in ("v_template", "weights", "posedirs", "shapedirs")}
    for changed in (wrapped, {"J_regressor": plain["J_regressor"].toarray(), "shapedirs": plain["shapedirs"]}):
        path = tmp_path / "MANO_RIGHT.pkl"
        path.write_bytes(old_pickles.dumps(mano_standin.original(RIGHT) | changed, "python2", 2))
        found = read_arrays(path)
        for name in found:
            values = plain[name].toarray() if name == "J_regressor" else plain[name]
            np.testing.assert_array_equal(found[name], values)
            assert found[name].dtype == values.dtype


def test_the_command_line_reads_them(folder, tmp_path, capsys):
    assert cli.main(["info", "mano", str(folder), "--out", str(tmp_path)]) == 0
    assert "778 vertices, 1538 faces" in capsys.readouterr().out


def _wrapped(depth):
    value = np.zeros((778, 3))
    for _ in range(depth):
        value = mano_standin.chumpy(value)
    return value


def _in_itself():
    value = mano_standin.chumpy(None)
    value.x = value
    return value


def _changed(name, **state):
    value = mano_standin.original(RIGHT)[name]
    value.__dict__.update(state)
    return value


def _indices(first):
    """Return the rows of the regressor's entries, one of which is not among its 16."""
    indices = mano_standin.original(RIGHT)["J_regressor"].indices.copy()
    indices[0] = first
    return indices


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("v_template", _wrapped(60)),
        ("v_template", _in_itself()),
        ("v_template", mano_standin.chumpy("text")),
        ("v_template", {1, 2}),
        ("J_regressor", _changed("J_regressor", indices=_indices(10**6))),
        ("J_regressor", _changed("J_regressor", indices=_indices(-(10**6)))),
        ("J_regressor", _changed("J_regressor", _shape=(10**15, 778))),
        ("J_regressor", _changed("J_regressor", data=[[1.0], [2.0]])),
        ("shapedirs", _changed("shapedirs", idxs=np.array([10**9]))),
        ("shapedirs", _changed("shapedirs", idxs=np.array([0.5]))),
        ("shapedirs", _changed("shapedirs", idxs=None)),
        ("shapedirs", _changed("shapedirs", preferred_shape="text")),
        ("f", np.zeros((1538, 3)) + 0.5),
        ("f", np.array(3)),
        ("f", np.full((1538, 3), 778, dtype=np.uint32)),
    ],
)
def test_arrays_that_are_no_hand_are_refused(folder, tmp_path, name, value):
    (tmp_path / "MANO_LEFT.pkl").write_bytes((folder / "MANO_LEFT.pkl").read_bytes())
    content = old_pickles.dumps(mano_standin.original(RIGHT) | {name: value}, "python2", 2)
    (tmp_path / "MANO_RIGHT.pkl").write_bytes(content)
    with pytest.raises(ValueError, match=r"MANO_RIGHT\.pkl"):
        read_mano(tmp_path)


class Hostile:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("call", [os.system, eval, getattr, np.load, pickle.loads, __import__])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_pickles_are_refused_and_not_run(tmp_path, call, protocol):
    path = tmp_path / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps({"v_template": Hostile(call, f"touch {tmp_path}/run")}, protocol=protocol))
    with pytest.raises(ValueError, match=r"MANO_RIGHT.pkl.*not executed"):
        read_arrays(path)
    assert not (tmp_path / "run").exists()


def test_damaged_and_foreign_files_are_named(folder, tmp_path):
    path = tmp_path / "MANO_RIGHT.pkl"
    whole = (folder / "MANO_RIGHT.pkl").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"MANO_RIGHT.pkl is damaged"):
        read_arrays(path)
    path.write_bytes(pickle.dumps({"v_template": np.zeros((778, 3))}))
    with pytest.raises(ValueError, match="lacks shapedirs"):
        read_arrays(path)
    with pytest.raises(FileNotFoundError, match=r"has no MANO_LEFT.pkl.*mano.is.tue"):
        read_mano(tmp_path)
    assert "kintree_table" in old_pickles.loads((folder / "MANO_LEFT.pkl").read_bytes())


def test_the_model_says_where_its_files_belong(folder, monkeypatch):
    mano_hand.cache_clear()
    monkeypatch.delenv("TWOHANDS_MANO", raising=False)
    with pytest.raises(FileNotFoundError, match="set TWOHANDS_MANO"):
        mano_hand()
    monkeypatch.setenv("TWOHANDS_MANO", str(folder))
    assert mano_hand().rest_vertices.shape == (778, 3)
    mano_hand.cache_clear()
