"""Write the region network as an ONNX graph for the product."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from twohands.light_config import RegionConfig
from twohands.networks.export import take_weights, write_graph
from twohands.networks.region_checkpoint import METHOD, load_region_network
from twohands.networks.region_network import MAP_CHANNELS, RegionInput, RegionNetwork
from twohands.region import COLOUR_SIZE, DEPTH_SIZE, Region
from twohands.runtime import METADATA, REGION_FORMAT_VERSION, REGION_GRAPH, REGION_OUTPUTS


class _Graph(nn.Module):
    def __init__(self, network: RegionNetwork):
        super().__init__()
        self.network = network

    def forward(
        self, axes: Tensor, region_depth: Tensor, depth: Tensor, map_0: Tensor, map_1: Tensor, map_2: Tensor,
        landmarks: Tensor, seen: Tensor, companion: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """Return the outputs by `REGION_OUTPUTS`."""
        region = Region(axes, region_depth)
        output = self.network(RegionInput(region, depth, (map_0, map_1, map_2), landmarks, seen, companion))
        return tuple(getattr(output, name) for name in REGION_OUTPUTS)


def export_region_network(network: RegionNetwork, folder: str | Path) -> None:
    """Write `region.onnx` into a folder; it takes any number of regions."""
    count = 2
    maps = {
        f"map_{level}": torch.rand(count, channels, COLOUR_SIZE // 4 // 2**level, COLOUR_SIZE // 4 // 2**level)
        for level, channels in enumerate(MAP_CHANNELS)
    }
    inputs = {
        "axes": torch.eye(3).repeat(count, 1, 1),
        "region_depth": torch.full((count,), 0.5),
        "depth": torch.rand(count, DEPTH_SIZE, DEPTH_SIZE) * 0.1,
        **maps,
        "landmarks": torch.rand(count, 21, 3) * 0.05,
        "seen": torch.rand(count, 2),
        "companion": torch.zeros(count, count),
    }
    regions = torch.export.Dim("regions", min=1, max=64)
    dynamic = {name: {0: regions} for name in inputs} | {"companion": {0: regions, 1: regions}}
    about = {"format_version": REGION_FORMAT_VERSION, "method": METHOD, "network": network.config.to_dict()}
    about |= {"num_shape": network.num_shape}
    graph = _Graph(network.cpu().eval())
    write_graph(
        graph, inputs, REGION_OUTPUTS, Path(folder) / REGION_GRAPH, json.dumps(about), compact=True, dynamic=dynamic
    )


def open_region_network(folder: str | Path) -> RegionNetwork:
    """Return the network of a checkpoint, or of an exported graph, whose weights are rounded; in eval mode."""
    folder = Path(folder)
    if not (folder / REGION_GRAPH).is_file():
        return load_region_network(folder)
    metadata = {entry.key: entry.value for entry in onnx.load(folder / REGION_GRAPH).metadata_props}
    about = json.loads(metadata[METADATA])
    network = RegionNetwork(RegionConfig.from_dict(about["network"]), about["num_shape"])
    take_weights(network, [folder / REGION_GRAPH])
    return network.eval()
