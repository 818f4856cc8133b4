"""Open the containers of ROS recordings, whole or cut off, behind one interface: topics and their decoded messages.

ROS 1 bags, ROS 2 bags (SQLite or MCAP) and plain MCAP files with messages of ROS or Foxglove. A file that was cut off,
because the recorder or the copy was interrupted, is read from its beginning as far as it goes.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from twohands.sources.ros_cut import Raw, bag_messages, database_messages, is_unfinished

_log = logging.getLogger(__name__)
BAG, MCAP, SQLITE = b"#ROSBAG V", b"\x89MCAP0\r\n", b"SQLite format 3\0"
"""First bytes of the three containers."""
SUFFIXES = (".mcap", ".db3", ".bag", ".bag.active")
SURPLUS = 4
"""Bytes that RealSense SDKs before 2.58 write after every image message."""
SHARED = 0.5
"""Smallest part of its time that a file shares with the one before, if they are not parts of one recording."""


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
    is_closed = (path / "metadata.yaml").exists() and not any(is_unfinished(part) for part in parts)
    if is_closed and _kind(parts[0]) == SQLITE:  # it says how messages are compressed
        with suppress(ValueError):
            return _Rosbags(path)
    return _open_file(parts[0]) if len(parts) == 1 else _Chain({part: _open_file(part) for part in parts})


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
    if kind == SQLITE and is_unfinished(path):
        _log.warning("%s was not closed by its recorder; what is in %s-wal is read too", path, path.name)
        return _Cut(path, database_messages, 2)
    try:
        return _Rosbags(path)
    except ValueError as error:
        cut = bag_messages if kind == BAG else database_messages
        _log.warning("%s was cut off (%s); it is read as far as it goes", path, error)
        return _Cut(path, cut, 1 if kind == BAG else 2)


class _UndefinedError(ValueError):
    """Error for messages whose type or code is not known."""


def _until_damage(path: Path, raws: Iterable[Any], decode: Callable[[Any], Message]) -> Iterator[Message]:
    """Yield messages up to the end, or to where the file is damaged: the libraries may raise anything there."""
    try:
        for raw in raws:
            yield decode(raw)
    except _UndefinedError:
        raise
    except Exception as error:
        _log.warning("%s is damaged (%r); what follows in it is left out; copy it again", path, error)


def _rosbags() -> Any:
    try:
        import rosbags.highlevel
        import rosbags.serde
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


def _decoder_of(version: int, name: str, definition: str, path: Path) -> Callable[[bytes], Any]:
    """Return the decoder of a type of messages; `definition` is the text in the file, if it has one.

    Raise ValueError, naming the file, for a type that is neither known nor defined.
    """
    stores = _rosbags().typesys
    store = stores.get_typestore(stores.Stores.ROS1_NOETIC if version == 1 else stores.Stores.ROS2_HUMBLE)
    name = f"{name.split('/')[0]}/msg/{_last(name)}"
    if name not in store.fielddefs and definition:
        found = stores.get_types_from_msg(definition, name)
        store.register({kind: fields for kind, fields in found.items() if kind not in store.fielddefs})
    if name not in store.fielddefs:
        repair = "rosbag reindex" if version == 1 else "ros2 bag reindex"
        raise _UndefinedError(f"{path} does not define its messages {name}; repair it with: {repair} {path.name}")
    decode = store.deserialize_ros1 if version == 1 else store.deserialize_cdr
    return lambda raw: decode(raw, name)


def _without_surplus(decode: Callable[[bytes], Any], raw: bytes, error: type[Exception]) -> Any:
    """Return a decoded message, also one with surplus bytes, for which the library raises `error`."""
    try:
        return decode(raw)
    except error:
        return decode(raw[:-SURPLUS])


def _summary(
    path: Path, found: Iterable[tuple[str, str, int]], more: str = ""
) -> tuple[dict[str, str], dict[str, int], tuple[int, int]]:
    """Return type and count by topic, and the times of the first and the last, of messages: topic, type and time in ns.

    Raise ValueError, which names what else helps (`more`), if there are none.
    """
    topics, counts, span = dict[str, str](), Counter[str](), None
    for topic, kind, logged in found:
        topics[topic] = _last(kind)
        counts[topic] += 1
        span = (span or (logged, 0))[0], logged
    if span is None:
        raise ValueError(f"{path} was cut off before its first message; record it again{more}")
    return topics, dict(counts), span


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
        self._path, self._rosbags = path, _rosbags()
        with self._opened() as reader:
            self.topics = {connection.topic: _last(connection.msgtype) for connection in reader.connections}
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

            yield from _until_damage(self._path, reader.messages(connections=wanted), decoded)

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
        self._error = _rosbags().serde.SerdeError
        self._decoders: dict[str, Callable[[bytes], Any]] = {}
        more = "" if version == 1 else f", or copy {path.name}-wal too if its recorder has such a file"
        found = ((raw.topic, raw.kind, raw.logged) for raw in read(path))
        self.topics, self.counts, self.span = _summary(path, found, more)

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield messages in the order of the file."""
        wanted = (raw for raw in self._read(self._path) if raw.topic in topics)
        yield from _until_damage(self._path, wanted, self._decoded)

    def _decoded(self, raw: Raw) -> Message:
        if raw.kind not in self._decoders:
            self._decoders[raw.kind] = _decoder_of(self._version, raw.kind, raw.definition, self._path)
        return Message(raw.topic, raw.logged, _without_surplus(self._decoders[raw.kind], raw.content, self._error))


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
            except (mcap.exceptions.McapError, OSError, ValueError, struct.error):
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
            self.span = summary.statistics.message_start_time, summary.statistics.message_end_time
            return
        _log.warning("%s was cut off, or has no summary; it is read as far as it goes", path)
        records = (
            (channel.topic, schema.name if schema else "", one.log_time) for schema, channel, one in self._records()
        )
        self.topics, self.counts, self.span = _summary(path, records)

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield messages by the time at which they were recorded, or in the order of a file that was cut off."""
        wanted = (found for found in self._records(topics) if found[1].topic in topics and found[0] is not None)
        yield from _until_damage(self._path, wanted, self._decoded)

    def _decoded(self, found: Any) -> Message:
        schema, channel, record = found
        return Message(channel.topic, record.log_time, self._decoder(schema, channel)(record.data))

    def _records(self, topics: Collection[str] | None = None) -> Iterator[Any]:
        """Yield schema, channel and record of messages up to the end, or to where a file that was cut off ends."""
        reader = self._mcap.reader
        with self._path.open("rb") as stream:
            if self._whole:
                yield from reader.make_reader(stream, validate_crcs=True).iter_messages(topics)
                return
            records = reader.NonSeekingReader(stream).iter_messages(topics, log_time_order=False)
            with suppress(Exception):  # anything that reading beyond the end gives
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
                raise _UndefinedError(
                    f"{self._path} has Foxglove messages, which are read with the package mcap-protobuf-support "
                    f"({error}); install it with: pip install 'twohands[ros]'"
                ) from None
            decoder = DecoderFactory().decoder_for("protobuf", schema)
            if decoder is not None:
                return decoder
        elif channel.message_encoding in ("cdr", "ros1"):
            definition = schema.data.decode() if schema.encoding in ("ros1msg", "ros2msg") else ""
            return _decoder_of(1 if channel.message_encoding == "ros1" else 2, schema.name, definition, self._path)
        raise _UndefinedError(
            f"{channel.topic} in {self._path} is coded as {channel.message_encoding or 'nothing named'}, which is not "
            "read; record it with ROS (cdr) or Foxglove's protobuf messages"
        )


class _Chain:
    """Files of one recording that was split, one after the other."""

    def __init__(self, parts: dict[Path, Container]):
        """Take the parts by their files; raise ValueError if they are of the same time, and so no parts of one."""
        self._parts = list(parts.values())
        for (first, before), (second, after) in pairwise(parts.items()):
            shared = min(before.span[1], after.span[1]) - max(before.span[0], after.span[0])
            if shared > SHARED * max(1, min(end - begin for begin, end in (before.span, after.span))):
                raise ValueError(
                    f"{first.name} and {second.name} in {first.parent} are of the same time, so they are no parts of "
                    "one recording; give one of the files"
                )
        self.topics = {topic: kind for part in reversed(self._parts) for topic, kind in part.topics.items()}
        self.counts = dict(sum((Counter(part.counts) for part in self._parts), Counter()))
        self.span = self._parts[0].span[0], self._parts[-1].span[1]

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield the messages of every file."""
        for part in self._parts:
            yield from part.messages(topics)
