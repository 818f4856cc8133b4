"""Result files: `hands.npz` with one row per frame, `hands.json`, and the store of an interruptible run."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from twohands.claims import read_claim, refuse_other
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
    neutral = model(model.neutral())
    nothing = Quality(np.full(2, np.nan), np.zeros(2), np.zeros(2, dtype=bool))
    hands = TwoHands(neutral.vertices, neutral.joints, np.zeros(2), neutral.parameters, nothing)
    return {**make_row(frame_id, hands, K, inputs, seconds), "error": np.array(error)}


def write_npz(path: str | Path, rows: Sequence[Row], faces: np.ndarray, hand_model: str) -> None:
    """Write rows as one .npz (float32, no object arrays); faces (2, F, 3) of the named hand model, outward."""
    arrays: dict[str, Any] = {"format_version": np.int32(FORMAT_VERSION), "faces": faces.astype(np.int32)}
    arrays["hand_model"] = np.array(hand_model)
    arrays |= {name: np.stack([row[name] for row in rows]) for name in FIELDS}
    with write_atomically(path) as temporary:
        np.savez(temporary, **arrays)


def read_results(path: str | Path) -> dict[str, np.ndarray]:
    """Return every array of a `hands.npz`, or of the folder of a run, by name; see README for shapes and units.

    Raise FileNotFoundError, or ValueError for another file or version.
    """
    path = Path(path)
    path = path / "hands.npz" if path.is_dir() else path
    arrays = _arrays(path)
    version = int(arrays.get("format_version", -1))
    if version in _READABLE and version < FORMAT_VERSION:
        arrays = _completed(arrays)
    if version not in _READABLE or not {*FIELDS, "faces"} <= set(arrays):
        raise ValueError(f"{path} is not a hands.npz of format version {FORMAT_VERSION}; remove it and run again")
    return arrays


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
        arrays = _arrays(path)
    except (ValueError, FileNotFoundError):
        return False
    return "format_version" in arrays and "frame_id" in arrays and len(arrays["frame_id"]) == 1


def split_rows(arrays: dict[str, np.ndarray]) -> list[Row]:
    """Return the rows of a `hands.npz` that was read."""
    return [{name: arrays[name][index] for name in FIELDS} for index in range(len(arrays["frame_id"]))]


def hands_of_row(row: Row) -> TwoHands:
    """Return the two hands of a row, without parameters."""
    quality = Quality(
        row["depth_residual"], row["depth_support"], row["fitted"], confidence=row["confidence"], sigma=row["sigma"]
    )
    findings = findings_from_text(str(row["findings"]))
    examined = bool(row["examined"])
    return TwoHands(row["vertices"], row["joints"], row["present"], None, quality, findings, examined)


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


class RowStore:
    """Rows of a run before they are merged into `hands.npz`; each is a file, so a kill loses at most one frame.

    `settings` hold everything that changes the rows. They are stored in `run.json`; a folder with others is refused.
    """

    def __init__(self, folder: str | Path, settings: dict[str, object], faces: np.ndarray, hand_model: str):
        self.folder = Path(folder)
        self.faces, self.hand_model = faces, hand_model
        self.settings = settings
        path, fix = self.folder / "run.json", "give another --out or remove that folder"
        stored = read_claim(path, fix) if path.exists() else {}
        if stored:  # a setting that this version lacks is a change
            refuse_other(f"{self.folder} holds rows made", stored, {**dict.fromkeys(stored), **settings}, fix)
        for path in (self.final, self.folder / "hands.json"):
            if not stored and path.exists():
                raise ValueError(f"{self.folder} holds the {path.name} of something else; give another --out")
        self.rows = {str(row["frame_id"]): row for row in self._stored_rows() if not str(row["error"])}

    @property
    def final(self) -> Path:
        """Path of the merged rows."""
        return self.folder / "hands.npz"

    def keep(self, row: Row) -> None:
        """Keep a finished row; a failed one is kept in memory only, so that it is tried again after a restart."""
        self.rows[str(row["frame_id"])] = row
        if not str(row["error"]):
            self._write_settings()
            write_npz(self.folder / "rows" / f"{row['frame_id']}.npz", [row], self.faces, self.hand_model)

    @property
    def findings(self) -> list[Finding]:
        """Findings about the recording that the last run in this folder ended with."""
        path = self.folder / "hands.json"
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return [Finding(**finding) for finding in stored.get("findings", ())]

    def available(self, frame_ids: Iterable[str]) -> list[Row]:
        """Return the rows that exist of these frames."""
        return [self.rows[frame_id] for frame_id in frame_ids if frame_id in self.rows]

    def merge(self, rows: Sequence[Row], findings: Sequence[Finding] = ()) -> None:
        """Write `hands.npz` and `hands.json` with these rows and the findings about the recording."""
        if any(not str(row["error"]) for row in rows):
            self._write_settings()
            write_npz(self.final, rows, self.faces, self.hand_model)
            write_json(self.folder / "hands.json", rows, self.hand_model, findings)
            shutil.rmtree(self.folder / "rows", ignore_errors=True)

    def _write_settings(self) -> None:
        if not (self.folder / "run.json").exists():
            with write_atomically(self.folder / "run.json") as temporary:
                temporary.write_text(json.dumps(self.settings, indent=1) + "\n", encoding="utf-8")

    def _stored_rows(self) -> list[Row]:
        single = [path for path in (self.folder / "rows").glob("*.npz") if not path.name.startswith(".")]
        return [row for path in (self.final, *single) if path.exists() for row in split_rows(read_results(path))]


def _arrays(path: str | Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
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
