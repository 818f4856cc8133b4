"""Validation of a network during training: through the predictor, with the input of the paper's tables."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from twohands.config import NetworkConfig
from twohands.data.dataset import cloud_masks
from twohands.data.inspection import spread_over
from twohands.data.readers.common import DamagedFileError
from twohands.evaluation.report import Report
from twohands.evaluation.scoring import predict_with, predictions, report_of
from twohands.hands import HAND_MODELS
from twohands.networks import HandNetwork
from twohands.networks.runner import ModuleRunner
from twohands.predictor import NetworkPredictor
from twohands.types import Dataset, Sample

_log = logging.getLogger(__name__)


def evaluate_network(
    network: HandNetwork, config: NetworkConfig, samples: Iterable[Sample], mode: str, known_presence: bool = True
) -> Report:
    """Return the report of a network without a fit in one of the modes; by default hand presence is given."""
    predictor = NetworkPredictor(ModuleRunner(network, config), HAND_MODELS[config.hand_model](), trusted=True)
    pairs = predictions(predict_with(predictor, mode), samples, known_presence, config.hand_model)
    return report_of(pairs, known_presence)


@dataclass(frozen=True)
class Validated:
    """The outcome of a validation: `score` decides which checkpoint is the best, lower being better."""

    score: float
    metrics: dict[str, float]


class Validation:
    """The mean errors of networks on at most `count` frames of a data set, evenly spread.

    Networks are given the true masks, or without them the masks from which training cuts the clouds. Frames that cannot
    be read are left out, with one warning for each file.
    """

    def __init__(self, dataset: Dataset, config: NetworkConfig, count: int):
        """Raise ValueError when no readable frame has a hand that is evaluated."""
        self.dataset, self.config = dataset, config
        self.indices = spread_over(len(dataset), count)
        self._reported: dict[str, DamagedFileError] = {}
        if not any(report_of([(sample.hands, sample)]).rows for sample in self._readable()):
            reason = next(iter(self._reported.values()), "no hand is large and visible enough")
            raise ValueError(f"no frame of the validation data can be measured ({reason}); give others as --validation")

    def __call__(self, network: HandNetwork) -> Validated:
        """Return the metrics of a network in metres, and its MPJPE as the score; lower is better."""
        summary = evaluate_network(network, self.config, self._readable(), "ground_truth").summary()["all"]
        metrics = {name: summary[name] for name in ("mpjpe", "al_mpjpe", "pa_mpjpe", "found")}
        return Validated(metrics["mpjpe"], metrics)

    def _readable(self) -> Iterator[Sample]:
        for index in self.indices:
            try:
                sample = self.dataset[index]
            except DamagedFileError as error:
                if self._reported.setdefault(str(error.path or error), error) is error:
                    _log.warning("left out of the validation: %s", error)
            else:
                yield replace(sample, masks=cloud_masks(sample))
