"""Functions that the readers of recordings share: optional packages, images in memory, sizes of images and depth."""

from __future__ import annotations

import importlib
from io import BytesIO
from types import ModuleType

import numpy as np
from PIL import Image

from twohands.arrays import is_same_aspect
from twohands.files import rgb_of
from twohands.geometry.camera import Camera


def require(module: str, extra: str, what: str) -> ModuleType:
    """Import and return an optional package; raise ValueError with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"{what} are read with the package {module}, which cannot be imported ({error}); "
            f"install it with: pip install 'twohands[{extra}]'"
        ) from None


def decode_rgb(content: bytes, name: str) -> np.ndarray:
    """Return a PNG or JPEG in memory as (H, W, 3) uint8, red first, as the camera saw it.

    Raise ValueError with `name`, that of the image, when it is damaged.
    """
    try:
        with Image.open(BytesIO(content)) as image:
            return rgb_of(image, name)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} is truncated or damaged ({error}); copy or record it again") from None


def scale_intrinsics(matrix: np.ndarray, size: tuple[int, int], to: tuple[int, int], name: str) -> np.ndarray:
    """Return intrinsics (3, 3) of an image of `size` (width, height) for the same view on `to` pixels.

    Raise ValueError when the aspects differ, since then the view is another one.
    """
    if size == to:
        return matrix
    if not is_same_aspect(size, to):
        raise ValueError(
            f"{name} has {to[0]}x{to[1]} pixels but the intrinsics are of {size[0]}x{size[1]}, another view (turned or "
            "cropped); export the recording again without turning or cropping it"
        )
    return np.asarray(Camera(np.asarray(matrix, dtype=np.float64), *size).resize(*to).K)


def drop_uncertain(depth: np.ndarray, confidence: np.ndarray | None, name: str) -> np.ndarray:
    """Return depth (h, w) with 0 where the confidence (h, w) of a phone, 0 to 2, is 0; None stands for all certain."""
    if confidence is None:
        return depth
    if confidence.shape != depth.shape:
        raise ValueError(
            f"the confidence of {name} has {confidence.shape[1]}x{confidence.shape[0]} pixels but its depth has "
            f"{depth.shape[1]}x{depth.shape[0]}; export the recording again"
        )
    return np.where(confidence > 0, depth, depth.dtype.type(0))


def decode_plane(content: bytes, name: str) -> np.ndarray:
    """Return an image of one channel in memory as (H, W) in its own type; raise ValueError if it is none or damaged."""
    try:
        with Image.open(BytesIO(content)) as image:
            plane = np.array(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} is truncated or damaged ({error}); copy or record it again") from None
    if plane.ndim != 2:
        raise ValueError(f"{name} has {plane.shape[2]} channels instead of one; copy or record it again")
    return plane
