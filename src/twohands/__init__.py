"""Both hands as metric meshes from one RGB-D frame.

import twohands
model = twohands.load()
hands = model(twohands.RGBDFrame.open("color.png", "depth.png", "cam_K.txt"))
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"
LEFT, RIGHT = 0, 1
"""Index of each hand along every axis of two hands."""
__all__ = ["LEFT", "RIGHT", "Camera", "RGBDFrame", "TwoHands", "__version__", "load"]

if TYPE_CHECKING:
    from pathlib import Path

    from twohands.geometry.camera import Camera
    from twohands.predictor import Predictor
    from twohands.types import RGBDFrame, TwoHands


def load(method: str = "landmarks", fit: bool = True, weights: "str | Path | None" = None) -> "Predictor":
    """The predictor with the shipped networks and the free hand: RGBDFrame -> TwoHands; see `predictor.load`."""
    from twohands.predictor import load  # imports ONNX Runtime and SciPy, which take their time

    return load(method, fit, weights)


def __getattr__(name: str):
    """The public types, imported when they are first asked for, so that `twohands --version` answers at once."""
    from importlib import import_module

    homes = {"Camera": "geometry.camera", "RGBDFrame": "types", "TwoHands": "types"}
    if name not in homes:
        raise AttributeError(f"module 'twohands' has no attribute {name!r}")
    return getattr(import_module(f"twohands.{homes[name]}"), name)
