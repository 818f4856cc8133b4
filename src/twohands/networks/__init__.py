"""The networks. Start with `two_hand_net`, which implements the paper's overview figure.

`base` states what an entry of the registries must have.
"""

from twohands.networks.base import Decoder, Encoder, Fusion, HandNetwork
from twohands.networks.build import NETWORKS, build_network, count
from twohands.networks.decoder import DECODERS
from twohands.networks.fusion import FUSIONS
from twohands.networks.image_branch import RGB_ENCODERS
from twohands.networks.two_hand_net import TwoHandNet

__all__ = [
    "DECODERS",
    "FUSIONS",
    "NETWORKS",
    "RGB_ENCODERS",
    "Decoder",
    "Encoder",
    "Fusion",
    "HandNetwork",
    "TwoHandNet",
    "build_network",
    "count",
]
