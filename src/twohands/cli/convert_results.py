"""The command `convert-results`: results of a run of any length in another format."""

from __future__ import annotations

import json as plain
from pathlib import Path

from tyro.conf import Positional

from twohands.cli.common import FINE


def convert_results(
    result: Positional[Path],
    npz: Path | None = None,
    json: Path | None = None,
    csv: Path | None = None,
    parquet: Path | None = None,
) -> int:
    """Convert the results of a run to another file format.

    CSV and parquet are written part by part, in constant memory.

    Args:
        result: Folder of a run, a hands.npz, or a .parquet file.
        npz: File to write, with all arrays as read_results returns them.
        json: File to write, without vertices.
        csv: File to write, with status, quality and joints, one line per frame.
        parquet: File to write, with flat columns and fixed-size lists (needs the extra parquet).
    """
    import numpy as np

    from twohands.results import iter_results, read_results, split_rows, write_json, write_npz
    from twohands.results.parquet import write_parquet
    from twohands.results.table import write_csv

    wanted = [path for path in (npz, json, csv, parquet) if path is not None]
    if not wanted:
        raise ValueError("nothing to write; give --npz, --json, --csv or --parquet with a file")
    for path in wanted:
        if path.exists():
            raise ValueError(f"{path} exists; give another file or remove it")
    settings = result / "run.json"
    about = plain.loads(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    if csv is not None:
        write_csv(csv, iter_results(result))
    if parquet is not None:
        write_parquet(parquet, iter_results(result), about)
    if npz is not None or json is not None:
        arrays = read_results(result)
        rows, model = split_rows(arrays), str(arrays["hand_model"])
        if npz is not None:
            write_npz(npz, rows, np.asarray(arrays["faces"]), model)
        if json is not None:
            write_json(json, rows, model)
    for path in wanted:
        print(f"wrote {path}")
    return FINE
