"""Check labelled hands against the measured depth and against anatomy: pure functions that return findings.

Most checks use one value, `fit`: the fraction of a hand's joints that are just behind the depth measured at their
pixels. Without depth much less can be detected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from twohands.geometry.camera import Camera
from twohands.hands.skeleton import BONES, FINGERTIPS, JOINT_ORDERS, KNUCKLES, MIDDLE_KNUCKLE, WRIST
from twohands.types import RIGHT

BEHIND_SURFACE = (-0.02, 0.04)
"""Range, in metres, of a visible joint's depth behind the measured surface: half a finger, and annotation errors."""
HAND_SPREAD = 0.045
"""RMS distance in metres from an average hand's joints to their centre; fists and open hands are within 1.6 times."""
WRONG_SPREAD = 2.5
FACTORS = (0.001, 0.01, 0.1, 0.25, 4.0, 10.0, 100.0, 1000.0)
"""Ratios of units in use: metres, centimetres, millimetres, and 0.1 and 0.25 mm to 1 mm."""
BONE_LENGTHS = {"wrist to thumb": (0.008, 0.085), "wrist to knuckle": (0.045, 0.14), "finger": (0.006, 0.07)}
"""Metres of a bone, from children's to large men's hands; joint positions of data sets differ by centimetres."""
WRONG_BONES = 0.12
"""Fraction of a hand's bones of wrong length from which its joint order is wrong; a random order gives a quarter."""
SHORTER = 0.95
"""Factor on the length of all bones below which a reordering is right; the three of JOINT_ORDERS, applied to right
bones, make them 1.07 to 1.5 times as long."""
CLEAR, ENOUGH_HANDS = 0.2, 3
"""Sine, or fraction of a palm's length, from which a hand shows its side, and the number of such hands needed."""


@dataclass(frozen=True)
class Finding:
    """A fault of a copy."""

    kind: str  # a word or two, for programs
    text: str  # one sentence: the observation and the fix


@dataclass(frozen=True)
class View:
    """One labelled hand and the measured depth; metres, camera frame."""

    joints: np.ndarray  # (21, 3)
    depth: np.ndarray  # (H, W)
    camera: Camera


@dataclass(frozen=True)
class Explanation:
    """A common fault of copies and readers, and its inverse."""

    kind: str
    text: str
    undo: Callable[[View], View]


def _axes(*signs: float) -> Callable[[View], View]:
    return lambda view: replace(view, joints=view.joints * np.array(signs))


def _other_unit(factor: float) -> Callable[[View], View]:
    return lambda view: replace(view, depth=view.depth / np.float32(factor))


def _transposed(view: View) -> View:
    swapped = np.array(view.camera.K)
    swapped[:2, 2], swapped[[0, 1], [0, 1]] = swapped[1::-1, 2].copy(), swapped[[1, 0], [1, 0]]
    return replace(view, camera=replace(view.camera, K=swapped))


EXPLANATIONS = (
    Explanation(
        "camera axes",
        "the joints lie behind the camera: they are in OpenGL's axes; negate y and z of joints, and turn MANO's values",
        _axes(1, -1, -1),
    ),
    Explanation(
        "camera axes",
        "the hands are upside down against the measured depth: their y axis points up; negate y of the joints",
        _axes(1, -1, 1),
    ),
    Explanation(
        "mirror",
        "the joints fall beside the hands, but fit the mirrored images: colour and depth were mirrored; take the "
        "original images",
        lambda view: replace(view, depth=view.depth[:, ::-1]),
    ),
    Explanation(
        "intrinsics",
        "the joints fit when x and y of the intrinsics change places: the matrix is transposed, or cx and cy are "
        "exchanged; write fx fy cx cy in this order",
        _transposed,
    ),
    *(
        Explanation(
            "depth unit",
            f"the measured depth is {factor:g} times what the joints say: it is in another unit than the data set's; "
            f"take the original depth images, or divide theirs by {factor:g}",
            _other_unit(factor),
        )
        for factor in FACTORS
    ),
)


def check_unit(hands: Sequence[np.ndarray]) -> tuple[list[Finding], float]:
    """Check the size of hands (21, 3); return findings and the factor by which hands are too large (1: they fit)."""
    spreads = [np.sqrt(((joints - joints.mean(axis=0)) ** 2).sum(axis=1).mean()) for joints in hands]
    ratio = float(np.median(spreads)) / HAND_SPREAD
    if 1 / WRONG_SPREAD < ratio < WRONG_SPREAD:
        return [], 1.0
    factor = min(FACTORS, key=lambda factor: abs(np.log(ratio / factor)) if ratio > 0 else 0.0)
    text = (
        f"hands are {ratio:.3g} times as large as hands are: joints are not in metres; divide them by {factor:g} "
        "on reading, or take the original labels"
    )
    return [Finding("joint unit", text)], factor


def check_order(hands: Sequence[np.ndarray]) -> list[Finding]:
    """Check the order of joints of hands (21, 3), metres: in a wrong order the bones are longer in total. The finding
    names the entry of JOINT_ORDERS that makes them shorter.
    """
    lengths = {
        name: np.median([bone_lengths(joints[list(order)]).sum() / bone_lengths(joints).sum() for joints in hands])
        for name, order in JOINT_ORDERS.items()
    }
    shortest = min(lengths, key=lengths.__getitem__)
    reordered = [wrong_bones(joints[list(JOINT_ORDERS[shortest])]) for joints in hands]
    if lengths[shortest] < SHORTER and np.median(reordered) < WRONG_BONES:
        text = f"bones connect wrong joints: these are in the order {shortest!r} of skeleton.JOINT_ORDERS; reorder them"
        return [Finding("joint order", text)]
    if np.median([wrong_bones(joints) for joints in hands]) < WRONG_BONES:
        return []
    text = "bones between joints are too long or too short: the joints are in an unknown order; find it and reorder"
    return [Finding("joint order", text)]


def bone_lengths(joints: np.ndarray) -> np.ndarray:
    """Return bone lengths (..., 20) of joints (..., 21, 3), metres."""
    parents, ends = np.array(BONES).T
    return np.linalg.norm(joints[..., ends, :] - joints[..., parents, :], axis=-1)


def wrong_bones(joints: np.ndarray) -> float:
    """Return the fraction of the 20 bones of a hand (21, 3), metres, that are too long or too short."""
    low, high = np.array([_range_of(parent, joint) for parent, joint in BONES]).T
    lengths = bone_lengths(joints)
    return float(((lengths < low) | (lengths > high)).mean())


def _range_of(parent: int, joint: int) -> tuple[float, float]:
    if parent != WRIST:
        return BONE_LENGTHS["finger"]
    return BONE_LENGTHS["wrist to thumb" if joint == 1 else "wrist to knuckle"]


def fit(view: View) -> float:
    """Return the fraction of the 21 joints within BEHIND_SURFACE of the depth at their pixel or, without any depth, as
    in data sets of colour alone, the fraction inside the image.
    """
    ahead = view.joints[:, 2] > 0.05
    pixels = view.camera.project(np.where(ahead[:, None], view.joints, 1.0))
    columns, rows = (np.floor(pixels + 0.5).clip(-1, 2**30)).astype(np.int64).T
    inside = ahead & (columns >= 0) & (columns < view.camera.width) & (rows >= 0) & (rows < view.camera.height)
    if not view.depth.any():
        return float(inside.mean())
    measured = view.depth[np.where(inside, rows, 0), np.where(inside, columns, 0)]
    gap = view.joints[:, 2] - measured
    low, high = BEHIND_SURFACE
    return float((inside & (measured > 0) & (gap > low) & (gap < high)).mean())


def check_sides(
    hands: Mapping[tuple[int, int], np.ndarray], turns: Mapping[tuple[int, int], np.ndarray]
) -> list[Finding]:
    """Check that left hands are left; hands (21, 3) and, with MANO, rotations camera from wrist, by (index, side)."""
    signs = [
        handedness(joints, turns.get(key)) * (1 if key[1] == RIGHT else -1) for key, joints in hands.items()
    ]  # positive: as labelled
    clear = [sign for sign in signs if abs(sign) > CLEAR]
    if len(clear) < ENOUGH_HANDS or np.mean(np.array(clear) < 0) < 0.7:
        return []
    by = "thumb side against the palm's normal" if turns else "the side to which fingers bend"
    text = (
        f"{sum(s < 0 for s in clear)} of {len(clear)} hands are of the other side by {by}: left and right are swapped"
    )
    return [Finding("sides", f"{text} (or images and labels both mirrored); exchange them on reading")]


def handedness(joints: np.ndarray, turn: np.ndarray | None = None) -> float:
    """Return a value above 0 for a right hand, below for a left one, near 0 if unclear; joints (21, 3), metres.

    With the rotation camera from wrist (3, 3) of a mesh it is the sine by which the index finger is on the right hand's
    side of the mesh's back. Without, it is the bend of the fingers, which is to the palm, in palm lengths.
    """
    index, little = (joints[knuckle] - joints[WRIST] for knuckle in (KNUCKLES[0], KNUCKLES[-1]))
    ahead = joints[MIDDLE_KNUCKLE] - joints[WRIST]
    if turn is None:
        normal = np.cross(index, little)  # to the palm of a right hand
        normal = normal / max(float(np.linalg.norm(normal)), 1e-9)
        bend = joints[list(FINGERTIPS[1:])] - joints[list(KNUCKLES)]
        return float((bend @ normal).mean() / max(float(np.linalg.norm(ahead)), 1e-9))
    across = index - little
    lengths = np.linalg.norm(across) * np.linalg.norm(ahead)
    return float(across @ np.cross(turn[:, 1], ahead) / max(float(lengths), 1e-9))
