"""Checks of frames: they raise ValueError with the fix when the values of a frame are impossible.

A frame that is merely unusual passes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from twohands.checks.around_hand import check_order, palm_depth
from twohands.checks.intrinsics import check_camera
from twohands.files import DEFAULT_INTEGER_UNIT, STRETCHED_TOP
from twohands.geometry.camera import Camera
from twohands.types import SIDE_NAMES, RGBDFrame, TwoHands

SCENE_DEPTH = (0.08, 10.0)
"""Range of the median of a whole depth image, metres, for any depth camera that sees hands."""
DEPTH_UNITS = (1.0, 0.001, 0.0001, 0.00025, 0.0002, 0.01)
"""Units in use, in metres: metres, millimetres, 0.1 mm (D405), 1/4000 m (L515 and some data sets), 1/5000 m (TUM), and
centimetres (game engines).
"""
DEFAULT_UNITS = (DEFAULT_INTEGER_UNIT, 1.0)
"""Units of integers and of floats, see `files.effective_depth_unit`."""
USUAL_DEPTH = 0.7
"""Usual median depth, metres: the advised depth unit brings the median closest to it."""
KNUCKLES = (5, 17)
KNUCKLE_BREADTH, PALM_LENGTH = 0.068, 0.088
"""Distances in an average hand, metres: index to little knuckle, and wrist to middle knuckle."""
WRONG_SIZE = 2.5
"""Size ratio to an average hand beyond which a hand is impossible; adult hands differ by a factor of 1.4."""
ENOUGH_READINGS = 160
"""Smallest number of readings at the 400 places on the palm; with fewer a hole may show the background."""
RIGHT_SIZE = 1.7
"""A depth unit is advised when it brings the hand within this factor of an average one."""


class DepthScaleError(ValueError):
    """Error for depth that cannot be in metres.

    A factor between `low` and `high`, ideally `best`, would make the depth plausible; `sentence` turns this into the
    depth units to try. None is named for depth whose largest value, `furthest` metres, is at the end of the 16-bit
    range: a viewer may have stretched it.
    """

    def __init__(
        self, problem: str, best: float, low: float, high: float, most: int, otherwise: str, furthest: float = 0.0
    ):
        self.furthest = furthest
        self.problem, self.best, self.low, self.high, self.most, self.otherwise = (
            problem,
            best,
            low,
            high,
            most,
            otherwise,
        )
        super().__init__(self.sentence(None))

    @property
    def judged_by(self) -> str:
        """Judge of the scale: `scene` for the whole image, `hands` for their size."""
        return "scene" if self.most == 1 else "hands"

    def sentence(self, depth_unit: float | None) -> str:
        """Return the problem and its fix, for depth that was read with `depth_unit` metres per step (None: unknown)."""
        if depth_unit is not None and STRETCHED_TOP <= self.furthest / depth_unit < 65536:
            return (
                f"{self.problem} and reaches the end of the 16-bit range, as if a viewer had stretched it; give the "
                "16-bit image of the sensor, or its --depth-unit if this is one"
            )
        units, factors = _other_units(depth_unit)
        fits = (self.low <= factors) & (factors <= self.high)
        order = np.argsort(np.where(fits, np.abs(np.log(factors / self.best)), np.inf), kind="stable")
        units = units[order][: min(self.most, int(fits.sum()))]
        problem = self.problem
        if len(units) and self.most == 1 and math.isclose(factors[order[0]], 0.001):
            problem = problem.replace("is too far", "looks like millimetres")
        verb = "pass" if self.most == 1 else "try"
        return f"{problem}; {f'{verb} {_option(units, depth_unit)}' if len(units) else self.otherwise}"


@contextmanager
def advising_unit(depth_unit: float | None) -> Iterator[None]:
    """Name the command line's --depth-unit in errors about the scale of depth that was read with `depth_unit`."""
    try:
        yield
    except DepthScaleError as error:
        raise ValueError(error.sentence(depth_unit)) from None


def check_frame(frame: RGBDFrame) -> None:
    """Raise ValueError when colour or depth of the frame cannot be right."""
    if not np.isfinite(frame.rgb).all():
        raise ValueError("colour contains values that are not finite; give an 8-bit picture")
    if not np.isfinite(frame.depth).all():
        raise ValueError("depth contains values that are not finite; write 0 where there is no reading")
    valid = frame.depth[frame.depth > 0]
    if not len(valid):
        raise ValueError(
            "depth is zero everywhere; check that the depth camera was recording and the file is complete. "
            "Frames of colour alone need a trained network that reads no depth (--network.fusion rgb_only)"
        )
    median = float(np.median(valid, overwrite_input=True))  # `valid` is a copy
    low, high = SCENE_DEPTH
    if not low <= median <= high:
        furthest = float(valid.max()) if median > high else 0.0
        problem = f"depth is too {'far' if median > high else 'near'} (median {median:.3g} m)"
        raise DepthScaleError(problem, USUAL_DEPTH / median, low / median, high / median, 1, "check its unit", furthest)


def joint_pixels(camera: Camera, hands: TwoHands) -> np.ndarray:
    """Return where the joints are in the image (2, 21, 2), NaN for an absent hand."""
    pixels = camera.project(np.asarray(hands.joints, np.float64))
    return np.where(np.asarray(hands.is_present)[:, None, None], pixels, np.nan)


def check_hand_size(pixels: np.ndarray, depth: np.ndarray, camera: Camera) -> None:
    """Raise ValueError when the hands have an impossible size: depth unit or intrinsics are wrong.

    pixels (2, 21, 2) image landmarks, NaN for an absent hand; depth (H, W) metres. All hands of the frame must agree.
    """
    sizes = {side: palm_size(pixels[side], depth, camera) for side in range(2) if np.isfinite(pixels[side]).all()}
    sizes = {side: size for side, size in sizes.items() if size is not None}
    ratios = [size for size in sizes.values() if size > 0]
    if not ratios or not (min(ratios) > WRONG_SIZE or max(ratios) < 1 / WRONG_SIZE):
        return
    ratio = math.exp(np.mean(np.log(ratios)))
    problem = f"the {SIDE_NAMES[next(iter(sizes))]} hand's knuckles would be {KNUCKLE_BREADTH * ratio:.2g} m wide"
    causes = (*check_camera(camera), *check_order(pixels, depth))
    if causes:
        raise ValueError(f"{problem}; {causes[0]}")
    otherwise = "check the unit of the depth and the intrinsics"
    raise DepthScaleError(problem, 1 / ratio, 1 / (ratio * RIGHT_SIZE), RIGHT_SIZE / ratio, len(DEPTH_UNITS), otherwise)


def palm_size(pixels: np.ndarray, depth: np.ndarray, camera: Camera) -> float | None:
    """Return the size of a palm relative to an average one, None without enough readings on the palm.

    pixels (21, 2): landmarks of one hand. The size is measured along the less foreshortened of breadth and length, with
    the readings that make the hand most ordinary, so that neither background in holes of the depth nor an occluder
    makes its size impossible.
    """
    readings = palm_depth(pixels, depth)
    readings = readings[readings > 0]
    if len(readings) < ENOUGH_READINGS:
        return None
    focal = np.asarray(camera.focal, dtype=np.float64)
    index, little, middle, wrist = (pixels[joint] / focal for joint in (*KNUCKLES, 9, 0))  # on the plane z = 1
    breadth, length = float(np.linalg.norm(index - little)), float(np.linalg.norm(middle - wrist))
    scale = max(breadth / KNUCKLE_BREADTH, length / PALM_LENGTH)
    near, far = np.percentile(readings, (15, 85))
    return float(near * scale if near * scale > 1 else min(far * scale, 1.0))


def _other_units(depth_unit: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the units in use, and the factors that correct depth in these units read with `depth_unit`.

    If `depth_unit` is unknown, both defaults are considered: that of integers and that of floats.
    """
    own = np.array(DEFAULT_UNITS if depth_unit is None else [depth_unit])
    units = np.tile(DEPTH_UNITS, len(own))
    return units, units / np.repeat(own, len(DEPTH_UNITS))


def _option(units: np.ndarray, depth_unit: float | None) -> str:
    """Return the option with these units, for the command line if `depth_unit` is known, otherwise for Python."""
    return ("depth_unit=" if depth_unit is None else "--depth-unit ") + " or ".join(f"{unit:g}" for unit in units)
