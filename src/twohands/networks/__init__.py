"""Floor 4: the networks. Read `two_hand_net` first: it is the paper's figure."""

from twohands.networks.build import NETWORKS, HandNetwork, build_network, count
from twohands.networks.decoder import DECODERS
from twohands.networks.fusion import FUSIONS
from twohands.networks.image_branch import RGB_ENCODERS
from twohands.networks.two_hand_net import TwoHandNet

__all__ = ["DECODERS", "FUSIONS", "NETWORKS", "RGB_ENCODERS", "HandNetwork", "TwoHandNet", "build_network", "count"]
