"""The command that turns a recording into a folder for `run`: `convert`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from twohands.cli.common import FINE, SOME_FAILED, check_folder

if TYPE_CHECKING:
    from twohands.sources.source import Source
    from twohands.sources.writing import FolderWriter

NAMED = 10
"""Number of failed frames that are named at most."""


def convert(
    recording: Positional[Path],
    out: Path,
    depth_unit: float | None = None,
    intrinsics: str | None = None,
    color_topic: str | None = None,
    depth_topic: str | None = None,
    info_topic: str | None = None,
    max_delay: float | None = None,
) -> int:
    """Write a recording as a folder of images with registered depth, which `run` takes.

    ROS 1 and 2 bags, MCAP, RealSense .bag and .db3 (needs the extra ros), Azure Kinect .mkv and Stray Scanner (video),
    Record3D .r3d (iphone), .npz, .npy and pickled arrays, BOP scenes, folders. The kind is recognised by the content.
    The same command resumes an interrupted conversion.

    Args:
        recording: File or folder of the recording.
        out: Folder for rgb/, depth/, camera_intrinsic.json and frames.csv.
        depth_unit: Metres of one depth step, where the recording does not state it.
        intrinsics: Intrinsics of the colour camera where the recording has none: a file, or fx,fy,cx,cy.
        color_topic: Topic of the colour images of a bag.
        depth_topic: Topic of the depth images of a bag.
        info_topic: Topic of the CameraInfo of the colour camera of a bag.
        max_delay: Largest difference between the time stamps of the two images of a pair of a bag, in seconds.
    """
    from twohands.sources.opening import SourceOptions, open_source
    from twohands.sources.writing import FolderWriter

    check_folder(out)
    options = SourceOptions(depth_unit, intrinsics, color_topic, depth_topic, info_topic, max_delay)
    source = open_source(recording, options)
    print(f"{recording}: {source.about}")
    writer = FolderWriter(out, {"recording": str(recording.resolve()), **asdict(options)})
    count = _with_progress(writer, source)
    if count == len(writer.failed):
        reason = next(iter(writer.failed.values()), "it has no frame with colour and depth")
        raise ValueError(f"no frame of {recording} could be used; the first: {reason}")
    for name, reason in list(writer.failed.items())[:NAMED]:
        print(f"twohands: {name}: {reason}", file=sys.stderr)
    failures = f", {len(writer.failed)} failed" if writer.failed else ""
    print(f"{count} frames{failures}; wrote {out}/, for: twohands run {out} --out {out}_hands")
    return SOME_FAILED if writer.failed else FINE


def _with_progress(writer: FolderWriter, source: Source) -> int:
    """Write the frames with a bar on stderr and return their number."""
    from rich.console import Console
    from rich.progress import track

    count = 0
    for _ in track(writer.write(source), "frames", total=source.length, console=Console(stderr=True)):
        count += 1
    return count
