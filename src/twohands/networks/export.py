"""A trained network as two ONNX graphs of static shapes, between which the product lifts the clouds.

Weights are stored as float16, a kernel of a million weights as 8-bit integers with a scale for each of its outputs; the
node behind each one makes float32 of it, and ONNX Runtime folds it when a session is created.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from twohands.config import NetworkConfig
from twohands.files import write_atomically
from twohands.geometry.camera import Camera
from twohands.geometry.cloud import HandClouds
from twohands.networks.build import HandNetwork
from twohands.networks.image_branch import Scene
from twohands.networks.two_hand_net import TwoHandNet
from twohands.runtime import FORMAT_VERSION, LOCATE, METADATA, RECONSTRUCT
from twohands.types import RGBDFrame

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
    metadata = json.dumps({"format_version": FORMAT_VERSION, "network": config.to_dict()})
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

    def __init__(self, network: TwoHandNet, scene: Scene, size: int):
        super().__init__()
        self.network, self.example, self.size = network, scene, size
        self.outputs: tuple[str, ...] = ()

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        image, stem, fused, centers, scores, points, pixels, valid, K = given
        logits = self.example.center_logits, self.example.mask_logits  # only the losses read them
        scene = Scene((image, stem, fused), *logits, centers, scores, self.example.masks)
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
            input_names=list(inputs), output_names=list(outputs),
        )  # fmt: skip
        model = onnx.load(temporary)
        for node in model.graph.node:  # where each node came from in the source code, of use to nobody
            del node.metadata_props[:]
            node.doc_string = ""
        del model.graph.value_info[:]
        if compact:
            _store_compactly(model.graph)
        model.metadata_props.add(key=METADATA, value=metadata)
        onnx.checker.check_model(model)
        onnx.save(model, temporary)


def _store_compactly(graph: Any) -> None:
    """Turns every large float32 constant into fewer bits and the node that makes float32 of them."""
    nodes = []
    for tensor in list(graph.initializer):
        size = int(np.prod(tensor.dims, dtype=int))
        if tensor.data_type != onnx.TensorProto.FLOAT or size < SMALL:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        if size >= LARGE and values.ndim == 4:
            scales = np.abs(values).max(axis=(1, 2, 3)) / 127
            steps = np.rint(values / np.maximum(scales, 1e-12)[:, None, None, None]).astype(np.int8)
            tensor.CopyFrom(numpy_helper.from_array(steps, f"{name}.steps"))
            graph.initializer.append(numpy_helper.from_array(scales.astype(np.float32), f"{name}.scales"))
            parts = [f"{name}.steps", f"{name}.scales"]
            nodes.append(onnx.helper.make_node("DequantizeLinear", parts, [name], axis=0))
        else:
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            nodes.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    for node in reversed(nodes):
        graph.node.insert(0, node)
