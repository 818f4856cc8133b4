"""The sequential pass of a tracked run: check that frames are in order, and smooth the rows of single frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from scipy.spatial.transform import Rotation

from twohands.batch.part import Selection
from twohands.hands import HandModel
from twohands.hands.skeleton import NUM_JOINTS
from twohands.motion.steady import FASTEST, steady_parts
from twohands.results import Row, hands_of_row, make_row
from twohands.sources.source import Source
from twohands.tracking import Clock
from twohands.types import PRESENT, HandParameters, TwoHands

LOOKED_AT = 100
"""Number of names that decide whether frames are numbered in order."""
FAR = 0.25
"""Median way of a wrist from one frame to the next above which pictures are not one recording, metres."""


def has_times(source: Source) -> bool:
    """Return whether the first frame of a recording has a time stamp."""
    first = next(iter(source), None)
    return first is not None and first.seconds is not None


def is_numbered(source: Source) -> bool:
    """Return whether the names of the first frames differ in their numbers alone, and so have an order."""
    names = [entry.name for entry in islice(source, LOOKED_AT)]
    return len({re.sub(r"\d+", "#", name) for name in names}) == 1 and all(re.search(r"\d", name) for name in names)


def is_unrelated(parts: Iterable[Sequence[Row]], selection: Selection) -> bool:
    """Return whether the hands of most frames are further from those of the frame before than a hand can move."""
    ways, speeds = [], []
    clock, last, then = Clock(selection.every * Clock.period), None, 0.0
    for row in (row for part in parts for row in part):
        now = clock(_seconds(row))
        if last is not None:
            both = (row["present"] >= PRESENT) & (last["present"] >= PRESENT)
            wrists = [each["T_camera_from_wrist"][both, :3, 3] for each in (row, last)]
            way = np.linalg.norm(wrists[0] - wrists[1], axis=-1)
            ways += way.tolist()
            speeds += (way / (now - then)).tolist()
        last, then = row, now
    return bool(ways) and float(np.median(ways)) > FAR and float(np.median(speeds)) > FASTEST


def steady_rows(
    parts: Iterable[Sequence[Row]], selection: Selection, model: HandModel, smooth: float, two_pass: bool
) -> Iterator[list[Row]]:
    """Yield the rows of each part with the hands that `steady` makes of the whole recording."""
    clock = Clock(selection.every * Clock.period)
    waiting: list[list[Row]] = []

    def sequences() -> Iterator[list[tuple[float, TwoHands]]]:
        for rows in parts:
            waiting.append(list(rows))
            yield [(clock(_seconds(row)), _hands_without_mesh(row, model)) for row in rows]

    for part in steady_parts(sequences(), model, smooth, two_pass):
        yield [_row_with(row, hands) for row, hands in zip(waiting.pop(0), part, strict=True)]


def with_mesh(row: Row, model: HandModel) -> Row:
    """Return the row with the vertices and joints of its parameters."""
    hands = model(_parameters(row, model))
    drawn = {name: np.array(getattr(hands, name), dtype=np.float32) for name in ("vertices", "joints")}
    for values in drawn.values():
        values[row["present"] < PRESENT] = np.nan
    return {**row, **drawn}


def _hands_without_mesh(row: Row, model: HandModel) -> TwoHands:
    """Return the two hands of a row that was seen, by their parameters alone."""
    unknown = np.full((2, NUM_JOINTS, 3), np.nan)
    return replace(hands_of_row({**row, "joints": unknown}), parameters=_parameters(row, model))


def _parameters(row: Row, model: HandModel) -> HandParameters:
    """Return the parameters of the two hands of a row; an absent hand is neutral."""
    parameters = model.neutral()
    for side in np.flatnonzero(row["present"] >= PRESENT):
        transform = np.asarray(row["T_camera_from_wrist"][side], dtype=np.float64)
        parameters.pose[side], parameters.shape[side] = row["pose"][side], row["shape"][side]
        parameters.rotation[side] = Rotation.from_matrix(transform[:3, :3]).as_rotvec()
        parameters.translation[side] = transform[:3, 3]
    return parameters


def _seconds(row: Row) -> float | None:
    return float(row["seconds"]) if np.isfinite(row["seconds"]) else None


def _row_with(row: Row, hands: TwoHands) -> Row:
    """Return a row with other hands."""
    new = make_row(str(row["frame_id"]), hands, row["K"], row["inputs"], _seconds(row))
    return {**new, "error": row["error"]}
