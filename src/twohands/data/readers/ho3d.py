"""HO-3D v2 and v3 (Hampali et al. 2020): a right hand with an object; and the parts that H2O-3D has in common.

Both data sets have the same layout: lists of frames, colour, depth in two bytes of a PNG, and one pickle per frame, no
code in which is executed. Files are in metres in OpenGL's camera frame with the joints in MANO's order; samples are in
OpenCV's with the standard order. Masks are drawn from the meshes.

For evaluation frames (split `test`) the files contain only a wrist and a box of each hand: their samples have no hand
(`present` is 0 on both sides), and `root` returns the wrists. A frame of train or validation without any annotated hand
is skipped: its index gives the next frame that has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from twohands.data.readers.common import (
    Hand,
    camera_of,
    check_sizes,
    flipped_camera_axes,
    mano_hand_of,
    reading,
    sample,
    two_hands,
)
from twohands.data.readers.contents import named_numbers
from twohands.files import read_rgb
from twohands.geometry.transforms import rigid
from twohands.hands.mano import Convention, PlacedHand, Values
from twohands.hands.mano_files import read_pickle
from twohands.hands.skeleton import JOINT_ORDERS
from twohands.types import LEFT, RIGHT, RGBDFrame, Sample

CONVENTION = Convention(flat_hand_mean=True, left_shape="flip_x", tips="ho3d")
DEPTH_UNIT = 0.00012498664727900177
"""Metres per step of depth."""
_LISTS = {"train": "train", "validation": "train", "test": "evaluation"}


@dataclass(frozen=True)
class HandKeys:
    """Names of the values of one hand in the pickles."""

    joints: str
    pose: str
    translation: str
    flags: tuple[str, ...] = ()  # of joints and of pose values, where a release has them


@dataclass(frozen=True)
class Labels:
    """Full annotation of one hand."""

    joints: np.ndarray  # (21, 3) metres, OpenCV camera frame, standard order
    values: Values  # as in the file: OpenGL camera frame


@dataclass(frozen=True)
class Annotation:
    """Content of a frame's pickle for both sides, OpenCV camera frame."""

    intrinsics: Any  # (3, 3) pixels
    roots: np.ndarray  # (2, 3) metres, the wrists; NaN where unknown
    labels: tuple[Labels | None, Labels | None]  # None: not annotated


class Frames:
    """The frames of one split of a user's copy of a data set in the layout of HO-3D."""

    name: ClassVar[str]
    unpacked: ClassVar[tuple[str, ...]]  # usual names of its folder
    keys: ClassVar[tuple[HandKeys | None, HandKeys | None]]  # by side; None: the data set has no such hand
    definition = "ho3d"

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split. Raise ValueError for an unknown split, FileNotFoundError without such a data set in `root`."""
        if split not in _LISTS:
            raise ValueError(f"{self.name} has no split {split!r}; choose one of {', '.join(_LISTS)}")
        self.split = split
        self.folder = find_root(Path(root), self.name, self.unpacked) / _LISTS[split]
        self.frames = self._frames()
        if not self.frames:
            raise FileNotFoundError(f"{self.folder}.txt lists no frames of split {split!r}")
        colours = self.folder / self.frames[0][0] / "rgb"
        self.colour_suffix = ".png" if any(colours.glob("*.png")) else ".jpg"  # HO-3D v2 has PNG, the others JPEG

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken."""
        (sequence, number), annotation = self._labelled(index)
        folder = self.folder / sequence
        colour, distance = folder / "rgb" / f"{number}{self.colour_suffix}", folder / "depth" / f"{number}.png"
        rgb = reading(colour, read_rgb)
        depth = reading(distance, lambda path: decode_depth(read_rgb(path)))
        check_sizes(colour, rgb, depth=depth.shape)
        height, width = depth.shape
        camera = reading(self._meta(sequence, number), lambda _: camera_of(annotation.intrinsics, width, height))
        frame = RGBDFrame.from_arrays(rgb, depth, camera.K)
        hands = self._hand(LEFT, annotation), self._hand(RIGHT, annotation)
        known = [hand is not None or keys is None for hand, keys in zip(hands, self.keys, strict=True)]
        identity = f"{self.folder.name}/{sequence}/{number}"
        return sample(frame, two_hands(hands), self.definition, identity, known=known)

    def root(self, index: int) -> np.ndarray:
        """Return the wrists (2, 3) of a frame, metres, OpenCV camera frame; NaN where the file has none."""
        return self._labelled(index)[1].roots

    def annotation(self, sequence: str, number: str) -> Annotation:
        """Return the content of a frame's pickle. Raise DamagedFileError."""
        return read_annotation(self._meta(sequence, number), self.keys)

    def mesh_of(self, side: int, values: Values) -> PlacedHand | None:
        """Return the hand of a file's values in OpenCV's camera frame; None without MANO's files."""
        hand = mano_hand_of(side, values, CONVENTION)
        return None if hand is None else flipped(hand)

    def held_out(self, recordings: Sequence[str]) -> Sequence[str]:
        """Return those of train's recordings (sorted) that are the split `validation`; the rest is `train`."""
        raise NotImplementedError

    def _hand(self, side: int, annotation: Annotation) -> Hand | None:
        labels = annotation.labels[side]
        return None if labels is None else Hand(labels.joints, self.mesh_of(side, labels.values))

    def _labelled(self, index: int) -> tuple[tuple[str, str], Annotation]:
        """Return (frame, annotation): of the index for test, else of the first frame from there with a known hand."""
        start = range(len(self))[index]
        for step in range(len(self)):
            frame = self.frames[(start + step) % len(self)]
            annotation = self.annotation(*frame)
            if self.split == "test" or any(labels is not None for labels in annotation.labels):
                return frame, annotation
        raise ValueError(f"no frame of {self.folder}.txt in split {self.split!r} has an annotated hand")

    def _meta(self, sequence: str, number: str) -> Path:
        return self.folder / sequence / "meta" / f"{number}.pkl"

    def _frames(self) -> list[tuple[str, str]]:
        """Return (sequence, number) of the split's frames, in the order of the list."""
        path = self.folder.with_suffix(".txt")
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; copy it from the data set")
        lines = [line.split("/") for line in path.read_text(encoding="utf-8").split()]
        if any(len(line) != 2 for line in lines):
            raise ValueError(f"{path} must have lines like SEQUENCE/0000; copy it from the data set again")
        listed = [(sequence, number) for sequence, number in lines]
        if self.split == "test":
            return listed
        held_out = set(self.held_out(sorted({recording_of(sequence) for sequence, _ in listed})))
        return [frame for frame in listed if (recording_of(frame[0]) in held_out) == (self.split == "validation")]


class HO3D(Frames):
    """HO-3D v2 or v3 (distinguished by their colour files): right hands only.

    Validation is the recordings BB and ND of train, from all their cameras: 6 of its 55 sequences, two objects, and
    persons who, according to public loaders [S], are in no other sequence.
    """

    name = "HO-3D"
    unpacked = ("HO3D_v3", "HO3D_v2")
    keys = (None, HandKeys("handJoints3D", "handPose", "handTrans"))

    def held_out(self, recordings: Sequence[str]) -> Sequence[str]:
        """Return BB and ND."""
        return ("BB", "ND")


def recording_of(sequence: str) -> str:
    """Return a sequence's name without its last digits: splits must not divide views of several cameras."""
    return sequence.rstrip("0123456789")


def find_root(root: Path, name: str, unpacked: Sequence[str]) -> Path:
    """Return the folder with the lists of frames: the given one, or the only one in it with a usual name."""
    lists = ("train.txt", "evaluation.txt")
    found = [path for path in (root, *(root / name for name in unpacked)) if any((path / n).is_file() for n in lists)]
    if len(found) > 1 and found[0] != root:
        raise FileNotFoundError(f"{root} holds {' and '.join(path.name for path in found)}; give one of them")
    if not found:
        raise FileNotFoundError(f"{root} has neither {' nor '.join(lists)}; unpack {name} and give its folder")
    return found[0]


def decode_depth(rgb: np.ndarray) -> np.ndarray:
    """Decode (H, W, 3) uint8, red first, to (H, W) float32 metres, 0 = no reading: low byte red, high byte green.

    RHD uses the opposite byte order and another unit. Raises ValueError for another shape or type.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"coded depth must be (height, width, 3) uint8, red first; got {rgb.shape} {rgb.dtype}")
    low, high = rgb[..., 0].astype(np.uint32), rgb[..., 1].astype(np.uint32)
    return ((low + 256 * high) * DEPTH_UNIT).astype(np.float32)


def flipped(hand: PlacedHand) -> PlacedHand:
    """Move a hand from OpenGL's camera frame to OpenCV's, or back: half a turn about x."""
    return hand.moved(rigid(flipped_camera_axes(np.eye(3)), np.zeros(3)))


def read_annotation(path: Path, keys: tuple[HandKeys | None, HandKeys | None]) -> Annotation:
    """Return the content of a frame's pickle. Raise DamagedFileError, also for a pickle of other things than arrays."""

    def read(path: Path) -> Annotation:
        with path.open("rb") as stream:
            meta = read_pickle(stream, str(path))
        if not isinstance(meta, dict):
            raise ValueError(f"{path} holds a {type(meta).__name__}, not the dictionary of a frame")
        _require(meta, "camMat")
        roots = np.full((2, 3), np.nan)
        labels: list[Labels | None] = [None, None]
        for side, names in enumerate(keys):
            if names is None:
                continue
            joints = _joints(meta, names.joints)
            if joints is not None:
                roots[side] = joints[0]
                labels[side] = None if len(joints) == 1 else _labels(meta, names, joints)
        return Annotation(meta["camMat"], roots, (labels[LEFT], labels[RIGHT]))

    return reading(path, read)


def _joints(meta: dict[str, Any], name: str) -> np.ndarray | None:
    """Return joints (21, 3), or the wrist (1, 3) alone, or None: OpenCV camera frame, standard order."""
    _require(meta, name)
    if meta[name] is None:
        return None
    if np.size(meta[name]) == 3:
        return flipped_camera_axes(named_numbers(meta, name, 3)[None])
    return flipped_camera_axes(named_numbers(meta, name, 63).reshape(21, 3)[list(JOINT_ORDERS["mano"])])


def _labels(meta: dict[str, Any], names: HandKeys, joints: np.ndarray) -> Labels | None:
    """Return the full annotation of a hand; None when a part of it is missing, or a flag marks it as invalid."""
    wanted = (names.pose, names.translation, "handBeta")
    _require(meta, *wanted)
    if any(meta[name] is None for name in wanted):
        return None
    if not all(np.all(meta[name]) for name in names.flags if name in meta):
        return None
    pose = named_numbers(meta, names.pose, 48)
    shape, translation = named_numbers(meta, "handBeta", 10), named_numbers(meta, names.translation, 3)
    return Labels(joints, Values(pose[:3], pose[3:], shape, translation))


def _require(meta: dict[str, Any], *names: str) -> None:
    missing = [name for name in names if name not in meta]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}; is it of this data set?")
