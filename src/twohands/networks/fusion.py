"""Pyramid deep fusion (paper, section III-C, Algorithm 1) and its baselines; FUSIONS has their builders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from twohands.config import NetworkConfig
from twohands.geometry.cloud import HandClouds
from twohands.networks.base import Fusion
from twohands.networks.points import SetAbstraction, point_network
from twohands.ops.image import lookup
from twohands.ops.points import farthest_first, gather, pool

LEAK = 0.1
"""Negative slope of the leaky ReLU in alpha and beta."""
INITIAL_SCALE = 0.01
"""Factor on the initial weights of alpha's and beta's last layers.

Without it the untrained transform moves the points, which are metres, by decimetres, and training stays behind the
baseline `depth_only` for a long time.
"""


def colours_at(level: Tensor, pixels: Tensor, pyramid: tuple[Tensor, ...]) -> Tensor:
    """Return the features of one level (B, C, h, w) at the points' pixels (B, 2, N, 2) as (B, 2, N, C)."""
    height, width = pyramid[0].shape[-2:]
    return lookup(level, pixels.flatten(1, 2), width, height).unflatten(1, pixels.shape[1:3])


class Join(nn.Module):
    """Layer (channels, condition) that joins point features (*B, c) with colour features (*B, F) at the same places."""

    channels: int
    """Number of channels after the join."""
    reads_image = True
    """True if the colour features are used."""


class FeatureTransform(Join):
    """P' = P (alpha(F) + 1) + beta(F) (paper, formula (1)); alpha and beta are per-point networks F -> F -> c."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.channels = channels
        self.alpha, self.beta = (
            nn.Sequential(nn.Linear(condition, condition), nn.LeakyReLU(LEAK), nn.Linear(condition, channels))
            for _ in range(2)
        )
        with torch.no_grad():
            for parameter in (*self.alpha[2].parameters(), *self.beta[2].parameters()):
                parameter.mul_(INITIAL_SCALE)

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(*B, c) and (*B, F) -> (*B, c)."""
        return features * (self.alpha(condition) + 1) + self.beta(condition)


class Concatenation(Join):
    """Baseline `concat`: colour features are appended to point features."""

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.channels = channels + condition

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(*B, c) and (*B, F) -> (*B, c + F)."""
        return torch.cat([features, condition], dim=-1)


class GeometryAlone(Join):
    """Baseline `depth_only`: the fusion uses no colour.

    The colour image still gives the centre at which the root starts and, unless masks are given, cuts the clouds.
    """

    reads_image = False

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """Return the point features (*B, c) unchanged."""
        return features


class PyramidFusion(Fusion):
    """PointNet++ on the clouds, joined with colour at four places: three pyramid levels and the hand's centre."""

    reads_depth = True

    def __init__(
        self,
        image_channels: tuple[int, ...],
        center_channels: int,
        widths: tuple[tuple[int, ...], ...],
        num_centroids: tuple[int, int],
        num_neighbours: int,
        radii: tuple[float, float] | None,
        farthest: bool,
        join: Callable[[int, int], Join],
    ):
        """Take the channels of the three pyramid levels; center_channels = 0 leaves out the join at the centre."""
        super().__init__()
        self.num_centroids, self.farthest = num_centroids, farthest
        joins, abstractions = [], []
        channels = 3
        for level, radius in enumerate(radii or (None, None)):
            joins.append(join(channels, image_channels[level]))
            abstractions.append(SetAbstraction(joins[-1].channels, widths[level], num_neighbours, radius))
            channels = abstractions[-1].channels
        joins.append(join(channels, image_channels[2]))
        self.joins, self.abstractions = nn.ModuleList(joins), nn.ModuleList(abstractions)
        self.last = point_network(joins[-1].channels, widths[2])
        self.reads_image = joins[0].reads_image
        self.reads_center = self.reads_image and center_channels > 0
        self.center_join = join(widths[2][-1], center_channels) if self.reads_center else None
        self.channels = self.center_join.channels if self.center_join else widths[2][-1]

    def forward(self, clouds: HandClouds, pyramid: tuple[Tensor, ...], center: Tensor | None) -> Tensor:
        """Return (B, 2, channels) from clouds, maps fine -> coarse, and centre features (B, 2, F) or None."""
        points, pixels = clouds.points, clouds.pixels
        features = points
        for level, count in enumerate(self.num_centroids):
            features = self._join(level, features, pixels, pyramid)
            centroids, pixels = self._centroids(points, pixels, count)
            features = self.abstractions[level](points, features, centroids)
            points = centroids
        features = self._join(2, features, pixels, pyramid)
        fused = pool(self.last(features))  # (B, 2, D)
        return fused if self.center_join is None else self.center_join(fused, center)

    def _join(self, level: int, features: Tensor, pixels: Tensor, pyramid: tuple[Tensor, ...]) -> Tensor:
        colours = colours_at(pyramid[level], pixels, pyramid) if self.reads_image else None
        return self.joins[level](features, colours)

    def _centroids(self, points: Tensor, pixels: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Return `count` points and their pixels: the first of the randomly ordered cloud, or the farthest ones."""
        if not self.farthest:
            return points[..., :count, :], pixels[..., :count, :]
        index = farthest_first(points, count)
        return gather(points, index), gather(pixels, index)


class DenseFusion(Fusion):
    """Baseline `densefusion`: colour joins geometry once, point by point (Wang et al. 2019)."""

    reads_depth, reads_center = True, False

    def __init__(self, colour_channels: int, embedding: tuple[int, ...], pooling: tuple[int, ...]):
        """Take the channels of the coarsest map, and the layer widths before and after colour joins geometry."""
        super().__init__()
        self.points = point_network(3, embedding)
        self.colours = point_network(colour_channels, embedding)
        self.pool = point_network(2 * embedding[-1], pooling)
        self.last = point_network(2 * embedding[-1] + pooling[-1], pooling[-1:])
        self.channels = pooling[-1]

    def forward(self, clouds: HandClouds, pyramid: tuple[Tensor, ...], center: Tensor | None) -> Tensor:
        """Return (B, 2, channels): the mean over all points of their own and the cloud's features."""
        colours = self.colours(colours_at(pyramid[-1], clouds.pixels, pyramid))
        pairs = torch.cat([self.points(clouds.points), colours], dim=-1)  # (B, 2, N, 2 E)
        whole = pool(self.pool(pairs))[..., None, :].expand(-1, -1, pairs.shape[2], -1)
        return self.last(torch.cat([pairs, whole], dim=-1)).mean(dim=-2)


class CenterAlone(Fusion):
    """Baseline `rgb_only`: the colour feature at the hand's centre, no cloud."""

    reads_depth, reads_center = False, True

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels

    def forward(self, clouds: HandClouds, pyramid: tuple[Tensor, ...], center: Tensor | None) -> Tensor:
        """Return the centre features (B, 2, channels) unchanged."""
        assert center is not None
        return center


def _pyramid(config: NetworkConfig, image_channels: tuple[int, ...], join: Callable[[int, int], Join]) -> Fusion:
    center_channels = config.center_channels if config.center_feature else 0
    sizes = config.point_widths, config.num_centroids, config.num_neighbours, config.ball_radii
    return PyramidFusion(image_channels, center_channels, *sizes, config.centroid_sampling == "farthest", join)


def _dense(config: NetworkConfig, image_channels: tuple[int, ...]) -> Fusion:
    return DenseFusion(image_channels[-1], config.point_widths[0], config.point_widths[2])


def _center(config: NetworkConfig, image_channels: tuple[int, ...]) -> Fusion:
    return CenterAlone(config.center_channels)


FUSIONS: dict[str, Callable[[NetworkConfig, tuple[int, ...]], Fusion]] = {
    "pdfnet": partial(_pyramid, join=FeatureTransform),
    "concat": partial(_pyramid, join=Concatenation),
    "depth_only": partial(_pyramid, join=GeometryAlone),
    "densefusion": _dense,
    "rgb_only": _center,
}
"""Name -> builder of a fusion from its configuration and the channels of the pyramid's levels, fine -> coarse."""
