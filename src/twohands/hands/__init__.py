"""Hand anatomy, hand models and their mesh levels."""

from twohands.hands.free import free_hand
from twohands.hands.mano import mano_hand
from twohands.hands.model import HandModel

HAND_MODELS = {"free": free_hand, "mano": mano_hand}


def hand_model(name: str = "free") -> HandModel:
    """Return the hand model "free" or "mano".

    Raise ValueError for another name, FileNotFoundError if MANO's files are missing.
    """
    if name not in HAND_MODELS:
        raise ValueError(f"hand model {name!r} is unknown; known are {', '.join(HAND_MODELS)}")
    return HAND_MODELS[name]()


__all__ = ["HAND_MODELS", "HandModel", "free_hand", "hand_model", "mano_hand"]
