"""Write files in the shape of MANO's, made of the free hand and random numbers: nothing of MANO is in them."""

from dataclasses import replace
from functools import cache

import numpy as np
from scipy import sparse

import old_pickles
from twohands.hands import free_hand
from twohands.hands.mano_files import ORDER
from twohands.hands.pyramid import joint_regressor
from twohands.hands.skeleton import FINGERTIP_VERTICES, JOINTS_FROM_ARTICULATED
from twohands.types import LEFT, RIGHT

MANO_FROM_WRIST = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])  # right hand: fingers to -x, back of the hand up
WRIST = np.array([0.095, 0.006, 0.006])  # where the wrist lies in the files, metres


def arrays(side, seed=0):
    """Return the named arrays of a file, MANO's order of joints; the left shape basis is unmirrored, as in MANO."""
    return dict(_arrays(side, seed))


@cache
def _arrays(side, seed):
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
    faces = np.argsort(order)[_faces(free) if side == RIGHT else _faces(free)[:, ::-1]]
    return {
        "v_template": vertices * x,
        "shapedirs": shape,
        "posedirs": pose * x[:, None] * mirrored,
        "J_regressor": sparse.csc_matrix(regressor),
        "weights": weights,
        "hands_mean": rng.normal(scale=0.1, size=45),
        "hands_components": components,
        "f": faces.astype(np.uint32),
        "J": regressor @ (vertices * x),
        "hands_coeffs": rng.normal(size=(1554, 45)),
        "kintree_table": np.array([[2**32 - 1, *range(15)], range(16)]),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def _faces(free):
    """Return (1538, 3) faces: those of the free hand, and over a part of its open wrist as many as MANO has more."""
    edges = {tuple(edge) for edge in free.right_faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).tolist()}
    rim = dict(edge for edge in edges if edge[::-1] not in edges)
    loop = [min(rim)]
    while len(loop) < 6:
        loop.append(rim[loop[-1]])
    return np.concatenate([free.right_faces, [[loop[i + 1], loop[i], loop[0]] for i in range(1, 5)]])


def _order(free):
    """Return a permutation (778,) that puts finger tips and their neighbours where the tables of tips expect them."""
    order = np.arange(778)
    for finger, tip in enumerate(free.tip_vertices):
        numbers = sorted({row[finger] for table in FINGERTIP_VERTICES.values() for row in table}, reverse=True)
        distance = np.linalg.norm(free.rest_vertices - free.rest_vertices[tip], axis=1)
        for number, vertex in zip(numbers, np.argsort(distance), strict=False):
            place = int(np.flatnonzero(order == vertex)[0])
            order[[place, number]] = order[[number, place]]
    return order


def _flat(free):
    """Return the right hand (778, 3), metres, with straight fingers and its thumb at rest, as in MANO's files."""
    angles = np.zeros((2, 16, 3), dtype=np.float32)
    angles[:, 1:4] = free.rest_angles[1:4]
    hands = free(replace(free.neutral(), pose=free.pose_from_angles(angles)))
    return hands.vertices[RIGHT].astype(np.float64)


def _class_of(module, name):
    return type(name, (), {"__module__": module})


_Ch, _Select = _class_of("chumpy.ch", "Ch"), _class_of("chumpy.reordering", "Select")
_CscMatrix = _class_of("scipy.sparse.csc", "csc_matrix")


def _object(kind, **state):
    made = kind()
    made.__dict__.update(state)
    return made


def chumpy(values):
    """Return an array as chumpy wraps it."""
    return _object(_Ch, x=values, _dirty_vars=set(), _itr=None, _depends_on_deps={})


def original(side):
    """Return what an original file holds: chumpy's choice of the first shape directions, and a sparse regressor."""
    content = arrays(side)
    shape, more = content["shapedirs"], np.zeros((778, 3, 2))
    whole = np.concatenate([shape, more], axis=2)
    content["shapedirs"] = _object(
        _Select,
        a=chumpy(whole),
        idxs=np.arange(whole.size).reshape(whole.shape)[..., :10].reshape(-1),
        preferred_shape=shape.shape,
        _dirty_vars=set(),
        _itr=None,
        _depends_on_deps={},
    )
    matrix = content["J_regressor"]
    parts = {name: getattr(matrix, name) for name in ("data", "indices", "indptr")}
    content["J_regressor"] = _object(_CscMatrix, _shape=matrix.shape, maxprint=50, **parts)
    content["posedirs"] = np.asfortranarray(content["posedirs"])
    return content


def write(folder, writer="python2", protocol=2):
    """Write MANO_LEFT.pkl and MANO_RIGHT.pkl, as Python 2 did or another of `old_pickles.WRITERS`."""
    folder.mkdir(parents=True, exist_ok=True)
    for side, name in enumerate(("MANO_LEFT", "MANO_RIGHT")):
        (folder / f"{name}.pkl").write_bytes(old_pickles.dumps(original(side), writer, protocol))
    return folder
