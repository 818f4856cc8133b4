"""Small networks of linear layers with ReLU between them, which run on NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np


class Perceptron:
    """Function from inputs (N, I) to outputs (N, O), by the packaged weights `weights/NAME.npz`."""

    def __init__(self, name: str):
        with (files("twohands") / "weights" / f"{name}.npz").open("rb") as stream, np.load(stream) as archive:
            self.layers = [(archive[f"weight_{i}"], archive[f"bias_{i}"]) for i in range(len(archive.files) // 2)]

    def __call__(self, values: np.ndarray) -> np.ndarray:
        for number, (weight, bias) in enumerate(self.layers):
            values = (np.maximum(values, 0) if number else values) @ weight + bias
        return values


def write_layers(path: Path, layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """Write weights (I, O) and biases (O,) of layers, as `Perceptron` reads them."""
    arrays: dict[str, Any] = {}
    for number, (weight, bias) in enumerate(layers):
        arrays |= {f"weight_{number}": weight.astype(np.float32), f"bias_{number}": bias.astype(np.float32)}
    np.savez(path, **arrays)
