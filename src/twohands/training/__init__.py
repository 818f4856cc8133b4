"""Floor 9: training. Read `loop` first."""

from twohands.training.loop import train

__all__ = ["train"]
