"""Figures that compare predictions with the target of a frame, from the front and from the side.

Pictures are (H, W, 3) uint8, red first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from twohands.choices import MaskMode
from twohands.evaluation.evaluate import tracked
from twohands.evaluation.metrics import al_mpjpe, mpjpe
from twohands.evaluation.scoring import as_compared, predict_with
from twohands.files import write_atomically
from twohands.geometry.camera import Camera
from twohands.geometry.zbuffer import window_of
from twohands.hands import HAND_MODELS
from twohands.overlay import draw_overlay, draw_side_view
from twohands.pictures import BACKGROUND, color_depth, contact_sheet
from twohands.predictor import Predictor
from twohands.types import Dataset, Sample, TwoHands, no_hands
from twohands.views import view

FOLDER = "figures"
WIDTH = 480
"""Width of one column, pixels."""
STRIP = 54
"""Height in pixels of the caption of two lines above every picture; on the picture it would hide the hands."""
MARGIN = 1.25
"""Size of the view relative to the box around the joints of all hands in it."""


def draw_figure(sample: Sample, predictions: Sequence[tuple[str, TwoHands, np.ndarray]]) -> np.ndarray:
    """Draw one column each for colour, target and every prediction with its errors; below them depth and side views.

    A prediction comes with its name and the faces (2, F, 3) of its meshes; the target has the faces of its hand model.
    All columns show the same part of the frame. Hands without a mesh are drawn as skeletons.
    """
    shown = [("target", sample.hands, _faces(sample)), *predictions]
    everything = [hands for _, hands, _ in shown]
    frame = view(sample.frame, close_camera(sample.frame.camera, everything))
    front = [frame.rgb_uint8(), *(draw_overlay(frame, hands, faces) for _, hands, faces in shown)]
    height, width = front[0].shape[:2]
    side = [draw_side_view(sample.frame, hands, faces, width, height, everything) for _, hands, faces in shown]
    captions = ["colour", "target", *(caption(name, hands, sample.hands) for name, hands, _ in predictions)]
    names = [name for name, _, _ in shown]
    captions += ["measured depth", *(f"{name}\nfrom the side, with the measured points" for name in names)]
    pictures = [_below_strip(picture) for picture in (*front, color_depth(frame.depth), *side)]
    return contact_sheet(pictures, captions, len(front), WIDTH)


def _faces(sample: Sample) -> np.ndarray:
    """Return the faces (2, F, 3) of the true meshes; F is 0 without meshes."""
    if sample.hand_model is None:
        return np.zeros((2, 0, 3), np.int64)
    return np.asarray(HAND_MODELS[sample.hand_model]().faces)


def caption(name: str, prediction: TwoHands, target: TwoHands) -> str:
    """Return the name, the number of hands found unless all were, and their mean errors in millimetres."""
    errors = np.array([metric(prediction, target) for metric in (mpjpe, al_mpjpe)])
    found = np.isfinite(errors[0])
    there = len(target.present_sides)
    title = name if found.sum() == there else f"{name} ({found.sum()} of {there} hands)"
    if not found.any():
        return title
    whole, aligned = errors[:, found].mean(axis=1) * 1e3
    return f"{title}\nMPJPE {whole:.1f} mm, AL-MPJPE {aligned:.1f} mm"


def close_camera(camera: Camera, everything: Sequence[TwoHands]) -> Camera:
    """Return the camera of the image part that holds the given hands, WIDTH wide and with the shape of the image."""
    joints = [np.asarray(hands.joints)[hands.present_sides].reshape(-1, 3) for hands in everything]
    window, left, top = window_of(np.concatenate(joints), camera)
    size, box = np.array([camera.width, camera.height]), np.array([window.width, window.height])
    fraction = min(1.0, MARGIN * float((box / size).max())) if any(map(len, joints)) else 1.0
    width, height = np.ceil(size * fraction).astype(int).tolist()
    first = np.clip(np.array([left, top]) + (box - [width, height]) / 2, 0, size - [width, height])
    close = camera.crop(float(first[0]), float(first[1]), width, height)
    return close.resize(WIDTH, round(WIDTH * camera.height / camera.width))


def _below_strip(picture: np.ndarray) -> np.ndarray:
    strip = np.full((STRIP, picture.shape[1], 3), BACKGROUND, np.uint8)
    return np.concatenate([strip, picture])


def write_figures(
    out: Path,
    shown: Sequence[tuple[str, Predictor]],
    mode: MaskMode,
    dataset: Dataset,
    chosen: Sequence[int],
    known: bool,
) -> None:
    """Write a figure of every chosen frame into the folder OUT/figures, with a column for every named predictor.

    `mode` names the input of the predictors; with `known` the presence of the hands is given too.
    """
    for index in tracked(chosen, "figures"):
        sample, columns = dataset[index], []
        for name, predictor in shown:
            found = predict_with(predictor, mode)(sample)
            prediction = as_compared(found, sample, known, predictor.model.name) or no_hands()
            columns.append((name, prediction, np.asarray(predictor.model.faces)))
        picture = Image.fromarray(draw_figure(sample, columns))
        with write_atomically(out / FOLDER / f"{index:03d}_{sample.id.replace('/', '-')}.jpg") as temporary:
            picture.save(temporary, quality=90)


def remove_figures(out: Path) -> None:
    """Remove the figures of an earlier evaluation, possibly of other frames, from a folder."""
    for path in (out / FOLDER).glob("[0-9][0-9][0-9]_*.jpg"):
        path.unlink()


def spread(total: int, figures: int) -> list[int]:
    """Return at most `figures` indices below `total`, evenly spread, the first and the last among them."""
    number = min(figures, total)
    return [round(index * (total - 1) / max(number - 1, 1)) for index in range(number)]
