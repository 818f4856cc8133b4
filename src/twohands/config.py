"""What can be chosen, as plain values. Builders read these classes; layers and functions never do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Self, get_type_hints

Widths = tuple[int, int, int]


class Config:
    """Base of the frozen dataclasses of choices: to plain dictionaries and back."""

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries of plain values, as JSON can hold them."""
        return asdict(self)  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The configuration of `values`; what is left out keeps its default. Unknown keys raise ValueError."""
        hints = get_type_hints(cls)
        known = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"{cls.__name__} does not know {', '.join(unknown)}; it knows {', '.join(known)}")
        return cls(**{name: _typed(value, hints[name]) for name, value in values.items()})


def _typed(value: Any, hint: Any) -> Any:
    """A nested configuration from its dictionary, tuples from the lists that JSON makes of them."""
    if is_dataclass(hint) and isinstance(value, Mapping):
        return hint.from_dict(value)  # type: ignore[attr-defined]
    return _as_tuple(value)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(item) for item in value) if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class NetworkConfig(Config):
    """The two-hand network; the defaults are PDFNet as published (method, sections 2-5). Names are registry entries."""

    architecture: str = "two_hand"
    """'two_hand' joins a fusion and a decoder, named below; the foreign rivals are whole networks of their own."""
    image_size: int = 384
    """Pixels along each side of the square image."""
    region: str = "frame"
    """What the square shows: 'frame', all of it; 'hands', the surroundings of both hands' masks if given."""
    rgb_encoder: str = "resnet50"
    rgbd_input: bool = False
    """Depth is the fourth channel of the image encoder (rivals of Tables I and III)."""
    fused_channels: int = 256
    """Channels of the map fused from all stages of the encoder, level 3 of the pyramid."""
    center_feature: bool = True
    """The colour feature at each hand's centre takes part in the fusion (the last one of the four places)."""
    center_channels: int = 1024
    fusion: str = "pdfnet"
    num_points: int = 1024
    """Points taken from the depth image for each hand."""
    depth_range: tuple[float, float] = (0.2, 2.5)
    """Metres along the optical axis between which a pixel can belong to a hand; each data set has its own."""
    num_centroids: tuple[int, int] = (512, 128)
    """Points that remain after the first and after the second set abstraction."""
    centroid_sampling: str = "random"
    """'random': the first ones of the randomly ordered cloud; 'farthest': farthest-point sampling."""
    num_neighbours: int = 64
    ball_radii: tuple[float, float] | None = None
    """Metres beyond which a neighbour does not count, for each set abstraction; None = no limit."""
    point_widths: tuple[Widths, Widths, Widths] = ((64, 64, 128), (128, 128, 256), (512, 512, 1024))
    """Layers of the three point networks: first and second set abstraction, global."""
    decoder: str = "graph"
    decoder_widths: Widths = (512, 256, 128)
    """Channels of the graph decoder on its mesh levels, coarse to fine."""
    decoder_blocks: int = 2
    """Residual graph blocks on each mesh level."""
    attention_heads: int = 4
    hand_model: str = "free"

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
    """Weight of every term of `losses.TERMS`, as published (method, section 6); 0 leaves a term out.

    For lengths in metres and pixels divided by the network's width.
    """

    center: float = 200.0
    mask: float = 2000.0
    root: float = 1000.0
    vertices: float = 500.0
    joints: float = 500.0
    coarse: float = 100.0
    absolute_vertices: float = 100.0
    absolute_joints: float = 100.0
    vertices_2d: float = 50.0
    joints_2d: float = 1000.0
    edges: float = 2000.0
    normals: float = 10.0
    heat_maps: float = 10.0
    """Joint heat maps, of a network that has them."""
    identities: float = 5.0
    """Which joint a key point is, of a network that asks."""
    late_terms: tuple[str, ...] = ("joints_2d", "edges")
    """Terms that do not count from the start."""
    late_epoch: int = 20
    """The epoch, counted from 0, from which the late terms count."""

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
        """Weights by name of the terms that count in an epoch, counted from 0."""
        late = self.late_terms if epoch < self.late_epoch else ()
        return {name: weight for name, weight in self._all().items() if weight > 0 and name not in late}

    def _all(self) -> dict[str, float]:
        names = [entry.name for entry in fields(self) if entry.name not in ("late_terms", "late_epoch")]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class AugmentConfig(Config):
    """Random changes of training frames; the defaults are the published ones (method, section 6)."""

    rotation: float = math.pi / 3
    """Largest turn about the centre of the image, radians."""
    scale: float = 0.1
    """Largest enlargement, as a share; the largest reduction is its inverse."""
    translation: float = 0.05
    """Largest shift along each axis, as a share of the image's width."""
    colour: float = 0.2
    """Largest relative change of brightness, contrast and saturation; of each channel's gain a quarter."""
    mirror: float = 0.5
    """Probability of a left-right mirror image."""
    depth_noise: float = 0.0
    """Standard deviation, metres."""
    mask_noise: float = 0.0
    """Probability that the mask from which a cloud is cut is less perfect than the truth."""

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
        """No change at all."""
        return cls(**dict.fromkeys((entry.name for entry in fields(cls)), 0.0))


@dataclass(frozen=True)
class TrainConfig(Config):
    """How a network is trained; the defaults are the published recipe (method, section 6)."""

    epochs: int = 80
    steps: int = 0
    """Steps of the optimiser in all; 0 = as many as `epochs` need."""
    batch_size: int = 16
    """Frames of one step, over all processes and accumulated parts (published: 8 on each of two cards)."""
    accumulation: int = 1
    """Parts of its share of a batch that a process handles one after the other."""
    learning_rate: float = 1e-4
    schedule: str = "drops"
    """'drops': times 0.1 after each of the `drops`; 'cosine': down to 0 at the last step."""
    drops: tuple[int, ...] = (30,)
    """Epochs."""
    warmup: float = 0.0
    """Share of the steps in which the rate rises from 0."""
    weight_decay: float = 0.0
    """Decoupled (AdamW); 0 is Adam."""
    center_noise: float = 0.0
    """Standard deviation of the true centres that training gives the network, as a share of the image's width."""
    own_centers: float = 0.0
    """Share of the frames that see the centres which the network itself has found, as it will when it is used."""
    precision: str = "no"
    """Autocast of the image branch: 'no', 'bf16' or 'fp16'; geometry and losses are always float32."""
    seed: int = 0
    workers: int = 2
    """Processes that load frames, for each process that trains; 0 = the training process itself."""
    save_steps: int = 100
    """Steps between two states from which a killed run continues."""
    validate_steps: int = 1000
    validation_frames: int = 500
    """The most frames of a validation, evenly spread over its data."""

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
            raise ValueError(f"warmup is a share of the steps in [0, 1); got {self.warmup}")
        if min(self.weight_decay, self.center_noise) < 0:
            raise ValueError("weight_decay and center_noise must be at least 0")
        if not 0 <= self.own_centers <= 1:
            raise ValueError(f"own_centers is a share in [0, 1]; got {self.own_centers}")


@dataclass(frozen=True)
class ExperimentConfig(Config):
    """Everything that decides a run."""

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
"""Sizes of method.md, section 9: for tests, for two CPU cores, as published."""
