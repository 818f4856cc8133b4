"""Locate the hands of one person in a frame: presence, side, region and image landmarks of each."""

from twohands.locate.light import LightLocator
from twohands.locate.locator import GuidedLocator, HandLocator

__all__ = ["GuidedLocator", "HandLocator", "LightLocator"]
