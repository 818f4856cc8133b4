"""Messages of ROS recordings, and what their containers share: decoders, a summary, reading up to damage."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

_log = logging.getLogger(__name__)


class Message(NamedTuple):
    """One message of a recording."""

    topic: str
    logged: int  # nanoseconds, when the recorder got it
    value: Any  # attributes as in the message's definition; arrays are NumPy's, or bytes


class UndefinedError(ValueError):
    """Error for messages whose type or code is not known."""


def until_damage(path: Path, raws: Iterable[Any], decode: Callable[[Any], Message]) -> Iterator[Message]:
    """Yield messages up to the end, or to where the file is damaged: the libraries may raise anything there."""
    try:
        for raw in raws:
            yield decode(raw)
    except UndefinedError:
        raise
    except Exception as error:
        _log.warning("%s is damaged (%r); what follows in it is left out; copy it again", path, error)


def import_rosbags() -> Any:
    """Return the package rosbags; raise ValueError with the fix if it cannot be imported."""
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


def last_part(name: str) -> str:
    """Return Image for sensor_msgs/msg/Image and foxglove.Image."""
    return re.split(r"[/.]", name)[-1]


def decoder_of(version: int, name: str, definition: str, path: Path) -> Callable[[bytes], Any]:
    """Return the decoder of a type of messages; `definition` is the text in the file, if it has one.

    Raise ValueError, naming the file, for a type that is neither known nor defined.
    """
    stores = import_rosbags().typesys
    store = stores.get_typestore(stores.Stores.ROS1_NOETIC if version == 1 else stores.Stores.ROS2_HUMBLE)
    name = f"{name.split('/')[0]}/msg/{last_part(name)}"
    if name not in store.fielddefs and definition:
        found = stores.get_types_from_msg(definition, name)
        store.register({kind: fields for kind, fields in found.items() if kind not in store.fielddefs})
    if name not in store.fielddefs:
        repair = "rosbag reindex" if version == 1 else "ros2 bag reindex"
        raise UndefinedError(f"{path} does not define its messages {name}; repair it with: {repair} {path.name}")
    decode = store.deserialize_ros1 if version == 1 else store.deserialize_cdr
    return lambda raw: decode(raw, name)


def summary_of(
    path: Path, found: Iterable[tuple[str, str, int]], more: str = ""
) -> tuple[dict[str, str], dict[str, int], tuple[int, int]]:
    """Return type and count by topic, and the times of the first and the last, of messages: topic, type and time in ns.

    Raise ValueError, which names what else helps (`more`), if there are none.
    """
    topics, counts, span = dict[str, str](), Counter[str](), None
    for topic, kind, logged in found:
        topics[topic] = last_part(kind)
        counts[topic] += 1
        span = (span or (logged, 0))[0], logged
    if span is None:
        raise ValueError(f"{path} was cut off before its first message; record it again{more}")
    return topics, dict(counts), span
