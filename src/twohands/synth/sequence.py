"""`render_sequence` films one person who moves both hands: frames in temporal order, each with its ground truth.

Frame `index` is a pure function of (generator version, configuration, split, seed, index, rate, depth lag): any frame
can be drawn alone. Person, scene, light and cameras are the same in all of them; the noise of the pictures is not.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from twohands.geometry.camera import Camera
from twohands.synth.acts.performance import Performance, moments, sample_performance, shown
from twohands.synth.acts.placement import Staging, sample_staging
from twohands.synth.acts.poses import SPLITS, sample_shape
from twohands.synth.config import FULL, SynthConfig
from twohands.synth.engine import SyntheticHands, target
from twohands.synth.rendering.photo import Film, brightness, develop
from twohands.synth.scene import Scene, Setting, build_moment, build_setting
from twohands.synth.sensors import DepthSensor, sample_sensor
from twohands.types import TwoHands

_STREAMS = ("person", "staging", "scene", "photo", "sensor", "acts", "person's look", "light", "bystanders", "clutter")
_STREAMS = (*_STREAMS, "cover", "depth faults", "performance", "grain", "depth noise")
_FILMED = 1_000_003
"""Number in the random seeds that sets the streams of sequences apart from those of single frames."""
_SWEPT = 0.6
"""Seconds between the moments at which the surroundings leave room for the person."""
_DISTANCE = (0.34, 0.80)
"""Range of the depth of the roots in metres, see `SynthConfig.distance`."""
_PLACEMENTS, _MOTIONS = 60, 4
"""Number of placements of the person that are tried, and of motions of each."""


class HandSequence(SyntheticHands):
    """`count` frames at `rate` frames a second of two hands of one person in motion, drawn when they are asked for.

    The hands approach and cross each other, close and open, and leave the picture twice within ten seconds, after which
    the motion repeats. A hand without a joint in the image has `present` 0. The depth of every frame is that of the
    frame `depth_lag` frames before it.
    """

    def __init__(
        self,
        seed: int,
        split: str = "train",
        config: SynthConfig | None = None,
        count: int = 300,
        rate: float = 30.0,
        depth_lag: int = 0,
    ):
        super().__init__(seed, split, filmed(config or FULL), count)
        if not 0 < rate < np.inf:
            raise ValueError(f"the rate must be a positive number of frames a second; got {rate}")
        self.rate, self.depth_lag = rate, depth_lag

    @property
    def content(self) -> dict[str, Any]:
        """All that the frames depend on, see `SyntheticHands.content`."""
        return {**super().content, "rate": self.rate, "depth_lag": self.depth_lag}

    def seconds(self, index: int) -> float:
        """Return the time of a frame in seconds."""
        return index / self.rate

    def id(self, index: int) -> str:
        """Return the name of a frame: split, seed, index."""
        return f"sequence-{super().id(index)}"

    def staging(self, index: int) -> Staging:
        """Return the camera, person and hands of a frame."""
        return self.performance.at(self.seconds(index))

    def scene(self, index: int) -> tuple[Staging, Scene]:
        """Return the staging of a frame and everything to render."""
        staging = self.staging(index)
        return staging, build_moment(self._fixed, staging, self.config, self._setting)

    @cached_property
    def performance(self) -> Performance:
        """The motion: the first natural one of those that the seed draws."""
        shape = sample_shape(self._fixed("person"), self.split)
        for number in range(_PLACEMENTS):
            place, acts, moving = (self._fixed(name, number) for name in ("staging", "acts", "performance"))
            base = sample_staging(place, self.config, shape, acts)
            for _ in range(_MOTIONS):
                performance = sample_performance(moving, base)
                if performance is not None:
                    return performance
        raise ValueError(f"no natural motion of two hands was found for seed {self.seed}; take another seed")

    @cached_property
    def _setting(self) -> Setting:
        return build_setting(self._fixed, moments(self.performance, _SWEPT), self.config)

    @cached_property
    def _bright(self) -> float:
        """The light by which the exposure of all frames is set, that of the first one."""
        staging, scene = self.scene(0)
        return brightness(self.linear_color(0, scene, staging.view.camera))

    @cached_property
    def _sensor(self) -> DepthSensor:
        return sample_sensor(self._fixed("sensor"), self.config, self.performance.base.view.camera)

    def _photograph(self, index: int, linear: np.ndarray, moving: np.ndarray, depth: np.ndarray) -> np.ndarray:
        film = Film(self._own(index, "grain"), self._bright)
        return develop(self._fixed("photo"), linear, self.config, None, depth, film)

    def _measured(self, index: int, scene: Scene, camera: Camera) -> np.ndarray:
        seen = scene if self.depth_lag == 0 else self.scene(index - self.depth_lag)[1]
        return self._sensor.measure(self._own(index, "depth noise"), seen.surfaces, seen.materials, camera)

    def _target(self, staging: Staging, scene: Scene) -> TwoHands:
        inside = [float(shown(staging, side).any()) for side in (0, 1)]
        return replace(target(staging, scene), present=np.array(inside, dtype=np.float32))

    def _rng(self, index: int, stream: str) -> np.random.Generator:
        """Return a stream that all frames share."""
        return self._fixed(stream)

    def _fixed(self, stream: str, number: int = 0) -> np.random.Generator:
        return self._stream(0, stream, number)

    def _own(self, index: int, stream: str) -> np.random.Generator:
        return self._stream(1, stream, index)

    def _stream(self, kind: int, stream: str, number: int) -> np.random.Generator:
        place = (SPLITS.index(self.split), self.seed, _FILMED, kind, _STREAMS.index(stream), number)
        return np.random.default_rng([self.config.generator, *place])


render_sequence = HandSequence
"""Function from a seed to its sequence."""


def filmed(config: SynthConfig) -> SynthConfig:
    """Return a configuration of people whose hands are both near, apart from each other, and seen from head or front.

    Things hanging in the air and placements at the border are left out.
    """
    whole = {"two_hands": 1.0, "one_hand": 0.0, "facing": 1.0}
    none = dict.fromkeys(("close_roots", "contact", "mirrored", "crossed", "far", "truncated", "floating"), 0.0)
    return replace(config, **whole, **none, object_first=0.0, distance=_DISTANCE)
