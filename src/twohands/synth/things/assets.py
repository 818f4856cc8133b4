"""The asset cache: textures, decals and models with free licences, fetched by `tools/fetch_synth_assets.py`.

`manifest.json` in its folder names every file with its source, licence and SHA-256. The files are textures (JPEG),
decals (PNG with opacity) and models (npz with an atlas as JPEG bytes). Nothing here accesses a network.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from twohands.files import user_cache
from twohands.synth.rendering.shapes import Shape
from twohands.synth.things.objects import Thing

KINDS = ("texture", "decal", "model", "furniture")
MANIFEST_VERSION = 1
_REMEDY = "run tools/fetch_synth_assets.py, or do without: models=0, photographs=0 (every named config but `stored`)"


@dataclass(frozen=True)
class AssetFile:
    """One file of the cache."""

    name: str  # relative to the folder
    kind: str  # one of KINDS
    source: str  # kind of package registry, the package's name and version
    licence: str
    sha256: str


@dataclass(frozen=True)
class Assets:
    """The content of the cache. Files are read and checked on first use."""

    folder: Path
    files: tuple[AssetFile, ...]
    digest: str
    """SHA-256 of the manifest. Two caches with the same digest give the same frames."""

    def has(self, kind: str) -> bool:
        """Return True if the cache has a file of this kind."""
        return any(file.kind == kind for file in self.files)

    def texture(self, rng: np.random.Generator) -> np.ndarray:
        """Return a random texture (H, W, 3) uint8 sRGB of a wall, floor, table or cloth. It repeats at the borders."""
        return _image(*self._draw(rng, "texture"), "RGB")

    def decal(self, rng: np.random.Generator) -> np.ndarray:
        """Return a random printed picture (H, W, 4) uint8, sRGB and opacity."""
        return _image(*self._draw(rng, "decal"), "RGBA")

    def model(self, rng: np.random.Generator) -> Thing:
        """Return a random object that stands on a table, with its texture."""
        return _model(*self._draw(rng, "model"))

    def furniture(self, rng: np.random.Generator) -> Thing:
        """Return a random object that stands on a floor, with its texture."""
        return _model(*self._draw(rng, "furniture"))

    def _draw(self, rng: np.random.Generator, kind: str) -> tuple[Path, str]:
        """Return the path of a random file of a kind, and its checksum."""
        choice = [file for file in self.files if file.kind == kind]
        if not choice:
            raise FileNotFoundError(f"the asset cache {self.folder} holds no {kind}; {_REMEDY}")
        file = choice[int(rng.integers(len(choice)))]
        return self.folder / file.name, file.sha256


def cache_folder() -> Path:
    """Return TWOHANDS_CACHE itself, or `synth` in the user's cache."""
    return user_cache() if os.environ.get("TWOHANDS_CACHE") else user_cache() / "synth"


def load_assets() -> Assets:
    """Read the manifest. Raise FileNotFoundError without a cache, ValueError if its manifest cannot be read."""
    path = cache_folder() / "manifest.json"
    if not path.exists():
        raise FileNotFoundError(f"there is no asset cache at {path.parent}; {_REMEDY}")
    return _read_manifest(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read_manifest(path: Path, changed: int) -> Assets:
    """Read a manifest. `changed` is its modification time, so that a changed manifest is read again."""
    content = path.read_bytes()
    try:
        listed = json.loads(content)
        version = listed["version"]
        files = tuple(AssetFile(**entry) for entry in listed["files"]) if version == MANIFEST_VERSION else ()
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}); {_REMEDY}") from None
    if version != MANIFEST_VERSION:
        raise ValueError(f"{path} has version {version}, expected {MANIFEST_VERSION}; {_REMEDY}")
    return Assets(path.parent, files, hashlib.sha256(content).hexdigest())


def _checked(path: Path, sha256: str) -> io.BytesIO:
    """Return the content of a file. Raise FileNotFoundError or ValueError when it differs from the manifest."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is listed in the asset cache but missing; {_REMEDY}")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file that the asset cache lists; {_REMEDY}")
    return io.BytesIO(content)


@lru_cache(maxsize=48)
def _image(path: Path, sha256: str, mode: str) -> np.ndarray:
    with Image.open(_checked(path, sha256)) as image:
        pixels = np.array(image.convert(mode))
    pixels.flags.writeable = False
    return pixels


@lru_cache(maxsize=48)
def _model(path: Path, sha256: str) -> Thing:
    with np.load(_checked(path, sha256), allow_pickle=False) as data:
        vertices = data["vertices"].astype(np.float64)
        shape = Shape(
            vertices,
            data["faces"].astype(np.int64),
            data["uv"].astype(np.float64),
            normals=data["normals"].astype(np.float64),
        )
        with Image.open(io.BytesIO(data["texture"].tobytes())) as image:
            texture = np.array(image.convert("RGB"))
    texture.flags.writeable = False
    return Thing(shape, float(np.hypot(*vertices[:, :2].T).max()), float(vertices[:, 2].max()), texture)
