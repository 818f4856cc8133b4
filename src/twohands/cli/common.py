"""Exit codes, and what several commands need."""

from __future__ import annotations

from pathlib import Path

FINE, BAD, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130


def check_folder(out: Path) -> None:
    """Raises ValueError when results cannot go to a folder."""
    for path in (out, *out.parents):
        if path.exists() and not path.is_dir():
            raise ValueError(f"--out {out} is not possible: {path} is a file; give a folder")
