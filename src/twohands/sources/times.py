"""The file with the time stamps of a folder of images: `frames.csv`, with the columns name and seconds."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from io import StringIO
from pathlib import Path

from twohands.files import write_atomically
from twohands.values import read_text

TIMES = "frames.csv"
"""Name of the file in the folder."""


def write_times(folder: Path, times: Iterable[tuple[str, float | None]]) -> None:
    """Write the names of frames and their time stamps in seconds; None where a frame has none."""
    lines = [f"{name},{'' if seconds is None else f'{seconds:.9f}'}" for name, seconds in times]
    with write_atomically(folder / TIMES) as temporary:
        temporary.write_text("\n".join(["name,seconds", *lines]) + "\n", encoding="utf-8")


def read_times(folder: Path) -> dict[str, float]:
    """Return the time stamps in seconds by the names of frames; none without the file.

    Raise ValueError with the fix when the file has other columns, or words in place of numbers.
    """
    path = folder / TIMES
    if not path.is_file():
        return {}
    fix = "correct it or remove it"
    rows = table_rows(path, fix)
    try:
        return {row["name"]: float(row["seconds"]) for row in rows if row["seconds"]}
    except (KeyError, ValueError):
        raise ValueError(f"{path} has no columns name and seconds with numbers; {fix}") from None


def table_rows(path: Path, fix: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file by the names of its columns; raise ValueError with `fix` if it is no text."""
    return list(csv.DictReader(StringIO(read_text(path, fix)), skipinitialspace=True))
