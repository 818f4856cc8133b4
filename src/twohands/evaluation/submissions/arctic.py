"""ARCTIC's consistent motion reconstruction: both hands and the object, an archive of tensors. Needs PyTorch.

[V: the format page and the programs of ARCTIC.] TASK/eval/SUBJECT_RECORDING_VIEW/ has preds/pred.NAME.pt, a row for
each frame, and meta_info/meta_info.imgname.pt, the images of these rows. The server poses MANO itself, from joint
rotations as matrices (those of the fingers about the mean pose) and the left shape basis as in its file, and adds the
translation in metres, OpenCV axes. Hands are scored relative to their wrists, to each other and to the object.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twohands.evaluation.submissions.checks import ROOM, array, check_count, check_names
from twohands.evaluation.submissions.writers import all_with, parameters_of
from twohands.files import write_atomically
from twohands.geometry.transforms import matrix_from_axis_angle
from twohands.hands.mano import Convention, values_of
from twohands.hands.mano_files import Mano
from twohands.types import LEFT, RIGHT, TwoHands

TASKS = {False: "pose_p1_test", True: "pose_p2_test"}
"""Tasks by whether the camera is the head-mounted one (view 0)."""
IMAGE = "./data/arctic_data/data/cropped_images/{}.jpg"
LARGEST_SHAPE = 10.0
"""Largest plausible shape component, standard deviations."""
ROUNDING = 0.01
"""Tolerance of rotation matrices, which may be half floats."""
_CONVENTION = Convention(flat_hand_mean=False, left_shape="raw")
_LETTERS = {LEFT: "l", RIGHT: "r"}
_HAND_ROWS = {"beta": (10,), "cam_t": (3,), "pose": (16, 3, 3)}
_ROWS = {
    **{f"mano.{name}.{letter}": shape for letter in _LETTERS.values() for name, shape in _HAND_ROWS.items()},
    "object.cam_t": (3,),
    "object.radian": (),
    "object.rot": (3,),
}
_NAME = re.compile(r"(s\d+)/(\w+)/(\d)/(\d{5})")
"""Subject, recording, view and number of the image: the `id` of ARCTIC's samples."""


@dataclass(frozen=True)
class ObjectPose:
    """Pose of the object in the camera frame."""

    rotation: np.ndarray  # (3,) axis-angle, radians
    translation: np.ndarray  # (3,) metres
    angle: float  # between its two parts, radians


NO_OBJECT = ObjectPose(np.zeros(3), np.zeros(3), 0.0)


def write_arctic(
    path: str | Path,
    names: Sequence[str],
    predictions: Sequence[TwoHands],
    mano: Mano,
    objects: Sequence[ObjectPose] | None = None,
) -> None:
    """Write the archive of views 1 to 8, or that of view 0, with parameters of the hand model `mano`.

    names: "s03/box_use_01/0/00010", as `Sample.id`, grouped by recording and view, in order. Without `objects` zeros
    are written for them; then only metrics of the hands are meaningful. Raise ValueError if a hand or its parameters
    are missing, and for names that do not belong in one archive.
    """
    path = Path(path)
    if path.suffix != ".zip":
        raise ValueError(f"{path} must end in .zip")
    objects = [NO_OBJECT] * len(names) if objects is None else objects
    if len(objects) != len(names):
        raise ValueError(f"there are {len(objects)} objects for {len(names)} names; give one for each, or none at all")
    task = _task(names)
    both = all_with(names, predictions, (LEFT, RIGHT))
    rows = [_row(*one, mano) for one in zip(names, both, objects, strict=True)]
    folders: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        folders.setdefault(_folder(name), []).append(index)
    with write_atomically(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, indices in folders.items():
            start = f"{task}/eval/{folder}"
            _store(archive, f"{start}/meta_info/meta_info.imgname.pt", [IMAGE.format(names[i]) for i in indices])
            for name in _ROWS:
                _store(archive, f"{start}/preds/pred.{name}.pt", np.stack([rows[i][name] for i in indices]))


def check_arctic(path: Path, expected: Sequence[Any]) -> None:
    """Check a file of kind "arctic", see `validate`."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            start = f"{_task(expected)}/eval/"
            others = [name for name in archive.namelist() if not name.startswith(start)]
            if others:
                raise ValueError(f"{path} has {others[0]}, but these names belong into {start}")
            folders = dict.fromkeys(name.removeprefix(start).split("/")[0] for name in archive.namelist())
            names = []
            for folder in folders:
                found = _names(path, folder, _loaded(path, archive, f"{start}{folder}/meta_info/meta_info.imgname.pt"))
                rows = {name: _loaded(path, archive, f"{start}{folder}/preds/pred.{name}.pt") for name in _ROWS}
                _check_rows(path, found, rows)
                names += found
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is no archive ({error}); write it again") from None
    check_names(path, names, expected)


def _row(name: str, hands: TwoHands, pose: ObjectPose, mano: Mano) -> dict[str, np.ndarray]:
    """Return the row of a frame in each file, float32."""
    parameters = parameters_of(name, hands, "ARCTIC")
    row = {"object.cam_t": pose.translation, "object.radian": np.asarray(pose.angle), "object.rot": pose.rotation}
    for side, letter in _LETTERS.items():
        one = parameters.map(lambda array, side=side: array[side])
        values = values_of(mano, side, one.pose, one.shape, one.rotation, one.translation, _CONVENTION)
        turns = np.concatenate([values.orientation, values.pose]).reshape(16, 3)
        row[f"mano.beta.{letter}"] = values.shape
        row[f"mano.cam_t.{letter}"] = values.translation
        row[f"mano.pose.{letter}"] = matrix_from_axis_angle(turns)
    return {key: np.asarray(value, dtype=np.float32) for key, value in row.items()}


def _task(names: Sequence[str]) -> str:
    """Return the single task that all names belong to."""
    views = set()
    for name in names:
        parts = _NAME.fullmatch(name)
        if parts is None:
            raise ValueError(f"{name!r} is no frame of ARCTIC; expected one like s03/box_use_01/0/00010")
        views.add(int(parts[3]))
    if len({view == 0 for view in views}) != 1:
        raise ValueError(f"an archive has frames of view 0 or of views 1 to 8, and some; got views {sorted(views)}")
    return TASKS[0 in views]


def _folder(name: str) -> str:
    """Return the folder of a frame: subject, recording and view."""
    return name.rpartition("/")[0].replace("/", "_")


def _store(archive: zipfile.ZipFile, member: str, content: Any) -> None:
    import torch

    stream = io.BytesIO()
    torch.save(torch.from_numpy(content) if isinstance(content, np.ndarray) else content, stream)
    archive.writestr(member, stream.getvalue())


def _loaded(path: Path, archive: zipfile.ZipFile, member: str) -> Any:
    import torch

    try:
        return torch.load(io.BytesIO(archive.read(member)), weights_only=True)
    except (KeyError, RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(f"{path} has no readable {member} ({error}); write it again") from None


def _names(path: Path, folder: str, images: Any) -> list[str]:
    """Return the names of the rows of a folder; its images must be of its recording and view, in order."""
    names = ["/".join(Path(image).with_suffix("").parts[-4:]) for image in images]
    for name in names:
        if _folder(name) != folder:
            raise ValueError(f"{path}, folder {folder}: {name} does not belong there")
    if names != sorted(names):
        raise ValueError(f"{path}, folder {folder}: the images are not in the order of their numbers")
    return names


def _check_rows(path: Path, names: Sequence[str], rows: Mapping[str, Any]) -> None:
    for key, values in rows.items():
        check_count(path, len(values), names, key)
        for name, row in zip(names, values, strict=True):
            numbers, entry = array(path, f"{name} {key}", row, _ROWS[key]), f"{path}, entry {name} {key}"
            if "pose" in key and not np.allclose(numbers @ numbers.swapaxes(1, 2), np.eye(3), atol=ROUNDING):
                raise ValueError(f"{entry}: these are not rotations, expected 16 matrices")
            if "mano.cam_t" in key and not 0 < numbers[2] < ROOM:
                raise ValueError(
                    f"{entry}: the hand is at z = {numbers[2]:.4g}, expected metres in front of the camera, at most "
                    f"{ROOM:g}"
                )
            if "beta" in key and np.abs(numbers).max() > LARGEST_SHAPE:
                raise ValueError(f"{entry}: {np.abs(numbers).max():.4g} standard deviations are no shape of a hand")
