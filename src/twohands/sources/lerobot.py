"""Read one episode of a LeRobot data set (version 3) with depth; the cameras come from a file that users write.

The format has no intrinsics. `cameras.json` beside `meta/` has them, and says which streams belong together:
`{"observation.images.front": {"depth_key": "observation.images.front_depth", "width": 640, "height": 480,
"K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "D": [k1, k2, p1, p2, k3]}}`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from twohands.intrinsics import read_intrinsics
from twohands.sources.common import decode_rgb, require
from twohands.sources.lerobot_streams import Clip, Depth, Picture, Rows, colour_of_video
from twohands.sources.source import Entry
from twohands.types import RGBDFrame

INFO, CAMERAS = Path("meta", "info.json"), "cameras.json"
EXAMPLE = '{"depth_key": KEY, "width": 640, "height": 480, "K": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "D": []}'


def is_lerobot(path: str | Path) -> bool:
    """Return whether a folder is a LeRobot data set of any version."""
    info = Path(path) / INFO
    return info.is_file() and b'"codebase_version"' in info.read_bytes()


class LeRobotEpisode:
    """Frames of one episode: colour, and depth that is registered to it.

    Raises FileNotFoundError or ValueError at once when the episode cannot be used. An image without depth, or with a
    damaged one, raises only when it is opened. A video that was cut off ends where it is cut.
    """

    def __init__(
        self,
        path: str | Path,
        episode: int | None = None,
        colour_key: str | None = None,
        intrinsics: Any = None,
        depth_registered: bool = False,
    ):
        """Take the number of the episode, which only a data set with a single one does not need; the key of the colour
        images where several cameras are known; intrinsics in place of those of `cameras.json`; and whether depth of
        another size has the view of colour.
        """
        self._path = Path(path)
        self._parquet = require("pyarrow.parquet", "lerobot", "LeRobot data sets")
        self._av = require("av", "lerobot", "LeRobot data sets")
        self._info = _info(self._path)
        self._features = self._info["features"]
        self._facts, self._count = self._episode(episode)
        self.colour_key, camera = self._camera(colour_key)
        self.depth_key = self._depth_key(camera)
        given = {name: camera[name] for name in camera if name != "depth_key"}
        self.intrinsics = read_intrinsics(given if intrinsics is None else intrinsics)
        self._depth_registered = depth_registered
        self._depth = Depth(self.depth_key, _facts(self._features[self.depth_key]))

    @property
    def about(self) -> str:
        """Number of the episode, streams, rate and number of images."""
        return (
            f"LeRobot data set, episode {self._facts['episode_index']} of {self._count}, colour "
            f"{self.colour_key}, depth {self.depth_key}, {self.length} images, {self._info['fps']:g} a second"
        )

    @property
    def length(self) -> int:
        """Number of images of the episode."""
        return int(self._facts["length"])

    def __iter__(self) -> Iterator[Entry]:
        seconds = self._seconds()
        colours = self._images(self.colour_key, colour_of_video, decode_rgb)
        depths = self._images(self.depth_key, self._depth.of_video, self._depth.of_table)
        depth = next(depths, None)
        for colour in colours:
            while depth is not None and depth.number < colour.number:
                depth = next(depths, None)
            partner = depth if depth is not None and depth.number == colour.number else None
            yield Entry(f"{colour.number:06d}", seconds.get(colour.number), partial(self._open, colour, partner))

    def _open(self, colour: Picture, depth: Picture | None) -> RGBDFrame:
        if depth is None:
            raise FileNotFoundError(f"{self._path.name} has no image {colour.number} of {self.depth_key}")
        return RGBDFrame.from_arrays(
            colour.decode(), depth.decode(), self.intrinsics, depth_unit=1, depth_registered=self._depth_registered
        )

    def _images(self, key: str, of_video: Any, of_table: Any) -> Iterator[Picture]:
        """Yield the images of a stream in order."""
        facts, fps = self._facts, self._info["fps"]
        if self._features[key]["dtype"] != "video":
            rows = Rows(self._data_file(), key, facts["episode_index"], self._path)
            return rows.images(self._parquet, of_table)
        places = {name: facts[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index")}
        path = self._path / self._info["video_path"].format(video_key=key, **places)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; copy the data set with its videos")
        return Clip(path, facts[f"videos/{key}/from_timestamp"], self.length, fps).images(self._av, of_video)

    def _seconds(self) -> dict[int, float]:
        """Return the times of the episode's frames since its beginning by their numbers."""
        columns = ["episode_index", "frame_index", "timestamp"]
        episode = self._facts["episode_index"]
        table = self._parquet.read_table(self._data_file(), columns=columns, filters=[("episode_index", "=", episode)])
        return {row["frame_index"]: float(row["timestamp"]) for row in table.to_pylist()}

    def _data_file(self) -> Path:
        places = {name: self._facts[f"data/{name}"] for name in ("chunk_index", "file_index")}
        path = self._path / self._info["data_path"].format(**places)
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; copy the whole data set")
        return path

    def _episode(self, number: int | None) -> tuple[dict[str, Any], int]:
        """Return the row of the chosen episode in the table of episodes, without statistics, and how many there are."""
        files, numbers = sorted((self._path / "meta" / "episodes").rglob("*.parquet")), dict[int, Path]()
        for file in files:
            found = self._parquet.read_table(file, columns=["episode_index"])["episode_index"].to_pylist()
            numbers |= dict.fromkeys(found, file)
        if not numbers:
            raise ValueError(f"{self._path} has no episodes in meta/episodes; copy the whole data set")
        several = f"{self._path.name} has {len(numbers)} episodes, {min(numbers)} to {max(numbers)}"
        if number is None and len(numbers) > 1:
            raise ValueError(f"{several}, and each is a recording of its own; choose one with --episode {min(numbers)}")
        number = min(numbers) if number is None else number
        if number not in numbers:
            raise ValueError(f"{several}, not {number}; choose another one with --episode")
        names = self._parquet.read_schema(numbers[number]).names
        wanted = [name for name in names if not name.startswith("stats/")]
        table = self._parquet.read_table(numbers[number], columns=wanted, filters=[("episode_index", "=", number)])
        return table.to_pylist()[0], len(numbers)

    def _camera(self, key: str | None) -> tuple[str, dict[str, Any]]:
        """Return the key of the colour stream and what `cameras.json` has about it."""
        path = next((path for path in (self._path / CAMERAS, self._path / "meta" / CAMERAS) if path.is_file()), None)
        if path is None:
            images = [name for name, feature in self._features.items() if feature["dtype"] in ("video", "image")]
            raise FileNotFoundError(
                f"{self._path} has no {CAMERAS}, and a LeRobot data set has no intrinsics; write it there, for each "
                f"colour stream by its key {EXAMPLE}; its streams are {', '.join(images) or 'none'}"
            )
        try:
            cameras = dict(json.loads(path.read_text(encoding="utf-8-sig")))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is not JSON with a camera for each colour stream ({error}); correct it") from None
        unknown = next((name for name in cameras if name not in self._features), None)
        if unknown is not None:
            raise ValueError(
                f"{path} names {unknown}, which is not a feature of the data set; write the key of its colour stream"
            )
        if key is None and len(cameras) != 1:
            raise ValueError(f"{path} has the cameras {', '.join(cameras)}; choose one with --color-topic")
        chosen = str(next(iter(cameras))) if key is None else key
        if chosen not in cameras:
            raise ValueError(f"{path} has no camera {chosen}; it has {', '.join(cameras)}")
        return chosen, dict(cameras[chosen])

    def _depth_key(self, camera: dict[str, Any]) -> str:
        key = str(camera.get("depth_key"))
        if key in self._features:
            return key
        depths = [name for name, feature in self._features.items() if _is_depth(_facts(feature))]
        raise ValueError(
            f"the depth_key of {self.colour_key} in {CAMERAS} is {key!r}, which is not a feature of the data set; its "
            f"depth streams are {', '.join(depths) or 'none: record with depth'}"
        )


def _info(path: Path) -> dict[str, Any]:
    try:
        info = json.loads((path / INFO).read_text(encoding="utf-8"))
        version = str(info["codebase_version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path / INFO} is missing or damaged ({error!r}); give the data set's folder") from None
    if not version.startswith("v3"):
        raise ValueError(
            f"{path} is a LeRobot data set of version {version}, and version 3 is read; convert it with LeRobot's "
            "script convert_dataset_v21_to_v30"
        )
    return info


def _facts(feature: dict[str, Any]) -> dict[str, Any]:
    """Return what `meta/info.json` says about the images of a feature."""
    return feature.get("info") or feature.get("video_info") or {}


def _is_depth(facts: dict[str, Any]) -> bool:
    return bool(facts.get("is_depth_map") or facts.get("video.is_depth_map"))
