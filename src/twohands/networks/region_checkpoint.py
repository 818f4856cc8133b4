"""Checkpoints of the region network: a folder of `weights.safetensors` and `config.json`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from twohands.files import write_atomically
from twohands.light_config import RegionConfig
from twohands.networks.region_network import RegionNetwork

FORMAT_VERSION = 1
METHOD = "light"
"""Value of `method` in the configuration file, by which a folder is known."""


def save_region_network(network: RegionNetwork, folder: str | Path) -> None:
    """Write the weights and the configuration of a network; each file whole or not at all."""
    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    about = {"format_version": FORMAT_VERSION, "method": METHOD, "num_shape": network.num_shape}
    with write_atomically(folder / "weights.safetensors") as temporary:
        save_file(weights, temporary)
    with write_atomically(folder / "config.json") as temporary:
        temporary.write_text(json.dumps({**about, "network": network.config.to_dict()}, indent=2))


def is_region_checkpoint(folder: str | Path) -> bool:
    """Return whether a folder holds a checkpoint of the region network."""
    try:
        return json.loads((Path(folder) / "config.json").read_text()).get("method") == METHOD
    except (OSError, ValueError, AttributeError):
        return False


def load_region_network(folder: str | Path) -> RegionNetwork:
    """Return the network of a folder in eval mode. Raise ValueError when it has another format or method."""
    folder = Path(folder)
    about = json.loads((folder / "config.json").read_text())
    if about.get("format_version") != FORMAT_VERSION or about.get("method") != METHOD:
        raise ValueError(f"{folder} holds no network of method {METHOD!r} in format {FORMAT_VERSION}")
    network = RegionNetwork(RegionConfig.from_dict(about["network"]), about["num_shape"])
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    return network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
