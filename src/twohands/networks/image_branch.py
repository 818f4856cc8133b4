"""Image branch (paper, section III-A): feature pyramid, hand centres, hand masks and the feature at a centre."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from twohands.geometry.record import TensorRecord
from twohands.networks.base import Encoder
from twohands.ops.image import peaks, rescale

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and deviation of red, green and blue in [0, 1]: the input statistics of every encoder, pretrained or not."""
CENTER_BIAS = -4.59
"""Logit of a prior probability of 0.01, so that the first steps are not spent on empty background (CenterNet)."""
EVEN_PEAK = 0.3
"""Peak height that maps to presence 0.5, the threshold of CenterNet; measured in reports/paper_small.md."""
EVEN_LOGIT = math.log(EVEN_PEAK / (1 - EVEN_PEAK))
MASK_THRESHOLD = 0.5
HEAD_CHANNELS = 64


@dataclass(frozen=True)
class ImageFeatures(TensorRecord):
    """Feature maps, hand centres and hand masks of a batch of images: the output of the image branch."""

    pyramid: tuple[Tensor, ...]  # (B, C, h, w) fine -> coarse: normalised image, stem at H/2, fused map at H/4
    center_logits: Tensor  # (B, 2, h, w) at H/4
    mask_logits: Tensor  # (B, 2, h, w) at H/4
    centers: Tensor  # (B, 2, 2) image pixel (u, v) of each hand's highest peak
    present: Tensor  # (B, 2) in [0, 1], 0.5 for a peak of EVEN_PEAK
    masks: Tensor  # (B, 2, H, W) bool


class ResNetPyramid(Encoder):
    """A timm ResNet: the stem after its first convolution (H/2), then four stages (H/4 to H/32)."""

    def __init__(self, name: str, in_channels: int, pretrained: bool, stage_channels: tuple[int, ...] | None = None):
        import timm  # its import takes longer than torch's, and other encoders do without it

        super().__init__()
        slim: dict[str, Any] = {} if stage_channels is None else {"channels": stage_channels}
        if slim and pretrained:
            raise ValueError(f"there are no ImageNet weights for {name} with {stage_channels} channels")
        stages: Any = timm.create_model(
            name, features_only=True, in_chans=in_channels, pretrained=pretrained, zero_init_last=False, **slim
        )
        self.stages, self.channels = stages, tuple(stages.feature_info.channels())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) -> the stem and the stages, fine -> coarse."""
        return tuple(self.stages(image))


class TinyPyramid(Encoder):
    """Three convolutions of stride 2, for tests."""

    channels = (8, 16, 32)

    def __init__(self, in_channels: int, pretrained: bool):
        super().__init__()
        if pretrained:
            raise ValueError("there are no ImageNet weights for the encoder 'tiny'")
        sizes = zip((in_channels, *self.channels), self.channels, strict=False)
        self.stages = nn.ModuleList(convolution(before, after, stride=2) for before, after in sizes)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) -> three maps, fine -> coarse."""
        maps = [image]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return tuple(maps[1:])


RGB_ENCODERS: dict[str, Callable[..., Encoder]] = {
    "resnet50": partial(ResNetPyramid, "resnet50"),
    "resnet18": partial(ResNetPyramid, "resnet18"),
    "resnet18_slim": partial(ResNetPyramid, "resnet18", stage_channels=(32, 64, 128, 256)),
    "tiny": TinyPyramid,
}
"""Name -> builder (in_channels, pretrained) of an encoder; raises ValueError when there are no pretrained weights."""


def convolution(before: int, after: int, stride: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


class FusedMap(nn.Module):
    """All stages fused to one map at H/4: 1x1 lateral, unit length per pixel times a learned gain, upsample, add.

    The published program deconvolves each stage and convolves their concatenation: 39 GMAC for the same function.
    """

    def __init__(self, stage_channels: tuple[int, ...], channels: int):
        super().__init__()
        self.channels = channels
        self.laterals = nn.ModuleList(nn.Conv2d(before, channels, 1) for before in stage_channels)
        self.gains = nn.Parameter(torch.full((len(stage_channels), channels), channels**0.5))  # unit mean square
        self.smooth = convolution(channels, channels)

    def forward(self, stages: tuple[Tensor, ...]) -> Tensor:
        """Stages fine -> coarse, the first at H/4 -> (B, channels, H/4, W/4)."""
        size = stages[0].shape[-2:]
        total = torch.zeros((), dtype=stages[0].dtype, device=stages[0].device)
        for stage, lateral, gain in zip(stages, self.laterals, self.gains, strict=True):
            unit = functional.normalize(lateral(stage), dim=1) * gain[:, None, None]
            total = total + (
                unit
                if unit.shape[-2:] == size
                else functional.interpolate(unit, size=size, mode="bilinear", align_corners=False)
            )
        return self.smooth(total)


def dense_head(channels: int, bias: float, maps: int = 2) -> nn.Sequential:
    """Return a head of `maps` logits per cell, by default one per hand; the last bias starts at `bias`."""
    last = nn.Conv2d(HEAD_CHANNELS, maps, 1)
    nn.init.constant_(last.bias, bias)  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv2d(channels, HEAD_CHANNELS, 3, padding=1), nn.ReLU(inplace=True), last)


def normalised(rgb: Tensor) -> Tensor:
    """Return an image (B, 3, H, W) in [0, 1], red first, with zero mean and unit deviation over ImageNet."""
    mean, std = (rgb.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (rgb - mean) / std


class ImageBranch(nn.Module):
    """Encoder, fused map and heads: image -> pyramid, centres and masks."""

    def __init__(self, encoder: Encoder, fused: FusedMap, rgbd_input: bool):
        super().__init__()
        self.encoder, self.fused, self.rgbd_input = encoder, fused, rgbd_input
        self.center_head = dense_head(fused.channels, CENTER_BIAS)
        self.mask_head = dense_head(fused.channels, 0.0)
        self.channels = (3, encoder.channels[0], fused.channels)

    def forward(self, rgb: Tensor, depth: Tensor) -> ImageFeatures:
        """Take rgb (B, 3, H, W) in [0, 1], red first, and depth (B, H, W) metres, which only `rgbd_input` reads."""
        image = normalised(rgb)
        stem, *stages = self.encoder(torch.cat([image, depth[:, None]], dim=1) if self.rgbd_input else image)
        fused = self.fused(tuple(stages))
        center_logits, mask_logits = self.center_head(fused).float(), self.mask_head(fused).float()
        cells, scores = peaks(center_logits)
        size = rgb.shape[-2:]
        probability = functional.interpolate(mask_logits.sigmoid(), size=size, mode="bilinear", align_corners=False)
        return ImageFeatures(
            pyramid=(image, stem, fused),
            center_logits=center_logits,
            mask_logits=mask_logits,
            centers=rescale(cells[..., 0, :], rgb.shape[-1] / fused.shape[-1]),
            present=(scores[..., 0].logit() - EVEN_LOGIT).sigmoid(),
            masks=probability > MASK_THRESHOLD,
        )


class CenterFeature(nn.Module):
    """The colour feature at each hand's centre: two 3x3 convolutions of the fused map, read at one cell.

    Only the 5x5 patch that the cell depends on is computed: the full-map result for 1/2000 of its cost.
    """

    def __init__(self, fused_channels: int, channels: int):
        super().__init__()
        self.channels = channels
        self.first = nn.Conv2d(fused_channels, channels // 2, 3)
        self.second = nn.Conv2d(channels // 2, channels, 3)

    def forward(self, fused: Tensor, centers: Tensor, width: int) -> Tensor:
        """Map (B, C, h, w) and centres (B, 2, 2), pixels of an image `width` wide -> (B, 2, channels)."""
        batch, _, rows, columns = fused.shape
        cells = torch.round(rescale(centers, columns / width)).long()
        cells = torch.stack([cells[..., 0].clamp(0, columns - 1), cells[..., 1].clamp(0, rows - 1)], dim=-1)
        around = torch.arange(-2, 3, device=fused.device)
        u, v = cells[..., :1] + around, cells[..., 1:] + around  # (B, 2, 5)
        inside = ((v >= 0) & (v < rows))[..., :, None] & ((u >= 0) & (u < columns))[..., None, :]  # (B, 2, 5, 5)
        index = v.clamp(0, rows - 1)[..., :, None] * columns + u.clamp(0, columns - 1)[..., None, :]
        patches = fused.flatten(2).gather(2, index.reshape(batch, 1, -1).expand(-1, fused.shape[1], -1))
        patches = patches.unflatten(2, (2, 5, 5)).transpose(1, 2).flatten(0, 1).float()  # (2 B, C, 5, 5)
        border = inside.flatten(0, 1)[:, None]
        # both convolutions see zeros beyond the map, as a padded convolution of the whole map would
        hidden = functional.relu(self.first(patches * border)) * border[..., 1:4, 1:4]
        return functional.relu(self.second(hidden)).reshape(batch, 2, self.channels)
