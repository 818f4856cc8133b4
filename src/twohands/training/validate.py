"""A network measured as a user would get it: through the predictor, with what a row of the paper's tables is given."""

from __future__ import annotations

from collections.abc import Iterable

from twohands.config import NetworkConfig
from twohands.data.dataset import Dataset
from twohands.evaluation import MODES, evaluate, predict_with
from twohands.hands import HAND_MODELS
from twohands.networks import HandNetwork
from twohands.networks.runner import ModuleRunner
from twohands.predictor import Fit, NetworkPredictor
from twohands.report import Report
from twohands.types import Sample


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
    """A network -> its mean errors on a data set with true masks, metres."""

    def __init__(self, dataset: Dataset, config: NetworkConfig):
        self.dataset, self.config = dataset, config

    def __call__(self, network: HandNetwork) -> dict[str, float]:
        samples = (self.dataset[index] for index in range(len(self.dataset)))
        figures = evaluate_network(network, self.config, samples, MODES[0]).summary()["all"]
        return {name: figures[name] for name in ("mpjpe", "al_mpjpe", "pa_mpjpe", "found")}
