"""Read a user's MANO files. No pickle is executed, and neither chumpy nor any other old package is needed.

The original files were written by Python 2 under protocol 2. They ask for sets, objects of chumpy and a sparse matrix
of SciPy beside arrays; `array_pickles` lets these in as inert objects, and this module takes the numbers out of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from twohands.hands.array_pickles import Inert, read_pickle
from twohands.hands.skeleton import FINGER_NAMES

FILE_NAMES = ("MANO_LEFT", "MANO_RIGHT")
NUM_VERTICES, NUM_SHAPE = 778, 10
_FINGERS = ("index", "middle", "little", "ring", "thumb")  # the order of MANO's joints after the wrist
ORDER = (0, *(1 + 3 * _FINGERS.index(finger) + part for finger in FINGER_NAMES for part in range(3)))
"""MANO's number of each of our 16 articulated joints."""
_SHAPES = {
    "v_template": (NUM_VERTICES, 3),
    "shapedirs": (NUM_VERTICES, 3, NUM_SHAPE),
    "posedirs": (NUM_VERTICES, 3, 135),
    "J_regressor": (16, NUM_VERTICES),
    "weights": (NUM_VERTICES, 16),
    "hands_mean": (45,),
    "hands_components": (45, 45),
}


@dataclass(frozen=True)
class ManoSide:
    """One hand as its file has it: metres, MANO's own axes; joints in the order of our 16 articulated ones."""

    vertices: np.ndarray  # (778, 3)
    faces: np.ndarray  # (F, 3)
    shape_directions: np.ndarray  # (778, 3, 10)
    pose_directions: np.ndarray  # (778, 3, 15, 3, 3): per entry of the rotation of a joint less the identity
    regressor: np.ndarray  # (16, 778)
    weights: np.ndarray  # (778, 16)
    mean_pose: np.ndarray  # (15, 3) axis-angle of the mean pose about the flat hand
    pose_components: np.ndarray  # (45, 15, 3) principal components, the first explains most


@dataclass(frozen=True)
class Mano:
    """Both hands; index LEFT or RIGHT."""

    sides: tuple[ManoSide, ManoSide]
    folder: Path


def read_mano(folder: str | Path) -> Mano:
    """Read the files MANO_LEFT and MANO_RIGHT of a folder, .npz (written by `save_npz`) or the original .pkl.

    Raises FileNotFoundError when one is missing, and ValueError when a file is not what it should be.
    """
    folder = Path(folder)
    sides = []
    for name in FILE_NAMES:
        path = next((p for p in (folder / f"{name}.npz", folder / f"{name}.pkl") if p.is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"{folder} has no {name}.pkl; register at https://mano.is.tue.mpg.de, download the models and "
                "give the folder mano_v1_2/models"
            )
        sides.append(side_of(read_arrays(path), path))
    return Mano((sides[0], sides[1]), folder)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the named arrays of one file, as they are stored. Raises ValueError for files that hold something else."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            found = {name: archive[name] for name in archive.files}
    else:
        with path.open("rb") as stream:
            found = read_pickle(stream, str(path))
        if not isinstance(found, dict):
            raise ValueError(f"{path} holds a {type(found).__name__}, not the dictionary of a MANO file")
    missing = [name for name in (*_SHAPES, "f") if name not in found]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; is it the original MANO file?")
    arrays = {}
    for name in (*_SHAPES, "f"):
        try:
            arrays[name] = _dense(found[name])
        except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
            raise ValueError(
                f"{path}: {name} is not an array of numbers ({error}); is it the original MANO file?"
            ) from error
    return arrays


def save_npz(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Store the arrays of `read_arrays` without a pickle."""
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def side_of(arrays: dict[str, np.ndarray], path: Path) -> ManoSide:
    """Return the arrays of a file in our order of joints. Raises ValueError when a shape is wrong."""
    for name, shape in _SHAPES.items():
        found = arrays[name][..., :NUM_SHAPE] if name == "shapedirs" else arrays[name]  # some files have more
        if found.shape != shape:
            raise ValueError(f"{path}: {name} has shape {arrays[name].shape}, expected {shape}")
    faces = arrays["f"]
    if faces.shape[1:] != (3,) or faces.dtype.kind not in "iu" or not ((faces >= 0) & (faces < NUM_VERTICES)).all():
        raise ValueError(f"{path}: f does not hold triangles of {NUM_VERTICES} vertices; is it the original MANO file?")
    order, fingers = list(ORDER), [joint - 1 for joint in ORDER[1:]]
    as64 = {name: np.asarray(arrays[name], dtype=np.float64) for name in _SHAPES}
    return ManoSide(
        vertices=as64["v_template"],
        faces=faces.astype(np.int64),
        shape_directions=as64["shapedirs"][..., :NUM_SHAPE],
        pose_directions=as64["posedirs"].reshape(NUM_VERTICES, 3, 15, 3, 3)[:, :, fingers],
        regressor=as64["J_regressor"][order],
        weights=as64["weights"][:, order],
        mean_pose=as64["hands_mean"].reshape(15, 3)[fingers],
        pose_components=as64["hands_components"].reshape(45, 15, 3)[:, fingers],
    )


def _dense(value: Any) -> np.ndarray:
    """Return a plain array of numbers from an array, a sparse matrix or what chumpy wraps around one."""
    if isinstance(value, Inert):
        state = value.state if isinstance(value.state, dict) else {}
        if "x" in state:  # chumpy.ch.Ch
            return _dense(state["x"])
        if {"a", "idxs", "preferred_shape"} <= set(state):  # chumpy.reordering.Select
            return _dense(state["a"]).reshape(-1)[_dense(state["idxs"])].reshape(state["preferred_shape"])
        if {"data", "indices", "indptr"} <= set(state):  # scipy.sparse.csc_matrix
            data, indices, columns = (_dense(state[name]) for name in ("data", "indices", "indptr"))
            matrix = sparse.csc_array((data, indices, columns), shape=state.get("_shape", state.get("shape")))
            matrix.check_format(full_check=True)  # an index beyond the shape would be written beyond the array
            return matrix.toarray()
        raise ValueError("it is wrapped in an unknown object")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"it holds {array.dtype}")
    return array
