"""Records of the package: frames, hands, samples and network outputs. Metres, radians, pixels; OpenCV camera frame.

An `Array` is a NumPy array in the product and a torch tensor in training. `*B` means any leading batch dimensions.
Two hands are one axis of length 2: index LEFT = 0, RIGHT = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from twohands import arrays, files
from twohands.findings import Finding
from twohands.geometry.camera import Camera
from twohands.geometry.record import Array, TensorRecord
from twohands.geometry.transforms import matrix_from_axis_angle, rigid
from twohands.intrinsics import read_intrinsics

LEFT, RIGHT = 0, 1
"""Index of each hand along every axis of two hands."""
SIDE_NAMES = ("left", "right")
PRESENT = 0.5
"""Smallest presence of a hand that is present."""
TRUSTED = 0.5
"""Smallest confidence of a hand that is not doubtful."""


@dataclass(frozen=True)
class RGBDFrame(TensorRecord):
    """One colour image with registered depth, or a batch of them."""

    NOT_STACKED: ClassVar[frozenset[str]] = frozenset({"findings", "depth_unit"})

    rgb: Array  # (*B, 3, H, W) in [0, 1], red first
    depth: Array  # (*B, H, W) metres along +z, 0 = no reading
    camera: Camera
    findings: tuple[Finding, ...] = ()  # what was noticed, and done, when the frame was read
    depth_unit: float | None = None  # metres of one step of the depth as it was read, None where nobody knows

    @staticmethod
    def from_arrays(
        rgb: np.ndarray,
        depth: np.ndarray,
        K: Any,
        depth_unit: float | None = None,
        depth_registered: bool = False,
        mirrored: bool = False,
    ) -> RGBDFrame:
        """Return a frame from arrays; its findings say what was changed.

        rgb: (H, W, 3) uint8, red first.
        depth: (H, W), registered to the colour image, 0 = no reading.
        K: (3, 3) pixels, or any other input of `intrinsics.read_intrinsics`. Lens distortion that comes with it is
            undone.
        depth_unit: length in metres of one depth step; by default 1 for floats, and for integers the depth scale that
            comes with K, or 0.001.
        depth_registered: depth of another size and the same aspect already shows the colour camera's view; scale it.
        mirrored: colour, depth and K are of a mirrored image; undo it.

        Raise ValueError with the fix when shapes, types or intrinsics are wrong.
        """
        rgb = arrays.checked_colour(rgb)
        height, width = rgb.shape[:2]
        depth, intrinsics = np.asarray(depth), read_intrinsics(K)
        unit = intrinsics.unit_of(depth, depth_unit)
        metres, markers = arrays.without_markers(files.depth_in_metres(depth, unit), depth, unit)
        metres, scaling = arrays.in_size_of_colour(metres, width, height, depth_registered)
        camera = Camera(intrinsics.of_image(width, height), width, height)
        rgb, metres, findings = arrays.through_pinhole(rgb, metres, camera, intrinsics.lens)
        findings = [*markers, *scaling, *findings]
        if mirrored:
            rgb, metres, camera, mirroring = arrays.unmirrored(rgb, metres, camera)
            findings += mirroring
        scaled = np.divide(rgb.transpose(2, 0, 1), np.float32(255), dtype=np.float32, order="C")
        return RGBDFrame(scaled, metres, camera, tuple(findings), unit)

    @staticmethod
    def open(
        rgb: str | Path,
        depth: str | Path,
        intrinsics: str | Path | Any,
        depth_unit: float | None = None,
        depth_registered: bool = False,
        mirrored: bool = False,
    ) -> RGBDFrame:
        """Return a frame from files: colour as PNG or JPEG, depth as 16-bit PNG, TIFF, .npy or .npz.

        The intrinsics may be a file or any other input of `intrinsics.read_intrinsics`; the options are those of
        `from_arrays`. Raise FileNotFoundError or ValueError with the file and the fix.
        """
        colour, measured = files.read_rgb(rgb), files.read_depth(depth)
        return RGBDFrame.from_arrays(colour, measured, intrinsics, depth_unit, depth_registered, mirrored)

    def rgb_uint8(self) -> np.ndarray:
        """Return the colour image as (H, W, 3) uint8, for pictures."""
        planes = np.asarray(self.rgb)
        picture = np.empty((*planes.shape[1:], 3), dtype=np.uint8)
        for top in range(0, len(picture), 32):  # some rows of one plane at a time stay in the processor's cache
            for channel, plane in enumerate(planes[:, top : top + 32]):
                picture[top : top + 32, :, channel] = np.clip(plane * 255 + 0.5, 0, 255)
        return picture


class Presence:
    """Mixin for records with the presence of both hands."""

    present: Array

    @property
    def is_present(self) -> Array:
        """Presence as (*B, 2) bool."""
        return self.present >= PRESENT

    @property
    def present_sides(self) -> list[int]:
        """Sides that are present in a single frame: LEFT, RIGHT, both or neither."""
        return np.flatnonzero(np.asarray(self.present) >= PRESENT).tolist()


SURE_ONE_SIDE = 2.0
"""Log-odds of each of two hands of one side, read without each other, above which predicted joints are believed to be
of one side; so is one of 152 pairs of one person of validation frames."""


@dataclass(frozen=True)
class OneSide:
    """The suspicion that both located hands are of one side, and so of two people."""

    side: int  # LEFT or RIGHT
    odds: (
        np.ndarray
    )  # (2,) log-odds, from the colour image, that each of the located hands is another person's of this side
    kept: int  # the located hand that is kept if they are
    finding: Finding  # what is reported then

    @property
    def is_sure(self) -> bool:
        """True when hands whose joints are known are believed to be of one side without a look at their fits."""
        return bool(np.min(self.odds) > SURE_ONE_SIDE)


@dataclass(frozen=True)
class LocatedHands(Presence, TensorRecord):
    """Locations of both hands in the image. An absent hand has presence 0; its other values are not used, but for
    `pixels` where both are absent, see `LightLocator.choose`.
    """

    present: Array  # (2,) in [0, 1]
    pixels: Array  # (2, 21, 2) landmarks (u, v) in the image
    relative: Array  # (2, 21, 3) metres about any common point; x right, y down, z away along the ray to the hand
    region: Array  # (2, 4) square around the hand: centre u, v, side in pixels, angle in radians (0 = points up)
    side_odds: Array  # (2,) log-odds, from the colour image, that the hand has the side it was given
    findings: tuple[Finding, ...] = ()  # about hands of several people
    one_side: OneSide | None = None
    joints: Array | None = None  # (2, 21, 3) metres, camera frame, where a network predicts them
    sigma: Array | None = None  # (2, 21, 2) metres: their standard deviation along and across the viewing ray
    clear: Array | None = None  # (2,) in [0, 1]: weight of the landmarks beside these joints


@dataclass(frozen=True)
class HandParameters(TensorRecord):
    """Parameters of the hand model for two hands; T_camera_from_wrist combines rotation and translation."""

    pose: Array  # (*B, 2, 15, 3) axis-angle relative to the rest pose, radians, each joint in its hand's wrist axes
    shape: Array  # (*B, 2, S) standard deviations
    rotation: Array  # (*B, 2, 3) axis-angle, radians
    translation: Array  # (*B, 2, 3) metres

    @property
    def T_camera_from_wrist(self) -> Array:
        """Transforms (*B, 2, 4, 4): p_camera = T_camera_from_wrist @ p_wrist, homogeneous, metres."""
        return rigid(matrix_from_axis_angle(self.rotation), self.translation)


@dataclass(frozen=True)
class Quality(TensorRecord):
    """Agreement of each hand with the measured depth, and how far to trust it; see `fitting.quality`."""

    depth_residual: Array  # (*B, 2) metres, median |mesh - measured|; NaN when nothing could be compared
    depth_support: Array  # (*B, 2) fraction of visible vertices within 10 mm of the measured depth
    fitted: Array  # (*B, 2) bool: the hand was fitted to the depth; false: landmarks only
    energy: Array | None = None  # (*B, 2) remaining energy of the fit, see `fitting.energy`; NaN for an absent hand
    confidence: Array | None = None  # (*B, 2) in [0, 1]: probability that the mean joint error is below 20 mm
    sigma: Array | None = None  # (*B, 2, 21, 2) metres: standard deviation of every joint along and across its ray
    infilled: Array | None = None  # (*B, 2) bool: the hand was not seen in this frame, only before or after it


@dataclass(frozen=True)
class TwoHands(Presence, TensorRecord):
    """Two hand surfaces in the camera frame, index 0 = left, 1 = right. Predictions and targets have this type."""

    NOT_STACKED: ClassVar[frozenset[str]] = frozenset({"findings", "examined"})

    vertices: Array | None  # (*B, 2, V, 3) metres; None where only joints are known
    joints: Array  # (*B, 2, 21, 3) metres
    present: Array  # (*B, 2) in [0, 1]: the hand exists (not: it is labelled)
    parameters: HandParameters | None = None
    quality: Quality | None = None
    findings: tuple[Finding, ...] = ()
    examined: bool = False  # the costly checks of `checks.examiner` were made

    @property
    def status(self) -> list[str]:
        """Status of each hand of a single frame: 'absent', 'fitted' (to the depth), 'unfitted', or 'infilled' (seen
        only in earlier or later frames).
        """
        names = ["absent", "absent"]
        for side in self.present_sides:
            names[side] = "unfitted"
            if self.quality is not None and self.quality.fitted[side]:
                names[side] = "fitted"
            elif self.quality is not None and self.quality.infilled is not None and self.quality.infilled[side]:
                names[side] = "infilled"
        return names

    @property
    def doubtful(self) -> np.ndarray:
        """Bool (2,): present hands of a single frame whose confidence is below 0.5."""
        if self.quality is None or self.quality.confidence is None:
            return np.zeros(2, dtype=bool)
        return np.asarray(self.present >= PRESENT) & (np.asarray(self.quality.confidence) < TRUSTED)


def no_hands() -> TwoHands:
    """Return a record for a frame without hands."""
    return TwoHands(None, np.zeros((2, 21, 3), np.float32), np.zeros(2, np.float32))


@dataclass(frozen=True)
class KeyPoints(TensorRecord):
    """Joints found in the image before they are assigned to hands."""

    heat_logits: Array  # (B, 42, h, w) the joints of the left hand, then those of the right one
    pixels: Array  # (B, T, 2) peaks of these maps, pixels of the image
    identity_logits: Array  # (B, T, 43) class of each peak: one of the 42 joints, or none (last)


@dataclass(frozen=True)
class NetworkOutput(TensorRecord):
    """The output of a network for a batch of frames: everything that a loss compares."""

    hands: TwoHands
    stages: tuple[TwoHands, ...]  # coarse -> fine, the decoder's mesh levels below the full mesh
    center_logits: Array | None  # (B, 2, h, w) heat map of each hand's centre
    mask_logits: Array | None  # (B, 2, h, w) visible pixels of each hand
    root: Array  # (B, 2, 3) metres, camera frame: joint 9 (middle knuckle); vertices - root are root-relative
    key_points: KeyPoints | None = None


@dataclass(frozen=True)
class Sample(TensorRecord):
    """One frame with its ground truth."""

    frame: RGBDFrame
    hands: TwoHands
    masks: Array | None  # (*B, 2, H, W) bool, visible pixels of each hand
    visibility: Array | None  # (*B, 2, 21) in [0, 1], fraction of the joint's surroundings that the camera sees
    visible_fraction: Array | None  # (*B, 2) in [0, 1], fraction of the hand's pixels that nothing else hides
    joint_definition: str  # joints and finger tips of the labels; a key of skeleton.JOINT_DEFINITIONS
    id: str
    presence_known: Array | None = None  # (*B, 2) bool: `present` is a label; None: always
    meshes_known: Array | None = None  # (*B, 2) bool: vertices are labels, not fill; None: all
    masks_known: Array | None = None  # (*B, 2) bool: masks are labels, not fill; None: all

    @property
    def hand_model(self) -> str | None:
        """Hand model of the meshes, None without meshes; both models have 778 vertices, in different places."""
        if self.hands.vertices is None:
            return None
        return "free" if self.joint_definition == "free" else "mano"


class Frames(Protocol):
    """Samples that are accessed by index."""

    def __getitem__(self, index: int, /) -> Sample: ...


class Dataset(Frames, Protocol):
    """The interface of a data set: a fixed number of frames with ground truth, as NumPy arrays."""

    def __len__(self) -> int: ...
