"""The materials of a frame, collected while its scene is built."""

from __future__ import annotations

import numpy as np

from twohands.synth import textures
from twohands.synth.render import Materials


class Palette:
    """A growing list of materials."""

    def __init__(self) -> None:
        self._textures: list[np.ndarray] = []
        self._values: list[tuple[float, float, float]] = []

    def add(self, texture: np.ndarray, specular: float, gloss: float, infrared: float) -> int:
        """The number of a new material: texture (H, W, 3) uint8, highlight strength and exponent, reflectance."""
        self._textures.append(texture)
        self._values.append((specular, gloss, infrared))
        return len(self._textures) - 1

    def add_thing(self, rng: np.random.Generator) -> int:
        """The number of a new material for something on a table: dull or shiny, dark or bright in the infrared."""
        shiny = rng.random() < 0.4
        specular, gloss = (rng.uniform(0.1, 0.5), rng.uniform(30, 120)) if shiny else (rng.uniform(0.0, 0.06), 12.0)
        return self.add(textures.object_skin(rng), specular, gloss, rng.uniform(0.05, 0.9))

    def materials(self) -> Materials:
        """All of them, for the renderer."""
        sizes = [texture.size for texture in self._textures]
        offsets = np.cumsum([0, *sizes[:-1]])
        layout = [(start, *texture.shape[:2]) for start, texture in zip(offsets, self._textures, strict=True)]
        specular, gloss, infrared = (np.array(column, dtype=np.float32) for column in zip(*self._values, strict=True))
        texels = np.concatenate([texture.reshape(-1) for texture in self._textures])
        return Materials(texels, np.array(layout, dtype=np.int64), specular, gloss, infrared)
