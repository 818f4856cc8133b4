"""ARCTIC (Fan et al. 2023): both hands and an articulated object, one head-mounted and eight fixed cameras, no depth.

MANO values in metres in the world, about the mean pose; the joints are MANO's, with the finger tips of the package
smplx. The left shape basis is taken to be the raw one of MANO's file, as in the data set's own programs [V]; some left
shapes look odd nevertheless [U]. Masks are drawn from the meshes and ignore the object.

The image of the head-mounted camera is distorted by its lens: it is resampled to a pinhole image, as the scores of the
data set assume. The fixed cameras are pinholes for the data set's programs [V]; whether their images were undistorted
is uncertain [U]. Full images are read (`images`, not `cropped_images`). As in the data set, a hand is present when its
wrist and at least two more joints are in the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twohands.data.readers.common import (
    Hand,
    camera_of,
    check_sizes,
    hand_in_camera,
    joints_in_image,
    only,
    place_in,
    reading,
    require_mano,
    sample,
    two_hands,
)
from twohands.data.readers.contents import array_of, read_json
from twohands.data.readers.lenses import bent, places, resampled
from twohands.files import read_rgb
from twohands.geometry.camera import Camera
from twohands.geometry.transforms import rigid
from twohands.hands.mano import Convention, Values
from twohands.hands.mano_files import read_pickle
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame, Sample, TwoHands

CONVENTION = Convention(flat_hand_mean=False, left_shape="raw", tips="hot3d")
EGO, VIEWS = 0, 9
"""The head-mounted camera; number of cameras including it."""
SUBJECTS = {"validation": ("s05",), "test": ("s03",)}
"""Whole subjects [S], for copies without the official lists; all others are train."""
MARGIN = 10
"""Images at each end of a recording that the official lists leave out: some are black."""
SEEN_JOINTS = 3
"""Smallest number of joints in the image, the wrist among them, with which a hand counts as present."""
_LISTS = {"train": "train", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Labels:
    """The hands of a recording, world frame, metres and radians; T frames."""

    orientation: np.ndarray  # (2, T, 3) axis-angle of the wrists
    pose: np.ndarray  # (2, T, 45) axis-angle about the mean pose, MANO's order
    translation: np.ndarray  # (2, T, 3)
    shape: np.ndarray  # (2, 10)

    def values(self, side: int, row: int) -> Values:
        """Return the MANO values of one hand in one frame."""
        return Values(self.orientation[side, row], self.pose[side, row], self.shape[side], self.translation[side, row])


@dataclass(frozen=True)
class Subject:
    """Content of misc.json about the recordings of one person."""

    offset: int  # number of the image that belongs to the first row of the labels
    sizes: np.ndarray  # (9, 2) width and height of the images of each camera
    intrinsics: np.ndarray  # (8, 3, 3) pixels, of the fixed cameras
    T_camera_from_world: np.ndarray  # (8, 4, 4) metres, of the fixed cameras


@dataclass(frozen=True)
class EgoCamera:
    """The head-mounted camera during a recording of T frames."""

    intrinsics: np.ndarray  # (3, 3) pixels
    lens: tuple[float, ...]  # k1, k2, p1, p2, k3, k4, k5, k6 in OpenCV's order
    T_camera_from_world: np.ndarray  # (T, 4, 4) metres


@dataclass(frozen=True)
class Recording:
    """The part of one recording that belongs to a split."""

    name: str  # SUBJECT/NAME
    images: range  # numbers of its images
    labels: Labels | None


class ARCTIC:
    """The frames of one split of a user's copy; `view` 0 is the head-mounted camera, 1 to 8 are fixed.

    The splits are the official lists of protocol 2 for view 0 and of protocol 1 for the others; a copy without the
    lists is split by SUBJECTS. The labels of test are not public: its samples have no hand (`present` is 0 on both
    sides). Whether the files of its head-mounted camera, which view 0 needs, are public is uncertain [U].
    """

    definition = "hot3d"

    def __init__(self, root: str | Path, split: str = "train", view: int = EGO):
        """Open a split. Raise ValueError for an unknown split or view, FileNotFoundError without ARCTIC or MANO, and
        DamagedFileError when labels cannot be read.
        """
        if split not in _LISTS:
            raise ValueError(f"ARCTIC has no split {split!r}; choose one of {', '.join(_LISTS)}")
        if view not in range(VIEWS):
            raise ValueError(f"ARCTIC has no view {view}; choose one from 0 to {VIEWS - 1}")
        require_mano("ARCTIC")
        self.split, self.view, self.root = split, view, find_root(Path(root))
        self.subjects = read_subjects(self.root / "meta" / "misc.json")
        recordings = (self._recording(name) for name in self._names())
        self.recordings = [recording for recording in recordings if recording.images]
        if not self.recordings:
            raise FileNotFoundError(f"{self.root} has no frames of split {split!r} seen by view {view}")
        self._ends = np.cumsum([len(recording.images) for recording in self.recordings])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken."""
        recording, number = self._place(index)
        subject = self._subject(recording.name)
        row = number - subject.offset
        colour = self._images(recording.name) / f"{number:05d}.jpg"
        rgb = reading(colour, read_rgb)
        check_sizes(colour, rgb, calibration=subject.sizes[self.view, ::-1].tolist())
        camera, T_camera_from_world, lens = self._camera(recording.name, row)
        if lens is not None:
            rgb = resampled(rgb, places(camera, lambda rays: bent(rays[..., :2], lens) * camera.focal + camera.center))
        frame = RGBDFrame.from_arrays(rgb, np.zeros(rgb.shape[:2], dtype=np.float32), camera.K)
        hands = _hands(recording.labels, row, T_camera_from_world)
        inside = joints_in_image(hands.joints, camera)
        seen = inside[:, 0] & (inside.sum(axis=1) >= SEEN_JOINTS)
        return sample(frame, only(hands, seen), self.definition, f"{recording.name}/{self.view}/{number:05d}")

    def _camera(self, name: str, row: int) -> tuple[Camera, np.ndarray, tuple[float, ...] | None]:
        """Return a frame's pinhole camera, T_camera_from_world (4, 4) and lens, None if it does not distort."""
        subject = self._subject(name)
        width, height = subject.sizes[self.view].tolist()
        if self.view != EGO:
            calibrated = self.root / "meta" / "misc.json"
            camera = reading(calibrated, lambda _: camera_of(subject.intrinsics[self.view - 1], width, height))
            return camera, subject.T_camera_from_world[self.view - 1], None
        path = self.root / "raw_seqs" / f"{name}.egocam.dist.npy"
        ego = read_ego_camera(path)
        camera = reading(path, lambda _: camera_of(ego.intrinsics, width, height))
        return camera, reading(path, lambda _: ego.T_camera_from_world[row]), ego.lens

    def _place(self, index: int) -> tuple[Recording, int]:
        """Return (recording, number of the image)."""
        which, place = place_in(self._ends, index)
        return self.recordings[which], self.recordings[which].images[place]

    def _subject(self, name: str) -> Subject:
        return self.subjects[name.split("/")[0]]

    def _images(self, name: str) -> Path:
        return self.root / "images" / name / str(self.view)

    def _recording(self, name: str) -> Recording:
        """Return a recording with the images that official lists take from it; for test they are counted on disk."""
        if self.split == "test":
            count = sum(1 for path in self._images(name).glob("*.jpg") if path.stem.isdigit())
            return Recording(name, range(MARGIN, count - MARGIN), None)
        labels = read_labels(self.root / "raw_seqs" / f"{name}.mano.npy")
        frames, offset = labels.pose.shape[1], self._subject(name).offset
        return Recording(name, range(max(MARGIN, offset), min(frames - MARGIN, frames + offset)), labels)

    def _names(self) -> list[str]:
        """Return the recordings of the split that the copy has: images for test, labels for the other splits."""
        if self.split == "test":
            there = {f"{path.parent.name}/{path.name}" for path in self.root.glob("images/s*/*") if path.is_dir()}
        else:
            found = self.root.glob("raw_seqs/s*/*.mano.npy")
            there = {f"{path.parent.name}/{path.name.removesuffix('.mano.npy')}" for path in found}
        there = sorted(name for name in there if name.split("/")[0] in self.subjects)
        official = self.root / "splits_json" / f"protocol_{'p2' if self.view == EGO else 'p1'}.json"
        if official.is_file():
            listed = read_json(official, lambda found: set(found[_LISTS[self.split]]))
            return [name for name in there if name in listed]
        others = {subject for subjects in SUBJECTS.values() for subject in subjects}
        chosen = set(SUBJECTS.get(self.split, set(self.subjects) - others))
        return [name for name in there if name.split("/")[0] in chosen]


def find_root(root: Path) -> Path:
    """Return the folder with `meta` and `images`: the given one, or a usual one below it."""
    for folder in (root, root / "arctic_data" / "data", root / "data" / "arctic_data" / "data"):
        if (folder / "meta" / "misc.json").is_file():
            return folder
    raise FileNotFoundError(
        f"{root} has no meta/misc.json; unpack images, raw_seqs, splits_json and meta of ARCTIC and give their parent"
    )


def read_subjects(path: Path) -> dict[str, Subject]:
    """Return the content of misc.json by subject. Raise DamagedFileError."""

    def parse(found: Any) -> dict[str, Subject]:
        subjects = {}
        for name, meta in found.items():
            offset, sizes, intrinsics, places = entries(meta, "ioi_offset", "image_size", "intris_mat", "world2cam")
            subjects[name] = Subject(
                offset=int(array_of(offset)),
                sizes=array_of(sizes, VIEWS, 2).astype(int),
                intrinsics=array_of(intrinsics, VIEWS - 1, 3, 3),
                T_camera_from_world=array_of(places, VIEWS - 1, 4, 4),
            )
        return subjects

    return read_json(path, parse)


def read_labels(path: Path) -> Labels:
    """Return the hands of a file NAME.mano.npy, float32. Raise DamagedFileError."""

    def read(path: Path) -> Labels:
        sides = []
        for side in entries(read_dictionary(path), *SIDE_NAMES):
            orientation, pose, translation, shape = entries(side, "rot", "pose", "trans", "shape")
            turns = array_of(orientation, None, 3)
            frames = len(turns)
            sides.append((turns, array_of(pose, frames, 45), array_of(translation, frames, 3), array_of(shape, 10)))
        return Labels(*(np.stack(arrays).astype(np.float32) for arrays in zip(*sides, strict=True)))

    return reading(path, read)


def read_ego_camera(path: Path) -> EgoCamera:
    """Return the camera of a file NAME.egocam.dist.npy. Raise DamagedFileError."""

    def read(path: Path) -> EgoCamera:
        names = ("intrinsics", "dist8", "R_k_cam_np", "T_k_cam_np")
        intrinsics, lens, turns, shifts = entries(read_dictionary(path), *names)
        rotation = array_of(turns, None, 3, 3)
        translation = array_of(shifts, len(rotation), 3, 1)[..., 0]
        lens = tuple(array_of(lens, 8).tolist())
        return EgoCamera(array_of(intrinsics, 3, 3), lens, rigid(rotation, translation))

    return reading(path, read)


def read_dictionary(path: Path) -> Any:
    """Return the object that an .npy file contains as a pickle; no code in it is executed. Raise ValueError."""
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        if not header(stream)[2].hasobject:
            raise ValueError(f"{path} holds plain numbers, not a dictionary")
        found = read_pickle(stream, str(path))
    if not isinstance(found, np.ndarray) or found.shape != ():
        raise ValueError(f"{path} does not hold one dictionary")
    return found.item()


def entries(found: Any, *names: str) -> list[Any]:
    """Return the values of these names. Raise ValueError if one is missing."""
    missing = [name for name in names if not isinstance(found, dict) or name not in found]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    return [found[name] for name in names]


def _hands(labels: Labels | None, row: int, T_camera_from_world: np.ndarray) -> TwoHands:
    """Return both hands of a frame, in or out of the image; none if there are no labels."""
    hands: list[Hand | None] = [None, None]
    if labels is not None:
        for side in (LEFT, RIGHT):
            hands[side] = hand_in_camera(side, labels.values(side, row), CONVENTION, T_camera_from_world)
    return two_hands((hands[LEFT], hands[RIGHT]))
