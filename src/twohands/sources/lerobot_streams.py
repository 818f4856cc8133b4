"""Read one stream of images of an episode in a LeRobot data set: from a video, or from the rows of its tables.

Depth in a video is a code of 12 bits, by default of the logarithm of depth; code 0 stands for no reading as well as for
depth at the near end of the range. Depth of 16 bits, and that in tables (TIFF), is in the unit that is stated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from twohands.sources.common import decode_plane
from twohands.sources.video import images_of, open_video

CODED, STEPS = ("gray12le", "yuv420p12le"), ("gray16le",)
"""Formats of depth videos: codes of a range, and integers in the stated unit."""
LARGEST_CODE = 4095
RANGE = ("video.depth_min", "video.depth_max", "video.shift", "video.use_log")
"""Names of the range's ends and of the shift under the logarithm, metres, and whether there is a logarithm."""
UNITS = {"m": 1.0, "mm": 0.001}
BATCH = 16
"""Number of rows of a table that are in memory."""


class Picture(NamedTuple):
    """An image of a stream: its number in the episode, and how it is decoded."""

    number: int
    decode: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Clip:
    """The part of a video that is one episode."""

    path: Path
    begin: float  # seconds in the video
    length: int
    fps: float

    def images(self, av: ModuleType, decoded: Callable[[Any], np.ndarray]) -> Iterator[Picture]:
        """Yield the images of the episode; `decoded` turns one of the library into an array."""
        with open_video(av, self.path) as container:
            stream = container.streams.video[0]
            container.seek(max(0, int((self.begin - 0.5 / self.fps) / stream.time_base)), stream=stream)
            for image in images_of(av, container):
                number = round((image.time - self.begin) * self.fps)
                if number >= self.length:
                    return
                if number >= 0:
                    yield Picture(number, partial(decoded, image))


@dataclass(frozen=True)
class Rows:
    """The rows of a table that are one episode, with one coded image each."""

    path: Path
    key: str
    episode: int
    root: Path  # folder of the data set

    def images(self, parquet: ModuleType, decoded: Callable[[bytes, str], np.ndarray]) -> Iterator[Picture]:
        """Yield the images of the episode; `decoded` turns the bytes of one, and its name, into an array."""
        columns = [self.key, "episode_index", "frame_index"]
        with parquet.ParquetFile(self.path) as table:
            for batch in table.iter_batches(BATCH, columns=columns):
                for row in batch.to_pylist():
                    if row["episode_index"] == self.episode:
                        name = f"{self.key}, image {row['frame_index']} of episode {self.episode}"
                        yield Picture(row["frame_index"], partial(self._decode, decoded, row[self.key], name))

    def _decode(self, decoded: Callable[[bytes, str], np.ndarray], cell: Any, name: str) -> np.ndarray:
        content = cell["bytes"]
        return decoded((self.root / cell["path"]).read_bytes() if content is None else content, name)


def colour_of_video(image: Any) -> np.ndarray:
    """Return an image of a video as (H, W, 3) uint8, red first."""
    return image.to_ndarray(format="rgb24")


@dataclass(frozen=True)
class Depth:
    """Decoder of a stream's depth, by what `meta/info.json` says about the feature."""

    key: str
    facts: dict[str, Any]

    def of_table(self, content: bytes, name: str) -> np.ndarray:
        """Return a coded image of depth as (H, W) float32 metres."""
        return self._metres(decode_plane(content, name))

    def of_video(self, image: Any) -> np.ndarray:
        """Return an image of a depth video as (H, W) float32 metres, 0 = no reading; raise ValueError for others."""
        form = image.format.name
        if form not in (*CODED, *STEPS):
            raise ValueError(
                f"{self.key} is a video in {form}, which is not 12- or 16-bit depth; record depth with LeRobot 0.6 "
                "or newer, or name another depth_key in cameras.json"
            )
        plane = image.planes[0]
        steps = np.frombuffer(plane, "<u2").reshape(image.height, plane.line_size // 2)[:, : image.width]
        return self._metres(steps) if form in STEPS else self._table()[steps]

    def _metres(self, steps: np.ndarray) -> np.ndarray:
        usual = "m" if steps.dtype.kind == "f" else "mm"
        unit = self.facts.get("depth_unit", usual)
        if unit not in UNITS:
            raise ValueError(f"the depth_unit of {self.key} is {unit!r}; correct it in meta/info.json to m or mm")
        return steps.astype(np.float32) * np.float32(UNITS[unit])

    def _table(self) -> np.ndarray:
        """Return the metres (4096,) of every code."""
        missing = [name for name in RANGE if name not in self.facts]
        if missing:
            raise ValueError(
                f"{self.key} has no {', '.join(missing)} in meta/info.json, without which its codes have no unit; "
                "add what it was recorded with"
            )
        low, high, shift, logarithmic = (self.facts[name] for name in RANGE)
        part = np.arange(LARGEST_CODE + 1) / LARGEST_CODE
        if logarithmic:
            metres = (low + shift) * ((high + shift) / (low + shift)) ** part - shift
        else:
            metres = low + part * (high - low)
        metres[0] = 0
        return metres.astype(np.float32)
