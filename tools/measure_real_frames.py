"""Compare the methods of the product on real frames with known hands: the basis for the choice of the default.

    python tools/measure_real_frames.py FOLDER --networks runs/mine/onnx

FOLDER has two_hands/ (with joints2d.json: {frame: {"left": [[u, v], ...], "right": ...}}), one_hand/ with the right
hand alone, and no_hands/, each with rgb/, depth/ and cam_K.txt. Real frames are not part of the project.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro

from twohands import load
from twohands.choices import Method
from twohands.predictor import Predictor
from twohands.sources.folder import FolderRecording
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame

THERE = {"two_hands": (LEFT, RIGHT), "one_hand": (RIGHT,), "no_hands": ()}
ON_THE_HAND = 60.0
"""Mean distance from the labelled joints, in pixels, beyond which a prediction is not on the hand."""


def main(folder: tyro.conf.Positional[Path], networks: tuple[Path, ...] = ()) -> None:
    """Print a line for the shipped methods, with and without the fit, and for each folder of exported networks."""
    print("| method | found | false positives | joints, px | residual, mm | support, % |\n|---|---|---|---|---|---|")
    named: list[tuple[str, Method, Path | None]] = [("landmarks", "landmarks", None), ("pdfnet", "pdfnet", None)]
    for title, method, path in named + [(f"pdfnet, {path}", "pdfnet", path) for path in networks]:
        for fit in (True, False):
            print(line(f"{title}{'' if fit else ', no fit'}", load(method, path, fit=fit), folder))


def line(title: str, predictor: Predictor, folder: Path) -> str:
    """Return a line with a predictor's results; means of pixels, medians of other values."""
    labels = json.loads((folder / "two_hands" / "joints2d.json").read_text())
    pixels, residuals, supports = [], [], []
    found = total = false_positives = 0
    for name, frame_id, frame in frames(folder):
        hands = predictor(frame)
        assert hands.quality is not None
        total += len(THERE[name])
        for side in hands.present_sides:
            away = np.nan
            if frame_id in labels and name == "two_hands":
                there = frame.camera.project(hands.joints[side]) - np.array(labels[frame_id][SIDE_NAMES[side]])
                away = float(np.linalg.norm(there, axis=1).mean())
            if side not in THERE[name] or away > ON_THE_HAND:
                false_positives += 1
                continue
            found += 1
            pixels.append(away)
            residuals.append(1e3 * hands.quality.depth_residual[side])
            supports.append(100 * hands.quality.depth_support[side])
    values = f"{np.nanmean(pixels):.1f} | {np.nanmedian(residuals):.1f} | {np.nanmedian(supports):.0f}"
    return f"| {title} | {found} of {total} | {false_positives} | {values if found else '- | - | -'} |"


def frames(folder: Path) -> Iterator[tuple[str, str, RGBDFrame]]:
    """Yield folder, frame id and frame of every real frame."""
    for name in THERE:
        recording = FolderRecording(folder / name)
        for frame_id in recording.ids:
            yield name, frame_id, recording.open(frame_id)


if __name__ == "__main__":
    tyro.cli(main)
