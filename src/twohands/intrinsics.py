"""Read a user's camera intrinsics from files, text or numbers, and check that they can belong to the image.

Every reader raises FileNotFoundError or ValueError with one sentence that names the file and the fix.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twohands.files import existing, load_array

INTRINSICS_HELP = "give a 3x3 text file, fx fy cx cy, or the JSON of Open3D, RealSense or ROS"
MATRIX_KEYS = ("intrinsic_matrix", "K", "k", "camera_matrix")
"""Names of the 3x3 matrix in JSON files: Open3D, ROS messages (both cases), ROS calibration files."""
VALUE_KEYS = (("fx", "fy", "cx", "cy"), ("fx", "fy", "ppx", "ppy"))
SIZE_KEYS = (("width", "height"), ("image_width", "image_height"))
FOCAL_RANGE = (0.2, 10.0)
"""Smallest and largest possible focal length in image widths: 136 and 6 degrees of view."""


@dataclass(frozen=True)
class Intrinsics:
    """Intrinsics of a camera and the image size for which they hold, if known."""

    matrix: np.ndarray  # (3, 3) float32 pixels
    size: tuple[int, int] | None = None  # width, height

    def of_image(self, width: int, height: int) -> np.ndarray:
        """Return the matrix (3, 3); raise ValueError if it cannot belong to an image of `width` x `height` pixels."""
        if self.size is not None and self.size != (width, height):
            raise ValueError(
                f"colour is {width}x{height} but the intrinsics are of {self.size[0]}x{self.size[1]} pixels; "
                "give those of this resolution (all frames of a folder must have the same one)"
            )
        return check_intrinsics(self.matrix, width, height)


def read_intrinsics(source: Any) -> Intrinsics:
    """Read intrinsics from a file, from text like "fx,fy,cx,cy", or from numbers.

    Numbers are a 3x3 matrix, or fx, fy, cx, cy, optionally with the image's width and height before or after them. A
    file contains them as text, with comments after #, or as .npy, or is the JSON of Open3D, RealSense or ROS.
    """
    if isinstance(source, Intrinsics):
        return source
    if isinstance(source, str) and (numbers := _numbers(source)) is not None and numbers.size > 1:
        return _intrinsics(numbers)
    return _read_intrinsics_file(source) if isinstance(source, str | Path) else _intrinsics(source)


def intrinsics_matrix(values: Any) -> np.ndarray:
    """Return the matrix (3, 3) float32 in pixels from a matrix, or from fx, fy, cx, cy."""
    array = _floats(values)
    if array.shape in ((9,), (3, 3), (1, 9)):
        return array.reshape(3, 3).astype(np.float32)
    if array.shape == (4,):
        fx, fy, cx, cy = array
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float32)
    raise ValueError(f"intrinsics have shape {array.shape}; {INTRINSICS_HELP}")


def check_intrinsics(matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return `matrix` (3, 3); raise ValueError if it cannot belong to an image of `width` x `height` pixels."""
    if matrix.shape != (3, 3):
        raise ValueError(f"intrinsics have shape {matrix.shape}; {INTRINSICS_HELP}")
    if not np.isfinite(matrix).all():
        raise ValueError(f"intrinsics contain values that are not finite; {INTRINSICS_HELP}")
    (fx, skew, cx), (zero, fy, cy) = matrix[:2].tolist()
    if abs(zero) > 1e-3 or abs(skew) > 0.01 * abs(fx) or not np.allclose(matrix[2], (0, 0, 1), atol=1e-4):
        raise ValueError(
            "intrinsics must look like [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]; "
            f"got {np.array2string(matrix, precision=1, separator=', ').replace(chr(10), '')} (transposed?)"
        )
    low, high = FOCAL_RANGE
    for name, focal in (("fx", fx), ("fy", fy)):
        if not low * width <= focal <= high * width:
            raise ValueError(
                f"focal length {name} = {focal:g} px is not possible for an image {width} px wide "
                f"(expected {low * width:.0f} to {high * width:.0f}); give the colour camera's intrinsics in pixels"
            )
    if not (-fx <= cx <= width + fx and -fy <= cy <= height + fy):  # a crop may put it outside the image
        raise ValueError(
            f"the principal point ({cx:g}, {cy:g}) lies far outside the {width}x{height} image; "
            "give the intrinsics of this image"
        )
    return matrix


def _read_intrinsics_file(path: str | Path) -> Intrinsics:
    path = existing(path, "intrinsics", ", or give fx,fy,cx,cy")
    if path.suffix.lower() == ".npy":
        return _intrinsics(load_array(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file; {INTRINSICS_HELP}") from None
    if path.suffix.lower() == ".json":
        return _json_intrinsics(text, path)
    numbers = _numbers(text)
    if numbers is None:
        raise ValueError(f"{path} does not hold numbers only; {INTRINSICS_HELP}")
    return _intrinsics(numbers)


def _numbers(text: str) -> np.ndarray | None:
    """Return the numbers of a text without comments, (rows, columns) if they form a table; None if it has words."""
    for sign in ",;[]":
        text = text.replace(sign, " ")
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    try:
        rows = [[float(word) for word in line] for line in lines if line]
    except ValueError:
        return None
    if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 and len(rows) > 1:
        return np.array(rows)  # a matrix keeps its shape
    return np.array([value for row in rows for value in row])


def _floats(values: Any) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"intrinsics are not numbers: {values!r}; {INTRINSICS_HELP}") from None


def _intrinsics(values: Any) -> Intrinsics:
    """Convert a matrix, or fx, fy, cx, cy, with or without width, height before or after."""
    array = _floats(values)
    if array.shape != (6,):
        return Intrinsics(intrinsics_matrix(array))
    # the image size is the pair that puts the principal point near the image's middle
    candidates = [(array[:2], array[2:]), (array[4:], array[:4])]  # COLMAP and others; H2O
    size, numbers = min(candidates, key=lambda pair: np.abs(pair[1][2:] / np.maximum(pair[0], 1e-9) - 0.5).max())
    return Intrinsics(intrinsics_matrix(numbers), _image_size(size))


def _image_size(values: Any) -> tuple[int, int]:
    width, height = _floats(values).tolist()
    if not (width.is_integer() and height.is_integer() and width > 0 and height > 0):
        raise ValueError(f"the intrinsics are said to be of an image of {width:g}x{height:g} pixels; {INTRINSICS_HELP}")
    return int(width), int(height)


def _json_intrinsics(text: str, path: Path) -> Intrinsics:
    """Read JSON with fx, fy, cx, cy by name, of Open3D (`intrinsic_matrix`, 9 numbers column by column), or of ROS
    (`K` or `camera_matrix`, row by row).
    """
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); {INTRINSICS_HELP}") from None
    if isinstance(values, list):
        return _intrinsics(values)
    values = values if isinstance(values, dict) else {}
    if isinstance(values.get("intrinsic"), dict):
        values = values["intrinsic"]  # Open3D's PinholeCameraParameters
    matrices = [(name, values[name]) for name in MATRIX_KEYS if name in values]
    numbers = [[values[name] for name in names] for names in VALUE_KEYS if all(name in values for name in names)]
    sizes = [[values[name] for name in names] for names in SIZE_KEYS if all(values.get(name) for name in names)]
    if matrices:
        name, found = matrices[0]
        found = found.get("data", []) if isinstance(found, dict) else found
        matrix = intrinsics_matrix(found)
        matrix = matrix.T if name == "intrinsic_matrix" and np.ndim(found) == 1 else matrix
    elif numbers:
        matrix = intrinsics_matrix(numbers[0])
    else:
        raise ValueError(f"{path} has no 'intrinsic_matrix', K, camera_matrix or fx, fy, cx, cy; {INTRINSICS_HELP}")
    return Intrinsics(matrix, _image_size(sizes[0]) if sizes else None)
