"""The command that turns a recording into a folder for `run`: `convert`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from tyro.conf import Positional

from twohands.cli.common import FINE, SOME_FAILED, check_folder
from twohands.cli.reading import SOURCE, OfSource, with_progress

NAMED = 10
"""Number of failed frames that are named at most."""


def convert(
    recording: Positional[Path],
    out: Path,
    reading: OfSource = SOURCE,
) -> int:
    """Write a recording as a folder of images with registered depth, which `run` takes.

    ROS 1 and 2 bags, MCAP, RealSense .bag and .db3 (needs the extra ros), Azure Kinect .mkv and Stray Scanner (video),
    Record3D .r3d (iphone), .npz, .npy and pickled arrays, BOP scenes, folders. The kind is recognised by the content.
    The same command resumes an interrupted conversion.

    Args:
        recording: File or folder of the recording.
        out: Folder for rgb/, depth/, camera_intrinsic.json and frames.csv.
    """
    from twohands.sources.opening import open_source
    from twohands.sources.writing import FolderWriter

    check_folder(out)
    source = open_source(recording, reading)
    print(f"{recording}: {source.about}")
    writer = FolderWriter(out, {"recording": str(recording.resolve()), **asdict(reading)})
    count = sum(1 for _ in with_progress(writer.write(source), source.length))
    if count == len(writer.failed):
        reason = next(iter(writer.failed.values()), "it has no frame with colour and depth")
        raise ValueError(f"no frame of {recording} could be used; the first: {reason}")
    for name, reason in list(writer.failed.items())[:NAMED]:
        print(f"twohands: {name}: {reason}", file=sys.stderr)
    failures = f", {len(writer.failed)} failed" if writer.failed else ""
    print(f"{count} frames{failures}; wrote {out}/, for: twohands run {out} --out {out}_hands")
    return SOME_FAILED if writer.failed else FINE
