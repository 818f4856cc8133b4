"""`hands.npz`: one row per frame, its JSON twin, and the store that lets a long run be interrupted at any moment."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from twohands.claims import read_claim, refuse_other
from twohands.files import write_atomically
from twohands.hands.model import HandModel
from twohands.types import PRESENT, SIDE_NAMES, Quality, TwoHands

FORMAT_VERSION = 3
_READABLE = (2, 3)  # version 2 does not name the hand model
FLOAT_FIELDS = ("vertices", "joints", "present", "pose", "shape", "T_camera_from_wrist", "depth_residual")
FLOAT_FIELDS += ("depth_support", "K")
FIELDS = ("frame_id", *FLOAT_FIELDS, "fitted", "inputs", "error")
"""The fields with one row per frame; `format_version`, `hand_model` and `faces` are stored once."""

NO_INPUTS = np.zeros((2, 2), dtype=np.int64)
"""The `inputs` of a row whose files are not looked at again."""

Row = dict[str, np.ndarray]
"""One frame: the fields of FIELDS without the leading axis."""


def make_row(frame_id: str, hands: TwoHands, K: np.ndarray, inputs: np.ndarray = NO_INPUTS) -> Row:
    """The row of one frame; K (3, 3) pixels, `inputs` (2, 2) as of `FolderRecording.state`.

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
        "K": K,
    }
    row = {name: np.array(values[name], dtype=np.float32) for name in FLOAT_FIELDS}
    absent = row["present"] < PRESENT
    for name in set(FLOAT_FIELDS) - {"present", "K", "depth_support"}:
        row[name][absent] = np.nan
    row["depth_support"][absent] = 0
    row |= {"fitted": np.asarray(quality.fitted, dtype=bool) & ~absent, "inputs": inputs}
    return {**row, "frame_id": np.array(frame_id), "error": np.array("")}


def failed_row(frame_id: str, error: str, K: np.ndarray, model: HandModel, inputs: np.ndarray = NO_INPUTS) -> Row:
    """The row of a frame that could not be used: no hands, and the reason."""
    neutral = model(model.neutral())
    nothing = Quality(np.full(2, np.nan), np.zeros(2), np.zeros(2, dtype=bool))
    hands = TwoHands(neutral.vertices, neutral.joints, np.zeros(2), neutral.parameters, nothing)
    return {**make_row(frame_id, hands, K, inputs), "error": np.array(error)}


def write_npz(path: str | Path, rows: Sequence[Row], faces: np.ndarray, hand_model: str) -> None:
    """Write rows as one .npz (float32, no object arrays); faces (2, F, 3) outward, of the named hand model."""
    arrays: dict[str, Any] = {"format_version": np.int32(FORMAT_VERSION), "faces": faces.astype(np.int32)}
    arrays["hand_model"] = np.array(hand_model)
    arrays |= {name: np.stack([row[name] for row in rows]) for name in FIELDS}
    with write_atomically(path) as temporary:
        np.savez(temporary, **arrays)


def read_results(path: str | Path) -> dict[str, np.ndarray]:
    """Return every array of a `hands.npz`, or of the folder of a run, by name; see README for shapes and units.

    Raise FileNotFoundError, or ValueError when the file is none or of another version.
    """
    path = Path(path)
    path = path / "hands.npz" if path.is_dir() else path
    arrays = _arrays(path)
    if int(arrays.get("format_version", -1)) not in _READABLE or not {*FIELDS, "faces"} <= set(arrays):
        raise ValueError(f"{path} is not a hands.npz of format version {FORMAT_VERSION}; remove it and run again")
    arrays.setdefault("hand_model", np.array(_hand_model_of(arrays["faces"])))
    return arrays


def _hand_model_of(faces: np.ndarray) -> str:
    """Return the hand model of an old file by its number of triangles: MANO's hand has 1538."""
    return "mano" if faces.shape[1] == 1538 else "free"


def holds_one_frame(path: str | Path) -> bool:
    """Whether a file is a `hands.npz` of a single frame, in this or an earlier version of the format."""
    try:
        arrays = _arrays(path)
    except (ValueError, FileNotFoundError):
        return False
    return "format_version" in arrays and "frame_id" in arrays and len(arrays["frame_id"]) == 1


def split_rows(arrays: dict[str, np.ndarray]) -> list[Row]:
    """The rows of a `hands.npz` that was read."""
    return [{name: arrays[name][index] for name in FIELDS} for index in range(len(arrays["frame_id"]))]


def hands_of_row(row: Row) -> TwoHands:
    """The two hands of a row; parameters are left out."""
    quality = Quality(row["depth_residual"], row["depth_support"], row["fitted"])
    return TwoHands(row["vertices"], row["joints"], row["present"], quality=quality)


def write_json(path: str | Path, rows: Sequence[Row], hand_model: str) -> None:
    """Write rows without their vertices as JSON: one object per frame, `null` for an absent hand or value."""
    frames = [
        {
            "frame_id": str(row["frame_id"]),
            "error": str(row["error"]),
            "K": _plain(row["K"]),
            "hands": {name: _json_hand(row, side) for side, name in enumerate(SIDE_NAMES)},
        }
        for row in rows
    ]
    units = "metres, radians, pixels; OpenCV camera frame (x right, y down, z forward)"
    head = {"format_version": FORMAT_VERSION, "units": units, "hand_model": hand_model}
    text = json.dumps({**head, "frames": frames}, allow_nan=False, indent=1)
    with write_atomically(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


class RowStore:
    """Rows on their way to `hands.npz`: each one a file of its own, so that a kill loses at most the frame in work.

    `settings` are whatever changes the rows; they are kept in `run.json`, and a folder with other ones is refused.
    """

    def __init__(self, folder: str | Path, settings: dict[str, object], faces: np.ndarray, hand_model: str):
        self.folder = Path(folder)
        self.faces, self.hand_model = faces, hand_model
        self.settings = settings
        path, remedy = self.folder / "run.json", "give another --out or remove that folder"
        stored = read_claim(path, remedy) if path.exists() else {}
        if stored:  # a setting that this version does not have any more counts as changed
            refuse_other(f"{self.folder} holds rows made", stored, {**dict.fromkeys(stored), **settings}, remedy)
        for path in (self.final, self.folder / "hands.json"):
            if not stored and path.exists():
                raise ValueError(f"{self.folder} holds the {path.name} of something else; give another --out")
        self.rows = {str(row["frame_id"]): row for row in self._stored_rows() if not str(row["error"])}

    @property
    def final(self) -> Path:
        """Where the merged rows go."""
        return self.folder / "hands.npz"

    def keep(self, row: Row) -> None:
        """Keeps a finished row; a failed one is kept in memory only, so that it is tried again after a restart."""
        self.rows[str(row["frame_id"])] = row
        if not str(row["error"]):
            self._write_settings()
            write_npz(self.folder / "rows" / f"{row['frame_id']}.npz", [row], self.faces, self.hand_model)

    def merge(self, frame_ids: Sequence[str]) -> list[Row]:
        """Writes `hands.npz` and `hands.json` with the rows of these frames, as far as there are any; returns them."""
        rows = [self.rows[frame_id] for frame_id in frame_ids if frame_id in self.rows]
        if any(not str(row["error"]) for row in rows):
            self._write_settings()
            write_npz(self.final, rows, self.faces, self.hand_model)
            write_json(self.folder / "hands.json", rows, self.hand_model)
            shutil.rmtree(self.folder / "rows", ignore_errors=True)
        return rows

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
    except (ValueError, OSError, EOFError, TypeError, BadZipFile) as error:  # TypeError: of an .npy file
        raise ValueError(f"{path} is not a readable hands.npz ({error}); remove it and run again") from None


def _json_hand(row: Row, side: int) -> dict[str, object] | None:
    present = float(row["present"][side])
    if present < PRESENT:
        return None
    names = ("depth_residual", "depth_support", "T_camera_from_wrist", "joints", "pose", "shape")
    measured = {name: _plain(row[name][side]) for name in names}
    return {"present": round(present, 4), "fitted": bool(row["fitted"][side]), **measured}


def _plain(values: np.ndarray) -> object:
    """Nested lists of numbers, rounded to 1e-6, None for what is not finite."""
    if values.ndim == 0:
        number = float(values)
        return round(number, 6) if math.isfinite(number) else None
    return [_plain(value) for value in values]
