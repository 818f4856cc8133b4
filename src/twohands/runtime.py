"""Exported networks in ONNX Runtime: two graphs, and between them the choice of the clouds' points. No torch."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from twohands.config import NetworkConfig
from twohands.geometry.cloud import centers_on, hand_clouds
from twohands.types import HandParameters, RGBDFrame, TwoHands

SHIPPED = files("twohands") / "weights" / "paper_small"
"""Folder of the packaged network."""
LOCATE, RECONSTRUCT = "locate.onnx", "reconstruct.onnx"
METADATA = "twohands"
"""Key of the graphs' metadata: JSON of format_version, weights (a digest), reads_depth, network (its configuration)."""
FORMAT_VERSION = 1
"""Increases whenever the inputs or outputs of the two graphs change."""
REGION_GRAPH = "region.onnx"
"""File of the region network of method `light`."""
REGION_OUTPUTS = ("present", "right", "joints", "sigma", "mask", "rotation", "pose", "shape")
REGION_FORMAT_VERSION = 1
"""Increases whenever the inputs or outputs of the region network's graph change."""


def open_session(network: bytes) -> onnxruntime.InferenceSession:
    """Return a session that runs a network on one thread, which sleeps while it waits."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])


class OnnxNetwork:
    """The two graphs that `twohands export` wrote into a folder: square frame -> TwoHands."""

    def __init__(self, folder: Any):
        """Read a folder, a path or package resource. Raise FileNotFoundError or ValueError when it has no network."""
        folder = Path(folder) if isinstance(folder, str) else folder
        missing = [name for name in (LOCATE, RECONSTRUCT) if not (folder / name).is_file()]
        if missing:
            raise FileNotFoundError(
                f"{folder} has no {missing[0]}; write it with: twohands export CHECKPOINT --out {folder}"
            )
        self._locate, self._reconstruct = (open_session((folder / name).read_bytes()) for name in (LOCATE, RECONSTRUCT))
        about, other = (_about(session) for session in (self._locate, self._reconstruct))
        if about.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"{folder} holds networks of format {about.get('format_version')}, this version reads "
                f"{FORMAT_VERSION}; export them again"
            )
        if about != other:
            raise ValueError(
                f"{folder}: {LOCATE} and {RECONSTRUCT} are of two different networks; write both again with: "
                f"twohands export CHECKPOINT --out {folder}"
            )
        self.config = NetworkConfig.from_dict(about["network"])
        self.reads_depth: bool = about.get("reads_depth", self.config.rgbd_input or self.config.fusion != "rgb_only")
        """True if the output depends on the measured depth; the first exports do not state it."""

    @property
    def image_size(self) -> int:
        """Pixels along each side of the square frame."""
        return self.config.image_size

    @property
    def region(self) -> str:
        """Part of a frame that the square shows, see `NetworkConfig.region`."""
        return self.config.region

    @property
    def hand_model(self) -> str:
        """Name of the hand model of the predicted meshes."""
        return self.config.hand_model

    def __call__(
        self,
        frame: RGBDFrame,
        masks: np.ndarray | None = None,
        centers: np.ndarray | None = None,
        step: Callable[[str], AbstractContextManager[Any]] = nullcontext,
    ) -> TwoHands:
        """Return both hands of a square frame of image_size pixels.

        Masks (2, S, S) bool and centers (2, 2) pixels replace the network's own. `step(name)` is a context that is
        entered around each step, a stopwatch for example.
        """
        with step("locate"):
            image = _run(self._locate, {"rgb": frame.rgb[None], "depth": frame.depth[None]})
        own = image.pop("masks") if masks is None else masks[None]
        if centers is None:
            image["centers"] = centers_on(own, image["centers"])
        else:
            image |= {"centers": centers[None].astype(np.float32), "scores": np.ones((1, 2), dtype=np.float32)}
        batch = frame.map(lambda array: array[None])
        with step("lift"):
            clouds = hand_clouds(
                batch.depth, own, batch.camera, self.config.num_points, depth_range=self.config.depth_range
            )
        with step("reconstruct"):
            found = _run(self._reconstruct, {**image, **vars(clouds), "K": batch.camera.K})
        single = {name: array[0] for name, array in found.items()}
        parameters = {name: single.pop(name) for name in HandParameters.__dataclass_fields__ if name in single}
        return TwoHands(
            single.get("vertices"),
            single["joints"],
            single["present"],
            HandParameters(**parameters) if parameters else None,
        )


def _about(session: onnxruntime.InferenceSession) -> dict[str, Any]:
    """Return the metadata, which both graphs share; the first exports have neither `weights` nor `reads_depth`."""
    return json.loads(session.get_modelmeta().custom_metadata_map.get(METADATA, "{}"))


def _run(session: onnxruntime.InferenceSession, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the outputs by name; values that the graph does not use may be given."""
    wanted = {argument.name: given[argument.name] for argument in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, (np.asarray(array) for array in session.run(names, wanted)), strict=True))
