"""Pictures of a part of an image through a plane projective map."""

import numpy as np
import pytest

from twohands.geometry.warp import warped

V, U = np.mgrid[0:90, 0:120].astype(np.float32)
IMAGE = np.stack([U, V])
SIZE = 32


def places(matrix):
    """Return the image's pixels that the pixels of a picture show, (2, SIZE, SIZE)."""
    row, column = np.mgrid[0:SIZE, 0:SIZE] + 0.5
    mapped = np.einsum("ij,jhw->ihw", matrix, np.stack([column, row, np.ones_like(row)]))
    return mapped[:2] / mapped[2] - 0.5


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("middle", [(60, 45), (2, 5), (125, 88)])
def test_a_picture_is_bilinear_and_repeats_the_border(scale, middle):
    turn = scale * np.array([[0.8, 0.6], [-0.6, 0.8]])
    matrix = np.eye(3)
    matrix[:2, :2], matrix[2, :2] = turn, [0.001, -0.002]
    matrix[:2, 2] = np.array(middle) - turn @ [SIZE / 2, SIZE / 2]
    u, v = places(matrix)
    u, v = u.clip(0, 119), v.clip(0, 89)
    np.testing.assert_allclose(warped(IMAGE, matrix, SIZE), [u, v], atol=2e-4)


def test_large_windows_are_averaged_and_keep_their_place():
    matrix = np.array([[3.2, 0, 10], [0, 2.6, 3], [0, 0, 1]])
    u, v = places(matrix)
    inner = np.s_[:, 1:-1, 1:-1]
    np.testing.assert_allclose(warped(IMAGE, matrix, SIZE)[inner], np.stack([u, v])[inner], atol=1e-3)


def test_far_outside_of_the_image_nothing_fails():
    matrix = np.array([[1, 0, 4000.0], [0, 1, -9000.0], [0, 0, 1]])
    assert np.isfinite(warped(IMAGE, matrix, SIZE)).all()
