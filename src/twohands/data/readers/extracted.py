"""What the readers of data sets share that come as videos, and whose 3D labels are values of MANO alone."""

from __future__ import annotations

from pathlib import Path

from twohands.data.readers.common import mano_files
from twohands.hands.mano import FOLDER_VARIABLE


def require_mano(name: str) -> None:
    """Raises FileNotFoundError, with the remedy, without MANO's files: the data set `name` has no joints of its own."""
    if mano_files() is None:
        raise FileNotFoundError(
            f"{name} has no 3D joints, only values of MANO; download its files from https://mano.is.tue.mpg.de and set "
            f"{FOLDER_VARIABLE} to their folder"
        )


def extraction(timing: str, *videos: tuple[Path, str]) -> str:
    """The commands that write the frames of each (video, suffix of the images) beside it, counted from 0.

    `timing` says which frames: "-vf fps=15", or "-fps_mode passthrough" for every frame once.
    """
    commands = [
        f'ffmpeg -i "{video}" -f image2 -start_number 0 {timing} -qscale:v 2 "{video.parent}/%05d{suffix}"'
        for video, suffix in videos
    ]
    return " && ".join(commands)


def image(folder: Path, number: int, suffix: str) -> Path:
    """The file of one frame, as `extraction` and the data sets' own scripts name it."""
    return folder / f"{number:05d}{suffix}"
