"""Checkpoints: a folder of `weights.safetensors` and `config.json`, from which a network is built again."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from twohands.config import NetworkConfig
from twohands.files import write_atomically
from twohands.hands import HAND_MODELS
from twohands.networks.base import HandNetwork
from twohands.networks.build import build_network
from twohands.runtime import LOCATE

_log = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Increases whenever the same configuration and weights no longer mean the same function."""
OF_VERTICES = ("full_mesh", "embedding")
"""Last part of the names of weights that belong to single vertices of a hand model."""
WEIGHTS, CONFIG = "weights.safetensors", "config.json"


def save_checkpoint(network: HandNetwork, config: NetworkConfig, folder: str | Path) -> None:
    """Write the weights of a network and the configuration it was built from; each file whole or not at all."""
    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    with write_atomically(folder / WEIGHTS) as temporary:
        save_file(weights, temporary)
    with write_atomically(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps({"format_version": FORMAT_VERSION, "network": config.to_dict()}, indent=2))


def load_checkpoint(folder: str | Path, device: str = "cpu") -> tuple[HandNetwork, NetworkConfig]:
    """Return the network of a folder in eval mode, and its configuration. Exported graphs are read as well.

    Raises FileNotFoundError when a file is missing, and ValueError when a file is damaged, has another format or does
    not fit the other one, or when a registry lacks a name of the configuration.
    """
    folder = Path(folder)
    if (folder / LOCATE).is_file():
        from twohands.networks.export import load_exported  # needs onnx

        network, config = load_exported(folder)
        return network.to(device), config
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} is not a checkpoint: it has no {name}")
    config = _read_config(folder / CONFIG)
    network = build_network(config, HAND_MODELS[config.hand_model]())
    try:
        weights = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise ValueError(f"{folder / WEIGHTS} cannot be read as safetensors: {error}") from None
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ValueError(f"the weights in {folder} are not those of its {CONFIG}: {reason[:300]}") from None
    return network.to(device).eval(), config


def start_from(network: HandNetwork, config: NetworkConfig, folder: str | Path) -> None:
    """Copy the weights of another folder into `network`, built from `config`, where names and shapes agree.

    Weights of single vertices are left out when the hand models differ. Raises ValueError when fewer than half of the
    weights can be copied.
    """
    source, theirs = load_checkpoint(folder)
    learned, wanted = source.state_dict(), network.state_dict()
    same_hand = theirs.hand_model == config.hand_model
    taken = {
        name: learned[name]
        for name, value in wanted.items()
        if name in learned
        and learned[name].shape == value.shape
        and (same_hand or name.rpartition(".")[2] not in OF_VERTICES)
    }
    if 2 * len(taken) < len(wanted):
        raise ValueError(
            f"the network in {folder} is another one: {len(taken)} of {len(wanted)} weights have the same name and "
            "shape; start from one of the same preset"
        )
    network.load_state_dict(taken, strict=False)
    _log.info("%s of %s weights are those of %s", len(taken), len(wanted), folder)


def _read_config(path: Path) -> NetworkConfig:
    """Return the network's configuration. Raise ValueError for a damaged file or another format."""
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path} has checkpoint format {version}, this version of twohands reads format {FORMAT_VERSION}; "
            "train again, or use the version that wrote it"
        )
    if not isinstance(values.get("network"), dict):
        raise ValueError(f"{path} describes no network: it has no 'network'")
    config = NetworkConfig.from_dict(values["network"])
    if config.hand_model not in HAND_MODELS:
        raise ValueError(f"{path}: hand_model {config.hand_model!r} is unknown; known are {', '.join(HAND_MODELS)}")
    return config
