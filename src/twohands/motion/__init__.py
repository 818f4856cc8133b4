"""From frames to motion: follow the hands of one person through a recording, and make their motion steady."""

from twohands.motion.follow import Follower
from twohands.motion.steady import Steady, steady

__all__ = ["Follower", "Steady", "steady"]
