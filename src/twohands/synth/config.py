"""What can be chosen about the synthetic frames."""

from __future__ import annotations

from dataclasses import dataclass

GENERATOR_VERSION = 1
"""Part of every random seed; raised whenever the same (seed, index) gives another frame."""


@dataclass(frozen=True)
class SynthConfig:
    """One family of frames. Probabilities are per frame unless said otherwise."""

    width: int = 640
    height: int = 480
    focal: tuple[float, float] = (0.55, 1.05)
    """Range of the focal length in image widths."""
    two_hands: float = 0.80
    one_hand: float = 0.15
    """The remaining frames show no hand."""
    close_roots: float = 0.36
    """Two-hand frames whose roots (joint 9) are asked to be closer than `close_distance`; a few cannot be placed."""
    close_distance: float = 0.12
    """Metres."""
    crossed: float = 0.05
    """Two-hand frames with the left hand on the person's right."""
    egocentric: float = 0.90
    """Frames seen from the person's own head; the others are seen from the other side or from beside."""
    distance: tuple[float, float] = (0.30, 0.90)
    """Range of the roots' depth in metres."""
    smallest_hand: float = 0.125
    """Smallest length of a stretched hand at its distance, in image widths."""
    truncated: float = 0.05
    """Frames in which up to a third of a hand's joints may lie outside the image, and not a tenth."""
    held: float = 0.45
    """Frames in which one hand holds something."""
    occluder: float = 0.25
    """Frames in which something stands between the camera and a hand, where there is room for it."""
    largest_cover: float = 0.5
    """An occluder that would hide more than this share of a hand's outline is not put there."""
    table: float = 0.90
    sleeves: float = 0.50

    def __post_init__(self) -> None:
        if self.width < 32 or self.height < 32:
            raise ValueError(f"synthetic frames must be at least 32x32 pixels; got {self.width}x{self.height}")
        shares = ("two_hands", "one_hand", "close_roots", "crossed", "egocentric", "truncated", "held", "occluder")
        for name in (*shares, "table", "sleeves", "largest_cover"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a probability between 0 and 1; got {getattr(self, name)}")
        if self.two_hands + self.one_hand > 1:
            raise ValueError("two_hands + one_hand must be at most 1; the rest are frames without hands")
        for name in ("focal", "distance"):
            low, high = getattr(self, name)
            if not 0 < low < high:
                raise ValueError(f"{name} must be a rising pair of positive numbers; got {getattr(self, name)}")
