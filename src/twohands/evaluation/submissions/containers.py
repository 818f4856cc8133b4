"""JSON documents, plain or inside an archive; the suffix of the path decides."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from twohands.files import write_atomically

SUFFIXES = (".json", ".zip", ".tar")


def write_json(path: str | Path, member: str, pieces: Iterable[str]) -> None:
    """Write the text of a document, given in pieces, to a .json, or as `member` into a .zip or .tar."""
    path = Path(path)
    _check_suffix(path)
    with write_atomically(path) as temporary:
        if path.suffix == ".zip":
            with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(member, "w") as stream:
                for piece in pieces:
                    stream.write(piece.encode())
        elif path.suffix == ".tar":
            content = "".join(pieces).encode()
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            with tarfile.open(temporary, "w") as archive:
                archive.addfile(entry, io.BytesIO(content))
        else:
            with temporary.open("w", encoding="utf-8") as stream:
                stream.writelines(pieces)


def read_json(path: str | Path, member: str) -> Any:
    """Return the document. Raise FileNotFoundError, or ValueError for no JSON or an archive without that member."""
    path = Path(path)
    _check_suffix(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; check the path")
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                content = archive.read(member)
        elif path.suffix == ".tar":
            with tarfile.open(path) as archive:
                stream = archive.extractfile(member)
                content = b"" if stream is None else stream.read()
        else:
            content = path.read_bytes()
    except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise ValueError(f"{path} is no archive with {member} at its top ({error}); write it again") from None
    try:
        return json.loads(content)
    except ValueError as error:
        raise ValueError(f"{path} holds no valid JSON ({error}); write it again") from None


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path} must end in one of {', '.join(SUFFIXES)}")
