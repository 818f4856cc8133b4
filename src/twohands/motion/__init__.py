"""Motion from frames: follow the hands of one person through a recording, and smooth their motion."""

from twohands.motion.follow import Follower
from twohands.motion.steady import Steady, steady

__all__ = ["Follower", "Steady", "steady"]
