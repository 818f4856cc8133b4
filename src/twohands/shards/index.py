"""`index.json` of a folder of shards: what was asked for, and of every finished shard what `ShardRecord` tells.

A folder is of one request alone: its description is compared before anything is added.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twohands.shards.records import ENDINGS, ShardRecord

INDEX_NAME = "index.json"
_FORMAT = 2
_READABLE = (1, 2)  # the index of format 1 tells nothing of its shards


def shard_path(folder: Path, number: int) -> Path:
    """The file of a shard."""
    return folder / f"shard-{number:05d}.tar"


def frames_by_shard(count: int, per_shard: int) -> dict[int, range]:
    """The frames of every shard."""
    return {first // per_shard: range(first, min(count, first + per_shard)) for first in range(0, count, per_shard)}


def describe_request(content: dict[str, Any], count: int, per_shard: int) -> dict[str, Any]:
    """The head of the index of frames of some content, as it is when read back."""
    described = {"format": _FORMAT, **content, "count": count, "frames_per_shard": per_shard}
    return json.loads(json.dumps(described))  # tuples become lists


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder; FileNotFoundError or ValueError with the remedy when it cannot be read."""
    path = folder / INDEX_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; write frames there with: twohands synth --out {folder}")
    try:
        index = json.loads(path.read_text())
        known = index["format"] in _READABLE
        if known:
            _refuse_gaps(index)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); copy it again or write the frames anew elsewhere") from None
    if not known:
        readable = " and ".join(map(str, _READABLE))
        raise ValueError(
            f"{path} has format {index['format']}, this version reads {readable}; write the frames anew elsewhere"
        )
    return index


def _refuse_gaps(index: dict[str, Any]) -> None:
    """Raises an error, as `read_index` expects, when an index lacks what its readers take for granted."""
    spans = frames_by_shard(index["count"], index["frames_per_shard"])
    if not spans or not isinstance(index["split"], str):
        raise ValueError("it names no frames")
    for number, record in noted_records(index).items():
        if len(record.members) != len(ENDINGS) * len(spans[number]):
            raise ValueError(f"it lists {len(record.members)} files in shard {number}")


def index_text(description: dict[str, Any], records: dict[int, ShardRecord]) -> str:
    """The JSON of an index, with one line for every shard."""
    shards = (
        f'  "{shard_path(Path(), number).name}": {json.dumps(vars(records[number]))}' for number in sorted(records)
    )
    head = json.dumps(description, indent=1).removesuffix("\n}")
    return head + ',\n "shards": {\n' + ",\n".join(shards) + "\n }\n}\n"


def noted_records(index: dict[str, Any]) -> dict[int, ShardRecord]:
    """The records of an index by the number of their shard."""
    records = (ShardRecord(**shard) for shard in index.get("shards", {}).values())
    return {record.first // index["frames_per_shard"]: record for record in records}
