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
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from twohands.sources.ros_cut import bag_messages, database_messages

_log = logging.getLogger(__name__)
BAG, MCAP, SQLITE = b"#ROSBAG V", b"\x89MCAP0\r\n", b"SQLite format 3\0"
"""First bytes of the three containers."""
SUFFIXES = (".mcap", ".db3", ".bag")
SURPLUS = 4
"""Bytes that RealSense SDKs before 2.58 write after every image message."""


class Message(NamedTuple):
    """One message of a recording."""

    topic: str
    logged: int  # nanoseconds, when the recorder got it
    value: Any  # attributes as in the message's definition; arrays are NumPy's, or bytes


class Container(Protocol):
    """One file, or one folder that ROS 2 wrote."""

    topics: dict[str, str]
    """The last part of the type's name by topic: `Image`, `CameraInfo`."""
    counts: dict[str, int]
    """Number of messages by topic."""

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield the messages of some topics in the order in which they were recorded."""
        ...


def is_ros(path: str | Path) -> bool:
    """Return whether a file begins like a ROS bag, MCAP or a ROS 2 database, or a folder contains such files."""
    path = Path(path)
    if path.is_dir():
        return bool(_parts(path))
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
    if (path / "metadata.yaml").exists() and parts[0].suffix == ".db3":  # it says how messages are compressed
        with suppress(ValueError):
            return _Rosbags(path)
    return _open_file(parts[0]) if len(parts) == 1 else _Chain([_open_file(part) for part in parts])


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
        return _Mcap(path)
    try:
        return _Rosbags(path)
    except ValueError as error:
        cut = bag_messages if kind == BAG else database_messages
        _log.warning("%s was cut off (%s); it is read as far as it goes", path, error)
        return _Cut(path, cut, 1 if kind == BAG else 2)


def _rosbags() -> Any:
    try:
        import rosbags.highlevel
        import rosbags.typesys
    except ImportError as error:
        raise ValueError(
            f"ROS recordings are read with the package rosbags, which cannot be imported ({error}); install it with: "
            "pip install 'twohands[ros]'"
        ) from None
    return rosbags


def _last(name: str) -> str:
    """Return Image for sensor_msgs/msg/Image and foxglove.Image."""
    return re.split(r"[/.]", name)[-1]


class _Rosbags:
    """A recording that rosbags opens: a ROS 1 bag or a ROS 2 database, whole."""

    def __init__(self, path: Path):
        self._path, self._rosbags = path, _rosbags()
        with self._opened() as reader:
            self.topics = {connection.topic: _last(connection.msgtype) for connection in reader.connections}
            counts = Counter[str]()
            for connection in reader.connections:
                counts[connection.topic] += connection.msgcount
            self.counts = dict(counts)

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield messages by the time at which they were recorded."""
        with self._opened() as reader:
            wanted = [connection for connection in reader.connections if connection.topic in topics]
            if not wanted:
                return
            for connection, logged, raw in reader.messages(connections=wanted):
                yield Message(connection.topic, logged, self._decode(reader, raw, connection.msgtype))

    def _opened(self) -> Any:
        """Return the open reader; raise ValueError if the file is cut off or damaged."""
        stores = self._rosbags.typesys
        store = stores.get_typestore(stores.Stores.ROS2_HUMBLE)
        try:
            reader = self._rosbags.highlevel.AnyReader([self._path], default_typestore=store)
            reader.open()
        except (self._rosbags.highlevel.AnyReaderError, sqlite3.Error, OSError, KeyError, IndexError) as error:
            raise ValueError(str(error) or type(error).__name__) from None
        return closing(reader)

    def _decode(self, reader: Any, raw: bytes, kind: str) -> Any:
        try:
            return reader.deserialize(raw, kind)
        except self._rosbags.highlevel.AnyReaderError:
            return reader.deserialize(raw[:-SURPLUS], kind)


class _Cut:
    """A ROS 1 bag or a ROS 2 database that was cut off: its whole messages, found without the index."""

    def __init__(self, path: Path, read: Callable[..., Iterator[tuple[str, str, int, bytes]]], version: int):
        self._path, self._read = path, read
        stores = _rosbags().typesys
        store = stores.get_typestore(stores.Stores.ROS1_NOETIC if version == 1 else stores.Stores.ROS2_HUMBLE)
        self._decode = store.deserialize_ros1 if version == 1 else store.deserialize_cdr
        self.topics, counts = dict[str, str](), Counter[str]()
        for topic, kind, _, _ in read(path):
            self.topics[topic] = _last(kind)
            counts[topic] += 1
        self.counts = dict(counts)
        if not counts:
            raise ValueError(f"{path} was cut off before its first message; record it again")

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield messages in the order of the file."""
        for topic, kind, logged, raw in self._read(self._path):
            if topic in topics:
                name = f"{kind.split('/')[0]}/msg/{_last(kind)}"
                yield Message(topic, logged, self._decode(raw, name))


class _Mcap:
    """An MCAP file, whole or cut off, with messages of ROS 1, ROS 2 or Foxglove (protobuf)."""

    def __init__(self, path: Path):
        try:
            import mcap.exceptions
            import mcap.reader
        except ImportError as error:
            raise ValueError(
                f"MCAP files are read with the package mcap, which cannot be imported ({error}); install it with: "
                "pip install 'twohands[ros]'"
            ) from None
        self._path, self._mcap = path, mcap
        self._decoders: dict[tuple[str, str], Callable[[bytes], Any]] = {}
        with path.open("rb") as stream:
            try:
                summary = mcap.reader.make_reader(stream).get_summary()
            except (mcap.exceptions.McapError, OSError, ValueError):
                summary = None
        self._whole = summary is not None and summary.statistics is not None
        if summary is not None and summary.statistics is not None:
            found = [
                (channel.topic, summary.schemas.get(channel.schema_id), channel.id)
                for channel in summary.channels.values()
            ]
            numbers = summary.statistics.channel_message_counts
            self.topics = {topic: _last(schema.name) for topic, schema, _ in found if schema}
            self.counts = {topic: numbers.get(channel, 0) for topic, _, channel in found}
            return
        _log.warning("%s was cut off; it is read as far as it goes", path)
        counts, self.topics = Counter[str](), {}
        for schema, channel, _ in self._records():
            counts[channel.topic] += 1
            self.topics[channel.topic] = _last(schema.name) if schema else ""
        self.counts = dict(counts)
        if not counts:
            raise ValueError(f"{path} was cut off before its first message; record it again")

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield messages by the time at which they were recorded, or in the order of a file that was cut off."""
        for schema, channel, record in self._records(topics):
            if channel.topic in topics and schema is not None:
                yield Message(channel.topic, record.log_time, self._decoder(schema, channel)(record.data))

    def _records(self, topics: Collection[str] | None = None) -> Iterator[Any]:
        """Yield schema, channel and record of messages up to the end, or to where the file ends."""
        reader = self._mcap.reader
        with self._path.open("rb") as stream:
            if self._whole:
                yield from reader.make_reader(stream).iter_messages(topics)
                return
            records = reader.NonSeekingReader(stream).iter_messages(topics, log_time_order=False)
            with suppress(self._mcap.exceptions.McapError):
                yield from records

    def _decoder(self, schema: Any, channel: Any) -> Callable[[bytes], Any]:
        key = channel.message_encoding, schema.name
        if key not in self._decoders:
            self._decoders[key] = self._new_decoder(schema, channel)
        return self._decoders[key]

    def _new_decoder(self, schema: Any, channel: Any) -> Callable[[bytes], Any]:
        if channel.message_encoding == "protobuf":
            try:
                from mcap_protobuf.decoder import DecoderFactory
            except ImportError as error:
                raise ValueError(
                    f"{self._path} has Foxglove messages, which are read with the package mcap-protobuf-support "
                    f"({error}); install it with: pip install 'twohands[ros]'"
                ) from None
            decoder = DecoderFactory().decoder_for("protobuf", schema)
            if decoder is not None:
                return decoder
        elif channel.message_encoding in ("cdr", "ros1"):
            stores = _rosbags().typesys
            version = stores.Stores.ROS1_NOETIC if channel.message_encoding == "ros1" else stores.Stores.ROS2_HUMBLE
            store = stores.get_typestore(version)
            name = f"{schema.name.split('/')[0]}/msg/{_last(schema.name)}"
            if name not in store.fielddefs and schema.encoding in ("ros1msg", "ros2msg"):
                store.register(stores.get_types_from_msg(schema.data.decode(), name))
            decode = store.deserialize_ros1 if channel.message_encoding == "ros1" else store.deserialize_cdr
            return lambda raw: decode(raw, name)
        raise ValueError(
            f"{channel.topic} in {self._path} is coded as {channel.message_encoding or 'nothing named'}, which is not "
            "read; record it with ROS (cdr) or Foxglove's protobuf messages"
        )


class _Chain:
    """Files of one recording that was split, one after the other."""

    def __init__(self, parts: list[Container]):
        self._parts = parts
        self.topics = {topic: kind for part in reversed(parts) for topic, kind in part.topics.items()}
        self.counts = dict(sum((Counter(part.counts) for part in parts), Counter()))

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield the messages of every file."""
        for part in self._parts:
            yield from part.messages(topics)
