"""Ownership of folders: a folder that was started with other settings is refused, never continued."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twohands.files import write_atomically


def claim(path: Path, wanted: Mapping[str, Any], what: str, remedy: str) -> None:
    """Store the settings of a run as JSON, or raise ValueError when the file holds those of another run."""
    if path.exists():
        refuse_other(what, read_claim(path, remedy), wanted, remedy)
    else:
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")


def read_claim(path: Path, remedy: str) -> dict[str, Any]:
    """Return the stored settings of a run. Raise ValueError with `remedy` when the file is damaged."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        stored = None
    if not stored or not isinstance(stored, dict):
        raise ValueError(f"{path} is damaged; {remedy}")
    return stored


def refuse_other(what: str, found: Mapping[str, Any], wanted: Mapping[str, Any], remedy: str) -> None:
    """Raise ValueError with `remedy` when the stored settings `found` differ from `wanted`.

    The message names the first setting that differs. Settings that only `found` has are ignored.
    """
    was = flat({name: found.get(name) for name in wanted})
    now = flat(json.loads(json.dumps(wanted)))  # tuples become lists, as in a record that was read back
    for name in {**now, **was}:
        if was.get(name) != now.get(name):
            raise ValueError(f"{what} with {name} = {was.get(name)!r}, not {now.get(name)!r}; {remedy}")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dictionaries, and lists of them, as one dictionary with dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(number): item for number, item in enumerate(value)}
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result
