"""The 21 joints: names, bones and colours; and the 16 articulated joints of the hand models.

Order everywhere: wrist, then thumb, index, middle, ring, little, each from palm to tip.
"""

from __future__ import annotations

FINGER_NAMES = ("thumb", "index", "middle", "ring", "little")
JOINT_NAMES = (
    "wrist",
    *("thumb_cmc", "thumb_mcp", "thumb_ip", "thumb_tip"),
    *(f"{finger}_{part}" for finger in FINGER_NAMES[1:] for part in ("mcp", "pip", "dip", "tip")),
)
NUM_JOINTS = 21
WRIST, MIDDLE_KNUCKLE = 0, 9
ROOT = MIDDLE_KNUCKLE  # the paper's root joint
KNUCKLES = (5, 9, 13, 17)
PALM = [WRIST, *KNUCKLES]
"""The joints that no finger moves, as an index."""
FINGERTIPS = (4, 8, 12, 16, 20)
PARENTS = (-1, *(0 if part == 0 else 4 * finger + part for finger in range(5) for part in range(4)))
BONES = tuple((parent, joint) for joint, parent in enumerate(PARENTS) if parent >= 0)

# the 16 joints that rotate: the wrist and three per finger
NUM_ARTICULATED = 16
ARTICULATED_PARENTS = (-1, *(0 if part == 0 else 3 * finger + part for finger in range(5) for part in range(3)))
# joint i of the 21 is entry JOINTS_FROM_ARTICULATED[i] of (16 articulated joints, 5 finger tips)
JOINTS_FROM_ARTICULATED = (
    0,
    *(index for finger in range(5) for index in (3 * finger + 1, 3 * finger + 2, 3 * finger + 3, 16 + finger)),
)

FINGER_COLORS = ((230, 80, 60), (245, 190, 60), (90, 190, 90), (70, 140, 235), (180, 90, 210))
"""sRGB of each finger's bones in pictures, thumb to little."""
SIDE_COLORS = ((222, 92, 88), (82, 178, 110))
"""sRGB of the left and of the right hand in pictures."""
PALE = 0.6
"""Fraction of white in the colour of a doubtful hand."""

FINGERTIP_VERTICES = {
    "mano": ((745, 317, 445, 556, 673), (745, 317, 444, 556, 673)),
    "ho3d": ((744, 333, 444, 555, 672),) * 2,
    "freihand": ((744, 320, 443, 555, 672),) * 2,
    "hot3d": ((744, 320, 443, 554, 671),) * 2,
    "contactpose": ((745, 333, 444, 555, 672),) * 2,
}
"""Vertices of MANO that data sets use as finger tips, thumb to little, of the left and of the right hand. The choices
differ by 2 to 6 mm. `mano` is the table of manopth, which H2O, DexYCB and others use."""
JOINT_DEFINITIONS = {
    "free": "joint centres and finger-tip vertices of the free hand",
    **{name: f"MANO's joints and the finger-tip vertices {name!r}" for name in FINGERTIP_VERTICES},
    "annotated": "key points as the data set has them, not tied to a mesh",
}

JOINT_ORDERS = {
    "mano": (0, 13, 14, 15, 16, 1, 2, 3, 17, 4, 5, 6, 18, 10, 11, 12, 19, 7, 8, 9, 20),
    "rhd": (0, 4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13, 20, 19, 18, 17),
    "interhand": (20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16),
}
"""Orders of the 21 joints in other sources: joints = theirs[order] and theirs = joints[argsort(order)].

`mano`: 16 joints in MANO's order (index, middle, little, ring, thumb), then the tips from thumb to little; HO-3D and
H2O-3D. `rhd`: wrist, then each finger from tip to palm. `interhand`: as `rhd`, but the wrist comes last."""


def side_color(side: int, doubtful: bool = False) -> tuple[int, int, int]:
    """Return the sRGB colour of a hand in pictures, of 0 to 255; that of a doubtful hand is pale."""
    white = PALE if doubtful else 0.0
    red, green, blue = (round(value + white * (255 - value)) for value in SIDE_COLORS[side])
    return red, green, blue
