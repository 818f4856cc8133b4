"""Find cameras among the named values of a file, however their programs spell the names.

`cameras_in` returns each camera with the names of `NAMES`: K, P, fx, fy, cx, cy, width, height, depth_scale and those
of lens distortion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

_SPELLINGS = {
    "K": "intrinsic_matrix k camera_matrix cam_k intrinsics intrinsic mtx intrinsics_matrix intrinsic_mat camera_k "
    "cam_matrix cam_mat cam_mtx kk k_matrix intr cam_intr cam_intrinsic cam_intrinsics camera_intrinsic "
    "camera_intrinsics camera_mat",
    "P": "p projection_matrix",
    "fx": "fx fl_x focal_x focal_length_x",
    "fy": "fy fl_y focal_y focal_length_y",
    "cx": "cx ppx px u0 x0 mx principal_x principal_point_x center_x centre_x optical_center_x",
    "cy": "cy ppy py v0 y0 my principal_y principal_point_y center_y centre_y optical_center_y",
    "focal": "focal focal_length focal_lengths f fc",
    "center": "principal_point princpt principal center centre c cc pp optical_center",
    "width": "width image_width w img_width resolution_width",
    "height": "height image_height h img_height resolution_height",
    "size": "size image_size img_size resolution image_resolution",
    "depth_scale": "depth_scale png_depth_scale depth_factor depth_map_factor",
    "D": "d coeffs coefficients distortion_coefficients distortion_coeffs distortion_coeff distortion_coefs "
    "dist_coeffs dist_coefs dist kc",
    "distortion": "distortion",
    "distortion_model": "distortion_model",
    "camera_model": "camera_model",
    "model": "model",
    "is_fisheye": "is_fisheye",
    **{name: name for name in ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")},
}
"""Spellings of each name, the usual first, in lower case with _ between words; capitals and signs do not count."""
NAMES = {spelling.replace("_", ""): name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()}
_ORDER = {spelling: place for place, spelling in enumerate(NAMES)}
ATTRIBUTES = ("intrinsic_matrix", "K", "k", "P", "p", "fx", "fy", "cx", "cy", "ppx", "ppy", "width", "height") + (
    *("D", "d", "coeffs", "distortion_model", "model", "depth_scale"),
)
"""Attributes of the objects of SDKs: pyrealsense2, Open3D, and CameraInfo of ROS 1 and 2."""
_OF_A_CAMERA = ("K", "P", "fx", "fy", "cx", "cy", "focal", "center")
"""Names that are of one camera; the others hold for the cameras in the parts of a file as well."""
_MATRIX_SIZES = (4, 9, 12, 16)
"""Numbers of a matrix: fx, fy, cx, cy, or 3x3, 3x4, 4x4."""
MOST_NESTED = 4
"""Levels of parts of a file in which cameras are searched."""


def cameras_in(values: Any, shared: Mapping[str, Any] | None = None, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the cameras of nested dictionaries and lists by their names; each is a dictionary with names of NAMES.

    What is beside or around a camera, like the image size, holds for it too.
    """
    if isinstance(values, list | tuple) and any(isinstance(part, Mapping | list | tuple) for part in values):
        values = dict(enumerate(values))
    if not isinstance(values, Mapping) or len(path) > MOST_NESTED:
        return {}
    groups = _groups(values)
    own = dict(shared or {}) | groups.pop("", {})
    if _is_camera(own):
        return {".".join(path): own}
    found = {".".join((*path, name)): own | group for name, group in groups.items() if _is_camera(group)}
    around = {name: value for name, value in own.items() if name not in _OF_A_CAMERA}
    for name, part in values.items():
        found |= cameras_in(part, around, (*path, str(name)))
    return found


def is_name(key: str) -> bool:
    """Return whether a key means one of NAMES, without those that also stand for things other than a camera."""
    known = _known(key)
    return known is not None and not known[1] and known[0] not in ("focal", "center", "size")


def common_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values whose names are known, by the names of NAMES."""
    return _groups(values).get("", {})


def numbers_of(value: Any) -> Any:
    """Return the numbers of a matrix or of coefficients, which may be in a dictionary or a text."""
    if isinstance(value, Mapping):
        value = next((value[name] for name in ("data", "values") if name in value), None)
    return value.replace(",", " ").split() if isinstance(value, str) else value


def _groups(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the known values of a dictionary, those in whose names is something else (`fx_color`) by what it is."""
    groups: dict[str, dict[str, Any]] = {}
    places: dict[tuple[str, str], int] = {}
    for key, value in values.items():
        known = _known(str(key))
        if known is None or value is None:
            continue
        name, rest, place = known
        if name in ("K", "P"):
            if not _is_matrix(value):
                continue
            rest = str(key) if rest else ""
        if place < places.get((rest, name), len(_ORDER)):
            groups.setdefault(rest, {})[name] = value
            places[rest, name] = place
    return groups


def words_in(name: str) -> list[str]:
    """Return the words of a name in lower case, also of one in camel case."""
    return re.findall(r"[a-z0-9]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def _known(key: str) -> tuple[str, str, int] | None:
    """Return the name that a key means, the words in it that are not of that name, and the place of its spelling."""
    words = words_in(key)
    if (whole := "".join(words)) in NAMES:
        return NAMES[whole], "", _ORDER[whole]
    for length in range(len(words) - 1, 0, -1):
        for start in range(len(words) - length + 1):
            part = "".join(words[start : start + length])
            if part in NAMES:
                return NAMES[part], "_".join(words[:start] + words[start + length :]), _ORDER[part]
    return None


def _is_matrix(value: Any) -> bool:
    try:
        return np.asarray(numbers_of(value), np.float64).size in _MATRIX_SIZES
    except (TypeError, ValueError):
        return False


def _is_camera(values: Mapping[str, Any]) -> bool:
    focal = "focal" in values or {"fx", "fy"} <= set(values)
    return "K" in values or "P" in values or (focal and ("center" in values or {"cx", "cy"} <= set(values)))
