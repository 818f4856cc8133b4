"""Read results: `hands.npz` of this and earlier versions, the parts of a run, and parquet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from twohands.results.parquet import read_parquet
from twohands.results.rows import FIELDS, FORMAT_VERSION, OPTIONAL, PARTS
from twohands.types import PRESENT

_READABLE = (2, 3, 4, 5)
"""Version 2 does not name the hand model; before 4, hands have no confidence, and frames no findings; before 5, frames
have no time stamps."""


def read_results(path: str | Path) -> dict[str, np.ndarray]:
    """Return all arrays of a `hands.npz`, a `.parquet` or the folder of a run by name; docs/results.md lists shapes.

    Raise FileNotFoundError, or ValueError for another file or version.
    """
    return joined(list(iter_results(path)))


def iter_results(path: str | Path) -> Iterator[dict[str, np.ndarray]]:
    """Yield the arrays of `read_results` part by part, in constant memory for a folder of parts or a `.parquet`."""
    path = Path(path)
    parts = sorted((path / PARTS).glob("part-*.npz"))
    if path.suffix == ".parquet":
        yield from read_parquet(path)
    elif parts and not (path / "hands.npz").exists():
        for part in parts:
            yield read_npz(part)
    else:
        yield read_npz(path / "hands.npz" if path.is_dir() else path)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Return every array of a `hands.npz`, of this or an earlier version, or of a part; raise like `read_results`."""
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
