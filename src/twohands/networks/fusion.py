"""Pyramid deep fusion (method, section 4; Algorithm 1 of the paper) and its rivals.

A fusion turns the clouds, the colour pyramid and the centre features into one feature vector per hand, with the same
weights for both hands. `.channels` says how long it is, `.reads_depth` and `.reads_center` what it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from twohands.geometry.cloud import HandClouds
from twohands.networks.points import SetAbstraction, point_network
from twohands.ops.image import lookup
from twohands.ops.points import farthest_first, gather, pool

LEAK = 0.1
QUIET = 0.01
"""Share of their usual size with which alpha and beta start: otherwise colour moves the points, which are metres, by
decimetres before anything is learned, and the fusion stays behind `depth_only` for a long time."""


def colours_at(level: Tensor, pixels: Tensor, pyramid: tuple[Tensor, ...]) -> Tensor:
    """Features of one pyramid level (B, C, h, w) at the pixels (B, 2, N, 2) of both hands' points -> (B, 2, N, C)."""
    height, width = pyramid[0].shape[-2:]
    return lookup(level, pixels.flatten(1, 2), width, height).unflatten(1, pixels.shape[1:3])


def _quiet(layer: nn.Linear) -> nn.Linear:
    """The layer with weights and biases QUIET times as large."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(QUIET)
    return layer


class FeatureTransform(nn.Module):
    """P' = P (alpha(F) + 1) + beta(F): colour modulates geometry; alpha and beta are per-point networks F -> F -> c."""

    reads_image = True

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.channels = channels
        self.alpha, self.beta = (
            nn.Sequential(nn.Linear(condition, condition), nn.LeakyReLU(LEAK), _quiet(nn.Linear(condition, channels)))
            for _ in range(2)
        )

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(*B, c) and (*B, F) -> (*B, c)."""
        return features * (self.alpha(condition) + 1) + self.beta(condition)


class Concatenation(nn.Module):
    """The rival `concat`: colour beside geometry."""

    reads_image = True

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.channels = channels + condition

    def forward(self, features: Tensor, condition: Tensor) -> Tensor:
        """(*B, c) and (*B, F) -> (*B, c + F)."""
        return torch.cat([features, condition], dim=-1)


class GeometryAlone(nn.Module):
    """The rival `depth_only`: no colour joins the clouds.

    The root starts at the centre that the colour image shows; without given masks the image also cuts the clouds.
    """

    reads_image = False

    def __init__(self, channels: int, condition: int):
        super().__init__()
        self.channels = channels

    def forward(self, features: Tensor, condition: Tensor | None) -> Tensor:
        """(*B, c) -> the same."""
        return features


Join = Callable[[int, int], nn.Module]


class PyramidFusion(nn.Module):
    """PointNet++ on the clouds, joined with the colour pyramid at three levels and at the centre (four places)."""

    reads_depth = True

    def __init__(
        self,
        image_channels: tuple[int, ...],
        center_channels: int,
        widths: tuple[tuple[int, ...], ...],
        num_centroids: tuple[int, int],
        num_neighbours: int,
        radii: tuple[float, float] | None = None,
        farthest: bool = False,
        *,
        join: Join,
    ):
        """image_channels of the three pyramid levels; center_channels 0: without the centre feature."""
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
        self.reads_image = bool(joins[0].reads_image)
        self.reads_center = self.reads_image and center_channels > 0
        self.center_join = join(widths[2][-1], center_channels) if self.reads_center else None
        self.channels = int(self.center_join.channels if self.center_join else widths[2][-1])  # type: ignore[arg-type]

    def forward(self, clouds: HandClouds, pyramid: tuple[Tensor, ...], center: Tensor | None) -> Tensor:
        """Clouds, maps fine -> coarse and centre features (B, 2, F) or None -> (B, 2, channels)."""
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
        """The first ones of a cloud in random order, or the farthest ones, and their pixels."""
        if not self.farthest:
            return points[..., :count, :], pixels[..., :count, :]
        index = farthest_first(points, count)
        return gather(points, index), gather(pixels, index)


class DenseFusion(nn.Module):
    """The rival `densefusion`: colour joins geometry once, point by point (Wang et al. 2019)."""

    reads_depth = True
    reads_center = False

    def __init__(
        self,
        image_channels: tuple[int, ...],
        center_channels: int,
        widths: tuple[tuple[int, ...], ...],
        *_: object,
    ):
        super().__init__()
        embedding, pooling = widths[0], widths[2]
        self.points = point_network(3, embedding)
        self.colours = point_network(image_channels[-1], embedding)
        self.pool = point_network(2 * embedding[-1], pooling)
        self.last = point_network(2 * embedding[-1] + pooling[-1], pooling[-1:])
        self.channels = pooling[-1]

    def forward(self, clouds: HandClouds, pyramid: tuple[Tensor, ...], center: Tensor | None) -> Tensor:
        """As PyramidFusion; the centre features are not used."""
        colours = self.colours(colours_at(pyramid[-1], clouds.pixels, pyramid))
        pairs = torch.cat([self.points(clouds.points), colours], dim=-1)  # (B, 2, N, 2 E)
        scene = pool(self.pool(pairs))[..., None, :].expand(-1, -1, pairs.shape[2], -1)
        return self.last(torch.cat([pairs, scene], dim=-1)).mean(dim=-2)


class CenterAlone(nn.Module):
    """The rival `rgb_only`: the colour feature at the centre, no cloud."""

    reads_depth = False
    reads_center = True

    def __init__(self, image_channels: tuple[int, ...], center_channels: int, *_: object):
        super().__init__()
        self.channels = center_channels

    def forward(self, clouds: HandClouds, pyramid: tuple[Tensor, ...], center: Tensor) -> Tensor:
        """The centre features (B, 2, channels)."""
        return center


FUSIONS: dict[str, Callable[..., nn.Module]] = {
    "pdfnet": partial(PyramidFusion, join=FeatureTransform),
    "concat": partial(PyramidFusion, join=Concatenation),
    "depth_only": partial(PyramidFusion, join=GeometryAlone),
    "densefusion": DenseFusion,
    "rgb_only": CenterAlone,
}
