"""A Kalman filter with constant velocity for many coordinates at once, and its Rauch-Tung-Striebel smoother.

Coordinates in one group share their noise. A step of dt seconds adds the noise of a random acceleration with the given
standard deviation; time stamps count, not frame numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """Mean and covariance of the coordinates' positions and velocities."""

    mean: np.ndarray  # (2, N) positions, velocities per second
    covariance: np.ndarray  # (N, 2, 2)

    @property
    def position(self) -> np.ndarray:
        """(N,)."""
        return self.mean[0]


@dataclass(frozen=True)
class Filtered:
    """One step of the filter, as the smoother needs it."""

    transition: np.ndarray  # (2, 2)
    expected: Estimate  # before the measurement
    known: Estimate  # after it


def begun(values: np.ndarray, deviation: np.ndarray, speed: np.ndarray) -> Estimate:
    """Return the estimate after a first measurement (N,) with deviation (N,); velocities (N,) are 0 +- speed."""
    covariance = np.zeros((len(values), 2, 2))
    covariance[:, 0, 0], covariance[:, 1, 1] = deviation**2, speed**2
    return Estimate(np.stack([values, np.zeros_like(values)]), covariance)


def predicted(estimate: Estimate, dt: float, acceleration: np.ndarray) -> tuple[np.ndarray, Estimate]:
    """Return the transition (2, 2) and the estimate dt seconds later, for random accelerations (N,)."""
    transition = np.array([[1.0, dt], [0.0, 1.0]])
    noise = np.array([[dt**3 / 3, dt**2 / 2], [dt**2 / 2, dt]])  # of white acceleration
    spread = transition @ estimate.covariance @ transition.T + (acceleration**2)[:, None, None] * noise
    return transition, Estimate(transition @ estimate.mean, spread)


def corrected(estimate: Estimate, values: np.ndarray, deviation: np.ndarray) -> Estimate:
    """Return the estimate after measurements (N,) with standard deviations (N,)."""
    spread = estimate.covariance
    gain = spread[:, :, 0] / (spread[:, 0, 0] + deviation**2)[:, None]  # (N, 2)
    mean = estimate.mean + gain.T * (values - estimate.position)
    return Estimate(mean, spread - gain[:, :, None] * spread[:, None, 0, :])


def smoothed(steps: list[Filtered]) -> list[Estimate]:
    """Return the estimates that use all measurements, before and after (Rauch, Tung, Striebel 1965)."""
    if not steps:
        return []
    result = [steps[-1].known]
    for step, following in zip(steps[-2::-1], steps[:0:-1], strict=True):
        later = result[-1]
        expected = following.expected
        gain = step.known.covariance @ following.transition.T @ np.linalg.inv(expected.covariance)
        mean = step.known.mean + np.einsum("nij,jn->in", gain, later.mean - expected.mean)
        change = later.covariance - expected.covariance
        result.append(Estimate(mean, step.known.covariance + gain @ change @ np.swapaxes(gain, 1, 2)))
    return result[::-1]
