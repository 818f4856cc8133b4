"""HOI4D (Liu et al. 2022): a head-mounted RGB-D camera sees persons handle objects, mostly with the right hand.

Metres, OpenCV camera. Labels are values of MANO about the flat hand, one file for each frame and hand. Frames without
any are left out. If one hand has a file, the other counts as absent, though most sequences label the right hand alone
and a left one may be in the picture [U]. There are no 3D joints: they are computed from MANO, whose files are needed.
The data set's `kps2D` are not read, since their order is uncertain [U]. The shape basis of left hands is taken to be
the raw one of MANO's file [U].

The data set's motion segmentation covers the forearm as well [S], so a hand's mask is the part of it that its mesh
covers. If a frame has no segmentation, or its category no class for a hand, the mask is drawn from the mesh alone.

Colour and depth come as videos. The reader needs the images that the data set's script utils/decode.py writes beside
them, and skips sequences without: align_rgb/%05d.jpg and align_depth/%05d.png, counted from 0. Sequences and
annotations are in HOI4D_release and HOI4D_annotations, as in the archives [S], or both in the root.

The official list of test sequences has no hand labels. The splits are therefore this package's own: objects with a
number N that ends in 0 are test, in 9 validation, each with all its sequences.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from twohands.data.readers.common import (
    ContradictionError,
    Hand,
    camera_of,
    check_sizes,
    mano_hand_of,
    reading,
    require_mano,
    sample,
    two_hands,
)
from twohands.data.readers.contents import load_array, named_numbers
from twohands.data.readers.extracted import extraction, image
from twohands.files import depth_in_metres, read_depth, read_rgb
from twohands.hands.mano import Convention, Values
from twohands.hands.mano_files import read_pickle
from twohands.types import LEFT, RIGHT, SIDE_NAMES, RGBDFrame, Sample

CONVENTION = Convention(flat_hand_mean=True, left_shape="raw", tips="mano")
DEPTH_UNIT = 1e-3
"""Metres per step of depth."""
SPLITS = {"train": "12345678", "validation": "9", "test": "0"}
"""Last digits of object numbers by split."""
RIGHT_CLASS = 2
"""Class of the right hand in the segmentation of every category."""
LEFT_CLASSES = {"C8": 6, "C17": 6, "C20": 3}
"""Class of the left hand, in the categories that have one."""
CLASS_COLOURS = {2: (0, 128, 0), 3: (128, 128, 0), 6: (0, 128, 128)}
"""RGB colours of the classes of hands; in some categories an object has class 3."""
_SEQUENCES = "ZY*/H*/C*/N*/S*/s*/T*"  # camera, person, category, object, room, layout, task
_SEGMENTATIONS = ("shift_mask", "mask")  # for cameras 2 to 4, which needed a shift, and for camera 1 [S]


class HOI4D:
    """The labelled frames of one split of a user's copy with extracted videos."""

    definition = "mano"

    def __init__(self, root: str | Path, split: str = "train"):
        """Open a split. Raise ValueError for an unknown split, and FileNotFoundError with the fix without MANO's files,
        in a folder without HOI4D, and when no video of the split is extracted.
        """
        if split not in SPLITS:
            raise ValueError(f"HOI4D has no split {split!r}; choose one of {', '.join(SPLITS)}")
        require_mano("HOI4D")
        self.split, self.root = split, find_root(Path(root))
        self._release, self._annotated = (_part(self.root, name) for name in ("HOI4D_release", "HOI4D_annotations"))
        self._poses = [self.root / "handpose" / f"refinehandpose_{name}" for name in SIDE_NAMES]
        self.frames = self._frames()

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        """Return one frame; raise DamagedFileError when one of its files is missing or broken."""
        place, number = self.frames[index]
        folder = self._release / place
        colours, depths = folder / "align_rgb", folder / "align_depth"
        if not (image(colours, 0, ".jpg").is_file() and image(depths, 0, ".png").is_file()):
            raise ContradictionError(
                f"{folder} has not both images 00000, so they may be numbered from 1, one frame off their labels; "
                f"remove them and extract them again: {_commands(folder)}",
                folder,
            )
        colour = image(colours, number, ".jpg")
        rgb = reading(colour, read_rgb)
        depth = reading(image(depths, number, ".png"), lambda path: depth_in_metres(read_depth(path), DEPTH_UNIT))
        classes = self._segmentation(place, number)
        sizes = {} if classes is None else {"segmentation": classes.shape}
        check_sizes(colour, rgb, depth=depth.shape, **sizes)
        intrinsics = self.root / "camera_params" / place.split("/")[0] / "intrin.npy"
        K = reading(intrinsics, lambda path: camera_of(load_array(path), rgb.shape[1], rgb.shape[0]).K)
        frame = RGBDFrame.from_arrays(rgb, depth, K)
        left, right = (self._hand(side, place, number) for side in (LEFT, RIGHT))
        known = left is not None, right is not None  # a hand without labels may be in the picture
        room = None if classes is None else hand_masks(classes, place.split("/")[2])
        identity = f"{place}/{number:05d}"
        return sample(frame, two_hands((left, right)), self.definition, identity, room=room, known=known)

    def _hand(self, side: int, place: str, number: int) -> Hand | None:
        for name in (str(number), f"{number:05d}"):
            path = self._poses[side] / place / f"{name}.pickle"
            if path.is_file():
                mesh = mano_hand_of(side, read_values(path), CONVENTION)
                assert mesh is not None  # the constructor has checked MANO's files
                return Hand(mesh.joints, mesh)
        return None

    def _segmentation(self, place: str, number: int) -> np.ndarray | None:
        """Return (H, W) uint8: classes of hands, 0 elsewhere; None if the sequence has no segmentation."""
        for name in _SEGMENTATIONS:
            path = image(self._annotated / place / "2Dseg" / name, number, ".png")
            if path.is_file():
                return reading(path, read_classes)
        return None

    def _frames(self) -> list[tuple[str, int]]:
        """Return (place of the sequence, frame number) of every frame with a labelled hand."""
        places = {path.relative_to(poses).as_posix() for poses in self._poses for path in poses.glob(_SEQUENCES)}
        chosen = sorted(place for place in places if place.split("/")[3][-1] in SPLITS[self.split])
        frames = []
        for place in chosen:
            if any((self._release / place / "align_rgb").glob("*.jpg")):
                names = [path.stem for poses in self._poses for path in (poses / place).glob("*.pickle")]
                frames += [(place, number) for number in sorted({int(name) for name in names if name.isdigit()})]
        if frames:
            return frames
        for folder in (self._release / place for place in chosen):
            if (folder / "align_rgb" / "image.mp4").is_file():
                raise FileNotFoundError(
                    "the frames of HOI4D are still videos; extract them with its utils/decode.py, or each: "
                    f"{_commands(folder)}"
                )
        raise FileNotFoundError(
            f"{self.root} has no sequence of split {self.split!r} with files in handpose and images in align_rgb; "
            "unpack more of HOI4D"
        )


def find_root(root: Path) -> Path:
    """Return the folder with `handpose`: the given one, or HOI4D below it."""
    for folder in (root, root / "HOI4D"):
        if any(folder.glob("handpose/refinehandpose_*")):
            return folder
    raise FileNotFoundError(
        f"{root} has no handpose/refinehandpose_right; unpack the hand poses of HOI4D beside HOI4D_release, "
        "HOI4D_annotations and camera_params, and give their parent"
    )


def read_values(path: Path) -> Values:
    """Return MANO's values of a hand, camera frame. Raise DamagedFileError."""

    def read(path: Path) -> Values:
        with path.open("rb") as stream:
            found = read_pickle(stream, str(path))
        sizes = {"poseCoeff": 48, "beta": 10, "trans": 3}
        pose, shape, translation = (named_numbers(found, name, size) for name, size in sizes.items())
        return Values(pose[:3], pose[3:], shape, translation)

    return reading(path, read)


def read_classes(path: Path) -> np.ndarray:
    """Return (H, W) uint8: the classes of hands in a segmentation, 0 elsewhere."""
    rgb = read_rgb(path)
    classes = np.zeros(rgb.shape[:2], dtype=np.uint8)
    for number, colour in CLASS_COLOURS.items():
        classes[(rgb == np.array(colour, dtype=np.uint8)).all(axis=-1)] = number
    return classes


def hand_masks(classes: np.ndarray, category: str) -> np.ndarray:
    """Return (2, H, W) bool: where the segmentation of a category allows each hand and its forearm."""
    left = LEFT_CLASSES.get(category)
    return np.stack([np.ones(classes.shape, dtype=bool) if left is None else classes == left, classes == RIGHT_CLASS])


def _commands(folder: Path) -> str:
    colour, depth = folder / "align_rgb" / "image.mp4", folder / "align_depth" / "depth_video.avi"
    return extraction("-vf fps=15", (colour, ".jpg"), (depth, ".png"))


def _part(root: Path, name: str) -> Path:
    return root / name if (root / name).is_dir() else root
