"""Read the messages of an MCAP file."""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from twohands.sources.ros_messages import Message, UndefinedError, decoder_of, last_part, summary_of, until_damage

_log = logging.getLogger(__name__)


class Mcap:
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
            self.topics = {topic: last_part(schema.name) for topic, schema, _ in found if schema}
            self.counts = {topic: numbers.get(channel, 0) for topic, _, channel in found}
            self.span = summary.statistics.message_start_time, summary.statistics.message_end_time
            return
        _log.warning("%s was cut off, or has no summary; it is read as far as it goes", path)
        records = (
            (channel.topic, schema.name if schema else "", one.log_time) for schema, channel, one in self._records()
        )
        self.topics, self.counts, self.span = summary_of(path, records)

    def messages(self, topics: Collection[str]) -> Iterator[Message]:
        """Yield messages by the time at which they were recorded, or in the order of a file that was cut off."""
        wanted = (found for found in self._records(topics) if found[1].topic in topics and found[0] is not None)
        yield from until_damage(self._path, wanted, self._decoded)

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
                raise UndefinedError(
                    f"{self._path} has Foxglove messages, which are read with the package mcap-protobuf-support "
                    f"({error}); install it with: pip install 'twohands[ros]'"
                ) from None
            decoder = DecoderFactory().decoder_for("protobuf", schema)
            if decoder is not None:
                return decoder
        elif channel.message_encoding in ("cdr", "ros1"):
            definition = schema.data.decode() if schema.encoding in ("ros1msg", "ros2msg") else ""
            return decoder_of(1 if channel.message_encoding == "ros1" else 2, schema.name, definition, self._path)
        raise UndefinedError(
            f"{channel.topic} in {self._path} is coded as {channel.message_encoding or 'nothing named'}, which is not "
            "read; record it with ROS (cdr) or Foxglove's protobuf messages"
        )
