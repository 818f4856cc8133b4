"""TACO (Liu et al. 2024, CC BY 4.0): both hands use tools on objects, seen by a head-mounted RGB-D camera.

Metres. Labels are values of MANO in the frame of the room, with the position of the wrist; the reader converts them to
the camera's frame, OpenCV, by the matrix of each frame, which is taken to be camera from room [S]. Poses are axis-angle
about the flat hand, and shapes of left hands are on the raw basis of MANO's file, since the data set's program draws
them with an unchanged manopth. Joints are computed from MANO, whose files are needed. A hand with no joint in the
picture counts as absent. Masks are drawn from the meshes.

Depth is in steps of 0.25 mm (an older description of the data set states 1 mm). That it is registered to the colour
images, as their equal size suggests, is uncertain [U].

Colour and depth come as videos. The data set names no folder for their images; the reader expects them beside the
videos [U], counted from 0, every frame once: Egocentric_RGB_Videos/TRIPLET/SEQUENCE/%05d.jpg and
Egocentric_Depth_Videos/TRIPLET/SEQUENCE/%05d.png. Sequences without images are left out.

Splits follow the official list; test is all its four parts. Validation is whole sequences of the official train: the
last twentieth by name, which is date and number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from twohands.data.readers.common import (
    ContradictionError,
    DamagedFileError,
    Hand,
    camera_of,
    check_sizes,
    hand_in_camera,
    joints_in_image,
    numbers,
    reading,
    require_mano,
    sample,
    two_hands,
)
from twohands.data.readers.contents import load_array, named_numbers
from twohands.data.readers.extracted import extraction, image
from twohands.data.readers.tensor_pickles import read_tensors
from twohands.files import depth_in_metres, read_depth, read_rgb
from twohands.geometry.camera import Camera
from twohands.hands.mano import Convention, Values
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame, Sample

CONVENTION = Convention(flat_hand_mean=True, left_shape="raw", wrist_centred=True, tips="mano")
DEPTH_UNIT = 0.25e-3
"""Metres per step of depth."""
SPLITS = ("train", "validation", "test")
SPLIT_FILE = "v1_overall_data_train_test_split.txt"
"""Official list of "sequence,part" with the parts train and test_1 to test_4; in the root, or in data_lists there."""
VALIDATION_SHARE = 20
"""Number of sequences of the official train of which one is validation."""
COLOUR, DEPTH, CAMERAS, POSES = (
    *("Egocentric_RGB_Videos", "Egocentric_Depth_Videos"),
    *("Egocentric_Camera_Parameters", "Hand_Poses"),
)


@dataclass(frozen=True)
class Recording:
    """The labels of a sequence of N frames."""

    poses: np.ndarray  # (2, N, 51) float32: axis-angle of the wrist and 45 of the fingers, wrist position; room frame
    shapes: np.ndarray  # (2, 10) float64
    extrinsics: np.ndarray  # (N, 4, 4) float64: camera from room


class TACO:
    """The frames of one split of a user's copy with extracted videos; `frames` are (place, number)."""

    definition = "mano"

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split. Raise ValueError for an unknown split, DamagedFileError when the list of splits cannot be read,
        and FileNotFoundError with the fix without this list, MANO's files, TACO's folders or any extracted video.
        """
        if split not in SPLITS:
            raise ValueError(f"TACO has no split {split!r}; choose one of {', '.join(SPLITS)}")
        require_mano("TACO")
        self.split, self.root = split, find_root(Path(root))
        self.frames = self._frames(read_splits(self.root)[split])

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError for missing or broken files, or if frames and poses do not match."""
        place, number = self.frames[index]
        recording = read_recording(self.root, place)
        colour = image(self.root / COLOUR / place, number, ".jpg")
        rgb = reading(colour, read_rgb)
        depth = reading(
            image(self.root / DEPTH / place, number, ".png"),
            lambda path: depth_in_metres(read_depth(path), DEPTH_UNIT),
        )
        check_sizes(colour, rgb, depth=depth.shape)
        intrinsics = self.root / CAMERAS / place / "egocentric_intrinsic.txt"
        K = numbers(intrinsics, 9).reshape(3, 3)
        camera = reading(intrinsics, lambda _: camera_of(K, rgb.shape[1], rgb.shape[0]))
        left, right = (_hand(side, recording, number, camera) for side in (LEFT, RIGHT))
        frame = RGBDFrame.from_arrays(rgb, depth, camera.K)
        hands = two_hands((left, right))
        return sample(frame, hands, self.definition, f"{place}/{number:05d}")

    def _frames(self, sequences: frozenset[str]) -> list[tuple[str, int]]:
        """Return (TRIPLET/SEQUENCE, frame number) of every image."""
        folders = [path for path in sorted((self.root / COLOUR).glob("*/*")) if path.name in sequences]
        places = [folder.relative_to(self.root / COLOUR).as_posix() for folder in folders]
        frames = [(place, n) for place in places for n in _image_numbers(self.root / COLOUR / place, ".jpg")]
        if frames:
            return frames
        if not places:
            raise FileNotFoundError(f"{self.root / COLOUR} has no sequence of split {self.split!r}; download some")
        raise FileNotFoundError(
            f"the frames of TACO are still videos; extract each sequence: {_commands(self.root, places[0])}"
        )


def find_root(root: Path) -> Path:
    """Return the folder with Egocentric_RGB_Videos: the given one, or a usual one below it."""
    for folder in (root, root / "TACO", root / "TACO_Dataset_V1"):
        if (folder / COLOUR).is_dir():
            return folder
    raise FileNotFoundError(
        f"{root} has no folder {COLOUR}; unpack it, {DEPTH}, {CAMERAS} and {POSES} of TACO and give their parent"
    )


def read_splits(root: Path) -> dict[str, frozenset[str]]:
    """Return the sequences of each of SPLITS from the official list. Raise FileNotFoundError, DamagedFileError."""
    path = next((p for p in (root / SPLIT_FILE, root / "data_lists" / SPLIT_FILE) if p.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{root} has no {SPLIT_FILE}; copy it from data_lists of https://github.com/leolyliu/TACO-Instructions"
        )
    listed = reading(path, lambda path: [line.split(",") for line in path.read_text(encoding="utf-8").split()])
    parts = ("train", "test_1", "test_2", "test_3", "test_4")
    if not all(len(line) == 2 and line[1] in parts for line in listed):
        raise DamagedFileError(f"{path} is not a list of sequence,part with part one of {', '.join(parts)}", path)
    train = sorted(name for name, part in listed if part == "train")
    kept = len(train) - len(train) // VALIDATION_SHARE
    test = (name for name, part in listed if part != "train")
    return {"train": frozenset(train[:kept]), "validation": frozenset(train[kept:]), "test": frozenset(test)}


@lru_cache(maxsize=256)  # 100 kB each, read in a fraction of the time of a frame's images
def read_recording(root: Path, place: str) -> Recording:
    """Return the labels of a sequence. Raise DamagedFileError, also if its images are not as many, from number 0."""
    poses = root / POSES / place
    both = [read_poses(poses / f"{name}_hand.pkl") for name in SIDE_NAMES]
    shapes = [read_shape(poses / f"{name}_hand_shape.pkl") for name in SIDE_NAMES]
    extrinsics = read_extrinsics(root / CAMERAS / place / "egocentric_frame_extrinsic.npy")
    frames = {
        "poses of the left hand": range(len(both[LEFT])),
        "poses of the right hand": range(len(both[RIGHT])),
        "colour images": _image_numbers(root / COLOUR / place, ".jpg"),
        "depth images": _image_numbers(root / DEPTH / place, ".png"),
        "places of the camera": range(len(extrinsics)),
    }
    if len({tuple(numbers) for numbers in frames.values()}) > 1:
        counts = ", ".join(f"{len(numbers)} {name}" for name, numbers in frames.items())
        raise ContradictionError(
            f"{place} has {counts}, and images must be numbered from 0; remove its images and extract them again: "
            f"{_commands(root, place)}",
            root / COLOUR / place,
        )
    return Recording(np.stack(both).astype(np.float32), np.stack(shapes), extrinsics)


def read_poses(path: Path) -> np.ndarray:
    """Return (N, 51) float64 of a pickle of tensors, in the order of the frames. Raise DamagedFileError."""

    def read(path: Path) -> np.ndarray:
        found = read_tensors(path)
        if not isinstance(found, dict) or not found:
            raise ValueError(f"{path} does not hold a dictionary of numbered frames")
        frames = [found[key] for key in sorted(found, key=lambda key: int(str(key)))]
        parts = {"hand_pose": 48, "hand_trans": 3}
        return np.stack([np.concatenate([named_numbers(f, *part) for part in parts.items()]) for f in frames])

    return reading(path, read)


def read_shape(path: Path) -> np.ndarray:
    """Return MANO's shape (10,) float64 of a hand. Raise DamagedFileError."""
    return reading(path, lambda path: named_numbers(read_tensors(path), "hand_shape", 10))


def read_extrinsics(path: Path) -> np.ndarray:
    """Return T_camera_from_room (N, 4, 4) float64 of every frame. Raise DamagedFileError."""

    def read(path: Path) -> np.ndarray:
        found = load_array(path).astype(np.float64)
        if found.ndim != 3 or found.shape[1:] != (4, 4):
            raise ValueError(f"{path} has shape {found.shape}, expected (frames, 4, 4)")
        turns = found[:, :3, :3]
        if not np.isfinite(found).all() or not np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-3):
            raise ValueError(f"{path} holds matrices that are not rotation and place of a camera")
        return found

    return reading(path, read)


def _hand(side: int, recording: Recording, number: int, camera: Camera) -> Hand | None:
    """Return the hand, or None when none of its joints is in the picture."""
    orientation, pose, translation = np.split(recording.poses[side, number].astype(np.float64), [3, 48])
    values = Values(orientation, pose, recording.shapes[side], translation)
    hand = hand_in_camera(side, values, CONVENTION, recording.extrinsics[number])
    return hand if joints_in_image(hand.joints, camera).any() else None


def _image_numbers(folder: Path, suffix: str) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob(f"*{suffix}") if path.stem.isdigit())


def _commands(root: Path, place: str) -> str:
    colour, depth = root / COLOUR / place / "color.mp4", root / DEPTH / place / "egocentric_depth.avi"
    return extraction("-fps_mode passthrough", (colour, ".jpg"), (depth, ".png"))
