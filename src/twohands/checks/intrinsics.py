"""Check whether intrinsics that are possible are plausible for the image: findings with the likely cause."""

from __future__ import annotations

import math

import numpy as np

from twohands.findings import Finding
from twohands.geometry.camera import Camera
from twohands.geometry.usual_camera import (
    LEAST_OFF_CENTRE,
    LEAST_UNEQUAL,
    USUAL_FOCAL,
    fitting_size,
    off_centre,
    order_of,
    order_sentence,
    size_sentence,
)


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
    size = fitting_size(fx, cx, cy, width, height) if off > LEAST_OFF_CENTRE else None
    if size is not None:
        sentence = (
            f"the principal point ({cx:g}, {cy:g}) px is far from the middle of the {width}x{height} image; "
            f"{size_sentence(size, width, height)}"
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
