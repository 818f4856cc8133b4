"""PDFNet in three steps: locate the hands in the image, lift their depth pixels to points, reconstruct two meshes.

`locate` and `reconstruct` are graphs of static shapes that export on their own. `lift` between them chooses pixels, has
no weights and stays on the host. Geometry is float32, whatever the autocast of `locate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from twohands.geometry.camera import Camera
from twohands.geometry.cloud import HandClouds, centers_on, hand_clouds
from twohands.networks.base import Decoder, Fusion, HandNetwork
from twohands.networks.decoder import HandNorm, RootHead, moved
from twohands.networks.image_branch import CenterFeature, ImageBranch, ImageFeatures
from twohands.types import NetworkOutput, RGBDFrame

START_DEPTH = 0.4
"""Metres at which the root starts where no depth is measured (the published program always starts there)."""


class TwoHandNet(HandNetwork):
    """The network of the paper: image branch, fusion and decoder, each of which can be replaced."""

    def __init__(
        self,
        image: ImageBranch,
        center_feature: CenterFeature | None,
        fusion: Fusion,
        decoder: Decoder,
        num_points: int,
        depth_range: tuple[float, float],
    ):
        super().__init__()
        self.image, self.center_feature, self.fusion, self.decoder = image, center_feature, fusion, decoder
        self.norm = HandNorm(fusion.channels)
        self.root = RootHead(fusion.channels)
        self.num_points, self.depth_range = num_points, depth_range
        self.reads_depth = fusion.reads_depth or image.rgbd_input

    def forward(
        self,
        frame: RGBDFrame,
        masks: Tensor | None = None,
        centers: Tensor | None = None,
        rngs: Sequence[np.random.Generator] | None = None,
    ) -> NetworkOutput:
        """Return both hands of every frame of the batch.

        Masks (B, 2, H, W) bool and centers (B, 2, 2) pixels replace the network's own; with centers, both hands are
        taken to be present. `rngs`, one per frame, draw the points of the clouds in training; without them a frame
        always gives the same cloud.
        """
        image = self.locate(frame)
        masks = image.masks if masks is None else masks
        if centers is None:
            image = replace(image, centers=centers_on(masks, image.centers))
        else:
            image = replace(image, centers=centers, present=torch.ones_like(image.present))
        return self.reconstruct(image, self.lift(frame, masks, rngs), frame.camera)

    def locate(self, frame: RGBDFrame) -> ImageFeatures:
        """Return feature maps, hand centres and hand masks of the image (first graph)."""
        return self.image(frame.rgb, frame.depth)

    def lift(self, frame: RGBDFrame, masks: Tensor, rngs: Sequence[np.random.Generator] | None = None) -> HandClouds:
        """Return the measured points of each hand (no weights, no graph)."""
        return hand_clouds(frame.depth, masks, frame.camera, self.num_points, rngs, self.depth_range)

    def reconstruct(self, image: ImageFeatures, clouds: HandClouds, camera: Camera) -> NetworkOutput:
        """Fuse colour and points, decode two meshes and place them (second graph)."""
        with torch.autocast(image.centers.device.type, enabled=False):
            center = self.center_feature and self.center_feature(image.pyramid[-1], image.centers, camera.width)
            features = self.norm(self.fusion(clouds, image.pyramid, center))  # (B, 2, C)
            depth, present = self.start(image, clouds)
            root = self.root(features, image.centers, depth, camera)
            hands, stages = self.decoder(features, present)
        return NetworkOutput(
            hands=moved(hands, root),
            stages=tuple(moved(stage, root) for stage in stages),
            center_logits=image.center_logits,
            mask_logits=image.mask_logits,
            root=root,
        )

    def start(self, image: ImageFeatures, clouds: HandClouds) -> tuple[Tensor, Tensor]:
        """Return the depth (B, 2) in metres where the root starts, and presence (B, 2).

        A network that reads depth starts at the mean depth of the cloud, and a hand without a cloud is absent.
        """
        constant = torch.full_like(image.present, START_DEPTH)
        if not self.reads_depth:
            return constant, image.present
        measured = clouds.points[..., 2].mean(dim=-1)
        return torch.where(clouds.valid, measured, constant), image.present * clouds.valid
