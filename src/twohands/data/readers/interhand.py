"""InterHand2.6M v1.0 at 5 frames a second (Moon et al. 2020): one or two bare hands, seen by many fixed cameras.

No depth: it is 0 everywhere, which means no reading. On disk joints are millimetres in the world of a capture, right
hand first, each finger from tip to palm and the wrist last; samples are metres in the camera's frame in the standard
order. Meshes are MANO fitted to the joints (NeuralAnnot), about 5 mm off them [S]: world, metres, about the mean pose,
left shape basis repaired. A frame has meshes when every hand of it was fitted. InterHand2.6M has no masks: they are
drawn from the meshes.

`hand_type` names the hands that a picture shows. A sample cannot have unknown hands or joints, so a frame is left out
of every split when a hand that it shows is not annotated in all 21 joints, and when `hand_type_valid` marks the type as
uncertain, unless both hands are annotated. The number of such frames is logged. The data set's own evaluation scores
the remaining joints of such hands, so metrics of the split `test` are not exactly the published ones. Some pictures
show a hand that their `hand_type` does not name [S]; they cannot be recognised.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from twohands.data.readers.common import (
    DamagedFileError,
    Hand,
    camera_of,
    check_sizes,
    mano_hand_of,
    reading,
    sample,
    two_hands,
)
from twohands.data.readers.contents import named_numbers, read_json
from twohands.files import read_rgb
from twohands.geometry.transforms import rigid
from twohands.hands.mano import Convention, PlacedHand, Values
from twohands.hands.skeleton import JOINT_ORDERS
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame, Sample

CONVENTION = Convention(flat_hand_mean=False, left_shape="flip_x")
UNIT = 1e-3
"""Metres per step of joints and camera positions; the fitted hands are in metres."""
HAND_TYPES = {"left": (LEFT,), "right": (RIGHT,), "interacting": (LEFT, RIGHT)}
"""Hands that a picture shows, by `hand_type`."""
_FOLDERS = {"train": "train", "validation": "val", "test": "test"}
_SLACK = 1e-3  # tolerance for the orthonormality of a rotation matrix
_log = logging.getLogger(__name__)

Moment = tuple[int, int]
"""(capture, frame number): identifies the frames that all cameras take at once."""


@dataclass(frozen=True, slots=True)
class View:
    """One entry of the data file: a picture."""

    file: str  # below images/train, images/val or images/test
    moment: Moment
    camera: str
    width: int  # pixels
    height: int
    sides: tuple[int, ...]  # the hands that it shows
    sides_known: bool  # True if there are surely no others
    annotated: tuple[bool, bool]  # by side: True if all joints are annotated


@dataclass(frozen=True)
class Joints:
    """Both hands at a moment, left first, standard order."""

    points: np.ndarray  # (2, 21, 3) float64 metres, world
    annotated: tuple[bool, bool]  # by side: True if all joints are annotated


@dataclass(frozen=True)
class WorldCamera:
    """A camera of a capture: p_camera = rotation @ (p_world - position)."""

    rotation: np.ndarray  # (3, 3)
    position: np.ndarray  # (3,) metres, world
    intrinsics: np.ndarray  # (4,) fx, fy, cx, cy, pixels

    def see(self, points: np.ndarray) -> np.ndarray:
        """Return points (..., 3) of the world in the camera's frame, metres."""
        return (points - self.position) @ self.rotation.T

    def see_hand(self, hand: PlacedHand) -> PlacedHand:
        """Return a hand of the world in the camera's frame."""
        return hand.moved(rigid(self.rotation, -self.rotation @ self.position))


class InterHand:
    """The frames of one split of a user's copy; the splits are the official ones.

    The description of train lists 1.3 million pictures [S]: opening it takes a minute or two and about 6 GB of memory.
    """

    definition = "annotated"

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split. Raise ValueError for an unknown split, FileNotFoundError when the folder has no InterHand2.6M,
        and DamagedFileError when the annotations cannot be read or contradict each other.
        """
        if split not in _FOLDERS:
            raise ValueError(f"InterHand2.6M has no split {split!r}; choose one of {', '.join(_FOLDERS)}")
        self.split = split
        self.root = find_root(Path(root), _FOLDERS[split])
        listed, cameras, joints, fits = annotation_files(self.root, _FOLDERS[split])
        views = read_views(listed)
        self._camera_file = cameras
        self.cameras = read_cameras(cameras)
        self.joints = read_joints(joints)
        self.values = read_values(fits) if fits.is_file() else {}
        _require({view.moment for view in views}, self.joints, joints, "capture and frame")
        _require({(view.moment[0], view.camera) for view in views}, self.cameras, cameras, "capture and camera")
        self.frames = [view for view in views if is_known(view, self.joints[view.moment])]
        _log.info(
            "%s: left out %d of %d pictures whose hands are not wholly annotated",
            *(listed, len(views) - len(self.frames), len(views)),
        )
        if not self.frames:
            raise FileNotFoundError(f"{listed} has {len(views)} pictures, none of them wholly annotated")

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken."""
        view = self.frames[index]
        camera = self.cameras[view.moment[0], view.camera]
        colour = self.root / "images" / _FOLDERS[self.split] / view.file
        rgb = reading(colour, read_rgb)
        check_sizes(colour, rgb, description=(view.height, view.width))
        intrinsics = reading(self._camera_file, lambda _: camera_of(camera.intrinsics, view.width, view.height))
        frame = RGBDFrame.from_arrays(rgb, np.zeros(rgb.shape[:2], dtype=np.float32), intrinsics.K)
        left, right = (self._hand(side, view, camera) if side in view.sides else None for side in (LEFT, RIGHT))
        identity = f"{_FOLDERS[self.split]}/{view.file.removesuffix('.jpg')}"
        return sample(frame, two_hands((left, right)), self.definition, identity)

    def _hand(self, side: int, view: View, camera: WorldCamera) -> Hand:
        joints = camera.see(self.joints[view.moment].points[side])
        values = self.values.get(view.moment, (None, None))[side]
        mesh = None if values is None else mano_hand_of(side, values, CONVENTION)
        return Hand(joints, None if mesh is None else camera.see_hand(mesh))


def find_root(root: Path, part: str) -> Path:
    """Return the folder with images and annotations of a part (train, val, test): the given or a usual one below it."""
    for folder in (root, root / "InterHand2.6M", root / "InterHand2.6M_5fps_batch1"):
        if annotation_files(folder, part)[0].is_file():
            return folder
    listed = annotation_files(Path(), part)[0].as_posix()
    raise FileNotFoundError(
        f"{root} has no {listed}; unpack the 5 fps pictures and annotations of InterHand2.6M v1.0 and give the folder "
        "with images and annotations"
    )


def is_known(view: View, joints: Joints) -> bool:
    """Return whether the presence of both hands and all joints of present hands are known, see the module."""
    annotated = all(view.annotated[side] and joints.annotated[side] for side in view.sides)
    return annotated and (view.sides_known or len(view.sides) == 2)


def annotation_files(root: Path, part: str) -> tuple[Path, Path, Path, Path]:
    """Return the files that describe the pictures, cameras, joints and fitted hands of a part."""
    start = root / "annotations" / part / f"InterHand2.6M_{part}"
    data, camera, joints, fits = (
        start.with_name(f"{start.name}_{name}.json") for name in ("data", "camera", "joint_3d", "MANO_NeuralAnnot")
    )
    return data, camera, joints, fits


def read_views(path: Path) -> list[View]:
    """Return the pictures of a data file in its order. Raise DamagedFileError."""

    def parse(found: Any) -> list[View]:
        images = {image["id"]: image for image in found["images"]}
        listed = found["annotations"]
        annotated = _flagged(np.array([one["joint_valid"] for one in listed], dtype=np.int8)).tolist()
        views = []
        for one, (left, right) in zip(listed, annotated, strict=True):
            image = images[one["image_id"]]
            views.append(
                View(
                    file=image["file_name"],
                    moment=(int(image["capture"]), int(image["frame_idx"])),
                    camera=str(image["camera"]),
                    width=int(image["width"]),
                    height=int(image["height"]),
                    sides=HAND_TYPES[one["hand_type"]],
                    sides_known=bool(one["hand_type_valid"]),
                    annotated=(left, right),
                )
            )
        return views

    return read_json(path, parse)


def read_cameras(path: Path) -> dict[tuple[int, str], WorldCamera]:
    """Return the cameras by capture and name. Raise DamagedFileError."""

    def parse(found: Any) -> dict[tuple[int, str], WorldCamera]:
        cameras = {}
        for capture, of_capture in found.items():
            for name in of_capture["campos"]:
                position, rotation, focal, centre = (
                    named_numbers(of_capture[kind], name, count)
                    for kind, count in (("campos", 3), ("camrot", 9), ("focal", 2), ("princpt", 2))
                )
                rotation = rotation.reshape(3, 3)
                if not np.allclose(rotation @ rotation.T, np.eye(3), atol=_SLACK) or np.linalg.det(rotation) < 0:
                    raise ValueError(f"camrot of capture {capture}, camera {name} is not a rotation")
                cameras[int(capture), name] = WorldCamera(rotation, position * UNIT, np.concatenate([focal, centre]))
        return cameras

    return read_json(path, parse)


def read_joints(path: Path) -> dict[Moment, Joints]:
    """Return the joints of every moment. Raise DamagedFileError."""
    order = list(JOINT_ORDERS["interhand"])

    def parse(found: Any) -> dict[Moment, Joints]:
        moments = {}
        for capture, of_capture in found.items():
            for frame, one in of_capture.items():
                points = named_numbers(one, "world_coord", 126, finite=False).reshape(2, 21, 3)
                points = points[::-1, order]  # left first
                left, right = _flagged(named_numbers(one, "joint_valid", 42))[0] & np.isfinite(points).all(axis=(1, 2))
                moments[int(capture), int(frame)] = Joints(points * UNIT, (bool(left), bool(right)))
        return moments

    return read_json(path, parse)


def read_values(path: Path) -> dict[Moment, tuple[Values | None, Values | None]]:
    """Return MANO values of every moment in the world, by side; None: not fitted. Raise DamagedFileError."""

    def parse(found: Any) -> dict[Moment, tuple[Values | None, Values | None]]:
        moments = {}
        for capture, of_capture in found.items():
            for frame, one in of_capture.items():
                left, right = (_values(one[side]) if one.get(side) else None for side in SIDE_NAMES)
                moments[int(capture), int(frame)] = (left, right)
        return moments

    return read_json(path, parse)


def _values(found: Any) -> Values:
    sizes = {"pose": 48, "shape": 10, "trans": 3}
    pose, shape, translation = (named_numbers(found, name, size) for name, size in sizes.items())
    return Values(pose[:3], pose[3:], shape, translation)


def _flagged(joint_valid: np.ndarray) -> np.ndarray:
    """Return (N, 2) bool, left first: all joints are annotated; from N times 42 flags `joint_valid`, right first."""
    return np.all(joint_valid.reshape(-1, 2, 21) != 0, axis=2)[:, ::-1]


def _require(wanted: set[Any], known: dict[Any, Any], path: Path, what: str) -> None:
    """Raise DamagedFileError unless the file at `path` has every entry that the list of pictures names."""
    missing = sorted(wanted - known.keys())
    if missing:
        raise DamagedFileError(
            f"{path} lacks {len(missing)} entries that the list of pictures names, the first is {what} {missing[0]}; "
            "copy the annotations from the data set again",
            path,
        )
