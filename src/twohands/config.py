"""What can be chosen, as plain values. Builders read these classes; layers and functions never do."""

from __future__ import annotations

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

    image_size: int = 384
    """Pixels along each side of the square image."""
    rgb_encoder: str = "resnet50"
    rgbd_input: bool = False
    """Depth is the fourth channel of the image encoder (a rival of Table III)."""
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
class ExperimentConfig(Config):
    """Everything that decides a run."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    loss: LossConfig = field(default_factory=LossConfig)


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
PRESETS = {
    "tiny": ExperimentConfig(_TINY),
    "paper-small": ExperimentConfig(_PAPER_SMALL),
    "paper": ExperimentConfig(),
}
"""Sizes of method.md, section 9: for tests, for two CPU cores, as published."""
