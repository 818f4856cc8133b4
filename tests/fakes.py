"""Small frames, and a predictor without networks, for tests of the code around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from twohands.fitting.quality import measure_quality
from twohands.geometry.camera import Camera
from twohands.geometry.zbuffer import rasterize
from twohands.hands import HandModel, free_hand
from twohands.locate.sides import Candidates
from twohands.predictor import Step, TwoHandPredictor
from twohands.sources.source import Entry
from twohands.types import RIGHT, LocatedHands, Quality, RGBDFrame, Sample, TwoHands

WIDTH, HEIGHT = 160, 120
K = np.array([[150.0, 0, 79.5], [0, 150, 59.5], [0, 0, 1]], np.float32)
CAMERA = Camera(K, WIDTH, HEIGHT)


def make_hands(present: tuple[float, float] = (1.0, 1.0)) -> TwoHands:
    """Return two open hands beside each other, 0.5 m in front of the camera, fingers up, palms to the camera."""
    model = free_hand()
    parameters = model.neutral()
    parameters.rotation[:] = [np.pi / 2, 0, 0]
    parameters.translation[:] = [[-0.11, 0.08, 0.5], [0.11, 0.08, 0.5]]
    hands = model(parameters)
    quality = Quality(np.array([0.001, 0.002]), np.array([0.9, 0.8]), np.array([True, False]))
    return replace(hands, present=np.array(present, np.float32), quality=quality)


def make_frame(depth: float = 0.5) -> RGBDFrame:
    """Return a frame with a grey gradient at constant depth."""
    rgb = np.broadcast_to(np.linspace(0.2, 0.6, WIDTH, dtype=np.float32), (3, HEIGHT, WIDTH)).copy()
    return RGBDFrame(rgb, np.full((HEIGHT, WIDTH), depth, np.float32), CAMERA)


class FakeLocator:
    """A locator that always finds the two hands of `make_hands` at the same pixels."""

    def __init__(self, present: tuple[float, float] = (1.0, 1.0)):
        self.present = np.array(present, np.float32)
        self.calls = 0

    def __call__(self, frame: RGBDFrame) -> LocatedHands:
        self.calls += 1
        hands = make_hands()
        pixels = np.where(self.present[:, None, None] >= 0.5, CAMERA.project(hands.joints), np.nan)
        return LocatedHands(self.present, pixels, hands.joints, np.zeros((2, 4)), np.full(2, 9.0))


class FakeFitter:
    """A fitter that returns the hands of `make_hands`, with their true quality."""

    def __call__(self, frame: RGBDFrame, located: LocatedHands, step: Step = nullcontext) -> TwoHands:
        with step("fit"):
            return self._fit(frame, located)

    def _fit(self, frame: RGBDFrame, located: LocatedHands) -> TwoHands:
        hands, present = make_hands(), located.present
        residual, support = measure_quality(hands.vertices, free_hand().faces, present, frame)
        return replace(hands, present=present, quality=Quality(residual, support, np.asarray(present) >= 0.5))


def fake_predictor(present: tuple[float, float] = (1.0, 1.0)) -> TwoHandPredictor:
    return TwoHandPredictor(free_hand(), FakeLocator(present), FakeFitter())


def write_frame(folder: Path, stem: str = "000000", depth: np.ndarray | None = None) -> tuple[Path, Path, Path]:
    """Write a readable frame as rgb/, depth/ and cam_K.txt; depth is 500 mm unless given."""
    rgb = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    depth = np.full((HEIGHT, WIDTH), 500, np.uint16) if depth is None else depth
    paths = folder / "rgb" / f"{stem}.png", folder / "depth" / f"{stem}.png", folder / "cam_K.txt"
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(paths[0])
    Image.fromarray(depth).save(paths[1])
    np.savetxt(paths[2], K)
    return paths


class PosedHands:
    """A data set of two grey hands in front of a wall at 0.8 m, posed by index; every frame is exact."""

    def __init__(self, count: int = 8, hand_model: HandModel | None = None):
        self.count, self.hand_model = count, hand_model or free_hand()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng, model, camera = np.random.default_rng(index), self.hand_model, CAMERA.resize(2 * WIDTH, 2 * HEIGHT)
        still = model.neutral()
        posed = replace(
            still,
            pose=rng.normal(scale=0.15, size=still.pose.shape),
            rotation=rng.normal(scale=0.3, size=still.rotation.shape) + [np.pi / 2, 0, 0],
            translation=rng.normal(scale=0.02, size=still.translation.shape) + [[-0.11, 0.08, 0.5], [0.11, 0.08, 0.5]],
        )
        hands = model(posed.map(lambda array: array.astype(np.float32)))
        seen = [rasterize(hands.vertices[side], model.faces[side], camera)[0] for side in range(2)]
        depths = np.where(np.array(seen) > 0, seen, 0.8)
        masks = (depths < 0.8) & (depths <= depths.min(axis=0))
        rgb = np.where(masks.any(axis=0), 0.7, rng.uniform(0.1, 0.4, (3, camera.height, camera.width)))
        frame = RGBDFrame(rgb.astype(np.float32), depths.min(axis=0).astype(np.float32), camera)
        ones = np.ones((2, 21), np.float32)
        return Sample(frame, hands, masks, ones, ones[:, 0], "free", f"posed-{index}")


class OneSample:
    """A data set of one sample under `count` names that records the indices it is asked for."""

    def __init__(self, name: str, count: int):
        self.name, self.count, self.sample = name, count, PosedHands()[0]
        self.read: list[int] = []

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        self.read.append(index)
        return replace(self.sample, id=f"{self.name}-{index}")


class GreyLocator:
    """A locator of one right hand whose place is the grey of the frame; where it is followed, also the place before."""

    def find(self, frame: RGBDFrame, known: Candidates | None = None) -> Candidates:
        return self._at(frame, 100 * float(frame.rgb[0, 0, 0]))

    def follow(self, frame: RGBDFrame, known: Candidates) -> Candidates:
        seen = 100 * float(frame.rgb[0, 0, 0])
        return self._at(frame, 0.7 * seen + 0.3 * float(known.pixels[0, 0, 0]))

    def choose(self, frame: RGBDFrame, hands: Candidates) -> LocatedHands:
        pixels = np.full((2, 21, 2), np.nan)
        if len(hands.present):
            pixels[RIGHT] = hands.pixels[0]
        present = np.array([0.0, float(len(hands.present))])
        return LocatedHands(present, pixels, np.zeros((2, 21, 3)), np.zeros((2, 4)), np.full(2, 9.0))

    def __call__(self, frame: RGBDFrame) -> LocatedHands:
        return self.choose(frame, self.find(frame))

    def _at(self, frame: RGBDFrame, place: float) -> Candidates:
        """No hand is seen in a black frame."""
        count = int(float(frame.rgb[0, 0, 0]) > 0)
        shape = 30 * np.random.default_rng(0).uniform(0, 1, (21, 2))
        pixels = np.tile(shape - shape[0] + [place, 50.0], (count, 1, 1))
        odds = np.full(count, 3.0)
        return Candidates(odds / 3, odds / 3, pixels, np.zeros((count, 21, 3)), np.zeros((count, 4)), odds)


class GreyFitter:
    """A fitter that puts the right hand a millimetre to the right for each pixel of its wrist."""

    def __call__(self, frame: RGBDFrame, located: LocatedHands, step: Step = nullcontext) -> TwoHands:
        hands = make_hands()
        assert hands.parameters is not None
        parameters = hands.parameters.map(np.array)
        if located.is_present[RIGHT]:
            parameters.translation[RIGHT, 0] = 1e-3 * located.pixels[RIGHT, 0, 0]
        confidence, sigma = np.full(2, 0.9), np.full((2, 21, 2), 0.006)
        residual, support = np.full(2, 0.003), np.full(2, 0.7)
        quality = Quality(residual, support, np.ones(2, bool), confidence=confidence, sigma=sigma)
        return replace(free_hand()(parameters), present=located.present, quality=quality)


def grey_predictor() -> TwoHandPredictor:
    """Return a predictor that can follow hands, see `GreyLocator`."""
    return TwoHandPredictor(free_hand(), GreyLocator(), GreyFitter())


class GreyFrames:
    """A recording of frames of one grey each, in [0, 1], read from memory; those of a negative grey are damaged."""

    about, intrinsics = "grey frames", None

    def __init__(self, greys: np.ndarray, fps: float | None = 30.0, names: Sequence[str] = ()):
        self.greys, self.fps, self.names = greys, fps, names or [f"{index:06d}" for index in range(len(greys))]

    @property
    def length(self) -> int:
        return len(self.greys)

    def __iter__(self) -> Iterator[Entry]:
        for index, grey in enumerate(self.greys):
            seconds = None if self.fps is None else index / self.fps
            yield Entry(self.names[index], seconds, partial(self._open, float(grey)))

    def _open(self, grey: float) -> RGBDFrame:
        if grey < 0:
            raise ValueError("this frame is damaged")
        frame = make_frame()
        return replace(frame, rgb=np.full_like(frame.rgb, grey))
