"""The free hand, the default hand model: derived from CC0 assets and shipped in `assets/` (see NOTICE).

`tools/build_free_hand.py` rebuilds the assets from their named source.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from twohands.hands.model import HandModel

MESH_LEVELS = (63, 126, 252, 778, 1609)
"""Vertices of the nested meshes, coarse to fine; each level is a subset of the next."""
DEFAULT_LEVEL = 778


@cache
def free_hand_arrays() -> dict[str, np.ndarray]:
    """Return every array of the asset by name, floats as float32; `tools/build_free_hand.py` describes them."""
    with (files("twohands.hands") / "assets" / "free_hand.npz").open("rb") as stream, np.load(stream) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return {name: a.astype(np.float32) if a.dtype.kind == "f" else a for name, a in arrays.items()}


@cache
def free_hand(level: int = DEFAULT_LEVEL) -> HandModel:
    """Return the free hand with `level` vertices (one of MESH_LEVELS), float32 NumPy arrays."""
    if level not in MESH_LEVELS:
        raise ValueError(f"the free hand has no mesh of {level} vertices; choose one of {MESH_LEVELS}")
    arrays = free_hand_arrays()
    count = int(arrays["num_hand_vertices"])
    finest = level == count
    ids = np.arange(count) if finest else arrays[f"level_{level}"].astype(np.int64)
    faces = arrays["faces"][: int(arrays["num_hand_faces"])] if finest else arrays[f"level_{level}_faces"]
    weights = arrays["weights"][:count, :16] + arrays["weights"][:count, 16:] * np.eye(1, 16, dtype=np.float32)
    regressor = arrays["joint_regressor"]
    position = {int(vertex): index for index, vertex in enumerate(ids)}
    return HandModel(
        name="free",
        rest_vertices=arrays["vertices"][ids],
        rest_joints=regressor @ arrays["vertices"][:count],
        shape_directions=arrays["shape_directions"][ids],
        joint_directions=np.einsum("jv,vcs->jcs", regressor, arrays["shape_directions"][:count]),
        weights=(weights / weights.sum(axis=1, keepdims=True))[ids],
        right_faces=faces.astype(np.int64),
        tip_vertices=tuple(position[int(tip)] for tip in arrays["tip_vertices"]),
        joint_frames=arrays["joint_frames"],
        rest_angles=arrays["rest_angles"],
        limits=arrays["limits"],
    )


@dataclass(frozen=True)
class PosePrior:
    """A linear Gaussian over the anatomical angles of the 15 finger joints, and the named poses it was fitted to."""

    names: tuple[str, ...]
    library: np.ndarray  # (P, 16, 3) radians
    mean: np.ndarray  # (45,) radians
    components: np.ndarray  # (C, 45) radians, one standard deviation each


@cache
def pose_prior() -> PosePrior:
    """Return the free hand's pose library and pose PCA."""
    arrays = free_hand_arrays()
    names = tuple(str(name) for name in arrays["pose_names"])
    return PosePrior(names, arrays["pose_library"], arrays["pose_mean"], arrays["pose_components"])
