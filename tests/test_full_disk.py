"""A disk that fills up ends a run in one sentence; with space, the run goes on to the same bytes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fakes import grey_predictor
from many import SIZE, alone, content, orders, write_recording
from twohands.batch import Orders
from twohands.batch.executors import by_processes
from twohands.batch.part import Frames
from twohands.batch.recordings import find_units
from twohands.batch.unit import UnitWork
from twohands.files import NotWrittenError

ROOMY = 64 << 20
"""Bytes of a disk with space for everything."""


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The folder of a disk, and a function that sets its number of bytes."""
    monkeypatch.setattr(Frames, "size", SIZE)
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(size: int, *more: str) -> None:
        options = ",".join([*more, f"size={size}"])
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)

    try:
        resize(ROOMY)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no disk can be mounted here")
    yield folder, lambda size: resize(size, "remount")
    subprocess.run(["umount", folder], check=True)


def used(folder: Path) -> int:
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.rglob("*") if path.is_file())


def test_a_disk_that_is_full_at_any_moment(tmp_path, disk):
    folder, resize = disk
    recording = write_recording(tmp_path / "r.npz", 20)
    whole = alone(recording, tmp_path / "whole")
    needed = used(tmp_path / "whole") // 4096
    work, stopped = UnitWork(Orders(grey_predictor, {})), set[str]()
    for number, part in enumerate((0.05, 0.4, 0.8, 0.86, 0.88, 0.9, 0.98)):
        unit = find_units([str(recording)], folder / str(number))[0]
        resize(used(folder) + int(part * needed) * 4096)
        with pytest.raises(NotWrittenError, match=r"cannot write .* \(No space left on device\); free some space") as e:
            work.outcome(unit)
        stopped.add(Path(str(e.value.filename)).parent.name)
        resize(ROOMY)
        assert not work.outcome(unit).error
        assert content(unit.folder) == whole, part
    assert stopped == {"rows", "seen", "r"}  # in a frame, in a part, and at the end


def test_a_disk_that_fills_up_in_a_worker(tmp_path, disk):
    folder, resize = disk
    recording = write_recording(tmp_path / "r.npz", 20)
    units = find_units([str(recording)], folder)
    resize(40 * 4096)
    with pytest.raises(NotWrittenError, match=r"\(No space left on device\); free some space"):
        list(by_processes(orders(tmp_path), units, 1))
    resize(ROOMY)
    assert not UnitWork(Orders(grey_predictor, {})).outcome(units[0]).error
    assert content(units[0].folder) == alone(recording, tmp_path / "whole")
