"""Small recordings on disk, and the orders of runs over them, whose processes can be made to die."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from fakes import HEIGHT, WIDTH, GreyLocator, K, grey_predictor
from twohands.batch import Orders
from twohands.batch.part import Frames
from twohands.predictor import Stopwatch, TwoHandPredictor
from twohands.sources.opening import open_source

SIZE, DEADLY = 8, 77
"""Frames of a part, and the grey that a process does not survive."""


def write_recording(path: Path, count: int = 20, seed: int = 0, deadly: int | None = None) -> Path:
    """Write a recording of frames of one grey each as .npz; number `deadly` is of the grey DEADLY."""
    path.parent.mkdir(parents=True, exist_ok=True)
    greys = 128 + 50 * np.sin(np.arange(count) / 8) + np.random.default_rng(seed).normal(0, 3, count)
    greys = np.where(greys.astype(int) == DEADLY, DEADLY + 1, greys)
    if deadly is not None:
        greys[deadly] = DEADLY
    rgb = np.broadcast_to(greys.astype(np.uint8)[:, None, None, None], (count, HEIGHT, WIDTH, 3))
    np.savez_compressed(path, rgb=rgb, depth=np.full((count, HEIGHT, WIDTH), 500, np.uint16), K=K)
    return path


def load(deaths: Path) -> TwoHandPredictor:
    """Return a predictor; its process is killed at a deadly frame until the folder `deaths` has a file `died`.

    Without that folder this never ends. With a file `slow` in it, a frame takes a twentieth of a second. The predictor
    refuses to work where torch is loaded.
    """
    Frames.size = SIZE
    original = GreyLocator._at

    def dying(self, frame, place):
        assert "torch" not in sys.modules
        time.sleep(0.05 * (deaths / "slow").exists())
        if round(255 * float(frame.rgb[0, 0, 0])) == DEADLY and not (deaths / "died").exists():
            if deaths.exists():
                (deaths / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, frame, place)

    if original.__name__ != "dying":
        GreyLocator._at = dying
    return grey_predictor()


def orders(deaths: Path, **more) -> Orders:
    return Orders(partial(load, deaths), {}, **more)


def alone(path: Path, out: Path) -> dict[str, bytes]:
    """Return all files of the result of one recording by name, made by this process without interruption."""
    batch = Orders(grey_predictor, {}).begin(open_source(path), str(path), path, out, grey_predictor(), Stopwatch())
    for _ in batch.work():
        pass
    batch.finish()
    return content(out)


def content(out: Path) -> dict[str, bytes]:
    """Return all files of a result by name, without the mark that it is finished."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "done.json"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}
