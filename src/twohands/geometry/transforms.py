"""Rotations, rigid transforms and alignment. Matrices (*B, 3, 3) act on column vectors; angles in radians."""

from __future__ import annotations

from array_api_compat import array_namespace

from twohands.geometry.record import Array

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
"""Identity matrix. It is a constant because `eye` becomes an in-place operation, which ONNX cannot hold."""


def cross_matrix(vector: Array) -> Array:
    """Return the matrices (*B, 3, 3) whose product with p is the cross product of vector (*B, 3) and p."""
    xp = array_namespace(vector)
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = xp.zeros_like(x)
    rows = [xp.stack(row, axis=-1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return xp.stack(rows, axis=-2)


def matrix_from_axis_angle(axis_angle: Array) -> Array:
    """Return rotations (*B, 3, 3) of axis-angle (*B, 3) radians (Rodrigues); exact, also the gradient at zero."""
    xp = array_namespace(axis_angle)
    squared = xp.sum(axis_angle * axis_angle, axis=-1)[..., None, None]
    small = squared < 1e-8
    safe = xp.where(small, xp.ones_like(squared), squared)
    angle = xp.sqrt(safe)
    sine = xp.where(small, 1 - squared / 6, xp.sin(angle) / angle)
    cosine = xp.where(small, 0.5 - squared / 24, (1 - xp.cos(angle)) / safe)
    generator = cross_matrix(axis_angle)
    identity = xp.asarray(IDENTITY, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine * generator + cosine * (generator @ generator)


def shortest_turn(start: Array, end: Array) -> Array:
    """Return the smallest rotation (*B, 3, 3) from `start` to `end` (*B, 3), of any length and not opposite."""
    xp = array_namespace(start)
    axis = xp.linalg.cross(start, end)
    sine, cosine = xp.linalg.vector_norm(axis, axis=-1, keepdims=True), xp.sum(start * end, axis=-1)[..., None]
    angle = xp.atan2(sine, cosine)
    return matrix_from_axis_angle(axis * xp.where(sine > 0, angle / xp.where(sine > 0, sine, xp.ones_like(sine)), 0.0))


def axis_angle_from_matrix(rotation: Array) -> Array:
    """Return axis-angle (*B, 3) radians, |angle| <= pi, through the unit quaternion: stable near 0 and near pi."""
    xp = array_namespace(rotation)
    m = rotation
    d0, d1, d2 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a = (m[..., 2, 1], m[..., 0, 2], m[..., 1, 0])
    b = (m[..., 1, 2], m[..., 2, 0], m[..., 0, 1])
    # the columns of 4 q q^T; the longest one is well conditioned (Shepperd's method)
    columns = [
        xp.stack([1 + d0 + d1 + d2, a[0] - b[0], a[1] - b[1], a[2] - b[2]], axis=-1),
        xp.stack([a[0] - b[0], 1 + d0 - d1 - d2, a[2] + b[2], a[1] + b[1]], axis=-1),
        xp.stack([a[1] - b[1], a[2] + b[2], 1 - d0 + d1 - d2, a[0] + b[0]], axis=-1),
        xp.stack([a[2] - b[2], a[1] + b[1], a[0] + b[0], 1 - d0 - d1 + d2], axis=-1),
    ]
    squared_norms = xp.stack([1 + d0 + d1 + d2, 1 + d0 - d1 - d2, 1 - d0 + d1 - d2, 1 - d0 - d1 + d2], axis=-1)
    choice = xp.argmax(squared_norms, axis=-1)[..., None]
    quaternion = columns[0]
    for index in range(1, 4):
        quaternion = xp.where(choice == index, columns[index], quaternion)
    quaternion = quaternion / xp.sqrt(xp.sum(quaternion * quaternion, axis=-1))[..., None]
    quaternion = xp.where(quaternion[..., :1] < 0, -quaternion, quaternion)
    imaginary = quaternion[..., 1:]
    squared = xp.sum(imaginary * imaginary, axis=-1)[..., None]
    small = squared < 1e-12
    sine = xp.sqrt(xp.where(small, xp.ones_like(squared), squared))
    angle = 2 * xp.atan2(sine, quaternion[..., :1])
    return imaginary * xp.where(small, 2 * xp.ones_like(squared), angle / sine)


def rigid(rotation: Array, translation: Array) -> Array:
    """Return homogeneous (*B, 4, 4) of rotations (*B, 3, 3) and translations (*B, 3) in metres."""
    xp = array_namespace(rotation)
    top = xp.concat([rotation, translation[..., None]], axis=-1)
    bottom = xp.zeros_like(top[..., :1, :])
    bottom = bottom + xp.asarray([0.0, 0.0, 0.0, 1.0], dtype=rotation.dtype, device=rotation.device)
    return xp.concat([top, bottom], axis=-2)


def procrustes(source: Array, target: Array, scale: bool = True) -> tuple[Array, Array, Array]:
    """Return scale s (*B,), rotation R (*B, 3, 3) and translation t (*B, 3) that minimise |s R source + t - target|^2.

    Points are (*B, N, 3). R is never a reflection (Umeyama 1991). With `scale` false, s = 1.
    """
    xp = array_namespace(source)
    source_mean, target_mean = xp.mean(source, axis=-2), xp.mean(target, axis=-2)
    a, b = source - source_mean[..., None, :], target - target_mean[..., None, :]
    u, singular, vt = xp.linalg.svd(xp.matrix_transpose(b) @ a, full_matrices=False)
    sign = xp.where(xp.linalg.det(u @ vt) < 0, -1.0, 1.0)
    flip = xp.stack([xp.ones_like(sign), xp.ones_like(sign), sign], axis=-1)
    flip = xp.astype(flip, source.dtype)
    rotation = (u * flip[..., None, :]) @ vt
    spread = xp.sum(a * a, axis=(-2, -1))
    factor = xp.sum(singular * flip, axis=-1) / xp.where(spread > 0, spread, xp.ones_like(spread))
    factor = factor if scale else xp.ones_like(factor)
    translation = target_mean - factor[..., None] * (rotation @ source_mean[..., None])[..., 0]
    return factor, rotation, translation


def align(source: Array, target: Array, scale: bool = True) -> Array:
    """Return `source` (*B, N, 3) moved onto `target` by the least-squares similarity (or rigid) transform."""
    factor, rotation, translation = procrustes(source, target, scale)
    xp = array_namespace(source)
    return factor[..., None, None] * (source @ xp.matrix_transpose(rotation)) + translation[..., None, :]
