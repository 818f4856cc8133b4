"""Meshes of the person: hands, forearms that continue the wrists, upper arms, sleeves, torso."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

from twohands.geometry.mesh import boundary_loop, volume
from twohands.geometry.transforms import axis_angle_from_matrix, matrix_from_axis_angle
from twohands.hands.free import free_hand, free_hand_arrays
from twohands.synth.acts.arms import Arm
from twohands.synth.acts.placement import Staging
from twohands.synth.rendering.shapes import Shape, ball, smooth_normals, tube
from twohands.types import LEFT, RIGHT

_BEND = 0.035  # metres over which the wrist bends into the forearm
# rows: metres from the wrist, and width and depth of the forearm there relative to the wrist
_PROFILE = np.array(
    [[0.0, 1.0, 1.0], [0.03, 0.97, 1.0], [0.08, 1.10, 1.22], [0.16, 1.40, 1.62], [0.21, 1.50, 1.78], [0.26, 1.40, 1.70]]
)
_UPPER_WIDTH = 0.043  # metres, radius of the upper arm
_UPPER_SECTIONS = 12  # cross-sections of the upper arm, from elbow to shoulder


@cache
def wrist_ring() -> np.ndarray:
    """Return the vertices of the open border of the finest right hand, in order around the wrist."""
    return boundary_loop(free_hand(1609).right_faces)


def hand_shape(vertices: np.ndarray, side: int) -> Shape:
    """Return one hand of 1609 vertices in the camera frame, with the atlas of the skin maps."""
    arrays = free_hand_arrays()
    count = int(arrays["num_hand_faces"])
    faces, uv = arrays["faces"][:count].astype(np.int64), arrays["uv"][arrays["faces_uv"][:count].astype(np.int64)]
    if side == LEFT:
        faces, uv = faces[:, ::-1], uv[:, ::-1]
    points = vertices.astype(np.float64)
    return Shape(points, faces, uv, label=side, normals=smooth_normals(points, faces))


def with_arm(hand: Shape, arm: Arm, scale: float, closed: bool = False) -> tuple[Shape, Shape]:
    """Return the hand and the forearm that continues it to the elbow, without a seam in the shading.

    `closed` rounds the elbow off; otherwise the forearm is an open tube.
    """
    rings = _outward(forearm_rings(hand.vertices, arm, scale), arm)
    forearm = tube(rounded_end(rings) if closed else rings, v_scale=6.0)
    ring = wrist_ring()
    assert hand.normals is not None
    assert forearm.normals is not None
    order = _nearest(forearm.vertices[: len(ring) + 1], hand.vertices[ring])
    mean = hand.normals[ring][order] + forearm.normals[: len(ring) + 1]
    mean = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    normals, arm_normals = hand.normals.copy(), forearm.normals.copy()
    normals[ring[order]] = mean
    arm_normals[: len(ring) + 1] = mean
    return replace(hand, normals=normals), replace(forearm, normals=arm_normals)


def forearm_rings(vertices: np.ndarray, arm: Arm, scale: float, start: float = 0.0, extra: float = 0.0) -> np.ndarray:
    """Return the cross-sections (R, 20, 3) from the wrist's border to the elbow.

    For a sleeve, `start` > 0 begins that many metres up the arm, and `extra` metres are added to the radius.
    """
    local = (vertices[wrist_ring()] - arm.wrist) @ arm.hand  # (20, 3) hand frame
    middle = local.mean(axis=0)
    length = float(np.linalg.norm(arm.elbow - arm.wrist))
    first = -middle[2]
    bend = np.arange(0.0, _BEND, 0.005) if start == 0 else np.array([start])
    distances = np.concatenate([first + bend, np.linspace(first + max(start, _BEND) + 1e-3, length, 12)])
    step = np.clip((distances - first) / _BEND, 0, 1)
    weight = (step * step * (3 - 2 * step))[:, None, None]  # (R, 1, 1)
    relative = axis_angle_from_matrix(arm.hand.T @ arm.forearm)
    turned = arm.hand @ matrix_from_axis_angle(weight[:, 0] * relative)  # (R, 3, 3)
    along = np.stack([np.full_like(distances, middle[0]), np.full_like(distances, middle[1]), -distances], axis=-1)
    centers = along[:, None] @ ((1 - weight) * arm.hand.T + weight * arm.forearm.T)  # (R, 1, 3)
    width, depth = (np.interp(distances / scale, _PROFILE[:, 0] + first, _PROFILE[:, k]) for k in (1, 2))
    offset = (local - middle) * np.stack([width, depth, 1 - weight[:, 0, 0]], axis=-1)[:, None]
    flat = np.hypot(offset[..., 0], offset[..., 1])[..., None]
    offset = offset * (1 + extra / np.maximum(flat, 1e-6))
    return arm.wrist + centers + offset @ turned.transpose(0, 2, 1)


def upper_arm(arm: Arm, scale: float, extra: float = 0.0, start: float = 0.0) -> list[Shape]:
    """Return elbow and upper arm, `extra` metres thicker, from `start` (fraction of its length) to the shoulder."""
    axis = arm.shoulder - arm.elbow
    side = np.cross(axis, arm.forearm[:, 1])
    frame = np.stack([side, np.cross(axis, side), axis], axis=-1) / np.linalg.norm(
        [side, np.cross(axis, side), axis], axis=1
    )
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    radius = _UPPER_WIDTH * scale + extra
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1) @ frame.T
    share = np.linspace(start, 1.0, 6)
    rings = (arm.elbow + share[:, None] * axis)[:, None] + (radius * (0.92 + 0.13 * share))[:, None, None] * circle
    parts = [tube(rings), ball(1.05 * radius).moved(np.eye(3), arm.shoulder - [0, 0, 1.05 * radius])]
    if start == 0:
        parts.append(ball(0.97 * radius).moved(np.eye(3), arm.elbow - [0, 0, 0.97 * radius]))
    return parts


def rounded_end(rings: np.ndarray) -> np.ndarray:
    """Return cross-sections (R, N, 3) with four more that close their last end like a thimble."""
    middle = rings[-1].mean(axis=0)
    onward = middle - rings[-2].mean(axis=0)
    onward = onward / np.linalg.norm(onward)
    reach = 0.9 * float(np.linalg.norm(rings[-1] - middle, axis=1).mean())
    angle = np.radians([25.0, 50.0, 75.0, 90.0])[:, None, None]
    return np.concatenate([rings, middle + np.sin(angle) * reach * onward + np.cos(angle) * (rings[-1] - middle)])


def body_end(staging: Staging, side: int) -> np.ndarray:
    """Return the arm's end (3,) in metres beyond the shoulder: in the torso, or below the picture of a head camera."""
    if not staging.egocentric:
        return chest(staging) - 0.06 * staging.view.up
    down = -(staging.view.up + staging.view.forward) * [1.0, 1.0, 0.0]  # beside the lens: no picture reaches so far
    outward = staging.view.right if side == RIGHT else -staging.view.right
    return 0.55 * down / np.linalg.norm(down) + 0.10 * outward


def arm_to_body(arm: Arm, scale: float, end: np.ndarray, extra: float = 0.0) -> Shape:
    """Return the upper arm from elbow over shoulder to `end` (3,), closed at the elbow, `extra` metres thicker."""
    return facing_out(tube(rounded_end(_upper_rings(arm, scale, end, extra)[::-1])))


def short_sleeve(arm: Arm, scale: float, end: np.ndarray, start: float, gap: float) -> Shape:
    """Return cloth from `start` (fraction of the upper arm) to `end` (3,), `gap` metres off the arm, hem and lining."""
    rings = _upper_rings(arm, scale, end, gap)
    middle = rings.mean(axis=1, keepdims=True)
    shares = np.linspace(0.0, 1.0, _UPPER_SECTIONS)
    first = int(np.searchsorted(shares, start))
    lip, deep = rings[first], rings[first + 2]
    bare = 1 - (gap + 0.004) / np.linalg.norm(deep - middle[first + 2], axis=1).mean()
    lining = [
        middle[first + 2] + bare * (deep - middle[first + 2]),
        middle[first] + (1 - 0.3 * (1 - bare)) * (lip - middle[first]),
        lip - 0.0008 * (middle[first + 1] - middle[first]) / np.linalg.norm(middle[first + 1] - middle[first]),
    ]
    return facing_out(tube(np.concatenate([np.stack(lining), rings[first:]]), u_repeat=2.0))


def _upper_rings(arm: Arm, scale: float, end: np.ndarray, extra: float) -> np.ndarray:
    """Return round cross-sections (R, 24, 3) from the elbow over the shoulder to `end` (3,), the corner rounded."""
    share = np.linspace(0, 1, _UPPER_SECTIONS)[:, None]
    onward = np.linspace(0, 1, 9)[1:, None]
    path = np.concatenate(
        [arm.elbow + share * (arm.shoulder - arm.elbow), arm.shoulder + onward * (end - arm.shoulder)]
    )
    path = gaussian_filter1d(path, 1.3, axis=0, mode="nearest")
    tangents = np.gradient(path, axis=0)
    tangents = tangents / np.linalg.norm(tangents, axis=1, keepdims=True)
    across = np.empty_like(tangents)
    previous = arm.forearm[:, 1] + 0.3 * arm.forearm[:, 2] + 0.1 * arm.forearm[:, 0]
    for k, tangent in enumerate(tangents):  # transported along the path without a turn about it
        previous = previous - (previous @ tangent) * tangent
        previous = across[k] = previous / np.linalg.norm(previous)
    width = _UPPER_WIDTH * scale
    radius = np.interp(
        np.arange(len(path)), [0, _UPPER_SECTIONS - 1, len(path) - 1], [0.90 * width, 1.12 * width, 0.07]
    )
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
    circle = np.cos(angle) * across[:, None] + np.sin(angle) * np.cross(tangents, across)[:, None]
    return path[:, None] + (radius + extra)[:, None, None] * circle


def chest(staging: Staging) -> np.ndarray:
    """Return the point (3,) midway between the shoulders and a little behind them."""
    forward = staging.body_forward
    right = np.cross(forward, staging.view.up)
    middle = np.mean([arm.shoulder for arm in staging.arms if arm is not None], axis=0)
    if len(present_sides(staging)) == 1:
        middle = middle + (0.17 if staging.arms[LEFT] is not None else -0.17) * right
    return middle - 0.05 * forward


def facing_out(shape: Shape) -> Shape:
    """Return the shape with its faces turned outwards. It must be closed or nearly closed."""
    if volume(shape.vertices - shape.vertices.mean(axis=0), shape.faces) >= 0:
        return shape
    normals = None if shape.normals is None else -shape.normals
    return replace(shape, faces=shape.faces[:, ::-1], uv=shape.uv[:, ::-1], normals=normals)


def sleeve(rng: np.random.Generator, vertices: np.ndarray, arm: Arm, scale: float, cuff: float) -> list[Shape]:
    """Return cloth from `cuff` metres above the wrist to the shoulder, with a hem and folds."""
    rings = forearm_rings(vertices, arm, scale, start=cuff, extra=rng.uniform(0.006, 0.014))
    middle = rings.mean(axis=1, keepdims=True)
    around = np.linspace(0, 2 * np.pi, rings.shape[1], endpoint=False)
    phase = rng.uniform(0, 2 * np.pi, (len(rings), 1))
    folds = 1 + rng.uniform(0.02, 0.07) * np.sin(2 * around + phase) * np.linspace(0.3, 1, len(rings))[:, None]
    rings = middle + (rings - middle) * folds[..., None]
    hem = middle[:1] + 0.85 * (rings[:1] - middle[:1]) - 0.002 * (middle[1:2] - middle[:1])
    return [tube(np.concatenate([hem, rings]), u_repeat=2.0), *upper_arm(arm, scale, extra=0.016)]


def torso(staging: Staging) -> list[Shape]:
    """Return chest and belly between the shoulders. Drawn only when the camera is not on the person's head."""
    up, forward = staging.view.up, staging.body_forward
    right = np.cross(forward, up)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    circle = np.cos(angle)[:, None] * right + 0.6 * np.sin(angle)[:, None] * forward
    heights = np.array([0.10, 0.09, 0.05, -0.02, -0.15, -0.35, -0.60])
    widths = np.array([0.01, 0.06, 0.14, 0.18, 0.17, 0.15, 0.16])
    return [tube((chest(staging) + heights[:, None] * up)[:, None] + widths[:, None, None] * circle)]


def _outward(rings: np.ndarray, arm: Arm) -> np.ndarray:
    """Return the same rings in the order in which the tube's faces look outwards."""
    middle = rings[0].mean(axis=0)
    turn = np.cross(rings[0, 0] - middle, rings[0, 5] - middle)
    return rings if turn @ arm.forearm[:, 2] < 0 else np.concatenate([rings[:, :1], rings[:, :0:-1]], axis=1)


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, None] - others[None], axis=-1).argmin(axis=1)


def present_sides(staging: Staging) -> list[int]:
    """Return LEFT and RIGHT, as far as they are in the frame."""
    return [side for side in (LEFT, RIGHT) if staging.arms[side] is not None]
