"""Guess the depth unit of a recording whose files do not state it, from the size of the hands."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

from twohands.checks.frame import DEPTH_UNITS, RIGHT_SIZE, palm_size
from twohands.doctor.examination import spread
from twohands.files import DEFAULT_INTEGER_UNIT
from twohands.predictor import Locate
from twohands.sources.opening import open_source
from twohands.sources.options import SourceOptions

LOOKED_AT = 12
"""Number of frames, spread over the recording, in which hands are looked for."""


def guessed_unit(recording: Path, options: SourceOptions, locate: Locate) -> float | None:
    """Return metres per depth step with which most hands have a plausible size, None if no unit in use does that."""
    source = open_source(recording, replace(options, depth_unit=DEFAULT_INTEGER_UNIT))
    sizes = []
    chosen = set(spread(source.length or LOOKED_AT, LOOKED_AT))
    for number, entry in enumerate(source):
        if number not in chosen:
            continue
        with suppress(ValueError, FileNotFoundError):
            frame = entry.open()
            located = locate(frame)
            found = [palm_size(located.pixels[side], frame.depth, frame.camera) for side in located.present_sides]
            sizes += [size for size in found if size]
    if not sizes:
        return None
    right = DEFAULT_INTEGER_UNIT / median(sizes)
    nearest = min(DEPTH_UNITS, key=lambda unit: abs(math.log(unit / right)))
    return nearest if abs(math.log(nearest / right)) < math.log(RIGHT_SIZE) else None
