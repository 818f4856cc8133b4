"""Both hands as metric meshes from one RGB-D frame.

import twohands
model = twohands.load()
hands = model(twohands.RGBDFrame.open("color.png", "depth.png", "cam_K.txt"))
"""

from twohands.geometry.camera import Camera
from twohands.types import LEFT, RIGHT, RGBDFrame, TwoHands

__version__ = "0.1.0.dev0"
__all__ = ["LEFT", "RIGHT", "Camera", "RGBDFrame", "TwoHands", "__version__", "load"]


def load():
    """The predictor with the shipped networks and the free hand: RGBDFrame -> TwoHands."""
    from twohands.predictor import TwoHandPredictor  # imports ONNX Runtime and SciPy, which take their time

    return TwoHandPredictor()
