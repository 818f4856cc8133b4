"""DexYCB (Chao et al. 2021): one hand, left or right, grasps an object; eight fixed RealSense cameras.

Metres, OpenCV camera of each view (so the extrinsics of the cameras are not needed). Poses are 45 principal components
about the mean pose; the left shape basis is taken to be the raw one of MANO's file [S]. Masks are the data set's own.
A frame in which the camera does not see the hand is a frame without hands.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from twohands.data.readers.common import (
    Hand,
    camera_of,
    check_sizes,
    mano_hand_of,
    place_in,
    reading,
    sample,
    two_hands,
)
from twohands.data.readers.contents import array_of, load_arrays
from twohands.files import depth_in_metres, read_depth, read_rgb
from twohands.geometry.camera import Camera
from twohands.hands.mano import Convention, Values
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame, Sample, TwoHands

CONVENTION = Convention(flat_hand_mean=False, components=45, left_shape="raw", tips="mano")
DEPTH_UNIT = 1e-3
"""Metres per step of depth."""
WIDTH, HEIGHT = 640, 480
HAND_CLASS = 255
"""Class of the hand in the segmentation; 1 to 21 are objects."""
SUBJECTS = (
    *("20200709-subject-01", "20200813-subject-02", "20200820-subject-03", "20200903-subject-04"),
    *("20200908-subject-05", "20200918-subject-06", "20200928-subject-07", "20201002-subject-08"),
    *("20201015-subject-09", "20201022-subject-10"),
)
SERIALS = (
    *("836212060125", "839512060362", "840412060917", "841412060263"),
    *("932122060857", "932122060861", "932122061900", "932122062010"),
)
"""Cameras in the order of their numbers in the protocols."""
RECORDINGS_PER_SUBJECT = 100


@dataclass(frozen=True)
class Part:
    """The part of the data set that a split takes, counted from 0."""

    subjects: tuple[int, ...] = tuple(range(10))
    cameras: tuple[int, ...] = tuple(range(8))
    recordings: tuple[int, ...] = tuple(range(RECORDINGS_PER_SUBJECT))  # of each subject, sorted by name


def _grasps(*objects: int) -> tuple[int, ...]:
    """Return the recordings of some of the 20 objects: five in a row show the same object."""
    return tuple(number for number in range(RECORDINGS_PER_SUBJECT) if number // 5 in objects)


_FIFTH = tuple(range(4, RECORDINGS_PER_SUBJECT, 5))
PROTOCOLS = {
    "s0": {
        "train": Part(recordings=tuple(n for n in range(RECORDINGS_PER_SUBJECT) if n not in _FIFTH)),
        "validation": Part(subjects=(0, 1), recordings=_FIFTH),
        "test": Part(subjects=tuple(range(2, 10)), recordings=_FIFTH),
    },
    "s1": {"train": Part((0, 1, 2, 3, 4, 5, 9)), "validation": Part((6,)), "test": Part((7, 8))},
    "s2": {
        "train": Part(cameras=tuple(range(6))),
        "validation": Part(cameras=(6,)),
        "test": Part(cameras=(7,)),
    },
    "s3": {
        "train": Part(recordings=_grasps(*(n for n in range(20) if n not in (3, 7, 11, 15, 19)))),
        "validation": Part(recordings=_grasps(3, 19)),
        "test": Part(recordings=_grasps(7, 11, 15)),
    },
}
"""The official splits. New in test are nothing (s0), the subjects (s1), the camera (s2), the grasped objects (s3)."""
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
"""The parser in C where PyYAML was built with it: there is a file for each of 1000 recordings."""


@dataclass(frozen=True)
class Recording:
    """Content of meta.yml about the frames that eight cameras took together."""

    folder: Path
    frames: int  # of each camera
    side: int  # LEFT or RIGHT
    calibration: str  # name of the hand's shape


@dataclass(frozen=True)
class Labels:
    """Content of the label file of a frame, camera frame."""

    classes: np.ndarray  # (H, W) uint8
    pose: np.ndarray  # (51,) float64: wrist axis-angle, 45 principal components, translation in metres
    joints: np.ndarray  # (21, 3) float64 metres

    @property
    def seen(self) -> bool:
        """True if the camera sees the hand; otherwise the pose is all 0 and the joints are all -1."""
        return bool(self.pose.any() and not (self.joints == -1).all())


class DexYCB:
    """The frames of one split of a user's copy; `protocol` is one of PROTOCOLS.

    The index of a frame is its number in the official results files, which nest recordings, cameras and frames.
    """

    definition = "mano"

    def __init__(self, root: str | Path, split: str = "train", protocol: str = "s0"):
        """Open a split. Raise ValueError for an unknown split or protocol, FileNotFoundError if subjects are missing,
        and DamagedFileError when the meta.yml of a recording cannot be read.
        """
        if protocol not in PROTOCOLS:
            raise ValueError(f"DexYCB has no protocol {protocol!r}; choose one of {', '.join(PROTOCOLS)}")
        if split not in PROTOCOLS[protocol]:
            raise ValueError(f"DexYCB has no split {split!r}; choose one of {', '.join(PROTOCOLS[protocol])}")
        self.split, self.protocol, self.root = split, protocol, find_root(Path(root))
        part = PROTOCOLS[protocol][split]
        self.serials = tuple(SERIALS[number] for number in part.cameras)
        self.recordings = [read_meta(folder) for folder in _recording_folders(self.root, part)]
        self._ends = np.cumsum([recording.frames * len(self.serials) for recording in self.recordings])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken."""
        recording, serial, number = self._place(index)
        folder = recording.folder / serial
        colour = folder / f"color_{number}.jpg"
        rgb = reading(colour, read_rgb)
        depth = reading(
            folder / f"aligned_depth_to_color_{number}.png", lambda path: depth_in_metres(read_depth(path), DEPTH_UNIT)
        )
        labels = read_labels(folder / f"labels_{number}.npz")
        check_sizes(colour, rgb, depth=depth.shape, labels=labels.classes.shape, intrinsics=(HEIGHT, WIDTH))
        camera = read_camera(self.root / "calibration" / "intrinsics" / f"{serial}_{WIDTH}x{HEIGHT}.yml")
        masks = np.zeros((2, HEIGHT, WIDTH), dtype=bool)
        if labels.seen:
            masks[recording.side] = labels.classes == HAND_CLASS
        frame = RGBDFrame.from_arrays(rgb, depth, camera.K)
        identity = f"{folder.relative_to(self.root).as_posix()}/{number}"
        return sample(frame, self._hands(recording, labels), self.definition, identity, masks)

    def side(self, index: int) -> int:
        """Return LEFT or RIGHT: the hand of a frame, also where the camera does not see it."""
        return self._place(index)[0].side

    def recording(self, index: int) -> str:
        """Return subject, recording and camera of a frame."""
        recording, serial, _ = self._place(index)
        return f"{recording.folder.relative_to(self.root).as_posix()}/{serial}"

    def _hands(self, recording: Recording, labels: Labels) -> TwoHands:
        """Return the hand on its side; all zeros, in the same shapes, where the camera does not see it."""
        orientation, pose, translation = np.split(labels.pose, [3, 48])
        shape = read_shape(self.root / "calibration" / f"mano_{recording.calibration}" / "mano.yml")
        mesh = mano_hand_of(recording.side, Values(orientation, pose, shape, translation), CONVENTION)
        left, right = (Hand(labels.joints, mesh) if side == recording.side else None for side in (LEFT, RIGHT))
        hands = two_hands((left, right))
        return hands if labels.seen else hands.map(np.zeros_like)

    def _place(self, index: int) -> tuple[Recording, str, str]:
        """Return (recording, serial of the camera, frame number as in its file names)."""
        which, place = place_in(self._ends, index)
        recording = self.recordings[which]
        camera, number = divmod(place, recording.frames)
        return recording, self.serials[camera], f"{number:06d}"


def find_root(root: Path) -> Path:
    """Return the folder with the subjects: the given one, or DexYCB below it."""
    for folder in (root, root / "DexYCB"):
        if any((folder / subject).is_dir() for subject in SUBJECTS):
            return folder
    raise FileNotFoundError(
        f"{root} has no folders {SUBJECTS[0]} to {SUBJECTS[-1]}; unpack the archives of DexYCB and give their parent"
    )


def _recording_folders(root: Path, part: Part) -> list[Path]:
    """Return the recordings of a part; subjects must be complete, since the splits count recordings."""
    folders = []
    for subject in (root / SUBJECTS[number] for number in part.subjects):
        if not subject.is_dir():
            raise FileNotFoundError(f"{subject} does not exist, and the split needs it; unpack {subject.name}.tar.gz")
        found = sorted(path for path in subject.iterdir() if path.is_dir())
        if len(found) != RECORDINGS_PER_SUBJECT:
            raise FileNotFoundError(
                f"{subject} has {len(found)} recordings, expected {RECORDINGS_PER_SUBJECT}; unpack its archive again"
            )
        folders += [found[number] for number in part.recordings]
    return folders


def read_meta(folder: Path) -> Recording:
    """Return the content of a recording's meta.yml. Raise DamagedFileError."""

    def read(path: Path) -> Recording:
        meta = read_yaml(path)
        side, calibration = _only(meta["mano_sides"]), _only(meta["mano_calib"])
        if side not in SIDE_NAMES:
            raise ValueError(f"mano_sides is {side!r}, expected {' or '.join(SIDE_NAMES)}")
        frames = _number(meta["num_frames"])
        if frames < 1 or frames % 1:
            raise ValueError(f"num_frames is {frames:g}, expected a whole number from 1")
        return Recording(folder, int(frames), SIDE_NAMES.index(side), calibration)

    return reading(folder / "meta.yml", read)


def read_camera(path: Path) -> Camera:
    """Return the colour camera of a calibration file. Raise DamagedFileError."""

    def read(path: Path) -> Camera:
        colour = read_yaml(path)["color"]
        if not isinstance(colour, dict):
            raise ValueError(f"color is {colour!r}, expected fx, fy, ppx, ppy")
        return camera_of([_number(colour[name]) for name in ("fx", "fy", "ppx", "ppy")], WIDTH, HEIGHT)

    return reading(path, read)


def read_shape(path: Path) -> np.ndarray:
    """Return MANO's shape (10,) float64 of a subject's hand. Raise DamagedFileError."""
    return reading(path, lambda path: array_of(read_yaml(path)["betas"], 10))


def read_labels(path: Path) -> Labels:
    """Return the arrays seg, pose_m and joint_3d of a label file. Raise DamagedFileError."""

    def read(path: Path) -> Labels:
        classes, pose, joints = load_arrays(path, "seg", "pose_m", "joint_3d")
        if classes.ndim != 2:
            raise ValueError(f"seg has shape {classes.shape}, expected (height, width)")
        for name, values, size in (("pose_m", pose, 51), ("joint_3d", joints, 63)):
            if values.size != size or not np.isfinite(values).all():
                raise ValueError(f"{name} has shape {values.shape}, expected {size} finite numbers of one hand")
        return Labels(classes, pose.astype(np.float64).reshape(51), joints.astype(np.float64).reshape(21, 3))

    return reading(path, read)


def _number(text: Any) -> float:
    if not isinstance(text, str) or not np.isfinite(float(text)):
        raise ValueError(f"{text!r} is not a finite number")
    return float(text)


def _only(values: Any) -> str:
    if not isinstance(values, list) or len(values) != 1 or not isinstance(values[0], str):
        raise ValueError(f"{values!r} is not a list of one name")
    return values[0]


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, scalars as text, since numbers of cameras are names. Raise ValueError."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no mapping")
    return found
