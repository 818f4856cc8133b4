"""Depth that is missing for reasons beyond the depth camera's own: cut-out recordings, and lost objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from twohands.synth.config import SynthConfig

_BY_OUTLINE = 0.6
"""Fraction of the cut-outs along the outline of hands and objects. The others keep everything near in depth."""
_BLOTCH = (4.0, 20.0)  # pixels at 640 of width: range of the deviation of the noise that shapes lost regions


@dataclass(frozen=True)
class Pictured:
    """Arrays (H, W) of what the pixels of the colour camera show."""

    hands: np.ndarray  # bool, skin of a present hand
    held: np.ndarray  # bool, a held object
    depth: np.ndarray  # metres, true


def with_losses(rng: np.random.Generator, config: SynthConfig, measured: np.ndarray, pictured: Pictured) -> np.ndarray:
    """Return measured depth (H, W), 0 = none, without the readings that this frame loses."""
    cut, lost = rng.random() < config.cut_out, rng.random() < config.lost_object
    lose, keep = rng.spawn(2)
    if lost and pictured.held.any():
        measured = np.where(_lost(lose, pictured.held), 0, measured).astype(measured.dtype)
    if cut and pictured.hands.any():
        measured = np.where(_kept(keep, pictured), measured, 0).astype(measured.dtype)
    return measured


def _lost(rng: np.random.Generator, held: np.ndarray) -> np.ndarray:
    """Return the pixels of a held object that have no reading: blotches, or all of them and a little beyond."""
    width = held.shape[1]
    if rng.random() < 0.4:
        return binary_dilation(held, iterations=_pixels(width, rng.uniform(1.0, 4.0)))
    noise = gaussian_filter(rng.standard_normal(held.shape), rng.uniform(*_BLOTCH) * width / 640)
    return held & (noise < np.quantile(noise[held], rng.uniform(0.3, 0.9)))


def _kept(rng: np.random.Generator, pictured: Pictured) -> np.ndarray:
    """Return the pixels that a cut-out recording keeps."""
    near = pictured.hands | pictured.held
    farthest = pictured.depth[pictured.hands].max() + rng.uniform(0.02, 0.12)
    kept = (pictured.depth > 0) & (pictured.depth < farthest)
    if rng.random() < _BY_OUTLINE:
        kept &= binary_dilation(near, iterations=_pixels(near.shape[1], rng.uniform(1.0, 10.0)))
    return kept


def _pixels(width: int, at_640: float) -> int:
    return max(1, round(at_640 * width / 640))
