"""Noise fields for depth images, with mean 0, standard deviation 1 and correlated neighbours."""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import gaussian_filter, uniform_filter


def blurred(image: np.ndarray, deviation: float) -> np.ndarray:
    """Blur by a Gaussian of `deviation` pixels, cut at three deviations."""
    return gaussian_filter(image, deviation, truncate=3.0)


def broad_noise(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """Return white noise (h, w) float32 blurred by a Gaussian of `deviation` pixels, at standard deviation 1."""
    broad = blurred(rng.standard_normal(shape, dtype=np.float32), deviation)
    return broad / broad.std()


def mixed_noise(rng: np.random.Generator, shape: tuple[int, ...], fraction: float, deviation: float) -> np.ndarray:
    """Return white plus broad noise (h, w) float32; the broad noise is `fraction` of the variance."""
    white = rng.standard_normal(shape, dtype=np.float32)
    return math.sqrt(1 - fraction) * white + math.sqrt(fraction) * broad_noise(rng, shape, deviation)


def window_noise(rng: np.random.Generator, shape: tuple[int, int], window: int) -> np.ndarray:
    """Return white noise (h, w) float32 averaged over a square window, as window matching produces it."""
    return window * uniform_filter(rng.standard_normal(shape, dtype=np.float32), window, mode="wrap")
