"""Read a user's camera intrinsics from files, text, numbers or objects, and check that they can belong to the image.

Every reader raises FileNotFoundError or ValueError with one sentence that names the file and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twohands.files import effective_depth_unit, existing
from twohands.geometry.distortion import Lens, kind_of, lens_of
from twohands.geometry.usual_camera import FOCAL_RANGE, FOUR, remedy
from twohands.spellings import ATTRIBUTES, cameras_in, common_names, numbers_of
from twohands.values import numbers_in, read_values

INTRINSICS_HELP = "give a 3x3 text file, fx fy cx cy, or the JSON or YAML of Open3D, RealSense or ROS"
DISTORTION_NAMES = ("D", "distortion")
POLYNOMIAL_NAMES = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
"""Names of the coefficients in OpenCV's order."""
MODEL_NAMES = ("distortion_model", "distortion", "camera_model", "model")
LARGEST_SKEW = 1e-3
"""Largest skew that is ignored, as a fraction of the focal length: below half a pixel in the image's corners."""


@dataclass(frozen=True)
class Intrinsics:
    """Intrinsics of a camera, with the image size for which they hold and the step of its depth, if known."""

    matrix: np.ndarray  # (3, 3) float32 pixels
    size: tuple[int, int] | None = None  # width, height
    depth_unit: float | None = None  # metres per step of integer depth
    lens: Lens | None = None  # distortion of the images as they are given, None for a pinhole camera

    def of_image(self, width: int, height: int) -> np.ndarray:
        """Return the matrix (3, 3); raise ValueError if it cannot belong to an image of `width` x `height` pixels."""
        if self.size is not None and self.size != (width, height):
            raise ValueError(
                f"colour is {width}x{height} but the intrinsics are of {self.size[0]}x{self.size[1]} pixels; "
                "give those of this resolution (all frames of a folder must have the same one)"
            )
        return check_intrinsics(self.matrix, width, height)

    def unit_of(self, depth: np.ndarray, given: float | None = None) -> float:
        """Return metres per step of a depth array: `given`, or else for integers the unit stated with the intrinsics,
        or else the usual one.
        """
        stated = self.depth_unit if given is None and depth.dtype.kind != "f" else given
        return effective_depth_unit(depth, stated)


def read_intrinsics(source: Any) -> Intrinsics:
    """Read intrinsics from a file, from text like "fx,fy,cx,cy", from numbers, a dictionary or an object.

    Numbers are a matrix, or fx, fy, cx, cy, optionally with the image's width and height before or after them. A file
    contains them as text, with comments after #, or as .npy or .npz, or names them: JSON, YAML or XML of Open3D,
    RealSense, ROS, OpenCV, Record3D and others, lines such as `fx = 600`, or a table. A dictionary has the names of
    such a file, an object has them as attributes: the intrinsics of pyrealsense2 and Open3D, and CameraInfo of ROS.
    """
    if isinstance(source, Intrinsics):
        return source
    if isinstance(source, str) and (numbers := numbers_in(source)) is not None and numbers.size > 1:
        source = numbers
    if not isinstance(source, str | Path):
        return _intrinsics(source)
    path = existing(source, "intrinsics", ", or give fx,fy,cx,cy")
    values = read_values(path, INTRINSICS_HELP)
    try:
        return _intrinsics(values)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def intrinsics_matrix(values: Any) -> np.ndarray:
    """Return the matrix (3, 3) float32 in pixels from fx, fy, cx, cy, or from a matrix (3, 3), (3, 4) or (4, 4).

    A matrix may also be a row of numbers, and 3x3 column by column, as Open3D, Record3D and ARKit write it. Several
    matrices must be equal.
    """
    array = _floats(values)
    if array.ndim == 3 and len(array):
        if np.any(array != array[0]):
            raise ValueError(
                f"there are {len(array)} matrices of intrinsics that are not equal; give the one of the images"
            )
        array = array[0]
    if not array.size:
        raise ValueError(f"there are no numbers in it; {INTRINSICS_HELP}")
    flat = array.ndim == 1 or array.shape == (1, 9)
    if array.shape == (4,):
        fx, fy, cx, cy = array
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float32)
    if array.size == 9 and (flat or array.shape == (3, 3)):
        matrix = array.reshape(3, 3)
        by_columns = matrix[2, :2].any() and not matrix[:2, 2].any()
        return (matrix.T if by_columns else matrix).astype(np.float32)
    if array.size in (12, 16) and (flat or array.shape in ((3, 4), (4, 4))):
        rows = array.reshape(-1, 4)
        if np.any(rows[:3, 3]) or np.any(rows[3:] != (0, 0, 0, 1)):
            raise ValueError(
                f"a {len(rows)}x4 matrix of intrinsics must be K with zeros (and a one) around it; got {_shown(rows)}; "
                "give the colour camera's K: neither a pose nor the projection of a stereo pair's second camera"
            )
        return rows[:3, :3].astype(np.float32)
    raise ValueError(f"intrinsics have shape {array.shape}; {INTRINSICS_HELP}")


def check_intrinsics(matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return `matrix` (3, 3); raise ValueError if it cannot belong to an image of `width` x `height` pixels."""
    (fx, _, cx), (_, fy, cy) = _check_form(matrix)[:2].tolist()
    low, high = FOCAL_RANGE
    for name, focal in (("fx", fx), ("fy", fy)):
        if not low * width <= focal <= high * width:
            otherwise = "give the colour camera's intrinsics in pixels"
            raise ValueError(
                f"focal length {name} = {focal:g} px is not possible for an image {width} px wide "
                f"(expected {low * width:.0f} to {high * width:.0f}); {remedy(matrix, width, height) or otherwise}"
            )
    if not (-fx <= cx <= width + fx and -fy <= cy <= height + fy):  # a crop may put it outside the image
        otherwise = "give the intrinsics of this image"
        raise ValueError(
            f"the principal point ({cx:g}, {cy:g}) lies far outside the {width}x{height} image; "
            f"{remedy(matrix, width, height) or otherwise}"
        )
    return matrix


def _check_form(matrix: np.ndarray) -> np.ndarray:
    """Return `matrix`; raise ValueError if it cannot be the intrinsics of any image."""
    if matrix.shape != (3, 3):
        raise ValueError(f"intrinsics have shape {matrix.shape}; {INTRINSICS_HELP}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"intrinsics contain values that are not finite; {INTRINSICS_HELP}")
    if not matrix[:2].any():
        raise ValueError(
            "the camera is not calibrated: its K is zero everywhere; calibrate it, or give the fx,fy,cx,cy of the "
            "colour stream that its maker's software reports"
        )
    (fx, skew, _), (zero, fy, _) = matrix[:2].tolist()
    if abs(zero) > 1e-3 or not np.allclose(matrix[2], (0, 0, 1), atol=1e-4):
        why = " (transposed?)" if matrix[2, :2].any() else ""
        raise ValueError(f"intrinsics must look like [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; got {_shown(matrix)}{why}")
    if abs(skew) > LARGEST_SKEW * abs(fx):
        raise ValueError(
            f"the skew K[0, 1] = {skew:g} px cannot be used; calibrate without skew, or warp the images to a K without "
            "it and give that K"
        )
    if fx < 0:
        raise ValueError(
            f"the focal length fx = {fx:g} px is negative, as of a mirrored image or a camera that looks along -z; "
            f"give fx as {-fx:g} and pictures that are not mirrored"
        )
    if fy < 0:
        raise ValueError(
            f"the focal length fy = {fy:g} px is negative, as of a camera whose y axis points up (OpenGL, Blender); "
            f"give fy as {-fy:g} and cy in pixels from the image's top row"
        )
    return matrix


def _shown(matrix: np.ndarray) -> str:
    return np.array2string(matrix, precision=1, separator=", ", suppress_small=True).replace("\n", "")


def _floats(values: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"intrinsics are not numbers: {values!r}; {INTRINSICS_HELP}") from None


def _intrinsics(values: Any) -> Intrinsics:
    """Convert a matrix, or fx, fy, cx, cy, with or without width, height before or after, or named values."""
    if not isinstance(values, Mapping | list | np.ndarray):
        attributes = {name: getattr(values, name) for name in ATTRIBUTES if hasattr(values, name)}
        values = attributes if cameras_in(attributes) else values
    if isinstance(values, Mapping) or (isinstance(values, list) and cameras_in(values)):
        return _only_camera(values)
    array = _floats(values)
    if array.shape in ((6,), (11,)):  # COLMAP and others; H2O
        candidates = [(array[:2], intrinsics_matrix(array[2:])), (array[-2:], intrinsics_matrix(array[:-2]))]
        pair, matrix = min(candidates, key=lambda pair: _from_middle(*pair))
        return Intrinsics(_check_form(matrix), _image_size(pair))
    return Intrinsics(_check_form(intrinsics_matrix(array)))


def _from_middle(size: Any, matrix: np.ndarray) -> float:
    """Return the distance of the principal point from the middle of an image of width and height `size`, in sizes."""
    return float(np.abs(matrix[:2, 2] / np.maximum(_floats(size), 1e-9) - 0.5).max())


def _image_size(values: Any) -> tuple[int, int]:
    width, height = _floats(values).tolist()
    if not (width.is_integer() and height.is_integer() and width > 0 and height > 0):
        raise ValueError(
            f"the intrinsics are stated to be for an image of {width:g}x{height:g} pixels; {INTRINSICS_HELP}"
        )
    return int(width), int(height)


def _only_camera(values: Any) -> Intrinsics:
    """Return the camera of nested dictionaries and lists; several are accepted when they have one matrix."""
    parts = cameras_in(values)
    if not parts:
        names = [str(name) for name in values] if isinstance(values, Mapping) else []
        among = f" among {', '.join(names[:6])}" if names else ""
        raise ValueError(f"found no intrinsic_matrix, K, camera_matrix or fx, fy, cx, cy{among}; {INTRINSICS_HELP}")
    matrices = {name: _matrix_of(part) for name, part in parts.items()}
    first = next(iter(matrices.values()))
    if any(not np.array_equal(matrix, first, equal_nan=True) for matrix in matrices.values()):
        raise ValueError(_several(matrices, parts))
    part, matrix = next(iter(parts.values())), _check_form(first)
    scale = part.get("depth_scale")
    return Intrinsics(matrix, _size_of(part, matrix), None if scale is None else _step(scale), _lens(part))


def _several(matrices: Mapping[str, np.ndarray], parts: Mapping[str, Any]) -> str:
    """Return the sentence about a file with several cameras, with the numbers of the one that is named for colour, if
    they are all there is about it.
    """
    names = list(matrices)
    rest = f" and {len(names) - 5} more" if len(names) > 6 else ""
    colour = [name for name in names if re.search("rgb|colou?r", name, re.IGNORECASE)]
    numbers = ""
    with suppress(ValueError):
        if len(colour) == 1 and _lens(parts[colour[0]]) is None:
            numbers = ",".join(f"{matrices[colour[0]][at]:g}" for at in FOUR)
    return (
        f"found several cameras: {', '.join(names[: 5 if rest else 6])}{rest}; give the colour camera's part, in a "
        f"file of its own or as fx,fy,cx,cy{f' ({colour[0]}: {numbers})' if numbers else ''}"
    )


def _matrix_of(values: Mapping[str, Any]) -> np.ndarray:
    matrix = next((numbers_of(values[name]) for name in ("K", "P") if name in values), None)
    focal, center = values.get("focal"), values.get("center")
    if matrix is not None and (np.size(matrix) > 4 or focal is None or center is None):
        return intrinsics_matrix(matrix)
    fx, fy = (values["fx"], values["fy"]) if focal is None else np.broadcast_to(_floats(focal).ravel(), 2)
    cx, cy = (values["cx"], values["cy"]) if center is None else _floats(center).ravel()
    return intrinsics_matrix([fx, fy, cx, cy])


def _size_of(values: Mapping[str, Any], matrix: np.ndarray) -> tuple[int, int] | None:
    """Return the image size of named values; of two numbers the order that has the principal point in the middle."""
    size = values.get("size")
    values = {**values, **common_names(size)} if isinstance(size, Mapping) else values
    if values.get("width") and values.get("height"):
        return _image_size([values["width"], values["height"]])
    if isinstance(size, list | tuple | np.ndarray) and np.size(size) == 2:
        pair = _floats(size).ravel()
        return _image_size(min(pair, pair[::-1], key=lambda pair: _from_middle(pair, matrix)))
    return None


def _lens(values: Mapping[str, Any]) -> Lens | None:
    """Return the lens of named values, None if they have no distortion; raise ValueError if it cannot be undone."""
    for name in DISTORTION_NAMES:
        found = values.get(name)
        if isinstance(found, Mapping) and numbers_of(found) is None:
            return _lens({**{key: value for key, value in values.items() if key != name}, **common_names(found)})
    model = _lens_model(values)
    given = [numbers_of(values[name]) for name in DISTORTION_NAMES if not isinstance(values.get(name, ""), str)]
    coefficients = next(
        (numbers.tolist() for numbers in (_floats(value).ravel() for value in given) if numbers.size), []
    )
    if not coefficients:
        named = [float(_floats(values.get(name, 0))) for name in POLYNOMIAL_NAMES]
        fisheye = model is not None and kind_of(model) == "fisheye"
        if named[5] and not any(named[6:]) and model is None:
            raise ValueError(
                "lens distortion has k4 but neither k5, k6 nor a model; add distortion_model: rational_polynomial or "
                "equidistant"
            )
        coefficients = [named[0], named[1], named[4], named[5]] if fisheye else named
        if model is not None and kind_of(model) in ("modified", "inverse"):
            coefficients = named[:5]
    lens = lens_of(model, coefficients)
    if lens is not None and "P" in values and not {"K", "fx", "focal"} & set(values):
        raise ValueError(
            "lens distortion is given with P but without K, and P is of images without distortion; give K for the "
            "camera's own images, or only P for rectified ones"
        )
    return lens


def _lens_model(values: Mapping[str, Any]) -> str | None:
    """Return the name of the lens model; names that are none count only where they are said to be one."""
    if values.get("is_fisheye") is True:
        return "fisheye"
    names = {key: str(values[key]) for key in MODEL_NAMES if values.get(key) is not None}
    if not isinstance(values.get("distortion"), str):
        names.pop("distortion", None)  # coefficients
    known = next((name for name in names.values() if kind_of(name) is not None), None)
    return known or names.get("distortion_model") or None


def _step(scale: Any) -> float:
    """Return metres per step from a depth scale: steps per metre (Open3D, 1000), metres per step (RealSense, 0.001),
    or between the two millimetres per step (BOP, 0.1).
    """
    value = float(_floats(scale)) if np.size(scale) == 1 else np.nan
    if not 0 < value < np.inf:
        raise ValueError(f"depth_scale is {scale!r}, not a positive number; correct it or remove it")
    return 1 / value if value > 50 else value if value < 0.05 else value / 1000
