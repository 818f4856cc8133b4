"""Open the containers of ROS recordings, whole or cut off, behind one interface: topics and their decoded messages.

ROS 1 bags, ROS 2 bags (SQLite or MCAP) and plain MCAP files with messages of ROS or Foxglove. A file that was cut off,
because the recorder or the copy was interrupted, is read from its beginning as far as it goes.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from twohands.sources.ros_cut import Raw, bag_messages, database_messages, is_unfinished
from twohands.sources.ros_mcap import Mcap
from twohands.sources.ros_messages import Message, decoder_of, import_rosbags, last_part, summary_of, until_damage

_log = logging.getLogger(__name__)
BAG, MCAP, SQLITE = b"#ROSBAG V", b"\x89MCAP0\r\n", b"SQLite format 3\0"
"""First bytes of the three containers."""
SUFFIXES = (".mcap", ".db3", ".bag", ".bag.active")
SURPLUS = 4
"""Bytes that RealSense SDKs before 2.58 write after every image message."""
SHARED = 0.5
"""Smallest part of its time that a file shares with the one before, if they are not parts of one recording."""
PAUSE = 10_000_000_000
"""Longest pause between two parts of one recording, nanoseconds; recorders begin the next file at once."""


class Container(Protocol):
    """One file, or one folder that ROS 2 wrote."""

    topics: dict[str, str]
    """The last part of the type's name by topic: `Image`, `CameraInfo`."""
    counts: dict[str, int]
    """Number of messages by topic."""
    span: tuple[int, int]
    """Times of the first and the last message, nanoseconds."""

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield the messages of some topics in the order in which they were recorded."""
        ...


def is_ros(path: str | Path) -> bool:
    """Return whether a file begins like a ROS bag, MCAP or a ROS 2 database, or a folder contains such files.

    A folder of ROS 2 whose files are missing or packed counts too.
    """
    path = Path(path)
    if path.is_dir():
        about = path / "metadata.yaml"
        return bool(_parts(path)) or (about.is_file() and b"rosbag2_bagfile_information" in about.read_bytes())
    return path.is_file() and _kind(path) is not None


def open_container(path: Path) -> Container:
    """Return the recording in a file or folder; raise ValueError or FileNotFoundError with the fix if it is none."""
    if not path.exists():
        raise FileNotFoundError(f"recording {path} does not exist; give a .bag, .mcap or .db3 file, or ROS 2's folder")
    if path.is_file():
        return _open_file(path)
    parts = _parts(path)
    if not parts:
        packed = next(path.glob("*.zstd"), None)
        fix = f"unpack them first (zstd -d {packed.name})" if packed else "give the folder that ros2 bag record wrote"
        raise ValueError(f"{path} has no .mcap, .db3 or .bag files; {fix}")
    is_one = (path / "metadata.yaml").exists()
    is_closed = is_one and not any(is_unfinished(part) for part in parts)
    if is_closed and _kind(parts[0]) == SQLITE:  # it says how messages are compressed
        with suppress(ValueError):
            return _Rosbags(path)
    return _open_file(parts[0]) if len(parts) == 1 else _Chain({part: _open_file(part) for part in parts}, is_one)


def _parts(folder: Path) -> list[Path]:
    """Return the files of a folder with a recording, in the order of the numbers in their names."""
    for suffix in SUFFIXES:
        found = [path for path in folder.glob(f"*{suffix}") if path.is_file() and _kind(path)]
        if found:
            return sorted(found, key=lambda path: [int(part) for part in re.findall(r"\d+", path.stem)])
    return []


def _kind(path: Path) -> bytes | None:
    with path.open("rb") as stream:
        head = stream.read(16)
    return next((kind for kind in (BAG, MCAP, SQLITE) if head.startswith(kind)), None)


def _open_file(path: Path) -> Container:
    kind = _kind(path)
    if kind is None:
        raise ValueError(f"{path} begins like none of ROS bag, MCAP and SQLite; give the file as it was recorded")
    if kind == MCAP:
        return Mcap(path)
    if kind == SQLITE and is_unfinished(path):
        _log.warning("%s was not closed by its recorder; what is in %s-wal is read too", path, path.name)
        return _Cut(path, database_messages, 2)
    try:
        return _Rosbags(path)
    except ValueError as error:
        cut = bag_messages if kind == BAG else database_messages
        _log.warning("%s was cut off (%s); it is read as far as it goes", path, error)
        return _Cut(path, cut, 1 if kind == BAG else 2)


def _without_surplus(decode: Callable[[bytes], Any], raw: bytes, error: type[Exception]) -> Any:
    """Return a decoded message, also one with surplus bytes, for which the library raises `error`."""
    try:
        return decode(raw)
    except error:
        return decode(raw[:-SURPLUS])


class _Named(type(Path())):
    """Path for rosbags, which knows a container by its suffix, and puts the path into a URI as it is."""

    @property
    def suffix(self) -> str:
        kind = _kind(self) if self.is_file() else None
        return super().suffix if kind is None else {BAG: ".bag", MCAP: ".mcap", SQLITE: ".db3"}[kind]

    def __format__(self, _: str) -> str:
        return quote(str(self))


class _Rosbags:
    """A recording that rosbags opens: a ROS 1 bag or a ROS 2 database, whole."""

    def __init__(self, path: Path):
        self._path, self._rosbags = path, import_rosbags()
        with self._opened() as reader:
            self.topics = {connection.topic: last_part(connection.msgtype) for connection in reader.connections}
            counts = Counter[str]()
            for connection in reader.connections:
                counts[connection.topic] += connection.msgcount
            self.counts = dict(counts)
            self.span = reader.start_time, reader.end_time

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield messages by the time at which they were recorded."""
        with self._opened() as reader:
            wanted = [connection for connection in reader.connections if connection.topic in topics]
            if not wanted:
                return
            error = self._rosbags.highlevel.AnyReaderError

            def decoded(found: Any) -> Message:
                connection, logged, raw = found
                decode = partial(reader.deserialize, typ=connection.msgtype)
                return Message(connection.topic, logged, _without_surplus(decode, raw, error))

            yield from until_damage(self._path, reader.messages(connections=wanted), decoded)

    def _opened(self) -> Any:
        """Return the open reader; raise ValueError if the file is cut off or damaged."""
        stores = self._rosbags.typesys
        store = stores.get_typestore(stores.Stores.ROS2_HUMBLE)
        try:
            reader = self._rosbags.highlevel.AnyReader([_Named(self._path)], default_typestore=store)
            reader.open()
        except (self._rosbags.highlevel.AnyReaderError, sqlite3.Error, OSError, KeyError, IndexError) as error:
            raise ValueError(str(error) or type(error).__name__) from None
        return closing(reader)


class _Cut:
    """A ROS 1 bag or a ROS 2 database that was cut off or not closed: its whole messages, found without the index."""

    def __init__(self, path: Path, read: Callable[[Path], Iterator[Raw]], version: int):
        self._path, self._read, self._version = path, read, version
        self._error = import_rosbags().serde.SerdeError
        self._decoders: dict[str, Callable[[bytes], Any]] = {}
        more = "" if version == 1 else f", or copy {path.name}-wal too if its recorder has such a file"
        found = ((raw.topic, raw.kind, raw.logged) for raw in read(path))
        self.topics, self.counts, self.span = summary_of(path, found, more)

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield messages in the order of the file."""
        wanted = (raw for raw in self._read(self._path) if raw.topic in topics)
        yield from until_damage(self._path, wanted, self._decoded)

    def _decoded(self, raw: Raw) -> Message:
        if raw.kind not in self._decoders:
            self._decoders[raw.kind] = decoder_of(self._version, raw.kind, raw.definition, self._path)
        return Message(raw.topic, raw.logged, _without_surplus(self._decoders[raw.kind], raw.content, self._error))


class _Chain:
    """Files of one recording that was split, one after the other."""

    def __init__(self, parts: dict[Path, Container], is_one: bool):
        """Take the parts by their files.

        Raise ValueError if they are of the same time, or, unless it is known that they are one recording, if there is a
        long pause between them.
        """
        self._parts = list(parts.values())
        for (first, before), (second, after) in pairwise(parts.items()):
            shared = min(before.span[1], after.span[1]) - max(before.span[0], after.span[0])
            if shared > SHARED * max(1, min(end - begin for begin, end in (before.span, after.span))):
                raise ValueError(
                    f"{first.name} and {second.name} in {first.parent} are of the same time, so they are no parts of "
                    "one recording; give one of the files"
                )
            if not is_one and after.span[0] - before.span[1] > PAUSE:
                pause = (after.span[0] - before.span[1]) / 1e9
                raise ValueError(
                    f"{first.parent} holds several recordings: {second.name} begins {pause:.0f} s after the end of "
                    f"{first.name}; give one of the files, or all to: twohands run '{first.parent}/*{first.suffix}'"
                )
        self.topics = {topic: kind for part in reversed(self._parts) for topic, kind in part.topics.items()}
        self.counts = dict(sum((Counter(part.counts) for part in self._parts), Counter()))
        self.span = self._parts[0].span[0], self._parts[-1].span[1]

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield the messages of every file."""
        for part in self._parts:
            yield from part.messages(topics)
