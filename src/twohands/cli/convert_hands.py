"""The command that converts results to another hand model: `convert-hands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from twohands.choices import HandModelName
from twohands.cli.common import FINE, check_folder

if TYPE_CHECKING:
    import numpy as np

    from twohands.hands.convert import HandConverter
    from twohands.hands.model import HandModel
    from twohands.results import Row

POOR = 0.005
"""A hand is named when 5 % of its vertices are farther from the original surface, metres."""
NAMED = 10
"""Number of hands that are named at most."""


def convert_hands(result: Positional[Path], to: HandModelName, out: Path) -> int:
    """Convert results to another hand model, the free hand or MANO, by fitting its parameters to the meshes.

    Frames, intrinsics, errors and presence are kept. Agreement with the depth is not measured again: the residual is
    NaN, the support 0 and `fitted` false. At the end, the distance to the original surfaces is printed. MANO needs its
    files in the folder TWOHANDS_MANO. The first use matches the two hand models in a few seconds and stores the match
    in the cache folder of the user.

    Args:
        result: A hands.npz, or a folder of `predict` or `run` that has one.
        to: Hand model of the new result.
        out: Folder for hands.npz and hands.json, or a file that ends in .npz; nothing is overwritten.
    """
    import numpy as np

    from twohands.hands import hand_model
    from twohands.hands.convert import HandConverter
    from twohands.results import read_results, split_rows, write_json, write_npz

    path = result / "hands.npz" if result.is_dir() else result
    targets = _check_out(out)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; give a hands.npz, or a folder that `predict` or `run` wrote")
    arrays = read_results(path)
    name = str(arrays["hand_model"])
    if name == to:
        raise ValueError(f"{path} holds hands of the model {to!r} already; there is nothing to convert")
    source, target = hand_model(name), hand_model(to)
    _check_meshes(path, arrays, source)
    rows, distances, poor = _converted(split_rows(arrays), HandConverter(source, target))
    write_npz(targets[0], rows, np.asarray(target.faces), to)
    write_json(targets[1], rows, to)
    for line in poor[:NAMED]:
        print(f"twohands: {line}", file=sys.stderr)
    if len(poor) > NAMED:
        print(f"twohands: and {len(poor) - NAMED:,} more such hands", file=sys.stderr)
    print(f"{_count(len(rows), 'frame')}, {_summary(distances)}; wrote {targets[0]}")
    return FINE


def _check_out(out: Path) -> tuple[Path, Path]:
    """Return the paths of the .npz and of the .json file. Raise ValueError when they cannot be written or exist."""
    npz = out if out.suffix == ".npz" else out / "hands.npz"
    check_folder(npz.parent)
    targets = npz, npz.with_suffix(".json")
    for path in targets:
        if path.exists():
            raise ValueError(f"{path} exists and is not overwritten; give another --out or remove it")
    return targets


def _check_meshes(path: Path, arrays: dict[str, np.ndarray], source: HandModel) -> None:
    """Raise ValueError when the meshes of a result are missing, or those of another hand model than it states."""
    import numpy as np

    from twohands.types import PRESENT

    if not np.array_equal(arrays["faces"], source.faces):
        raise ValueError(
            f"{path} has other triangles than the hand model {source.name!r}; set the files of the hand model that "
            "wrote it, or run again"
        )
    present = arrays["present"] >= PRESENT
    missing = present & ~np.isfinite(arrays["vertices"]).all(axis=(2, 3))
    if missing.any():
        frame = arrays["frame_id"][missing.any(axis=1)][0]
        raise ValueError(f"{path} has a hand without a mesh in frame {frame}, which cannot be converted; run again")


def _converted(rows: Sequence[Row], converter: HandConverter) -> tuple[list[Row], list[np.ndarray], list[str]]:
    """Return the rows in the other hand model, the distances (n,) of every hand's surfaces, and lines on poor hands."""
    import numpy as np
    from rich.console import Console
    from rich.progress import track

    from twohands.results import hands_of_row, make_row
    from twohands.types import SIDE_NAMES, Quality

    unknown = Quality(np.full(2, np.nan), np.zeros(2), np.zeros(2, dtype=bool))
    converted, distances, poor = [], [], []
    for row in track(rows, "frames", console=Console(stderr=True)):
        result = converter(hands_of_row(row))
        hands = replace(result.hands, quality=unknown)
        kept = make_row(str(row["frame_id"]), hands, row["K"], row["inputs"], float(row["seconds"]))
        converted.append({**kept, "error": row["error"]})
        distances += [result.distances[side].astype(np.float32) for side in result.hands.present_sides]
        high = result.quantile(0.95)
        for side in np.flatnonzero(high > POOR):
            hand = f"{row['frame_id']}, {SIDE_NAMES[side]} hand"
            poor.append(f"{hand}: 5 % of the surface is more than {high[side] * 1e3:.1f} mm from the original")
    return converted, distances, poor


def _summary(distances: Sequence[np.ndarray]) -> str:
    import numpy as np

    if not distances:
        return "no hands"
    middle, most = np.quantile(np.concatenate(distances), (0.5, 0.95)) * 1e3
    hands = _count(len(distances), "hand")
    return f"{hands}; distance from the original surface: median {middle:.1f} mm, 95 % within {most:.1f} mm"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
