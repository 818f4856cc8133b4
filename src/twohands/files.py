"""Bytes on disk to arrays and back: colour, depth, intrinsics, and writing a file whole or not at all.

Every reader raises FileNotFoundError or ValueError with one sentence that names the file and the remedy.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg")
DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".npy")
INTRINSICS_HELP = "give a 3x3 text file, fx fy cx cy, or Open3D's JSON"
FOCAL_RANGE = (0.2, 10.0)
"""Focal lengths in image widths that a camera can have: 136 degrees of view down to 6."""
DEFAULT_INTEGER_UNIT = 0.001
"""Metres per step of integer depth unless told otherwise: millimetres, the habit of nearly all recorders."""


def read_rgb(path: str | Path) -> np.ndarray:
    """The colour image as (H, W, 3) uint8, red first."""
    with _opened_image(path, "colour image") as image:
        if image.mode in ("I", "F") or image.mode.startswith("I;"):
            raise ValueError(f"{path} is a {image.mode}-mode image, not colour; are --rgb and --depth exchanged?")
        return np.array(image.convert("RGB"))


def read_depth(path: str | Path) -> np.ndarray:
    """The depth image as (H, W) in the file's own type and unit: 16-bit PNG or TIFF, float TIFF, or .npy."""
    path = Path(path)
    if path.suffix.lower() == ".npy":
        return _read_depth_array(path)
    with _opened_image(path, "depth image") as image:
        depth = np.array(image)
    if depth.ndim != 2:
        raise ValueError(
            f"{path} is a colour image ({depth.shape[2]} channels), not depth; give the 16-bit depth image, "
            "not its coloured preview"
        )
    _refuse_coarse_depth(depth, path)
    # Pillow opens some 16-bit images as 32-bit integers; the steps are the same
    return depth.astype(np.uint16) if depth.dtype == np.int32 and 0 <= depth.min() <= depth.max() < 65536 else depth


def read_intrinsics(source: Any) -> Any:
    """Intrinsics from a file, from "fx,fy,cx,cy" or from an array: whatever `intrinsics_matrix` understands.

    Files: text with 3x3 numbers, or fx fy cx cy, the image size before or after it; Open3D's JSON; a .npy matrix.
    """
    if not isinstance(source, str | Path):
        return source
    text = str(source)
    if "," in text and not Path(text).exists():
        return _numbers(text, f"--intrinsics {text}")
    path = _existing(source, "intrinsics")
    if path.suffix.lower() == ".json":
        return _read_json_intrinsics(path)
    if path.suffix.lower() == ".npy":
        return _load_array(path)
    try:
        return _numbers(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file; {INTRINSICS_HELP}") from None


def intrinsics_matrix(values: Any) -> np.ndarray:
    """(3, 3) float32 pixels from a matrix, or from fx, fy, cx, cy, with or without width, height before or after."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"intrinsics are not numbers: {values!r}; {INTRINSICS_HELP}") from None
    if array.shape in ((9,), (3, 3), (1, 9)):
        return array.reshape(3, 3).astype(np.float32)
    if array.shape == (6,):
        array = _without_image_size(array)
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
    if not (-0.5 <= cx <= width - 0.5 and -0.5 <= cy <= height - 0.5):
        raise ValueError(
            f"the principal point ({cx:g}, {cy:g}) lies outside the {width}x{height} image; "
            "give the intrinsics of this resolution"
        )
    return matrix


def depth_in_metres(depth: np.ndarray, depth_unit: float | None = None) -> np.ndarray:
    """Depth (H, W) of any numeric type -> (H, W) float32 metres, C-contiguous, 0 = no reading.

    `depth_unit` is the length of one step in metres: by default 0.001 for integers, 1 for floats. Values that are
    not finite or negative become 0 (sensors write NaN or -1 where they saw nothing).
    """
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
    unit = depth_unit if depth_unit is not None else (1.0 if depth.dtype.kind == "f" else DEFAULT_INTEGER_UNIT)
    if not (np.isfinite(unit) and unit > 0):
        raise ValueError(f"the depth unit must be a length in metres, for example 0.001 for millimetres; got {unit:g}")
    return unit


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` (same suffix); renamed at the end, removed on any error.

    The folder is made when missing. A reader sees the old file or the new one, never a part.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(3)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: str | Path) -> Iterator[bool]:
    """Whether this process alone holds the lock of a file, which is made when missing; it ends with the block.

    The lock also ends with the process, however that ends. On Windows there is none: the answer is always yes.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        try:
            if fcntl is not None:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


@contextmanager
def _opened_image(path: str | Path, what: str) -> Iterator[Image.Image]:
    """A fully decoded Pillow image; Pillow's many errors become one sentence."""
    path = _existing(path, what)
    try:
        with Image.open(path) as image:
            image.load()
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


def _existing(path: str | Path, what: str) -> Path:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{what} {path} does not exist; check the path")
    if path.is_dir():
        raise ValueError(f"{what} {path} is a folder; give a file (folders are for `twohands run`)")
    return path


def _load_array(path: Path) -> np.ndarray:
    path = _existing(path, "array")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a readable .npy array ({error}); save it with numpy.save") from None


def _read_depth_array(path: Path) -> np.ndarray:
    depth = np.squeeze(_load_array(path))
    if depth.ndim != 2:
        raise ValueError(f"{path} has shape {depth.shape}; depth must be (height, width)")
    return depth


def _refuse_coarse_depth(depth: np.ndarray, name: str | Path) -> None:
    if depth.dtype in (np.uint8, np.int8, np.bool_):
        raise ValueError(f"{name} has only 8 bits a pixel, too coarse for depth; give the 16-bit image of the sensor")


def _numbers(text: str, name: str) -> np.ndarray:
    for sign in ",;[]":
        text = text.replace(sign, " ")
    lines = [line.split() for line in text.splitlines() if line.strip()]
    try:
        rows = [[float(word) for word in line] for line in lines]
    except ValueError:
        raise ValueError(f"{name} does not hold numbers only; {INTRINSICS_HELP}") from None
    if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 and len(rows) > 1:
        return np.array(rows)  # a matrix keeps its shape
    return np.array([value for row in rows for value in row])


def _without_image_size(numbers: np.ndarray) -> np.ndarray:
    """fx, fy, cx, cy (4,) of six numbers: the image size stands where it has the principal point near its middle."""
    candidates = [(numbers[:2], numbers[2:]), (numbers[4:], numbers[:4])]  # COLMAP and others; H2O
    return min(candidates, key=lambda pair: np.abs(pair[1][2:] / np.maximum(pair[0], 1e-9) - 0.5).max())[1]


def _read_json_intrinsics(path: Path) -> np.ndarray:
    """Open3D's camera_intrinsic.json (`intrinsic_matrix`, nine numbers column by column), or fx, fy, cx, cy by name."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); {INTRINSICS_HELP}") from None
    if isinstance(values, dict) and isinstance(values.get("intrinsic"), dict):
        values = values["intrinsic"]  # Open3D's PinholeCameraParameters
    if isinstance(values, dict) and "intrinsic_matrix" in values:
        matrix = intrinsics_matrix(values["intrinsic_matrix"])
        return matrix if np.asarray(values["intrinsic_matrix"]).ndim == 2 else matrix.T
    if isinstance(values, dict) and all(key in values for key in ("fx", "fy", "cx", "cy")):
        return np.array([values[key] for key in ("fx", "fy", "cx", "cy")], dtype=np.float64)
    if isinstance(values, list):
        return np.asarray(values, dtype=np.float64)
    raise ValueError(f"{path} has no 'intrinsic_matrix' (nor fx, fy, cx, cy); {INTRINSICS_HELP}")
