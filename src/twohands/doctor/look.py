"""`Look`: the measurements that the doctor keeps of a recording, in constant memory."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from twohands.checks.around_hand import stands_out
from twohands.checks.colour import skin_redness
from twohands.checks.edges import depth_edges
from twohands.checks.hands_seen import SeenHand, hand_pixels, seen_hands
from twohands.checks.recording import ODD, hand_sizes, sized
from twohands.checks.timing import DepthTiming
from twohands.findings import Finding
from twohands.geometry.camera import Camera
from twohands.hands import HandModel
from twohands.overlay import draw_overlay
from twohands.types import RIGHT, RGBDFrame, TwoHands
from twohands.views import view_within

PEOPLE = ("more_than_two_hands", "hands_of_two_people", "two_hands_of_one_side")
"""Findings about hands of several people."""
BIN, BINS = 0.01, 1000
"""Width in metres, and number, of the bins in which depth is counted."""
EXAMPLE_WIDTH = 640
"""Longest side of the pictures of an example, pixels."""
EDGE = (60, 255, 60)
"""Colour of depth edges in pictures."""


@dataclass(frozen=True)
class Example:
    """Pictures (h, w, 3) uint8 of one frame."""

    name: str
    edges: np.ndarray  # grey, with the edges of depth
    overlay: np.ndarray  # colour, with the hands
    interest: int  # number of its warnings and hands


@dataclass
class Look:
    """Observations in the frames examined, and the time stamps of all frames."""

    model: HandModel
    findings: list[tuple[str, tuple[Finding, ...]]] = field(default_factory=list)
    """Name and findings of every frame looked at, also of those that could not be read."""
    found: list[np.ndarray] = field(default_factory=list)
    """Presence (2,) bool of the hands in every frame that could be read."""
    both_sides: int = 0
    """Number of frames with a left and a right hand, and no other."""
    doubtful: int = 0
    """Number of hands with a confidence below 0.5."""
    cameras: list[Camera] = field(default_factory=list)
    depth_units: set[float] = field(default_factory=set)
    hands: list[SeenHand] = field(default_factory=list)
    redness: list[float] = field(default_factory=list)
    """Logarithm of red over blue of every hand's skin."""
    sizes: list[np.ndarray] = field(default_factory=list)
    """Sizes (2,) of the hands of every frame relative to a mean hand, NaN where they are not known."""
    seconds: list[float | None] = field(default_factory=list)
    """Time stamps of all frames."""
    timing: DepthTiming = field(default_factory=DepthTiming)
    depth_counts: np.ndarray = field(default_factory=lambda: np.zeros((2, BINS), np.int64))
    """Number of readings by distance: of all of them, and of those on hands."""
    unmeasured: list[float] = field(default_factory=list)
    """Fraction of every image without a reading."""

    def see(self, frame: RGBDFrame, hands: TwoHands) -> list[SeenHand]:
        """Keep what is to be said of a frame and its hands, and return how the hands are seen."""
        depth = np.asarray(frame.depth)
        self.cameras.append(frame.camera)
        if frame.depth_unit is not None:
            self.depth_units.add(frame.depth_unit)
        self.unmeasured.append(float(np.mean(depth == 0)))
        self._count(0, depth[::4, ::4])
        self.found.append(np.asarray(hands.is_present, bool))
        self.both_sides += len(hands.present_sides) == 2 and not any(f.code in PEOPLE for f in hands.findings)
        self.doubtful += int(np.sum(hands.doubtful))
        self.redness += skin_redness(frame, hands).tolist()
        for side in hands.present_sides:
            column, row = hand_pixels(frame, hands, side).T
            self._count(1, depth[row, column])
        joints, odd = np.asarray(hands.joints, np.float64), np.zeros(2, bool)
        apart = np.array([side for side in hands.present_sides if _stands_out(frame, joints[side])], int)
        if hands.quality is not None:
            rest = np.asarray(self.model(self.model.neutral()).joints)[RIGHT]
            sizes = np.full(2, np.nan)
            sizes[apart] = hand_sizes(joints[apart], rest)
            odd = np.abs(np.log(sizes)) >= np.log(ODD)
            usable = sized(hands.present, hands.quality.fitted, hands.quality.depth_support)
            self.sizes.append(np.where(usable, sizes, np.nan))
        seen = seen_hands(frame, hands, apart.tolist(), odd)
        self.hands += seen
        return seen

    def _count(self, row: int, depth: np.ndarray) -> None:
        bins = np.minimum(depth[depth > 0] / BIN, BINS - 1).astype(np.int64)
        self.depth_counts[row] += np.bincount(bins, minlength=BINS)


def _stands_out(frame: RGBDFrame, joints: np.ndarray) -> bool:
    return stands_out(frame.camera.project(joints), np.asarray(frame.depth), float(np.median(joints[:, 2])))


def example_of(name: str, frame: RGBDFrame, hands: TwoHands, faces: np.ndarray, warnings: int) -> Example:
    """Return the pictures of a frame, scaled down to EXAMPLE_WIDTH."""
    small = view_within(frame, EXAMPLE_WIDTH)
    return Example(name, draw_edges(small), draw_overlay(small, hands, faces), 10 * warnings + len(hands.present_sides))


def draw_edges(frame: RGBDFrame) -> np.ndarray:
    """Return the colour image in grey (H, W, 3) uint8 with the edges of depth drawn on it."""
    grey = np.asarray(Image.fromarray(frame.rgb_uint8()).convert("L"))
    picture = np.repeat((40 + 0.7 * grey).astype(np.uint8)[..., None], 3, axis=2)
    picture[depth_edges(np.asarray(frame.depth)).weights > 0.5] = EDGE
    return picture
