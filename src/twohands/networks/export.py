"""Export of a trained network to two ONNX graphs of static shapes; between them the product lifts the clouds.

Every weight keeps its name, so that `load_exported` can build the network again, to train it further for example.
Weights are stored as float16, large kernels as 8-bit integers with one scale per output channel. A node behind each of
them restores float32, and ONNX Runtime folds it when a session is created.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
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
from twohands.networks.base import HandNetwork
from twohands.networks.build import build_network
from twohands.networks.image_branch import ImageFeatures
from twohands.networks.two_hand_net import TwoHandNet
from twohands.runtime import FORMAT_VERSION, LOCATE, METADATA, RECONSTRUCT, OnnxNetwork
from twohands.types import RGBDFrame

PREFIX = "network."
"""Prefix of weight names in the graphs."""
HALF, STEPS, SCALES = ".half", ".steps", ".scales"
"""Suffixes of weight names: values in float16; values in 8 bits, and their scales."""
SMALL = 256
"""Number of values below which a constant stays float32: shapes and scales need their digits and cost nothing."""
LARGE = 1_000_000
"""Number of weights from which a convolution is stored in 8 bits: in `paper-small` one, of the centre feature."""


def export_network(network: HandNetwork, config: NetworkConfig, folder: str | Path, compact: bool = True) -> None:
    """Write `locate.onnx` and `reconstruct.onnx` of a network into a folder; `compact` stores weights in fewer bits.

    Raises ValueError for the external baselines, which the product does not run.
    """
    if not isinstance(network, TwoHandNet):
        raise ValueError(f"only networks of architecture 'two_hand' are exported; this one is {config.architecture!r}")
    network = network.cpu().eval()
    size, points = config.image_size, config.num_points
    camera = Camera(torch.tensor([[[float(size), 0, size / 2], [0, float(size), size / 2], [0, 0, 1]]]), size, size)
    frame = RGBDFrame(torch.rand(1, 3, size, size), torch.rand(1, size, size) + 0.3, camera)
    with torch.no_grad():
        image = network.locate(frame)
        clouds = network.lift(frame, torch.ones(1, 2, size, size, dtype=torch.bool))
    assert clouds.points.shape[2] == points
    about = {"format_version": FORMAT_VERSION, "weights": _digest(network), "reads_depth": network.reads_depth}
    metadata = json.dumps({**about, "network": config.to_dict()})
    first = {"rgb": frame.rgb, "depth": frame.depth}
    write_graph(_Locate(network), first, _Locate.outputs, Path(folder) / LOCATE, metadata, compact)
    second = {
        **dict(zip(("image", "stem", "fused"), image.pyramid, strict=True)),
        "centers": image.centers,
        "scores": image.present,
        **{name: getattr(clouds, name) for name in ("points", "pixels", "valid")},
        "K": camera.K,
    }
    reconstruct = _Reconstruct(network, image, size)
    with torch.no_grad():
        reconstruct(*second.values())
    write_graph(reconstruct, second, reconstruct.outputs, Path(folder) / RECONSTRUCT, metadata, compact)


def load_exported(folder: str | Path) -> tuple[HandNetwork, NetworkConfig]:
    """Return the network of two graphs in eval mode, with weights rounded as they are stored; and its configuration.

    Raises FileNotFoundError or ValueError when the folder holds no network, or one of another format.
    """
    config = OnnxNetwork(folder).config
    network = build_network(config, HAND_MODELS[config.hand_model]())
    take_weights(network, [Path(folder) / name for name in (LOCATE, RECONSTRUCT)])
    return network.eval(), config


def take_weights(network: nn.Module, graphs: Sequence[Path]) -> None:
    """Copy the weights that are stored in graphs into a network. Raise ValueError when one is missing."""
    weights: dict[str, np.ndarray] = {}
    for graph in graphs:
        for tensor in onnx.load(graph).graph.initializer:
            if tensor.name.startswith(PREFIX):
                weights[tensor.name.removeprefix(PREFIX)] = numpy_helper.to_array(tensor)
    for name, value in network.state_dict().items():
        if name + STEPS in weights:
            scales = weights[name + SCALES][:, None, None, None]
            value.copy_(torch.tensor(weights[name + STEPS] * scales))
        elif name + HALF in weights or name in weights:
            value.copy_(torch.tensor(weights.get(name + HALF, weights.get(name))))
        elif not name.endswith("num_batches_tracked"):  # only training uses it
            raise ValueError(f"{graphs[0].parent} lacks the weight {name}; export the network again with this version")


def _digest(network: nn.Module) -> str:
    """Return a hash of all weights, by which two graphs are known to belong to the same network."""
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.numpy().tobytes())
    return digest.hexdigest()


class _Locate(nn.Module):
    """The first graph: rgb (1, 3, S, S) in [0, 1], depth (1, S, S) metres -> image features."""

    outputs = ("image", "stem", "fused", "centers", "scores", "masks")

    def __init__(self, network: TwoHandNet):
        super().__init__()
        self.network = network

    def forward(self, rgb: Tensor, depth: Tensor) -> tuple[Tensor, ...]:
        image: ImageFeatures = self.network.image(rgb, depth)
        return (*image.pyramid, image.centers, image.present, image.masks)


class _Reconstruct(nn.Module):
    """The second graph: image features, clouds and intrinsics -> the arrays of the hands, named by `outputs`."""

    def __init__(self, network: TwoHandNet, example: ImageFeatures, size: int):
        super().__init__()
        self.network, self.example, self.size = network, example, size
        self.outputs: tuple[str, ...] = ()

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        rgb, stem, fused, centers, scores, points, pixels, valid, K = given
        logits = self.example.center_logits, self.example.mask_logits  # only the losses read them
        image = ImageFeatures((rgb, stem, fused), *logits, centers, scores, self.example.masks)
        hands = self.network.reconstruct(
            image, HandClouds(points, pixels, valid), Camera(K, self.size, self.size)
        ).hands
        present = hands.present.clone()  # without depth it is the input `scores`, which the export would rename
        arrays = {"vertices": hands.vertices, "joints": hands.joints, "present": present}
        arrays |= vars(hands.parameters) if hands.parameters is not None else {}
        found = {name: array for name, array in arrays.items() if array is not None}
        self.outputs = tuple(found)
        return tuple(found.values())


def write_graph(
    module: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    path: Path,
    metadata: str,
    compact: bool,
    dynamic: dict[str, Any] | None = None,
) -> None:
    """Write a module as an ONNX file with the given names; `dynamic` names the axes whose size is free."""
    with write_atomically(path) as temporary:
        torch.onnx.export(
            module.eval(), tuple(inputs.values()), temporary, dynamo=True, verbose=False, external_data=False,
            input_names=list(inputs), output_names=list(outputs), optimize=False, dynamic_shapes=dynamic,
        )  # fmt: skip
        model = onnx.load(temporary)
        fold_constants(model, should_fold=lambda node: False if any(map(_is_weight, node.inputs)) else None)
        remove_unused_nodes(model)
        for node in model.graph.node:  # traces of the source code, which nobody needs
            del node.metadata_props[:]
            node.doc_string = ""
        del model.graph.value_info[:]
        if compact:
            _store_compactly(model.graph)
        model.metadata_props.add(key=METADATA, value=metadata)
        onnx.checker.check_model(model)
        onnx.save(model, temporary)


def _is_weight(value: Any) -> bool:
    """Return whether a value of a graph is a weight: weights keep their names, and ONNX Runtime folds them later."""
    return value is not None and value.name.startswith(PREFIX)


def _store_compactly(graph: Any) -> None:
    """Replace every large float32 constant by fewer bits and a node that restores float32."""
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
