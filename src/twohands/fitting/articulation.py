"""A posed right hand with the analytic Jacobian of its vertices and joints (linear blend skinning, NumPy, float64).

The 22 degrees of freedom of the fingers are anatomical angles: three at the base of the thumb, two at its second joint,
two at each knuckle and one at every other joint; all other angles stay at rest. Left hands are fitted as right hands in
a mirrored camera, so nothing here depends on the side. Sizes: V vertices, R = V + 16 + 21 rows, S shape components.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import sparse
from scipy.spatial.transform import Rotation

from twohands.geometry.transforms import axis_angle_from_matrix, cross_matrix
from twohands.hands.free import PosePrior
from twohands.hands.model import HandModel, pose_features
from twohands.hands.skeleton import ARTICULATED_PARENTS, JOINTS_FROM_ARTICULATED

FLEXION, ABDUCTION, TWIST = 0, 1, 2
DOFS = np.array(
    [(1, FLEXION), (1, ABDUCTION), (1, TWIST), (2, FLEXION), (2, ABDUCTION), (3, FLEXION)]
    + [(3 * finger + part, axis) for finger in range(1, 5) for part, axis in ((1, 0), (1, 1), (2, 0), (3, 0))]
)
"""(22, 2): articulated joint and anatomical axis of each degree of freedom."""
DOF_JOINT, DOF_AXIS = DOFS[:, 0], DOFS[:, 1]
NUM_DOFS = len(DOFS)
PARENT_OF = np.maximum(ARTICULATED_PARENTS, 0)
ROTATION, TRANSLATION = slice(0, 3), slice(3, 6)
ANGLES = slice(6, 6 + NUM_DOFS)
SHAPE = slice(6 + NUM_DOFS, None)
"""Position of the unknowns in a step (28 + S,) and in the columns of a Jacobian."""


@dataclass(frozen=True)
class HandState:
    """The unknowns of one right hand: T_camera_from_wrist, finger angles and shape."""

    rotation: np.ndarray  # (3, 3)
    translation: np.ndarray  # (3,) metres
    angles: np.ndarray  # (22,) anatomical angles, radians
    shape: np.ndarray  # (S,) standard deviations

    def moved(self, step: np.ndarray) -> HandState:
        """Return the state after `step` (28 + S,): rotation vector in camera axes, translation, angles, shape."""
        return HandState(
            Rotation.from_rotvec(step[ROTATION]).as_matrix() @ self.rotation,
            self.translation + step[TRANSLATION],
            self.angles + step[ANGLES],
            self.shape + step[SHAPE],
        )


@dataclass(frozen=True)
class Rig:
    """Kinematics of one state in the wrist frame, metres: everything but the surface."""

    state: HandState
    rest: np.ndarray  # (R, 3) shaped rest points of all rows, see RightHand
    turned: np.ndarray  # (16, 9) rotation matrix of every joint, row by row
    offsets: np.ndarray  # (16, 3): x = turned @ rest + offset
    pivots: np.ndarray  # (16, 3) posed joints
    axes: np.ndarray  # (22, 3) unit axis of every degree of freedom
    offset_directions: np.ndarray  # (16, 3 S) metres of the offsets per standard deviation of shape


class RightHand:
    """Arrays of a hand model that the fit needs, prepared once.

    Rows are points that move with the hand: first the V vertices, then the 16 joints, then 21 landmarks.
    """

    def __init__(self, model: HandModel, prior: PosePrior, landmark_offsets: np.ndarray):
        """Prepare `model`; landmark_offsets (21, 3) metres, rest pose: from joints to the hand network's landmarks."""
        self.num_vertices, self.num_shape = len(model.rest_vertices), model.num_shape
        self.num_unknowns = 6 + NUM_DOFS + self.num_shape
        tips = list(model.tip_vertices)
        order = list(JOINTS_FROM_ARTICULATED)
        carried_by = np.eye(16)[[max(parent, 0) for parent in ARTICULATED_PARENTS]]  # a joint moves with its parent
        landmark_joint = np.eye(16)[[*range(16), *range(3, 16, 3)]][order]
        joints = np.concatenate([model.rest_joints, model.rest_vertices[tips]])[order]
        joint_directions = np.concatenate([model.joint_directions, model.shape_directions[tips]])[order]
        as64 = partial(np.asarray, dtype=np.float64)
        self.weights = as64(np.concatenate([model.weights, carried_by, landmark_joint]))  # (R, 16)
        self.rest = as64(np.concatenate([model.rest_vertices, model.rest_joints, joints + landmark_offsets]))
        self.directions = as64(np.concatenate([model.shape_directions, model.joint_directions, joint_directions]))
        self._single_weights, self._single_directions = self.weights.astype("f4"), self.directions.astype("f4")
        self._pose_directions = None  # (3 V, 135); the Jacobian leaves out their derivative, which is small
        if model.pose_directions is not None:
            self._pose_directions = as64(model.pose_directions).reshape(-1, model.pose_directions.shape[-1])
        self._flat_directions = np.ascontiguousarray(self.directions.reshape(-1, self.num_shape).T)
        self.surface = slice(0, self.num_vertices)
        self.landmark_rows = self.num_vertices + 16 + np.arange(21)
        rows_of_joints = np.array([*(self.num_vertices + np.arange(16)), *tips])
        self.joint_rows = rows_of_joints[order]  # (21,) where the landmarks are offset from the joints
        self.faces = np.asarray(model.right_faces)
        corners = np.repeat(np.arange(len(self.faces)), 3)
        self._faces_of_vertex = sparse.csr_array((np.ones(len(corners)), (self.faces.ravel(), corners)))
        self._frames, rest_angles, limits = as64(model.joint_frames), as64(model.rest_angles), as64(model.limits)
        self._generators = cross_matrix(np.swapaxes(self._frames, 1, 2))  # (16, 3 axes, 3, 3)
        self._squares = self._generators @ self._generators
        self.rest_angles = rest_angles[DOF_JOINT, DOF_AXIS]
        self.lowest, self.highest = limits[DOF_JOINT, DOF_AXIS].T
        flat = 3 * (DOF_JOINT - 1) + DOF_AXIS
        self.pose_mean = as64(prior.mean)[flat]
        self.pose_components = as64(prior.components)[:, flat]  # (C, 22)

    def rig(self, state: HandState) -> Rig:
        """Return the kinematics of a state."""
        rest = self.rest + (state.shape @ self._flat_directions).reshape(-1, 3)
        joints = slice(self.num_vertices, self.num_vertices + 16)
        rest_joints, directions = rest[joints], self.directions[joints]
        abducted, bent, local = self._finger_rotations(state.angles)
        if self._pose_directions is not None:
            rest[self.surface] += (self._pose_directions @ pose_features(local[1:])).reshape(-1, 3)
        turned, pivots = np.empty((16, 3, 3)), np.empty((16, 3))
        moved = np.empty((16, 3, self.num_shape))
        turned[0], pivots[0], moved[0] = np.eye(3), rest_joints[0], directions[0]
        for part in (1, 2, 3):  # the five fingers at once, from palm to tip
            own = slice(part, 16, 3)
            parent = slice(part - 1, 15, 3) if part > 1 else slice(0, 1)
            bones = rest_joints[own] - rest_joints[parent]
            pivots[own] = pivots[parent] + (turned[parent] @ bones[..., None])[..., 0]
            moved[own] = moved[parent] + turned[parent] @ (directions[own] - directions[parent])
            turned[own] = turned[parent] @ local[own]
        before = turned[PARENT_OF]
        frames = self._frames
        axes = np.empty((16, 3, 3))  # [joint, axis]: each axis is turned by the rotations that are applied after it
        axes[:, FLEXION] = (before @ abducted @ frames[:, :, FLEXION, None])[..., 0]
        axes[:, ABDUCTION] = (before @ frames[:, :, ABDUCTION, None])[..., 0]
        axes[:, TWIST] = (before @ bent @ frames[:, :, TWIST, None])[..., 0]
        offsets = pivots - (turned @ rest_joints[..., None])[..., 0]
        offset_directions = (moved - turned @ directions).reshape(16, -1)
        return Rig(state, rest, turned.reshape(16, 9), offsets, pivots, axes[DOF_JOINT, DOF_AXIS], offset_directions)

    def points(self, rig: Rig, rows: np.ndarray | slice) -> np.ndarray:
        """Return the posed points (n, 3) of `rows`; metres, camera frame."""
        weights = self.weights[rows]
        blended = (weights @ rig.turned).reshape(-1, 3, 3)
        wrist = (blended @ rig.rest[rows][..., None])[..., 0] + weights @ rig.offsets
        return wrist @ rig.state.rotation.T + rig.state.translation

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Return outward unit normals (V, 3) of posed vertices (V, 3)."""
        corners = vertices[self.faces]
        u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        normals = self._faces_of_vertex @ (u[:, [1, 2, 0]] * v[:, [2, 0, 1]] - u[:, [2, 0, 1]] * v[:, [1, 2, 0]])
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def jacobian(self, rig: Rig, rows: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Return d points / d unknowns (n, 3, 28 + S) float32, camera frame; points (n, 3) are those of `rows`."""
        single = np.float32  # half the memory traffic, and precise enough for a step
        rotation, weights = rig.state.rotation.astype(single), self._single_weights[rows]
        turned = rig.turned.astype(single)
        carried = rig.rest[rows].astype(single) @ turned.reshape(16, 3, 3).transpose(2, 0, 1).reshape(3, 48)
        carried = (carried.reshape(-1, 16, 3) + rig.offsets.astype(single)) * weights[..., None]
        carried = carried[:, 1:].reshape(-1, 5, 3, 3)  # contribution of every finger joint to the point
        fraction = weights[:, 1:].reshape(-1, 5, 3).copy()
        for part in (1, 0):  # a joint moves its own contribution and those of the joints after it
            carried[:, :, part] += carried[:, :, part + 1]
            fraction[:, :, part] += fraction[:, :, part + 1]
        arms = carried.reshape(-1, 15, 3) - fraction.reshape(-1, 15, 1) * rig.pivots[1:].astype(single)
        arms = (arms @ rotation.T)[:, DOF_JOINT - 1]  # (n, 22, 3) metres: lever arm of each axis, camera axes
        axes = rig.axes.astype(single) @ rotation.T
        result = np.zeros((len(rows), 3, self.num_unknowns), dtype=single)
        for row, (i, j) in enumerate(((1, 2), (2, 0), (0, 1))):
            result[:, row, ANGLES] = axes[:, i] * arms[..., j] - axes[:, j] * arms[..., i]
        x, y, z = (points - rig.state.translation).T
        result[:, 0, 1], result[:, 0, 2], result[:, 1, 0] = z, -y, -z
        result[:, 1, 2], result[:, 2, 0], result[:, 2, 1] = x, y, -x
        result[:, [0, 1, 2], [3, 4, 5]] = 1
        blended = rotation @ (weights @ turned).reshape(-1, 3, 3)
        shifted = (weights @ rig.offset_directions.astype(single)).reshape(-1, 3, self.num_shape)
        result[:, :, SHAPE] = blended @ self._single_directions[rows] + rotation @ shifted
        return result

    def axis_angles(self, angles: np.ndarray) -> np.ndarray:
        """Return finger angles (22,) as pose (15, 3): axis-angle relative to the rest pose, right-hand axes."""
        return axis_angle_from_matrix(self._finger_rotations(angles)[2][1:])

    def _finger_rotations(self, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rotations (16, 3, 3) of every joint: abduction A, A times flexion, A times flexion times twist."""
        full = np.zeros((16, 3))
        full[DOF_JOINT, DOF_AXIS] = angles - self.rest_angles
        sine, versine = np.sin(full)[..., None, None], (1 - np.cos(full))[..., None, None]
        about = np.eye(3) + sine * self._generators + versine * self._squares
        abducted = about[:, ABDUCTION]
        bent = abducted @ about[:, FLEXION]
        return abducted, bent, bent @ about[:, TWIST]
