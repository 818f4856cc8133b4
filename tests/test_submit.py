"""`twohands submit`: predictions for the test frames of a reader become a valid file."""

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest

import ho3d_copies
from fakes import PosedHands
from twohands import cli
from twohands.data.readers.dexycb import DexYCB
from twohands.data.readers.h2o3d import H2O3D
from twohands.data.readers.ho3d import HO3D
from twohands.evaluation.submissions import fill_missing, submission_of
from twohands.hands import free_hand, mano_hand
from twohands.hands.mano_files import read_mano
from twohands.types import LEFT, RIGHT, TwoHands


def hands(*present, shift=0.0):
    joints = PosedHands()[0].hands.joints + np.float32(shift)
    return TwoHands(None, joints, np.array(present, np.float32))


def test_a_missing_hand_is_that_of_the_nearest_frame_of_its_recording():
    found = [
        hands(1, 0, shift=0),
        hands(1, 1, shift=1),
        hands(0, 0, shift=2),
        hands(1, 1, shift=3),
        hands(1, 1, shift=9),
    ]
    recordings = ["a", "a", "a", "b", "b"]
    both = [(LEFT, RIGHT)] * 5
    filled, count = fill_missing(found, recordings, both)
    assert count == 3
    assert all(one.present.tolist() == [1, 1] for one in filled)
    np.testing.assert_array_equal(filled[0].joints[RIGHT], found[1].joints[RIGHT])
    np.testing.assert_array_equal(filled[0].joints[LEFT], found[0].joints[LEFT])
    np.testing.assert_array_equal(filled[2].joints, found[1].joints)
    assert fill_missing(found, recordings, [(LEFT,)] * 5)[1] == 1
    with pytest.raises(ValueError, match="the right hand is found in no frame of c, but all are scored"):
        fill_missing([hands(1, 0)], ["c"], [(RIGHT,)])


class Guess:
    """Predictor that knows the right wrist, on which its meshes are centred."""

    def __init__(self, roots, model):
        self.roots = iter(roots)
        self.model = replace(free_hand(), name=model)

    def __call__(self, frame):
        truth = PosedHands()[0].hands
        moved = next(self.roots) - truth.joints[RIGHT, 0]
        joints = truth.joints + moved
        return TwoHands(truth.vertices + moved, joints.astype(np.float32), np.ones(2, np.float32))


class Refusing(Guess):
    """Predictor that refuses the first frame."""

    def __call__(self, frame):
        self.called = getattr(self, "called", 0) + 1
        if self.called == 1:
            raise ValueError("depth is zero everywhere")
        return super().__call__(frame)


def test_refused_frames_are_filled_in_and_meshes_of_the_free_hand_are_left_out(
    mano_folder, tmp_path, monkeypatch, capsys
):
    lines = ["ZZ1/0003", "ZZ1/0004"]
    root, out = tmp_path / "H2O3D", tmp_path / "pred.json"
    worlds = ho3d_copies.write_h2o3d(root, read_mano(mano_folder))
    ho3d_copies.write_frame(
        root / "evaluation" / "ZZ1", "0004", worlds[lines[0]],
        ho3d_copies.evaluation_meta(ho3d_copies.h2o3d_meta(read_mano(mano_folder), worlds[lines[0]])), protocol=4,
    )  # fmt: skip
    (root / "evaluation.txt").write_text("\n".join(lines))
    for model, parts in (("free", 1), ("mano", 2)):
        guess = Refusing([np.array([0, 0, 0.5])], model)
        monkeypatch.setattr("twohands.predictor.load", lambda *_, guess=guess, **__: guess)
        assert cli.main(["submit", "h2o3d", str(root), "--out", str(out), "--network", "run"]) == 0
        said = capsys.readouterr().out
        assert "1 frames were refused" in said
        assert "2 frames, 2 hands filled in" in said
        written = json.loads(out.read_text())
        assert len(written) == parts
        assert all(part[0] == part[1] for part in written)


def test_ho3d_from_the_command_line(mano_folder, tmp_path, monkeypatch, capsys):
    root = tmp_path / "HO3D"
    ho3d_copies.write_ho3d(root, read_mano(mano_folder))
    dataset = HO3D(root, "test")
    roots = [dataset.root(index)[RIGHT] for index in range(len(dataset))]
    arguments = ["submit", "ho3d", str(root), "--out", str(tmp_path / "pred.zip"), "--network", "run"]
    monkeypatch.setattr("twohands.predictor.load", lambda *_, **__: Guess(roots, "free"))
    assert cli.main(arguments) == 2
    assert "scores vertices of the hand model 'mano', the predictions have those of 'free'" in capsys.readouterr().err
    monkeypatch.setattr("twohands.predictor.load", lambda *_, **__: Guess(roots, "mano"))
    assert cli.main(arguments) == 0
    assert f"{len(roots)} frames, 0 hands filled in" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "pred.zip") as archive:
        joints, vertices = json.loads(archive.read("pred.json"))
    np.testing.assert_allclose(np.array(joints)[:, 0] * [1, -1, -1], roots, atol=1e-5)
    assert np.shape(vertices) == (len(roots), 778, 3)
    monkeypatch.setattr("twohands.predictor.load", lambda *_, **__: Guess(np.array(roots) + 0.5, "mano"))
    assert cli.main(arguments) == 2
    assert "is the order that of evaluation.txt?" in capsys.readouterr().err


class OneLeftHand(DexYCB):
    """One frame of DexYCB with the parts that a submission needs."""

    def __init__(self):
        pass

    def __len__(self):
        return 1

    def side(self, index):
        return LEFT

    def recording(self, index):
        return "recording"


def test_dexycb_has_the_finger_tips_of_left_hands_for_left_hands(tmp_path):
    model = mano_hand()
    hands = model(replace(model.neutral(), translation=np.full((2, 3), 0.5, np.float32)))
    submission_of(OneLeftHand()).write(tmp_path / "pred.txt", [hands])
    joints = np.array((tmp_path / "pred.txt").read_text().split(",")[1:], float).reshape(21, 3)
    np.testing.assert_allclose(joints[12], 1e3 * hands.vertices[LEFT, 445], atol=1e-3)
    assert np.linalg.norm(joints[12] - 1e3 * hands.joints[LEFT, 12]) > 1  # the model's is vertex 444


def test_what_benchmarks_want_of_their_frames(mano_folder, tmp_path):
    ho3d_copies.write_h2o3d(tmp_path, read_mano(mano_folder))
    dataset = H2O3D(tmp_path, "test")
    submission = submission_of(dataset)
    assert (submission.kind, len(submission.names)) == ("h2o3d", len(dataset))
    assert set(submission.sides) == {(LEFT, RIGHT)}
    assert submission.recordings[0] == submission.names[0].split("/")[0]
    with pytest.raises(ValueError, match="there is no submission for PosedHands"):
        submission_of(PosedHands())
