"""Read colour and depth from files, write files atomically, and lock them.

Every reader raises FileNotFoundError or ValueError with one sentence that names the file and the fix.
"""

from __future__ import annotations

import errno
import math
import os
import re
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from PIL import Image, UnidentifiedImageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg", ".ppm", ".bmp", ".tif", ".tiff", ".webp")
DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".pgm", ".npy", ".npz")
DEPTH_FORMATS = "16-bit PNG in millimetres, or numpy.save metres as .npy"
UNREAD_DEPTH = {
    ".exr": f"is an EXR file, which is not read; save its depth as {DEPTH_FORMATS}",
    ".jpg": f"is a JPEG, whose compression destroys depth; record depth as {DEPTH_FORMATS}",
}
UNREAD_DEPTH[".jpeg"] = UNREAD_DEPTH[".jpg"]
UNREAD_DEPTH |= dict.fromkeys(
    (".raw", ".bin", ".dat"),
    "has no width, height and type of its values; convert it with numpy.save('depth.npy', "
    "numpy.fromfile('depth.raw', numpy.uint16).reshape(height, width)) for your file, size and type",
)
"""File suffixes in which recorders write depth that is not read, and what to do."""
_GAP = rb"(?:\s|#[^\n]*\n)+"
PGM_HEADER = re.compile(rb"P5" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)" + _GAP + rb"(\d+)\s")
ORIENTATION_TAG = 0x0112
STRETCHED_TOP, LARGEST_STEP = 65000, 10
"""Depth that reaches the end of the 16-bit range in larger steps than any unit has was stretched to that range."""
DARK_16_BIT = 1 << 14
"""Values of 16 bits a channel below which all of an image are those of a camera with 8 to 14 bits."""
SWAPPED = 200
"""Smallest median difference of neighbours, in steps, where the last byte of each value comes first."""
DEFAULT_INTEGER_UNIT = 0.001
"""Metres per step of integer depth when no unit is given: millimetres, as nearly all recorders write."""


def user_cache() -> Path:
    """Return TWOHANDS_CACHE, or `twohands` in the platform's folder for caches; it need not exist."""
    if os.environ.get("TWOHANDS_CACHE"):
        return Path(os.environ["TWOHANDS_CACHE"])
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "twohands"


def read_rgb(path: str | Path) -> np.ndarray:
    """Return the colour image as (H, W, 3) uint8, red first."""
    with _opened_image(path, "colour image") as image:
        rgb = rgb_of(image, str(path))
        if image.getexif().get(ORIENTATION_TAG, 1) in range(2, 9):
            raise ValueError(
                f"{path} is marked as rotated (EXIF orientation), and it is unknown whether depth and intrinsics are "
                "rotated as well; save all three as the camera saw them, without that mark"
            )
        return rgb


def rgb_of(image: Image.Image, name: str) -> np.ndarray:
    """Return an image that was opened, and not decoded, as (H, W, 3) uint8, red first.

    Raise ValueError, with its name, if it has no colours of 8 or 16 bits.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        raise ValueError(
            f"{name} is not a colour image (mode {image.mode}); are --rgb and --depth exchanged? A grey picture "
            "must have 8 bits a pixel"
        )
    has_16_bits = any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
    rgb = np.array(image.convert("RGB"))  # of 16 bits the upper 8
    largest = 256 * int(rgb.max(initial=0)) + 255
    if has_16_bits and largest < DARK_16_BIT:
        raise ValueError(
            f"{name} has 16 bits a channel but no value above {largest}, as of a camera with fewer bits, and would be "
            f"nearly black; save it with 8 bits: {as_bytes(largest)}"
        )
    return rgb


def as_bytes(largest: int) -> str:
    """Return the NumPy expression that makes 8 bits of an `image` whose largest value is given."""
    bits = next(bits for bits in (8, 10, 12, 14, 16, 32, 64) if largest < 1 << bits)
    return f"(image >> {bits - 8}).astype(numpy.uint8)" if bits > 8 else "image.astype(numpy.uint8)"


def image_size(path: str | Path) -> tuple[int, int]:
    """Return width and height of a colour image, read from its header alone."""
    with _opened_image(path, "colour image") as image:
        return image.size


def read_depth(path: str | Path) -> np.ndarray:
    """Return the depth image (H, W) in its own type and unit: 16-bit PNG, TIFF or PGM, float TIFF, .npy, .npz."""
    path = Path(path)
    if path.suffix.lower() in (".npy", ".npz"):
        return _read_depth_array(path)
    if path.suffix.lower() in UNREAD_DEPTH:
        raise ValueError(unread_depth(existing(path, "depth image")))
    if path.suffix.lower() == ".pgm":
        depth = _read_pgm(existing(path, "depth image"))
        _refuse_altered_depth(depth, path)
        return depth
    with _opened_image(path, "depth image") as image:
        if image.format == "JPEG":  # under another name
            raise ValueError(f"{path} {UNREAD_DEPTH['.jpg']}")
        image.load()
        depth = np.array(image)
    if depth.ndim != 2:
        raise ValueError(
            f"{path} is a colour image ({depth.shape[2]} channels), not depth; give the 16-bit depth image, "
            "not its coloured preview"
        )
    _refuse_altered_depth(depth, path)
    # Pillow opens some 16-bit images as 32-bit integers; the steps are the same
    return depth.astype(np.uint16) if depth.dtype == np.int32 and 0 <= depth.min() <= depth.max() < 65536 else depth


def unread_depth(path: Path) -> str:
    """Return what to do about a depth file with a suffix of UNREAD_DEPTH."""
    return f"{path} {UNREAD_DEPTH[path.suffix.lower()]}"


def depth_in_metres(depth: np.ndarray, depth_unit: float | None = None) -> np.ndarray:
    """Return depth (H, W) or (H, W, 1) of any numeric type as (H, W) float32 metres, C-contiguous, 0 = no reading.

    `depth_unit` is the length of one step in metres: by default 0.001 for integers, 1 for floats. Values that are
    not finite or negative become 0 (sensors write NaN or -1 where they have no reading).
    """
    depth = _plane(depth)
    if depth.ndim != 2:
        raise ValueError(f"depth must be (height, width); got shape {depth.shape}")
    if depth.dtype.kind not in "uif":
        raise ValueError(f"depth must be integers or floats; got {depth.dtype}")
    _refuse_altered_depth(depth, "depth")
    unit = effective_depth_unit(depth, depth_unit)
    if depth_unit is None and _is_normalized(depth):
        raise ValueError(
            "depth was scaled to values from 0 to 1, so that its unit is lost, as by a viewer or a network for single "
            "images; give distances in metres, or the length of 1 as the depth unit"
        )
    metres = depth.astype(np.float32) * np.float32(unit)
    if depth.dtype.kind != "u":
        metres[~np.isfinite(metres) | (metres < 0)] = 0
    return np.ascontiguousarray(metres)


def effective_depth_unit(depth: np.ndarray, depth_unit: float | None = None) -> float:
    """Return metres per step of a depth array: `depth_unit` if given, else 0.001 for integers and 1 for floats."""
    if depth_unit is None:
        return 1.0 if depth.dtype.kind == "f" else DEFAULT_INTEGER_UNIT
    if not isinstance(depth_unit, Real) or not 0 < depth_unit < math.inf:
        raise ValueError(
            f"the depth unit must be a length in metres, for example 0.001 for millimetres; got {depth_unit}"
        )
    return float(depth_unit)


class NotWrittenError(OSError):
    """An error of the file system in writing, as a sentence that names the file and the fix."""

    def __str__(self) -> str:
        fix = (
            "shorten the name of the frame or of --out"
            if self.name_too_long
            else "free some space or give another folder"
        )
        return f"cannot write {self.filename} ({self.strerror}); {fix}"

    @property
    def name_too_long(self) -> bool:
        """True if only the name of this file is too long, so that others can still be written."""
        return self.errno == errno.ENAMETOOLONG


@contextmanager
def write_atomically(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); rename it at the end, or remove it on any error.

    The folder is made when missing. A reader sees the old file or the new one, never a part. Raises NotWrittenError
    when the file system refuses.
    """
    path = Path(path)
    stem = path.stem[:40]  # a longer one would make the temporary name too long
    temporary = path.with_name(f".{stem}.{os.getpid()}-{secrets.token_hex(3)}{path.suffix}")
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
    """Lock a file, made when missing, until the end of the block; yield False if another process holds the lock.

    The lock also ends when the process ends or crashes. Windows has no such lock: the result is always True. Raises
    ValueError with the fix where the file system has no locks.
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
    """Yield a Pillow image that is not decoded yet; turn each of Pillow's errors into one sentence."""
    path = existing(path, what)
    try:
        with Image.open(path) as image:
            yield image
    except UnidentifiedImageError:
        formats = DEPTH_FORMATS if what == "depth image" else "PNG or JPEG"
        raise ValueError(f"{path} is not an image that can be read; give the {what} as {formats}") from None
    except (
        OSError,
        SyntaxError,
        EOFError,
        Image.DecompressionBombError,
    ) as error:  # Pillow raises SyntaxError on broken PNG chunks
        raise ValueError(f"{path} is truncated or damaged ({error}); copy or record it again") from None


def existing(path: str | Path, what: str, instead: str = "") -> Path:
    """Return the path of an existing file; `what` and `instead` go into the error: its role and the alternative."""
    path = Path(path)
    if not os.path.exists(path):  # no error for a name that is too long
        raise FileNotFoundError(f"{what} {path} does not exist; check the path{instead}")
    if path.is_dir():
        raise ValueError(f"{what} {path} is a folder; give a file (folders are for `twohands run`)")
    return path


def load_array(path: Path) -> np.ndarray:
    """Return the array of a .npy file, or the array of a .npz file that is named depth or is the only one."""
    path = existing(path, "array")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            name = "depth" if "depth" in loaded else ", ".join(loaded)
            if name in loaded:
                return loaded[name]
    except (ValueError, EOFError, OSError, BadZipFile) as error:
        if "Object arrays" in str(error):
            raise ValueError(
                f"{path} holds Python objects, a dictionary for example, which are not read; save the array alone with "
                "numpy.save"
            ) from None
        raise ValueError(f"{path} is not a readable {path.suffix} array ({error}); save it with numpy.save") from None
    raise ValueError(f"{path} holds the arrays {name or '(none)'}; name one of them depth")


def _read_depth_array(path: Path) -> np.ndarray:
    depth = _plane(load_array(path))
    if depth.ndim != 2:
        raise ValueError(f"{path} has shape {depth.shape}; depth must be (height, width)")
    return depth


def _read_pgm(path: Path) -> np.ndarray:
    """Return the values of a binary PGM file; Pillow stretches them to 16 bits unless the file's largest is 65535."""
    content = path.read_bytes()
    header = PGM_HEADER.match(content)
    width, height, largest = map(int, header.groups()) if header else (0, 0, 0)
    kind = np.dtype(np.uint8 if largest < 256 else ">u2")
    if header is None or len(content) - header.end() < width * height * kind.itemsize:
        raise ValueError(f"{path} is not a whole binary PGM file (P5); give the depth image as {DEPTH_FORMATS}")
    values = np.frombuffer(content, kind, width * height, header.end())
    return values.reshape(height, width).astype(kind.newbyteorder("="))


def _plane(depth: np.ndarray) -> np.ndarray:
    """Return the array without axes of length one, unless it has two axes already."""
    return depth if depth.ndim == 2 else np.squeeze(depth)


def _refuse_altered_depth(depth: np.ndarray, name: str | Path) -> None:
    """Raise ValueError for depth of which only a picture is left: 8 bits a pixel, or stretched to the 16-bit range."""
    if depth.dtype in (np.uint8, np.int8, np.bool_):
        raise ValueError(f"{name} has only 8 bits a pixel, too coarse for depth; give the 16-bit image of the sensor")
    if depth.dtype == np.uint16 and (rough := _roughness(depth)) > SWAPPED and _roughness(depth.byteswap()) < rough / 8:
        raise ValueError(
            f"{name} has the two bytes of each value exchanged (it was written with the other byte order); save "
            "depth.byteswap() in its place"
        )
    if depth.dtype not in (np.uint16, np.int32) or not depth.size or not STRETCHED_TOP <= depth.max() < 65536:
        return
    values = np.flatnonzero(np.bincount(depth[(depth > 0) & (depth < 65535)].ravel()))  # 65535 may be "no reading"
    if np.count_nonzero(values >= STRETCHED_TOP * 3 / 4) >= 8 and np.diff(values).min() > LARGEST_STEP:
        raise ValueError(
            f"{name} holds depth that was stretched to the 16-bit range, as viewers save it (its values have steps of "
            f"{np.diff(values).min()}); its unit is lost, give the 16-bit image of the sensor"
        )


def _roughness(depth: np.ndarray) -> float:
    """Return the median difference of readings beside each other, in steps; 0 without any."""
    rows = depth[::8].astype(np.int32)
    both = (rows[:, 1:] > 0) & (rows[:, :-1] > 0)
    return float(np.median(np.abs(np.diff(rows, axis=1))[both])) if both.any() else 0.0


def _is_normalized(depth: np.ndarray) -> bool:
    """Return whether floats were divided by their largest value: it is 1, in few places, and they have no usual step.

    Depth in metres may be clipped at 1, and has steps of a tenth of a millimetre or their multiples.
    """
    if depth.dtype.kind != "f" or not depth.size or np.nanmax(depth) != 1 or np.nanmin(depth) < 0:
        return False
    steps = depth[(depth > 0) & (depth < 1)].astype(np.float64) * 10_000
    most = np.count_nonzero(depth == 1) < 0.001 * depth.size
    return bool(most) and len(steps) > 0 and float(np.mean(np.abs(steps - np.rint(steps)) < 0.02)) < 0.5
