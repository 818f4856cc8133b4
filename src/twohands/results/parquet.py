"""Results as a parquet file (extra `parquet`): both hands as flat columns, arrays as fixed-size lists.

A column of a hand is `left_NAME` or `right_NAME`. The metadata of the schema have the format version, units, the frame
convention, the hand model with its faces, and the settings of the run: source and camera options.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from twohands.files import write_atomically
from twohands.results.rows import FIELDS, FORMAT_VERSION, UNITS
from twohands.types import SIDE_NAMES

OF_HANDS = ("vertices", "joints", "present", "pose", "shape", "T_camera_from_wrist", "depth_residual", "depth_support")
OF_HANDS += ("confidence", "sigma", "fitted", "status", "doubtful")
"""Fields with one value for each hand."""
_KEY = b"twohands"


def write_parquet(path: str | Path, parts: Iterable[Mapping[str, np.ndarray]], about: Mapping[str, Any]) -> None:
    """Write parts of results, each as one row group; `about` are the settings of the run for the metadata."""
    arrow = pyarrow()
    writer = None
    with write_atomically(path) as temporary:
        try:
            for part in parts:
                columns = {name: _column(arrow, values) for name, values in _flat(part).items()}
                table = arrow.table(columns)
                if writer is None:
                    text = json.dumps(_metadata(part, about))
                    schema = table.schema.with_metadata({_KEY: text.encode()})
                    writer = arrow.parquet.ParquetWriter(temporary, schema, compression="zstd")
                writer.write_table(table.cast(writer.schema))
        finally:
            if writer is not None:
                writer.close()


def read_parquet(path: Path) -> Iterator[dict[str, np.ndarray]]:
    """Yield the arrays of `read_results` for each row group.

    Raise FileNotFoundError, or ValueError for another file.
    """
    arrow = pyarrow()
    if not path.exists():
        raise FileNotFoundError(f"results {path} do not exist; check the path")
    try:
        file = arrow.parquet.ParquetFile(path)
        about = json.loads((file.schema_arrow.metadata or {}).get(_KEY, b"{}"))
    except (arrow.ArrowInvalid, ValueError) as error:
        raise ValueError(f"{path} is not a readable parquet file ({error})") from None
    if about.get("format_version") != FORMAT_VERSION:
        raise ValueError(f"{path} is not a parquet file of `twohands run` or `convert-results`")
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        columns = {name: _values(table.column(name).combine_chunks()) for name in table.column_names}
        arrays: dict[str, np.ndarray] = {"format_version": np.int32(FORMAT_VERSION)}  # type: ignore[dict-item]
        arrays["faces"], arrays["hand_model"] = np.array(about["faces"], np.int32), np.array(about["hand_model"])
        for name in FIELDS:
            found = [columns[key] for key in _keys(name) if key in columns]
            if found:
                values = np.stack(found, axis=1) if name in OF_HANDS else found[0]
                arrays[name] = values.reshape(len(values), *about["shapes"][name])
        yield arrays


def pyarrow() -> ModuleType:
    """Return the package pyarrow. Raise ValueError with the fix when it is missing."""
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise ValueError(
            f"parquet needs the package pyarrow, which cannot be imported ({error}); install it with: "
            "pip install 'twohands[parquet]'"
        ) from None


def _keys(name: str) -> list[str]:
    return [f"{side}_{name}" for side in SIDE_NAMES] if name in OF_HANDS else [name]


def _flat(part: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the columns (T,) or (T, N) of a part by name."""
    columns = {}
    for name in (name for name in FIELDS if name in part):
        values = part[name]
        for index, key in enumerate(_keys(name)):
            column = values[:, index] if name in OF_HANDS else values
            columns[key] = column.reshape(len(column), -1) if column.ndim > 1 else column
    return columns


def _column(arrow: ModuleType, values: np.ndarray) -> Any:
    if values.ndim == 1:
        return arrow.array(values.tolist() if values.dtype.kind == "U" else values)
    flat = arrow.array(np.ascontiguousarray(values).ravel())
    return arrow.FixedSizeListArray.from_arrays(flat, values.shape[1])


def _values(column: Any) -> np.ndarray:
    """Return a column as an array (T,) or (T, N)."""
    if hasattr(column, "flatten") and hasattr(column.type, "list_size"):
        return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), column.type.list_size)
    values = column.to_numpy(zero_copy_only=False)
    return np.array(values.tolist(), dtype=np.str_) if values.dtype.kind == "O" else values


def _metadata(part: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> dict[str, Any]:
    shapes = {name: list(part[name].shape[1:]) for name in FIELDS if name in part}
    head = {"format_version": FORMAT_VERSION, "units": UNITS, "hand_model": str(part["hand_model"])}
    return {**head, "shapes": shapes, "faces": part["faces"].tolist(), "run": dict(about)}
