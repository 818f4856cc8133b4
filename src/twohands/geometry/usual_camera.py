"""Intrinsics of usual cameras, and the image that unusual ones would fit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

FOUR = ((0, 0), (1, 1), (0, 2), (1, 2))
"""Places of fx, fy, cx and cy in the matrix."""
FOCAL_RANGE = (0.2, 10.0)
"""Smallest and largest possible focal length in image widths: 136 and 6 degrees of view."""
LEAST_UNEQUAL = 0.03
"""Smallest relative difference of fx and fy that no camera with square pixels has."""
LEAST_OFF_CENTRE = 0.07
"""Smallest distance of the principal point from the middle, in image widths along either axis, that is unusual."""
USUAL_FOCAL = (0.3, 2.0)
"""Focal lengths of depth cameras in image widths: 118 and 28 degrees of view."""
ORDERS = {"fx,cx,fy,cy": (0, 2, 1, 3), "cx,cy,fx,fy": (2, 3, 0, 1)}
"""Wrong orders of the four numbers, and the places at which fx, fy, cx and cy are among them."""
COMMON_SIZES = (
    *((256, 192), (320, 240), (424, 240), (480, 270), (512, 424), (512, 512), (640, 360), (640, 400), (640, 480)),
    *((640, 576), (720, 540), (800, 600), (848, 480), (960, 540), (960, 720), (1024, 768), (1024, 1024), (1280, 720)),
    *((1280, 800), (1280, 960), (1280, 1024), (1440, 1080), (1920, 1080), (1920, 1440), (2048, 1536), (2208, 1242)),
    *((2560, 1440), (3840, 2160), (4032, 3024), (4096, 3072)),
)
"""Widths and heights of images that depth cameras and phones record, in pixels."""
FACTORS = (1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 4 / 3, 3 / 2, 2, 3, 4, 6, 8)
"""Factors by which recorders scale images."""
LARGEST_IN_OTHER_UNITS = 20.0
"""Largest focal length that may be one in millimetres, or in fractions of the image's size."""
FITS = 0.04
"""Largest distance of a principal point from the middle of the image that intrinsics fit, in widths of that image."""


def order_of(matrix: np.ndarray, width: int, height: int) -> str | None:
    """Return the order of ORDERS in which the numbers of an unusual `matrix` would be a usual camera's, else None."""
    numbers = [float(matrix[place]) for place in FOUR]
    if _is_usual(numbers, width, height):
        return None
    fits = (name for name, places in ORDERS.items() if _is_usual([numbers[at] for at in places], width, height))
    return next(fits, None)


def order_sentence(order: str, matrix: np.ndarray, width: int, height: int) -> str:
    """Return the sentence about intrinsics whose numbers are in another order than fx, fy, cx, cy."""
    fx, fy, cx, cy = (f"{matrix[place]:g}" for place in FOUR)
    return (
        f"fx, fy = {fx}, {fy} and cx, cy = {cx}, {cy} px are not plausible for {width}x{height} pixels, but the four "
        f"numbers would be in the order {order}; give them as fx,fy,cx,cy"
    )


def off_centre(center: Sequence[float], width: int, height: int) -> float:
    """Return the distance of a principal point from the middle, in image widths along the worse axis."""
    return max(abs(center[0] - (width - 1) / 2), abs(center[1] - (height - 1) / 2)) / width


def size_sentence(size: tuple[int, int], width: int, height: int) -> str:
    """Return the end of a sentence about intrinsics that would fit an image of another `size`."""
    if size == (height, width):
        return (
            f"these intrinsics would fit {size[0]}x{size[1]}, the image turned by 90 degrees: exchange cx and cy, or "
            "turn colour and depth back"
        )
    return f"these intrinsics would fit {size[0]}x{size[1]}: give those of the resolution of the images"


def remedy(matrix: np.ndarray, width: int, height: int) -> str | None:
    """Return what impossible intrinsics are likely to be, and the fix; None where nothing is likely."""
    order = order_of(matrix, width, height)
    if order is not None:
        return order_sentence(order, matrix, width, height)
    fx, fy, cx, cy = (float(matrix[place]) for place in FOUR)
    size = fitting_size(fx, cx, cy, width, height)
    if size is not None:
        return size_sentence(size, width, height)
    middle = (width - 1) / 2 / cx if cx > 0 else 1.0  # puts the principal point there
    scales = ((width, height), (width, width), (middle, middle))
    scaled = [(fx * right, fy * down, cx * right, cy * down) for right, down in scales]
    usual = next((numbers for numbers in scaled if _is_usual(numbers, width, height)), None)
    if usual is None or max(fx, fy) > LARGEST_IN_OTHER_UNITS:
        return None
    return (
        "the intrinsics seem to be in fractions of the image's size, or in millimetres; give them in pixels, "
        f"fx,fy,cx,cy would be about {','.join(f'{number:.0f}' for number in usual)}"
    )


def _is_usual(numbers: Sequence[float], width: int, height: int) -> bool:
    fx, fy, *center = numbers
    low, high = FOCAL_RANGE
    square = abs(fx - fy) <= LEAST_UNEQUAL * max(fx, fy)
    return low * width <= fx <= high * width and square and off_centre(center, width, height) <= LEAST_OFF_CENTRE


def fitting_size(focal: float, cx: float, cy: float, width: int, height: int) -> tuple[int, int] | None:
    """Return the image size, common or a usual multiple of this one, that a K fits best, None if it fits none.

    A size fits if its middle is near the principal point and the field of view is usual.
    """
    scaled = [(round(width * factor), round(height * factor)) for factor in FACTORS]
    wide = {*COMMON_SIZES, *scaled, (height, width)} - {(width, height)}
    candidates = wide | {(short, long) for long, short in COMMON_SIZES if height > width}
    low, high = USUAL_FOCAL
    usual = [size for size in candidates if low * size[0] <= focal <= high * size[0]]
    distances = {size: off_centre((cx, cy), *size) for size in usual}
    near = [size for size in usual if distances[size] <= FITS]
    return min(near, key=lambda size: (distances[size], size)) if near else None
