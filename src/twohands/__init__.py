"""Reconstruct both hands as metric meshes from RGB-D frames.

import twohands
model = twohands.load()
hands = model(twohands.RGBDFrame.open("color.png", "depth.png", "cam_K.txt"))
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0.dev0"
__all__ = [
    "LEFT",
    "RIGHT",
    "Camera",
    "Finding",
    "HandParameters",
    "RGBDFrame",
    "TwoHands",
    "__version__",
    "check",
    "draw_overlay",
    "evaluate",
    "examine",
    "hand_model",
    "iter_results",
    "load",
    "open_source",
    "read_results",
    "track",
    "write_glb",
]

if TYPE_CHECKING:
    from twohands.checks.examiner import check
    from twohands.doctor.examination import examine
    from twohands.evaluation.evaluate import evaluate
    from twohands.export import write_glb
    from twohands.findings import Finding
    from twohands.geometry.camera import Camera
    from twohands.hands import hand_model
    from twohands.overlay import draw_overlay
    from twohands.predictor import load
    from twohands.results import iter_results, read_results
    from twohands.sources.opening import open_source
    from twohands.tracking import track
    from twohands.types import LEFT, RIGHT, HandParameters, RGBDFrame, TwoHands

_HOMES = {"Camera": "geometry.camera", "draw_overlay": "overlay", "evaluate": "evaluation.evaluate"}
_HOMES |= {
    "hand_model": "hands",
    "load": "predictor",
    "read_results": "results",
    "iter_results": "results",
    "write_glb": "export",
}
_HOMES |= {"examine": "doctor.examination", "open_source": "sources.opening"}
_HOMES |= {"track": "tracking", "check": "checks.examiner", "Finding": "findings"}
_HOMES |= dict.fromkeys(("LEFT", "RIGHT", "HandParameters", "RGBDFrame", "TwoHands"), "types")
"""Modules of the public names."""


def __getattr__(name: str):
    """Import a public name on first use, so that `twohands --version` answers at once."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'twohands' has no attribute {name!r}")
    return getattr(import_module(f"twohands.{_HOMES[name]}"), name)
