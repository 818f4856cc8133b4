"""The hidden fraction of each hand, counted in a small picture."""

from __future__ import annotations

import numpy as np

from twohands.geometry.camera import Camera
from twohands.synth.person.body import hand_shape
from twohands.synth.rendering.render import draw
from twohands.synth.rendering.shapes import Shape, joined
from twohands.types import RIGHT

_WIDTH = 160  # pixels


class Sight:
    """The pixels of each hand that are still visible. Shapes are in level axes with the camera as their origin."""

    def __init__(self, camera: Camera, level: np.ndarray, hands: tuple[np.ndarray, ...]) -> None:
        """Count the pixels of hands (1609, 3) metres in level axes; `level` (3, 3): level axes from camera frame."""
        self._camera = camera.resize(_WIDTH, round(camera.height * _WIDTH / camera.width))
        self._level = level
        self._depths = [self._depth(hand_shape(hand, RIGHT)) for hand in hands]  # the winding does not matter
        self._seen = [depth < np.inf for depth in self._depths]
        self._sizes = [max(int(seen.sum()), 1) for seen in self._seen]

    def admits(self, shape: Shape, most: float, least: float = 0.0) -> bool:
        """Return True if with this shape no hand is hidden beyond the fraction `most`, and one by `least` or more.

        Only admitted shapes count from then on. Without hands every shape is admitted.
        """
        if not self._depths:
            return True
        front = self._depth(shape)
        seen = [old & (front >= depth) for old, depth in zip(self._seen, self._depths, strict=True)]
        hidden = [1 - new.sum() / size for new, size in zip(seen, self._sizes, strict=True)]
        # a hand that is already hidden more does not bar a shape that hides nothing of it
        grows = [new.sum() < old.sum() for new, old in zip(seen, self._seen, strict=True)]
        if any(share > most and more for share, more in zip(hidden, grows, strict=True)) or max(hidden) < least:
            return False
        self._seen = seen
        return True

    def _depth(self, shape: Shape) -> np.ndarray:
        """Return the depth (h, w) in metres, infinite where the shape is not visible."""
        depth, _ = draw(joined([shape.moved(self._level.T, np.zeros(3))]), self._camera)
        return np.where(depth > 0, depth, np.inf)
