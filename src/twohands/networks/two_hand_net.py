"""PDFNet as the paper's figure reads: locate -> lift -> reconstruct.

`locate` and `reconstruct` are graphs of static shapes that export on their own; `lift` between them chooses pixels,
has no weights and stays on the host. Geometry is float32 whatever the autocast of `locate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from twohands.geometry.camera import Camera
from twohands.geometry.cloud import HandClouds, centers_on, hand_clouds
from twohands.networks.decoder import HandNorm, RootHead, moved
from twohands.networks.image_branch import CenterFeature, ImageBranch, ImageFeatures
from twohands.types import NetworkOutput, RGBDFrame

START_DEPTH = 0.4
"""Metres at which the root starts where no depth is measured (the published program always starts there)."""


class TwoHandNet(nn.Module):
    """RGBDFrame -> NetworkOutput, both of torch tensors with one batch axis."""

    def __init__(
        self,
        image: ImageBranch,
        center_feature: CenterFeature | None,
        fusion: nn.Module,
        decoder: nn.Module,
        num_points: int,
        depth_range: tuple[float, float],
    ):
        super().__init__()
        self.image, self.center_feature, self.fusion, self.decoder = image, center_feature, fusion, decoder
        self.norm = HandNorm(fusion.channels)  # type: ignore[arg-type]
        self.root = RootHead(fusion.channels)  # type: ignore[arg-type]
        self.num_points, self.depth_range = num_points, depth_range
        self.reads_depth = bool(fusion.reads_depth) or image.rgbd_input

    def forward(
        self,
        frame: RGBDFrame,
        masks: Tensor | None = None,
        centers: Tensor | None = None,
        rngs: Sequence[np.random.Generator] | None = None,
    ) -> NetworkOutput:
        """Two hands of every frame of the batch.

        masks (B, 2, H, W) bool and centers (B, 2, 2) pixels replace the network's own; given centres say that the hands
        are there. `rngs`, one a frame, draw the points of the clouds (training); without them a frame always gives the
        same cloud.
        """
        scene = self.locate(frame)
        masks = scene.masks if masks is None else masks
        if centers is None:
            scene = replace(scene, centers=centers_on(masks, scene.centers))
        else:
            scene = replace(scene, centers=centers, present=torch.ones_like(scene.present))
        clouds = self.lift(frame, masks, rngs)
        return self.reconstruct(scene, clouds, frame.camera)

    def locate(self, frame: RGBDFrame) -> ImageFeatures:
        """Feature maps, centres and masks from the image (first graph)."""
        return self.image(frame.rgb, frame.depth)

    def lift(self, frame: RGBDFrame, masks: Tensor, rngs: Sequence[np.random.Generator] | None = None) -> HandClouds:
        """The measured points of each hand (no weights, no graph)."""
        return hand_clouds(frame.depth, masks, frame.camera, self.num_points, rngs, self.depth_range)

    def reconstruct(self, scene: ImageFeatures, clouds: HandClouds, camera: Camera) -> NetworkOutput:
        """Fuse colour and points, decode two meshes, place them (second graph)."""
        with torch.autocast(scene.centers.device.type, enabled=False):
            center = self.center_feature and self.center_feature(scene.pyramid[-1], scene.centers, camera.width)
            features = self.norm(self.fusion(clouds, scene.pyramid, center))  # (B, 2, C)
            depth, present = self.start(scene, clouds)
            root = self.root(features, scene.centers, depth, camera)
            hands, stages = self.decoder(features, present)
        return NetworkOutput(
            hands=moved(hands, root),
            stages=tuple(moved(stage, root) for stage in stages),
            center_logits=scene.center_logits,
            mask_logits=scene.mask_logits,
            root=root,
        )

    def start(self, scene: ImageFeatures, clouds: HandClouds) -> tuple[Tensor, Tensor]:
        """Depth (B, 2) metres where the root starts, and presence (B, 2); measured, if the network reads depth."""
        constant = torch.full_like(scene.present, START_DEPTH)
        if not self.reads_depth:
            return constant, scene.present
        measured = clouds.points[..., 2].mean(dim=-1)
        return torch.where(clouds.valid, measured, constant), scene.present * clouds.valid
