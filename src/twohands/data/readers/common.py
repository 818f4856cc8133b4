"""What the readers of public data sets share: errors that name a file, MANO hands, masks from meshes."""

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
"""Metres by which a hand may lie behind the measured depth and still count as seen: annotations err by centimetres."""
_T = TypeVar("_T")


class DamagedFileError(ValueError):
    """A file of a data set cannot be read. Training leaves its frame out, evaluation stops."""

    def __init__(self, fault: str, path: Path | None = None):
        """`fault` names the file, says what is wrong with it and what to do."""
        super().__init__(fault)
        self.path = path


class ContradictionError(DamagedFileError):
    """Files of one frame that do not go together."""


def reading(path: Path, read: Callable[[Path], _T]) -> _T:
    """read(path); raises DamagedFileError, naming the file, when it is missing or not what it should be."""
    try:
        return read(path)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, SyntaxError) as error:
        said = str(error) if str(path) in str(error) else f"{path}: {error}"
        raise DamagedFileError(f"{said}; copy this file from the data set again", path) from error


def check_sizes(path: Path, rgb: np.ndarray, **others: Sequence[float]) -> None:
    """Raises ContradictionError unless the (height, width) of what goes with a colour image is the image's own."""
    sizes = {name: (int(height), int(width)) for name, (height, width) in others.items()}
    height, width = rgb.shape[:2]
    if any(size != (height, width) for size in sizes.values()):
        said = ", ".join(f"its {name} {other[1]}x{other[0]}" for name, other in sizes.items())
        raise ContradictionError(f"{path} is {width}x{height}, {said}; copy them from the data set again", path)


def numbers(path: Path, count: int) -> np.ndarray:
    """(count,) float64, finite, from a text file of so many numbers. Raises DamagedFileError."""

    def read(path: Path) -> np.ndarray:
        values = np.array(path.read_text(encoding="utf-8").split(), dtype=np.float64)
        if values.shape != (count,) or not np.isfinite(values).all():
            raise ValueError(f"{path} has {values.size} numbers, expected {count}, all finite")
        return values

    return reading(path, read)


@cache
def mano_files() -> Mano | None:
    """The user's MANO files, or None when the environment names none: then there are joints, but no meshes."""
    folder = os.environ.get(FOLDER_VARIABLE)
    return read_mano(folder) if folder else None


def require_mano(name: str) -> None:
    """Raises FileNotFoundError, with the remedy, without MANO's files: the data set `name` has no joints of its own."""
    if mano_files() is None:
        raise FileNotFoundError(
            f"{name} has no 3D joints, only values of MANO; download its files from https://mano.is.tue.mpg.de and set "
            f"{FOLDER_VARIABLE} to their folder"
        )


@dataclass(frozen=True)
class Hand:
    """What a data set says of one hand, in the camera's frame."""

    joints: np.ndarray  # (21, 3) metres
    mesh: PlacedHand | None = None


def mano_hand_of(side: int, values: Values, convention: Convention) -> PlacedHand | None:
    """The placed hand, or None without MANO's files."""
    mano = mano_files()
    return None if mano is None else place(mano, side, values, convention)


def hand_in_camera(side: int, values: Values, convention: Convention, T_camera_from_world: np.ndarray) -> Hand:
    """A hand of MANO values in the world, in the frame of the camera; only after `require_mano`."""
    hand = mano_hand_of(side, values, convention)
    assert hand is not None
    mesh = hand.moved(T_camera_from_world)
    return Hand(mesh.joints, mesh)


def two_hands(hands: tuple[Hand | None, Hand | None]) -> TwoHands:
    """Both hands of a frame, float32; None for an absent one. Meshes are there when every present hand has one."""
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
    """A frame with its truth; masks (2, H, W) bool are drawn from the meshes where the data set has none.

    `room` (2, H, W) bool is where drawn masks may be. `known` tells of each side whether it is known that a hand is
    there or not; where it is not, a hand without labels may be there all the same.
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
    """Visible pixels of each hand (2, H, W) bool, and how many it would cover if nothing hid it (2,).

    A pixel belongs to the nearer hand, unless something measured lies more than BEHIND in front of it.
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
    """How many pixels each of the masks (2, H, W) has, (2,)."""
    return np.array([np.count_nonzero(mask) for mask in masks])  # ten times faster than sum(axis=(1, 2))


def only(hands: TwoHands, kept: np.ndarray) -> TwoHands:
    """Both hands; where `kept` (2,) is false, absent and all zeros, of the same shapes."""
    return hands.map(lambda array: array * kept.reshape(2, *[1] * (array.ndim - 1)).astype(array.dtype))


def joints_in_image(joints: np.ndarray, camera: Camera) -> np.ndarray:
    """(2, 21) bool: which joints (2, 21, 3) are in front of the camera and in its image."""
    ahead = joints[..., 2] > 0
    pixels = camera.project(np.where(ahead[..., None], joints, 1.0))
    inside = (pixels >= -0.5) & (pixels <= np.array([camera.width, camera.height]) - 0.5)
    return ahead & inside.all(axis=-1)


def nearest_of(distances: Mapping[str, Sequence[float]]) -> tuple[str, str]:
    """Of distances in metres by name: the name of the smallest mean, and all means as text."""
    means = {name: float(np.mean(values)) for name, values in distances.items()}
    said = ", ".join(f"{name} {1000 * mean:.2f} mm" for name, mean in means.items())
    return min(means, key=means.__getitem__), said


def place_in(ends: np.ndarray, index: int) -> tuple[int, int]:
    """Number of the part that an index lies in, and its place there; `ends` (N,) are those of consecutive parts."""
    index = range(int(ends[-1]))[index]
    which = int(np.searchsorted(ends, index, side="right"))
    return which, index - (int(ends[which - 1]) if which else 0)


def flipped_camera_axes(points: np.ndarray) -> np.ndarray:
    """(..., 3) between OpenGL's camera axes (y up, looking along -z) and ours."""
    return points * np.array([1.0, -1.0, -1.0])


def camera_of(values: Any, width: int, height: int) -> Camera:
    """The camera of (3, 3), or of fx, fy, cx, cy."""
    return Camera(check_intrinsics(intrinsics_matrix(values), width, height), width, height)
