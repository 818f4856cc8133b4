"""Find the messages of ROS 1 bags and ROS 2 databases that were cut off or not closed, whose index is missing."""

from __future__ import annotations

import bz2
import mmap
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

Buffer = bytes | mmap.mmap
"""Bytes that can be sliced."""
FIRST_RECORD = 13
"""Length of the line `#ROSBAG V2.0` at the beginning of a ROS 1 bag."""
MESSAGE, CHUNK, CONNECTION = b"\x02", b"\x05", b"\x07"
"""Kinds of records in a ROS 1 bag."""


class Raw(NamedTuple):
    """One message as it is stored."""

    topic: str
    kind: str
    logged: int  # nanoseconds
    content: bytes
    definition: str
    """Text that defines the kind; empty where the file has none."""


def bag_messages(path: Path) -> Iterator[Raw]:
    """Yield the whole messages of a ROS 1 bag, in the order of the file.

    A compressed chunk that is cut or damaged is lost; of one that is not compressed, the messages before the cut are
    found.
    """
    connections: dict[bytes, tuple[str, str, str]] = {}  # topic, type and definition
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for header, data, whole in _records(content, FIRST_RECORD):
            if header.get(b"op") != CHUNK or not (whole or header[b"compression"] == b"none"):
                continue
            for inner, body, complete in _records(_unpacked(header[b"compression"], data), 0):
                if complete and inner.get(b"op") == CONNECTION:
                    facts = _fields(body)
                    texts = inner[b"topic"], facts[b"type"], facts.get(b"message_definition", b"")
                    topic, kind, definition = (text.decode(errors="replace") for text in texts)
                    connections[inner[b"conn"]] = topic, kind, definition
                elif complete and inner.get(b"op") == MESSAGE and inner[b"conn"] in connections:
                    seconds, nanoseconds = struct.unpack("<II", inner[b"time"])
                    topic, kind, definition = connections[inner[b"conn"]]
                    yield Raw(topic, kind, seconds * 10**9 + nanoseconds, body, definition)


def database_messages(path: Path) -> Iterator[Raw]:
    """Yield the messages of a ROS 2 database up to the first lost page, also those in SQLite's file beside it (-wal).

    The message before the first unreadable one is left out: SQLite gives zeros for the lost end of its last page.
    """
    how = "mode=ro" if is_unfinished(path) else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)) as database:
        try:
            database.execute("PRAGMA writable_schema = ON")  # without it SQLite refuses a file shorter than it says
            topics = {key: (name, kind) for key, name, kind in database.execute("SELECT id, name, type FROM topics")}
            definitions = _definitions(database)
            # ordered by the rows themselves, since pages of the index by time are lost with the end of the file
            rows = database.execute("SELECT topic_id, timestamp, data FROM messages NOT INDEXED ORDER BY id")
            latest = None
            for key, time, content in rows:
                if latest is not None:
                    yield latest
                topic, kind = topics[key]
                latest = Raw(topic, kind, time, content, definitions.get(kind, ""))
            if latest is not None:
                yield latest
        except sqlite3.DatabaseError:
            return


def is_unfinished(path: Path) -> bool:
    """Return whether messages of a ROS 2 database are in the file that SQLite has beside it while it is written."""
    beside = path.with_name(f"{path.name}-wal")
    return beside.is_file() and beside.stat().st_size > 0


def _definitions(database: sqlite3.Connection) -> dict[str, str]:
    """Return the texts that define the types of messages; none in databases before ROS 2 Iron."""
    try:
        return dict(
            database.execute(
                "SELECT topic_type, encoded_message_definition FROM message_definitions WHERE encoding = 'ros2msg'"
            )
        )
    except sqlite3.OperationalError:
        return {}


def _records(content: Buffer, start: int) -> Iterator[tuple[dict[bytes, bytes], bytes, bool]]:
    """Yield header, data and whether all data is there, of the records up to the end of the content."""
    place = start
    while place + 4 <= len(content):
        (length,) = struct.unpack_from("<I", content, place)
        begin = place + 8 + length
        if begin > len(content):
            return
        (size,) = struct.unpack_from("<I", content, begin - 4)
        yield _fields(content[place + 4 : begin - 4]), content[begin : begin + size], begin + size <= len(content)
        place = begin + size


def _fields(header: bytes) -> dict[bytes, bytes]:
    """Return the named values of a record's header."""
    place, values = 0, {}
    while place + 4 <= len(header):
        (length,) = struct.unpack_from("<I", header, place)
        name, _, value = header[place + 4 : place + 4 + length].partition(b"=")
        values[name] = value
        place += 4 + length
    return values


def _unpacked(compression: bytes, data: bytes) -> bytes:
    """Return the content of a chunk; nothing if it is damaged."""
    try:
        if compression == b"bz2":
            return bz2.decompress(data)
        if compression == b"lz4":
            import lz4.frame  # comes with rosbags

            return lz4.frame.decompress(data)
    except (OSError, ValueError, RuntimeError):
        return b""
    return data
