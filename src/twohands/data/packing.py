"""Copy a public data set into this package's shards: a few large files for many small ones, masks drawn once.

Colours are stored as JPEG of quality 95, depth in steps of 0.1 mm, or of 1 mm in frames that measure beyond 6.5 m;
everything else is unchanged. The shards are derived from the data set: its licence applies to them.
"""

from __future__ import annotations

from pathlib import Path

from twohands.data.readers.common import mano_files
from twohands.shards import write_shards
from twohands.types import Dataset


def pack(dataset: Dataset, name: str, split: str, out: str | Path, count: int | None = None, workers: int = 1) -> Path:
    """Write the first `count` frames of a split, by default all, into a folder, or continue there; return the folder.

    With MANO's files the meshes are packed as well. Raises ValueError like `write_shards` and for renderings, which
    are packed already, and DamagedFileError for a frame that cannot be read.
    """
    if name == "synthetic":
        raise ValueError("frames of `twohands synth` are shards already; copy their folder")
    content = {"data_set": name, "split": split, "meshes": mano_files() is not None}
    return write_shards(dataset, min(count or len(dataset), len(dataset)), out, content, workers)
