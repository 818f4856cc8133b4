"""Every operation equals a few lines of brute force, on random sizes including 1; and rotations are rotations."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from twohands.hands.free import free_hand_arrays
from twohands.ops import graph, image, points
from twohands.ops.rotations import matrix_from_6d

SIZES = [(1, 1, 1), (1, 7, 3), (2, 40, 9), (3, 17, 17)]  # batch, points, how many of them


def cloud(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize(("batch", "count", "rows"), SIZES)
def test_gather(batch, count, rows):
    values, index = cloud(batch, 2, count, 5), torch.randint(count, (batch, 2, rows, 4))
    gathered = points.gather(values, index)
    assert gathered.shape == (batch, 2, rows, 4, 5)
    for b, h, m, k in np.ndindex(batch, 2, rows, 4):
        assert torch.equal(gathered[b, h, m, k], values[b, h, index[b, h, m, k]])


@pytest.mark.parametrize(("batch", "count", "nearest"), SIZES)
@pytest.mark.parametrize("radius", [None, 0.8])
def test_nearest(batch, count, nearest, radius):
    queries, candidates = cloud(batch, 6, 3), cloud(batch, count, 3, seed=1)
    index = points.nearest(queries, candidates, nearest, radius).numpy()
    for b in range(batch):
        distance = cdist(queries[b], candidates[b])
        expected = np.argsort(distance, axis=1, kind="stable")[:, :nearest]
        if radius is not None:
            inside = np.take_along_axis(distance, expected, axis=1) <= radius
            expected = np.where(inside, expected, expected[:, :1])
        np.testing.assert_array_equal(index[b], expected)


def test_distances_are_exact_far_from_the_origin():
    one = torch.tensor([[[0.0, 0.0, 2.0]]])
    other = one + torch.tensor([0.001, 0.0, 0.0])
    assert points.squared_distances(one, other).item() == pytest.approx(1e-6, rel=1e-4)


@pytest.mark.parametrize(("batch", "count", "chosen"), SIZES)
def test_farthest_first(batch, count, chosen):
    candidates = cloud(batch, count, 3)
    index = points.farthest_first(candidates, chosen).numpy()
    for b in range(batch):
        distance = cdist(candidates[b], candidates[b])
        expected = [0]
        while len(expected) < chosen:
            expected.append(int(distance[:, expected].min(axis=1).argmax()))
        np.testing.assert_array_equal(index[b], expected)


def random_triangles(count, vertices, seed=0):
    rng = np.random.default_rng(seed)
    return torch.from_numpy(np.stack([rng.permutation(vertices)[:3] for _ in range(count)]))


@pytest.mark.parametrize(("vertices", "count"), [(3, 1), (9, 6), (30, 20)])
def test_scaled_laplacian(vertices, count):
    faces = random_triangles(count, vertices)
    adjacency = np.zeros((vertices, vertices))
    for face in faces.numpy():
        for a in face:
            for b in face:
                adjacency[a, b] = a != b
    degree = adjacency.sum(axis=1)
    root = np.diag(1 / np.sqrt(np.maximum(degree, 1)))
    laplacian = np.diag(degree > 0) - root @ adjacency @ root
    expected = 2 * laplacian / np.linalg.eigvalsh(laplacian).max() - np.eye(vertices)
    np.testing.assert_allclose(graph.scaled_laplacian(faces, vertices), expected, atol=1e-6)


def test_laplacian_of_a_lone_vertex_and_of_our_levels():
    assert graph.scaled_laplacian(torch.zeros(0, 3, dtype=torch.long), 1).tolist() == [[-1.0]]
    arrays = free_hand_arrays()
    for level in (63, 126, 252):
        laplacian = graph.scaled_laplacian(torch.from_numpy(arrays[f"level_{level}_faces"].astype(np.int64)), level)
        spectrum = torch.linalg.eigvalsh(laplacian.double())
        assert -1 - 1e-5 < spectrum[0] < -1 + 1e-5  # connected: L has the eigenvalue 0
        assert spectrum[-1] == pytest.approx(1, abs=1e-5)
        assert spectrum[1] > -1 + 1e-4


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("vertices", [1, 3, 12])
def test_chebyshev_convolution(degree, vertices):
    features, weight, bias = cloud(2, 2, vertices, 4), cloud(5, (degree + 1) * 4, seed=1), cloud(5, seed=2)
    laplacian = cloud(vertices, vertices, seed=3) / vertices
    powers = [torch.linalg.matrix_power(laplacian.double(), k).float() for k in range(4)]
    polynomials = [powers[0], powers[1], 2 * powers[2] - powers[0], 4 * powers[3] - 3 * powers[1]]
    expected = bias + sum(polynomials[k] @ features @ weight[:, 4 * k : 4 * k + 4].T for k in range(degree + 1))
    found = graph.chebyshev_convolution(features, laplacian, weight, bias)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def bilinear(feature_map, u, v):
    """Return by brute force the values of one map (C, h, w) at map cell (u, v), border repeated."""
    height, width = feature_map.shape[1:]
    u, v = min(max(u, 0), width - 1), min(max(v, 0), height - 1)
    left, top = int(u), int(v)
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = feature_map[:, top, left] * (1 - (u - left)) + feature_map[:, top, right] * (u - left)
    lower = feature_map[:, bottom, left] * (1 - (u - left)) + feature_map[:, bottom, right] * (u - left)
    return upper * (1 - (v - top)) + lower * (v - top)


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (5, 8)])
def test_lookup(stride, height, width):
    maps, rng = cloud(2, 3, height, width), np.random.default_rng(5)
    size = np.array([width, height]) * stride
    pixels = torch.from_numpy((rng.uniform(-0.2, 1.1, size=(2, 20, 2)) * size).astype(np.float32))
    found = image.lookup(maps, pixels, *size.tolist())
    for b, n in np.ndindex(2, 20):
        u, v = ((pixels[b, n] + 0.5) / stride - 0.5).tolist()
        torch.testing.assert_close(found[b, n], bilinear(maps[b], u, v), atol=1e-5, rtol=1e-5)


def test_lookup_at_an_integer_pixel_is_that_pixel():
    maps = cloud(1, 3, 6, 9)
    pixels = torch.tensor([[[0.0, 0.0], [8.0, 5.0], [4.0, 2.0]]])
    expected = torch.stack([maps[0, :, 0, 0], maps[0, :, 5, 8], maps[0, :, 2, 4]])
    torch.testing.assert_close(image.lookup(maps, pixels, 9, 6)[0], expected)


def test_rescale_keeps_the_borders_of_the_image():
    borders = torch.tensor([-0.5, 95.5])  # of 96 pixels
    assert image.rescale(borders, 1 / 4).tolist() == [-0.5, 23.5]
    assert image.rescale(image.rescale(torch.tensor([7.0]), 4), 1 / 4).tolist() == [7.0]


@pytest.mark.parametrize(("height", "width", "count"), [(1, 1, 1), (12, 9, 1), (12, 9, 3)])
def test_peaks(height, width, count):
    logits = cloud(2, 2, height, width)
    cells, scores = image.peaks(logits, count)
    for b, h in np.ndindex(2, 2):
        heat = torch.sigmoid(logits[b, h]).numpy()
        padded = np.pad(heat, 2)
        tops = {
            (v, u): heat[v, u] for v, u in np.ndindex(height, width) if heat[v, u] == padded[v : v + 5, u : u + 5].max()
        }
        best = sorted(tops, key=lambda cell: -tops[cell])[:count]
        assert [(int(v), int(u)) for u, v in cells[b, h][: len(best)]] == best
        np.testing.assert_allclose(scores[b, h][: len(best)], [tops[cell] for cell in best], rtol=1e-6)


def test_the_peak_of_a_weak_hand_stays_where_it_is():
    """The published program suppresses neighbours to logit 0, which beats every negative peak: cell 0 wins."""
    logits = torch.full((1, 1, 8, 8), -9.0)
    logits[0, 0, 5, 6] = -3.0
    cells, scores = image.peaks(logits)
    assert cells[0, 0, 0].tolist() == [6.0, 5.0]
    assert scores.item() == pytest.approx(1 / (1 + np.exp(3.0)))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (6, 9)])
def test_gaussian_target(height, width):
    centers, sigma = torch.tensor([[0.2, -0.3], [7.6, 4.4]]), torch.tensor([1.0, 2.0])
    heat = image.gaussian_target(centers, sigma, height, width)
    for hand, v, u in np.ndindex(2, height, width):
        u0, v0 = np.round(centers[hand].numpy())
        expected = np.exp(-((u - u0) ** 2 + (v - v0) ** 2) / (2 * sigma[hand].item() ** 2))
        assert heat[hand, v, u].item() == pytest.approx(expected, rel=1e-5)
    assert heat[0].max() == 1  # the focal loss counts cells that are exactly 1


def test_six_numbers_are_a_rotation():
    rotation = matrix_from_6d(cloud(4, 2, 6))
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(4, 2, 3, 3), atol=1e-5, rtol=0)
    assert (torch.linalg.det(rotation) > 0.99).all()
    exact = matrix_from_6d(torch.cat([rotation[..., 0], rotation[..., 1]], dim=-1))
    torch.testing.assert_close(exact, rotation, atol=1e-5, rtol=0)
