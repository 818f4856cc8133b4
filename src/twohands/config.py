"""Configurations as plain values. Builders read these classes; layers and functions never do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Self, get_type_hints

Widths = tuple[int, int, int]


class Config:
    """Base class of the configurations, which are frozen dataclasses: conversion to dictionaries and back."""

    def to_dict(self) -> dict[str, Any]:
        """Return nested dictionaries of plain values, which JSON can hold."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the configuration of `values`; missing keys keep their defaults, unknown keys raise ValueError."""
        hints = get_type_hints(cls)
        known = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{cls.__name__} does not know {', '.join(unknown)}; it knows {', '.join(known)}")
        return cls(**{name: _typed(value, hints[name]) for name, value in values.items()})


def _typed(value: Any, hint: Any) -> Any:
    """Return a nested configuration from its dictionary, and tuples from the lists that JSON makes of them."""
    if is_dataclass(hint) and isinstance(value, Mapping):
        return hint.from_dict(value)  # type: ignore[attr-defined]
    return _as_tuple(value)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class NetworkConfig(Config):
    """The two-hand network; names are entries of its registries. The defaults are PDFNet as published (section III)."""

    architecture: str = "two_hand"
    """'two_hand', an encoder, a fusion and a decoder; 'intaghand' and 'keypoint_transformer' are external baselines."""
    image_size: int = 384
    """Pixels along each side of the square image that the network sees; a multiple of 32."""
    region: str = "frame"
    """Part of the frame in the square image: 'frame', all of it; 'hands', a crop around both hands' masks, if given."""
    rgb_encoder: str = "resnet50"
    """Image encoder: 'resnet50', 'resnet18', 'resnet18_slim' (narrow layers) or 'tiny' (three convolutions)."""
    rgbd_input: bool = False
    """Depth as a fourth channel of the image encoder (baselines of Tables I and III)."""
    fused_channels: int = 256
    """Channels of the map at a quarter of the image size that is fused from all stages of the encoder."""
    center_feature: bool = True
    """Use of the colour feature at each hand's centre in the fusion."""
    center_channels: int = 1024
    """Length of the colour feature at a hand's centre."""
    fusion: str = "pdfnet"
    """Join of points and colour: 'pdfnet'; the baselines are 'concat', 'densefusion', 'depth_only' and 'rgb_only'."""
    num_points: int = 1024
    """Points of each hand's cloud. A hand that shows fewer than a tenth as many depth pixels counts as absent."""
    depth_range: tuple[float, float] = (0.2, 2.5)
    """Nearest and farthest depth in metres at which a pixel can belong to a hand."""
    num_centroids: tuple[int, int] = (512, 128)
    """Points that remain after the first and after the second set abstraction of PointNet++."""
    centroid_sampling: str = "random"
    """Choice of these points: 'random', or 'farthest' for farthest-point sampling, which is slower."""
    num_neighbours: int = 64
    """Nearest points from which a set abstraction computes the feature of a centroid."""
    ball_radii: tuple[float, float] | None = None
    """Largest distance in metres of a neighbour, for each of the two set abstractions; None is no limit."""
    point_widths: tuple[Widths, Widths, Widths] = ((64, 64, 128), (128, 128, 256), (512, 512, 1024))
    """Layer widths of the three point networks: first set abstraction, second set abstraction, whole hand."""
    decoder: str = "graph"
    """'graph' predicts meshes by graph convolutions, 'parameters' those of the hand model, 'joints' no meshes."""
    decoder_widths: Widths = (512, 256, 128)
    """Channels of the graph decoder on its three mesh levels, coarse to fine; multiples of `attention_heads`."""
    decoder_blocks: int = 2
    """Residual graph blocks on each mesh level."""
    attention_heads: int = 4
    """Heads of the attention within a hand and between both hands."""
    hand_model: str = "free"
    """Hand model of the predicted meshes: 'free', which is shipped, or 'mano', which needs MANO's files."""

    def __post_init__(self) -> None:
        sizes = [self.image_size, self.fused_channels, self.center_channels, self.num_points, self.num_neighbours]
        sizes += [*self.num_centroids, *sum(self.point_widths, ()), *self.decoder_widths]
        if min(*sizes, self.decoder_blocks, self.attention_heads) < 1:
            raise ValueError(f"sizes of the network must be at least 1; got {min(sizes)}")
        if self.image_size % 32:
            raise ValueError(f"image_size must be a multiple of 32, the coarsest stride; got {self.image_size}")
        if self.region not in ("frame", "hands"):
            raise ValueError(f"region is 'frame' or 'hands'; got {self.region!r}")
        near, far = self.depth_range
        if not 0 < near < far:
            raise ValueError(f"depth_range must rise from above 0 metres; got {self.depth_range}")
        if not self.num_points >= self.num_centroids[0] >= self.num_centroids[1]:
            raise ValueError(f"num_centroids must fall from num_points={self.num_points}; got {self.num_centroids}")
        if self.num_neighbours > self.num_centroids[0]:
            raise ValueError(
                f"num_neighbours={self.num_neighbours} is more than the {self.num_centroids[0]} points of the second "
                "set abstraction"
            )
        if self.centroid_sampling not in ("random", "farthest"):
            raise ValueError(f"centroid_sampling is 'random' or 'farthest'; got {self.centroid_sampling!r}")
        if self.ball_radii is not None and min(self.ball_radii) <= 0:
            raise ValueError(f"ball_radii are metres above 0, or None; got {self.ball_radii}")
        indivisible = [width for width in self.decoder_widths if width % self.attention_heads]
        if indivisible:
            raise ValueError(f"decoder_widths must be multiples of {self.attention_heads} heads; got {indivisible[0]}")
        if self.fusion == "rgb_only" and not self.center_feature:
            raise ValueError("fusion='rgb_only' is the centre feature; center_feature=False leaves nothing")


@dataclass(frozen=True)
class LossConfig(Config):
    """Weights of the loss terms (`training.losses.TERMS`), as published (paper, section III-E); 0 leaves a term out.

    They hold for lengths in metres, and for pixels divided by the width of the network's image.
    """

    center: float = 200.0
    """Heat maps of the hands' centres (focal loss)."""
    mask: float = 2000.0
    """Hand masks (smooth L1)."""
    root: float = 1000.0
    """Position of the root (L1)."""
    vertices: float = 500.0
    """Vertices relative to the root (L1)."""
    joints: float = 500.0
    """Joints relative to the root (L1)."""
    coarse: float = 100.0
    """Vertices of the decoder's three coarse meshes, relative to the root (L1)."""
    absolute_vertices: float = 100.0
    """Vertices in the camera frame (L1)."""
    absolute_joints: float = 100.0
    """Joints in the camera frame (L1)."""
    vertices_2d: float = 50.0
    """Projected vertices (squared)."""
    joints_2d: float = 1000.0
    """Projected joints (squared)."""
    edges: float = 2000.0
    """Lengths of the mesh's edges (L1)."""
    normals: float = 10.0
    """Directions of the mesh's faces (cosine)."""
    heat_maps: float = 10.0
    """Heat maps of single joints (focal loss); only the Keypoint Transformer has them."""
    identities: float = 5.0
    """Joint that a key point belongs to (cross entropy); only the Keypoint Transformer predicts it."""
    late_terms: tuple[str, ...] = ("joints_2d", "edges")
    """Terms that are left out until `late_epoch`."""
    late_epoch: int = 20
    """First epoch, counted from 0, with the late terms."""

    def __post_init__(self) -> None:
        weights = self._all()
        for name, weight in weights.items():
            if not 0 <= weight < float("inf"):
                raise ValueError(f"the weight of {name} must be a number of at least 0; got {weight}")
        unknown = [name for name in self.late_terms if name not in weights]
        if unknown:
            raise ValueError(f"late_terms does not know {unknown[0]!r}; it knows {', '.join(weights)}")
        if self.late_epoch < 0:
            raise ValueError(f"late_epoch must be at least 0; got {self.late_epoch}")

    def weights(self, epoch: int) -> dict[str, float]:
        """Return the weights of the terms that count in an epoch (from 0), by name."""
        late = self.late_terms if epoch < self.late_epoch else ()
        return {name: weight for name, weight in self._all().items() if weight > 0 and name not in late}

    def _all(self) -> dict[str, float]:
        names = [entry.name for entry in fields(self) if entry.name not in ("late_terms", "late_epoch")]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class AugmentConfig(Config):
    """Random changes of training frames. The defaults are the published ones (docs/method.md, Losses and recipe)."""

    rotation: float = math.pi / 3
    """Largest rotation about the centre of the image, radians. The 3D labels turn with it."""
    scale: float = 0.1
    """Largest enlargement, as a fraction of the size; the largest reduction is its inverse."""
    translation: float = 0.05
    """Largest shift along each axis, as a fraction of the image's width."""
    colour: float = 0.2
    """Largest relative change of brightness, contrast and saturation; gains of the channels change by a quarter."""
    mirror: float = 0.5
    """Probability of a left-right mirror image, which exchanges the hands."""
    depth_noise: float = 0.0
    """Standard deviation of noise that is added to the depth, metres."""
    mask_noise: float = 0.0
    """Probability that a hand's cloud is cut with an imperfect mask instead of the true one."""

    def __post_init__(self) -> None:
        for name, highest in (
            ("rotation", math.pi),
            ("translation", 1),
            ("colour", 1),
            ("mirror", 1),
            ("mask_noise", 1),
        ):
            if not 0 <= getattr(self, name) <= highest:
                raise ValueError(f"{name} must lie in [0, {highest:.4g}]; got {getattr(self, name)}")
        if min(self.scale, self.depth_noise) < 0:
            raise ValueError("scale and depth_noise must be at least 0")

    @classmethod
    def none(cls) -> Self:
        """Return the configuration that changes nothing."""
        return cls(**dict.fromkeys((entry.name for entry in fields(cls)), 0.0))


@dataclass(frozen=True)
class TrainConfig(Config):
    """Recipe of training. The defaults are the published ones (docs/method.md, Losses and recipe)."""

    epochs: int = 80
    """Passes over the training frames."""
    steps: int = 0
    """Total number of optimiser steps; 0 takes as many as `epochs` need."""
    batch_size: int = 16
    """Frames per step, over all processes and accumulated parts (published: 8 on each of two GPUs)."""
    accumulation: int = 1
    """Parts into which a process cuts its frames of a step, to handle one after the other. Saves memory."""
    learning_rate: float = 1e-4
    """Learning rate of Adam before the schedule."""
    schedule: str = "drops"
    """Course of the learning rate: 'drops', times 0.1 at each epoch in `drops`; 'cosine', down to 0 at the end."""
    drops: tuple[int, ...] = (30,)
    """Epochs, counted from 0, at which the learning rate drops."""
    warmup: float = 0.0
    """Fraction of the steps in which the learning rate rises from 0."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW); 0 is Adam."""
    center_noise: float = 0.0
    """Standard deviation of noise on the true centres given in training, as a fraction of the image's width."""
    own_centers: float = 0.0
    """Fraction of the frames in which training gives the network the centres that it found itself, as in use."""
    precision: str = "no"
    """Autocast of the image branch: 'no', 'bf16' or 'fp16'; geometry and losses are always float32."""
    seed: int = 0
    """Seed of the initial weights, of the order of the frames and of all random changes."""
    workers: int = 2
    """Processes that load frames, for each process that trains; 0 loads them in the training process."""
    save_steps: int = 100
    """Steps after which the state is saved from which an interrupted run resumes."""
    validate_steps: int = 1000
    """Steps after which the network is validated; the best one is kept."""
    validation_frames: int = 500
    """Largest number of frames of a validation, evenly spread over its data."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulation", "save_steps", "validate_steps", "validation_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if min(self.steps, self.seed, self.workers) < 0:
            raise ValueError(f"steps, seed, workers must be at least 0; got {self.steps}, {self.seed}, {self.workers}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0; got {self.learning_rate}")
        for name, known in (("schedule", ("drops", "cosine")), ("precision", ("no", "bf16", "fp16"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}; got {getattr(self, name)!r}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup is a fraction of the steps in [0, 1); got {self.warmup}")
        if min(self.weight_decay, self.center_noise) < 0:
            raise ValueError("weight_decay and center_noise must be at least 0")
        if not 0 <= self.own_centers <= 1:
            raise ValueError(f"own_centers is a fraction in [0, 1]; got {self.own_centers}")


@dataclass(frozen=True)
class ExperimentConfig(Config):
    """Everything that decides the result of a training run, except its frames and initial weights."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


_PAPER_SMALL = NetworkConfig(
    image_size=192,
    rgb_encoder="resnet18_slim",
    fused_channels=128,
    center_channels=512,
    num_points=512,
    num_centroids=(256, 64),
    num_neighbours=16,
    point_widths=((32, 32, 64), (64, 64, 128), (256, 256, 512)),
    decoder_widths=(256, 128, 64),
)
_TINY = replace(
    _PAPER_SMALL,
    image_size=96,
    rgb_encoder="tiny",
    fused_channels=32,
    center_channels=128,
    num_points=128,
    num_centroids=(64, 16),
    num_neighbours=8,
    point_widths=((8, 8, 16), (16, 16, 32), (64, 64, 128)),
    decoder_widths=(32, 32, 16),
)
_TWO_CORES = TrainConfig(
    epochs=10,
    batch_size=8,
    learning_rate=2e-3,
    schedule="cosine",
    warmup=0.05,
    weight_decay=1e-4,
    center_noise=0.01,
    own_centers=0.5,
    precision="bf16",
    workers=1,
)
PRESETS = {
    "tiny": ExperimentConfig(_TINY, train=replace(_TWO_CORES, learning_rate=3e-3, precision="no")),
    "paper-small": ExperimentConfig(_PAPER_SMALL, LossConfig(late_epoch=1), AugmentConfig(mask_noise=0.5), _TWO_CORES),
    "paper": ExperimentConfig(),
}
"""Sizes for tests, for two CPU cores, and as published (docs/method.md, Sizes)."""
