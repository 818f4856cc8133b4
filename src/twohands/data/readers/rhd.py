"""RHD, the Rendered Hand Pose data set (Zimmermann & Brox 2017): rendered persons, both hands, in front of photographs.

Metres, OpenCV camera, left hand first, joints but no meshes. Every frame has the joints of both hands, even if they are
out of sight: as in the published comparisons, a hand is present when more than 10 of its joints are visible. The masks
are the data set's own. Depth behind the persons is returned as stored; the meaning of its largest value, 5 m, is
uncertain [U], and so is whether the intrinsics refer to pixel centres or corners [U].

No code in the annotation file, a pickle, is executed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twohands.data.readers.common import Hand, camera_of, check_sizes, reading, two_hands
from twohands.data.readers.contents import named_numbers
from twohands.files import read_rgb
from twohands.hands.mano_files import read_pickle
from twohands.hands.skeleton import JOINT_ORDERS
from twohands.types import LEFT, RIGHT, RGBDFrame, Sample

FARTHEST = 5.0
"""Depth in metres of the largest code."""
MASK_CLASSES = (range(2, 18), range(18, 34))
"""Classes in the masks by side: three for each finger from thumb to little, then the palm. 0 background, 1 person."""
VISIBLE_JOINTS = 11
"""Smallest number of visible joints with which a hand counts as present."""
VALIDATION_SHARE = 20
"""The last frame numbers of `training`, 1 / VALIDATION_SHARE of all, are the split `validation`, others `train`."""
_FOLDERS = {"train": "training", "validation": "training", "test": "evaluation"}


@dataclass(frozen=True)
class Annotations:
    """Content of a folder's pickle, ordered by frame number; sides and joints in the package's order."""

    numbers: tuple[int, ...]
    intrinsics: np.ndarray  # (N, 3, 3) pixels
    joints: np.ndarray  # (N, 2, 21, 3) metres
    visible: np.ndarray  # (N, 2, 21) bool


class RHD:
    """The frames of one split of a user's copy. Official `training` is train and validation, `evaluation` is test.

    Validation is the last twentieth of the frame numbers of `training`, 2,063 of 41,258: one block, so that consecutive
    frames are in the same split.
    """

    definition = "annotated"

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split. Raise ValueError for an unknown split, FileNotFoundError when the folder has no RHD, and
        DamagedFileError when the annotations cannot be read.
        """
        if split not in _FOLDERS:
            raise ValueError(f"RHD has no split {split!r}; choose one of {', '.join(_FOLDERS)}")
        self.split = split
        self.folder = find_root(Path(root)) / _FOLDERS[split]
        self._annotated = self.folder / f"anno_{self.folder.name}.pickle"
        self.annotations = read_annotations(self._annotated)
        count = len(self.annotations.numbers)
        held_out = -(-count // VALIDATION_SHARE)
        places = {"train": range(count - held_out), "validation": range(count - held_out, count), "test": range(count)}
        self.frames = places[split]  # rows of the annotations
        if not self.frames:
            raise FileNotFoundError(f"{self._annotated} has {count} frames, none of them of split {split!r}")

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken.

        `visibility` is 0 or 1; `visible_fraction` is its mean, the best estimate from RHD.
        An absent hand has neither mask nor visible joints.
        """
        row = self.frames[index]
        number = f"{self.annotations.numbers[row]:05d}"
        colour, distance, classes = (self.folder / name / f"{number}.png" for name in ("color", "depth", "mask"))
        rgb = reading(colour, read_rgb)
        depth = reading(distance, lambda path: decode_depth(read_rgb(path)))
        masks = reading(classes, read_masks)
        check_sizes(colour, rgb, depth=depth.shape, mask=masks.shape[1:])
        intrinsics, (height, width) = self.annotations.intrinsics[row], depth.shape
        camera = reading(self._annotated, lambda _: camera_of(intrinsics, width, height))
        joints, visible = self.annotations.joints[row], self.annotations.visible[row]
        present = visible.sum(axis=1) >= VISIBLE_JOINTS
        visibility = (visible & present[:, None]).astype(np.float32)
        left, right = (Hand(joints[side]) if present[side] else None for side in (LEFT, RIGHT))
        return Sample(
            frame=RGBDFrame.from_arrays(rgb, depth, camera.K),
            hands=two_hands((left, right)),
            masks=masks & present[:, None, None],
            visibility=visibility,
            visible_fraction=visibility.mean(axis=1),
            joint_definition=self.definition,
            id=f"{self.folder.name}/{number}",
        )


def find_root(root: Path) -> Path:
    """Return the folder with `training` and `evaluation`: the given one, or a usual one below it."""
    for folder in (root, root / "RHD_published_v2", root / "RHD_v1-1" / "RHD_published_v2"):
        if any((folder / name / f"anno_{name}.pickle").is_file() for name in ("training", "evaluation")):
            return folder
    raise FileNotFoundError(
        f"{root} has neither training/anno_training.pickle nor evaluation/anno_evaluation.pickle; unpack RHD_v1-1.zip "
        "and give its folder RHD_published_v2"
    )


def decode_depth(rgb: np.ndarray) -> np.ndarray:
    """Decode (H, W, 3) uint8, red first, to (H, W) float32 metres, 0 = no reading: high byte red, low byte green.

    HO-3D uses the opposite byte order and another unit. Raises ValueError for another shape or type.
    """
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise ValueError(f"coded depth must be (height, width, 3) uint8, red first; got {rgb.shape} {rgb.dtype}")
    high, low = rgb[..., 0].astype(np.uint32), rgb[..., 1].astype(np.uint32)
    return ((256 * high + low) * (FARTHEST / 65535)).astype(np.float32)


def read_masks(path: Path) -> np.ndarray:
    """Return masks (2, H, W) bool of the hands, left first. Raise ValueError for an image without such classes."""
    channels = read_rgb(path)
    classes = channels[..., 0]
    if (channels != classes[..., None]).any() or classes.max() > MASK_CLASSES[RIGHT][-1]:
        raise ValueError(f"{path} is not a grey image of the classes 0 to {MASK_CLASSES[RIGHT][-1]}")
    return np.stack([(classes >= numbers[0]) & (classes <= numbers[-1]) for numbers in MASK_CLASSES])


def read_annotations(path: Path) -> Annotations:
    """Return the content of a folder's pickle. Raise DamagedFileError, also if it has other things than arrays."""

    def read(path: Path) -> Annotations:
        with path.open("rb") as stream:
            found = read_pickle(stream, str(path))
        if not isinstance(found, dict) or not all(isinstance(number, int) for number in found) or not found:
            raise ValueError(f"{path} does not hold a dictionary of numbered frames")
        numbers = tuple(sorted(found))
        positions, pixels, intrinsics = (
            np.stack([named_numbers(found[number], name, count) for number in numbers]).astype(np.float32)
            for name, count in (("xyz", 126), ("uv_vis", 126), ("K", 9))
        )
        order = list(JOINT_ORDERS["rhd"])
        return Annotations(
            numbers=numbers,
            intrinsics=intrinsics.reshape(-1, 3, 3),
            joints=positions.reshape(-1, 2, 21, 3)[:, :, order],
            visible=pixels.reshape(-1, 2, 21, 3)[:, :, order, 2] > 0.5,
        )

    return reading(path, read)
