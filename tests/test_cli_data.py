"""`twohands data check` and `pack`: their output, files and exit codes."""

import json
import re
from dataclasses import asdict, replace

import numpy as np
import pytest
from PIL import Image

from fakes import PosedHands
from test_reader_h2o import write_copy
from twohands import cli
from twohands.config import PRESETS
from twohands.data import inspection
from twohands.data.dataset import identity_of, name_of, open_dataset
from twohands.data.inspection import Facts
from twohands.data.packing import pack
from twohands.data.readers.h2o import H2O
from twohands.evaluation import scoring as evaluation
from twohands.hands import free_hand
from twohands.hands.mano_files import read_mano
from twohands.networks import build_network
from twohands.networks.checkpoint import save_checkpoint
from twohands.shards import Shards, write_shards
from twohands.synth.config import BASIC
from twohands.synth.engine import SyntheticHands
from twohands.types import TwoHands

TINY = PRESETS["tiny"].network


@pytest.fixture
def root(mano_folder, tmp_path, monkeypatch):
    """A miniature copy, and its size and counts in place of the official ones."""
    write_copy(tmp_path / "H2O", read_mano(mano_folder))
    facts = Facts(((320, 180),), dict.fromkeys(("train", "validation", "test"), (3,)))
    monkeypatch.setitem(inspection.FACTS, "h2o", facts)
    return tmp_path / "H2O"


def check(root, tmp_path, *more):
    return cli.main(["data", "check", "h2o", str(root), "--out", str(tmp_path / "out"), *more])


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_clean_copy(root, tmp_path, capsys, split):
    assert check(root, tmp_path, "--split", split) == 0
    printed = capsys.readouterr().out
    assert f"h2o, split {split}: 3 frames; checked 3 of them, with 4 labelled hands" in printed
    assert "all is well" in printed
    assert re.search(r"a core reads \d+ frames a second", printed)
    sheet = np.asarray(Image.open(tmp_path / "out" / f"h2o_{split}.png"))
    assert sheet.shape[1] > 4 * 480  # colour and depth of two frames side by side
    assert sheet.shape[0] > 2 * 250
    thumb = np.abs(sheet.astype(int) - (230, 80, 60)).max(axis=-1) < 30
    assert thumb.sum() > 100


def test_findings_are_printed_with_their_fix(root, tmp_path, capsys):
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


def test_packed_frames_are_those_of_the_copy(root, tmp_path, capsys):
    """Except for the colours, which are JPEG; depth is exact if its step is a millimetre."""
    arguments = ["data", "pack", "h2o", str(root), "--out", str(tmp_path / "packed")]
    assert cli.main(arguments) == 0
    assert f"wrote {tmp_path}/packed/" in capsys.readouterr().out
    copy, packed = H2O(root), open_dataset(str(tmp_path / "packed"))
    assert len(packed) == len(copy) == 3
    for one, two in ((copy[index], packed[index]) for index in range(3)):
        assert (two.id, two.joint_definition, two.hand_model) == (one.id, "mano", "mano")
        colours = [sample.frame.rgb.astype(np.float64) for sample in (one, two)]
        assert np.abs(colours[0] - colours[1]).mean() < 0.02
        np.testing.assert_allclose(two.frame.depth, one.frame.depth, atol=1e-6)
        np.testing.assert_array_equal(two.masks, one.masks)
        for name in ("vertices", "joints", "present"):
            np.testing.assert_array_equal(getattr(two.hands, name), getattr(one.hands, name))
        np.testing.assert_array_equal(two.hands.parameters.pose, one.hands.parameters.pose)
        np.testing.assert_array_equal(two.visible_fraction, one.visible_fraction)
        np.testing.assert_array_equal(two.presence_known, one.presence_known)
    assert cli.main([*arguments, "--split", "test"]) == 2
    assert "was begun with split = 'train', not 'test'" in capsys.readouterr().err


def test_packed_frames_are_still_those_of_their_data_set_and_split(root, tmp_path, capsys, monkeypatch):
    packed = str(pack(H2O(root, "test"), "h2o", "test", tmp_path / "packed"))
    assert name_of(packed) == name_of(f"synthetic={packed}") == name_of(f"h2o={root}") == "h2o"
    assert identity_of(packed, "test", 3) == identity_of(f"h2o:test={root}", "train", 3)
    for source, split in ((packed, "train"), (f"synthetic:validation={packed}", "test")):
        with pytest.raises(ValueError, match=r"packed holds the split test of h2o, not .*: synthetic:test=.*packed"):
            open_dataset(source, split)
    assert len(open_dataset(f"synthetic:test={packed}")) == 3
    save_checkpoint(build_network(TINY, free_hand()), TINY, tmp_path / "net")
    monkeypatch.setattr(evaluation, "SMALLEST_LENGTH", 20)  # the copy is small
    network = ["--no-fit", "--network", str(tmp_path / "net")]
    measure = ["evaluate", "--data", packed, *network, "--out", str(tmp_path / "out")]
    assert cli.main(measure) == 0
    assert "As the benchmark of this data set measures:" in capsys.readouterr().out


def test_renderings_are_shards_already(tmp_path):
    with pytest.raises(ValueError, match="are shards already"):
        pack(H2O, "synthetic", "train", tmp_path / "packed")


def test_rendered_frames_are_identified_by_their_request(tmp_path):
    frames = SyntheticHands(3, "validation", replace(BASIC, width=64, height=48), 1)
    folder = write_shards(frames, 1, tmp_path / "frames", frames.content, progress=False)
    found = identity_of(str(folder), "train", 1)
    assert (found["name"], found["split"], found["seed"], found["count"]) == ("synthetic", "validation", 3, 1)
    assert found["config"] == json.loads(json.dumps(asdict(frames.config)))
    assert json.loads(json.dumps(found)) == found
    assert identity_of(str(folder.rename(tmp_path / "moved")), "test", 1) == found
    assert len(open_dataset(str(tmp_path / "moved"), "test")) == 1  # the folder may have any name


def test_what_a_data_set_lacks_is_lacking_when_packed(tmp_path):
    sample = replace(PosedHands()[0], joint_definition="annotated", id="a/b", masks=None, visibility=None)
    bare = TwoHands(None, sample.hands.joints, sample.hands.present)
    sample = replace(sample, hands=bare, visible_fraction=None)
    far = replace(sample, frame=replace(sample.frame, depth=sample.frame.depth + 7))
    packed = Shards(pack([sample, far], "rhd", "train", tmp_path / "packed"))
    for index, one in enumerate((sample, far)):
        again = packed[index]
        assert (again.id, again.joint_definition) == ("a/b", "annotated")
        assert again.masks is again.visibility is again.visible_fraction is None
        assert again.hands.vertices is again.hands.parameters is None
        np.testing.assert_array_equal(again.hands.joints, one.hands.joints)
        np.testing.assert_allclose(again.frame.depth, one.frame.depth, atol=(5.1e-5, 5.1e-4)[index])
