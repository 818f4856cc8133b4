"""The recordings of one run: find them, name the result of each, and divide them into shards."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from twohands.sources.remote import is_pattern, is_remote, matching, staged

LIST_SUFFIX = ".txt"
"""Suffix of a file with one recording on each line."""
SUFFIXES = (".bag", ".mcap", ".db3", ".mkv", ".r3d", ".npz", ".npy", ".pkl", ".pickle")
"""Suffixes of recordings, which their names lack."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unit:
    """One recording of a run over many."""

    name: str
    """Unique in the run."""
    address: str
    """Absolute path, or URL."""
    folder: Path
    """Folder of its result, an absolute path."""


def is_one(given: Sequence[str]) -> bool:
    """Return whether words of a command line are the address of one recording, not a list or pattern of them."""
    return len(given) == 1 and not _is_list(given[0]) and not is_pattern(given[0])


def find_units(given: Sequence[str], out: Path) -> list[Unit]:
    """Return the recordings that addresses, patterns and list files name, each with a folder of its own below `out`.

    A list file ends in .txt and has an address or pattern on each line; empty lines, and those that begin with #, are
    left out. A recording that is named twice is taken once. Raise ValueError when a pattern matches nothing.
    """
    found = [_absolute(address) for word in given for address in _addresses(word)]
    unique = list(dict.fromkeys(found))
    if len(unique) < len(found):
        _log.warning("%d recordings are given more than once and are taken once", len(found) - len(unique))
    if not unique:
        raise ValueError(f"{', '.join(given)} names no recording; write one path on each line")
    return [Unit(name, address, out.absolute() / name) for name, address in zip(_names(unique), unique, strict=True)]


def shard_of(units: Sequence[Unit], shard: str) -> list[Unit]:
    """Return every N-th recording from the I-th on for the shard `I/N`; raise ValueError for another text."""
    number, _, count = shard.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"--shard must be I/N with I from 1 to N, for example 1/8; got {shard}")
    return list(units[int(number) - 1 :: int(count)])


def _is_list(word: str) -> bool:
    return word.endswith(LIST_SUFFIX) and not is_pattern(word)


def _addresses(word: str) -> list[str]:
    """Return the addresses that a word of the command line names."""
    if _is_list(word):
        with staged(word) as path:
            if not path.is_file():
                raise FileNotFoundError(f"the list {word} does not exist; check the path")
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        return [address for line in lines if line and not line.startswith("#") for address in _matches(line)]
    return _matches(word)


def _matches(word: str) -> list[str]:
    if not is_pattern(word):
        return [word]
    found = matching(word)
    if not found:
        raise ValueError(f"no recording matches {word}; check the path, and put a pattern in quotes")
    return found


def _absolute(address: str) -> str:
    return address if is_remote(address) else os.path.abspath(address)


def _names(addresses: Sequence[str]) -> list[str]:
    """Return the name of each recording: of its file or folder, also of the folder around it where names are equal.

    Those that are equal even then get a digest of the address, so that a name never depends on the order.
    """
    paths = [PurePosixPath(Path(address).as_posix()) for address in addresses]
    namings: list[Callable[[PurePosixPath], str]] = [
        _stem,
        lambda path: f"{path.parent.name}_{_stem(path)}",
        lambda path: f"{_stem(path)}-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}",
    ]
    names = [""] * len(paths)
    for naming in namings:
        times = Counter(name.casefold() for name in names)  # some file systems do not tell A from a
        names = [naming(path) if times[n.casefold()] > 1 or not n else n for path, n in zip(paths, names, strict=True)]
    renamed = [(name, path) for name, path in zip(names, paths, strict=True) if name != _stem(path)]
    if renamed:
        name, path = renamed[0]
        _log.warning(
            "%d recordings share their names with others; their results are named otherwise, that of %s %s",
            len(renamed), path, name,
        )  # fmt: skip
    return names


def _stem(path: PurePosixPath) -> str:
    return path.stem if path.suffix.lower() in SUFFIXES else path.name
