"""H2O (Kwon et al. 2021): both hands and an object from a head-mounted and four fixed Azure Kinects.

Metres, OpenCV camera of each view, left hand first. `hand_pose` has the joints with which papers are scored,
`hand_pose_mano` has the meshes; they differ by a few millimetres. The left shape basis is the raw one of MANO's file.
H2O has no masks: they are drawn from the meshes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twohands.data.readers.common import (
    Hand,
    camera_of,
    check_sizes,
    mano_hand_of,
    numbers,
    reading,
    sample,
    two_hands,
)
from twohands.files import depth_in_metres, read_depth, read_rgb
from twohands.hands.mano import Convention, Values
from twohands.types import LEFT, RIGHT, RGBDFrame, Sample

CONVENTION = Convention(flat_hand_mean=True, left_shape="raw", tips="mano")
EGO = 4
"""The head-mounted camera."""
DEPTH_UNIT = 1e-3
"""Metres per step of depth."""
SPLITS = {
    "train": ("subject1", "subject2", "subject3/h1", "subject3/h2", "subject3/k1"),
    "validation": ("subject3/k2", "subject3/o1", "subject3/o2"),
    "test": ("subject4",),
}
_SPLIT_FILES = {"train": "pose_train.txt", "validation": "pose_val.txt", "test": "pose_test.txt"}
_MANO_FOLDERS = ("hand_pose_mano", "hand_pose_MANO")  # on disk, and in the data set's own description


class H2O:
    """The frames of one split of a user's copy; `camera` 4 is head-mounted, 0 to 3 are fixed."""

    definition = "mano"

    def __init__(self, root: str | Path, split: str = "train", camera: int = EGO):
        """Open a split. Raise ValueError for an unknown split, FileNotFoundError when the folder has no H2O."""
        if split not in SPLITS:
            raise ValueError(f"H2O has no split {split!r}; choose one of {', '.join(SPLITS)}")
        self.split, self.camera = split, camera
        self.root = find_root(Path(root))
        self.frames = self._frames()
        if not self.frames:
            raise FileNotFoundError(f"{self.root} has no frames of split {split!r} seen by cam{camera}")

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken."""
        folder, number = self.frames[index]
        colour = folder / "rgb" / f"{number}.png"
        rgb = reading(colour, read_rgb)
        depth = reading(folder / "depth" / f"{number}.png", lambda path: depth_in_metres(read_depth(path), DEPTH_UNIT))
        values = numbers(folder / "cam_intrinsics.txt", 6)
        check_sizes(colour, rgb, depth=depth.shape, intrinsics=(values[5], values[4]))
        frame = RGBDFrame.from_arrays(rgb, depth, camera_of(values[:4], rgb.shape[1], rgb.shape[0]).K)
        identity = f"{folder.relative_to(self.root).as_posix()}/{number}"
        hands = self._hands(folder, number)
        known = [hand is not None for hand in hands]  # the flag 0 means "not annotated"
        return sample(frame, two_hands(hands), self.definition, identity, known=known)

    def _hands(self, folder: Path, number: str) -> tuple[Hand | None, Hand | None]:
        joints = numbers(folder / "hand_pose" / f"{number}.txt", 128).reshape(2, 64)
        mano = numbers(folder / _mano_folder(folder) / f"{number}.txt", 124).reshape(2, 62)
        hands = []
        for side in (LEFT, RIGHT):
            if joints[side, 0] == 0 or mano[side, 0] == 0:
                hands.append(None)
                continue
            _, translation, orientation, pose, shape = np.split(mano[side], [1, 4, 7, 52])
            mesh = mano_hand_of(side, Values(orientation, pose, shape, translation), CONVENTION)
            hands.append(Hand(joints[side, 1:].reshape(21, 3), mesh))
        return hands[LEFT], hands[RIGHT]

    def _frames(self) -> list[tuple[Path, str]]:
        """Return (folder of the camera, frame number), from the official list if the copy has it."""
        for beside in (self.root, self.root.absolute().parent):
            listed = beside / "label_split" / _SPLIT_FILES[self.split]
            if listed.is_file():
                paths = [self._place(line) for line in listed.read_text(encoding="utf-8").split()]
                folders = [(path.parent.parent, path.stem) for path in paths]
                return [(folder, number) for folder, number in folders if folder.name == f"cam{self.camera}"]
        found = []
        for start in SPLITS[self.split]:
            for folder in sorted(self._place(start).glob(f"**/cam{self.camera}")):
                found += [(folder, path.stem) for path in sorted((folder / "hand_pose").glob("*.txt"))]
        return found

    def _place(self, path: str) -> Path:
        """Return the path of SUBJECT/... in the copy: archives of the head-mounted camera unpack to SUBJECT_ego."""
        subject, _, rest = path.partition("/")
        ego = self.root / f"{subject}_ego"
        return (ego if self.camera == EGO and ego.is_dir() else self.root / subject) / rest


def find_root(root: Path) -> Path:
    """Return the folder with subject1, subject2, ... or subject1_ego, ...: the given one, or a usual one below it."""
    for folder in (root, root / "ego_view", root / "H2O", root / "H2O" / "ego_view"):
        if any(any(folder.glob(name)) for name in ("subject[1-4]", "subject[1-4]_ego")):
            return folder
    raise FileNotFoundError(
        f"{root} has no folders subject1 to subject4, with or without _ego; unpack subject*_ego_v1_1.tar.gz of H2O and "
        "give their parent"
    )


def _mano_folder(folder: Path) -> str:
    return next((name for name in _MANO_FOLDERS if (folder / name).is_dir()), _MANO_FOLDERS[0])
