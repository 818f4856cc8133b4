"""The methods of the product on real frames with known hands, side by side: what the choice of the default rests on.

    python tools/measure_real_frames.py FOLDER --weights runs/mine/onnx

FOLDER has two_hands/ (with joints2d.json: {frame: {"left": [[u, v], ...], "right": ...}}), one_hand/, in which only
the right hand is, and no_hands/, each with rgb/, depth/ and cam_K.txt. Real frames are not part of the project.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro

from twohands import load
from twohands.predictor import Predictor
from twohands.sources.folder import FolderRecording
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame

THERE = {"two_hands": (LEFT, RIGHT), "one_hand": (RIGHT,), "no_hands": ()}
ON_THE_HAND = 60.0
"""Pixels from the labelled joints, on average, beyond which a prediction does not lie on the hand."""


def main(folder: tyro.conf.Positional[Path], weights: tuple[Path, ...] = ()) -> None:
    """A line for the shipped methods, with and without the fit, and for each folder of exported networks."""
    print("| method | hands found | of no hand | joints, px | residual, mm | support, % |\n|---|---|---|---|---|---|")
    named: list[tuple[str, str, Path | None]] = [("landmarks", "landmarks", None), ("pdfnet", "pdfnet", None)]
    for title, method, path in named + [(f"pdfnet, {path}", "pdfnet", path) for path in weights]:
        for fit in (True, False):
            print(line(f"{title}{'' if fit else ', no fit'}", load(method, fit, path), folder))


def line(title: str, predictor: Predictor, folder: Path) -> str:
    """What a predictor finds; means of pixels, medians of the others."""
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
    figures = f"{np.nanmean(pixels):.1f} | {np.nanmedian(residuals):.1f} | {np.nanmedian(supports):.0f}"
    return f"| {title} | {found} of {total} | {false_positives} | {figures if found else '- | - | -'} |"


def frames(folder: Path) -> Iterator[tuple[str, str, RGBDFrame]]:
    """Folder, frame id and frame of every real frame."""
    for name in THERE:
        recording = FolderRecording(folder / name)
        for frame_id in recording.ids:
            yield name, frame_id, recording.open(frame_id)[0]


if __name__ == "__main__":
    tyro.cli(main)
