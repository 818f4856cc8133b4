"""A frame in, two hands out: `TwoHandPredictor` by landmarks and fit, `NetworkPredictor` by a network of our own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from twohands.fitting import FitConfig, HandFitter, located_hands
from twohands.fitting.quality import measure_quality
from twohands.frame_checks import check_frame, check_hand_size
from twohands.geometry.camera import Camera
from twohands.hands import HAND_MODELS, HandModel, free_hand
from twohands.locate import GuidedLocator
from twohands.runtime import SHIPPED, OnnxNetwork
from twohands.types import LocatedHands, Quality, RGBDFrame, TwoHands
from twohands.views import region_camera, view, view_masks

Locate = Callable[[RGBDFrame], LocatedHands]


class Fit(Protocol):
    """What `HandFitter` does: `lift` prepares what is measured of the hands, the call fits them to it."""

    def lift(self, frame: RGBDFrame, located: LocatedHands, /) -> Any: ...

    def __call__(self, frame: RGBDFrame, located: LocatedHands, evidence: Any, /) -> TwoHands: ...


class Network(Protocol):
    """What `runtime.OnnxNetwork` and `networks.runner.ModuleRunner` do with a square frame of NumPy arrays."""

    @property
    def image_size(self) -> int: ...

    @property
    def region(self) -> str: ...

    @property
    def reads_depth(self) -> bool: ...

    def __call__(
        self,
        frame: RGBDFrame,
        masks: np.ndarray | None = None,
        centers: np.ndarray | None = None,
        step: Callable[[str], AbstractContextManager[Any]] = ...,
    ) -> TwoHands: ...


class Stopwatch:
    """Seconds of named steps: by the clock on the wall, and of this process's CPU."""

    def __init__(self):
        self.wall: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[step] = self.wall.get(step, 0.0) + time.perf_counter() - wall
            self.cpu[step] = self.cpu.get(step, 0.0) + time.process_time() - cpu

    def table(self) -> str:
        """A line for every step, in milliseconds."""
        lines = [f"{step:<8}{wall * 1e3:>10.0f}{self.cpu[step] * 1e3:>10.0f}" for step, wall in self.wall.items()]
        return "\n".join([f"{'step':<8}{'wall ms':>10}{'CPU ms':>10}", *lines])


class Predictor(Protocol):
    """What both predictors are: a frame in, two hands out."""

    model: HandModel

    def __call__(
        self, frame: RGBDFrame, depth_unit: float | None = None, watch: Stopwatch | None = None
    ) -> TwoHands: ...


class TwoHandPredictor:
    """Both hands of a frame: found in the image, fitted to landmarks and depth.

    `locate` takes the frame and returns LocatedHands; `fit` lifts and fits them and returns TwoHands with parameters
    and quality.
    """

    def __init__(self, model: HandModel | None = None, locate: Locate | None = None, fit: Fit | None = None):
        self.model = model or free_hand()
        self.locate = locate or GuidedLocator()
        self.fit = fit or HandFitter(self.model)

    def __call__(self, frame: RGBDFrame, depth_unit: float | None = None, watch: Stopwatch | None = None) -> TwoHands:
        """The two hands in the camera frame of `frame`; `present` tells which of them are there.

        `depth_unit` (metres per step with which the depth was read) only helps to name the right one in an error, and
        `watch` adds the times of the steps to those it has. Raises ValueError with the remedy when the frame cannot be
        right: no depth, or hands of impossible size.
        """
        watch = watch or Stopwatch()
        check_frame(frame, depth_unit)
        with watch("locate"):
            located = self.locate(frame)
        found = located.is_present
        pixels = np.where(found[:, None, None], located.pixels, np.nan)
        check_hand_size(pixels, frame.depth, frame.camera, depth_unit)
        with watch("lift"):
            evidence = self.fit.lift(frame, located)
        with watch("fit"):
            return self.fit(frame, located, evidence)


class NetworkPredictor:
    """Both hands of a frame by one of our own networks; `fit` then fits the hand model to the measured points.

    Frames whose depth is `trusted` to be metres are not refused when the network sees hands of an impossible size. A
    network that does not read depth takes frames without any.
    """

    def __init__(self, network: Network, model: HandModel | None = None, fit: Fit | None = None, trusted: bool = False):
        self.network, self.model, self.fit, self.trusted = network, model or free_hand(), fit, trusted

    def __call__(
        self,
        frame: RGBDFrame,
        depth_unit: float | None = None,
        watch: Stopwatch | None = None,
        masks: np.ndarray | None = None,
        centers: np.ndarray | None = None,
    ) -> TwoHands:
        """As TwoHandPredictor. Masks (2, H, W) bool and centers (2, 2) pixels of the frame replace the network's own.

        Without a fit, parameters are NaN where the network's decoder has none.
        """
        watch = watch or Stopwatch()
        if self.network.reads_depth:
            check_frame(frame, depth_unit)
        with watch("prepare"):
            square = view(frame, region_camera(frame.camera, masks, self.network.image_size, self.network.region))
            if masks is not None:
                masks = view_masks(masks, frame.camera, square.camera)
            if centers is not None:
                centers = _moved(centers, frame.camera, square.camera)
        hands = self.network(square, masks, centers, watch)
        if not self.trusted:
            found = hands.is_present
            pixels = np.where(found[:, None, None], frame.camera.project(hands.joints), np.nan)
            check_hand_size(pixels, frame.depth, frame.camera, depth_unit)
        with watch("fit" if self.fit else "measure"):
            return self._fitted(frame, hands) if self.fit else self._measured(frame, hands)

    def _fitted(self, frame: RGBDFrame, hands: TwoHands) -> TwoHands:
        assert self.fit is not None
        located = located_hands(hands, frame.camera)
        return self.fit(frame, located, self.fit.lift(frame, located))

    def _measured(self, frame: RGBDFrame, hands: TwoHands) -> TwoHands:
        if hands.vertices is None:
            return hands
        residual, support = measure_quality(hands.vertices, self.model.faces, hands.present, frame)
        parameters = hands.parameters or self.model.neutral().map(lambda array: np.full_like(array, np.nan))
        quality = Quality(residual, support, np.zeros(2, dtype=bool))
        return replace(hands, parameters=parameters, quality=quality)


METHODS = ("landmarks", "pdfnet")
"""The roads to a start for the fit: image landmarks by `GuidedLocator`, or the hands of our own network."""
DEFAULT_METHOD = METHODS[0]


def load(method: str = DEFAULT_METHOD, fit: bool = True, weights: str | Path | None = None) -> Predictor:
    """The predictor of a method with the shipped networks and the free hand.

    Without `fit`, the measured points are not used beyond the method's own look at the depth. `weights` is a folder
    that `twohands export` has written, in place of the shipped network of 'pdfnet'. Raises ValueError or
    FileNotFoundError with the remedy.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is unknown; known are {', '.join(METHODS)}")
    if method == "landmarks":
        model = free_hand()
        if weights is not None:
            raise ValueError("weights belong to method 'pdfnet'; the networks of 'landmarks' are shipped")
        return TwoHandPredictor(model, fit=HandFitter(model, None if fit else FitConfig(point_rounds=0)))
    network = OnnxNetwork(SHIPPED if weights is None else weights)
    model = HAND_MODELS[network.config.hand_model]()
    return NetworkPredictor(network, model, HandFitter(model) if fit else None)


def _moved(pixels: np.ndarray, before: Camera, after: Camera) -> np.ndarray:
    """Pixels (N, 2) of one camera as pixels of another one at the same place."""
    return after.project(before.unproject(pixels, np.ones_like(pixels[:, 0])))
