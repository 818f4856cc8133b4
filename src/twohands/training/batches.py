"""Frames of every training step: a stream that depends on the seed alone, however many processes share it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from twohands.data.dataset import Draw, TrainingItem

SMALLEST_PART = 4
"""Number of frames below which the batch statistics of a part are unreliable."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchStream:
    """Parts of the batches of steps first .. last - 1 that one process handles, in order.

    Frames come in a new random order in every epoch. The frames of a step are cut into processes x accumulation equal
    parts. The gradient of a step depends on the number of parts, over which batch normalisation takes its statistics,
    but not on the process that computes a part.
    """

    num_frames: int
    batch_size: int
    seed: int
    first: int
    last: int
    processes: int = 1
    process: int = 0
    accumulation: int = 1

    def __post_init__(self) -> None:
        parts = self.processes * self.accumulation
        if self.batch_size % parts:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into {self.processes} processes x accumulation "
                f"{self.accumulation} equal parts"
            )
        if self.num_frames < 1:
            raise ValueError("the data set has no frames")
        if self.batch_size < SMALLEST_PART * parts and self.process == 0:
            _log.warning(
                "batch normalisation takes its statistics over parts of %d frames; below %d they are unreliable: "
                "raise batch_size, or take fewer processes or a lower accumulation",
                self.batch_size // parts, SMALLEST_PART,
            )  # fmt: skip

    def __len__(self) -> int:
        return (self.last - self.first) * self.accumulation

    def __iter__(self) -> Iterator[list[Draw]]:
        size = self.batch_size // (self.processes * self.accumulation)
        for step in range(self.first, self.last):
            draws = self._step(step)
            for turn in range(self.accumulation):
                part = turn * self.processes + self.process
                yield draws[part * size : (part + 1) * size]

    def epoch(self, step: int) -> int:
        """Return the epoch, from 0, in which a step starts."""
        return step * self.batch_size // self.num_frames

    def _step(self, step: int) -> list[Draw]:
        places = range(step * self.batch_size, (step + 1) * self.batch_size)
        orders = {epoch: self._order(epoch) for epoch in {place // self.num_frames for place in places}}
        return [
            (place // self.num_frames, int(orders[place // self.num_frames][place % self.num_frames]))
            for place in places
        ]

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng((self.seed, epoch)).permutation(self.num_frames)


def collate(items: Sequence[TrainingItem]) -> TrainingItem:
    """Return one batch of torch tensors."""
    return type(items[0]).stack(items).map(torch.from_numpy)
