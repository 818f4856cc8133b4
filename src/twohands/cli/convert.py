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
    """Convert a recording to a folder of images with registered depth, or to one .mcap file; `run` reads both.

    It reads the cameras and local recordings that `run` reads. The same command resumes an interrupted conversion to a
    folder. An .mcap file holds Foxglove's messages with colour as PNG; it has a temporary name until it is complete.

    Args:
        recording: File or folder of the recording; its content determines its kind. Or a camera: realsense, orbbec.
        destination: Folder for rgb/, depth/, camera_intrinsic.json and frames.csv, or an .mcap file.
        out: The destination as an option, as in other commands.
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
