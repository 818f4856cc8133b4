"""Exit codes, and what several commands need."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

FINE, BAD, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130


def check_folder(out: Path) -> None:
    """Raises ValueError when results cannot go to a folder, which need not be there yet and is not made."""
    there = next(path for path in (out, *out.parents) if os.path.exists(path))
    if not there.is_dir():
        raise ValueError(f"--out {out} is not possible: {there} is a file; give a folder")
    try:
        TemporaryDirectory(prefix=".twohands-", dir=there).cleanup()
    except OSError as error:
        raise ValueError(f"--out {out} is not possible ({there}: {error.strerror}); give another folder") from None
