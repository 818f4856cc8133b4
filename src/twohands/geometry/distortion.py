"""Lens distortion, and the resampling of a distorted image into the image of the pinhole camera with the same K.

Plane coordinates are points (x, y) of the plane z = 1. `Lens.distort` maps a point of the plane to where the lens shows
it; the camera matrix then turns that into a pixel of the distorted image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from twohands.geometry.camera import Camera

STEP = 8
"""Grid step, in pixels, at which distorted positions are computed; linear interpolation between errs by 0.01 pixels."""
BAND = 16
"""Rows that are resampled at once, so that intermediate arrays stay small."""
NOWHERE = -9.0
"""Position, in pixels, that stands for a place outside the distorted image."""
MODELS = {
    "brown": ("plumb_bob", "rational_polynomial", "brown_conrady", "brown", "radtan", "radial_tangential", "opencv")
    + ("full_opencv", "rational", "calibration_lensdistortionmodelbrownconrady"),
    "modified": ("modified_brown_conrady",),
    "inverse": ("inverse_brown_conrady",),
    "fisheye": ("equidistant", "fisheye", "opencv_fisheye", "kannala_brandt", "kannala_brandt4", "kb4"),
    "none": ("none", "no_distortion", "pinhole", "simple_pinhole"),
}
"""Names of lens models as ROS, OpenCV, RealSense, Azure Kinect, Kalibr and NeRF programs write them, in lower case."""
_FEW, _MOST = (4, 5, 8), (12, 14)
"""Numbers of coefficients of OpenCV's models; the additional ones of _MOST are thin-prism and tilt terms."""


@dataclass(frozen=True)
class Lens:
    """A lens that distorts.

    `brown` is OpenCV's rational model, and Brown-Conrady where k4 to k6 are zero. `modified` applies the tangential
    terms to the radially distorted point (RealSense). `inverse` has the polynomial of `brown`, but from the distorted
    point to the ideal one (RealSense). `fisheye` is the model of Kannala and Brandt, ROS's equidistant.
    """

    model: Literal["brown", "modified", "inverse", "fisheye"]
    coefficients: tuple[float, ...]  # k1, k2, p1, p2, k3, k4, k5, k6; of a fisheye k1, k2, k3, k4

    def distort(self, plane: np.ndarray) -> np.ndarray:
        """Return the distorted plane coordinates (..., 2) of ideal ones, which must be within `reach`."""
        if self.model == "fisheye":
            radius = np.linalg.norm(plane, axis=-1, keepdims=True)
            return plane * (_bent_angle(radius, self.coefficients) / np.where(radius > 0, radius, 1))
        if self.model == "inverse":
            return _inverted(plane, self.coefficients)
        return _polynomial(plane, self.coefficients, self.model == "modified")

    def reach(self, furthest: float) -> float:
        """Return the largest ideal radius, at most `furthest`, up to which distortion keeps the order of radii."""
        radius = np.linspace(0, furthest, 2048)
        if self.model == "fisheye":
            shown = _bent_angle(radius, self.coefficients)
        else:
            shown = radius * _stretch(radius**2, self.coefficients)
        turns = np.flatnonzero(np.diff(shown) <= 0)
        last = turns[0] if len(turns) else -1
        if self.model == "inverse":  # `radius` is the distorted one, `shown` the ideal one
            return min(float(shown[last]), furthest) if len(turns) else furthest
        return float(radius[last])


def lens_of(model: str | None, coefficients: Sequence[float]) -> Lens | None:
    """Return the lens of a model's name and its coefficients in OpenCV's order, None for one that does not distort.

    Without a name it is OpenCV's model. Raise ValueError with the fix for names and numbers of coefficients that are
    not known, and for thin-prism and tilt terms.
    """
    if not np.any(coefficients):
        return None
    if not np.isfinite(coefficients).all():
        raise ValueError("lens distortion contains values that are not finite; correct or remove its coefficients")
    kind = "brown" if model is None else kind_of(model)
    if kind is None or kind == "none":
        raise ValueError(
            f"the lens distortion model {model!r} with coefficients that are not zero is not known; undistort the "
            "images and give their K without distortion"
        )
    count = len(coefficients)
    if kind == "fisheye" and (count in (4, 5) and not any(coefficients[4:])):
        return Lens("fisheye", tuple(coefficients[:4]))
    if kind == "fisheye" or count not in _FEW + _MOST:
        raise ValueError(
            f"lens distortion has {count} coefficients; give {'4' if kind == 'fisheye' else '4, 5 or 8'} in OpenCV's "
            "order, or undistort the images and give their K without distortion"
        )
    if any(coefficients[8:]) or (kind != "brown" and any(coefficients[5:])):
        raise ValueError(
            f"lens distortion with {count} coefficients has terms (thin prism, tilt or rational) that cannot be undone "
            "here; undistort the images and give their K without distortion, or calibrate with at most 8 coefficients"
        )
    return Lens(kind, (*coefficients[:8], *[0.0] * (8 - count)))


def kind_of(name: str) -> Literal["brown", "modified", "inverse", "fisheye", "none"] | None:
    """Return the key of MODELS for a model's name in any writing, for example `distortion.brown_conrady`."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower().removeprefix("distortion.")).strip("_")
    return next((kind for kind, names in MODELS.items() if plain in names), None)  # type: ignore[return-value]


def undistorted(rgb: np.ndarray, depth: np.ndarray, camera: Camera, lens: Lens) -> tuple[np.ndarray, np.ndarray, float]:
    """Return colour (H, W, 3) uint8 and depth (H, W) as a pinhole camera with the same K sees them.

    Colour is bilinear, depth nearest; both are 0 where the distorted image has no pixel. The third value is the largest
    displacement of a pixel that is seen, in pixels.
    """
    matrix = tuple(np.asarray(camera.K, dtype=np.float64).ravel().tolist())
    positions, largest = _positions(matrix, camera.width, camera.height, lens)
    planes = [np.ascontiguousarray(rgb[..., channel]) for channel in range(3)]
    colour, measured = np.empty_like(rgb), np.empty_like(depth)
    for top in range(0, camera.height, BAND):
        rows = slice(top, top + BAND)
        measured[rows] = _sample(planes, depth, positions[rows], colour[rows])
    return colour, measured, largest


@lru_cache(maxsize=2)
def _positions(matrix: tuple[float, ...], width: int, height: int, lens: Lens) -> tuple[np.ndarray, float]:
    """Return the pixel (H, W, 2) float32 of the distorted image that every pixel shows, NOWHERE where it shows none.

    The second value is the largest displacement, in pixels, among pixels that show a part of the image.
    """
    camera = Camera(np.array(matrix).reshape(3, 3), width, height)
    columns, rows = (np.arange(0, size + STEP, STEP, dtype=np.float64) for size in (width, height))
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    plane = camera.unproject(grid, np.ones(len(grid)))[:, :2]
    radius = np.linalg.norm(plane, axis=1, keepdims=True)
    reach = lens.reach(float(radius.max()))
    bent = lens.distort(plane * np.minimum(1, reach / np.where(radius > 0, radius, 1)))
    known = camera.project(np.concatenate([bent, np.ones((len(bent), 1))], axis=1)).astype(np.float32)
    known = known.reshape(len(rows), len(columns), 2)
    down, across = _weights(height, rows), _weights(width, columns)
    positions = np.stack([down @ known[..., axis] @ across.T for axis in (0, 1)], axis=-1)
    u, v = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    seen = _inside(positions, width, height)
    if reach < radius.max():
        seen &= ((u - matrix[2]) / matrix[0]) ** 2 + ((v - matrix[5]) / matrix[4]) ** 2 <= reach**2
    positions[~seen] = NOWHERE
    squared = (positions[..., 0] - u) ** 2 + (positions[..., 1] - v) ** 2
    return positions, float(np.sqrt(squared.max(where=seen, initial=0)))


def _weights(size: int, known: np.ndarray) -> np.ndarray:
    """Return weights (size, N) float32 that interpolate `size` positions linearly from the N `known` ones."""
    return np.maximum(0, 1 - np.abs(np.arange(size)[:, None] - known) / STEP).astype(np.float32)


def _inside(positions: np.ndarray, width: int, height: int) -> np.ndarray:
    """Return which positions (..., 2) in pixels are inside an image."""
    u, v = positions[..., 0], positions[..., 1]
    return (u >= -0.5) & (u < width - 0.5) & (v >= -0.5) & (v < height - 0.5)


def _sample(planes: Sequence[np.ndarray], depth: np.ndarray, positions: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Write colour, bilinear, of three planes (H, W) at positions (h, W, 2) into `colour` (h, W, 3), and return the
    nearest depth (h, W). Both are 0 outside the image.
    """
    height, width = depth.shape
    inside = _inside(positions, width, height)
    u, v = np.clip(positions[..., 0], 0, width - 1), np.clip(positions[..., 1], 0, height - 1)
    left, top = np.minimum(u.astype(np.int32), width - 2), np.minimum(v.astype(np.int32), height - 2)
    across, down, first = u - left, v - top, top * width + left
    lower, upper = down * inside, (1 - down) * inside
    weights = [upper * (1 - across), upper * across, lower * (1 - across), lower * across]
    corners = [first, first + 1, first + width, first + width + 1]
    for channel, plane in enumerate(planes):
        total = np.float32(0.5)
        for corner, weight in zip(corners, weights, strict=True):
            total = total + np.take(plane, corner) * weight
        colour[..., channel] = total
    nearest = np.rint(v).astype(np.int32) * width + np.rint(u).astype(np.int32)
    return np.take(depth, nearest) * inside


def _stretch(squared: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Return the radial factor at squared radii, OpenCV's rational polynomial."""
    k1, k2, _, _, k3, k4, k5, k6 = coefficients
    return (1 + squared * (k1 + squared * (k2 + squared * k3))) / (1 + squared * (k4 + squared * (k5 + squared * k6)))


def _bent_angle(radius: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Return the distorted radius at ideal radii of the fisheye model."""
    k1, k2, k3, k4 = coefficients
    angle = np.arctan(radius)
    squared = angle**2
    return angle * (1 + squared * (k1 + squared * (k2 + squared * (k3 + squared * k4))))


def _polynomial(plane: np.ndarray, coefficients: Sequence[float], modified: bool = False) -> np.ndarray:
    """Return points (..., 2) moved by the radial and tangential terms; `modified`: the tangential ones come second."""
    p1, p2 = coefficients[2:4]
    squared = (plane**2).sum(axis=-1)
    moved = plane * _stretch(squared, coefficients)[..., None]
    x, y = np.moveaxis(moved if modified else plane, -1, 0)
    tangential = [2 * p1 * x * y + p2 * (squared + 2 * x * x), p1 * (squared + 2 * y * y) + 2 * p2 * x * y]
    return moved + np.stack(tangential, axis=-1)


def _inverted(plane: np.ndarray, coefficients: Sequence[float]) -> np.ndarray:
    """Return the points (..., 2) that `_polynomial` moves to `plane`, by Newton's method."""
    step, found = 1e-6, plane.copy()
    for _ in range(8):
        moved = _polynomial(found, coefficients)
        slopes = [(_polynomial(found + step * axis, coefficients) - moved) / step for axis in np.eye(2)]
        jacobian = np.stack(slopes, axis=-1)  # (..., 2 values, 2 variables)
        found = found + np.linalg.solve(jacobian, (plane - moved)[..., None])[..., 0]
    return found
