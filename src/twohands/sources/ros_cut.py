"""Find the messages of ROS recordings that were cut off, whose index is missing: ROS 1 bags and ROS 2 databases."""

from __future__ import annotations

import bz2
import mmap
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

Buffer = bytes | mmap.mmap
"""Bytes that can be sliced."""
FIRST_RECORD = 13
"""Length of the line `#ROSBAG V2.0` at the beginning of a ROS 1 bag."""
MESSAGE, CHUNK, CONNECTION = b"\x02", b"\x05", b"\x07"
"""Kinds of records in a ROS 1 bag."""


def bag_messages(path: Path) -> Iterator[tuple[str, str, int, bytes]]:
    """Yield topic, type, time in ns and content of the whole messages of a ROS 1 bag, in the order of the file.

    A compressed chunk that is cut is lost; of one that is not compressed, the messages before the cut are found.
    """
    connections: dict[bytes, tuple[str, str]] = {}
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for header, data, whole in _records(content, FIRST_RECORD):
            if header.get(b"op") != CHUNK or not (whole or header[b"compression"] == b"none"):
                continue
            for inner, body, complete in _records(_unpacked(header[b"compression"], data), 0):
                if complete and inner[b"op"] == CONNECTION:
                    connections[inner[b"conn"]] = inner[b"topic"].decode(), _fields(body)[b"type"].decode()
                elif complete and inner[b"op"] == MESSAGE and inner[b"conn"] in connections:
                    seconds, nanoseconds = struct.unpack("<II", inner[b"time"])
                    yield *connections[inner[b"conn"]], seconds * 10**9 + nanoseconds, body


def database_messages(path: Path) -> Iterator[tuple[str, str, int, bytes]]:
    """Yield topic, type, time in ns and content of the messages of a ROS 2 database up to the first lost page.

    The message before the first unreadable one is left out: SQLite gives zeros for the lost end of its last page.
    """
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        try:
            database.execute("PRAGMA writable_schema = ON")  # without it SQLite refuses a file shorter than it says
            topics = {key: (name, kind) for key, name, kind in database.execute("SELECT id, name, type FROM topics")}
            # ordered by the rows themselves, since pages of the index by time are lost with the end of the file
            rows = database.execute("SELECT topic_id, timestamp, data FROM messages NOT INDEXED ORDER BY id")
            latest = None
            for key, time, content in rows:
                if latest is not None:
                    yield latest
                latest = *topics[key], time, content
            if latest is not None:
                yield latest
        except sqlite3.DatabaseError:
            return


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
    if compression == b"bz2":
        return bz2.decompress(data)
    if compression == b"lz4":
        import lz4.frame  # comes with rosbags

        return lz4.frame.decompress(data)
    return data
