"""A network measured as a user would get it: through the predictor, with what a row of the paper's tables is given."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from twohands.config import NetworkConfig
from twohands.data.dataset import Dataset
from twohands.evaluation import evaluate
from twohands.hands import HAND_MODELS
from twohands.networks import HandNetwork
from twohands.networks.runner import ModuleRunner
from twohands.predictor import NetworkPredictor
from twohands.report import Report
from twohands.types import Sample, TwoHands

MODES = ("ground_truth", "own", "ground_truth_centers")
"""Masks given; nothing given; masks and centres given."""


def evaluate_network(
    network: HandNetwork, config: NetworkConfig, samples: Iterable[Sample], mode: str, known_presence: bool = True
) -> Report:
    """The report of a network in one of the MODES; that the hands are there is given unless told otherwise."""
    predictor = NetworkPredictor(ModuleRunner(network, config), HAND_MODELS[config.hand_model](), trusted=True)
    return evaluate(predict_with(predictor, mode), samples, known_presence)


class Validation:
    """A network -> its mean errors on a data set with true masks, metres."""

    def __init__(self, dataset: Dataset, config: NetworkConfig):
        self.dataset, self.config = dataset, config

    def __call__(self, network: HandNetwork) -> dict[str, float]:
        samples = (self.dataset[index] for index in range(len(self.dataset)))
        figures = evaluate_network(network, self.config, samples, MODES[0]).summary()["all"]
        return {name: figures[name] for name in ("mpjpe", "al_mpjpe", "pa_mpjpe", "found")}


def box_centers(sample: Sample) -> np.ndarray:
    """(2, 2) pixels: centre of the box of each hand's projected joints; the image's centre for an absent hand."""
    camera = sample.frame.camera
    present = np.asarray(sample.hands.present) >= 0.5
    pixels = camera.project(np.where(present[:, None, None], sample.hands.joints, np.float32(1)))
    middle = np.array([(camera.width - 1) / 2, (camera.height - 1) / 2])
    return np.where(present[:, None], (pixels.min(axis=1) + pixels.max(axis=1)) / 2, middle).astype(np.float32)


def predict_with(predictor: NetworkPredictor, mode: str) -> Callable[[Sample], TwoHands]:
    """The prediction for a sample, with what one of the MODES gives of its truth."""
    if mode == "own":
        return lambda sample: predictor(sample.frame)
    if mode == "ground_truth":
        return lambda sample: predictor(sample.frame, masks=sample.masks)
    if mode == "ground_truth_centers":
        return lambda sample: predictor(sample.frame, masks=sample.masks, centers=box_centers(sample))
    raise ValueError(f"mode {mode!r} is unknown; known are {', '.join(MODES)}")
