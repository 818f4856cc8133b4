"""Compute anatomical axes of the joints, rest angles, limits, and the finger-tip and pulp vertices.

Angles are flexion, abduction and twist in radians. Zero is a straight finger along the palm's +z axis; angles of the
thumb are relative to the template. Flexion is positive towards the palm, abduction positive towards the thumb.
"""

import numpy as np

from .cutting import HandMesh
from .makehuman import Indices
from .meshes import ray_length
from .numerics import Array, unit
from .skinning import FINGERS, KNUCKLES, NUM_JOINTS, PARENTS, HandShape, distal_joint

DORSAL = np.array([0.0, 1.0, 0.0])
DISTAL = np.array([0.0, 0.0, 1.0])

# Depth of joint centres under the skin of the back of the hand. The values put the centres roughly on the joint axes of
# real fingers; they are this package's choice, not taken from a publication.
DEPTH_SHARE_OF_THICKNESS = {1: 0.50, 3: 0.46, **{joint: 0.46 for base in KNUCKLES for joint in (base + 1, base + 2)}}
DEPTH_SHARE_OF_HAND_LENGTH = dict(zip(KNUCKLES, np.array([9.5, 9.5, 9.0, 8.0]) / 187, strict=True))

TIP_WEIGHT = 0.9  # smallest skinning weight of the last bone on vertices of the finger tip
PULP_POSITION = 0.68  # position of the finger pads' contact on the last bone, from its joint, as a fraction


def along_bones(directions: Array, dorsal: Array) -> Array:
    """Return joint frames (16, 3, 3), columns flexion, abduction and twist axis.

    The twist axis is the bone's direction (16, 3), the abduction axis is `dorsal` (16, 3) made perpendicular to it.
    """
    twist = unit(directions)
    abduction = unit(dorsal - twist * (dorsal * twist).sum(-1, keepdims=True))
    return np.stack([np.cross(abduction, twist), abduction, twist], axis=-1)


def first_frames(template: HandShape, mesh: HandMesh) -> Array:
    """Return joint frames (16, 3, 3) with the nail's dorsal direction, mixed with the hand's towards the palm."""
    dorsal = np.tile(DORSAL, (NUM_JOINTS, 1))
    for finger, nail in enumerate(nail_directions(template, mesh)):
        base, middle, last = range(3 * finger + 1, 3 * finger + 4)
        is_thumb = finger == 0
        dorsal[base] = nail if is_thumb else unit(nail + DORSAL)
        dorsal[middle] = nail if is_thumb else unit(nail + 0.5 * DORSAL)
        dorsal[last] = nail
    return along_bones(template.bone_ends() - template.joints, dorsal)


def nail_directions(template: HandShape, mesh: HandMesh) -> Array:
    """Return unit normals (5, 3) of the nails, thumb to little."""
    corners = template.vertices[mesh.hand_quads[mesh.nail_quads]]  # (N, 4, 3)
    normals = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    to_tips = np.linalg.norm(corners.mean(1)[:, None] - template.tips, axis=-1)
    nearest = to_tips.argmin(1)
    return np.stack([unit(normals[nearest == finger].sum(0)) for finger in range(len(FINGERS))])


def centered_joints(hand: HandShape, mesh: HandMesh, frames: Array, length: float) -> Array:
    """Return joints (16, 3) shifted along their dorsal axis to the depth in real fingers; `length` of the hand."""
    joints = hand.joints.copy()
    for joint in (*DEPTH_SHARE_OF_THICKNESS, *DEPTH_SHARE_OF_HAND_LENGTH):
        dorsal = DORSAL if joint == 1 else frames[joint, :, 1]
        above, below = (ray_length(joints[joint], way, hand.vertices, mesh.hand_faces) for way in (dorsal, -dorsal))
        if joint in DEPTH_SHARE_OF_HAND_LENGTH:
            wanted = DEPTH_SHARE_OF_HAND_LENGTH[joint] * length
        else:
            wanted = DEPTH_SHARE_OF_THICKNESS[joint] * (above + below)
        if np.isfinite(above) and np.isfinite(wanted):
            joints[joint] += dorsal * (above - wanted)
    return joints


def rest_angles(hand: HandShape, frames: Array) -> Array:
    """Return anatomical angles (16, 3) of the template; zero for the wrist and, by definition, for the thumb."""
    directions = unit(hand.bone_ends() - hand.joints)
    angles = np.zeros((NUM_JOINTS, 3))
    for joint in range(KNUCKLES[0], NUM_JOINTS):
        flexion_axis, abduction_axis, _ = frames[joint].T
        straight = DISTAL if joint in KNUCKLES else directions[PARENTS[joint]]
        bent = directions[joint]
        angles[joint, 0] = np.arctan2(np.cross(straight, bent) @ flexion_axis, straight @ bent)
        if joint in KNUCKLES:
            in_palm = unit(bent - abduction_axis * (bent @ abduction_axis))
            angles[joint, 1] = np.arctan2(np.cross(DISTAL, in_palm) @ abduction_axis, in_palm @ DISTAL)
    return angles


def joint_limits() -> Array:
    """Return lowest and highest anatomical angles (16, 3, 2) in radians."""
    wrist = [(-75, 75), (-25, 35), (-80, 80)]
    thumb = [
        [(-20, 45), (-30, 35), (-25, 25)],
        [(-10, 60), (-10, 10), (-8, 8)],
        [(-20, 85), (-4, 4), (-4, 4)],
    ]
    degrees = [wrist, *thumb]
    for abduction in [(-20, 25), (-20, 20), (-25, 18), (-35, 18)]:  # index to little
        degrees.append([(-30, 95), abduction, (-8, 8)])
        degrees.append([(-8, 110), (-3, 3), (-3, 3)])
        degrees.append([(-12, 85), (-3, 3), (-3, 3)])
    return np.radians(np.array(degrees, np.float64))


def tip_vertices(hand: HandShape, weights: Array) -> Indices:
    """Return the vertices (5,) at which the axis of the last finger bone leaves the surface."""
    tips = []
    for finger, tip in enumerate(hand.tips):
        joint = distal_joint(finger)
        candidates = np.flatnonzero(weights[:, joint] > TIP_WEIGHT)
        axis = unit(tip - hand.joints[joint])
        offsets = hand.vertices[candidates] - hand.joints[joint]
        along = offsets @ axis
        aside = np.linalg.norm(offsets - along[:, None] * axis, axis=1)
        tips.append(candidates[np.argmax(along - aside)])
    return np.array(tips)


def pulp_vertices(hand: HandShape, weights: Array, frames: Array) -> Indices:
    """Return the vertices (5,) in the middle of the finger pads, used to pinch; `hand.tips` must be on the surface."""
    pulps = []
    for finger, tip in enumerate(hand.tips):
        joint = distal_joint(finger)
        candidates = np.flatnonzero(weights[:, joint] > TIP_WEIGHT)
        inside = hand.joints[joint] + PULP_POSITION * (tip - hand.joints[joint])
        below = inside - 0.02 * frames[joint, :, 1]  # two centimetres towards the palm, outside the finger
        pulps.append(candidates[np.linalg.norm(hand.vertices[candidates] - below, axis=1).argmin()])
    return np.array(pulps)


def refreshed_frames(hand: HandShape, frames: Array) -> Array:
    """Return joint frames (16, 3, 3) adapted to the bones of `hand`, which differ slightly from the original ones."""
    return along_bones(hand.bone_ends() - hand.joints, frames[:, :, 1])
