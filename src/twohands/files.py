"""Bytes on disk to arrays and back: colour, depth, intrinsics, and writing a file whole or not at all.

Every reader raises FileNotFoundError or ValueError with one sentence that names the file and the remedy.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from PIL import Image, UnidentifiedImageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg")
DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".npz")
INTRINSICS_HELP = "give a 3x3 text file, fx fy cx cy, or the JSON of Open3D, RealSense or ROS"
MATRIX_KEYS = ("intrinsic_matrix", "K", "k", "camera_matrix")
"""Names of the 3x3 matrix in JSON files: Open3D's, those of ROS messages, and that of ROS calibration files."""
VALUE_KEYS = (("fx", "fy", "cx", "cy"), ("fx", "fy", "ppx", "ppy"))
SIZE_KEYS = (("width", "height"), ("image_width", "image_height"))
ORIENTATION_TAG = 0x0112
FOCAL_RANGE = (0.2, 10.0)
"""Focal lengths in image widths that a camera can have: 136 degrees of view down to 6."""
DEFAULT_INTEGER_UNIT = 0.001
"""Metres per step of integer depth unless told otherwise: millimetres, the habit of nearly all recorders."""


@dataclass(frozen=True)
class Intrinsics:
    """Of a camera, and of which image size they are, where that is known."""

    matrix: np.ndarray  # (3, 3) float32 pixels
    size: tuple[int, int] | None = None  # width, height

    def of_image(self, width: int, height: int) -> np.ndarray:
        """The matrix (3, 3), when it can belong to an image of `width` x `height` pixels."""
        if self.size is not None and self.size != (width, height):
            raise ValueError(
                f"colour is {width}x{height} but the intrinsics are of {self.size[0]}x{self.size[1]} pixels; "
                "give those of this resolution (all frames of a folder must have the same one)"
            )
        return check_intrinsics(self.matrix, width, height)


def read_rgb(path: str | Path) -> np.ndarray:
    """The colour image as (H, W, 3) uint8, red first."""
    with _opened_image(path, "colour image") as image:
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ValueError(f"{path} is a {image.mode}-mode image, not colour; are --rgb and --depth exchanged?")
        if image.getexif().get(ORIENTATION_TAG, 1) in range(2, 9):
            raise ValueError(
                f"{path} is marked to be shown turned (EXIF orientation), and whether depth and intrinsics are turned "
                "as well is not known; save all three as the camera saw them, without that mark"
            )
        return np.array(image.convert("RGB"))


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of a colour image, by its header alone."""
    with _opened_image(path, "colour image") as image:
        return image.size


def read_depth(path: str | Path) -> np.ndarray:
    """The depth image as (H, W) in the file's own type and unit: 16-bit PNG or TIFF, float TIFF, .npy or .npz."""
    path = Path(path)
    if path.suffix.lower() in (".npy", ".npz"):
        return _read_depth_array(path)
    with _opened_image(path, "depth image") as image:
        image.load()
        depth = np.array(image)
    if depth.ndim != 2:
        raise ValueError(
            f"{path} is a colour image ({depth.shape[2]} channels), not depth; give the 16-bit depth image, "
            "not its coloured preview"
        )
    _refuse_coarse_depth(depth, path)
    # Pillow opens some 16-bit images as 32-bit integers; the steps are the same
    return depth.astype(np.uint16) if depth.dtype == np.int32 and 0 <= depth.min() <= depth.max() < 65536 else depth


def read_intrinsics(source: Any) -> Intrinsics:
    """Intrinsics from a file, from text like "fx,fy,cx,cy", or from numbers.

    Numbers are a 3x3 matrix, or fx, fy, cx, cy, the width and height of the image before or after them. Files hold them
    as text, with comments after #, or as .npy; or they are the JSON of Open3D, RealSense or ROS.
    """
    if isinstance(source, Intrinsics):
        return source
    if isinstance(source, str) and (numbers := _numbers(source)) is not None and numbers.size > 1:
        return _intrinsics(numbers)
    return _read_intrinsics_file(source) if isinstance(source, str | Path) else _intrinsics(source)


def intrinsics_matrix(values: Any) -> np.ndarray:
    """(3, 3) float32 pixels from a matrix, or from fx, fy, cx, cy."""
    array = _floats(values)
    if array.shape in ((9,), (3, 3), (1, 9)):
        return array.reshape(3, 3).astype(np.float32)
    if array.shape == (4,):
        fx, fy, cx, cy = array
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=np.float32)
    raise ValueError(f"intrinsics have shape {array.shape}; {INTRINSICS_HELP}")


def check_intrinsics(matrix: np.ndarray, width: int, height: int) -> np.ndarray:
    """The matrix (3, 3) itself, when it can belong to an image of `width` x `height` pixels."""
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
    if not (-fx <= cx <= width + fx and -fy <= cy <= height + fy):  # outside it lies after a crop
        raise ValueError(
            f"the principal point ({cx:g}, {cy:g}) lies far outside the {width}x{height} image; "
            "give the intrinsics of this image"
        )
    return matrix


def depth_in_metres(depth: np.ndarray, depth_unit: float | None = None) -> np.ndarray:
    """Depth (H, W) or (H, W, 1) of any numeric type -> (H, W) float32 metres, C-contiguous, 0 = no reading.

    `depth_unit` is the length of one step in metres: by default 0.001 for integers, 1 for floats. Values that are
    not finite or negative become 0 (sensors write NaN or -1 where they saw nothing).
    """
    depth = _plane(depth)
    if depth.ndim != 2:
        raise ValueError(f"depth must be (height, width); got shape {depth.shape}")
    if depth.dtype.kind not in "uif":
        raise ValueError(f"depth must be integers or floats; got {depth.dtype}")
    _refuse_coarse_depth(depth, "depth")
    metres = depth.astype(np.float32) * np.float32(effective_depth_unit(depth, depth_unit))
    if depth.dtype.kind != "u":
        metres[~np.isfinite(metres) | (metres < 0)] = 0
    return np.ascontiguousarray(metres)


def effective_depth_unit(depth: np.ndarray, depth_unit: float | None = None) -> float:
    """Metres per step of a depth array: `depth_unit` if given, otherwise 0.001 for integers and 1 for floats."""
    if depth_unit is None:
        return 1.0 if depth.dtype.kind == "f" else DEFAULT_INTEGER_UNIT
    if not isinstance(depth_unit, Real) or not 0 < depth_unit < math.inf:
        raise ValueError(
            f"the depth unit must be a length in metres, for example 0.001 for millimetres; got {depth_unit}"
        )
    return float(depth_unit)


class NotWrittenError(OSError):
    """What the file system refused, as a sentence that names the file and the remedy."""

    def __str__(self) -> str:
        return f"cannot write {self.filename} ({self.strerror}); free some space or give another folder"


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same suffix); renamed at the end, removed on any error.

    The folder is made when missing. A reader sees the old file or the new one, never a part. Raises NotWrittenError
    when the file system refuses.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(3)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise NotWrittenError(error.errno, error.strerror or str(error), str(path)) from error


@contextmanager
def locked(path: str | Path) -> Iterator[bool]:
    """Whether this process alone holds the lock of a file, which is made when missing; it ends with the block.

    The lock also ends with the process, however that ends. On Windows there is none: the answer is always yes. Raises
    ValueError with the remedy where the file system knows no locks.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        try:
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = True
        except BlockingIOError:
            mine = False
        except OSError as error:
            raise ValueError(f"{path} cannot be locked ({error.strerror}); give a folder on a local disk") from error
        yield mine


@contextmanager
def _opened_image(path: str | Path, what: str) -> Iterator[Image.Image]:
    """A Pillow image, not yet decoded; Pillow's many errors become one sentence."""
    path = _existing(path, what)
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        raise ValueError(f"{path} is not an image that can be read; give the {what} as PNG, JPEG or TIFF") from None
    except (
        OSError,
        SyntaxError,
        EOFError,
        Image.DecompressionBombError,
    ) as error:  # Pillow raises SyntaxError on broken PNG chunks
        raise ValueError(f"{path} is truncated or damaged ({error}); copy or record it again") from None


def _existing(path: str | Path, what: str, instead: str = "") -> Path:
    path = Path(path)
    if not os.path.exists(path):  # no error for a name that is too long
        raise FileNotFoundError(f"{what} {path} does not exist; check the path{instead}")
    if path.is_dir():
        raise ValueError(f"{what} {path} is a folder; give a file (folders are for `twohands run`)")
    return path


def _load_array(path: Path) -> np.ndarray:
    """The array of a .npy file, or of a .npz file the one that is named depth or alone in it."""
    path = _existing(path, "array")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            name = "depth" if "depth" in loaded else ", ".join(loaded)
            if name in loaded:
                return loaded[name]
    except (ValueError, EOFError, OSError, BadZipFile) as error:
        raise ValueError(f"{path} is not a readable {path.suffix} array ({error}); save it with numpy.save") from None
    raise ValueError(f"{path} holds the arrays {name or '(none)'}; name one of them depth")


def _read_depth_array(path: Path) -> np.ndarray:
    depth = _plane(_load_array(path))
    if depth.ndim != 2:
        raise ValueError(f"{path} has shape {depth.shape}; depth must be (height, width)")
    return depth


def _plane(depth: np.ndarray) -> np.ndarray:
    """(H, W) of an array that has further axes of length one."""
    return depth if depth.ndim == 2 else np.squeeze(depth)


def _refuse_coarse_depth(depth: np.ndarray, name: str | Path) -> None:
    if depth.dtype in (np.uint8, np.int8, np.bool_):
        raise ValueError(f"{name} has only 8 bits a pixel, too coarse for depth; give the 16-bit image of the sensor")


def _read_intrinsics_file(path: str | Path) -> Intrinsics:
    path = _existing(path, "intrinsics", ", or give fx,fy,cx,cy")
    if path.suffix.lower() == ".npy":
        return _intrinsics(_load_array(path))
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
    """The numbers of a text without its comments, (rows, columns) where they form a table; None if there are words."""
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
    """From a matrix, or from fx, fy, cx, cy, with or without width, height before or after."""
    array = _floats(values)
    if array.shape != (6,):
        return Intrinsics(intrinsics_matrix(array))
    # the image size stands where it has the principal point near its middle
    candidates = [(array[:2], array[2:]), (array[4:], array[:4])]  # COLMAP and others; H2O
    size, numbers = min(candidates, key=lambda pair: np.abs(pair[1][2:] / np.maximum(pair[0], 1e-9) - 0.5).max())
    return Intrinsics(intrinsics_matrix(numbers), _image_size(size))


def _image_size(values: Any) -> tuple[int, int]:
    width, height = _floats(values).tolist()
    if not (width.is_integer() and height.is_integer() and width > 0 and height > 0):
        raise ValueError(f"the intrinsics are said to be of an image of {width:g}x{height:g} pixels; {INTRINSICS_HELP}")
    return int(width), int(height)


def _json_intrinsics(text: str, path: Path) -> Intrinsics:
    """Of Open3D (`intrinsic_matrix`, nine numbers column by column), of ROS (`K` or `camera_matrix`, row by row), or
    fx, fy, cx, cy by name.
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
