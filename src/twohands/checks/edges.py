"""Agreement of depth edges with colour edges, for every shift between them.

Images are compared on a grid of cells, about 320 along the longer side. An edge is a symmetric matrix n n^T of its
normal n, stored as (xx, xy, yy) and weighted by its strength, so that the side from which it is seen does not matter.
The agreement at a shift is the mean of n^T G n over the depth edges, where G is the matrix of the colour gradients
there; correlations by FFT give it for all shifts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft
from scipy.ndimage import binary_dilation, gaussian_filter, uniform_filter

from twohands.types import RGBDFrame

CELLS = 320
"""Wanted number of cells along the longer side of an image; a cell is a whole number of pixels."""
REACH = 34
"""Largest shift along each axis, in cells: 68 pixels of an image that is 640 pixels wide."""
STEP = 0.03
"""Smallest relative step of depth, over two cells, that is an edge; twice this has full weight."""
ENOUGH = 20.0
"""Sum of the weights of depth edges, in cells, from which their agreement means something."""
_DARK = 0.05  # added to colours in [0, 1] before the logarithm
_AROUND = 21  # cells across the window that normalizes the colour gradients
_STRONGEST = 2.0  # bound of a colour gradient over the mean gradient around it


@dataclass(frozen=True)
class Edges:
    """Edges of the depth image: normals as (xx, xy, yy) times weight, and weights in [0, 1]."""

    normals: np.ndarray  # (3, h, w) float32
    weights: np.ndarray  # (h, w) float32

    def inside(self, mask: np.ndarray) -> Edges:
        """Return the edges in a mask (h, w) bool."""
        return Edges(self.normals * mask, self.weights * mask)

    def enlarged(self, factor: float, mirrored: bool = False) -> Edges:
        """Return the edges enlarged by `factor` about the image's centre, after mirroring left and right if asked."""
        row, column = np.nonzero(self.weights)
        height, width = self.weights.shape
        u = (width - 1) / 2 + factor * (column - (width - 1) / 2) * (-1 if mirrored else 1)
        v = (height - 1) / 2 + factor * (row - (height - 1) / 2)
        u, v = np.rint(u).astype(np.int64), np.rint(v).astype(np.int64)
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        place = v[inside] * width + u[inside]
        sign = np.array([1, -1 if mirrored else 1, 1])
        values = np.concatenate([self.normals * sign[:, None, None], self.weights[None]])[:, row, column][:, inside]
        drawn = [np.bincount(place, plane, height * width).reshape(height, width) for plane in values]
        return Edges(np.array(drawn[:3], np.float32), np.array(drawn[3], np.float32))


class Agreement:
    """Agreement of the colour edges of an image (3, h, w) with depth edges.

    It is known for shifts of up to `reach` cells, and at most half of the image's shorter side. The gradients are
    blurred by `blur` cells (standard deviation), so that borders which the depth camera moved a little still agree.
    """

    def __init__(self, rgb: np.ndarray, reach: int = REACH, blur: float = 0.0):
        height, width = rgb.shape[1:]
        self.reach = reach = min(reach, height // 2, width // 2)
        self._size = (fft.next_fast_len(height + reach, True), fft.next_fast_len(width + reach, True))
        self._gradients = np.conj(self._spectrum(gaussian_filter(color_gradients(rgb), (0, blur, blur))))
        self._image = np.conj(self._spectrum(np.ones((height, width), np.float32)))

    def of(self, edges: Edges) -> np.ndarray | None:
        """Return the agreement (2 reach + 1, 2 reach + 1) by shift down and right of depth against colour.

        It is in standard deviations over all shifts, above their mean. Return None with too few edges.
        """
        total = float(edges.weights.sum())
        if total < ENOUGH:
            return None
        found = self._shifts((self._spectrum(edges.normals) * self._gradients).sum(axis=0))
        seen = self._shifts(self._spectrum(edges.weights) * self._image)  # weight of the edges that stay in the image
        values = found / np.maximum(seen, 0.3 * total)
        return (values - values.mean()) / max(float(values.std()), 1e-9)

    def _spectrum(self, planes: np.ndarray) -> np.ndarray:
        return np.asarray(fft.rfft2(planes, self._size))

    def _shifts(self, spectrum: np.ndarray) -> np.ndarray:
        around = np.roll(np.asarray(fft.irfft2(spectrum, self._size)), (self.reach, self.reach), (0, 1))
        return around[: 2 * self.reach + 1, : 2 * self.reach + 1]


def cells_of(frame: RGBDFrame, cells: int = CELLS) -> tuple[np.ndarray, np.ndarray, int]:
    """Return colour (3, h, w), depth (h, w) metres on a grid of cells, and the pixels along a cell's side.

    Colours are means, depths are readings in the middle of their cells.
    """
    height, width = frame.depth.shape
    size = max(1, round(max(height, width) / cells))
    rows, columns = height // size, width // size
    window = frame.rgb[:, : rows * size, : columns * size].reshape(3, rows, size, columns * size)
    colour = window.mean(axis=2).reshape(3, rows, columns, size).mean(axis=3)  # much faster than both axes at once
    middle = slice(size // 2, None, size)
    return colour, frame.depth[middle, middle][:rows, :columns], size


def color_gradients(rgb: np.ndarray) -> np.ndarray:
    """Return gradients (3, h, w) of a colour image: (xx, 2 xy, yy), relative to the gradients around them."""
    smooth = gaussian_filter(rgb, (0, 0.8, 0.8)) + _DARK
    light = np.log(smooth.mean(axis=0))
    chroma = 1.5 * np.log(smooth[[0, 2]] / smooth[1])
    planes = np.concatenate([light[None], chroma])
    down, right = np.gradient(planes, axis=1), np.gradient(planes, axis=2)
    xx, xy, yy = (right * right).sum(axis=0), (right * down).sum(axis=0), (down * down).sum(axis=0)
    squared = xx + yy
    usual = uniform_filter(squared, _AROUND) + float(np.median(squared)) + 0.2 * float(squared.mean())
    strength = np.minimum(np.sqrt(squared / np.maximum(usual, 1e-12)), _STRONGEST)
    return np.stack([xx, 2 * xy, yy]).astype(np.float32) * (strength / np.maximum(squared, 1e-12)).astype(np.float32)


def depth_edges(depth: np.ndarray) -> Edges:
    """Return the edges of a depth image (h, w), metres, 0 = no reading: borders of the nearer surfaces.

    Holes are filled with the farthest of the readings beside them, so that a border between readings and a hole is an
    edge only where something nearer ends.
    """
    known = depth > 0
    filled = _filled(depth)
    logarithm = np.log(np.where(filled > 0, filled, max(float(depth.max()), 1e-3)))
    down, right = np.zeros_like(logarithm), np.zeros_like(logarithm)
    down[1:-1], right[:, 1:-1] = logarithm[2:] - logarithm[:-2], logarithm[:, 2:] - logarithm[:, :-2]
    step = np.hypot(down, right)
    weights = np.clip(step / STEP - 1, 0, 1) * binary_dilation(known)
    x, y = right / np.maximum(step, 1e-9), down / np.maximum(step, 1e-9)
    return Edges((weights * np.stack([x * x, x * y, y * y])).astype(np.float32), weights.astype(np.float32))


def _filled(depth: np.ndarray) -> np.ndarray:
    """Return depth (h, w) with the farthest of the next readings to the four sides in place of holes."""
    turned = [np.rot90(depth, turn) for turn in range(4)]
    sides = [np.rot90(_carried(image), -turn) for turn, image in enumerate(turned)]
    return np.where(depth > 0, depth, np.max(sides, axis=0))


def _carried(depth: np.ndarray) -> np.ndarray:
    """Return for every pixel the last reading to its left, or its own."""
    last = np.maximum.accumulate(np.where(depth > 0, np.arange(depth.shape[1]), 0), axis=1)
    return np.take_along_axis(depth, last, axis=1)
