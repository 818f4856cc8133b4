"""Shared parts of the readers of data sets that come as videos."""

from __future__ import annotations

from pathlib import Path


def extraction(timing: str, *videos: tuple[Path, str]) -> str:
    """Return the commands that write the frames of each (video, suffix of the images) beside it, counted from 0.

    `timing` selects frames: "-vf fps=15", or "-fps_mode passthrough" for every frame once.
    """
    commands = [
        f'ffmpeg -i "{video}" -f image2 -start_number 0 {timing} -qscale:v 2 "{video.parent}/%05d{suffix}"'
        for video, suffix in videos
    ]
    return " && ".join(commands)


def image(folder: Path, number: int, suffix: str) -> Path:
    """Return the file of one frame, named as by `extraction` and the data sets' own scripts."""
    return folder / f"{number:05d}{suffix}"
