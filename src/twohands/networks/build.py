"""Networks from configurations, and their cost. Only the builders of the registries read a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from twohands.config import NetworkConfig
from twohands.geometry.camera import Camera
from twohands.hands.model import HandModel
from twohands.networks.base import Encoder, HandNetwork
from twohands.networks.decoder import DECODERS, GraphDecoder
from twohands.networks.fusion import FUSIONS
from twohands.networks.image_branch import RGB_ENCODERS, CenterFeature, FusedMap, ImageBranch
from twohands.networks.intaghand import IntagHand
from twohands.networks.keypoint_transformer import KeypointTransformer
from twohands.networks.two_hand_net import TwoHandNet
from twohands.types import RGBDFrame

Entry = TypeVar("Entry")


def build_network(config: NetworkConfig, hand_model: HandModel, pretrained: bool = False) -> HandNetwork:
    """Return the network of a configuration with new weights, for a hand model of NumPy arrays.

    `pretrained` starts the image encoder from ImageNet weights, which timm downloads. Raises ValueError for a name that
    no registry has.
    """
    encoder = _entry(RGB_ENCODERS, "rgb_encoder", config.rgb_encoder)(
        in_channels=4 if config.rgbd_input else 3, pretrained=pretrained
    )
    return _entry(NETWORKS, "architecture", config.architecture)(config, encoder, hand_model)


def _two_hand(config: NetworkConfig, encoder: Encoder, hand_model: HandModel) -> HandNetwork:
    image = ImageBranch(encoder, FusedMap(encoder.channels[1:], config.fused_channels), config.rgbd_input)
    fusion = _entry(FUSIONS, "fusion", config.fusion)(config, image.channels)
    decoder = _entry(DECODERS, "decoder", config.decoder)(config, fusion.channels, hand_model)
    center = CenterFeature(config.fused_channels, config.center_channels) if fusion.reads_center else None
    return TwoHandNet(image, center, fusion, decoder, config.num_points, config.depth_range)


def _intaghand(config: NetworkConfig, encoder: Encoder, hand_model: HandModel) -> HandNetwork:
    sizes = config.decoder_widths, config.decoder_blocks, config.attention_heads
    maps = tuple(reversed(encoder.channels))[: len(config.decoder_widths)]
    decoder = GraphDecoder(config.center_channels, hand_model, *sizes, map_channels=maps)
    return IntagHand(encoder, decoder, config.center_channels, config.rgbd_input)


def _keypoint_transformer(config: NetworkConfig, encoder: Encoder, hand_model: HandModel) -> HandNetwork:
    fused = FusedMap(encoder.channels[1:], config.fused_channels)
    return KeypointTransformer(encoder, fused, config.decoder_widths[0], config.attention_heads, config.rgbd_input)


NETWORKS: dict[str, Callable[[NetworkConfig, Encoder, HandModel], HandNetwork]] = {
    "two_hand": _two_hand,
    "intaghand": _intaghand,
    "keypoint_transformer": _keypoint_transformer,
}
"""Name -> builder of a whole network from its configuration, encoder and hand model."""


def _entry(registry: Mapping[str, Entry], field: str, name: str) -> Entry:
    if name not in registry:
        raise ValueError(
            f"{field} {name!r} is unknown; known are {', '.join(registry)}. If it is your own, import the module that "
            "registers it first"
        )
    return registry[name]


@torch.no_grad()
def count(network: HandNetwork, image_size: int, depth: int = 2) -> dict[str, tuple[int, int]]:
    """Return parameters and multiply-adds of one frame by module name, down to `depth` names; 'total' is the sum.

    Convolutions, matrix products and attention are counted; additions, look-ups and maxima are not.
    """
    example = next(network.parameters())
    plane = torch.full((1, image_size, image_size), 0.5, device=example.device)
    focal = float(image_size)
    K = torch.tensor([[[focal, 0, focal / 2], [0, focal, focal / 2], [0, 0, 1]]], device=example.device)
    frame = RGBDFrame(plane.expand(3, -1, -1)[None], plane, Camera(K, image_size, image_size))
    training = network.training
    with FlopCounterMode(display=False) as counter:
        network.eval()(frame, masks=torch.ones_like(plane, dtype=torch.bool)[:, None].expand(-1, 2, -1, -1))
    network.train(training)
    flops = counter.get_flop_counts()
    result = {}
    for name, module in network.named_modules():
        if name.count(".") < depth:
            parameters = sum(parameter.numel() for parameter in module.parameters())
            result[name or "total"] = (parameters, _operations(flops, type(network).__name__, name, module) // 2)
    return result


def _operations(flops: Mapping[str, Any], whole: str, name: str, module: nn.Module) -> int:
    """Return the operations counted for a module; a container that is not called has those of its children."""
    own = flops.get(f"{whole}.{name}" if name else whole)
    if own is not None:
        return sum(own.values())
    return sum(_operations(flops, whole, f"{name}.{child}", part) for child, part in module.named_children())
