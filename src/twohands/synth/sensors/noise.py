"""Noise of depth images: fields of mean 0 and deviation 1 whose neighbours agree."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter


def blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    """A Gaussian of so many pixels, cut at three deviations."""
    return gaussian_filter(image, deviation, truncate=3.0)


def broad_noise(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """(h, w) float32: white noise seen through a Gaussian of so many pixels."""
    broad = blurred(rng.standard_normal(shape, dtype=np.float32), deviation)
    return broad / broad.std()


def mixed_noise(rng: np.random.Generator, shape: tuple[int, ...], share: float, deviation: float) -> np.ndarray:
    """(h, w) float32: white noise and, as a share of the variance, broad noise."""
    white = rng.standard_normal(shape, dtype=np.float32)
    return math.sqrt(1 - share) * white + math.sqrt(share) * broad_noise(rng, shape, deviation)


def window_noise(rng: np.random.Generator, shape: tuple[int, int], window: int) -> np.ndarray:
    """(h, w) float32: white noise averaged over a square window, as a matcher of windows makes it."""
    return window * uniform_filter(rng.standard_normal(shape, dtype=np.float32), window, mode="wrap")
