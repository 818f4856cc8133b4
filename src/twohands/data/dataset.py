"""What training reads: any data set as augmented, network-sized items, each a pure function of (seed, epoch, index)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from twohands.config import AugmentConfig
from twohands.data.augment import augmented, imperfect_masks
from twohands.data.readers.common import DamagedFileError
from twohands.data.readers.h2o import H2O
from twohands.geometry.record import Array, TensorRecord
from twohands.synth.shards import SyntheticShards
from twohands.types import Sample

Draw = tuple[int, int]
"""(epoch, index): the index-th frame as it is seen in an epoch."""


class Dataset(Protocol):
    """The contract of a data set: a fixed number of frames with their truth, NumPy arrays."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


DATASETS: dict[str, Callable[[str, str], Dataset]] = {
    "synthetic": lambda folder, split: SyntheticShards(folder),  # a folder of shards is of one split
    "h2o": H2O,
}
"""Name -> reader of a folder and a split."""
SPLITS = ("train", "validation", "test")
_TRIES = 10
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingItem(TensorRecord):
    """One frame of a training batch."""

    sample: Sample  # at network size; the frame is what the network sees
    masks: Array  # (*B, 2, S, S) bool: from these the clouds are cut; less perfect than the sample's
    draw: Array  # (*B, 3) int64 seed, epoch and index: what seeds everything else that is drawn for this frame


class TrainingSet:
    """Frames of a data set at network size, augmented anew in every epoch.

    A frame of which a file is damaged is left out, with a warning that names the file; the next one takes its place.
    """

    def __init__(self, dataset: Dataset, size: int, config: AugmentConfig, seed: int, region: str = "frame"):
        self.dataset, self.size, self.config, self.seed, self.region = dataset, size, config, seed, region

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, draw: Draw) -> TrainingItem:
        """The item of an epoch and an index."""
        epoch, index = draw
        rng = np.random.default_rng((self.seed, epoch, index))
        sample = augmented(self._readable(index), self.size, self.config, rng, self.region)
        if sample.masks is None:
            raise ValueError(f"{sample.id} has no masks, from which the clouds of the hands are cut")
        masks = imperfect_masks(sample.masks, sample.frame.depth, self.config, rng)
        return TrainingItem(sample, masks, np.array([self.seed, epoch, index]))

    def _readable(self, index: int) -> Sample:
        """The frame, or the first one after it that can be read. Raises DamagedFileError when ten in a row cannot."""
        for number in range(index, index + _TRIES):
            try:
                return self.dataset[number % len(self.dataset)]
            except DamagedFileError as error:
                _log.warning("left out: %s", error)
        return self.dataset[index]


def open_dataset(source: str, split: str = "train") -> Dataset:
    """The data set of 'NAME=FOLDER' or 'NAME:SPLIT=FOLDER', NAME one of DATASETS, or of a folder of synthetic shards.

    `split`, one of SPLITS, is meant where the source names none. Raises ValueError for names that are unknown.
    """
    name, _, folder = source.rpartition("=")
    name, _, named = (name or "synthetic").partition(":")
    if name not in DATASETS:
        raise ValueError(f"data set {name!r} is unknown; known are {', '.join(DATASETS)}")
    if (named or split) not in SPLITS:
        raise ValueError(f"split {named or split!r} is unknown; choose one of {', '.join(SPLITS)}")
    return DATASETS[name](folder, named or split)
