"""The materials of a frame, collected while its scene is built."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from twohands.synth.config import SynthConfig
from twohands.synth.rendering.render import Materials
from twohands.synth.things import prints, textures
from twohands.synth.things.assets import Assets, load_assets


class Palette:
    """A growing list of materials. The config decides which are printed or show stored textures.

    Without a config everything is procedural and without decals, as in the first engine. A config that asks for
    stored textures or models needs the asset cache: FileNotFoundError says how to get it.
    """

    def __init__(self, config: SynthConfig | None = None) -> None:
        self.decals, self.photographs = (config.decals, config.photographs) if config else (0.0, 0.0)
        self.models = config.models if config else 0.0
        self.assets: Assets | None = load_assets() if self.models or self.photographs else None
        self._textures: list[np.ndarray] = []
        self._values: list[tuple[float, float, float, float]] = []

    def add(self, texture: np.ndarray, specular: float, gloss: float, infrared: float, scatter: float = 0.0) -> int:
        """Add a material and return its number: texture (H, W, 3) uint8, highlight strength and exponent, reflectance.

        `infrared` is the infrared reflectance. `scatter` scales the warm tint of light at shadow borders on skin.
        """
        self._textures.append(texture)
        self._values.append((specular, gloss, infrared, scatter))
        return len(self._textures) - 1

    def add_thing(self, rng: np.random.Generator, texture: np.ndarray | None = None) -> int:
        """Add a random material for an object, dull or shiny, dark or bright in the infrared, and return its number.

        `texture` (H, W, 3) uint8 is the object's own, None where it has none.
        """
        shiny = rng.random() < 0.4
        specular, gloss = (rng.uniform(0.1, 0.5), rng.uniform(30, 120)) if shiny else (rng.uniform(0.0, 0.06), 12.0)
        painted = self._thing_texture(rng) if texture is None else texture
        return self.add(painted, specular, gloss, rng.uniform(0.05, 0.9))

    def surface(self, rng: np.random.Generator, painter: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        """Return a texture (H, W, 3) uint8 for a wall, floor, table or cloth: a stored one, or one from `painter`."""
        if self.assets is not None and self.photographs and rng.random() < self.photographs:
            return self.assets.texture(rng)
        return painter(rng)

    def _thing_texture(self, rng: np.random.Generator) -> np.ndarray:
        if not self.decals:
            return textures.object_skin(rng)
        base = textures.thing_base(rng)
        if rng.random() >= self.decals:
            return base
        clips = self.assets is not None and self.assets.has("decal") and rng.random() < 0.5
        return prints.decorated(rng, base, self.assets.decal(rng) if self.assets is not None and clips else None)

    def materials(self) -> Materials:
        """Return all materials, for the renderer."""
        sizes = [texture.size for texture in self._textures]
        offsets = np.cumsum([0, *sizes[:-1]])
        layout = [(start, *texture.shape[:2]) for start, texture in zip(offsets, self._textures, strict=True)]
        columns = [np.array(column, dtype=np.float32) for column in zip(*self._values, strict=True)]
        specular, gloss, infrared, scatter = columns
        texels = np.concatenate([texture.reshape(-1) for texture in self._textures])
        return Materials(
            texels, np.array(layout, dtype=np.int64), specular, gloss, infrared, scatter if scatter.any() else None
        )
