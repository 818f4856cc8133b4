"""Read a user's camera intrinsics from files, text, numbers or objects, and check that they can belong to the image.

Every reader raises FileNotFoundError or ValueError with one sentence that names the file and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twohands.files import effective_depth_unit, existing, numbers_in, read_values
from twohands.geometry.distortion import Lens, kind_of, lens_of

INTRINSICS_HELP = "give a 3x3 text file, fx fy cx cy, or the JSON or YAML of Open3D, RealSense or ROS"
MATRIX_KEYS = (
    *("intrinsic_matrix", "K", "k", "camera_matrix", "cameraMatrix", "cam_K", "intrinsics", "intrinsic", "mtx"),
    *("P", "projection_matrix"),
)
"""Names of the matrix: Open3D, ROS messages (both cases), ROS and OpenCV calibrations, BOP, own files; the last two are
the projections (3, 4) of ROS, for images without distortion.
"""
CAMERA_NAME = re.compile(r"(^|_)(K|k|intrinsics?|intrinsic_matrix|camera_matrix)(_|$)")
"""Pattern of names such as K_color or depth_intrinsics, for matrices of several cameras beside each other."""
VALUE_KEYS = (("fx", "fy", "cx", "cy"), ("fx", "fy", "ppx", "ppy"), ("fl_x", "fl_y", "cx", "cy"))
SIZE_KEYS = (("width", "height"), ("image_width", "image_height"), ("w", "h"))
DISTORTION_KEYS = ("D", "d", "coeffs", "coefficients", "distortion_coefficients", "distortion_coeffs", "distortion") + (
    *("dist_coeffs", "distCoeffs", "dist"),
)
POLYNOMIAL_KEYS = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
"""Names of the coefficients in OpenCV's order."""
MODEL_KEYS = ("distortion_model", "distortion", "camera_model", "model")
SHARED_KEYS = (
    *("depth_scale", *(name for names in SIZE_KEYS for name in names)),
    *(*DISTORTION_KEYS, *POLYNOMIAL_KEYS, *MODEL_KEYS, "is_fisheye"),
)
"""Names that hold for the cameras in the parts of a file as well."""
ALL_KEYS = {*MATRIX_KEYS, *SHARED_KEYS, *(name for names in VALUE_KEYS for name in names)}
MOST_NESTED = 4
"""Levels of parts of a file in which cameras are searched."""
FOCAL_RANGE = (0.2, 10.0)
"""Smallest and largest possible focal length in image widths: 136 and 6 degrees of view."""
LARGEST_SKEW = 1e-3
"""Largest skew that is ignored, as a fraction of the focal length: below half a pixel in the image's corners."""
LEAST_UNEQUAL = 0.03
"""Smallest relative difference of fx and fy that no camera with square pixels has."""
LEAST_OFF_CENTRE = 0.07
"""Smallest distance of the principal point from the middle, in image widths along either axis, that is unusual."""
USUAL_FOCAL = (0.3, 2.0)
"""Focal lengths of depth cameras in image widths: 118 and 28 degrees of view."""
ORDERS = {"fx,cx,fy,cy": (0, 2, 1, 3), "cx,cy,fx,fy": (2, 3, 0, 1)}
"""Wrong orders of the four numbers, and the places at which fx, fy, cx and cy are among them."""


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
    contains them as text, with comments after #, or as .npy or .npz, or is JSON or YAML of Open3D, RealSense, ROS,
    OpenCV or Record3D. A dictionary has the names of such a file, an object has them as attributes: the intrinsics of
    pyrealsense2 and Open3D, and CameraInfo of ROS.
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

    A matrix may also be a row of numbers, nine of them also column by column, as Open3D and Record3D write it.
    """
    array = _floats(values)
    flat = array.ndim == 1 or array.shape == (1, 9)
    if array.shape == (4,):
        fx, fy, cx, cy = array
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float32)
    if array.size == 9 and (flat or array.shape == (3, 3)):
        matrix = array.reshape(3, 3)
        by_columns = flat and matrix[2, :2].any() and not matrix[:2, 2].any()
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
            _refuse_other_order(matrix, width, height)
            raise ValueError(
                f"focal length {name} = {focal:g} px is not possible for an image {width} px wide "
                f"(expected {low * width:.0f} to {high * width:.0f}); give the colour camera's intrinsics in pixels"
            )
    if not (-fx <= cx <= width + fx and -fy <= cy <= height + fy):  # a crop may put it outside the image
        _refuse_other_order(matrix, width, height)
        raise ValueError(
            f"the principal point ({cx:g}, {cy:g}) lies far outside the {width}x{height} image; "
            "give the intrinsics of this image"
        )
    return matrix


def order_of(matrix: np.ndarray, width: int, height: int) -> str | None:
    """Return the order of ORDERS in which the numbers of an unusual `matrix` would be a usual camera's, else None."""
    numbers = [float(matrix[place]) for place in ((0, 0), (1, 1), (0, 2), (1, 2))]
    if _is_usual(numbers, width, height):
        return None
    fits = (name for name, places in ORDERS.items() if _is_usual([numbers[at] for at in places], width, height))
    return next(fits, None)


def order_sentence(order: str, matrix: np.ndarray, width: int, height: int) -> str:
    """Return the sentence about intrinsics whose numbers are in another order than fx, fy, cx, cy."""
    fx, fy, cx, cy = (f"{matrix[place]:g}" for place in ((0, 0), (1, 1), (0, 2), (1, 2)))
    return (
        f"fx, fy = {fx}, {fy} and cx, cy = {cx}, {cy} px are not plausible for {width}x{height} pixels, but the four "
        f"numbers would be in the order {order}; give them as fx,fy,cx,cy"
    )


def off_centre(center: Sequence[float], width: int, height: int) -> float:
    """Return the distance of a principal point from the middle, in image widths along the worse axis."""
    return max(abs(center[0] - (width - 1) / 2), abs(center[1] - (height - 1) / 2)) / width


def _is_usual(numbers: Sequence[float], width: int, height: int) -> bool:
    fx, fy, *center = numbers
    low, high = FOCAL_RANGE
    square = abs(fx - fy) <= LEAST_UNEQUAL * max(fx, fy)
    return low * width <= fx <= high * width and square and off_centre(center, width, height) <= LEAST_OFF_CENTRE


def _refuse_other_order(matrix: np.ndarray, width: int, height: int) -> None:
    order = order_of(matrix, width, height)
    if order is not None:
        raise ValueError(order_sentence(order, matrix, width, height))


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
        raise ValueError(
            f"intrinsics must look like [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; got {_shown(matrix)} (transposed?)"
        )
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
    """Convert a matrix, or fx, fy, cx, cy with or without width, height before or after, or named values."""
    if not isinstance(values, Mapping | list | np.ndarray):
        attributes = {name: getattr(values, name) for name in ALL_KEYS if hasattr(values, name)}
        values = attributes if _holds_camera(attributes) else values
    if isinstance(values, Mapping) or (isinstance(values, list) and any(isinstance(part, Mapping) for part in values)):
        return _only_camera(values)
    array = _floats(values)
    size = None
    if array.shape == (6,):
        # the image size is the pair that puts the principal point near the image's middle
        candidates = [(array[:2], array[2:]), (array[4:], array[:4])]  # COLMAP and others; H2O
        pair = min(candidates, key=lambda pair: np.abs(pair[1][2:] / np.maximum(pair[0], 1e-9) - 0.5).max())
        size, array = _image_size(pair[0]), pair[1]
    return Intrinsics(_check_form(intrinsics_matrix(array)), size)


def _image_size(values: Any) -> tuple[int, int]:
    width, height = _floats(values).tolist()
    if not (width.is_integer() and height.is_integer() and width > 0 and height > 0):
        raise ValueError(f"the intrinsics are said to be of an image of {width:g}x{height:g} pixels; {INTRINSICS_HELP}")
    return int(width), int(height)


def _only_camera(values: Any) -> Intrinsics:
    """Return the camera of nested dictionaries and lists; several are accepted when they have one matrix."""
    parts = _cameras(values, {}, ())
    if not parts:
        raise ValueError(f"found no intrinsic_matrix, K, camera_matrix or fx, fy, cx, cy; {INTRINSICS_HELP}")
    matrices = [_matrix_of(part) for part in parts.values()]
    if any(not np.array_equal(matrix, matrices[0]) for matrix in matrices):
        names = list(parts)
        rest = f" and {len(names) - 5} more" if len(names) > 6 else ""
        raise ValueError(
            f"found several cameras: {', '.join(names[: 5 if rest else 6])}{rest}; give the colour camera's part, in a "
            "file of its own or as fx,fy,cx,cy"
        )
    part = next(iter(parts.values()))
    matrix = _check_form(matrices[0])
    sizes = [[part[name] for name in names] for names in SIZE_KEYS if all(part.get(name) for name in names)]
    scale = part.get("depth_scale")
    size, unit = _image_size(sizes[0]) if sizes else None, None if scale is None else _step(scale)
    return Intrinsics(matrix, size, unit, _lens(part))


def _cameras(values: Any, shared: dict[str, Any], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the parts with intrinsics by their names; image size and depth scale come from around them."""
    if isinstance(values, list):
        values = dict(enumerate(values))
    if not isinstance(values, Mapping) or len(names) > MOST_NESTED:
        return {}
    if _holds_camera(values):
        return {".".join(names): {**shared, **values}}
    shared = shared | {name: values[name] for name in SHARED_KEYS if name in values}
    found = {}
    for name, part in values.items():
        inner = (*names, str(name))
        if CAMERA_NAME.search(str(name)) and _is_matrix(part):
            found[".".join(inner)] = {**shared, "K": part}
        else:
            found |= _cameras(part, shared, inner)
    return found


def _is_matrix(value: Any) -> bool:
    """Return whether a named value is given as numbers: neither null nor a part with names of its own."""
    if isinstance(value, list):
        return not any(isinstance(part, Mapping) for part in value)
    return "data" in value if isinstance(value, Mapping) else value is not None


def _holds_camera(values: Mapping[str, Any]) -> bool:
    named = any(all(name in values for name in names) for names in VALUE_KEYS)
    return named or any(_is_matrix(values.get(name)) for name in MATRIX_KEYS)


def _matrix_of(values: Mapping[str, Any]) -> np.ndarray:
    for name in MATRIX_KEYS:
        if _is_matrix(found := values.get(name)):
            return intrinsics_matrix(found["data"] if isinstance(found, Mapping) else found)
    names = next(names for names in VALUE_KEYS if all(name in values for name in names))
    return intrinsics_matrix([values[name] for name in names])


def _lens(values: Mapping[str, Any]) -> Lens | None:
    """Return the lens of named values, None if they have no distortion; raise ValueError if it cannot be undone."""
    for name in DISTORTION_KEYS:
        found = values.get(name)
        if isinstance(found, Mapping) and "data" not in found:
            return _lens({**{key: value for key, value in values.items() if key != name}, **found})
    model = _lens_model(values)
    given = [values[name] for name in DISTORTION_KEYS if values.get(name) is not None]
    given = [value["data"] if isinstance(value, Mapping) else value for value in given if not isinstance(value, str)]
    coefficients = next(
        (numbers.tolist() for numbers in (_floats(value).ravel() for value in given) if numbers.size), []
    )
    if not coefficients:
        named = [float(_floats(0 if values.get(name) is None else values[name])) for name in POLYNOMIAL_KEYS]
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
    if lens is not None and not any(_is_matrix(values.get(name)) for name in MATRIX_KEYS[:-2]) and "P" in values:
        raise ValueError(
            "lens distortion is given with P but without K, and P is of images without distortion; give K for the "
            "camera's own images, or only P for rectified ones"
        )
    return lens


def _lens_model(values: Mapping[str, Any]) -> str | None:
    """Return the name of the lens model; names that are none count only where they are said to be one."""
    if values.get("is_fisheye") is True:
        return "fisheye"
    names = {key: str(values[key]) for key in MODEL_KEYS if values.get(key) is not None}
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
