"""A network measured as a user would get it: through the predictor, with what a row of the paper's tables is given."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace

from twohands.config import NetworkConfig
from twohands.data.dataset import cloud_masks
from twohands.data.inspection import spread_over
from twohands.data.readers.common import DamagedFileError
from twohands.evaluation import MODES, evaluate, predict_with, report_of
from twohands.hands import HAND_MODELS
from twohands.networks import HandNetwork
from twohands.networks.runner import ModuleRunner
from twohands.predictor import Fit, NetworkPredictor
from twohands.report import Report
from twohands.types import Dataset, Sample

_log = logging.getLogger(__name__)


def predictor_of(network: HandNetwork, config: NetworkConfig, fit: Fit | None = None) -> NetworkPredictor:
    """The predictor of a network in torch, for the frames of data sets."""
    return NetworkPredictor(ModuleRunner(network, config), HAND_MODELS[config.hand_model](), fit, trusted=True)


def evaluate_network(
    network: HandNetwork, config: NetworkConfig, samples: Iterable[Sample], mode: str, known_presence: bool = True
) -> Report:
    """The report of a network in one of the MODES; that the hands are there is given unless told otherwise."""
    predict = predict_with(predictor_of(network, config), mode)
    return evaluate(predict, samples, known_presence, config.hand_model)


class Validation:
    """A network -> its mean errors on at most `count` frames of a data set, evenly spread, metres.

    It is given their masks; where there are none, what training cuts the clouds from. Frames that cannot be read are
    left out, with a warning for each file: the same ones every time.
    """

    def __init__(self, dataset: Dataset, config: NetworkConfig, count: int):
        """Raises ValueError when no frame that can be read has a hand that counts."""
        self.dataset, self.config = dataset, config
        self.indices = spread_over(len(dataset), count)
        self._told: dict[str, DamagedFileError] = {}
        if not any(report_of([(sample.hands, sample)]).rows for sample in self._readable()):
            reason = next(iter(self._told.values()), "no hand is large and visible enough")
            raise ValueError(f"no frame of the validation data can be measured ({reason}); give others as --validation")

    def __call__(self, network: HandNetwork) -> dict[str, float]:
        figures = evaluate_network(network, self.config, self._readable(), MODES[0]).summary()["all"]
        return {name: figures[name] for name in ("mpjpe", "al_mpjpe", "pa_mpjpe", "found")}

    def _readable(self) -> Iterator[Sample]:
        for index in self.indices:
            try:
                sample = self.dataset[index]
            except DamagedFileError as error:
                if self._told.setdefault(str(error.path or error), error) is error:
                    _log.warning("left out of the validation: %s", error)
            else:
                yield replace(sample, masks=cloud_masks(sample))
