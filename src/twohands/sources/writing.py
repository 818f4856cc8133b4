"""Write a recording as a folder of images, the form that `twohands run` takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from twohands.claims import claim
from twohands.files import write_atomically
from twohands.geometry.camera import Camera
from twohands.sources.source import Entry, Source
from twohands.sources.times import write_times
from twohands.types import RGBDFrame

CAMERA_CHANGES = (
    "the camera changes within the recording, but {} can hold only one; read the frames with twohands.open_source"
)
STEP = 0.00025
"""Metres of one step of the depth images: a quarter of a millimetre, up to 16 m."""
CAMERA, ORIGIN = "camera_intrinsic.json", "convert.json"
"""Names of the files with the camera and the depth unit, and with what was converted."""


class FolderWriter:
    """Writer of rgb/NAME.png, depth/NAME.png, the camera and the time stamps; frames that are there are kept."""

    def __init__(self, folder: str | Path, origin: Mapping[str, Any]):
        """Take a folder that is new, or holds an unfinished or finished conversion of the same `origin`.

        `origin` says what is converted, and how. Raise ValueError for another folder.
        """
        self.folder = Path(folder)
        self.failed: dict[str, str] = {}
        """Reasons by the names of the frames that could not be used."""
        fix = "give another --out or remove that folder"
        if self.folder.exists() and any(self.folder.iterdir()) and not (self.folder / ORIGIN).is_file():
            raise ValueError(f"{self.folder} holds other files; {fix}")
        claim(self.folder / ORIGIN, origin, f"{self.folder} holds a conversion", fix)

    def write(self, source: Source) -> Iterator[Entry]:
        """Write every frame of a recording and yield its entry, whether it was written, kept or failed.

        Raise ValueError when the camera changes within the recording.
        """
        times = []
        try:
            for entry in source:
                try:
                    if not all(path.exists() for path in self._paths(entry.name)):
                        self._write(entry.name, entry.open())
                    times.append((entry.name, entry.seconds))
                except (ValueError, FileNotFoundError) as error:
                    if isinstance(error, CameraChangedError):
                        raise
                    self.failed[entry.name] = str(error)
                yield entry
        finally:  # also of what was written before an interruption: a camera is not begun again
            write_times(self.folder, times)

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / "rgb" / f"{name}.png", self.folder / "depth" / f"{name}.png"

    def _write(self, name: str, frame: RGBDFrame) -> None:
        self._keep_camera(frame.camera)
        steps = np.rint(np.asarray(frame.depth) / STEP)
        steps = np.where(steps < 65535, steps, 0).astype(np.uint16)
        for path, image in zip(self._paths(name), (frame.rgb_uint8(), steps), strict=True):
            with write_atomically(path) as temporary:
                Image.fromarray(image).save(temporary, compress_level=1)

    def _keep_camera(self, camera: Camera) -> None:
        """Write the camera of the first frame; raise CameraChangedError when a later one has another."""
        path, matrix = self.folder / CAMERA, np.asarray(camera.K, dtype=np.float64)
        if not path.exists():
            content = {
                "width": camera.width,
                "height": camera.height,
                "intrinsic_matrix": matrix.T.ravel().tolist(),  # column by column, as Open3D writes it
                "depth_scale": STEP,
            }
            with write_atomically(path) as temporary:
                temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            return
        stored = json.loads(path.read_text(encoding="utf-8"))
        same = np.allclose(np.reshape(stored["intrinsic_matrix"], (3, 3)).T, matrix, rtol=0, atol=1e-3)
        if not same or (stored["width"], stored["height"]) != (camera.width, camera.height):
            raise CameraChangedError(CAMERA_CHANGES.format("a folder"))


class CameraChangedError(ValueError):
    """Error for frames of different cameras in one recording that is written."""
