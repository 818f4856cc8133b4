"""Writers of benchmark files from predictions (metres, OpenCV camera, this package's order of joints).

A path that ends in .zip or .tar becomes the archive to upload, one in .json the bare document. Lengths are written to
the micrometre.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from twohands.evaluation.submissions.containers import write_json
from twohands.evaluation.submissions.names import H2OName, HOT3DName
from twohands.files import write_atomically
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.mano import Convention, Values, values_of, with_tips
from twohands.hands.mano_files import NUM_VERTICES, Mano
from twohands.hands.skeleton import JOINT_ORDERS, WRIST
from twohands.types import LEFT, RIGHT, SIDE_NAMES, HandParameters, TwoHands

H2O_FILE = "hand_poses.json"
HO3D_FILE = "pred.json"
HOT3D_FILE = "result_pose_hot3d.json"
HOT3D_COMPONENTS = 15
_HOT3D = Convention(flat_hand_mean=False, components=HOT3D_COMPONENTS)
TIPS = "ho3d"
"""Finger tips of HO-3D and H2O-3D, see skeleton.FINGERTIP_VERTICES."""
OPENGL_FROM_OPENCV = np.array([1.0, -1.0, -1.0])
TO_MANO = np.argsort(JOINT_ORDERS["mano"])
"""Indices that put joints of this package into MANO's order: joints[TO_MANO]."""
DECIMALS = 6


def write_h2o(path: str | Path, names: Sequence[H2OName], predictions: Sequence[TwoHands]) -> None:
    """Write hand_poses.json of H2O [S: only known from PDFNet's program]; the data set's own check is not public.

    {"modality": "RGBD", "1": {"000000.txt": [126 numbers], ...}, ..., "242": {...}}: left joints, then right ones,
    metres, camera frame. Raise ValueError if a hand is missing.
    """
    document: dict[str, Any] = {"modality": "RGBD"}
    for (action, frame), hands in zip(names, all_with(names, predictions, (LEFT, RIGHT)), strict=True):
        document.setdefault(str(action), {})[frame] = _rounded(hands.joints).reshape(-1).tolist()
    write_json(path, H2O_FILE, [json.dumps(document)])


def write_ho3d(path: str | Path, names: Sequence[str], predictions: Sequence[TwoHands]) -> None:
    """Write pred.json of HO-3D v2 and v3 [V]: right joints (N, 21, 3) and MANO's vertices (N, 778, 3).

    Metres, OpenGL camera (y up, looking along -z), joints in MANO's order, frames in that of evaluation.txt; finger
    tips are vertices of the meshes, as in the data set. Raise ValueError if a right hand or its mesh is missing.
    """
    complete = all_with(names, predictions, (RIGHT,))
    meshes = [_mesh(name, hands)[RIGHT] for name, hands in zip(names, complete, strict=True)]
    joints = (with_tips(hands, TIPS).joints[RIGHT][TO_MANO] for hands in complete)
    opengl = [(points * OPENGL_FROM_OPENCV for points in part) for part in (joints, meshes)]
    write_json(path, HO3D_FILE, chain(["["], _listed(opengl[0]), [", "], _listed(opengl[1]), ["]"]))


def write_h2o3d(path: str | Path, names: Sequence[str], predictions: Sequence[TwoHands]) -> None:
    """Write pred.json of H2O-3D [V for what the authors' program writes; U for how the server reads it].

    Joints (N, 21, 6), and MANO's vertices (N, 778, 6) when every prediction has a mesh; columns 0 to 2 right, 3 to 5
    left. Metres, OpenGL axes, relative to the right wrist, joints in MANO's order; finger tips are vertices of the
    meshes, if any, which must be MANO's. Raise ValueError if a hand is missing.
    """
    complete = all_with(names, predictions, (LEFT, RIGHT))

    def relative(hands: TwoHands, points: np.ndarray) -> np.ndarray:
        moved = (points - hands.joints[RIGHT, WRIST]) * OPENGL_FROM_OPENCV
        return np.concatenate([moved[RIGHT], moved[LEFT]], axis=1)

    joints = (relative(hands, with_tips(hands, TIPS).joints[:, TO_MANO]) for hands in complete)
    parts: list[Iterable[str]] = [_listed(joints)]
    if all(hands.vertices is not None for hands in complete):
        meshes = [_mesh(name, hands) for name, hands in zip(names, complete, strict=True)]
        both = zip(complete, meshes, strict=True)
        parts.append(chain([", "], _listed(relative(hands, vertices) for hands, vertices in both)))
    write_json(path, HO3D_FILE, chain(["["], *parts, ["]"]))


def write_dexycb(path: str | Path, names: Sequence[int], predictions: Sequence[TwoHands], sides: Sequence[int]) -> None:
    """Write the text that DexYCB's toolkit evaluates [V]: a line for each image, its number and 63 values.

    MILLIMETRES, camera frame, joints in this package's order, separated by commas. sides: LEFT or RIGHT for each
    image, from `mano_sides` of its sequence. Raise ValueError if that hand is missing.
    """
    lines = []
    for name, hands, side in zip(names, predictions, sides, strict=True):
        _check_present(name, hands, side)
        lines.append(",".join([str(name), *(f"{1e3 * value:.3f}" for value in hands.joints[side].reshape(-1))]) + "\n")
    with write_atomically(path) as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")


def write_hot3d(
    path: str | Path,
    names: Sequence[HOT3DName],
    predictions: Sequence[TwoHands],
    T_world_from_camera: Sequence[np.ndarray],
    shapes: Sequence[np.ndarray],
    mano: Mano,
) -> None:
    """Write result_pose_hot3d.json of the pose track [V: hand_tracking_toolkit]; the upload is a .tar of it.

    It has one dictionary for each name; a prediction may be listed once for each of its hands. Parameters must be
    those of the hand model `mano`. T_world_from_camera (4, 4) and shapes (10,) are given for each name; the server
    poses the true shapes, which the track gives for each sequence. The pose is written in the nearest 15 components;
    the wrist keeps its predicted position. Raise ValueError if a hand or its parameters are missing.
    """
    document = []
    for name, hands, transform, shape in zip(names, predictions, T_world_from_camera, shapes, strict=True):
        sequence, frame, side = name
        _check_present(name, hands, side)
        values = _in_world(mano, name, hands, np.asarray(transform, np.float64), shape)
        document.append(
            {
                "sequence_name": sequence,
                "frame_id": frame,
                "mano_theta": values.pose.tolist(),
                "wrist_xform": [*values.orientation.tolist(), *values.translation.tolist()],
                "hand_side": side,
            }
        )
    write_json(path, HOT3D_FILE, [json.dumps(document)])


def _in_world(mano: Mano, name: HOT3DName, hands: TwoHands, transform: np.ndarray, shape: np.ndarray) -> Values:
    """Return the values of the named hand in the world frame, with another shape."""
    side, parameters = name[2], parameters_of(name, hands, "HOT3D")
    turn = transform[:3, :3] @ matrix_from_axis_angle(np.asarray(parameters.rotation[side], dtype=np.float64))
    place = transform[:3, :3] @ parameters.translation[side] + transform[:3, 3]
    return values_of(mano, side, parameters.pose[side], shape, axis_angle_from_matrix(turn), place, _HOT3D)


def all_with(names: Sequence[Any], predictions: Sequence[TwoHands], sides: Sequence[int]) -> Sequence[TwoHands]:
    """Return the predictions. Raise ValueError unless there is one for each name and each has these hands."""
    if len(names) != len(predictions):
        raise ValueError(f"there are {len(predictions)} predictions for {len(names)} names; give one for each")
    for name, hands in zip(names, predictions, strict=True):
        for side in sides:
            _check_present(name, hands, side)
    return predictions


def parameters_of(name: Any, hands: TwoHands, benchmark: str) -> HandParameters:
    """Return the parameters of a prediction. Raise ValueError without them."""
    if hands.parameters is None or not all(np.isfinite(values).all() for values in vars(hands.parameters).values()):
        raise ValueError(
            f"the prediction of {name} has no parameters; {benchmark} needs those of the hand model 'mano'"
        )
    return hands.parameters


def _check_present(name: Any, hands: TwoHands, side: int) -> None:
    if side not in hands.present_sides:
        raise ValueError(
            f"the prediction of {name} has no {SIDE_NAMES[side]} hand, but the benchmark scores it; fill it in, for "
            "example from the frames beside it"
        )
    if not np.isfinite(hands.joints[side]).all():
        raise ValueError(f"the {SIDE_NAMES[side]} hand predicted for {name} has joints that are not finite")


def _mesh(name: Any, hands: TwoHands) -> np.ndarray:
    """Return the vertices (2, 778, 3). Raise ValueError for other meshes."""
    if hands.vertices is None or hands.vertices.shape != (2, NUM_VERTICES, 3):
        shape = None if hands.vertices is None else hands.vertices.shape
        raise ValueError(f"the prediction of {name} has vertices {shape}; predict with the hand model 'mano'")
    return hands.vertices


def _rounded(points: np.ndarray) -> np.ndarray:
    return np.round(np.asarray(points, dtype=np.float64), DECIMALS)


def _listed(frames: Iterable[np.ndarray]) -> Iterator[str]:
    """Yield the text of a JSON list of arrays in pieces: the text of a whole data set does not fit into memory."""
    yield "["
    for number, points in enumerate(frames):
        yield (", " if number else "") + json.dumps(_rounded(points).tolist())
    yield "]"
