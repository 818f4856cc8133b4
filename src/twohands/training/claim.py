"""Folders and results belong to what they were begun with: that is written beside them, and others are refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def refuse_other(what: str, found: Mapping[str, Any], wanted: Mapping[str, Any], remedy: str) -> None:
    """Raises ValueError with `remedy` when the record `found` of `what` differs in anything `wanted`, and names it."""
    was = flat({name: found.get(name) for name in wanted})
    now = flat(json.loads(json.dumps(wanted)))  # as it is when read back
    for name in {**now, **was}:
        if was.get(name) != now.get(name):
            raise ValueError(f"{what} with {name} = {was.get(name)!r}, not {now.get(name)!r}; {remedy}")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries, and lists of them, as one dictionary with dotted names."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = {str(number): item for number, item in enumerate(value)}
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return result
