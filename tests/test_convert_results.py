"""`twohands convert-results` writes what was stored in every format, and parquet is read back."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

import twohands
from fakes import K, make_hands
from twohands import cli
from twohands.hands import free_hand
from twohands.results import failed_row, iter_results, make_row, read_results, write_part


@pytest.fixture
def folder(tmp_path):
    """The folder of a run of two parts, three frames."""
    hands = make_hands()
    rows = [
        make_row("a", hands, K, seconds=1.5),
        make_row("b", replace(hands, present=np.array([0.2, 0.9])), K),
        failed_row("c", "is \u201cdamaged\u201d, \nreally", K, free_hand()),
    ]
    faces = np.asarray(free_hand().faces)
    for number, part in enumerate((rows[:2], rows[2:])):
        write_part(tmp_path / "run" / "parts" / f"part-{number:05d}.npz", part, faces, "free", {"timing": ""})
    (tmp_path / "run" / "run.json").write_text('{"recording": "x.bag", "every": 1}')
    return tmp_path / "run"


def test_every_format(tmp_path, folder, capsys):
    arrays = read_results(folder)
    files = {kind: tmp_path / f"out.{kind}" for kind in ("npz", "json", "csv")}
    options = [word for kind, path in files.items() for word in (f"--{kind}", str(path))]
    assert cli.main(["convert-results", str(folder), *options]) == 0
    again = read_results(files["npz"])
    for name in again:
        np.testing.assert_array_equal(again[name], arrays[name], err_msg=name)
    assert [frame["frame_id"] for frame in json.loads(files["json"].read_text())["frames"]] == ["a", "b", "c"]
    lines = list(csv.DictReader(files["csv"].open(newline="", encoding="utf-8")))
    assert [line["frame_id"] for line in lines] == ["a", "b", "c"]
    assert [line["left_status"] for line in lines] == ["fitted", "absent", "absent"]
    assert float(lines[0]["right_wrist_x"]) == pytest.approx(arrays["joints"][0, 1, 0, 0], abs=1e-6)
    assert lines[1]["left_wrist_x"] == ""
    assert lines[2]["error"] == arrays["error"][2]
    assert cli.main(["convert-results", str(folder)]) == 2
    assert "give --npz" in capsys.readouterr().err
    assert cli.main(["convert-results", str(folder), "--csv", str(files["csv"])]) == 2
    assert "exists; give another file" in capsys.readouterr().err


def test_parts_are_read_one_by_one(folder):
    assert [len(part["frame_id"]) for part in twohands.iter_results(folder)] == [2, 1]


def test_parquet(tmp_path, folder):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "hands.parquet"
    assert cli.main(["convert-results", str(folder), "--parquet", str(path)]) == 0
    arrays, again = read_results(folder), read_results(path)
    for name in set(arrays) - {"timing"}:
        np.testing.assert_array_equal(again[name], arrays[name], err_msg=name)
        assert again[name].dtype.kind == arrays[name].dtype.kind, name
    assert [len(part["frame_id"]) for part in iter_results(path)] == [2, 1]
    file = parquet.ParquetFile(path)
    assert str(file.schema_arrow.field("left_joints").type) == "fixed_size_list<element: float>[63]"
    about = json.loads(file.schema_arrow.metadata[b"twohands"])
    assert about["run"]["recording"] == "x.bag"
    assert "OpenCV camera frame" in about["units"]
    (tmp_path / "other.parquet").write_text("no")
    with pytest.raises(ValueError, match="not a readable parquet file"):
        read_results(tmp_path / "other.parquet")
    with pytest.raises(FileNotFoundError):
        read_results(tmp_path / "missing.parquet")


def test_without_pyarrow(folder, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"pip install 'twohands\[parquet\]'"):
        read_results(tmp_path / "x.parquet")
