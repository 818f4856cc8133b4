"""Floor 2: hand anatomy, hand models and their mesh levels."""

from twohands.hands.free import free_hand
from twohands.hands.mano import mano_hand
from twohands.hands.model import HandModel

HAND_MODELS = {"free": free_hand, "mano": mano_hand}

__all__ = ["HAND_MODELS", "HandModel", "free_hand", "mano_hand"]
