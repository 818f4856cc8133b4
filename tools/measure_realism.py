"""Measures how real renderings look to networks that were trained on photographs of hands only.

The shipped hand networks (`twohands.locate`) look at renderings and at real frames alike. What they do on the real ones
is what they can do; where they do worse on renderings, the renderings lack something. Hands count as in
`twohands.evaluation`. The labels of real frames may come from such a network too: compare recall first.

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
from twohands.evaluation import ON_THE_HAND, SMALLEST_LENGTH, SMALLEST_VISIBLE
from twohands.files import write_atomically
from twohands.locate import HandLocator
from twohands.shards import Shards
from twohands.sources.folder import FolderRecording
from twohands.synth.config import CONFIGS
from twohands.synth.engine import SyntheticHands
from twohands.types import SIDE_NAMES, LocatedHands, Sample

LEAST_RECALL, LARGEST_DISTANCE = 0.90, 0.06
"""The bars that renderings should pass: hands found; median landmark distance over the side of the hand's box."""
BUCKETS = (SMALLEST_VISIBLE, 0.6, 0.9, 1.0)
"""Visible shares of hands that are told apart."""
SHOWN = 0.5
"""Least visibility of a joint that the networks can be expected to see."""
REAL_LABELS = "joints2d.json"
"""{frame: {"left" or "right": 21 joints (u, v) pixels, standard order}}."""


@dataclass(frozen=True)
class Labelled:
    """A picture and where its hands are."""

    rgb: np.ndarray  # (3, H, W) float32 in [0, 1]
    pixels: np.ndarray  # (2, 21, 2) joints in the image, NaN for an absent hand
    visible: np.ndarray  # (2,) share of the hand that nothing hides
    shown: np.ndarray  # (2, 21) whether the camera sees the joint's surroundings


@dataclass(frozen=True)
class Seen:
    """What the networks make of one hand that counts."""

    visible: float
    side: float  # pixels, of the box of its joints
    found: bool
    right_side: bool
    shown: np.ndarray  # (21,)
    distances: np.ndarray  # (21,) pixels, of no use unless found


def main(
    renderings: tuple[str, ...],
    out: Path,
    real: Path | None = None,
    count: int = 60,
    sensor: str | None = None,
    seed: int = 7,
) -> None:
    """Writes the figures of each source as JSON and prints them as a table.

    `renderings` are names of configurations (split "train", so that no test frame is looked at) and folders of stored
    frames; `count` frames of each are taken. `sensor` replaces the depth camera of the configurations.
    """
    locate = HandLocator()
    sources: dict[str, Iterable[Labelled]] = {name: rendered(name, count, sensor, seed) for name in renderings}
    if real is not None:
        sources["real"] = photographed(real)
    figures = {}
    for name, frames in sources.items():
        seen, phantoms, number = [], 0, 0
        for frame in frames:
            hands, wrong = look(locate(frame.rgb), frame)
            seen, phantoms, number = seen + hands, phantoms + wrong, number + 1
        figures[name] = summary(seen, phantoms, number)
    with write_atomically(out) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n")
    print(table(figures))


def rendered(name: str, count: int, sensor: str | None, seed: int) -> Iterator[Labelled]:
    """Frames of a configuration or of a folder of shards; ValueError for another name."""
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
    """The picture of a sample and its projected joints."""
    present = sample.hands.is_present
    joints = np.where(present[:, None, None], sample.hands.joints, np.float32(np.nan))
    pixels, shown = sample.frame.camera.project(joints), np.asarray(sample.visibility) >= SHOWN
    return Labelled(np.asarray(sample.frame.rgb), pixels, np.asarray(sample.shares), shown)


def photographed(folder: Path) -> Iterator[Labelled]:
    """The frames of a recording that have labels; their hands pass for wholly visible."""
    recording = FolderRecording(folder)
    for name, hands in json.loads((folder / REAL_LABELS).read_text()).items():
        absent = np.full((21, 2), np.nan)
        pixels = np.array([hands.get(side, absent) for side in SIDE_NAMES], dtype=float)
        rgb = files.read_rgb(recording.colour[name]).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
        yield Labelled(rgb, pixels, np.ones(2), np.ones((2, 21), dtype=bool))


def look(located: LocatedHands, frame: Labelled) -> tuple[list[Seen], int]:
    """What was made of each hand that counts, and the number of finds that lie on no hand."""
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


def summary(seen: list[Seen], phantoms: int, frames: int) -> dict[str, Any]:
    """The figures of one source: all hands that count, and by visible share."""
    whole = {"frames": frames, "phantoms": phantoms, **_figures(seen)}
    found = whole["distance"] is not None
    whole["passes"] = found and whole["recall"] >= LEAST_RECALL and whole["distance"] <= LARGEST_DISTANCE
    edges = (*BUCKETS[:-1], np.inf)
    whole["visible"] = {
        f"{low:.0%} to {high:.0%}": _figures([hand for hand in seen if below <= hand.visible < above])
        for low, high, below, above in zip(BUCKETS, BUCKETS[1:], edges, edges[1:], strict=False)
    }
    return whole


def _figures(seen: list[Seen]) -> dict[str, Any]:
    """Shares of the hands, and medians over the landmarks of those found; None where there are none."""
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
    """The figures as a table in Markdown."""
    lines = [
        f"Bars: recall >= {LEAST_RECALL:.0%}, median distance <= {LARGEST_DISTANCE:.0%} of the hand's box.\n",
        "| frames | visible | hands | found, % | right side, % | distance, % of box | of shown joints | px | passes |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, whole in figures.items():
        verdict = "yes" if whole["passes"] else "no"
        lines.append(_row(f"{name} ({whole['frames']}, {whole['phantoms']} phantoms)", "all", whole, verdict))
        lines += [_row("", share, part, "") for share, part in whole["visible"].items() if part["hands"]]
    return "\n".join(lines)


def _row(name: str, visible: str, part: dict[str, Any], verdict: str) -> str:
    scales = {"recall": 100, "right_side": 100, "distance": 100, "distance_shown": 100, "distance_px": 1}
    values = ["" if part[key] is None else f"{scale * part[key]:.1f}" for key, scale in scales.items()]
    return "| " + " | ".join([name, visible, str(part["hands"]), *values, verdict]) + " |"


if __name__ == "__main__":
    tyro.cli(main)
