"""Predictors of both hands: `TwoHandPredictor` locates and fits them, `NetworkPredictor` runs a network on a frame."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, get_args

import numpy as np

from twohands.checks.examiner import Examiner
from twohands.checks.frame import check_frame, check_hand_size, joint_pixels
from twohands.choices import DEFAULT_METHOD, HandModelName, Method, Person
from twohands.fitting import FitConfig, HandFitter, located_hands
from twohands.fitting.observation import observe
from twohands.fitting.quality import compare
from twohands.fitting.trust import Judge, shipped_trust
from twohands.geometry.camera import Camera
from twohands.hands import HandModel, free_hand
from twohands.hands import hand_model as named_model
from twohands.locate import GuidedLocator, LightLocator
from twohands.locate.region_reader import SHIPPED_LIGHT
from twohands.runtime import LOCATE, REGION_GRAPH, SHIPPED, OnnxNetwork
from twohands.types import LocatedHands, Quality, RGBDFrame, TwoHands
from twohands.views import region_camera, view, view_masks

LIGHT_FIT = FitConfig(landmark_steps=6, point_rounds=2)
"""Fit that starts from the joints of the region network; on validation frames more steps did not change the errors."""
Locate = Callable[[RGBDFrame], LocatedHands]
Step = Callable[[str], AbstractContextManager[Any]]
"""Step name -> context manager that is entered around the step, for instance a `Stopwatch`."""
Fit = Callable[[RGBDFrame, LocatedHands, Step], TwoHands]
"""Function that fits a hand model to the measured points of located hands, like `HandFitter`."""


class Network(Protocol):
    """A network on square frames of NumPy arrays: `runtime.OnnxNetwork` or `networks.runner.ModuleRunner`."""

    @property
    def image_size(self) -> int: ...

    @property
    def region(self) -> str: ...

    @property
    def reads_depth(self) -> bool: ...

    @property
    def hand_model(self) -> str: ...

    def __call__(
        self,
        frame: RGBDFrame,
        masks: np.ndarray | None = None,
        centers: np.ndarray | None = None,
        step: Step = ...,
    ) -> TwoHands: ...


class Stopwatch:
    """Seconds of named steps: wall-clock time, and CPU time of this process."""

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

    def add(self, wall: dict[str, float], cpu: dict[str, float]) -> None:
        """Add the times that another process has measured."""
        for step in wall:
            self.wall[step] = self.wall.get(step, 0.0) + wall[step]
            self.cpu[step] = self.cpu.get(step, 0.0) + cpu[step]

    def table(self) -> str:
        """Return one line for every step, in milliseconds."""
        lines = [f"{step:<8}{wall * 1e3:>10.0f}{self.cpu[step] * 1e3:>10.0f}" for step, wall in self.wall.items()]
        return "\n".join([f"{'step':<8}{'wall ms':>10}{'CPU ms':>10}", *lines])


class Predictor(ABC):
    """A callable from a frame to two hands; `model` is the hand model of the result.

    `examiner`, if set, adds the findings of the costly checks to the hands of some frames.
    """

    model: HandModel
    examiner: Examiner | None = None

    def __call__(self, frame: RGBDFrame, watch: Stopwatch | None = None, **given: Any) -> TwoHands:
        """Return the two hands in the camera frame of `frame`, see `reconstruct`, with the findings of the examiner."""
        hands = self.reconstruct(frame, watch, **given)
        return hands if self.examiner is None else self.examiner(frame, hands)

    @abstractmethod
    def reconstruct(self, frame: RGBDFrame, watch: Stopwatch | None = None) -> TwoHands:
        """Return the two hands in the camera frame of `frame`; `is_present` says which of them were found.

        `watch` accumulates the times of the steps. Raise ValueError with the fix when the frame cannot be right: no
        depth, or hands of impossible size.
        """


class TwoHandPredictor(Predictor):
    """Both hands of a frame: found in the image, then fitted to landmarks and depth."""

    def __init__(self, model: HandModel | None = None, locate: Locate | None = None, fit: Fit | None = None):
        self.model = model or free_hand()
        self.locate = locate or GuidedLocator()
        self.fit = fit or HandFitter(self.model)

    def reconstruct(self, frame: RGBDFrame, watch: Stopwatch | None = None) -> TwoHands:
        """Return the two hands of `frame`, see `Predictor.reconstruct`."""
        watch = watch or Stopwatch()
        check_frame(frame)
        with watch("locate"):
            located = self.locate(frame)
        found = located.is_present
        seen = found if found.any() else np.ones(2, bool)  # landmarks of hands that were not found have a size too
        check_hand_size(np.where(seen[:, None, None], located.pixels, np.nan), frame.depth, frame.camera)
        hands = self.fit(frame, located, watch)
        return replace(hands, findings=(*frame.findings, *hands.findings))


class NetworkPredictor(Predictor):
    """Both hands of a frame by a network; `fit`, where given, then fits the hand model `model` to the measured points.

    With `trusted` depth, frames are not refused when the network predicts hands of impossible size. A network that does
    not read depth accepts frames without depth.
    """

    def __init__(self, network: Network, model: HandModel | None = None, fit: Fit | None = None, trusted: bool = False):
        self.network, self.model, self.fit, self.trusted = network, model or free_hand(), fit, trusted
        self.trust: Judge = shipped_trust("pdfnet", fit=False)

    def reconstruct(
        self,
        frame: RGBDFrame,
        watch: Stopwatch | None = None,
        masks: np.ndarray | None = None,
        centers: np.ndarray | None = None,
    ) -> TwoHands:
        """Return the two hands in the camera frame of `frame`, see `Predictor.reconstruct`.

        Masks (2, H, W) bool and centers (2, 2) pixels of the frame replace those of the network. Without a fit,
        parameters are NaN if the network's decoder has none.
        """
        watch = watch or Stopwatch()
        if self.network.reads_depth:
            check_frame(frame)
        with watch("prepare"):
            square = view(frame, region_camera(frame.camera, masks, self.network.image_size, self.network.region))
            if masks is not None:
                masks = view_masks(masks, frame.camera, square.camera)
            if centers is not None:
                centers = _moved(centers, frame.camera, square.camera)
        hands = replace(self.network(square, masks, centers, watch), findings=frame.findings)
        if not self.trusted:
            check_hand_size(joint_pixels(frame.camera, hands), frame.depth, frame.camera)
        if self.fit is not None:
            return replace(self.fit(frame, located_hands(hands, frame.camera), watch), findings=frame.findings)
        with watch("measure"):
            return self._measured(frame, hands)

    def _measured(self, frame: RGBDFrame, hands: TwoHands) -> TwoHands:
        if hands.vertices is None:
            return hands
        comparison = compare(hands.vertices, self.model.faces, hands.present, frame)
        confidence, sigma = self.trust(observe(frame.camera, hands, comparison))
        parameters = hands.parameters or self.model.neutral().map(lambda array: np.full_like(array, np.nan))
        quality = Quality(
            comparison.residual, comparison.support, np.zeros(2, dtype=bool), confidence=confidence, sigma=sigma
        )
        return replace(hands, parameters=parameters, quality=quality)


def load(
    method: Method | None = None,
    network: str | Path | None = None,
    hand_model: HandModelName | None = None,
    fit: bool = True,
    trusted: bool = False,
    person: Person | None = None,
) -> Predictor:
    """Return a predictor, a callable from `RGBDFrame` to `TwoHands`.

    method: start of the fit: 'light' (the default), a network on a region around each hand; 'landmarks', image
        landmarks and depth; or 'pdfnet', a network on the whole frame.
    network: folder of a network that replaces the shipped one: a checkpoint of `twohands train` (needs torch; not for
        'light') or the graphs of `twohands export`. The network determines the method.
    hand_model: 'free' or 'mano' (which needs MANO's files, see `hands.mano`); by default the free hand, or the
        network's own.
    fit: fit the hand model to the measured points; if false, only the method itself uses the depth.
    trusted: declare that frames are right: they are not examined (see `Examiner`), and a network of your own does not
        refuse them for hands of impossible size.
    person: whose hands are returned if several people are visible: the 'nearest' person (the default), the one with
        the 'largest' hands in the image, or the one furthest 'left' or 'right' in it.

    Raise ValueError, FileNotFoundError or ModuleNotFoundError with the fix.
    """
    predictor = _predictor(method, network, hand_model, fit, trusted and network is not None, person)
    if not trusted:
        predictor.examiner = Examiner(predictor.reconstruct)
    return predictor


def _predictor(
    method: Method | None,
    network: str | Path | None,
    hand_model: HandModelName | None,
    fit: bool,
    trusted: bool,
    person: Person | None,
) -> Predictor:
    """Return a predictor without an examiner, see `load`."""
    if method not in (None, *get_args(Method)):
        raise ValueError(f"method {method!r} is unknown; known are {', '.join(get_args(Method))}")
    if person not in (None, *get_args(Person)):
        raise ValueError(f"person {person!r} is unknown; known are {', '.join(get_args(Person))}")
    if network is not None and not Path(network).is_dir():
        raise _no_network(network)
    of_region = network is not None and (Path(network) / REGION_GRAPH).is_file()
    opened = None if network is None or of_region else open_network(network)
    of_network = "light" if of_region else None if opened is None else "pdfnet"
    if method is not None and of_network not in (None, method):
        raise ValueError(
            f"{network} holds a network of method {of_network!r}; leave out the method, or give another network"
        )
    method = of_network or method or DEFAULT_METHOD
    if method == "light":
        model = named_model(hand_model or "free")
        fitter = HandFitter(
            model, LIGHT_FIT if fit else replace(LIGHT_FIT, point_rounds=0), shipped_trust("light", fit)
        )
        locate = LightLocator(person or "nearest", network or SHIPPED_LIGHT)
        return TwoHandPredictor(model, locate, fitter)
    if method == "landmarks":
        model = named_model(hand_model or "free")
        fitter = HandFitter(model, None if fit else FitConfig(point_rounds=0))
        return TwoHandPredictor(model, GuidedLocator(person or "nearest"), fitter)
    if person is not None:
        raise ValueError("method 'pdfnet' finds the hands of one person only; leave out person, or use another method")
    opened = opened or OnnxNetwork(SHIPPED)
    if not fit and hand_model not in (None, opened.hand_model):
        raise ValueError(
            f"this network predicts the hand model {opened.hand_model!r}, and only the fit can turn its hands into "
            f"{hand_model!r}; leave out the hand model, or do not switch off the fit"
        )
    model = named_model(hand_model or opened.hand_model)
    return NetworkPredictor(opened, model, HandFitter(model, trust=shipped_trust("pdfnet")) if fit else None, trusted)


def open_network(folder: str | Path) -> Network:
    """Return the network of a folder, a checkpoint or exported graphs; torch is imported only for a checkpoint.

    Raise FileNotFoundError when the folder holds neither, ModuleNotFoundError for a checkpoint without torch, and
    ValueError for a checkpoint of preset 'light', which must be exported first.
    """
    folder = Path(folder)
    if (folder / LOCATE).is_file():
        return OnnxNetwork(folder)
    if not (folder / "weights.safetensors").is_file():
        raise _no_network(folder)
    try:
        from twohands.networks.checkpoint import load_checkpoint
        from twohands.networks.region_checkpoint import is_region_checkpoint
        from twohands.networks.runner import ModuleRunner
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{folder} is a checkpoint, which needs {error.name}: pip install 'twohands[train]'; or write it as graphs "
            "that do not, where it is installed: twohands export",
            name=error.name,
        ) from None
    if is_region_checkpoint(folder):
        raise ValueError(
            f"{folder} is a checkpoint of preset 'light', which runs only as an exported graph; write the graph with: "
            f"twohands export {folder} --out GRAPH, and give the folder GRAPH"
        )
    return ModuleRunner(*load_checkpoint(folder))


def _no_network(folder: str | Path) -> FileNotFoundError:
    return FileNotFoundError(
        f"{folder} holds no network; give a checkpoint, for example RUN/final, or the folder of `twohands export`"
    )


def _moved(pixels: np.ndarray, before: Camera, after: Camera) -> np.ndarray:
    """Convert pixels (N, 2) of one camera to pixels of another camera at the same place."""
    return after.project(before.unproject(pixels, np.ones_like(pixels[:, 0])))
