"""Shared parts of the readers of public data sets: errors that name a file, MANO hands, masks from meshes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from twohands.geometry.camera import Camera
from twohands.geometry.zbuffer import rasterize, window_of
from twohands.hands.mano import FOLDER_VARIABLE, Convention, PlacedHand, Values, place
from twohands.hands.mano_files import Mano, read_mano
from twohands.intrinsics import check_intrinsics, intrinsics_matrix
from twohands.types import HandParameters, RGBDFrame, Sample, TwoHands

BEHIND = 0.03
"""Metres that a visible hand may be behind the measured depth: annotations have errors of centimetres."""
_T = TypeVar("_T")


class DamagedFileError(ValueError):
    """A file of a data set cannot be read. Training skips its frame, evaluation stops."""

    def __init__(self, fault: str, path: Path | None = None):
        """`fault` names the file and states what is wrong with it and the fix."""
        super().__init__(fault)
        self.path = path


class ContradictionError(DamagedFileError):
    """Files of one frame contradict each other."""


def reading(path: Path, read: Callable[[Path], _T]) -> _T:
    """Return read(path); raise DamagedFileError, naming the file, when it is missing or malformed."""
    try:
        return read(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, SyntaxError) as error:
        fault = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise DamagedFileError(f"{fault}; copy this file from the data set again", path) from error


def check_sizes(path: Path, rgb: np.ndarray, **others: Sequence[float]) -> None:
    """Raise ContradictionError unless each (height, width) in `others` equals that of the colour image."""
    sizes = {name: (int(height), int(width)) for name, (height, width) in others.items()}
    height, width = rgb.shape[:2]
    if any(size != (height, width) for size in sizes.values()):
        named = ", ".join(f"its {name} {other[1]}x{other[0]}" for name, other in sizes.items())
        raise ContradictionError(f"{path} is {width}x{height}, {named}; copy them from the data set again", path)


def numbers(path: Path, count: int) -> np.ndarray:
    """Return (count,) finite float64 from a text file. Raise DamagedFileError if it has other numbers."""

    def read(path: Path) -> np.ndarray:
        values = np.array(path.read_text(encoding="utf-8").split(), dtype=np.float64)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise ValueError(f"{path} has {values.size} numbers, expected {count}, all finite")
        return values

    return reading(path, read)


@cache
def mano_files() -> Mano | None:
    """Return the user's MANO files, or None if the environment names none; samples then have joints but no meshes."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return read_mano(folder) if folder else None


def require_mano(name: str) -> None:
    """Raise FileNotFoundError with the fix without MANO's files, for a data set `name` that has no joints itself."""
    if mano_files() is None:
        raise FileNotFoundError(
            f"{name} has no 3D joints, only values of MANO; download its files from https://mano.is.tue.mpg.de and set "
            f"{FOLDER_VARIABLE} to their folder"
        )


@dataclass(frozen=True)
class Hand:
    """Labels of one hand in the camera's frame."""

    joints: np.ndarray  # (21, 3) metres
    mesh: PlacedHand | None = None


def mano_hand_of(side: int, values: Values, convention: Convention) -> PlacedHand | None:
    """Return the placed hand, or None without MANO's files."""
    mano = mano_files()
    return None if mano is None else place(mano, side, values, convention)


def hand_in_camera(side: int, values: Values, convention: Convention, T_camera_from_world: np.ndarray) -> Hand:
    """Return the hand of MANO values in the world, moved to the camera's frame; call `require_mano` before."""
    hand = mano_hand_of(side, values, convention)
    assert hand is not None
    mesh = hand.moved(T_camera_from_world)
    return Hand(mesh.joints, mesh)


def two_hands(hands: tuple[Hand | None, Hand | None]) -> TwoHands:
    """Return both hands of a frame (None: absent), float32; meshes only if every present hand has one."""
    present = np.array([hand is not None for hand in hands], dtype=np.float32)
    joints = np.stack([np.zeros((21, 3)) if hand is None else hand.joints for hand in hands])
    meshes = [None if hand is None else hand.mesh for hand in hands]
    if all(mesh is None for mesh in meshes) or any(
        hand is not None and mesh is None for hand, mesh in zip(hands, meshes, strict=True)
    ):
        return TwoHands(None, joints.astype(np.float32), present)
    sizes = {"vertices": (778, 3), "pose": (15, 3), "shape": (10,), "rotation": (3,), "translation": (3,)}
    stacked = {
        name: np.stack([np.zeros(size) if mesh is None else getattr(mesh, name) for mesh in meshes]).astype(np.float32)
        for name, size in sizes.items()
    }
    vertices = stacked.pop("vertices")
    return TwoHands(vertices, joints.astype(np.float32), present, HandParameters(**stacked))


def sample(
    frame: RGBDFrame,
    hands: TwoHands,
    definition: str,
    identity: str,
    masks: np.ndarray | None = None,
    room: np.ndarray | None = None,
    known: Sequence[bool] | None = None,
) -> Sample:
    """Return a frame with its labels; masks (2, H, W) bool are drawn from the meshes where the data set has none.

    `room` (2, H, W) bool limits drawn masks. `known` states for each side whether the presence of a hand is known;
    where it is not, the image may show a hand without labels.
    """
    shares = None
    if hands.vertices is not None:
        mano = mano_files()
        assert mano is not None
        drawn, full = masks_from_meshes(hands, tuple(side.faces for side in mano.sides), frame)
        if masks is None:
            masks = drawn if room is None else drawn & room
        shares = (_pixels_of(masks) / np.maximum(full, 1)).clip(0, 1).astype(np.float32) * hands.present
    presence_known = None if known is None else np.array(known, dtype=bool)
    return Sample(frame, hands, masks, None, shares, definition, identity, presence_known)


def masks_from_meshes(
    hands: TwoHands, faces: tuple[np.ndarray, ...], frame: RGBDFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return visible pixels of each hand (2, H, W) bool, and its number of pixels (2,) without any occlusion.

    A pixel belongs to the nearer hand, unless the measured depth is more than BEHIND in front of it.
    """
    camera, vertices = frame.camera, np.asarray(hands.vertices)
    sides = hands.present_sides
    window, left, top = window_of(vertices[sides].reshape(-1, 3), camera)
    area = slice(top, top + window.height), slice(left, left + window.width)
    depths = np.zeros((2, window.height, window.width), dtype=np.float32)
    for side in sides:
        depths[side] = rasterize(vertices[side], faces[side], window)[0]
    masks, measured, covered = np.zeros((2, camera.height, camera.width), dtype=bool), frame.depth[area], depths > 0
    for side, drawn in enumerate(depths):
        nearer = ~covered[1 - side] | (drawn <= depths[1 - side])
        masks[side][area] = covered[side] & nearer & ((measured == 0) | (drawn < measured + BEHIND))
    return masks, _pixels_of(covered)


def _pixels_of(masks: np.ndarray) -> np.ndarray:
    """Return the number of pixels (2,) of masks (2, H, W)."""
    return np.array([np.count_nonzero(mask) for mask in masks])  # ten times faster than sum(axis=(1, 2))


def only(hands: TwoHands, kept: np.ndarray) -> TwoHands:
    """Return both hands; those with `kept` (2,) false become absent and all zeros, in unchanged shapes."""
    return hands.map(lambda array: array * kept.reshape(2, *[1] * (array.ndim - 1)).astype(array.dtype))


def joints_in_image(joints: np.ndarray, camera: Camera) -> np.ndarray:
    """Return (2, 21) bool: joints (2, 21, 3) in front of the camera and inside its image."""
    ahead = joints[..., 2] > 0
    pixels = camera.project(np.where(ahead[..., None], joints, 1.0))
    inside = (pixels >= -0.5) & (pixels <= np.array([camera.width, camera.height]) - 0.5)
    return ahead & inside.all(axis=-1)


def nearest_of(distances: Mapping[str, Sequence[float]]) -> tuple[str, str]:
    """Return the name with the smallest mean distance, and all means as text; distances in metres."""
    means = {name: float(np.mean(values)) for name, values in distances.items()}
    summary = ", ".join(f"{name} {1000 * mean:.2f} mm" for name, mean in means.items())
    return min(means, key=means.__getitem__), summary


def place_in(ends: np.ndarray, index: int) -> tuple[int, int]:
    """Return the number of the part that contains an index, and the index in it; `ends` (N,) of consecutive parts."""
    index = range(int(ends[-1]))[index]
    which = int(np.searchsorted(ends, index, side="right"))
    return which, index - (int(ends[which - 1]) if which else 0)


def flipped_camera_axes(points: np.ndarray) -> np.ndarray:
    """Convert points (..., 3) between OpenGL's camera axes (y up, looking along -z) and OpenCV's."""
    return points * np.array([1.0, -1.0, -1.0])


def camera_of(values: Any, width: int, height: int) -> Camera:
    """Return the camera of a matrix (3, 3), or of fx, fy, cx, cy."""
    return Camera(check_intrinsics(intrinsics_matrix(values), width, height), width, height)
