"""Result files: `hands.npz` with one row per frame, `hands.json`, the parts of a long run, parquet and CSV."""

from twohands.results.parts import write_part
from twohands.results.reading import (
    holds_one_frame,
    iter_results,
    read_array,
    read_arrays,
    read_npz,
    read_results,
)
from twohands.results.rows import (
    FIELDS,
    FORMAT_VERSION,
    PARTS,
    STEP,
    Row,
    failed_row,
    hands_of_row,
    make_row,
    split_rows,
    unseen,
    write_json,
    write_npz,
)

__all__ = [
    "FIELDS",
    "FORMAT_VERSION",
    "PARTS",
    "STEP",
    "Row",
    "failed_row",
    "hands_of_row",
    "holds_one_frame",
    "iter_results",
    "make_row",
    "read_array",
    "read_arrays",
    "read_npz",
    "read_results",
    "split_rows",
    "unseen",
    "write_json",
    "write_npz",
    "write_part",
]
