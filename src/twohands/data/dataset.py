"""What training reads: any data set as augmented, network-sized items, each a pure function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from twohands.config import AugmentConfig
from twohands.data.augment import augmented, imperfect_masks
from twohands.geometry.record import Array, TensorRecord
from twohands.synth.shards import SyntheticShards
from twohands.types import Sample

Draw = tuple[int, int]
"""(epoch, index): the index-th frame as it is seen in an epoch."""


class Dataset(Protocol):
    """The contract of a data set: a fixed number of frames with their truth, NumPy arrays."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


DATASETS: dict[str, Callable[[str], Dataset]] = {"synthetic": SyntheticShards}
"""Name -> reader of a folder."""


@dataclass(frozen=True)
class TrainingItem(TensorRecord):
    """One frame of a training batch."""

    sample: Sample  # at network size; the frame is what the network sees
    masks: Array  # (*B, 2, S, S) bool: from these the clouds are cut; less perfect than the sample's
    draw: Array  # (*B, 3) int64 seed, epoch and index: what seeds everything else that is drawn for this frame


class TrainingSet:
    """Frames of a data set at network size, augmented anew in every epoch."""

    def __init__(self, dataset: Dataset, size: int, config: AugmentConfig, seed: int, region: str = "frame"):
        self.dataset, self.size, self.config, self.seed, self.region = dataset, size, config, seed, region

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> TrainingItem:
        """The item of an epoch and an index."""
        epoch, index = draw
        rng = np.random.default_rng((self.seed, epoch, index))
        sample = augmented(self.dataset[index], self.size, self.config, rng, self.region)
        if sample.masks is None:
            raise ValueError(f"{sample.id} has no masks, from which the clouds of the hands are cut")
        masks = imperfect_masks(sample.masks, sample.frame.depth, self.config, rng)
        return TrainingItem(sample, masks, np.array([self.seed, epoch, index]))


def open_dataset(source: str) -> Dataset:
    """The data set of 'NAME=FOLDER', NAME one of DATASETS, or of a folder of synthetic shards."""
    name, _, folder = source.rpartition("=")
    if name and name not in DATASETS:
        raise ValueError(f"data set {name!r} is unknown; known are {', '.join(DATASETS)}")
    return DATASETS[name or "synthetic"](folder)
