"""The command that turns a recording into a folder or an MCAP file: `convert`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from tyro.conf import Positional

from twohands.cli.common import FINE, SOME_FAILED, check_folder
from twohands.cli.reading import SOURCE, OfSource, check_live, opened, with_progress

NAMED = 10
"""Number of failed frames that are named at most."""


def convert(
    recording: Positional[Path],
    destination: Positional[Path | None] = None,
    out: Path | None = None,
    reading: OfSource = SOURCE,
) -> int:
    """Write a recording as a folder of images with registered depth, or as one .mcap file; `run` takes both.

    Takes everything that `run` takes. The same command resumes an interrupted conversion to a folder. A file has
    Foxglove's messages with colour as PNG; it is written under another name and renamed when it is complete.

    Args:
        recording: File or folder of the recording; its content tells its kind. Or a camera: realsense, orbbec.
        destination: Folder for rgb/, depth/, camera_intrinsic.json and frames.csv, or a file named .mcap.
        out: The destination, for those who are used to this option from other commands.
    """
    from twohands.sources.writing import FolderWriter
    from twohands.sources.writing_mcap import McapWriter

    target = destination or out
    if target is None or (destination and out):
        raise ValueError("give one destination: twohands convert RECORDING FOLDER, or RECORDING FILE.mcap")
    is_file = target.suffix.lower() == ".mcap"
    check_folder(target.parent if is_file else target)
    check_live(recording, reading, target)
    source = opened(recording, reading)
    origin = {"recording": str(recording.resolve()), **asdict(reading)}
    writer = McapWriter(target) if is_file else FolderWriter(target, origin)
    count = sum(1 for _ in with_progress(writer.write(source), source.length))
    if count == len(writer.failed):
        reason = next(iter(writer.failed.values()), "it has no frame with colour and depth")
        raise ValueError(f"no frame of {recording} could be used; the first: {reason}")
    for name, reason in list(writer.failed.items())[:NAMED]:
        print(f"twohands: {name}: {reason}", file=sys.stderr)
    failures = f", {len(writer.failed)} failed" if writer.failed else ""
    next_command = shlex.join(["twohands", "run", str(target), "--out", f"{target.with_suffix('')}_hands"])
    print(f"{count} frames{failures}; wrote {target}, for: {next_command}")
    return SOME_FAILED if writer.failed else FINE
