"""Fit the hand model to image landmarks and measured depth (NumPy and SciPy only)."""

from twohands.fitting.energy import EnergyConfig
from twohands.fitting.evidence import located_hands
from twohands.fitting.fit import HandFitter
from twohands.fitting.solver import FitConfig

__all__ = ["EnergyConfig", "FitConfig", "HandFitter", "located_hands"]
