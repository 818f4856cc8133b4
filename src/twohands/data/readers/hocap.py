"""HO-Cap (Wang et al. 2024): one or both hands handle objects; eight fixed RealSense cameras.

Metres. The label file of a frame has its camera matrix and the joints of both hands in the OpenCV frame of that camera,
-1 for an absent hand; `poses_m.npy` of a recording has MANO values in the world frame, from which the meshes are
computed. In both the right hand is first (for the labels [S]). Releases of the data set's own program disagree on the
convention of the hand model: the reader uses the one that puts MANO's joints nearest to the labels', see `CONVENTIONS`.

Masks are drawn from the meshes: which classes of the labels' segmentation are hands is uncertain [U]. The frames of
the head-mounted camera have neither labels nor registered depth, and are left out.

Files have the names of the published archives and contain YAML [S]; if these are missing, those of the program's first
release are read, which contain JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from twohands.data.readers.common import (
    DamagedFileError,
    Hand,
    camera_of,
    check_sizes,
    mano_hand_of,
    nearest_of,
    reading,
    sample,
    two_hands,
)
from twohands.data.readers.contents import array_of, load_array, load_arrays, read_json
from twohands.data.readers.dexycb import read_shape, read_yaml
from twohands.files import depth_in_metres, read_depth, read_rgb
from twohands.geometry.camera import Camera
from twohands.geometry.transforms import rigid
from twohands.hands.mano import Convention, PlacedHand, Values
from twohands.types import LEFT, RIGHT, RGBDFrame, Sample

CONVENTIONS = {
    f"{pose} pose, {shape} left shape": Convention(pose == "flat", components=45, left_shape=shape, tips="mano")
    for shape in ("raw", "flip_x")
    for pose in ("mean", "flat")
}
"""Possible reference poses of the 45 components and shape bases of left hands [U]. Later releases of the data set's
program use the first [S]; an earlier one used the flat hand. Its layer is set to centre hands on the wrist, but does so
only without a translation: translations are those of MANO's origin."""
CONVENTION_FRAMES = 10
"""Number of frames, spread over the split, that decide between CONVENTIONS."""
DEPTH_UNIT = 1e-3
"""Metres per step of depth."""
EXTRINSICS = "extrinsics_20231014"
"""The calibration of the cameras; all recordings use the same one [S]."""
SUBJECTS = {
    "train": tuple(f"subject_{number}" for number in range(1, 8)),
    "validation": ("subject_8",),
    "test": ("subject_9",),
}
MISSING = -1
"""Placeholder for every number of an absent hand."""
_LISTS = {"train": "train", "validation": "valid", "test": "test"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    """Content of the label file of a frame; left hand first, camera frame."""

    intrinsics: np.ndarray  # (3, 3) pixels
    joints: np.ndarray  # (2, 21, 3) float64 metres

    def annotated(self, side: int) -> bool:
        """Return whether all joints of a hand are known."""
        joints = self.joints[side]
        return bool(np.isfinite(joints).all() and not (joints == MISSING).all(axis=1).any())

    def seen(self, side: int, camera: Camera) -> bool:
        """Return whether a hand is annotated and has at least one joint in the image."""
        if not self.annotated(side):
            return False
        pixels = camera.project(self.joints[side][self.joints[side, :, 2] > 0])
        return bool(((pixels > -0.5) & (pixels < (camera.width - 0.5, camera.height - 0.5))).all(axis=1).any())


class HOCap:
    """The frames of one split of a user's copy, of all eight cameras.

    A hand that has no joint in the picture counts as absent; the presence of a hand without annotation is unknown.

    The official split for hand poses is a list of single frames, `hocap_hpe.json`; `hocap_info.yaml` gives the meaning
    of its numbers. Both come with the data set's program, in its folder `config`. Where the copy has them (in its
    folder, in `config` there, or in `config` next to it), they are used. Otherwise whole subjects are held out: 8 is
    validation, 9 is test.
    """

    definition = "mano"

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split. Raise ValueError for an unknown split, FileNotFoundError when the folder has no HO-Cap, and
        DamagedFileError when the description of a recording or the list of a split cannot be read.
        """
        if split not in SUBJECTS:
            raise ValueError(f"HO-Cap has no split {split!r}; choose one of {', '.join(SUBJECTS)}")
        self.split, self.root = split, find_root(Path(root))
        official = official_list(self.root)
        if official is None:
            self.folders, self._rows = recorded_frames(self.root, split)
        else:
            self.folders, self._rows = listed_frames(self.root, *official, split)
        if not len(self._rows):
            raise FileNotFoundError(f"{self.root} has no recordings of {', '.join(SUBJECTS[split])}, split {split!r}")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken."""
        folder, number = self._place(index)
        colour = folder / f"color_{number:06d}.jpg"
        rgb = reading(colour, read_rgb)
        depth = reading(folder / f"depth_{number:06d}.png", lambda path: depth_in_metres(read_depth(path), DEPTH_UNIT))
        check_sizes(colour, rgb, depth=depth.shape)
        label = folder / f"label_{number:06d}.npz"
        labels = read_labels(label)
        camera = reading(label, lambda _: camera_of(labels.intrinsics, rgb.shape[1], rgb.shape[0]))
        left, right = (
            Hand(labels.joints[side], self.mesh_of(folder, number, side)) if labels.seen(side, camera) else None
            for side in (LEFT, RIGHT)
        )
        frame = RGBDFrame.from_arrays(rgb, depth, camera.K)
        identity = f"{folder.relative_to(self.root).as_posix()}/{number:06d}"
        known = [labels.annotated(side) for side in (LEFT, RIGHT)]
        return sample(frame, two_hands((left, right)), self.definition, identity, known=known)

    def mesh_of(self, folder: Path, number: int, side: int) -> PlacedHand | None:
        """Return a hand in the frame of a folder's camera; None without MANO's files, or if the hand has no values."""
        return self._mesh(folder, number, side, CONVENTIONS[self.convention])

    @cached_property
    def convention(self) -> str:
        """The key of CONVENTIONS that puts MANO's joints nearest to the labels'; it is logged.

        The first where nothing can be measured, as without MANO's files.
        """
        default = next(iter(CONVENTIONS))
        distances: dict[str, list[float]] = {name: [] for name in CONVENTIONS}
        for joints, meshes in self._some_hands():
            for name, mesh in meshes.items():
                if mesh is not None:
                    distances[name].append(float(np.linalg.norm(mesh.joints - joints, axis=1).mean()))
        if not distances[default]:
            return default
        nearest, means = nearest_of(distances)
        _log.info("HO-Cap: hands have %s; distance of MANO's joints from the labels': %s", nearest, means)
        return nearest

    def _some_hands(self) -> Iterator[tuple[np.ndarray, dict[str, PlacedHand | None]]]:
        """Yield joints (21, 3) of some annotated hands, and their meshes by each of CONVENTIONS."""
        for index in range(0, len(self), max(len(self) // CONVENTION_FRAMES, 1)):
            folder, number = self._place(index)
            with suppress(DamagedFileError):  # reported when the frame itself is read
                labels = read_labels(folder / f"label_{number:06d}.npz")
                for side in (LEFT, RIGHT):
                    if labels.annotated(side):
                        meshes = {name: self._mesh(folder, number, side, way) for name, way in CONVENTIONS.items()}
                        yield labels.joints[side], meshes

    def _mesh(self, folder: Path, number: int, side: int, convention: Convention) -> PlacedHand | None:
        values = read_values(folder.parent / "poses_m.npy", number, side)
        if (values == MISSING).all() or not np.isfinite(values).all():
            return None
        orientation, pose, translation = np.split(values, [3, 48])
        subject, mano = folder.parents[1].name, self.root / "calibration" / "mano"
        shape = read_shape(_existing(mano / f"{subject}.yaml", mano / subject / "mano.json"))
        hand = mano_hand_of(side, Values(orientation, pose, shape, translation), convention)
        return None if hand is None else hand.moved(self._camera_from_world(folder.name))

    def _camera_from_world(self, serial: str) -> np.ndarray:
        """Return T_camera_from_world (4, 4) in metres; the world is the frame of the tag on the table."""
        path, cameras = self._extrinsics
        camera, world = reading(path, lambda _: (_matrix(cameras[serial]), _matrix(cameras["tag_1"])))
        return np.linalg.inv(camera) @ world

    @cached_property
    def _extrinsics(self) -> tuple[Path, dict[str, Any]]:
        """The calibration file, and for each camera and tag the 12 numbers of its transform to a common camera."""
        folder = self.root / "calibration" / "extrinsics"
        path = _existing(folder / f"{EXTRINSICS}.yaml", folder / EXTRINSICS / "extrinsics.json")
        return path, reading(path, lambda path: _mapping(read_yaml(path)["extrinsics"]))

    def _place(self, index: int) -> tuple[Path, int]:
        """Return (folder of the camera, frame number)."""
        which, number = self._rows[index].tolist()
        return self.folders[which], number


def find_root(root: Path) -> Path:
    """Return the folder with the subjects: the given one, or a usual one below it."""
    for folder in (root, root / "datasets", root / "HO-Cap" / "datasets"):
        if any(folder.glob("subject_[1-9]")):
            return folder
    raise FileNotFoundError(
        f"{root} has no folders subject_1 to subject_9; unpack the archives of HO-Cap and give their parent"
    )


def official_list(root: Path) -> tuple[Path, Path] | None:
    """Return the list of frames and the file that explains its numbers, if the copy has both."""
    for folder in (root, root / "config", root.parent / "config"):
        frames, names = folder / "hocap_hpe.json", folder / "hocap_info.yaml"
        if frames.is_file() and names.is_file():
            return frames, names
    return None


def listed_frames(root: Path, frames: Path, names: Path, split: str) -> tuple[list[Path], np.ndarray]:
    """Return folders of cameras, and (N, 2) numbers of folder and frame, in the order of the official list."""

    def read_names(path: Path) -> tuple[Any, ...]:
        found = read_yaml(path)
        return tuple(found[name] for name in ("subject_ids", "sequence_ids", "device_serials"))

    def parse_rows(found: Any) -> np.ndarray:
        rows = np.array(found[_LISTS[split]])
        if rows.ndim != 2 or rows.shape[1] != 4 or rows.dtype.kind != "i":
            raise ValueError(f"{_LISTS[split]!r} is not a list of subject, recording, camera and frame numbers")
        return rows

    subjects, recordings, serials = reading(names, read_names)
    rows = read_json(frames, parse_rows)
    views, which = np.unique(rows[:, :3], axis=0, return_inverse=True)
    folders = reading(names, lambda _: [root / subjects[s] / recordings[r] / serials[c] for s, r, c in views.tolist()])
    return folders, np.stack([which.reshape(-1), rows[:, 3]], axis=1)


def recorded_frames(root: Path, split: str) -> tuple[list[Path], np.ndarray]:
    """Return folders of cameras, and (N, 2) numbers of folder and frame, for all frames of a split's subjects."""
    folders, counts = [], []
    for subject in SUBJECTS[split]:
        for recording in sorted(path for path in (root / subject).glob("*") if path.is_dir()):
            serials, frames = read_meta(_existing(recording / "meta.yaml", recording / "meta.json"))
            folders += [recording / serial for serial in serials]
            counts += [frames] * len(serials)
    rows = [np.stack([np.full(count, which), np.arange(count)], axis=1) for which, count in enumerate(counts)]
    return folders, np.concatenate(rows or [np.zeros((0, 2), dtype=np.int64)])


def read_meta(path: Path) -> tuple[list[str], int]:
    """Return serial numbers of a recording's fixed cameras, and its number of frames. Raise DamagedFileError."""

    def read(path: Path) -> tuple[list[str], int]:
        meta = read_yaml(path)
        serials, frames = _mapping(meta["realsense"])["serials"], meta["num_frames"]
        if not isinstance(serials, list) or not all(isinstance(serial, str) for serial in serials):
            raise ValueError(f"serials are {serials!r}, expected a list of the cameras")
        if not isinstance(frames, str) or not frames.isdigit():
            raise ValueError(f"num_frames is {frames!r}, expected a whole number")
        return serials, int(frames)

    return reading(path, read)


def read_labels(path: Path) -> Labels:
    """Return the arrays cam_K and hand_joints_3d of a label file. Raise DamagedFileError."""

    def read(path: Path) -> Labels:
        intrinsics, joints = load_arrays(path, "cam_K", "hand_joints_3d")
        if intrinsics.shape != (3, 3) or joints.shape != (2, 21, 3):
            raise ValueError(
                f"cam_K has shape {intrinsics.shape} and hand_joints_3d {joints.shape}; expected (3, 3), (2, 21, 3)"
            )
        return Labels(intrinsics.astype(np.float64), joints[::-1].astype(np.float64))

    return reading(path, read)


def read_values(path: Path, number: int, side: int) -> np.ndarray:
    """Return (51,) float64 of a hand in the world frame: wrist axis-angle, 45 components, translation in metres; all
    MISSING for an absent hand. Raise DamagedFileError.
    """

    def read(path: Path) -> np.ndarray:
        values = load_array(path, mmap_mode="r")
        if values.ndim != 3 or values.shape[0] != 2 or values.shape[2] != 51 or values.shape[1] <= number:
            raise ValueError(f"has shape {values.shape}, expected (2, frames, 51) with a frame {number}")
        return np.array(values[1 - side, number], dtype=np.float64)

    return reading(path, read)


def _matrix(numbers: Any) -> np.ndarray:
    """Return (4, 4) from the 12 numbers of its upper rows."""
    rows = array_of(numbers, 12).reshape(3, 4)
    return rigid(rows[:, :3], rows[:, 3])


def _mapping(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ValueError(f"{found!r} is not a mapping")
    return found


def _existing(published: Path, former: Path) -> Path:
    """Return `published`, or the file of the first release, `former`, if only that one exists."""
    return former if former.is_file() and not published.is_file() else published
