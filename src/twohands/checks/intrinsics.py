"""Check whether intrinsics that are possible are plausible for the image: findings with the likely cause."""

from __future__ import annotations

import math

import numpy as np

from twohands.findings import Finding
from twohands.geometry.camera import Camera
from twohands.intrinsics import LEAST_OFF_CENTRE, LEAST_UNEQUAL, USUAL_FOCAL, off_centre, order_of, order_sentence

COMMON_SIZES = (
    *((256, 192), (320, 240), (424, 240), (480, 270), (512, 424), (512, 512), (640, 360), (640, 400), (640, 480)),
    *((640, 576), (720, 540), (800, 600), (848, 480), (960, 540), (960, 720), (1024, 768), (1024, 1024), (1280, 720)),
    *((1280, 800), (1280, 960), (1280, 1024), (1440, 1080), (1920, 1080), (1920, 1440), (2048, 1536), (2208, 1242)),
    *((2560, 1440), (3840, 2160), (4032, 3024), (4096, 3072)),
)
"""Widths and heights of images that depth cameras and phones record, in pixels."""
FACTORS = (1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 4 / 3, 3 / 2, 2, 3, 4)
"""Factors by which recorders scale images."""
FITS = 0.04
"""Largest distance of a principal point from the middle of the image that intrinsics fit, in widths of that image."""


def check_camera(camera: Camera) -> list[Finding]:
    """Return warnings about a frame's intrinsics, one for each cause."""
    matrix, width, height = np.asarray(camera.K), camera.width, camera.height
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    order = order_of(matrix, width, height)
    if order is not None:
        return [_warning("order", order_sentence(order, matrix, width, height), order=order)]
    findings = []
    unequal = abs(fx - fy) / max(fx, fy)
    if unequal > LEAST_UNEQUAL:
        sentence = (
            f"fx = {fx:g} and fy = {fy:g} px differ by {unequal:.0%}, but cameras have square pixels; give the values "
            "of the calibration, unless the images were stretched"
        )
        findings.append(_warning("unequal_focal_lengths", sentence, difference=unequal))
    off = off_centre((cx, cy), width, height)
    size = _fitting_size(fx, cx, cy, width, height) if off > LEAST_OFF_CENTRE else None
    if size is not None:
        sentence = (
            f"the principal point ({cx:g}, {cy:g}) px is far from the middle of the {width}x{height} image; these "
            f"intrinsics would fit {size[0]}x{size[1]}: give those of the resolution of the images"
        )
        return [*findings, _warning("of_other_size", sentence, width_px=size[0], height_px=size[1])]
    if off > LEAST_OFF_CENTRE:
        sentence = (
            f"the principal point ({cx:g}, {cy:g}) px is {off:.0%} of the width off the middle of the {width}x{height} "
            "image; give the intrinsics of this image, unless it is cut out of a larger one"
        )
        findings.append(_warning("principal_point", sentence, off_centre=off))
    low, high = USUAL_FOCAL
    if not low * width <= fx <= high * width:
        angle = math.degrees(2 * math.atan(width / (2 * fx)))
        sentence = (
            f"with fx = {fx:g} px the {width} px wide image covers {angle:.0f} degrees, as no usual depth camera does; "
            "give the colour camera's intrinsics in pixels of this image, unless it is cut out of a larger one"
        )
        findings.append(_warning("field_of_view", sentence, angle_deg=angle))
    return findings


def _warning(kind: str, sentence: str, **values: float | str) -> Finding:
    rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
    return Finding(f"intrinsics_{kind}", "warning", sentence, rounded)


def _fitting_size(focal: float, cx: float, cy: float, width: int, height: int) -> tuple[int, int] | None:
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
