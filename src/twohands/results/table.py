"""Results as a CSV file: one line per frame, one column per number; for spreadsheets, without vertices."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from twohands.files import write_atomically
from twohands.hands.skeleton import JOINT_NAMES
from twohands.types import SIDE_NAMES

NUMBERS = ("present", "confidence", "depth_residual", "depth_support")
"""Fields of a hand with one number."""


def write_csv(path: str | Path, parts: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Write parts of results: frame, time, error, and for both hands status, quality and the joints in metres."""
    axes = [f"{joint}_{axis}" for joint in JOINT_NAMES for axis in "xyz"]
    of_hand = ["status", *NUMBERS, *axes]
    with write_atomically(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["frame_id", "seconds", "error", *(f"{s}_{name}" for s in SIDE_NAMES for name in of_hand)])
        for part in parts:
            writer.writerows(_lines(part))


def _lines(part: Mapping[str, np.ndarray]) -> Iterator[list[object]]:
    """Yield the values of each frame; numbers that are not known are empty."""
    for index, name in enumerate(part["frame_id"]):
        line: list[object] = [name, _number(part["seconds"][index], 9), part["error"][index]]
        for side in range(2):
            line.append(part["status"][index, side])
            line += [_number(part[field][index, side], 6) for field in NUMBERS]
            line += [_number(value, 6) for value in part["joints"][index, side].ravel()]
        yield line


def _number(value: float, digits: int) -> float | str:
    return round(float(value), digits) if np.isfinite(value) else ""
