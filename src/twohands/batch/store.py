"""The folder of a run: its settings, the rows of parts in work, and finished parts.

`rows/NAME.npz` holds each row of a part in work, so that a kill costs one frame. When all frames of a part are done it
is written as one file, and its rows are removed. Parts of a tracked run are first written to `seen/`, frame by frame as
the hands were seen, as parameters alone; `parts/` is what results from all of them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twohands.claims import read_claim, refuse_other
from twohands.files import write_atomically
from twohands.findings import Finding
from twohands.hands import HandModel
from twohands.results import PARTS, Row, read_array, read_npz, split_rows, write_json, write_npz, write_part
from twohands.results.parquet import write_parquet

MERGED = 2000
"""Largest number of frames of a run for which `hands.npz` and `hands.json` are written."""
_FIX = "give another --out or remove that folder"


@dataclass(frozen=True)
class Part:
    """A finished part: its rows and the record of `DepthTiming`."""

    rows: list[Row]
    timing: str


class Store:
    """The folder of a run.

    `settings` hold everything that changes the rows. They are stored in `run.json`; a folder with others is refused.
    """

    def __init__(self, folder: Path, settings: dict[str, object], model: HandModel, tracked: bool, vertices: bool):
        self.folder, self.settings, self.model = folder, settings, model
        self.tracked, self.vertices = tracked, vertices
        self.faces = np.asarray(model.faces)
        path = folder / "run.json"
        self.is_new = not path.exists()
        stored = {} if self.is_new else read_claim(path, _FIX)
        if stored:  # a setting that this version lacks is a change
            refuse_other(f"{folder} holds rows made", stored, {**dict.fromkeys(stored), **settings}, _FIX)
        for path in (self.final, self.final.with_suffix(".json"), folder / PARTS, folder / "summary.json"):
            if not stored and path.exists():
                raise ValueError(f"{folder} holds {path.name} of another command; give another --out")

    @property
    def final(self) -> Path:
        """Path of the merged rows."""
        return self.folder / "hands.npz"

    @property
    def written(self) -> Path:
        """Path of the merged rows if there are any, otherwise of the folder of the parts."""
        return self.final if self.final.exists() else self.folder / PARTS

    @property
    def stage(self) -> Path:
        """Folder of the parts as they were seen frame by frame."""
        return self.folder / ("seen" if self.tracked else PARTS)

    def keep(self, row: Row, memory: np.ndarray) -> None:
        """Keep a finished row of a part in work, with what its follower remembers."""
        self.write_settings()
        path = self.folder / "rows" / f"{row['frame_id']}.npz"
        write_npz(path, [row], self.faces, self.model.name, {"memory": memory})

    def kept(self, name: str) -> tuple[Row | None, np.ndarray]:
        """Return the row of a part in work and what its follower remembers; None and nothing if it is not there."""
        path = self.folder / "rows" / f"{name}.npz"
        if not os.path.exists(path):  # also for a name that is too long
            return None, np.zeros(0, dtype=np.uint8)
        return split_rows(read_npz(path))[0], read_array(path, "memory")

    def part(self, number: int) -> Part | None:
        """Return a part that was seen, None if it is not there."""
        path = _path(self.stage, number)
        if not path.exists():
            return None
        return Part(split_rows(read_npz(path)), self.timing(number))

    def seen(self, number: int) -> list[Row]:
        """Return the rows of a part that was seen."""
        return split_rows(read_npz(_path(self.stage, number)))

    def timing(self, number: int) -> str:
        """Return the record of the timing of a part that was seen."""
        return str(read_array(_path(self.stage, number), "timing"))

    def pack(self, number: int, rows: Sequence[Row], timing: str) -> None:
        """Write what was seen in a part."""
        self.write_settings()
        without = {"vertices", "joints"} if self.tracked else self._without
        self._write(_path(self.stage, number), rows, timing, without)

    def drop_rows(self, rows: Sequence[Row]) -> None:
        """Remove the files of the rows of a part."""
        for path in (self.folder / "rows" / f"{row['frame_id']}.npz" for row in rows):
            if os.path.exists(path):  # not for a name that is too long
                path.unlink()

    def numbers(self) -> list[int]:
        """Return the numbers of the parts that were seen."""
        return _numbers(self.stage)

    def write_result(self, number: int, rows: Sequence[Row]) -> tuple[list[Row], bool]:
        """Write a part of the result of a tracked run; return its rows and whether it is another one than before."""
        path = _path(self.folder / PARTS, number)
        before = path.read_bytes() if path.exists() else b""
        written = self._write(path, rows, "", self._without)
        return written, path.read_bytes() != before

    def result(self, number: int) -> list[Row]:
        """Return the rows of a part of the result."""
        return split_rows(read_npz(_path(self.folder / PARTS, number)))

    def results(self) -> Iterator[list[Row]]:
        """Yield the rows of the result, part by part."""
        for number in _numbers(self.folder / PARTS):
            yield self.result(number)

    def remove_from(self, number: int) -> None:
        """Remove parts that the recording no longer has, from a number on."""
        for folder in {self.stage, self.folder / PARTS}:
            for later in _numbers(folder):
                if later >= number:
                    _path(folder, later).unlink()

    def merge(self, count: int, findings: Sequence[Finding]) -> None:
        """Write `hands.npz` and `hands.json` for a result of `count` rows if it is short."""
        text = self.final.with_suffix(".json")
        if count > MERGED:
            self.final.unlink(missing_ok=True)
            text.unlink(missing_ok=True)
            return
        rows = [row for part in self.results() for row in part]
        write_npz(self.final, rows, self.faces, self.model.name)
        write_json(text, rows, self.model.name, findings)

    @property
    def parquet(self) -> Path:
        """Path of the result as one file."""
        return self.final.with_suffix(".parquet")

    def write_parquet(self) -> None:
        """Write the result as one file, part by part."""
        parts = (read_npz(_path(self.folder / PARTS, number)) for number in _numbers(self.folder / PARTS))
        write_parquet(self.parquet, parts, self.settings)

    def write_summary(self, summary: dict[str, object]) -> None:
        """Write `summary.json`."""
        with write_atomically(self.folder / "summary.json") as temporary:
            temporary.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")

    def drop_all_rows(self) -> None:
        """Remove the files of all rows, since every part is finished, and what killed processes left half written."""
        shutil.rmtree(self.folder / "rows", ignore_errors=True)
        for folder in {self.folder, self.stage, self.folder / PARTS}:
            for path in folder.glob(".*.*-*.*"):
                path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove what this run has written if its folder is new: there was no row of any use."""
        if self.is_new:
            for folder in (self.stage, self.folder / "rows"):
                shutil.rmtree(folder, ignore_errors=True)
            (self.folder / "run.json").unlink(missing_ok=True)
            if self.folder.is_dir() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    @property
    def _without(self) -> set[str]:
        """Fields that the result lacks."""
        return set() if self.vertices else {"vertices"}

    def _write(self, path: Path, rows: Sequence[Row], timing: str, without: set[str]) -> list[Row]:
        rows = [{name: value for name, value in row.items() if name not in without} for row in rows]
        return write_part(path, rows, self.faces, self.model.name, {"timing": np.array(timing)})

    def write_settings(self) -> None:
        """Write the settings of the run."""
        if not (self.folder / "run.json").exists():
            with write_atomically(self.folder / "run.json") as temporary:
                temporary.write_text(json.dumps(self.settings, indent=1) + "\n", encoding="utf-8")


def _path(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}.npz"


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("part-")) for path in folder.glob("part-*.npz"))
