"""Reading stored frames from memory-mapped shards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path

from twohands.shards.index import frames_by_shard, noted_records, read_index, shard_path
from twohands.shards.records import ShardRecord, decode_sample, examine
from twohands.types import Sample

AGAIN = "run the same `twohands synth` or `twohands data pack` command again"


class Shards:
    """A stored data set: `shards[index]` is the stored frame, with the colours of its JPEG.

    Opening reads the index only. Reading a frame maps its shard into memory while its four files are copied, so any
    number of shards keeps no file open and does not disturb other processes that read the same folder. Raise ValueError
    with the fix when a shard is missing or cut short, or when a frame that is read differs from what was written.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.description = read_index(self.folder)
        self.count = int(self.description["count"])
        self.per_shard = int(self.description["frames_per_shard"])
        self._spans = frames_by_shard(self.count, self.per_shard)
        self._records = noted_records(self.description)
        absent = [path.name for path in map(self._path, self._spans) if not path.exists()]
        if absent:
            raise ValueError(
                f"{self.folder} lacks {len(absent)} of {len(self._spans)} shards ({absent[0]}"
                f"{', ...' if len(absent) > 1 else ''}); {AGAIN} to finish it"
            )
        for number, record in self._records.items():
            _check_size(self._path(number), record)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f"frame {index} of {self.count}")
        number = index // self.per_shard
        with mapped(self._path(number)) as content:
            if number not in self._records:  # format 1, or a run that was killed before it recorded its last shard
                self._records[number] = examine(content, self._spans[number])
            files = self._records[number].files(content, index)
        return decode_sample(files, f"{self.description['split']}-{self.description.get('seed', 0)}-{index:06d}")

    def _path(self, number: int) -> Path:
        return shard_path(self.folder, number)


@contextmanager
def mapped(path: Path) -> Iterator[mmap]:
    """Yield the memory-mapped bytes of a shard. Raise ValueError with the fix when the shard is missing or damaged."""
    try:
        with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
            yield content
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; {AGAIN} to write it") from None
    except ValueError as error:  # also raised for an empty file
        raise _damaged(path, error) from None


def _check_size(path: Path, record: ShardRecord) -> None:
    size = path.stat().st_size
    if size != record.size:
        raise _damaged(path, f"{size} bytes, not {record.size}")


def _damaged(path: Path, why: object) -> ValueError:
    return ValueError(f"{path} is damaged ({why}); delete {path.name} and {AGAIN}")
