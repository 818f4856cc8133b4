"""A trained network as two ONNX graphs of static shapes, between which the product lifts the clouds.

Every weight keeps its name, so that the network can be had back from the graphs and trained on (`load_exported`).
Weights are stored as float16, a kernel of a million weights as 8-bit integers with a scale for each of its outputs; the
node behind each one makes float32 of it, and ONNX Runtime folds it when a session is created.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxscript.optimizer import fold_constants, remove_unused_nodes
from torch import Tensor, nn

from twohands.config import NetworkConfig
from twohands.files import write_atomically
from twohands.geometry.camera import Camera
from twohands.geometry.cloud import HandClouds
from twohands.hands import HAND_MODELS
from twohands.networks.build import HandNetwork, build_network
from twohands.networks.image_branch import ImageFeatures
from twohands.networks.two_hand_net import TwoHandNet
from twohands.runtime import FORMAT_VERSION, LOCATE, METADATA, RECONSTRUCT, OnnxNetwork
from twohands.types import RGBDFrame

PREFIX = "network."
"""Of the names of weights in the graphs."""
HALF, STEPS, SCALES = ".half", ".steps", ".scales"
"""What follows the name of a weight in float16, and of one in 8 bits with its scales."""
SMALL = 256
"""Numbers below which a constant stays float32: shapes and scales need their digits and cost nothing."""
LARGE = 1_000_000
"""Weights from which a convolution is stored in 8 bits. In `paper-small` that is one, of the centre feature."""


def export_network(network: HandNetwork, config: NetworkConfig, folder: str | Path, compact: bool = True) -> None:
    """Writes `locate.onnx` and `reconstruct.onnx` of a network into a folder; `compact` stores weights in fewer bits.

    Raises ValueError for the foreign rivals, which the product does not run.
    """
    if not isinstance(network, TwoHandNet):
        raise ValueError(f"only networks of architecture 'two_hand' are exported; this one is {config.architecture!r}")
    network = network.cpu().eval()
    size, points = config.image_size, config.num_points
    camera = Camera(torch.tensor([[[float(size), 0, size / 2], [0, float(size), size / 2], [0, 0, 1]]]), size, size)
    frame = RGBDFrame(torch.rand(1, 3, size, size), torch.rand(1, size, size) + 0.3, camera)
    with torch.no_grad():
        scene = network.locate(frame)
        clouds = network.lift(frame, torch.ones(1, 2, size, size, dtype=torch.bool))
    assert clouds.points.shape[2] == points
    about = {"format_version": FORMAT_VERSION, "weights": _digest(network), "network": config.to_dict()}
    metadata = json.dumps(about)
    looks = {"rgb": frame.rgb, "depth": frame.depth}
    _write(_Locate(network), looks, _Locate.outputs, Path(folder) / LOCATE, metadata, compact)
    given = {
        **dict(zip(("image", "stem", "fused"), scene.pyramid, strict=True)),
        "centers": scene.centers,
        "scores": scene.present,
        **{name: getattr(clouds, name) for name in ("points", "pixels", "valid")},
        "K": camera.K,
    }
    reconstruct = _Reconstruct(network, scene, size)
    with torch.no_grad():
        reconstruct(*given.values())
    _write(reconstruct, given, reconstruct.outputs, Path(folder) / RECONSTRUCT, metadata, compact)


def load_exported(folder: str | Path) -> tuple[HandNetwork, NetworkConfig]:
    """The network of two graphs, ready to predict (`eval`), its weights rounded as they are stored; its configuration.

    Raises FileNotFoundError or ValueError when the folder holds none, or of another format.
    """
    config = OnnxNetwork(folder).config
    weights: dict[str, np.ndarray] = {}
    for name in (LOCATE, RECONSTRUCT):
        for tensor in onnx.load(Path(folder) / name).graph.initializer:
            if tensor.name.startswith(PREFIX):
                weights[tensor.name.removeprefix(PREFIX)] = numpy_helper.to_array(tensor)
    network = build_network(config, HAND_MODELS[config.hand_model]())
    for name, value in network.state_dict().items():
        if name + STEPS in weights:
            scales = weights[name + SCALES][:, None, None, None]
            value.copy_(torch.tensor(weights[name + STEPS] * scales))
        elif name + HALF in weights or name in weights:
            value.copy_(torch.tensor(weights.get(name + HALF, weights.get(name))))
        elif not name.endswith("num_batches_tracked"):  # of use to training alone
            raise ValueError(f"{folder} lacks the weight {name}; export the network again with this version")
    return network.eval(), config


def _digest(network: nn.Module) -> str:
    """Of all weights: what the two graphs of one network have in common and those of no other one."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


class _Locate(nn.Module):
    """The first graph: rgb (1, 3, S, S) in [0, 1], depth (1, S, S) metres."""

    outputs = ("image", "stem", "fused", "centers", "scores", "masks")

    def __init__(self, network: TwoHandNet):
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, ...]:
        scene = self.network.image(rgb, depth)
        return (*scene.pyramid, scene.centers, scene.present, scene.masks)


class _Reconstruct(nn.Module):
    """The second graph: everything about a frame -> the arrays of its hands that are not None, by name."""

    def __init__(self, network: TwoHandNet, scene: ImageFeatures, size: int):
        super().__init__()
        self.network, self.example, self.size = network, scene, size
        self.outputs: tuple[str, ...] = ()

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        image, stem, fused, centers, scores, points, pixels, valid, K = given
        logits = self.example.center_logits, self.example.mask_logits  # only the losses read them
        scene = ImageFeatures((image, stem, fused), *logits, centers, scores, self.example.masks)
        hands = self.network.reconstruct(
            scene, HandClouds(points, pixels, valid), Camera(K, self.size, self.size)
        ).hands
        arrays = {"vertices": hands.vertices, "joints": hands.joints, "present": hands.present}
        arrays |= vars(hands.parameters) if hands.parameters is not None else {}
        found = {name: array for name, array in arrays.items() if array is not None}
        self.outputs = tuple(found)
        return tuple(found.values())


def _write(
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    path: Path,
    metadata: str,
    compact: bool,
) -> None:
    with write_atomically(path) as temporary:
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), temporary, dynamo=True, verbose=False, external_data=False,
            input_names=list(inputs), output_names=list(outputs), optimize=False,
        )  # fmt: skip
        model = onnx.load(temporary)
        fold_constants(model, should_fold=lambda node: False if any(map(_is_weight, node.inputs)) else None)
        remove_unused_nodes(model)
        for node in model.graph.node:  # where each node came from in the source code, of use to nobody
            del node.metadata_props[:]
            node.doc_string = ""
        del model.graph.value_info[:]
        if compact:
            _store_compactly(model.graph)
        model.metadata_props.add(key=METADATA, value=metadata)
        onnx.checker.check_model(model)
        onnx.save(model, temporary)


def _is_weight(value: Any) -> bool:
    """Whether a value of a graph is one of the network's: these keep their names, ONNX Runtime folds them as well."""
    return value is not None and value.name.startswith(PREFIX)


def _store_compactly(graph: Any) -> None:
    """Turns every large float32 constant into fewer bits and the node that makes float32 of them."""
    nodes = []
    for tensor in list(graph.initializer):
        size = int(np.prod(tensor.dims, dtype=int))
        if tensor.data_type != onnx.TensorProto.FLOAT or size < SMALL:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if np.abs(values).max() > np.finfo(np.float16).max:  # statistics of features, for example
            continue
        if size >= LARGE and values.ndim == 4:
            scales = np.abs(values).max(axis=(1, 2, 3)) / 127
            steps = np.rint(values / np.maximum(scales, 1e-12)[:, None, None, None]).astype(np.int8)
            tensor.CopyFrom(numpy_helper.from_array(steps, name + STEPS))
            graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), name + SCALES))
            nodes.append(onnx.helper.make_node("DequantizeLinear", [name + STEPS, name + SCALES], [name], axis=0))
        else:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + HALF))
            nodes.append(onnx.helper.make_node("Cast", [name + HALF], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(nodes):
        graph.node.insert(0, node)
