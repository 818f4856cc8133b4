"""Measure how real renderings look to networks that were trained on photographs of hands only.

The shipped hand networks (`twohands.locate`) process renderings and real frames alike. Their results on real frames
show their ability; worse results on renderings show a lack of realism. Hands are evaluated as in
`twohands.evaluation.scoring`. The labels of real frames may come from such a network too: compare recall first.

Run: python tools/measure_realism.py --renderings basic shifted_shards/ --real FOLDER --out realism.json
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from twohands import files
from twohands.evaluation.scoring import ON_THE_HAND, SMALLEST_LENGTH, SMALLEST_VISIBLE
from twohands.files import write_atomically
from twohands.locate import HandLocator
from twohands.shards import Shards
from twohands.sources.folder import FolderRecording
from twohands.synth.config import CONFIGS
from twohands.synth.engine import SyntheticHands
from twohands.types import SIDE_NAMES, LocatedHands, Sample

LEAST_RECALL, LARGEST_DISTANCE = 0.90, 0.06
"""Limits for renderings: least fraction of hands found, largest median landmark distance over the box's side."""
BUCKETS = (SMALLEST_VISIBLE, 0.6, 0.9, 1.0)
"""Limits of the visible fraction of a hand, by which results are grouped."""
SHOWN = 0.5
"""Least visibility of a joint that the networks can be expected to see."""
REAL_LABELS = "joints2d.json"
"""File of labels in a recording: {frame: {"left" or "right": 21 joints (u, v) pixels, standard order}}."""


@dataclass(frozen=True)
class Labelled:
    """A picture and the positions of its hands."""

    rgb: np.ndarray  # (3, H, W) float32 in [0, 1]
    pixels: np.ndarray  # (2, 21, 2) joints in the image, NaN for an absent hand
    visible: np.ndarray  # (2,) fraction of the hand that nothing hides
    shown: np.ndarray  # (2, 21) bool, True where the camera sees the joint's surroundings


@dataclass(frozen=True)
class Seen:
    """The networks' result for one evaluated hand."""

    visible: float
    side: float  # pixels, side of the box around its joints
    found: bool
    right_side: bool
    shown: np.ndarray  # (21,)
    distances: np.ndarray  # (21,) pixels, undefined unless found


def main(
    renderings: tuple[str, ...],
    out: Path,
    real: Path | None = None,
    count: int = 60,
    sensor: str | None = None,
    seed: int = 7,
) -> None:
    """Write the metrics of each source as JSON and print them as a table.

    `renderings` are names of configurations (split "train", so that no test frame is used) and folders of stored
    frames; `count` frames of each are used. `sensor` replaces the depth camera of the configurations.
    """
    locate = HandLocator()
    sources: dict[str, Iterable[Labelled]] = {name: rendered(name, count, sensor, seed) for name in renderings}
    if real is not None:
        sources["real"] = photographed(real)
    figures = {}
    for name, frames in sources.items():
        seen, false_positives, number = [], 0, 0
        for frame in frames:
            hands, wrong = look(locate(frame.rgb), frame)
            seen, false_positives, number = seen + hands, false_positives + wrong, number + 1
        figures[name] = summary(seen, false_positives, number)
    with write_atomically(out) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n")
    print(table(figures))


def rendered(name: str, count: int, sensor: str | None, seed: int) -> Iterator[Labelled]:
    """Return frames of a configuration or of a folder of shards. Raise ValueError for another name."""
    if name in CONFIGS:
        config = CONFIGS[name] if sensor is None else replace(CONFIGS[name], sensor=sensor)
        dataset: SyntheticHands | Shards = SyntheticHands(seed, config=config)
    elif Path(name).is_dir():
        dataset = Shards(name)
        count = min(count, len(dataset))
    else:
        raise ValueError(f"{name!r} is neither a folder nor one of {', '.join(CONFIGS)}")
    return (labelled(dataset[index]) for index in range(count))


def labelled(sample: Sample) -> Labelled:
    """Return the picture of a sample and its projected joints."""
    present = sample.hands.is_present
    joints = np.where(present[:, None, None], sample.hands.joints, np.float32(np.nan))
    pixels, shown = sample.frame.camera.project(joints), np.asarray(sample.visibility) >= SHOWN
    return Labelled(np.asarray(sample.frame.rgb), pixels, np.asarray(sample.visible_fraction), shown)


def photographed(folder: Path) -> Iterator[Labelled]:
    """Yield the labelled frames of a recording. Their hands are taken as completely visible."""
    recording = FolderRecording(folder)
    for name, hands in json.loads((folder / REAL_LABELS).read_text()).items():
        absent = np.full((21, 2), np.nan)
        pixels = np.array([hands.get(side, absent) for side in SIDE_NAMES], dtype=float)
        rgb = files.read_rgb(recording.colour[name]).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        yield Labelled(rgb, pixels, np.ones(2), np.ones((2, 21), dtype=bool))


def look(located: LocatedHands, frame: Labelled) -> tuple[list[Seen], int]:
    """Return the result for each evaluated hand, and the number of false positives."""
    sides = np.ptp(frame.pixels, axis=1).max(axis=-1)  # (2,) NaN for an absent hand
    away = np.linalg.norm(located.pixels[:, None] - frame.pixels[None], axis=-1)  # (found, true, 21)
    on_hand = located.is_present[:, None] & (away.mean(axis=-1) < ON_THE_HAND * sides)
    seen = []
    for hand in np.flatnonzero((frame.visible >= SMALLEST_VISIBLE) & (sides >= SMALLEST_LENGTH)):
        found = on_hand[:, hand]
        finder = int(np.where(found, away[:, hand].mean(axis=-1), np.inf).argmin())
        seen.append(
            Seen(
                visible=float(frame.visible[hand]),
                side=float(sides[hand]),
                found=bool(found.any()),
                right_side=bool(found.any()) and finder == hand,
                shown=frame.shown[hand],
                distances=away[finder, hand],
            )
        )
    return seen, int((located.is_present & ~on_hand.any(axis=1)).sum())


def summary(seen: list[Seen], false_positives: int, frames: int) -> dict[str, Any]:
    """Return the metrics of one source: for all evaluated hands, and by visible fraction."""
    whole = {"frames": frames, "false_positives": false_positives, **_figures(seen)}
    found = whole["distance"] is not None
    whole["passes"] = found and whole["recall"] >= LEAST_RECALL and whole["distance"] <= LARGEST_DISTANCE
    edges = (*BUCKETS[:-1], np.inf)
    whole["visible"] = {
        f"{low:.0%} to {high:.0%}": _figures([hand for hand in seen if below <= hand.visible < above])
        for low, high, below, above in zip(BUCKETS, BUCKETS[1:], edges, edges[1:], strict=False)
    }
    return whole


def _figures(seen: list[Seen]) -> dict[str, Any]:
    """Return fractions of the hands, and medians over the landmarks of those found; None where there are none."""
    found = [hand for hand in seen if hand.found]
    pixels = np.array([hand.distances for hand in found]).reshape(-1, 21)
    shares = pixels / np.array([hand.side for hand in found])[:, None]
    shown = np.array([hand.shown for hand in found], dtype=bool).reshape(-1, 21)
    return {
        "hands": len(seen),
        "recall": len(found) / len(seen) if seen else None,
        "right_side": sum(hand.right_side for hand in found) / len(found) if found else None,
        "distance": float(np.median(shares)) if found else None,
        "distance_shown": float(np.median(shares[shown])) if shown.any() else None,
        "distance_px": float(np.median(pixels)) if found else None,
    }


def table(figures: dict[str, dict[str, Any]]) -> str:
    """Return the metrics as a table in Markdown."""
    lines = [
        f"Limits: recall >= {LEAST_RECALL:.0%}, median distance <= {LARGEST_DISTANCE:.0%} of the hand's box.\n",
        "| frames | visible | hands | found, % | right side, % | distance, % of box | of shown joints | px | passes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, whole in figures.items():
        title = f"{name} ({whole['frames']}, {whole['false_positives']} false positives)"
        lines.append(_row(title, "all", whole, "yes" if whole["passes"] else "no"))
        lines += [_row("", visible, part, "") for visible, part in whole["visible"].items() if part["hands"]]
    return "\n".join(lines)


def _row(name: str, visible: str, part: dict[str, Any], verdict: str) -> str:
    scales = {"recall": 100, "right_side": 100, "distance": 100, "distance_shown": 100, "distance_px": 1}
    values = ["" if part[key] is None else f"{scale * part[key]:.1f}" for key, scale in scales.items()]
    return "| " + " | ".join([name, visible, str(part["hands"]), *values, verdict]) + " |"


if __name__ == "__main__":
    tyro.cli(main)
