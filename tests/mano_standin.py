"""Files in the shape of MANO's, made of the free hand and random numbers: nothing of MANO is in them."""

import pickle
import sys
import types
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from scipy import sparse

from twohands.hands import free_hand
from twohands.hands.mano_files import ORDER
from twohands.hands.pyramid import joint_regressor
from twohands.hands.skeleton import FINGERTIP_VERTICES, JOINTS_FROM_ARTICULATED
from twohands.types import LEFT, RIGHT

MANO_FROM_WRIST = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # right hand: fingers to -x, back of the hand up
WRIST = np.array([0.095, 0.006, 0.006])  # where the wrist lies in the files, metres


def arrays(side, seed=0):
    """The named arrays of one file, MANO's order of joints; the left shape basis is the unmirrored one, as in MANO."""
    rng = np.random.default_rng(seed)
    free = free_hand()
    order = _order(free)  # of our vertices in the files
    vertices = _flat(free)[order] @ MANO_FROM_WRIST.T + WRIST
    shape = np.einsum("ab,vbs->vas", MANO_FROM_WRIST, free.shape_directions[order].astype(np.float64))
    pose = rng.normal(scale=3e-4, size=(778, 3, 135))
    ours = joint_regressor(free)[:, order]
    regressor, weights = np.zeros((16, 778)), np.zeros((778, 16))
    for joint, theirs in enumerate(ORDER):
        regressor[theirs] = ours[JOINTS_FROM_ARTICULATED.index(joint)]
        weights[:, theirs] = free.weights[order, joint]
    components = np.linalg.qr(rng.normal(size=(45, 45)))[0]
    x = np.array([-1.0 if side == LEFT else 1.0, 1, 1])
    mirrored = np.tile(np.outer(x, x).reshape(-1), 15)  # signs of the entries of a rotation in a mirror
    faces = np.argsort(order)[free.right_faces if side == RIGHT else free.right_faces[:, ::-1]]
    return {
        "v_template": vertices * x,
        "shapedirs": shape,
        "posedirs": pose * x[:, None] * mirrored,
        "J_regressor": sparse.csc_matrix(regressor),
        "weights": weights,
        "hands_mean": rng.normal(scale=0.1, size=45),
        "hands_components": components,
        "f": faces.astype(np.uint32),
        "kintree_table": np.zeros((2, 16), dtype=np.int64),
        "bs_style": "lbs",
    }


def _order(free):
    """(778,) a permutation that puts finger tips and their neighbours where the tables of tips expect them."""
    order = np.arange(778)
    for finger, tip in enumerate(free.tip_vertices):
        numbers = sorted({row[finger] for table in FINGERTIP_VERTICES.values() for row in table}, reverse=True)
        distance = np.linalg.norm(free.rest_vertices - free.rest_vertices[tip], axis=1)
        for number, vertex in zip(numbers, np.argsort(distance), strict=False):
            place = int(np.flatnonzero(order == vertex)[0])
            order[[place, number]] = order[[number, place]]
    return order


def _flat(free):
    """(778, 3) the right hand with straight fingers and its thumb at rest, as in MANO's files."""
    angles = np.zeros((2, 16, 3), dtype=np.float32)
    angles[:, 1:4] = free.rest_angles[1:4]
    hands = free(replace(free.neutral(), pose=free.pose_from_angles(angles)))
    return hands.vertices[RIGHT].astype(np.float64)


def write(folder, protocol=2):
    """MANO_LEFT.pkl and MANO_RIGHT.pkl; shapedirs are wrapped as chumpy did it."""
    folder.mkdir(parents=True, exist_ok=True)
    with _chumpy() as (leaf, select):
        for side, name in enumerate(("MANO_LEFT", "MANO_RIGHT")):
            content = arrays(side)
            flat = content["shapedirs"]
            content["shapedirs"] = select(
                {"a": leaf({"x": flat.reshape(-1)}), "idxs": np.arange(flat.size), "preferred_shape": flat.shape}
            )
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(content, protocol=protocol))
    return folder


@contextmanager
def _chumpy():
    """Classes with the names that chumpy's pickles use."""

    def kind(module, name):
        def __init__(self, state):
            self.__dict__.update(state)

        return type(name, (), {"__init__": __init__, "__module__": module})

    modules = {"chumpy": types.ModuleType("chumpy")}
    classes = []
    for module, name in (("chumpy.ch", "Ch"), ("chumpy.reordering", "Select")):
        modules[module] = types.ModuleType(module)
        classes.append(kind(module, name))
        setattr(modules[module], name, classes[-1])
    sys.modules.update(modules)
    try:
        yield classes
    finally:
        for module in modules:
            del sys.modules[module]
