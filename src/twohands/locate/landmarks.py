"""The landmark network on metric regions: its points, presence, side and feature maps, for the region network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twohands.geometry.record import TensorRecord
from twohands.hands.skeleton import NUM_JOINTS, ROOT
from twohands.locate.locator import LANDMARK_OUTPUTS, open_network
from twohands.region import COLOUR_SIZE, SIDE

MAP_OUTPUTS = ("stride_4", "stride_8", "stride_16")
MAP_SHAPES = ((24, 56, 56), (40, 28, 28), (112, 14, 14))
"""Shapes of the feature maps of one picture."""


@dataclass(frozen=True)
class Landmarks(TensorRecord):
    """Output of the landmark network for N regions, each shown as a right hand."""

    points: np.ndarray  # (N, 21, 3): x, y plane coordinates, z metres relative to joint 9
    present: np.ndarray  # (N,) probability of a hand
    right: np.ndarray  # (N,) probability of a right hand
    maps: tuple[np.ndarray, ...]  # (N, *MAP_SHAPES[i])


class LandmarkReader:
    """Function from the colour pictures (N, 3, COLOUR_SIZE, COLOUR_SIZE) of regions to Landmarks."""

    def __init__(self) -> None:
        self.network = open_network("landmark_full", (*LANDMARK_OUTPUTS, *MAP_OUTPUTS))

    def __call__(self, pictures: np.ndarray) -> Landmarks:
        """Return what is seen in the pictures."""
        landmarks, present, right, relative, *maps = self.network(pictures)
        pixels = landmarks.reshape(-1, NUM_JOINTS, 3)[..., :2]
        depth = relative.reshape(-1, NUM_JOINTS, 3)[..., 2:]
        places = ((pixels + 0.5) / COLOUR_SIZE - 0.5) * SIDE
        points = np.concatenate([places, depth - depth[:, ROOT : ROOT + 1]], axis=-1)
        return Landmarks(points, present[:, 0], right[:, 0], tuple(maps))
