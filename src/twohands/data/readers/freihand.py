"""FreiHAND v2 (Zimmermann et al. 2019): one right hand, bare or with an object, in a square colour image. No depth.

Metres, OpenCV camera, standard joints. Poses are axis-angle numbers about the mean pose; a mesh is placed so that its
middle knuckle is the annotated one (the values' own root, two pixel coordinates and a scale, is not read). Depth is 0
everywhere: there is no reading.

Every frame of `training` was recorded in front of a green screen (`gs`) and is stored four times, with three other
backgrounds (`hom`, `sample`, `auto`). Masks are the data set's own; the mask of a frame is used for all four pictures
[S], and whether it includes forearm or object is uncertain [U]. `evaluation` has no masks: they are drawn from the
meshes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from twohands.data.readers.common import Hand, camera_of, check_sizes, mano_hand_of, reading, sample, two_hands
from twohands.data.readers.contents import array_of, read_json
from twohands.files import read_rgb
from twohands.geometry.transforms import rigid
from twohands.hands.mano import Convention, PlacedHand, Values
from twohands.hands.skeleton import MIDDLE_KNUCKLE, NUM_JOINTS
from twohands.types import RIGHT, RGBDFrame, Sample

CONVENTION = Convention(flat_hand_mean=False, tips="freihand")
SIZE = 224
"""Width and height of every picture in pixels."""
BACKGROUNDS = ("gs", "hom", "sample", "auto")
"""Pictures of a training frame: number `i` of N frames has the files i, i + N, i + 2 N, i + 3 N."""
VALIDATION_SHARE = 20
"""Number of hands of `training` of which one is held out."""
MASK_LEVEL = 127
"""Grey value above which a pixel is the hand: masks are JPEG files."""
_FOLDERS = {"train": "training", "validation": "training", "test": "evaluation"}
_NUM_VALUES = 61  # pose 48, shape 10, root 2, scale 1


@dataclass(frozen=True)
class Annotations:
    """Content of the JSON files of a folder for its N frames."""

    intrinsics: np.ndarray  # (N, 3, 3) float64 pixels
    joints: np.ndarray | None  # (N, 21, 3) float64 metres, camera frame; None: not published
    values: np.ndarray | None  # (N, 61) float64 MANO values; None if the joints are


class FreiHAND:
    """The frames of one split of a user's copy. Official `training` is train and validation, `evaluation` is test.

    The data set does not state which pictures several cameras took at once. They share the annotation of one hand [S],
    so frames with the same finger pose and shape are kept together. In the order in which these hands first occur, the
    last twentieth is validation, and all four pictures of a frame are in the same split.

    Copies from before 2021 have no labels of test: its samples have no hand (`present` is 0 on both sides).
    """

    definition = "freihand"

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split. Raise ValueError for an unknown split, FileNotFoundError when the folder has no FreiHAND, and
        DamagedFileError when the annotations cannot be read.
        """
        if split not in _FOLDERS:
            raise ValueError(f"FreiHAND has no split {split!r}; choose one of {', '.join(_FOLDERS)}")
        self.split = split
        self.folder = find_root(Path(root), _FOLDERS[split]) / _FOLDERS[split]
        self.annotations = read_annotations(self.folder)
        self.rows = self._rows()
        if not len(self.rows):
            raise FileNotFoundError(f"{self.folder}_K.json has no frames of split {split!r}; unpack FreiHAND again")
        self._has_masks = (self.folder / "mask").is_dir()

    def __len__(self) -> int:
        return len(self.rows) * (1 if self.split == "test" else len(BACKGROUNDS))

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken.

        The index runs over all frames with the first of BACKGROUNDS, then over all with the next.
        """
        background, place = divmod(range(len(self))[index], len(self.rows))
        row = int(self.rows[place])
        number = f"{row + background * len(self.annotations.intrinsics):08d}"
        colour = self.folder / "rgb" / f"{number}.jpg"
        rgb = reading(colour, read_rgb)
        masks = reading(self.folder / "mask" / f"{row:08d}.jpg", read_masks) if self._has_masks else None
        sizes = {} if masks is None else {"mask": masks.shape[1:]}
        check_sizes(colour, rgb, intrinsics=(SIZE, SIZE), **sizes)
        camera = reading(
            self.folder.with_name(f"{self.folder.name}_K.json"),
            lambda _: camera_of(self.annotations.intrinsics[row], SIZE, SIZE),
        )
        frame = RGBDFrame.from_arrays(rgb, np.zeros((SIZE, SIZE), dtype=np.float32), camera.K)
        hands = two_hands((None, self._hand(row)))
        return sample(frame, hands, self.definition, f"{self.folder.name}/{number}", masks)

    def _hand(self, row: int) -> Hand | None:
        joints, values = self.annotations.joints, self.annotations.values
        if joints is None or values is None:
            return None
        return Hand(joints[row], mesh_of(values[row], joints[row]))

    def _rows(self) -> np.ndarray:
        """Return the numbers of the split's frames, ascending."""
        count, values = len(self.annotations.intrinsics), self.annotations.values
        if self.split == "test":
            return np.arange(count)
        if values is None:
            raise FileNotFoundError(f"{self.folder}_xyz.json does not exist; copy it from the data set")
        return np.flatnonzero(held_out(values) == (self.split == "validation"))


def find_root(root: Path, part: str) -> Path:
    """Return the folder with `part`_K.json (training or evaluation): the given one, or a usual one below it."""
    for folder in (root, root / "FreiHAND_pub_v2", root / "FreiHAND_pub_v2_eval"):
        if (folder / f"{part}_K.json").is_file():
            return folder
    raise FileNotFoundError(f"{root} has no {part}_K.json; unpack FreiHAND_pub_v2.zip and give its folder")


def read_annotations(folder: Path) -> Annotations:
    """Return the content of training_*.json or evaluation_*.json beside a folder. Raise DamagedFileError."""
    intrinsics, joints, values = (folder.with_name(f"{folder.name}_{name}.json") for name in ("K", "xyz", "mano"))
    matrices = read_json(intrinsics, lambda found: array_of(found, None, 3, 3))
    if not joints.is_file():
        return Annotations(matrices, None, None)
    count = len(matrices)
    return Annotations(
        matrices,
        read_json(joints, lambda found: array_of(found, count, NUM_JOINTS, 3)),
        read_json(values, lambda found: array_of(found, count, 1, _NUM_VALUES)[:, 0]),
    )


def read_masks(path: Path) -> np.ndarray:
    """Return masks (2, H, W) bool: the pixels of the right hand, none for the left."""
    mask = read_rgb(path)[..., 0] > MASK_LEVEL
    return np.stack([np.zeros_like(mask), mask])


def held_out(values: np.ndarray) -> np.ndarray:
    """Return (N,) bool from MANO values (N, 61): frames of `training` that are validation; see `FreiHAND`."""
    hands = values[:, 3:58].round(4)  # finger pose and shape
    _, first, which = np.unique(hands, axis=0, return_index=True, return_inverse=True)
    start = np.sort(first)[len(first) - -(-len(first) // VALIDATION_SHARE)]
    return first[which.reshape(-1)] >= start


def mesh_of(values: np.ndarray, joints: np.ndarray) -> PlacedHand | None:
    """Return the right hand of MANO values (61,) with its middle knuckle at that of joints (21, 3), metres, camera
    frame; None without MANO's files.
    """
    orientation, pose, shape, _ = np.split(values, [3, 48, 58])
    hand = mano_hand_of(RIGHT, Values(orientation, pose, shape, np.zeros(3)), CONVENTION)
    if hand is None:
        return None
    return hand.moved(rigid(np.eye(3), joints[MIDDLE_KNUCKLE] - hand.joints[MIDDLE_KNUCKLE]))
