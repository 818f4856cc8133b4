"""Turn a user's colour, depth and camera into those of a frame, and state each change in a finding."""

from __future__ import annotations

import numpy as np

from twohands.files import as_bytes
from twohands.findings import Finding
from twohands.geometry.camera import Camera
from twohands.geometry.depth import marker_value, resized
from twohands.geometry.distortion import Lens, undistorted

SMALLEST_SIDE = 16
"""Smallest length of the shorter side of a frame, pixels."""
SAME_ASPECT = 0.01
"""Largest relative difference of the aspects of two images of the same view."""
LARGEST_16_BIT = 65535


class DepthSizeError(ValueError):
    """Error for depth of another size than colour; `remedy(option)` names the option that reads it, if one does."""

    def __init__(self, depth: tuple[int, int], colour: tuple[int, int]):
        """`depth`, `colour`: widths and heights in pixels."""
        self.sizes = f"depth is {depth[0]}x{depth[1]} but colour is {colour[0]}x{colour[1]}"
        self.turned = depth == colour[::-1]
        self.same_aspect = is_same_aspect(depth, colour)
        super().__init__(self.remedy("depth_registered=True"))

    def remedy(self, option: str) -> str:
        """Return the sentence with the fix, in which `option` declares that depth shows the view of colour."""
        register = "register the depth image to the colour image with the camera's software"
        if self.turned:
            return f"{self.sizes}, rotated by 90 degrees; rotate one, with the intrinsics of the resulting colour"
        if not self.same_aspect:
            return f"{self.sizes}; {register}"
        return f"{self.sizes}; {register}, or pass {option} if depth already shows the same view as colour"


def is_same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Return whether images of these widths and heights may show the same view."""
    return abs(first[0] * second[1] / (first[1] * second[0]) - 1) <= SAME_ASPECT


def checked_colour(rgb: np.ndarray) -> np.ndarray:
    """Return a colour image (H, W, 3) uint8; raise ValueError with the fix if it is none."""
    rgb = np.asarray(rgb)
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8:
        raise ValueError(
            f"colour must be (height, width, 3) uint8, red first; got {rgb.shape} {rgb.dtype}; leave out a fourth "
            f"channel with rgb[..., :3], make bytes with {_to_bytes(rgb)}"
        )
    height, width = rgb.shape[:2]
    if min(height, width) < SMALLEST_SIDE:
        raise ValueError(f"an image of {width}x{height} pixels is too small for hands; give the whole picture")
    return rgb


def _to_bytes(rgb: np.ndarray) -> str:
    """Return the NumPy expression that makes bytes of a colour image of another type."""
    if rgb.dtype.kind in "ui":
        return as_bytes(int(rgb.max(initial=0)))
    is_fraction = rgb.dtype.kind == "f" and not (rgb > 1).any()
    return f"{'(255 * image)' if is_fraction else 'image'}.astype(numpy.uint8)"


def without_markers(metres: np.ndarray, depth: np.ndarray, unit: float) -> tuple[np.ndarray, list[Finding]]:
    """Return depth (H, W) in metres with 0 for values that mean "not measured", and a note about each such value.

    `depth` is the user's array of the same shape in steps of `unit` metres. The values are the largest one of its type,
    65535 (as metres too, in arrays of floats), and a value that fills a part of the image where there is no surface.
    """
    depth = depth.reshape(metres.shape)
    notes = []
    for value in _largest_values(depth):
        marked = np.abs(depth - np.float32(value)) <= 1e-6 * value  # a plain number would overflow half floats
        if marked.any():
            metres = _without(metres, marked, value, unit, "is at the end of the range of integers", notes)
    while (value := marker_value(metres)) is not None:
        shown = round(value / unit, 3) if depth.dtype.kind == "f" else round(value / unit)
        metres = _without(metres, metres == value, shown, unit, "has hardly any reading near it", notes)
    return metres, notes


def in_size_of_colour(
    metres: np.ndarray, width: int, height: int, registered: bool
) -> tuple[np.ndarray, list[Finding]]:
    """Return depth (h, w) metres as (height, width), and a note if it had another size.

    Raise DepthSizeError unless the sizes are equal, or depth is `registered` and its aspect is that of colour.
    """
    size = metres.shape[1], metres.shape[0]
    if size == (width, height):
        return metres, []
    if not (registered and is_same_aspect(size, (width, height)) and min(size) > 1):
        raise DepthSizeError(size, (width, height))
    done = "enlarged" if size[0] < width else "reduced"
    sentence = (
        f"depth of {size[0]}x{size[1]} pixels was {done} to {width}x{height}, since it is said to show the view of "
        "colour; fingers thinner than a pixel of depth are missing in it"
    )
    values: dict[str, float | str] = {"width_px": size[0], "height_px": size[1]}
    return resized(metres, width, height), [Finding("depth_enlarged", "note", sentence, values)]


def through_pinhole(
    rgb: np.ndarray, metres: np.ndarray, camera: Camera, lens: Lens | None
) -> tuple[np.ndarray, np.ndarray, list[Finding]]:
    """Return colour and depth without lens distortion, as `camera` sees them, and a note if there was any."""
    if lens is None:
        return rgb, metres, []
    rgb, metres, largest = undistorted(rgb, metres, camera, lens)
    sentence = (
        f"the lens distortion given with the intrinsics was undone (by up to {largest:.1f} px); the result is for the "
        "same K without distortion. If the images had been undistorted before, leave out the coefficients"
    )
    return rgb, metres, [Finding("undistorted", "note", sentence, {"largest_shift_px": round(largest, 2)})]


def unmirrored(
    rgb: np.ndarray, metres: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray, Camera, list[Finding]]:
    """Return colour, depth and camera with left and right exchanged, and a note about it."""
    sentence = (
        "colour, depth and camera were mirrored, because they are declared as mirrored; results are of the real scene"
    )
    note = Finding("mirrored", "note", sentence)
    return rgb[:, ::-1], np.ascontiguousarray(metres[:, ::-1]), camera.mirror(), [note]


def _largest_values(depth: np.ndarray) -> tuple[float, ...]:
    """Return the values at the end of a depth array's range: of its type, of 16 bits, or of these in metres."""
    if depth.dtype.kind == "f":
        return LARGEST_16_BIT, LARGEST_16_BIT / 1000
    largest = float(depth.max(initial=0))
    return (largest,) if largest in (np.iinfo(depth.dtype).max, LARGEST_16_BIT) else ()


def _without(
    metres: np.ndarray, marked: np.ndarray, value: float, unit: float, reason: str, notes: list[Finding]
) -> np.ndarray:
    """Return depth with 0 where `marked`; append the note to `notes`."""
    filled = float(np.mean(marked))
    sentence = (
        f"the depth value {value:g} ({value * unit:.4g} m) fills {filled:.1%} of the image and {reason}: it counts as "
        "no reading; write 0 where nothing was measured"
    )
    values: dict[str, float | str] = {"value": float(value), "fraction": round(filled, 4)}
    notes.append(Finding("invalid_readings", "note", sentence, values))
    return np.where(marked, np.float32(0), metres)
