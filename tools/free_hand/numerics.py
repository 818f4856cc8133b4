"""Small pure functions on arrays: directions, rotations, principal components, exact half precision."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def unit(vectors: Array) -> Array:
    """Return vectors (*B, 3) scaled to length one."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def cross_matrix(vectors: Array) -> Array:
    """Return the matrices (*B, 3, 3) that multiply a vector from the left as the cross product does."""
    x, y, z = np.moveaxis(vectors, -1, 0)
    zero = np.zeros_like(x)
    rows = [zero, -z, y, z, zero, -x, -y, x, zero]
    return np.stack(rows, axis=-1).reshape(*vectors.shape, 3)


def rotation_about(axis: Array, angle: Array) -> Array:
    """Return rotation matrices (*B, 3, 3) of unit axes (*B, 3) and angles (*B,) in radians."""
    turn = cross_matrix(axis)
    angle = angle[..., None, None]
    return np.eye(3) + np.sin(angle) * turn + (1 - np.cos(angle)) * (turn @ turn)


def rotation_between(start: Array, end: Array) -> Array:
    """Return the shortest rotation (3, 3) that takes direction `start` (3,) to direction `end` (3,)."""
    start, end = unit(start), unit(end)
    turn = cross_matrix(np.cross(start, end))
    return np.eye(3) + turn + turn @ turn / (1 + start @ end)


def alignment_rotation(points: Array, target: Array) -> Array:
    """Return the rotation (3, 3) that best takes centred `points` (N, 3) to centred `target` (N, 3) (Kabsch)."""
    left, _, right = np.linalg.svd((points - points.mean(0)).T @ (target - target.mean(0)))
    sign = np.sign(np.linalg.det(left @ right))
    return right.T @ np.diag([1, 1, sign]) @ left.T


def principal_coefficients(samples: Array, count: int) -> tuple[Array, Array]:
    """Return unit-variance coefficients (N, count) of centred `samples` (N, D), and their variances (count,)."""
    coefficients, singular, _ = np.linalg.svd(samples, full_matrices=False)
    explained = singular**2 / (singular**2).sum()
    return coefficients[:, :count] * np.sqrt(len(samples)), explained[:count]


def half_rows(matrix: Array) -> NDArray[np.float16]:
    """Return `matrix` (N, M) in half precision with unchanged row sums.

    Plain rounding would change a row sum by up to 1e-3, which at half a metre from the origin is half a millimetre.
    Here the rounding error of each entry is carried to the next smaller one that is not zero.
    """
    half = np.zeros(matrix.shape, np.float16)
    order = np.argsort(-np.abs(matrix), axis=1, kind="stable")
    carried = np.zeros(len(matrix))
    rows = np.arange(len(matrix))
    for columns in order.T:
        wanted = matrix[rows, columns] + carried
        half[rows, columns] = np.where(matrix[rows, columns] == 0, 0, wanted)
        carried = wanted - half[rows, columns]
    return half
