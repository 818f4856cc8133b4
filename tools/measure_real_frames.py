"""Compare the methods of the product on real frames with known hands: the basis for the choice of the default.

    python tools/measure_real_frames.py FOLDER --networks runs/mine/onnx

FOLDER has folders of frames (rgb/, depth/, cam_K.txt), of which those that exist are read: two_hands/ (with
joints2d.json: {frame: {"left": [[u, v], ...], "right": ...}}), one_hand/ with the right hand alone, no_hands/,
one_hand_truth/ (with joints3d.npz: frame_id, joints (N, 2, 21, 3) metres in the camera frame), grip/ (a person who
faces the camera: the right hand is left in the picture) and table_sequence/ (consecutive frames of both hands, left and
right as in the picture). Real frames are not part of the project.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tyro

from twohands import load
from twohands.choices import Method
from twohands.evaluation.metrics import al_mpjpe, mpjpe, pa_mpjpe
from twohands.predictor import Predictor
from twohands.sources.folder import FolderRecording
from twohands.tracking import can_follow, track
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame, TwoHands, no_hands

THERE = {"two_hands": (LEFT, RIGHT), "one_hand": (RIGHT,), "no_hands": ()}
ON_THE_HAND = 60.0
"""Mean distance from the labelled joints, in pixels, beyond which a prediction is not on the hand."""
JUMP = 0.15
"""Motion of a wrist from one frame to the next, in metres, that no hand makes."""
OFF = 0.03
"""Median distance of a mesh from the measured depth, in metres, from which a hand is not on it."""
TURNS = 5
"""Times that every frame is timed, after one that does not count."""
MOTION = ("found", "exchanged", "jumps", "off the depth", "spread of length, %")
"""Figures of a motion, see `motion`."""
Named = tuple[str, Method | None, Path | None]


def main(folder: tyro.conf.Positional[Path], networks: tuple[Path, ...] = (), fits: tuple[bool, ...] = (True,)) -> None:
    """Print tables with a line for each shipped method and for each folder of exported networks.

    Args:
        folder: The folder of real frames.
        networks: Folders of exported networks.
        fits: True with the fit, False without.
    """
    named: list[Named] = [(method, method, None) for method in ("light", "landmarks", "pdfnet")]
    named += [(str(path), None, path) for path in networks]
    tables = [
        (THERE, labelled, ""), (("one_hand_truth",), exact, ""), (("grip",), gripped, ""),
        (("table_sequence",), moving, ", frame by frame"), (("table_sequence",), tracked, ", tracked"),
    ]  # fmt: skip
    if (folder / "two_hands").is_dir():
        print(f"\nCPU of a frame of two_hands, seconds, median and quartiles\n\n{timed(named, folder)}")
    for needed, table, how in tables:
        if not all((folder / name).is_dir() for name in needed):
            continue
        lines = []
        for title, method, network in named:
            for fit in fits:
                predictor = load(method, network, fit=fit, trusted=True)
                lines.append((title if fit else f"{title}, no fit", table(predictor, folder)))
        heads = list(lines[0][1])
        print(f"\n{', '.join(needed)}{how}\n\n| method | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}")
        for title, values in lines:
            print(f"| {title} | {' | '.join(values[head] for head in heads)} |")


def timed(named: list[Named], folder: Path) -> str:
    """Return a table of the CPU time of a frame with the fit. The methods take turns, to meet the same load."""
    predictors = {title: load(method, network, trusted=True) for title, method, network in named}
    spent: dict[str, list[float]] = {title: [] for title in predictors}
    for turn in range(TURNS + 1):
        for _, frame in frames(folder / "two_hands"):
            for title, predictor in predictors.items():
                start = time.process_time()
                hands_of(predictor, frame)
                if turn:
                    spent[title].append(time.process_time() - start)
    quartiles = {title: np.percentile(values, [50, 25, 75]) for title, values in spent.items()}
    rows = [f"| {title} | {q[0]:.3f} ({q[1]:.3f} to {q[2]:.3f}) |" for title, q in quartiles.items()]
    return "\n".join(["| method | CPU, s |", "|---|---|", *rows])


def labelled(predictor: Predictor, folder: Path) -> dict[str, str]:
    """Return hands found and misplaced, distance in the image, and agreement with the depth."""
    labels = json.loads((folder / "two_hands" / "joints2d.json").read_text())
    pixels, residuals, supports = [], [], []
    found = total = false_positives = 0
    for name, sides in THERE.items():
        for frame_id, frame in frames(folder / name):
            hands = hands_of(predictor, frame)
            total += len(sides)
            for side in hands.present_sides:
                away = np.nan
                if frame_id in labels and name == "two_hands":
                    there = frame.camera.project(hands.joints[side]) - np.array(labels[frame_id][SIDE_NAMES[side]])
                    away = float(np.linalg.norm(there, axis=1).mean())
                if side not in sides or away > ON_THE_HAND:
                    false_positives += 1
                    continue
                assert hands.quality is not None
                found += 1
                pixels.append(away)
                residuals.append(1e3 * hands.quality.depth_residual[side])
                supports.append(100 * hands.quality.depth_support[side])
    return {
        "found": f"{found} of {total}",
        "false positives": str(false_positives),
        "joints, px": _mean(pixels),
        "residual, mm, median": f"{np.nanmedian(residuals):.1f}" if found else "-",
        "support, %, median": f"{np.nanmedian(supports):.0f}" if found else "-",
    }


def exact(predictor: Predictor, folder: Path) -> dict[str, str]:
    """Return the errors against joints that are known, in millimetres; a hand that is not there is a false positive."""
    with np.load(folder / "one_hand_truth" / "joints3d.npz") as archive:
        truth = {str(name): joints for name, joints in zip(archive["frame_id"], archive["joints"], strict=True)}
    errors: dict[str, list[float]] = {"MPJPE, mm": [], "AL-MPJPE, mm": [], "PA-MPJPE, mm": []}
    found = total = false_positives = 0
    for frame_id, frame in frames(folder / "one_hand_truth"):
        hands = hands_of(predictor, frame)
        known = np.isfinite(truth[frame_id]).all(axis=(1, 2))
        target = TwoHands(None, np.nan_to_num(truth[frame_id]), known.astype(np.float32))
        for name, metric in zip(errors, (mpjpe, al_mpjpe, pa_mpjpe), strict=True):
            errors[name] += (1e3 * np.asarray(metric(hands, target))).tolist()
        for side in (LEFT, RIGHT):
            there = bool(known[side])
            present = side in hands.present_sides
            total, found = total + there, found + (there and present)
            false_positives += present and not there
    means = {name: _mean(values) for name, values in errors.items()}
    return {"found": f"{found} of {total}", "false positives": str(false_positives), **means}


def gripped(predictor: Predictor, folder: Path) -> dict[str, str]:
    """Return the hands found on their side, by their place in the picture of a person who faces the camera."""
    right_side = found = frames_read = 0
    for _, frame in frames(folder / "grip"):
        hands, frames_read = hands_of(predictor, frame), frames_read + 1
        for side in hands.present_sides:
            u = float(frame.camera.project(np.asarray(hands.joints[side], float))[:, 0].mean())
            found += 1
            right_side += (u < frame.camera.width / 2) == (side == RIGHT)
    return {"found": f"{found} of {2 * frames_read}", "on their side": str(right_side)}


def moving(predictor: Predictor, folder: Path) -> dict[str, str]:
    """Return the figures of a motion from each of its frames alone."""
    return motion([hands_of(predictor, frame) for _, frame in frames(folder / "table_sequence")])


def tracked(predictor: Predictor, folder: Path) -> dict[str, str]:
    """Return the figures of a motion that is followed and made steady, without a look ahead."""
    if not can_follow(predictor):
        return dict.fromkeys(MOTION, "-")
    return motion(list(track(folder / "table_sequence", predictor)))


def motion(results: list[TwoHands]) -> dict[str, str]:
    """Return the hands found, exchanged sides, jumps of the wrists and hands off the measured depth."""
    present = np.stack([hands.is_present for hands in results])
    wrists = np.stack([np.asarray(hands.joints)[:, 0] for hands in results])
    lengths = np.stack([np.linalg.norm(hands.joints[:, 9] - hands.joints[:, 0], axis=-1) for hands in results])
    moved = np.linalg.norm(np.diff(wrists, axis=0), axis=-1)
    jumps = int((moved[present[1:] & present[:-1]] > JUMP).sum())
    both = present.all(axis=1)
    off = sum(
        hands.quality is not None and not hands.quality.depth_residual[side] < OFF
        for hands in results
        for side in hands.present_sides
    )
    spread = [100 * lengths[present[:, side], side].std() / lengths[present[:, side], side].mean() for side in (0, 1)]
    values = (
        f"{present.sum()} of {present.size}",
        str(int((both & (wrists[:, 0, 0] > wrists[:, 1, 0])).sum())),
        str(jumps),
        str(off),
        f"{spread[0]:.1f}, {spread[1]:.1f}",
    )
    return dict(zip(MOTION, values, strict=True))


def frames(folder: Path) -> Iterator[tuple[str, RGBDFrame]]:
    """Yield frame id and frame of every frame of a folder."""
    recording = FolderRecording(folder)
    for frame_id in recording.ids:
        yield frame_id, recording.open(frame_id)


def hands_of(predictor: Predictor, frame: RGBDFrame) -> TwoHands:
    """Return the hands of a frame, none where it is refused."""
    try:
        return predictor(frame)
    except ValueError:
        return no_hands()


def _mean(values: list[float]) -> str:
    return f"{np.nanmean(values):.1f}" if values else "-"


if __name__ == "__main__":
    tyro.cli(main)
