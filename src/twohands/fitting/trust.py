"""Say how far to trust a reconstructed hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from twohands.fitting.quality import Comparison
from twohands.fitting.solver import FoundHand
from twohands.geometry.camera import Camera
from twohands.types import TwoHands


@dataclass(frozen=True)
class Observation:
    """One reconstructed hand with everything that speaks for or against it; metres, camera frame."""

    side: int
    camera: Camera
    present: float
    vertices: np.ndarray  # (V, 3)
    joints: np.ndarray  # (21, 3)
    facing: np.ndarray  # (V,) bool, see `quality.Comparison`; likewise the next four
    visible: np.ndarray  # (V,) bool
    inside: np.ndarray  # (V,) bool
    measured: np.ndarray  # (V,) metres
    behind: np.ndarray  # (V,) metres
    other: np.ndarray | None  # (21, 3) joints of the other hand, if there is one
    found: FoundHand | None = None  # the fit, in the right hand's (mirrored) camera; None without a fit
    side_odds: float = np.inf  # log-odds of the sides of all hands of the frame, from the colour image
    depth_gain: float = np.nan  # depth energy that all hands would gain on exchanged sides; NaN: not tried


Judge = Callable[[list[Observation]], tuple[np.ndarray, np.ndarray]]


def observe(
    camera: Camera,
    hands: TwoHands,
    comparison: Comparison,
    found: Mapping[int, FoundHand] | None = None,
    odds: float = np.inf,
    gain: float = np.nan,
) -> list[Observation]:
    """Return an observation of every present hand."""
    sides, result = hands.present_sides, []
    for side in sides:
        surface = (getattr(comparison, name)[side] for name in ("facing", "visible", "inside", "measured", "behind"))
        other = hands.joints[1 - side] if 1 - side in sides else None
        fit = None if found is None else found[side]
        result.append(
            Observation(
                side,
                camera,
                float(hands.present[side]),
                hands.vertices[side],
                hands.joints[side],
                *surface,
                other,
                fit,
                odds,
                gain,
            )
        )
    return result


class Trust:
    def __init__(self, name: str):
        self.name = name

    def __call__(self, observations: list[Observation]) -> tuple[np.ndarray, np.ndarray]:
        return np.full(2, np.nan, np.float32), np.full((2, 21, 2), np.nan, np.float32)
