"""Result files: `hands.npz` with one row per frame, the parts of a long run, and `hands.json`."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from twohands.files import write_atomically
from twohands.findings import Finding, findings_from_text, findings_to_text
from twohands.hands.model import HandModel
from twohands.types import PRESENT, SIDE_NAMES, Quality, TwoHands

FORMAT_VERSION = 5
_READABLE = (2, 3, 4, 5)
"""Version 2 does not name the hand model; before 4, hands have no confidence, and frames no findings; before 5, frames
have no time stamps."""
FLOAT_FIELDS = ("vertices", "joints", "present", "pose", "shape", "T_camera_from_wrist", "depth_residual")
FLOAT_FIELDS += ("depth_support", "confidence", "sigma", "K")
FIELDS = ("frame_id", "seconds", *FLOAT_FIELDS, "fitted", "status", "doubtful")
FIELDS += ("examined", "findings", "inputs", "error")
"""Fields with one row per frame; `format_version`, `hand_model` and `faces` are stored once."""
OPTIONAL = {"vertices"}
"""Fields that a file may lack."""
PARTS = "parts"
"""Folder of a run with its rows in parts of a fixed length."""
STEP = 2.0**-16
"""Lengths in the parts of a run are rounded to multiples of this, metres; it is a 65th of a millimetre."""
LENGTHS = ("vertices", "joints", "sigma", "depth_residual", "T_camera_from_wrist")
NO_INPUTS = np.zeros((2, 2), dtype=np.int64)
"""`inputs` of a row when its files are not compared again: bytes and time of change in ns of at most two files."""
Row = dict[str, np.ndarray]
"""One frame: FIELDS without the leading axis."""


def make_row(
    frame_id: str, hands: TwoHands, K: np.ndarray, inputs: np.ndarray = NO_INPUTS, seconds: float | None = None
) -> Row:
    """Return the row of one frame; K (3, 3) pixels, `inputs` (2, 2) like NO_INPUTS, `seconds` its time stamp if known.

    Values of absent hands (see `TwoHands.is_present`) become NaN, their support 0, `fitted` false.
    """
    parameters, quality = hands.parameters, hands.quality
    if parameters is None or quality is None or hands.vertices is None:
        raise ValueError("a row needs vertices, parameters and quality")
    transform = np.asarray(parameters.T_camera_from_wrist)
    values = {
        "vertices": hands.vertices,
        "joints": hands.joints,
        "present": hands.present,
        "pose": parameters.pose,
        "shape": parameters.shape,
        "T_camera_from_wrist": transform,
        "depth_residual": quality.depth_residual,
        "depth_support": quality.depth_support,
        "confidence": np.full(2, np.nan) if quality.confidence is None else quality.confidence,
        "sigma": np.full((2, 21, 2), np.nan) if quality.sigma is None else quality.sigma,
        "K": K,
    }
    row = {name: np.array(values[name], dtype=np.float32) for name in FLOAT_FIELDS}
    absent = row["present"] < PRESENT
    for name in set(FLOAT_FIELDS) - {"present", "K", "depth_support"}:
        row[name][absent] = np.nan
    row["depth_support"][absent] = 0
    row |= {"fitted": np.asarray(quality.fitted, dtype=bool) & ~absent, "inputs": inputs}
    row |= {"status": np.array(hands.status), "doubtful": hands.doubtful, "examined": np.array(hands.examined)}
    findings = np.array(findings_to_text(hands.findings))
    row |= {"frame_id": np.array(frame_id), "seconds": np.array(np.nan if seconds is None else seconds)}
    return {**row, "findings": findings, "error": np.array("")}


def failed_row(
    frame_id: str,
    error: str,
    K: np.ndarray,
    model: HandModel,
    inputs: np.ndarray = NO_INPUTS,
    seconds: float | None = None,
) -> Row:
    """Return the row of a frame that could not be used: no hands, and the reason."""
    return {**make_row(frame_id, unseen(model), K, inputs, seconds), "error": np.array(error)}


def unseen(model: HandModel) -> TwoHands:
    """Return the hands of a frame in which none was looked for, with parameters and quality."""
    neutral = model(model.neutral())
    nothing = Quality(np.full(2, np.nan), np.zeros(2), np.zeros(2, dtype=bool))
    return TwoHands(neutral.vertices, neutral.joints, np.zeros(2), neutral.parameters, nothing)


def write_npz(
    path: str | Path,
    rows: Sequence[Row],
    faces: np.ndarray,
    hand_model: str,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write rows as one .npz (float32, no object arrays); faces (2, F, 3) of the named hand model, outward."""
    with write_atomically(path) as temporary:
        np.savez(temporary, **_stacked(rows, faces, hand_model), **(more or {}))


def write_part(
    path: str | Path,
    rows: Sequence[Row],
    faces: np.ndarray,
    hand_model: str,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write rows like `write_npz`, with lengths rounded to STEP, compressed; `more` are further arrays by name.

    The bytes depend on the values alone.
    """
    arrays = _stacked(rows, faces, hand_model)
    for name in set(LENGTHS) & set(arrays):
        arrays[name] = np.round(arrays[name] / np.float32(STEP)) * np.float32(STEP)
    with write_atomically(path) as temporary:
        np.savez_compressed(temporary, **arrays, **(more or {}))


def _stacked(rows: Sequence[Row], faces: np.ndarray, hand_model: str) -> dict[str, Any]:
    """Return the arrays of a file with these rows; without vertices if the rows have none."""
    arrays: dict[str, Any] = {"format_version": np.int32(FORMAT_VERSION), "faces": faces.astype(np.int32)}
    arrays["hand_model"] = np.array(hand_model)
    return arrays | {name: np.stack([row[name] for row in rows]) for name in FIELDS if name in rows[0]}


def read_results(path: str | Path) -> dict[str, np.ndarray]:
    """Return every array of a `hands.npz`, or of the folder of a run, by name; see README for shapes and units.

    Raise FileNotFoundError, or ValueError for another file or version.
    """
    path = Path(path)
    parts = sorted((path / PARTS).glob("part-*.npz"))
    if parts and not (path / "hands.npz").exists():
        return joined([read_results(part) for part in parts])
    path = path / "hands.npz" if path.is_dir() else path
    arrays = read_arrays(path)
    version = int(arrays.get("format_version", -1))
    if version in _READABLE and version < FORMAT_VERSION:
        arrays = _completed(arrays)
    if version not in _READABLE or not {*FIELDS, "faces"} - OPTIONAL <= set(arrays):
        raise ValueError(f"{path} is not a hands.npz of format version {FORMAT_VERSION}; remove it and run again")
    return arrays


def joined(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return the arrays of several files of one run as those of one file."""
    rows = {name: np.concatenate([part[name] for part in parts]) for name in FIELDS if name in parts[0]}
    return {**parts[0], **rows}


def _completed(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of an earlier version with the fields that it lacks."""
    if not {"present", "fitted", "faces"} <= set(arrays):
        return arrays
    if int(arrays["format_version"]) == 4:
        return {"seconds": np.full(len(arrays["present"]), np.nan)} | arrays
    frames = len(arrays["present"])
    status = np.where(arrays["fitted"], "fitted", np.where(arrays["present"] >= PRESENT, "unfitted", "absent"))
    new = {
        "seconds": np.full(frames, np.nan),
        "hand_model": np.array(_hand_model_of(arrays["faces"])),
        "confidence": np.full((frames, 2), np.nan, np.float32),
        "sigma": np.full((frames, 2, 21, 2), np.nan, np.float32),
        "status": status,
        "doubtful": np.zeros((frames, 2), dtype=bool),
        "examined": np.zeros(frames, dtype=bool),
        "findings": np.full(frames, ""),
    }
    return new | arrays


def _hand_model_of(faces: np.ndarray) -> str:
    """Return the hand model of an old file by its number of triangles: MANO's hand has 1538."""
    return "mano" if faces.shape[1] == 1538 else "free"


def holds_one_frame(path: str | Path) -> bool:
    """Return whether a file is a `hands.npz` of a single frame, in this or an earlier version of the format."""
    try:
        arrays = read_arrays(path)
    except (ValueError, FileNotFoundError):
        return False
    return "format_version" in arrays and "frame_id" in arrays and len(arrays["frame_id"]) == 1


def split_rows(arrays: dict[str, np.ndarray]) -> list[Row]:
    """Return the rows of a `hands.npz` that was read."""
    return [
        {name: arrays[name][index] for name in FIELDS if name in arrays} for index in range(len(arrays["frame_id"]))
    ]


def hands_of_row(row: Row) -> TwoHands:
    """Return the two hands of a row, without parameters."""
    quality = Quality(
        row["depth_residual"], row["depth_support"], row["fitted"], confidence=row["confidence"], sigma=row["sigma"]
    )
    findings = findings_from_text(str(row["findings"]))
    examined = bool(row["examined"])
    return TwoHands(row.get("vertices"), row["joints"], row["present"], None, quality, findings, examined)


def write_json(path: str | Path, rows: Sequence[Row], hand_model: str, findings: Sequence[Finding] = ()) -> None:
    """Write rows without their vertices as JSON: one object per frame, `null` for an absent hand or value.

    `findings` are those about the recording.
    """
    frames = [
        {
            "frame_id": str(row["frame_id"]),
            "seconds": _plain(row["seconds"]),
            "error": str(row["error"]),
            "K": _plain(row["K"]),
            "findings": [asdict(finding) for finding in findings_from_text(str(row["findings"]))],
            "hands": {name: _json_hand(row, side) for side, name in enumerate(SIDE_NAMES)},
        }
        for row in rows
    ]
    units = "metres, radians, pixels; OpenCV camera frame (x right, y down, z forward)"
    head = {"format_version": FORMAT_VERSION, "units": units, "hand_model": hand_model}
    about = [asdict(finding) for finding in findings]
    text = json.dumps({**head, "findings": about, "frames": frames}, allow_nan=False, indent=1)
    with write_atomically(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_array(path: str | Path, name: str) -> np.ndarray:
    """Return one array of an .npz; raise like `read_arrays`."""
    return read_arrays(path, {name})[name]


def read_arrays(path: str | Path, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of an .npz by name, all or those of some `names`.

    Raise FileNotFoundError, or ValueError if it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files if names is None or name in names}
    except FileNotFoundError:
        raise
    except (ValueError, OSError, EOFError, TypeError, BadZipFile) as error:  # TypeError: an .npy file
        raise ValueError(f"{path} is not a readable hands.npz ({error}); remove it and run again") from None


def _json_hand(row: Row, side: int) -> dict[str, object] | None:
    present = float(row["present"][side])
    if present < PRESENT:
        return None
    names = ("confidence", "depth_residual", "depth_support", "T_camera_from_wrist", "joints", "sigma", "pose", "shape")
    measured = {name: _plain(row[name][side]) for name in names}
    stated = {"status": str(row["status"][side]), "doubtful": bool(row["doubtful"][side])}
    return {"present": round(present, 4), "fitted": bool(row["fitted"][side]), **stated, **measured}


def _plain(values: np.ndarray) -> object:
    """Return nested lists of numbers, rounded to 1e-6, with None for those that are not finite."""
    if values.ndim == 0:
        number = float(values)
        return round(number, 6) if math.isfinite(number) else None
    return [_plain(value) for value in values]
