"""`hands.npz` has exactly the promised fields, reads back, and a run survives interruption."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fakes import K, make_hands
from twohands.findings import Finding
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands import free_hand
from twohands.results import (
    STEP,
    failed_row,
    hands_of_row,
    holds_one_frame,
    make_row,
    read_results,
    split_rows,
    write_json,
    write_npz,
    write_part,
)

FACES = np.asarray(free_hand().faces)
SHAPES = {
    "hand_model": (),
    "format_version": (),
    "frame_id": (3,),
    "seconds": (3,),
    "vertices": (3, 2, 778, 3),
    "joints": (3, 2, 21, 3),
    "present": (3, 2),
    "faces": (2, 1534, 3),
    "pose": (3, 2, 15, 3),
    "shape": (3, 2, 10),
    "T_camera_from_wrist": (3, 2, 4, 4),
    "K": (3, 3, 3),
    "error": (3,),
    "depth_residual": (3, 2),
    "depth_support": (3, 2),
    "fitted": (3, 2),
    "status": (3, 2),
    "doubtful": (3, 2),
    "confidence": (3, 2),
    "sigma": (3, 2, 21, 2),
    "examined": (3,),
    "findings": (3,),
    "inputs": (3, 2, 2),
}


def three_rows():
    """Both hands; a right hand only; an unreadable frame."""
    return [
        make_row("000074", make_hands(), K, seconds=1_700_000_000.123456),
        make_row("000075", make_hands((0.3, 0.9)), K),
        failed_row("000076", "rgb/000076.png is damaged", K, free_hand()),
    ]


def test_schema(tmp_path):
    write_npz(tmp_path / "hands.npz", three_rows(), FACES, "free")
    with np.load(tmp_path / "hands.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    assert {name: array.shape for name, array in arrays.items()} == SHAPES
    kinds = {"U": ("frame_id", "error", "hand_model", "status", "findings"), "i": ("format_version", "faces", "inputs")}
    kinds |= {"b": ("fitted", "doubtful", "examined")}
    others = {name: kind for kind, names in kinds.items() for name in names}
    assert {name: arrays[name].dtype.kind for name in others} == others
    assert all(arrays[name].dtype == np.float32 for name in set(SHAPES) - set(others) - {"seconds"})
    assert arrays["seconds"].dtype == np.float64
    np.testing.assert_array_equal(arrays["seconds"], [1_700_000_000.123456, np.nan, np.nan])
    assert arrays["frame_id"].tolist() == ["000074", "000075", "000076"]
    assert arrays["error"].tolist() == ["", "", "rgb/000076.png is damaged"]
    np.testing.assert_array_equal(arrays["faces"][0], arrays["faces"][1][:, ::-1])


def test_values(tmp_path):
    hands = make_hands()
    write_npz(tmp_path / "hands.npz", three_rows(), FACES, "free")
    arrays = read_results(tmp_path / "hands.npz")
    np.testing.assert_array_equal(arrays["vertices"][0], hands.vertices)
    np.testing.assert_allclose(arrays["present"], [[1, 1], [0.3, 0.9], [0, 0]], rtol=1e-6)
    transform = arrays["T_camera_from_wrist"][0, 1]
    np.testing.assert_allclose(transform[:3, :3], matrix_from_axis_angle(hands.parameters.rotation[1]), atol=1e-6)
    np.testing.assert_allclose(transform[:, 3], [0.11, 0.08, 0.5, 1], atol=1e-6)
    np.testing.assert_allclose(transform[:3, 3], arrays["joints"][0, 1, 0], atol=2e-3)  # the wrist joint
    absent = np.array([[False, False], [True, False], [True, True]])
    for name in ("vertices", "joints", "pose", "shape", "T_camera_from_wrist", "depth_residual"):
        missing = np.isnan(arrays[name])
        assert missing[absent].all(), name
        assert not missing[~absent].any(), name
    np.testing.assert_allclose(arrays["depth_support"], [[0.9, 0.8], [0, 0.8], [0, 0]], rtol=1e-6)
    np.testing.assert_array_equal(arrays["K"], np.stack([K] * 3))
    again = hands_of_row(split_rows(arrays)[1])
    np.testing.assert_array_equal(again.vertices[1], hands.vertices[1])


def test_a_hand_from_landmarks_alone_differs_from_a_fitted_one(tmp_path):
    """The right hand of `make_hands` is not fitted, though it has a residual."""
    write_npz(tmp_path / "hands.npz", three_rows(), FACES, "free")
    arrays = read_results(tmp_path / "hands.npz")
    np.testing.assert_array_equal(arrays["fitted"], [[True, False], [False, False], [False, False]])
    quality = hands_of_row(split_rows(arrays)[0]).quality
    assert quality is not None
    np.testing.assert_array_equal(quality.fitted, [True, False])
    write_json(tmp_path / "hands.json", three_rows(), "free")
    hands = json.loads((tmp_path / "hands.json").read_text())["frames"][0]["hands"]
    assert (hands["left"]["fitted"], hands["right"]["fitted"]) == (True, False)


def test_both_files_find_the_same_hands(tmp_path):
    write_json(tmp_path / "hands.json", [make_row("000074", make_hands((0.49996, 0.50004)), K)], "free")
    hands = json.loads((tmp_path / "hands.json").read_text())["frames"][0]["hands"]
    assert hands["left"] is None
    assert hands["right"]["present"] == 0.5


def test_json(tmp_path):
    write_json(tmp_path / "hands.json", three_rows(), "free")
    text = (tmp_path / "hands.json").read_text()
    assert "NaN" not in text
    frames = json.loads(text)["frames"]
    assert [frame["frame_id"] for frame in frames] == ["000074", "000075", "000076"]
    assert frames[1]["hands"]["left"] is None
    np.testing.assert_allclose(frames[1]["hands"]["right"]["joints"], make_hands().joints[1], atol=1e-5)
    assert frames[2]["error"] == "rgb/000076.png is damaged"
    assert frames[2]["hands"] == {"left": None, "right": None}


def test_refuses_other_files(tmp_path):
    np.savez(tmp_path / "other.npz", vertices=np.zeros(3))
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "part.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:100])
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    for name in ("other.npz", "text.npz", "part.npz", "array.npz"):
        with pytest.raises(ValueError, match=r"not a .*hands\.npz"):
            read_results(tmp_path / name)
        assert not holds_one_frame(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_results(tmp_path / "nothing.npz")


def test_files_of_version_2_do_not_name_the_hand_model(tmp_path):
    write_npz(tmp_path / "hands.npz", three_rows(), FACES, "free")
    with np.load(tmp_path / "hands.npz") as archive:
        old = {name: archive[name] for name in archive.files if name != "hand_model"} | {"format_version": np.int32(2)}
    np.savez(tmp_path / "hands.npz", **old)
    assert str(read_results(tmp_path)["hand_model"]) == "free"
    np.savez(tmp_path / "hands.npz", **old | {"faces": np.zeros((2, 1538, 3), np.int32)})
    assert str(read_results(tmp_path)["hand_model"]) == "mano"


def test_files_of_version_3_have_no_findings_and_no_confidence(tmp_path):
    write_npz(tmp_path / "hands.npz", three_rows(), FACES, "mano")
    new = ("confidence", "sigma", "status", "doubtful", "examined", "findings", "seconds")
    with np.load(tmp_path / "hands.npz") as archive:
        old = {name: archive[name] for name in archive.files if name not in new} | {"format_version": np.int32(3)}
    np.savez(tmp_path / "hands.npz", **old)
    arrays = read_results(tmp_path)
    assert str(arrays["hand_model"]) == "mano"
    assert {name: arrays[name].shape for name in new} == {name: SHAPES[name] for name in new}
    assert arrays["status"].tolist() == [["fitted", "unfitted"], ["absent", "unfitted"], ["absent", "absent"]]
    assert np.isnan(arrays["confidence"]).all()
    hands = hands_of_row(split_rows(arrays)[0])
    assert (hands.findings, hands.examined, hands.doubtful.tolist()) == ((), False, [False, False])
    np.savez(tmp_path / "hands.npz", **old | {"format_version": np.int32(4)})
    with pytest.raises(ValueError, match=r"not a hands\.npz of format version 5"):
        read_results(tmp_path)


def test_files_of_version_4_have_no_time_stamps(tmp_path):
    write_npz(tmp_path / "hands.npz", three_rows(), FACES, "free")
    with np.load(tmp_path / "hands.npz") as archive:
        old = {name: archive[name] for name in archive.files if name != "seconds"} | {"format_version": np.int32(4)}
    np.savez(tmp_path / "hands.npz", **old)
    arrays = read_results(tmp_path)
    assert np.isnan(arrays["seconds"]).all()
    np.testing.assert_array_equal(arrays["confidence"], old["confidence"])


def test_findings_about_frames_and_the_recording(tmp_path):
    one = Finding("blue_first", "warning", "skin is blue; pass rgb[..., ::-1]", {"hands": 1.0, "order": "BGR"})
    other = Finding("frozen", "note", "\u201cd\u00e9j\u00e0 vu\u201d")
    rows = [
        make_row("0", replace(make_hands(), findings=(one, other), examined=True), K),
        make_row("1", make_hands(), K),
    ]
    write_npz(tmp_path / "hands.npz", rows, FACES, "free")
    again = [hands_of_row(row) for row in split_rows(read_results(tmp_path))]
    assert [hands.findings for hands in again] == [(one, other), ()]
    assert [hands.examined for hands in again] == [True, False]
    write_json(tmp_path / "hands.json", rows, "free", [other])
    text = json.loads((tmp_path / "hands.json").read_text(encoding="utf-8"))
    assert [finding["code"] for finding in text["findings"]] == ["frozen"]
    assert [len(frame["findings"]) for frame in text["frames"]] == [2, 0]
    assert text["frames"][0]["findings"][0]["values"] == {"hands": 1.0, "order": "BGR"}


def test_parts_are_rounded_and_read_as_one(tmp_path):
    rows = three_rows()
    for number, part in enumerate((rows[:2], rows[2:])):
        write_part(tmp_path / "parts" / f"part-{number:05d}.npz", part, FACES, "free", {"timing": np.array("x")})
    arrays = read_results(tmp_path)
    assert {name: array.shape for name, array in arrays.items()} == {**SHAPES, "timing": ()}
    for name in ("vertices", "joints", "sigma"):
        whole = np.stack([row[name] for row in rows])
        assert np.nanmax(np.abs(arrays[name] - whole), initial=0) <= STEP / 2
        left = arrays[name][np.isfinite(arrays[name])] / STEP
        np.testing.assert_array_equal(left, np.round(left))
    first = (tmp_path / "parts" / "part-00000.npz").read_bytes()
    write_part(tmp_path / "again.npz", rows[:2], FACES, "free", {"timing": np.array("x")})
    assert (tmp_path / "again.npz").read_bytes() == first
