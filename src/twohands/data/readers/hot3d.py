"""HOT3D-Clips (Banerjee et al. 2024): both hands and objects from the cameras of Aria glasses and Quest 3 headsets.

Clips are tar files of FRAMES frames each, read without unpacking. Poses are 15 principal components about the mean
pose, in metres in the world; all hands of a clip share its shape, and the left shape basis is the repaired one. There
are no joints but those of MANO, no depth, and no masks of hands: masks are drawn from the meshes and ignore objects in
front of a hand. Images have the sensor's orientation, for Aria presumably a quarter turn from upright [U].

The lenses are fisheyes (FISHEYE624). A frame is the image resampled into a pinhole camera with the size, the focal
lengths and the principal point of the fisheye: the middle keeps its resolution, about 50 degrees to each side remain
(Aria's colour camera [U]), and the rest is lost. A hand with fewer than SEEN_JOINTS joints in the resampled image
counts as absent, and so does a hand without a MANO pose.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from twohands.data.readers.common import (
    Hand,
    check_sizes,
    hand_in_camera,
    joints_in_image,
    only,
    reading,
    require_mano,
    sample,
    two_hands,
)
from twohands.data.readers.contents import array_of
from twohands.data.readers.lenses import Fisheye, places, resampled
from twohands.geometry.transforms import rigid
from twohands.hands.mano import Convention, Values
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame, Sample, TwoHands

CONVENTION = Convention(flat_hand_mean=False, components=15, left_shape="flip_x", tips="hot3d")
FRAMES = 150
"""Number of frames of every clip, counted from 0."""
HELD_OUT = 2
"""Number of participants, the last of the official train, that are the split `validation`."""
SEEN_JOINTS = 11
"""Smallest number of joints in the image with which a hand counts as present."""
STREAMS = {
    "214-1": ("aria",),  # colour
    "1201-1": ("aria", "quest3"),  # left and right monochrome
    "1201-2": ("aria", "quest3"),
}
"""Cameras, and the devices that have them, by the names in the folders."""
_LISTS = {"train": "train", "validation": "train", "test": "test_ht_pose"}
_LENS, _LENS_NUMBERS = "FISHEYE624", 16
_T = TypeVar("_T")


@dataclass(frozen=True)
class View:
    """A camera at one moment."""

    lens: Fisheye
    T_world_from_camera: np.ndarray  # (4, 4), metres


class HOT3D:
    """The frames of one split of a user's copy, for the clips that it has, seen by one of STREAMS.

    Validation is the clips of the last HELD_OUT participants of the official train, who are in no other split; train is
    the rest. Test is the official test of the pose track. Its poses are not public: its samples have no hand (`present`
    is 0 on both sides).
    """

    definition = "hot3d"

    def __init__(self, root: str | Path, split: str = "train", stream: str = "214-1"):
        """Open a split. Raise ValueError for an unknown split or stream, FileNotFoundError without lists or MANO, and
        DamagedFileError when a list cannot be read.
        """
        if split not in _LISTS:
            raise ValueError(f"HOT3D has no split {split!r}; choose one of {', '.join(_LISTS)}")
        if stream not in STREAMS:
            raise ValueError(f"HOT3D has no stream {stream!r}; choose one of {', '.join(STREAMS)}")
        require_mano("HOT3D")
        self.split, self.stream, self.root = split, stream, find_root(Path(root))
        self.clips = self._clips()
        if not self.clips:
            raise FileNotFoundError(f"{self.root} has no clips of split {split!r} with images of {stream}")

    def __len__(self) -> int:
        return FRAMES * len(self.clips)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when its clip lacks a file or has a broken one."""
        clip, number = self._place(index)
        view = self._view(index)
        rgb = read_member(clip, f"{number}.image_{self.stream}.jpg", _decoded)
        check_sizes(clip, rgb, calibration=(view.lens.height, view.lens.width))
        camera = reading(clip, lambda _: view.lens.pinhole())
        depth = np.zeros(rgb.shape[:2], dtype=np.float32)
        frame = RGBDFrame.from_arrays(resampled(rgb, places(camera, view.lens.project)), depth, camera.K)
        hands = self._hands(clip, number, np.linalg.inv(view.T_world_from_camera))
        seen = joints_in_image(hands.joints, camera).sum(axis=1) >= SEEN_JOINTS
        return sample(frame, only(hands, seen), self.definition, f"{clip.stem}/{number}")

    def T_world_from_camera(self, index: int) -> np.ndarray:
        """Return the pose (4, 4) float64, metres, of a frame's camera. Raise DamagedFileError."""
        return self._view(index).T_world_from_camera

    def shape(self, index: int) -> np.ndarray:
        """Return MANO's shape (10,) float64 of both hands of a frame, also for test. Raise DamagedFileError."""
        return read_member(self._place(index)[0], "__hand_shapes.json__", _shape)

    def _place(self, index: int) -> tuple[Path, str]:
        """Return (clip, frame number as in its file names)."""
        which, number = divmod(range(len(self))[index], FRAMES)
        return self.clips[which], f"{number:06d}"

    def _view(self, index: int) -> View:
        clip, number = self._place(index)
        return read_member(clip, f"{number}.cameras.json", lambda content: _view(json.loads(content)[self.stream]))

    def _hands(self, clip: Path, number: str, T_camera_from_world: np.ndarray) -> TwoHands:
        """Return the hands with a MANO pose, in or out of the image."""
        if self.split == "test":
            return two_hands((None, None))
        shape = read_member(clip, "__hand_shapes.json__", _shape)
        hands: list[Hand | None] = [None, None]
        for side, (pose, wrist) in read_member(clip, f"{number}.hands.json", _poses).items():
            values = Values(wrist[:3], pose, shape, wrist[3:])
            hands[side] = hand_in_camera(side, values, CONVENTION, T_camera_from_world)
        return two_hands((hands[LEFT], hands[RIGHT]))

    def _clips(self) -> list[Path]:
        """Return the clips of the split that the copy has, by number."""
        found = []
        for device, numbers in clip_numbers(self.root, self.split).items():
            if device in STREAMS[self.stream]:
                folder = self.root / f"{'test' if self.split == 'test' else 'train'}_{device}"
                found += [folder / f"clip-{number:06d}.tar" for number in numbers]
        return sorted((path for path in found if path.is_file()), key=lambda path: path.name)


def find_root(root: Path) -> Path:
    """Return the folder with the lists of clips: the given one, or a usual one below it."""
    for folder in (root, root / "hot3d", root / "HOT3D-Clips"):
        if all((folder / name).is_file() for name in ("clip_splits.json", "clip_definitions.json")):
            return folder
    raise FileNotFoundError(
        f"{root} has no clip_splits.json and clip_definitions.json; download them with the folders train_aria, "
        "train_quest3, ... of HOT3D-Clips and give their parent"
    )


def clip_numbers(root: Path, split: str) -> dict[str, list[int]]:
    """Return the clips of a split by device, "aria" or "quest3", from the lists [S]. Raise DamagedFileError."""

    def listed(content: bytes) -> dict[str, list[int]]:
        devices = json.loads(content)[_LISTS[split]]
        return {str(device).lower(): [int(number) for number in clips] for device, clips in devices.items()}

    def persons(content: bytes) -> dict[int, str]:
        clips = json.loads(content)
        known = (number for of_device in numbers.values() for number in of_device)
        return {number: str(clips[str(number)]["sequence_id"]).partition("_")[0] for number in known}

    path = root / "clip_splits.json"
    numbers = reading(path, lambda path: _parsed(str(path), path.read_bytes(), listed))
    if split == "test":
        return numbers
    path = root / "clip_definitions.json"
    person = reading(path, lambda path: _parsed(str(path), path.read_bytes(), persons))
    order = sorted(set(person.values()))
    chosen = order[-HELD_OUT:] if split == "validation" else order[:-HELD_OUT]
    return {device: [number for number in clips if person[number] in chosen] for device, clips in numbers.items()}


def read_member(clip: Path, name: str, parse: Callable[[bytes], _T]) -> _T:
    """Return parse(content) of a file in a clip. Raise DamagedFileError, naming both."""

    def read(path: Path) -> _T:
        members = _members(path)
        if name not in members:
            raise ValueError(f"{path} has no file {name}")
        start, size = members[name]
        with path.open("rb") as stream:
            stream.seek(start)
            return _parsed(f"{path}: {name}", stream.read(size), parse)

    return reading(clip, read)


def _parsed(name: str, content: bytes, parse: Callable[[bytes], _T]) -> _T:
    """Return parse(content); turn its errors into ValueError."""
    try:
        return parse(content)
    except (OSError, SyntaxError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{name} is not what it should be ({type(error).__name__}: {error})") from error


@lru_cache(maxsize=256)
def _members(clip: Path) -> dict[str, tuple[int, int]]:
    """Return first byte and number of bytes of every file in a clip, by name. Raise ValueError for a broken tar."""
    try:
        with tarfile.open(clip, "r:") as archive:
            return {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
    except tarfile.TarError as error:
        raise ValueError(f"{clip} is not a whole tar file ({error})") from error


def _view(camera: dict[str, Any]) -> View:
    """Return a camera of a cameras.json. Raise ValueError for other lenses than FISHEYE624."""
    calibration, pose = camera["calibration"], camera["T_world_from_camera"]
    if not str(calibration["projection_model_type"]).endswith(_LENS):
        raise ValueError(f"its lens is {calibration['projection_model_type']}, expected {_LENS}")
    numbers = array_of(calibration["projection_params"], _LENS_NUMBERS)
    lens = Fisheye(tuple(numbers.tolist()), int(calibration["image_width"]), int(calibration["image_height"]))
    quaternion = np.roll(array_of(pose["quaternion_wxyz"], 4), -1)
    turn = Rotation.from_quat(quaternion).as_matrix()
    return View(lens, rigid(turn, array_of(pose["translation_xyz"], 3)))


def _poses(content: bytes) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Return, by side, components of the pose (15,), and axis-angle and translation (6,) of the wrist in the world."""
    hands, poses = json.loads(content), {}
    for side, name in enumerate(SIDE_NAMES):
        pose = (hands.get(name) or {}).get("mano_pose")
        if pose:
            poses[side] = array_of(pose["thetas"], 15), array_of(pose["wrist_xform"], 6)
    return poses


def _shape(content: bytes) -> np.ndarray:
    return array_of(json.loads(content)["mano"], 10)


def _decoded(content: bytes) -> np.ndarray:
    with Image.open(BytesIO(content)) as image:
        return np.array(image.convert("RGB"))
