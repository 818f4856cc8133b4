"""The region network in ONNX Runtime: views of regions in, presence, side, joints and hand parameters out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from twohands.geometry.record import TensorRecord
from twohands.locate.landmarks import LandmarkReader
from twohands.region import Views
from twohands.runtime import METADATA, REGION_FORMAT_VERSION, REGION_GRAPH, REGION_OUTPUTS, open_session

SHIPPED_LIGHT = files("twohands") / "weights" / "light"
"""Folder of the packaged region network."""


@dataclass(frozen=True)
class Readings(TensorRecord):
    """Output of the region network for N regions of a frame."""

    present: np.ndarray  # (N,) probability that the region shows a hand
    right: np.ndarray  # (N,) log-odds that it is a right hand, as the region shows it
    joints: np.ndarray  # (N, 21, 3) metres, camera frame
    sigma: np.ndarray  # (N, 21, 2) metres, along and across the ray
    landmarks: np.ndarray  # (N, 21, 3) metres, camera frame, of the landmark network; joint 9 at the region's depth
    clear: np.ndarray  # (N,) probability of a hand by the landmark network


class RegionReader:
    """Function from views of regions to Readings."""

    def __init__(self, folder: Any = SHIPPED_LIGHT):
        """Read the graph of a folder. Raise FileNotFoundError or ValueError with the fix when it has none."""
        folder = Path(folder) if isinstance(folder, str) else folder
        if not (folder / REGION_GRAPH).is_file():
            raise FileNotFoundError(
                f"{folder} has no {REGION_GRAPH}; write it with: twohands export CHECKPOINT --out {folder}"
            )
        self.session = open_session((folder / REGION_GRAPH).read_bytes())
        about = json.loads(self.session.get_modelmeta().custom_metadata_map.get(METADATA, "{}"))
        if about.get("format_version") != REGION_FORMAT_VERSION:
            raise ValueError(
                f"{folder} holds a region network of format {about.get('format_version')}, this version reads "
                f"{REGION_FORMAT_VERSION}; export it again"
            )
        self.inputs = [argument.name for argument in self.session.get_inputs()]
        self.landmarks = LandmarkReader()

    def __call__(self, views: Views, companion: np.ndarray | None = None) -> Readings:
        """Return what N regions show; companion (N, N) is 1 where the other region shows the person's other hand."""
        count = len(views.colour)
        if not count:
            return Readings(*(np.zeros((0, *shape)) for shape in ((), (), (21, 3), (21, 2), (21, 3), ())))
        seen = self.landmarks(views.colour)
        given = {
            "axes": views.region.axes.astype(np.float32),
            "region_depth": views.region.depth.astype(np.float32),
            "depth": views.depth,
            **{f"map_{level}": values for level, values in enumerate(seen.maps)},
            "landmarks": seen.points.astype(np.float32),
            "seen": np.stack([seen.present, seen.right], axis=-1).astype(np.float32),
            "companion": np.zeros((count, count), np.float32) if companion is None else companion.astype(np.float32),
        }
        values = self.session.run(REGION_OUTPUTS[:4], {name: given[name] for name in self.inputs})
        present, right, joints, sigma = (np.asarray(value) for value in values)
        probability = 1 / (1 + np.exp(-np.clip(present, -30, 30)))
        placed = views.region.from_plane
        return Readings(
            probability, right, placed(joints.astype(np.float64)), sigma, placed(seen.points.astype(np.float64)),
            seen.present,
        )  # fmt: skip
