"""Training of networks; the loop is in `loop`."""

from twohands.training.loop import train

__all__ = ["train"]
