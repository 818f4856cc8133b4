"""ContactPose (Brahmbhatt et al. 2020): one or both hands hold an object still or turn it; three Kinects.

Metres, the object's frame, left hand first. A recording is one grasp: the joints of each hand are the same in all its
frames, and so is MANO's pose, which the data set fitted to them (15 principal components about the mean pose, raw
shape basis of the left hand, joints with the finger-tip vertices `contactpose`). A hand that moves on the object moves
as a rigid whole. Masks are drawn from the meshes.

The pictures of the three cameras are stored upright, turned by 90 or 180 degrees from the images of the sensors; the
calibration belongs to the sensors. Samples are in the OpenCV frame of the turned camera. The data set turns by W - u
for a width W, where integer pixel centres would need W - 1 - u; which of the two its calibration means is uncertain
[U]. That depth is registered to colour is second-hand [S].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

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
from twohands.data.readers.contents import array_of, read_json
from twohands.files import depth_in_metres, read_depth, read_rgb
from twohands.geometry.transforms import rigid
from twohands.hands.mano import Convention, Values
from twohands.types import LEFT, RIGHT, RGBDFrame, Sample

COMPONENTS = 15
"""Principal components of the fit that is read; the second fit of each grasp has 10 and is not used."""
CONVENTION = Convention(flat_hand_mean=False, components=COMPONENTS, left_shape="raw", tips="contactpose")
DEPTH_UNIT = 1e-3
"""Metres per step of depth."""
LONG, SHORT = 960, 540
"""Sides of a picture in pixels."""
TURNS = {
    "kinect2_left": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "kinect2_middle": np.array([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]]),
    "kinect2_right": np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
}
"""Rotations from the frame of a sensor to that of its stored picture."""
INTENTS = ("use", "handoff")
PARTICIPANTS = {
    "train": tuple(number for number in range(1, 51) if number % 5),
    "validation": tuple(range(5, 51, 10)),
    "test": tuple(range(10, 51, 10)),
}
_NO_GRASPS = ("palm_print", "hands")
"""Folders of other recordings beside those of the objects."""


@dataclass(frozen=True)
class View:
    """The pictures of a grasp by one camera."""

    folder: Path  # of the grasp
    camera: str
    frames: int


@dataclass(frozen=True)
class Placement:
    """Annotations of one frame seen by one sensor."""

    intrinsics: np.ndarray  # (3, 3) pixels, of the sensor
    joints: tuple[np.ndarray | None, np.ndarray | None]  # (21, 3) metres, in each hand's own frame; None: no such hand
    T_sensor_from_hand: np.ndarray  # (2, 4, 4) metres


@dataclass(frozen=True)
class Fit:
    """MANO's values of a hand, and the transform to the hand's own frame."""

    values: Values  # without translation: the wrist stays at MANO's position, which is not the origin
    T_hand_from_mano: np.ndarray  # (4, 4) metres


class ContactPose:
    """The frames of one split of a user's copy, of all cameras; grasps without pictures in the copy are skipped.

    There is no official split for hand poses. Of the 50 participants, numbers that end in 5 are validation and numbers
    that end in 0 are test, with all their grasps.
    """

    definition = "contactpose"

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split. Raise ValueError for an unknown split, FileNotFoundError when the folder has no pictures of it,
        and DamagedFileError when the annotations of a grasp cannot be read.
        """
        if split not in PARTICIPANTS:
            raise ValueError(f"ContactPose has no split {split!r}; choose one of {', '.join(PARTICIPANTS)}")
        self.split, self.root = split, find_root(Path(root))
        self.views = [view for folder in _grasp_folders(self.root, split) for view in read_views(folder)]
        self._ends = np.cumsum([view.frames for view in self.views])
        if not len(self):
            raise FileNotFoundError(
                f"{self.root} has no pictures of split {split!r}; download images of participants "
                f"{', '.join(map(str, PARTICIPANTS[split]))}, or of some of them"
            )

    def __len__(self) -> int:
        return int(self._ends[-1]) if self.views else 0

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken."""
        view, number = self._place(index)
        colour, distance = (
            view.folder / "images_full" / view.camera / kind / f"frame{number:03d}.png" for kind in ("color", "depth")
        )
        rgb = reading(colour, read_rgb)
        depth = reading(distance, lambda path: depth_in_metres(read_depth(path), DEPTH_UNIT))
        turn = TURNS[view.camera]
        height, width = (LONG, SHORT) if turn[0, 1] else (SHORT, LONG)  # turned by a quarter, or by half
        check_sizes(colour, rgb, depth=depth.shape, intrinsics=(height, width))
        annotations = view.folder / "annotations.json"
        placement = read_placement(annotations, view.camera, number)
        matrix = turned_intrinsics(placement.intrinsics, turn, width, height)
        camera = reading(annotations, lambda _: camera_of(matrix, width, height))
        frame = RGBDFrame.from_arrays(rgb, depth, camera.K)
        hands = two_hands(_hands(view.folder, placement, turn))
        identity = f"{view.folder.relative_to(self.root).as_posix()}/{view.camera}/{number:03d}"
        return sample(frame, hands, self.definition, identity)

    def _place(self, index: int) -> tuple[View, int]:
        """Return (camera of a grasp, frame number)."""
        which, number = place_in(self._ends, index)
        return self.views[which], number


def find_root(root: Path) -> Path:
    """Return the folder with full1_use, full1_handoff, ...: the given one, or a usual one below it."""
    for folder in (root, root / "contactpose_data", root / "data" / "contactpose_data"):
        if any((folder / f"full{number}_{intent}").is_dir() for number in range(1, 51) for intent in INTENTS):
            return folder
    raise FileNotFoundError(
        f"{root} has no folders full1_use to full50_handoff; download grasps and images of ContactPose, and give its "
        "folder contactpose_data"
    )


def _grasp_folders(root: Path, split: str) -> list[Path]:
    """Return the grasps of a split's participants that have pictures in the copy."""
    sessions = [root / f"full{number}_{intent}" for number in PARTICIPANTS[split] for intent in INTENTS]
    found = [folder for session in sessions for folder in sorted(session.glob("*"))]
    return [folder for folder in found if folder.name not in _NO_GRASPS and (folder / "images_full").is_dir()]


def turned_intrinsics(intrinsics: np.ndarray, turn: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return intrinsics (3, 3) of the stored picture, width x height, from the sensor's; `turn` is one of TURNS.

    The image turns with the camera, and is shifted by its size along axes that change their sign.
    """
    place = turn.copy()
    place[:2, 2] = (turn[:2] < 0).any(axis=1) * np.array([width, height])
    return place @ intrinsics @ turn.T


def _hands(folder: Path, placement: Placement, turn: np.ndarray) -> tuple[Hand | None, Hand | None]:
    """Return both hands in the frame of the stored picture's camera, with the meshes that the data set has fitted."""
    fits = read_fits(folder / f"mano_fits_{COMPONENTS}.json")
    hands: list[Hand | None] = [None, None]
    for side in (LEFT, RIGHT):
        joints, fit = placement.joints[side], fits[side]
        if joints is None:
            continue
        T_camera_from_hand = rigid(turn, np.zeros(3)) @ placement.T_sensor_from_hand[side]
        placed = None if fit is None else mano_hand_of(side, fit.values, CONVENTION)
        mesh = None if fit is None or placed is None else placed.moved(T_camera_from_hand @ fit.T_hand_from_mano)
        hands[side] = Hand(joints @ T_camera_from_hand[:3, :3].T + T_camera_from_hand[:3, 3], mesh)
    return hands[LEFT], hands[RIGHT]


def read_views(folder: Path) -> list[View]:
    """Return the cameras of a grasp that are valid and have pictures in the copy. Raise DamagedFileError."""

    def parse(found: Any) -> list[View]:
        frames = len(found["frames"])
        cameras = {name: camera for name, camera in found["cameras"].items() if camera["valid"]}
        unknown = sorted(set(cameras) - set(TURNS))
        if unknown:
            raise ValueError(f"has the cameras {', '.join(unknown)}, known are {', '.join(TURNS)}")
        return [View(folder, name, frames) for name in sorted(cameras) if (folder / "images_full" / name).is_dir()]

    return read_json(folder / "annotations.json", parse)


def read_placement(path: Path, camera: str, number: int) -> Placement:
    """Return the content of annotations.json for one frame and camera. Raise DamagedFileError."""

    def parse(found: Any) -> Placement:
        calibration, frame = found["cameras"][camera], found["frames"][number]
        fx, fy, cx, cy = (float(calibration["K"][name]) for name in ("fx", "fy", "cx", "cy"))
        T_sensor_from_object = np.linalg.inv(_pose(frame["oTw"]) @ _pose(calibration["wTc"]))
        joints: list[np.ndarray | None] = [None, None]
        transforms = np.stack([T_sensor_from_object] * 2)
        for side in (LEFT, RIGHT):
            hand = found["hands"][side]
            if not hand["valid"]:
                continue
            joints[side] = array_of(hand["joints"], 21, 3)
            if hand["moving"]:  # otherwise the hand's frame is the object's
                transforms[side] = T_sensor_from_object @ np.linalg.inv(_pose(frame["hTo"][side]))
        intrinsics = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        return Placement(intrinsics, (joints[LEFT], joints[RIGHT]), transforms)

    return read_json(path, parse)


def read_fits(path: Path) -> tuple[Fit | None, Fit | None]:
    """Return MANO's values of both hands of a grasp; None for a hand without a fit. Raise DamagedFileError."""

    def parse(found: Any) -> tuple[Fit | None, Fit | None]:
        return _fit(found[LEFT]), _fit(found[RIGHT])

    return read_json(path, parse)


def _fit(found: Any) -> Fit | None:
    if not found["valid"]:
        return None
    orientation, pose = np.split(array_of(found["pose"], 3 + COMPONENTS), [3])
    values = Values(orientation, pose, array_of(found["betas"], 10), np.zeros(3))
    return Fit(values, np.linalg.inv(_pose(found["mTc"])))


def _pose(found: Any) -> np.ndarray:
    """Return (4, 4) of a translation in metres and a quaternion wxyz; a name aTb means a transform from b to a."""
    w, *xyz = array_of(found["rotation"], 4)
    return rigid(Rotation.from_quat([*xyz, w]).as_matrix(), array_of(found["translation"], 3))
