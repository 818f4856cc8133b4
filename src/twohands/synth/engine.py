"""`SyntheticHands` draws frame `index` of a seed, a pure function of (version, split, seed, index) and the config.

Every process on one machine with the same libraries draws the same bytes. On another kind of CPU the depth agrees
within a millimetre, except in about 4 % of the frames of `full` and none of `basic`: where hands touch, rounding
decides which pose the contact search accepts, and other hands are drawn. Every part of a frame has its own stream of
random numbers, so a change of the light does not move the hands.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import cache, partial
from importlib.resources import files as resource_files
from typing import Any

import numpy as np

from twohands.geometry.camera import Camera
from twohands.hands.free import DEFAULT_LEVEL, free_hand_arrays
from twohands.hands.skeleton import NUM_JOINTS
from twohands.synth.acts.placement import Staging, sample_staging
from twohands.synth.acts.poses import SPLITS, sample_shape
from twohands.synth.config import FULL, SynthConfig
from twohands.synth.person.dressed import NOBODY
from twohands.synth.rendering.photo import develop
from twohands.synth.rendering.render import Surfaces, draw, labels, shade
from twohands.synth.rendering.shapes import OBJECT_LABEL
from twohands.synth.scene import Scene, build_scene, hand_alone
from twohands.synth.sensors import STEP, sample_sensor
from twohands.synth.sensors.losses import Pictured, with_losses
from twohands.types import RGBDFrame, Sample, TwoHands

_STREAMS = (
    *("person", "staging", "scene", "photo", "sensor"),  # streams of the first engine
    *("acts", "person's look", "light", "bystanders", "clutter", "motion"),
    *("cover", "depth faults"),
)
_DELAY = (0.006, 0.015)
"""Delay between colour and depth in seconds: standard deviation and largest value."""
_SPEED = 0.25
"""Standard deviation of a hand's velocity along each axis, in metres per second."""
_DISC = 0.006  # metres, radius of the disc around a joint over which its visibility is measured
_FLESH = 0.025  # metres, largest distance of a joint below the skin that the camera sees


class SyntheticHands:
    """An endless data set: `dataset[index]` draws one frame. Pass `count` where a length is needed."""

    renderer = "engine"
    """Name of the program that draws the colours. Frames of two renderers must not be stored in one folder."""

    def __init__(self, seed: int, split: str = "train", config: SynthConfig | None = None, count: int | None = None):
        if split not in SPLITS:
            raise ValueError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
        if seed < 0:
            raise ValueError(f"the seed must not be negative; got {seed}")
        self.seed, self.split, self.config, self.count = seed, split, config or FULL, count

    def __len__(self) -> int:
        if self.count is None:
            raise TypeError("this data set is endless; pass count= to give it a length")
        return self.count

    @property
    def content(self) -> dict[str, Any]:
        """All that the frames depend on, for `write_shards`. `generator` stands for the code and the environments."""
        return {
            "generator": self.config.generator,
            "renderer": self.renderer,
            "hand": _hand_digest(),
            "assets": _asset_digest(self.config),
            "split": self.split,
            "seed": self.seed,
            "config": asdict(self.config),
        }

    def __getitem__(self, index: int) -> Sample:
        """Draw a frame: colour, sensor depth, and the ground truth of both hands."""
        self._check(index)
        staging, scene = self.scene(index)
        camera = staging.view.camera
        true_depth, triangle = draw(scene.surfaces, camera)
        label = labels(scene.surfaces, triangle)
        linear = self.linear_color(index, scene, camera)
        moving = np.where(triangle >= 0, scene.owner[scene.surfaces.faces[triangle, 0]], NOBODY)
        photo = self._photograph(index, linear, moving, true_depth)
        depth = self._measured(index, scene, camera)
        masks = np.stack([label == side for side in range(2)])
        pictured = Pictured(masks[0] | masks[1], (label == OBJECT_LABEL) & (moving != NOBODY), true_depth)
        depth = with_losses(self._rng(index, "depth faults"), self.config, depth, pictured)
        hands = self._target(staging, scene)
        matrix = np.asarray(camera.K, dtype=np.float64)
        return Sample(
            frame=RGBDFrame.from_arrays(photo, depth, matrix, depth_unit=STEP),
            hands=hands,
            masks=masks,
            visibility=_visibility(hands, camera, true_depth, label),
            visible_fraction=_shares(staging, scene, masks),
            joint_definition="free",
            id=self.id(index),
        )

    def linear_color(self, index: int, scene: Scene, camera: Camera) -> np.ndarray:
        """Return the light (H, W, 3) float32 that reaches the colour camera."""
        return shade(scene.surfaces, scene.materials, scene.light, camera)

    def id(self, index: int) -> str:
        """Return the name of a frame: split, seed, index."""
        return f"{self.split}-{self.seed}-{index:06d}"

    def staging(self, index: int) -> Staging:
        """Return the camera, person and hands of a frame. This is cheap: nothing is rendered."""
        shape = sample_shape(self._rng(index, "person"), self.split)
        return sample_staging(self._rng(index, "staging"), self.config, shape, self._rng(index, "acts"))

    def scene(self, index: int) -> tuple[Staging, Scene]:
        """Return the staging of a frame and everything to render."""
        staging = self.staging(index)
        return staging, build_scene(partial(self._rng, index), staging, self.config)

    def parts(self, index: int) -> tuple[str, ...]:
        """Return the names of the engine's parts that a frame shows, its depth camera first."""
        staging, scene = self.scene(index)
        sensor = sample_sensor(self._rng(index, "sensor"), self.config, staging.view.camera)
        return type(sensor).__name__, *scene.parts

    def _rng(self, index: int, stream: str) -> np.random.Generator:
        split = SPLITS.index(self.split)
        return np.random.default_rng([self.config.generator, split, self.seed, index, _STREAMS.index(stream)])

    def _photograph(self, index: int, linear: np.ndarray, moving: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Return the photograph (H, W, 3) uint8 of the light that reaches the colour camera, see `photo.develop`."""
        return develop(self._rng(index, "photo"), linear, self.config, moving, depth)

    def _measured(self, index: int, scene: Scene, camera: Camera) -> np.ndarray:
        """Return what the depth camera measures, (H, W) uint16 in steps of `STEP`."""
        rng = self._rng(index, "sensor")
        sensor = sample_sensor(rng, self.config, camera)
        return sensor.measure(rng, self._later(index, scene), scene.materials, camera)

    def _target(self, staging: Staging, scene: Scene) -> TwoHands:
        """Return the truth of a frame."""
        return target(staging, scene)

    def _later(self, index: int, scene: Scene) -> Surfaces:
        """Return the surfaces as the depth camera sees them: hands, arms and held objects have moved on."""
        rng = self._rng(index, "motion")
        delay = self.config.registration * np.clip(rng.normal(0.0, _DELAY[0]), -_DELAY[1], _DELAY[1])
        shifts = np.concatenate([np.zeros((1, 3)), delay * rng.normal(0.0, _SPEED, (2, 3))])
        return scene.surfaces._replace(vertices=scene.surfaces.vertices + shifts[scene.owner])

    def _check(self, index: int) -> None:
        if index < 0 or (self.count is not None and index >= self.count):
            raise IndexError(f"frame {index} of {self.count}" if self.count else f"frame {index}: must not be negative")


def target(staging: Staging, scene: Scene) -> TwoHands:
    """Return the drawn hands at the default mesh level. The pose of an absent hand is arbitrary; its present is 0."""
    ids = free_hand_arrays()[f"level_{DEFAULT_LEVEL}"].astype(np.int64)
    present = np.array([arm is not None for arm in staging.arms], dtype=np.float32)
    vertices = np.asarray(scene.hands.vertices)[:, ids]
    return TwoHands(vertices, scene.hands.joints, present, scene.hands.parameters)


def _shares(staging: Staging, scene: Scene, masks: np.ndarray) -> np.ndarray:
    """Return the fraction (2,) float32 of each hand's pixels that nothing else hides; 0 for an absent hand."""
    shares = np.zeros(2, dtype=np.float32)
    for side, arm in enumerate(staging.arms):
        if arm is not None:
            _, alone = draw(hand_alone(scene, side), staging.view.camera)
            shares[side] = masks[side].sum() / max(int((alone >= 0).sum()), 1)
    return shares


def _visibility(hands: TwoHands, camera: Camera, depth: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the visibility (2, 21) of the joints in [0, 1]: the visible fraction of a 6 mm disc that faces the camera.

    Visible points show this hand's skin at most 25 mm before the joint, or anything behind it; outside the image is 0.
    """
    angle = np.arange(8) * np.pi / 4
    disc = np.concatenate([np.zeros((1, 2)), *(r * np.stack([np.cos(angle), np.sin(angle)], -1) for r in (0.5, 1.0))])
    joints = np.asarray(hands.joints, dtype=np.float64).reshape(-1, 3)  # (42, 3)
    z = joints[:, 2]
    pixels = camera.project(joints)[:, None] + _DISC * disc * (camera.focal / z[:, None])[:, None]
    column, row = np.round(pixels[..., 0]).astype(int), np.round(pixels[..., 1]).astype(int)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    column, row = np.clip(column, 0, camera.width - 1), np.clip(row, 0, camera.height - 1)
    side = np.repeat([0, 1], NUM_JOINTS)[:, None]
    own = (label[row, column] == side) & (depth[row, column] > z[:, None] - _FLESH)
    behind = (depth[row, column] > z[:, None]) | (label[row, column] < 0)
    seen = (inside & (own | behind)).mean(axis=1).reshape(2, NUM_JOINTS)
    return (seen * np.asarray(hands.present)[:, None]).astype(np.float32)


@cache
def _hand_digest() -> str:
    assets = resource_files("twohands.hands") / "assets"
    names = ("free_hand.npz", "skin_maps.png")
    return hashlib.sha256(b"".join((assets / name).read_bytes() for name in names)).hexdigest()[:16]


def _asset_digest(config: SynthConfig) -> str | None:
    """Return the digest of the asset cache, or None when the frames do not depend on it."""
    if not (config.models or config.photographs):
        return None
    from twohands.synth.things.assets import load_assets

    return load_assets().digest
