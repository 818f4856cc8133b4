"""Identify a file that no reader recognises, and name the remedy: archives, videos, failed downloads and copies."""

from __future__ import annotations

import zipfile
from pathlib import Path

from twohands.sources.array_files import SAVING, ZIP

_HEAD = 4096
"""Number of bytes at the beginning of a file by which it is judged."""
_PACKED = "unpack it and give the recording in it"
_PICTURE = (
    "give the folder of the recording, or for one frame: twohands predict --rgb FILE --depth FILE --intrinsics FILE"
)
_KINDS = {
    (0, b"\x1f\x8b"): ("packed by gzip", _PACKED),
    (0, b"BZh"): ("packed by bzip2", _PACKED),
    (0, b"\xfd7zXZ"): ("packed by xz", _PACKED),
    (0, b"\x28\xb5\x2f\xfd"): ("packed by zstd", _PACKED),
    (0, b"7z\xbc\xaf\x27\x1c"): ("a 7z archive", _PACKED),
    (0, b"Rar!"): ("a RAR archive", _PACKED),
    (257, b"ustar"): ("a tar archive", _PACKED),
    (0, b"version https://git-lfs"): ("a pointer of Git LFS, not the file itself", "get the file with: git lfs pull"),
    (0, b"<!doctype html"): ("a web page, as a failed download leaves it", "download the file again"),
    (0, b"<html"): ("a web page, as a failed download leaves it", "download the file again"),
    (0, bytes(_HEAD)): ("zeros from its beginning on, as a failed copy or disk leaves it", "copy or record it again"),
    (4, b"ftyp"): ("a video, which has no depth", "give the folder or file in which its recorder stored depth too"),
    (8, b"AVI "): ("a video, which has no depth", "give the folder or file in which its recorder stored depth too"),
    (0, b"NI10"): ("an OpenNI recording (.oni)", "convert it to images with OpenNI's tools, and give their folder"),
    (0, b"\x89HDF"): ("an HDF5 file", f"save its arrays with {SAVING}"),
    (0, b"PAR1"): ("a Parquet table", "give the folder of the LeRobot data set"),
    (0, b"\x89PNG"): ("a single picture", _PICTURE),
    (0, b"\xff\xd8\xff"): ("a single picture", _PICTURE),
    (0, b"II*\0"): ("a single picture", _PICTURE),
}
"""Kind of a file, and what to do about it, by the place of some bytes in it, and these bytes."""


def what_it_is(path: Path) -> str | None:
    """Return what a file is that is no recording, and what to do, as the end of a sentence; None if unknown."""
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head.startswith(ZIP):
        if zipfile.is_zipfile(path):
            return f"is a zip archive; {_PACKED}"
        return "is an archive whose end is missing (of Record3D or NumPy, for example); copy or export it again"
    found = next((kind for (at, mark), kind in _KINDS.items() if _is_at(head, at, mark)), None)
    return None if found is None else f"is {found[0]}; {found[1]}"


def _is_at(head: bytes, at: int, mark: bytes) -> bool:
    return head[at : at + len(mark)].lower() == mark.lower()
