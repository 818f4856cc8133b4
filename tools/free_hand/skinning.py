"""Joint names and linear blend skinning, in the convention of the shipped model (the same as MANO's)."""

from dataclasses import dataclass

import numpy as np

from .numerics import Array, rotation_about

FINGERS = ("thumb", "index", "middle", "ring", "little")
JOINT_NAMES = ("wrist", *(f"{finger}{number}" for finger in FINGERS for number in (1, 2, 3)))
PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
NUM_JOINTS = len(PARENTS)
MIDDLE_KNUCKLE = JOINT_NAMES.index("middle1")
KNUCKLES = (4, 7, 10, 13)  # index to little


def finger_of(joint: int) -> int:
    """Return the finger of a joint, 0 thumb to 4 little; the wrist has none."""
    return (joint - 1) // 3


def distal_joint(finger: int) -> int:
    """Return the last joint of a finger, 0 thumb to 4 little."""
    return 3 * finger + 3


@dataclass(frozen=True)
class HandShape:
    """One hand: its surface, joints and the ends of its finger bones, in metres."""

    vertices: Array  # (V, 3)
    joints: Array  # (16, 3)
    tips: Array  # (5, 3)

    def bone_ends(self) -> Array:
        """Return bone ends (16, 3): the next joint or the tip; the wrist points to the middle knuckle."""
        ends = np.concatenate([self.joints[[MIDDLE_KNUCKLE]], self.joints[1:]])
        for joint in range(1, NUM_JOINTS):
            ends[joint] = self.tips[finger_of(joint)] if joint % 3 == 0 else self.joints[joint + 1]
        return ends

    def moved(self, rotation: Array, origin: Array, scale: float = 1.0) -> "HandShape":
        """Return the hand with points scale * rotation @ (p - origin)."""
        parts = (scale * (part - origin) @ rotation.T for part in (self.vertices, self.joints, self.tips))
        return HandShape(*parts)

    def posed(self, weights: Array, rotations: Array, stretches: Array | None = None) -> "HandShape":
        """Skin the hand by `weights` (V, 16), local `rotations` (16, 3, 3) and earlier `stretches` (16, 3, 3)."""
        maps = bone_maps(rotations, stretches)
        joints = posed_joints(self.joints, maps)
        vertices = skin(self.vertices, self.joints, weights, maps)
        last = [distal_joint(finger) for finger in range(len(FINGERS))]
        tips = joints[last] + np.einsum("fij,fj->fi", maps[last], self.tips - self.joints[last])
        return HandShape(vertices, joints, tips)


def bone_maps(rotations: Array, stretches: Array | None = None) -> Array:
    """Return the linear part (16, 3, 3) of every bone's motion from local rotations and stretches (16, 3, 3)."""
    chained = rotations.copy()
    for joint in range(1, NUM_JOINTS):
        chained[joint] = chained[PARENTS[joint]] @ rotations[joint]
    return chained if stretches is None else chained @ stretches


def posed_joints(joints: Array, maps: Array) -> Array:
    """Return positions (16, 3) of the rest `joints` (16, 3) under `maps` (16, 3, 3)."""
    posed = joints.copy()
    for joint in range(1, NUM_JOINTS):
        parent = PARENTS[joint]
        posed[joint] = posed[parent] + maps[parent] @ (joints[joint] - joints[parent])
    return posed


def skin(vertices: Array, joints: Array, weights: Array, maps: Array) -> Array:
    """Return vertices (V, 3), each moved by the average of the bones with `weights` (V, 16)."""
    offsets = posed_joints(joints, maps) - np.einsum("jab,jb->ja", maps, joints)
    blended = weights @ np.concatenate([maps, offsets[..., None]], axis=-1).reshape(NUM_JOINTS, 12)
    blended = blended.reshape(-1, 3, 4)
    return np.einsum("vab,vb->va", blended[..., :3], vertices) + blended[..., 3]


def anatomical_rotations(angles: Array, frames: Array) -> Array:
    """Return local rotations (*B, 16, 3, 3): abduction @ flexion @ twist.

    `angles` (*B, 16, 3) radians relative to the rest pose: flexion, abduction, twist;
    `frames` (16, 3, 3) has their axes as columns.
    """
    flexion, abduction, twist = (rotation_about(frames[..., axis], angles[..., axis]) for axis in range(3))
    return abduction @ flexion @ twist
