"""Reader of a user's MANO files. No pickle is executed, and neither chumpy nor any other old package is needed.

A pickle is a program. `read_pickle` runs it with a machine that knows only the few constructors that arrays are made
of; whatever else a file asks for is refused by name.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from scipy import sparse

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
    """The files MANO_LEFT and MANO_RIGHT of a folder, .npz (written by `save_npz`) or the original .pkl.

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
    """The named arrays of one file, as they are stored. Raises ValueError for files that hold something else."""
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
    return {name: _dense(found[name], f"{path}: {name}") for name in (*_SHAPES, "f")}


def save_npz(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Stores the arrays of `read_arrays` without a pickle."""
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def side_of(arrays: dict[str, np.ndarray], path: Path) -> ManoSide:
    """The arrays of a file in our order of joints. Raises ValueError when a shape is wrong."""
    for name, shape in _SHAPES.items():
        found = arrays[name][..., :NUM_SHAPE] if name == "shapedirs" else arrays[name]  # some files have more
        if found.shape != shape:
            raise ValueError(f"{path}: {name} has shape {arrays[name].shape}, expected {shape}")
    order, fingers = list(ORDER), [joint - 1 for joint in ORDER[1:]]
    as64 = {name: np.asarray(arrays[name], dtype=np.float64) for name in _SHAPES}
    return ManoSide(
        vertices=as64["v_template"],
        faces=np.asarray(arrays["f"], dtype=np.int64),
        shape_directions=as64["shapedirs"][..., :NUM_SHAPE],
        pose_directions=as64["posedirs"].reshape(NUM_VERTICES, 3, 15, 3, 3)[:, :, fingers],
        regressor=as64["J_regressor"][order],
        weights=as64["weights"][:, order],
        mean_pose=as64["hands_mean"].reshape(15, 3)[fingers],
        pose_components=as64["hands_components"].reshape(45, 15, 3)[:, fingers],
    )


class _Inert:
    """Takes the place of an object whose class is not needed: keeps what it would have been made of."""

    def __init__(self, *arguments: Any):
        self.arguments = arguments

    def __setstate__(self, state: Any) -> None:
        self.state = state


_ARRAY_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_INERT_MODULES = ("chumpy.", "scipy.sparse")
_HARMLESS = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
}


class _RefusedError(Exception):
    """A pickle asks for something that is not an array."""


_DAMAGE = (EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError, MemoryError)


class ArrayUnpickler(pickle.Unpickler):
    """Builds arrays and inert stand-ins; refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        """The constructor that a pickle names. Raises _RefusedError unless it only makes arrays."""
        if module in _ARRAY_MODULES and name in ("_reconstruct", "scalar"):
            return getattr(np._core.multiarray, name)  # type: ignore[attr-defined]
        if (module, name) == ("_codecs", "encode"):  # protocol 2 writes bytes as the Latin-1 encoding of text
            return _encode
        if (module, name) in _HARMLESS:
            return _HARMLESS[module, name]
        if (module, name) in (("copy_reg", "_reconstructor"), ("copyreg", "_reconstructor")):
            return _reconstructor
        if module.startswith(_INERT_MODULES):
            return _Inert
        raise _RefusedError(f"{module}.{name}")


def read_pickle(stream: BinaryIO, name: str, unpickler: type[pickle.Unpickler] = ArrayUnpickler) -> Any:
    """What a pickle of arrays holds; objects of chumpy and scipy come back as stand-ins that `_dense` understands.

    Raises ValueError, naming the file, for a damaged pickle and for one that asks for anything but arrays, or what else
    `unpickler` knows.
    """
    try:
        return unpickler(stream, encoding="latin1").load()
    except _RefusedError as error:
        raise ValueError(f"{name} asks for {error}, which no file of arrays needs; it was not executed") from error
    except (pickle.UnpicklingError, *_DAMAGE) as error:
        raise ValueError(f"{name} is damaged or not a pickle of arrays ({error}); download it again") from error


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _RefusedError(f"_codecs.encode with {encoding}")
    return text.encode("latin1")


def _reconstructor(kind: Any, base: Any, state: Any) -> Any:
    if kind is not _Inert:
        raise _RefusedError(f"copyreg._reconstructor of {kind}")
    return _Inert(base, state)


def _dense(value: Any, name: str) -> np.ndarray:
    """A plain array of numbers from an array, a sparse matrix or what chumpy wraps around one."""
    if isinstance(value, _Inert):
        state = getattr(value, "state", None)
        if isinstance(state, dict):
            if "x" in state:  # chumpy.ch.Ch
                return _dense(state["x"], name)
            if {"a", "idxs", "preferred_shape"} <= set(state):  # chumpy.reordering.Select
                flat = _dense(state["a"], name).reshape(-1)
                return flat[np.asarray(state["idxs"])].reshape(state["preferred_shape"])
            if {"data", "indices", "indptr"} <= set(state):  # scipy.sparse.csc_matrix
                shape = state.get("_shape", state.get("shape"))
                return sparse.csc_array((state["data"], state["indices"], state["indptr"]), shape=shape).toarray()
        raise ValueError(f"{name} is wrapped in an unknown object; is it the original MANO file?")
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {array.dtype}, not numbers")
    return array
