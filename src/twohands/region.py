"""The metric region around one hand: a virtual camera that looks at the hand, upright, as if it were a right hand.

The region of a hand is SIDE metres wide at its depth z0. Its frame has the origin of the camera frame, +z through the
middle of the region, and -y towards the fingers; the frame of a left hand is mirrored in x, so that all hands look like
right ones. `axes` turns the camera frame into it: p_region = axes @ p_camera, with determinant -1 where it mirrors.

Plane coordinates (x, y, d) of a point (X, Y, Z) of the region frame are x = X z0 / Z, y = Y z0 / Z, d = Z - z0, metres:
x and y are places in the region's pictures, d is depth relative to the region.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from twohands.geometry.camera import Camera
from twohands.geometry.record import Array, TensorRecord
from twohands.geometry.transforms import shortest_turn
from twohands.geometry.warp import warped
from twohands.types import RGBDFrame

SIDE = 0.26
"""Side of a region at its depth, metres."""
DEPTH_SIZE, COLOUR_SIZE = 112, 224
"""Pixels along the side of a region's depth picture, and of its colour picture."""
NEAREST = 0.05
"""Smallest depth in the region frame, metres; nearer points are moved there before they are projected."""


@dataclass(frozen=True)
class Region(TensorRecord):
    """Place of a hand, or a batch of them."""

    axes: Array  # (*B, 3, 3)
    depth: Array  # (*B,) z0, metres

    def to_plane(self, points: Array) -> Array:
        """Return the plane coordinates (*B, N, 3) of points (*B, N, 3) of the camera frame."""
        xp = array_namespace(points)
        inside = points @ xp.matrix_transpose(self.axes)
        depth, z = self.depth[..., None, None], xp.clip(inside[..., 2:], min=NEAREST)
        return xp.concat([inside[..., :2] * depth / z, z - depth], axis=-1)

    def from_plane(self, plane: Array) -> Array:
        """Return the points (*B, N, 3) of the camera frame at plane coordinates (*B, N, 3)."""
        return self.inside(plane) @ self.axes

    def inside(self, plane: Array) -> Array:
        """Return the points (*B, N, 3) of the region frame at plane coordinates (*B, N, 3)."""
        xp = array_namespace(plane)
        depth = self.depth[..., None, None]
        z = plane[..., 2:] + depth
        return xp.concat([plane[..., :2] * z / depth, z], axis=-1)


def region_at(camera: Camera, pixel: np.ndarray, angle: float, depth: float, mirrored: bool) -> Region:
    """Return the region whose middle is seen at a pixel (2,) of the camera, `depth` metres along that ray's z.

    `angle` (radians) is the direction of the fingers in the image: 0 is up, pi / 2 to the right. `mirrored` is for left
    hands.
    """
    point = camera.unproject(np.asarray(pixel, np.float64)[None], np.array([float(depth)]))[0]
    look = shortest_turn(point, np.array([0.0, 0.0, 1.0]))
    # a small step to the fingers in the image, at constant depth, shows where up is in the region frame
    step = look @ np.array([np.sin(angle) / camera.focal[0], -np.cos(angle) / camera.focal[1], 0.0])
    up = step[:2] / np.linalg.norm(step[:2])
    roll = np.array([[-up[1], up[0], 0.0], [-up[0], -up[1], 0.0], [0.0, 0.0, 1.0]])
    axes = roll @ look
    if mirrored:
        axes = np.diag([-1.0, 1.0, 1.0]) @ axes
    return Region(axes, np.float64(np.linalg.norm(point)))


def grid(size: int) -> np.ndarray:
    """Return the places (size * size, 2) metres of the pixel centres of a region's picture, row by row."""
    along = ((np.arange(size) + 0.5) / size - 0.5) * SIDE
    return np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2)


def _sources(region: Region, camera: Camera, size: int) -> np.ndarray:
    """Return the pixels (size * size, 2) of the image that a region's picture shows."""
    places = grid(size)
    rays = np.concatenate([places / region.depth, np.ones((len(places), 1))], axis=1)
    seen = rays @ region.axes  # rays of the camera frame
    return camera.project(seen[None])[0]


@dataclass(frozen=True)
class Views(TensorRecord):
    """N regions of a frame and the pictures that they show."""

    region: Region  # of N, float64
    colour: np.ndarray  # (N, 3, COLOUR_SIZE, COLOUR_SIZE) float32 in [0, 1]
    depth: np.ndarray  # (N, DEPTH_SIZE, DEPTH_SIZE) float32 metres relative to the region, NaN: not measured

    def mirrored(self, which: np.ndarray) -> Views:
        """Return the views with some of them, (N,) bool, as if for a hand of the other side."""
        axes = np.where(which[:, None, None], np.diag([-1.0, 1.0, 1.0]) @ self.region.axes, self.region.axes)
        colour, depth = self.colour.copy(), self.depth.copy()
        colour[which], depth[which] = colour[which][..., ::-1], depth[which][..., ::-1]
        return Views(Region(axes, self.region.depth), colour, depth)


def views(frame: RGBDFrame, regions: list[Region]) -> Views:
    """Return what regions of a frame show."""
    return Views(
        Region(
            np.array([region.axes for region in regions]).reshape(-1, 3, 3),
            np.array([region.depth for region in regions], np.float64),
        ),
        np.array([colour_picture(region, frame) for region in regions]).reshape(-1, 3, COLOUR_SIZE, COLOUR_SIZE),
        np.array([depth_picture(region, frame) for region in regions]).reshape(-1, DEPTH_SIZE, DEPTH_SIZE),
    )


def depth_picture(region: Region, frame: RGBDFrame) -> np.ndarray:
    """Return the depth (DEPTH_SIZE, DEPTH_SIZE) float32 relative to the region, metres in the region frame; NaN where
    nothing is measured.
    """
    camera = frame.camera.map(lambda array: np.asarray(array, np.float64))
    pixels = _sources(region, camera, DEPTH_SIZE)
    height, width = frame.depth.shape
    column, row = np.rint(pixels).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    column, row = column.clip(0, width - 1), row.clip(0, height - 1)
    measured = np.where(inside, frame.depth[row, column], 0)
    rays = camera.unproject(np.stack([column, row], axis=-1).astype(np.float64), measured)
    relative = rays @ region.axes[2] - region.depth
    return np.where(measured > 0, relative, np.nan).reshape(DEPTH_SIZE, DEPTH_SIZE).astype(np.float32)


def colour_picture(region: Region, frame: RGBDFrame) -> np.ndarray:
    """Return the colours (3, COLOUR_SIZE, COLOUR_SIZE) float32 in [0, 1]: bilinear, the image's border is repeated."""
    step = SIDE / COLOUR_SIZE / region.depth
    rays = np.array([[step, 0, -SIDE / 2 / region.depth], [0, step, -SIDE / 2 / region.depth], [0, 0, 1]])
    edges = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]]) @ np.asarray(frame.camera.K, np.float64)
    return warped(np.asarray(frame.rgb), edges @ region.axes.T @ rays, COLOUR_SIZE)
