"""`twohands data check`: what it prints and writes, and its exit codes."""

import numpy as np
import pytest
from PIL import Image

from test_reader_h2o import write_copy
from twohands import cli
from twohands.data import inspection
from twohands.data.inspection import Facts
from twohands.hands.mano_files import read_mano


@pytest.fixture
def root(mano_folder, tmp_path, monkeypatch):
    """A miniature copy, and its size and counts in place of the official ones."""
    write_copy(tmp_path / "H2O", read_mano(mano_folder))
    facts = Facts((320, 180), dict.fromkeys(("train", "validation", "test"), (3,)))
    monkeypatch.setitem(inspection.FACTS, "h2o", facts)
    return tmp_path / "H2O"


def check(root, tmp_path, *more):
    return cli.main(["data", "check", "h2o", str(root), "--out", str(tmp_path / "out"), *more])


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_clean_copy(root, tmp_path, capsys, split):
    assert check(root, tmp_path, "--split", split) == 0
    printed = capsys.readouterr().out
    assert f"h2o, split {split}: 3 frames; looked at 3 of them with 4 labelled hands" in printed
    assert "all is well" in printed
    sheet = np.asarray(Image.open(tmp_path / "out" / f"h2o_{split}.png"))
    assert sheet.shape[1] > 4 * 480  # colour and depth of two frames side by side
    assert sheet.shape[0] > 2 * 250
    thumb = np.abs(sheet.astype(int) - (230, 80, 60)).max(axis=-1) < 30
    assert thumb.sum() > 100


def test_findings_are_told_with_their_remedy(root, tmp_path, capsys):
    for path in root.glob("subject1/**/depth/*.png"):
        depth = np.asarray(Image.open(path)).astype(np.uint16)
        Image.fromarray(depth * 10).save(path)
    (root / "subject1/h1/0/cam4/rgb/000001.png").unlink()
    assert check(root, tmp_path) == 1
    printed = capsys.readouterr().out
    assert "missing file: 1 of 3 frames" in printed
    assert "depth unit: the measured depth is 10 times" in printed
    assert "2 to mend" in printed
    assert check(root, tmp_path, "--split", "validation") == 0


def test_labels_behind_the_camera_do_not_stop_the_sheet(root, tmp_path, capsys):
    for path in root.glob("subject1/**/hand_pose/*.txt"):
        numbers = np.array(path.read_text().split(), dtype=np.float64).reshape(2, 64)
        numbers[:, 1:] = (numbers[:, 1:].reshape(2, 21, 3) * [1, -1, -1]).reshape(2, 63)
        path.write_text(" ".join(map(repr, numbers.ravel().tolist())))
    assert check(root, tmp_path, "--frames", "2") == 1
    assert "camera axes: the joints lie behind the camera" in capsys.readouterr().out
    assert (tmp_path / "out" / "h2o_train.png").exists()


def test_what_cannot_be_opened_is_an_error(root, tmp_path, capsys):
    assert check(tmp_path, tmp_path / "else", "--frames", "0") == 2
    assert "--frames must be 1 or more" in capsys.readouterr().err
    assert check(tmp_path / "nothing", tmp_path) == 2
    assert "no folders subject1" in capsys.readouterr().err
