"""`index.json` of a folder of shards: the request and the records of the finished shards (`ShardRecord`).

A folder belongs to one request: the stored request is compared before anything is added.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from twohands.shards.records import ENDINGS, ShardRecord

INDEX_NAME = "index.json"
_FORMAT = 2
_READABLE = (1, 2)  # an index of format 1 has no records of its shards


def shard_path(folder: Path, number: int) -> Path:
    """Return the path of a shard."""
    return folder / f"shard-{number:05d}.tar"


def frames_by_shard(count: int, per_shard: int) -> dict[int, range]:
    """Return the frame numbers of every shard, by its number."""
    return {first // per_shard: range(first, min(count, first + per_shard)) for first in range(0, count, per_shard)}


def describe_request(content: dict[str, Any], count: int, per_shard: int) -> dict[str, Any]:
    """Return the head of the index for frames of some content, equal to the head that is read back."""
    described = {"format": _FORMAT, **content, "count": count, "frames_per_shard": per_shard}
    return json.loads(json.dumps(described))  # tuples become lists


def read_index(folder: Path) -> dict[str, Any]:
    """Return the index of a folder. Raise FileNotFoundError or ValueError with the fix when it cannot be read."""
    path = folder / INDEX_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; write frames there with: twohands synth --out {folder}")
    try:
        index = json.loads(path.read_text())
        known = index["format"] in _READABLE
        if known:
            _refuse_gaps(index)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}); copy it again or write the frames again elsewhere") from None
    if not known:
        readable = " and ".join(map(str, _READABLE))
        raise ValueError(
            f"{path} has format {index['format']}, this version reads {readable}; write the frames again elsewhere"
        )
    return index


def _refuse_gaps(index: dict[str, Any]) -> None:
    """Raise one of the errors that `read_index` expects when an index lacks something that its readers need."""
    spans = frames_by_shard(index["count"], index["frames_per_shard"])
    if not spans or not isinstance(index["split"], str):
        raise ValueError("it names no frames")
    for number, record in noted_records(index).items():
        if len(record.members) != len(ENDINGS) * len(spans[number]):
            raise ValueError(f"it lists {len(record.members)} files in shard {number}")


def index_text(description: dict[str, Any], records: dict[int, ShardRecord]) -> str:
    """Return the JSON of an index, with one line for every shard."""
    shards = (
        f'  "{shard_path(Path(), number).name}": {json.dumps(vars(records[number]))}' for number in sorted(records)
    )
    head = json.dumps(description, indent=1).removesuffix("\n}")
    return head + ',\n "shards": {\n' + ",\n".join(shards) + "\n }\n}\n"


def noted_records(index: dict[str, Any]) -> dict[int, ShardRecord]:
    """Return the records of an index by the number of their shard."""
    records = (ShardRecord(**shard) for shard in index.get("shards", {}).values())
    return {record.first // index["frames_per_shard"]: record for record in records}
