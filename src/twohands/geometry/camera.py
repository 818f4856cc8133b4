"""The pinhole camera. A crop or a resize changes the camera, never the points.

Camera frame: OpenCV (+x right, +y down, +z forward), metres. Pixels (u, v): integer coordinates are pixel centres,
so an image spans [-0.5, width - 0.5] x [-0.5, height - 0.5] and a resize by s maps u to (u + 0.5) s - 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

from array_api_compat import array_namespace

from twohands.geometry.record import Array, TensorRecord


@dataclass(frozen=True)
class Camera(TensorRecord):
    """Intrinsics of one image, or of a batch of images of equal size."""

    K: Array  # (*B, 3, 3) pixels
    width: int
    height: int

    @property
    def focal(self) -> Array:
        """(*B, 2) focal lengths (fx, fy) in pixels."""
        xp = array_namespace(self.K)
        return xp.stack([self.K[..., 0, 0], self.K[..., 1, 1]], axis=-1)

    @property
    def center(self) -> Array:
        """(*B, 2) principal point (cx, cy) in pixels."""
        return self.K[..., :2, 2]

    def project(self, points: Array) -> Array:
        """Return the pixels (*B, N, 2) of points (*B, N, 3) in metres, camera frame. Depth must not be zero."""
        return points[..., :2] / points[..., 2:] * self.focal[..., None, :] + self.center[..., None, :]

    def unproject(self, pixels: Array, depth: Array) -> Array:
        """Return the points (*B, N, 3) of pixels (*B, N, 2) and their depth along z (*B, N) in metres."""
        xp = array_namespace(pixels)
        plane = (pixels - self.center[..., None, :]) / self.focal[..., None, :]
        return xp.concat([plane, xp.ones_like(plane[..., :1])], axis=-1) * depth[..., None]

    def rays(self) -> Array:
        """Return the direction (*B, height, width, 3) through every pixel, scaled so that z = 1."""
        xp = array_namespace(self.K)
        columns = xp.arange(self.width, dtype=self.K.dtype, device=self.K.device)
        rows = xp.arange(self.height, dtype=self.K.dtype, device=self.K.device)
        v, u = xp.meshgrid(rows, columns, indexing="ij")
        pixels = xp.reshape(xp.stack([u, v], axis=-1), (-1, 2))
        flat = self.unproject(pixels, xp.ones_like(pixels[..., 0]))
        return xp.reshape(flat, (*self.K.shape[:-2], self.height, self.width, 3))

    def crop(self, left: float, top: float, width: int, height: int) -> Camera:
        """Return the camera of a window with first pixel centre (left, top), which may reach beyond the image."""
        xp = array_namespace(self.K)
        shift = xp.asarray(
            [[0.0, 0.0, left], [0.0, 0.0, top], [0.0, 0.0, 0.0]], dtype=self.K.dtype, device=self.K.device
        )
        return Camera(self.K - shift, width, height)

    def resize(self, width: int, height: int) -> Camera:
        """Return the camera of the same view on another grid of pixels (half-pixel convention of the module)."""
        xp = array_namespace(self.K)
        sx, sy = width / self.width, height / self.height
        scale = xp.asarray(
            [[sx, 0.0, 0.5 * sx - 0.5], [0.0, sy, 0.5 * sy - 0.5], [0.0, 0.0, 1.0]],
            dtype=self.K.dtype,
            device=self.K.device,
        )
        return Camera(scale @ self.K, width, height)

    def mirror(self) -> Camera:
        """Return the camera of the left-right mirrored image; it sees points with x negated."""
        xp = array_namespace(self.K)
        flip = xp.asarray(
            [[-1.0, 0.0, self.width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], dtype=self.K.dtype, device=self.K.device
        )
        negate = xp.asarray([-1.0, 1.0, 1.0], dtype=self.K.dtype, device=self.K.device)
        return Camera((flip @ self.K) * negate, self.width, self.height)
