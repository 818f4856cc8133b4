"""Checks of submitted files: order, counts, units, axes, and numbers that are not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twohands.evaluation.submissions.arctic import check_arctic
from twohands.evaluation.submissions.checks import (
    ROOM,
    array,
    check_count,
    check_joint_order,
    check_names,
    check_side_of_camera,
    check_size,
)
from twohands.evaluation.submissions.containers import read_json
from twohands.evaluation.submissions.writers import H2O_FILE, HO3D_FILE, HOT3D_COMPONENTS, HOT3D_FILE
from twohands.hands.mano_files import NUM_VERTICES
from twohands.hands.skeleton import NUM_JOINTS
from twohands.types import SIDE_NAMES

NEAR = 0.1
"""Largest median distance of submitted and given wrists, metres; beyond it the order is not that of the list."""
WRIST_OF_MESH = 0.3
"""Largest distance from the wrist to the centre of a mesh, metres."""


def validate(path: str | Path, kind: str, expected: Sequence[Any], wrists: np.ndarray | None = None) -> None:
    """Check that a file has the format of benchmark `kind`, one of KINDS.

    expected: the names of all entries in order, as the writer of that kind takes them. wrists: (N, 3) metres, OpenCV
    camera, of the right hands in HO-3D's evaluation frames; without them the order of its file, which holds no names,
    is not checked. Neither order nor axes of H2O-3D can be checked. Raise ValueError with the wrong entry and what was
    expected, or FileNotFoundError.
    """
    if kind not in KINDS:
        raise ValueError(f"there are no files of kind {kind!r}; choose one of {', '.join(KINDS)}")
    if wrists is not None and kind != "ho3d":
        raise ValueError(f"wrists are known for 'ho3d' only, not for {kind!r}; leave them out")
    if kind == "ho3d":
        _ho3d(Path(path), expected, wrists)
    else:
        KINDS[kind](Path(path), expected)


def _h2o(path: Path, expected: Sequence[Any]) -> None:
    document = read_json(path, H2O_FILE)
    if not isinstance(document, dict) or "modality" not in document:
        raise ValueError(f"{path} must be a dictionary with 'modality' and the numbers of the actions")
    actions = {key: frames for key, frames in document.items() if key != "modality"}
    for key, frames in actions.items():
        if not key.isdigit() or not isinstance(frames, dict):
            raise ValueError(f"{path}, entry {key!r}: expected the number of an action with a dictionary of frames")
    names = [(int(key), frame) for key, frames in actions.items() for frame in frames]
    check_names(path, names, expected)
    hands = []
    for action, frame in names:
        name = (action, frame)
        both = array(path, name, actions[str(action)][frame], (126,)).reshape(2, NUM_JOINTS, 3)
        for side, word in enumerate(SIDE_NAMES):
            check_size(path, f"{name} {word}", both[side])
            check_side_of_camera(path, f"{name} {word}", both[side], 1)
        hands.append(both)
    check_joint_order(path, np.concatenate(hands) if hands else np.zeros((0, NUM_JOINTS, 3)), "standard")


def _ho3d(path: Path, expected: Sequence[Any], wrists: np.ndarray | None = None) -> None:
    joint_lists, meshes = _parts(path, (2,))
    check_count(path, len(joint_lists), expected, "joints")
    check_count(path, len(meshes), expected, "vertices")
    hands = []
    for name, joints, vertices in zip(expected, joint_lists, meshes, strict=True):
        joints = array(path, name, joints, (NUM_JOINTS, 3))
        vertices = array(path, f"{name} vertices", vertices, (NUM_VERTICES, 3))
        check_size(path, name, joints)
        for points in (joints, vertices):
            check_side_of_camera(path, name, points, -1)
        _check_mesh(path, name, joints, vertices)
        hands.append(joints)
    found = np.stack(hands) if hands else np.zeros((0, NUM_JOINTS, 3))
    check_joint_order(path, found, "mano")
    if wrists is not None and hands:
        off = np.linalg.norm(found[:, 0] * [1, -1, -1] - wrists, axis=-1)
        if np.median(off) > NEAR:
            worst = int(off.argmax())
            raise ValueError(
                f"{path}: the wrists are {np.median(off):.2f} m from those that the data set gives (median), "
                f"{off[worst]:.2f} m in entry {expected[worst]}; is the order that of evaluation.txt?"
            )


def _h2o3d(path: Path, expected: Sequence[Any]) -> None:
    parts = _parts(path, (1, 2))
    for part, what in zip(parts, ("joints", "vertices"), strict=False):
        check_count(path, len(part), expected, what)
    hands = []
    for number, name in enumerate(expected):
        joints = array(path, name, parts[0][number], (NUM_JOINTS, 6))
        right, left = joints[:, :3], joints[:, 3:]
        for word, one in (("right", right), ("left", left)):
            check_size(path, f"{name} {word}", one)
        if np.abs(right[0]).max() > 1e-4:
            why = "the left hand stands first" if np.abs(left[0]).max() <= 1e-4 else "positions are relative to it"
            raise ValueError(f"{path}, entry {name}: the right wrist is at {right[0]}, expected the origin; {why}")
        if len(parts) == 2:
            vertices = array(path, f"{name} vertices", parts[1][number], (NUM_VERTICES, 6))
            _check_mesh(path, f"{name} right", right, vertices[:, :3])
            _check_mesh(path, f"{name} left", left, vertices[:, 3:])
        hands += [right, left]
    check_joint_order(path, np.array(hands).reshape(-1, NUM_JOINTS, 3), "mano")


def _dexycb(path: Path, expected: Sequence[Any]) -> None:
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}; check the path")
    rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
    names = []
    for number, row in enumerate(rows, 1):
        if len(row) != 64 or not row[0].strip().isdigit():
            raise ValueError(f"{path}, line {number}: {len(row)} values, expected an image's number and 63 more")
        names.append(int(row[0]))
    check_names(path, names, expected)
    hands = []
    for name, row in zip(names, rows, strict=True):
        joints = array(path, name, row[1:], (63,)).reshape(NUM_JOINTS, 3)
        check_size(path, name, joints, "millimetres")
        check_side_of_camera(path, name, joints, 1)
        hands.append(joints)
    check_joint_order(path, np.array(hands).reshape(-1, NUM_JOINTS, 3), "standard")


def _hot3d(path: Path, expected: Sequence[Any]) -> None:
    document = read_json(path, HOT3D_FILE)
    if not isinstance(document, list):
        raise ValueError(f"{path} must be a list of dictionaries")
    fields = {"sequence_name", "frame_id", "mano_theta", "wrist_xform", "hand_side"}
    for number, entry in enumerate(document):
        if not isinstance(entry, dict) or not fields <= set(entry):
            raise ValueError(f"{path}, entry {number}: expected a dictionary with {', '.join(sorted(fields))}")
    names = [(entry["sequence_name"], entry["frame_id"], entry["hand_side"]) for entry in document]
    check_names(path, names, [tuple(name) for name in expected])
    for name, entry in zip(names, document, strict=True):
        array(path, f"{name} mano_theta", entry["mano_theta"], (HOT3D_COMPONENTS,))
        wrist = array(path, f"{name} wrist_xform", entry["wrist_xform"], (6,))
        if np.linalg.norm(wrist[3:]) > ROOM:
            raise ValueError(
                f"{path}, entry {name}: the wrist is {np.linalg.norm(wrist[3:]):.4g} from the origin, expected metres, "
                f"at most {ROOM:g}; these look like millimetres"
            )


def _parts(path: Path, counts: tuple[int, ...]) -> list[list[Any]]:
    """Return the lists of joints and vertices of a pred.json."""
    document = read_json(path, HO3D_FILE)
    if not isinstance(document, list) or len(document) not in counts or not all(isinstance(p, list) for p in document):
        wanted = " or ".join(("[joints]", "[joints, vertices]")[count - 1] for count in counts)
        raise ValueError(f"{path} must be a list {wanted}, each with an entry for every frame")
    return document


def _check_mesh(path: Path, name: Any, joints: np.ndarray, vertices: np.ndarray) -> None:
    off = np.linalg.norm(vertices.mean(axis=0) - joints[0])
    if off > WRIST_OF_MESH:
        raise ValueError(
            f"{path}, entry {name}: the centre of the vertices is {off:.4g} m from the wrist, expected at most "
            f"{WRIST_OF_MESH:g}; vertices and joints must be of one hand, both in metres"
        )


KINDS: dict[str, Callable[[Path, Sequence[Any]], None]] = {
    "h2o": _h2o,
    "ho3d": _ho3d,
    "h2o3d": _h2o3d,
    "dexycb": _dexycb,
    "hot3d": _hot3d,
    "arctic": check_arctic,
}
