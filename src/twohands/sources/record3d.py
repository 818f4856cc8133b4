"""Read recordings of the iPhone application Record3D: `.r3d` files, or the folder into which one was unpacked.

An `.r3d` is a zip archive with `metadata` (JSON) and `rgbd/N.jpg`, `rgbd/N.depth` and `rgbd/N.conf` for every frame N.
Depth is float32 metres and the confidence uint8 from 0 to 2, both compressed by LZFSE and as large as the LiDAR's
image. The intrinsics belong to the colour image of the size in the metadata.
"""

from __future__ import annotations

import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from twohands.intrinsics import Intrinsics, intrinsics_matrix
from twohands.sources.common import decode_rgb, drop_uncertain, require, scale_intrinsics
from twohands.sources.source import Entry
from twohands.types import RGBDFrame


def is_record3d(path: str | Path) -> bool:
    """Return whether a file is a zip archive with Record3D's metadata, or a folder the content of one."""
    path = Path(path)
    if path.is_dir():
        return (path / "metadata").is_file() and (path / "rgbd").is_dir()
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return "metadata" in archive.namelist()


class Record3D:
    """Frames of a Record3D recording in the order of their numbers.

    Raises FileNotFoundError or ValueError at once when the recording cannot be used. A frame without depth, or with a
    damaged stream, raises only when it is opened.
    """

    intrinsics: Intrinsics | None = None
    """Every frame has its own."""

    def __init__(self, path: str | Path):
        self._path = Path(path)
        self._lzfse = require("lzfse", "iphone", "Record3D recordings")
        self._root = _root(self._path)
        self._about = _metadata(self._root, self._path)
        self._size = _size(self._about, ("w", "h"))
        if self._size is None:
            raise ValueError(f"the metadata of {path} have no size w, h of the colour image; export it again")
        self._numbers = _numbers(self._root)
        if not self._numbers:
            raise ValueError(
                f"{path} has metadata but no frames (no rgbd/0.jpg, rgbd/0.depth); share the whole recording as .r3d "
                "from Record3D's library, not its video or its description alone"
            )
        if not self._intrinsics_of(0).any():
            raise ValueError(f"the metadata of {path} have no intrinsics K; export it with a newer Record3D")

    @property
    def about(self) -> str:
        """Application, number of frames, and sizes."""
        width, height = self._size or (0, 0)
        return f"Record3D, {self.length} frames, colour {width}x{height}, LiDAR depth in metres"

    @property
    def length(self) -> int:
        """Number of frames with colour or depth."""
        return len(self._numbers)

    def __iter__(self) -> Iterator[Entry]:
        for number in self._numbers:
            yield Entry(f"{number:06d}", self._seconds(number), partial(self._open, number))

    def _open(self, number: int) -> RGBDFrame:
        name = f"{self._path.name}: rgbd/{number}"
        rgb = decode_rgb(self._content(f"{number}.jpg", name), f"{name}.jpg")
        width, height = rgb.shape[1], rgb.shape[0]
        depth = self._plane(number, ".depth", np.dtype("<f4"), (width, height))
        confidence = None
        if (self._root / "rgbd" / f"{number}.conf").is_file():
            confidence = self._plane(number, ".conf", np.dtype(np.uint8), (width, height))
        depth = drop_uncertain(np.nan_to_num(depth, nan=0, posinf=0, neginf=0), confidence, name)
        assert self._size is not None
        K = scale_intrinsics(self._intrinsics_of(number), self._size, (width, height), f"{name}.jpg")
        return RGBDFrame.from_arrays(rgb, depth, K, depth_unit=1, depth_registered=True)

    def _content(self, file: str, name: str) -> bytes:
        path = self._root / "rgbd" / file
        if not path.is_file():
            raise FileNotFoundError(f"{self._path.name} has no rgbd/{file}; this frame was not recorded whole")
        try:
            return path.read_bytes()
        except (zipfile.BadZipFile, OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{name} is damaged in its archive ({error}); copy the recording again") from None

    def _plane(self, number: int, suffix: str, dtype: np.dtype, colour: tuple[int, int]) -> np.ndarray:
        """Return an image (h, w) of LZFSE's stream; its size is in the metadata or follows from the colour's aspect."""
        name = f"{self._path.name}: rgbd/{number}{suffix}"
        try:
            content = self._lzfse.decompress(self._content(f"{number}{suffix}", name))
        except self._lzfse.error:
            raise ValueError(f"{name} is cut off or damaged; copy the recording again") from None
        count = len(content) // dtype.itemsize
        height = round(math.sqrt(count * colour[1] / colour[0]))
        width, height = _size(self._about, ("dw", "dh")) or (count // max(height, 1), height)
        if width * height * dtype.itemsize != len(content):
            raise ValueError(
                f"{name} has {len(content)} bytes, not those of {width}x{height} values of {dtype.itemsize} bytes; "
                "copy the recording again"
            )
        return np.frombuffer(content, dtype).reshape(height, width)

    def _intrinsics_of(self, number: int) -> np.ndarray:
        """Return the intrinsics (3, 3) of a frame, of the colour image of the metadata's size; zeros where unknown."""
        each = self._about.get("perFrameIntrinsicCoeffs") or []
        if number < len(each):
            return intrinsics_matrix(each[number])
        K = self._about.get("K")
        return np.zeros((3, 3)) if K is None else intrinsics_matrix(K)

    def _seconds(self, number: int) -> float | None:
        times = self._about.get("frameTimestamps") or []
        if times:
            return float(times[number]) if number < len(times) else None
        rate = self._about.get("fps")
        return number / rate if rate else None


def _root(path: Path) -> Any:
    """Return a path, in an archive or on disk, below which the files are."""
    if path.is_dir():
        return path
    try:
        return zipfile.Path(zipfile.ZipFile(path))
    except FileNotFoundError:
        raise FileNotFoundError(f"recording {path} does not exist; check the path") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(
            f"{path} is not a complete .r3d archive ({error}): its end, with the list of its files, is missing or "
            "damaged; copy it again from the phone"
        ) from None


def _metadata(root: Any, path: Path) -> dict[str, Any]:
    try:
        values = json.loads((root / "metadata").read_bytes())
    except (FileNotFoundError, KeyError):
        raise ValueError(f"{path} has no file `metadata`; it is not a recording of Record3D") from None
    except (ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"the metadata of {path} are damaged ({error}); copy it again from the phone") from None
    if not isinstance(values, dict):
        raise ValueError(f"the metadata of {path} are not those of Record3D; export it again")
    return values


def _size(values: dict[str, Any], names: tuple[str, str]) -> tuple[int, int] | None:
    width, height = (values.get(name) for name in names)
    return (int(width), int(height)) if width and height else None


def _numbers(root: Any) -> list[int]:
    """Return the numbers of the frames with a colour or a depth file."""
    folder = root / "rgbd"
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    stems = {stem for stem, _, suffix in (name.partition(".") for name in names) if suffix in ("jpg", "depth")}
    return sorted(int(stem) for stem in stems if stem.isdecimal())
