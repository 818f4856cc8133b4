"""Rows of results, one per frame, and the files `hands.npz` and `hands.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from twohands.files import write_atomically
from twohands.findings import Finding, findings_from_text, findings_to_text
from twohands.hands.model import HandModel
from twohands.types import PRESENT, SIDE_NAMES, Quality, TwoHands

FORMAT_VERSION = 5
FLOAT_FIELDS = ("vertices", "joints", "present", "pose", "shape", "T_camera_from_wrist", "depth_residual")
FLOAT_FIELDS += ("depth_support", "confidence", "sigma", "K")
FIELDS = ("frame_id", "seconds", *FLOAT_FIELDS, "fitted", "status", "doubtful")
FIELDS += ("examined", "findings", "inputs", "error")
"""Fields with one row per frame; `format_version`, `hand_model` and `faces` are stored once."""
OPTIONAL = {"vertices", "joints"}
"""Fields that a file may lack."""
PARTS = "parts"
"""Folder of a run with its rows in parts of a fixed length."""
UNITS = "metres, radians, seconds, pixels; OpenCV camera frame (x right, y down, z forward)"
"""Units and frame convention of all results."""
STEP = 2.0**-16
"""Lengths in the parts of a run are rounded to multiples of this, metres."""
STEPS = dict.fromkeys(("vertices", "joints", "depth_residual", "T_camera_from_wrist"), STEP)
STEPS |= {"sigma": 2.0**-14, "pose": 2.0**-12, "shape": 2.0**-10}
"""Steps of all fields that are rounded there: metres, radians, standard deviations."""
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
        np.savez(temporary, **stacked(rows, faces, hand_model), **(more or {}))


def stacked(rows: Sequence[Row], faces: np.ndarray, hand_model: str) -> dict[str, Any]:
    """Return the arrays of a file with these rows; without vertices if the rows have none."""
    arrays: dict[str, Any] = {"format_version": np.int32(FORMAT_VERSION), "faces": faces.astype(np.int32)}
    arrays["hand_model"] = np.array(hand_model)
    return arrays | {name: np.stack([row[name] for row in rows]) for name in FIELDS if name in rows[0]}


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
    """Write rows without their vertices as JSON: one object and one line a frame, `null` for an absent hand or value.

    `findings` are those about the recording.
    """
    head = {"format_version": FORMAT_VERSION, "units": UNITS, "hand_model": hand_model}
    head["findings"] = [asdict(finding) for finding in findings]
    start = json.dumps(head, allow_nan=False).removesuffix("}")
    frames = ",\n".join(json.dumps(_json_frame(row), allow_nan=False) for row in rows)
    with write_atomically(path) as temporary:
        temporary.write_text(f'{start}, "frames": [\n{frames}\n]}}\n', encoding="utf-8")


def _json_frame(row: Row) -> dict[str, object]:
    return {
        "frame_id": str(row["frame_id"]),
        "seconds": _plain(row["seconds"]),
        "error": str(row["error"]),
        "K": _plain(row["K"]),
        "findings": [asdict(finding) for finding in findings_from_text(str(row["findings"]))],
        "hands": {name: _json_hand(row, side) for side, name in enumerate(SIDE_NAMES)},
    }


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
    numbers = np.round(np.asarray(values, dtype=np.float64), 6)
    plain = np.array(numbers, dtype=object)
    plain[~np.isfinite(numbers)] = None
    return plain.tolist()
