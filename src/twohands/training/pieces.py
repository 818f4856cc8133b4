"""A training state in files of limited size; the newest complete state is used."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import torch

from twohands.files import write_atomically

LIMIT = 15_000_000
"""Largest size of a file, bytes."""
_NAME = re.compile(r"state-(\d+)-(\d+)of(\d+)\.bin")


def save_pieces(folder: Path, number: int, state: dict[str, Any], limit: int = LIMIT) -> None:
    """Write a state under a number, then remove those with other numbers: one of them is whole at any time."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    parts = [content[start : start + limit] for start in range(0, len(content), limit)]
    names = [f"state-{number:08d}-{place}of{len(parts)}.bin" for place in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        with write_atomically(folder / name) as temporary:
            temporary.write_bytes(part)
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name) and path.name not in names:
            path.unlink(missing_ok=True)


def load_pieces(folder: Path) -> dict[str, Any] | None:
    """Return the newest state of a folder that can be read, on the CPU; None without one."""
    found: dict[tuple[int, int], list[Path]] = {}
    for path in sorted(folder.glob("state-*.bin")):
        if name := _NAME.fullmatch(path.name):
            found.setdefault((int(name[1]), int(name[3])), []).append(path)
    for (_, count), paths in sorted(found.items(), reverse=True):
        if len(paths) != count:
            continue
        paths.sort(key=lambda path: int(path.name.split("-")[2].split("of")[0]))
        content = io.BytesIO(b"".join(path.read_bytes() for path in paths))
        try:
            return torch.load(content, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            continue
    return None
