"""The command `run`: reconstruct both hands in every frame of a recording."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from twohands.cli.choice import DEFAULT, Choice, Options
from twohands.cli.common import INTERRUPTED, SOME_FAILED, check_folder, tell
from twohands.cli.reading import SOURCE, OfSource, with_progress

if TYPE_CHECKING:
    from twohands.batch import BatchRun
    from twohands.predictor import Predictor
    from twohands.results import Row
    from twohands.sources.options import SourceOptions
    from twohands.sources.source import Source

WEIGHTS = (".onnx", ".safetensors")
"""Suffixes of files with the weights of a network."""


def run(
    recording: Positional[Path],
    out: Path,
    reading: OfSource = SOURCE,
    every: int = 1,
    choice: Options = DEFAULT,
    overlays: bool = False,
    glb: bool = False,
    timings: bool = False,
    strict: bool = False,
) -> int:
    """Reconstruct both hands in every frame of a recording.

    Folders with rgb/, depth/ and cam_K.txt (see README for other names), ROS 1 and 2 bags, MCAP, RealSense .bag and
    .db3 (needs the extra ros), Azure Kinect .mkv and Stray Scanner (video), Record3D .r3d (iphone), .npz, .npy and
    pickled arrays, BOP scenes. The same command resumes an interrupted run; frames whose files have changed are
    processed again.

    Args:
        recording: File or folder of the recording; its kind is recognised by its content.
        out: Folder for the results: hands.npz and hands.json, one row per frame.
        every: Take every N-th frame.
        overlays: Draw the hands over every frame (overlays/) and a contact sheet (overlays.jpg).
        glb: Write the meshes of every frame (glb/).
        timings: Print the time of each step, over all frames.
        strict: End with exit code 1 if there is a warning.
    """
    from twohands.batch import BatchRun, summary
    from twohands.predictor import Stopwatch
    from twohands.sources.opening import open_source

    check_folder(out)
    if every < 1:
        raise ValueError(f"--every must be at least 1; got {every}")
    source = open_source(recording, reading)
    print(f"{recording}: {source.about}")
    watch = Stopwatch()
    with watch("load"):
        predictor = choice.load()
    settings = _settings(source, reading, choice, predictor)
    batch = BatchRun(source, recording, predictor, out, settings, watch, every)
    interrupted, told = False, set[str]()
    try:
        told = _work(batch, overlays, glb)
    except KeyboardInterrupt:
        interrupted = True
    rows = batch.finish(overlays, not interrupted)
    if interrupted:
        of = "" if batch.length is None else f" of {batch.length}"
        print(f"interrupted: {len(rows)}{of} frames done; the same command resumes from here")
        return INTERRUPTED
    failed = [row for row in rows if str(row["error"])]
    if len(failed) == len(rows):
        reason = str(failed[0]["error"]) if failed else "it has no frame with colour and depth"
        raise ValueError(f"no frame of {recording} could be used; the first: {reason}")
    for row in failed[:10]:
        print(f"twohands: {row['frame_id']}: {row['error']}", file=sys.stderr)
    before = f"; {batch.reused} rows were there already" if batch.reused else ""
    print(f"{summary(rows)}{before}; wrote {batch.store.final}")
    if timings:
        print(watch.table())
    code = tell(batch.findings, strict, told)
    return SOME_FAILED if failed else code


def _settings(source: Source, reading: SourceOptions, choice: Choice, predictor: Predictor) -> dict[str, object]:
    """Return what changes the rows of a run, beside the recording and the choice of frames."""
    intrinsics = source.intrinsics
    return {
        **asdict(reading),
        "depth_unit": reading.depth_unit or (intrinsics and intrinsics.depth_unit),
        "intrinsics": intrinsics and intrinsics.matrix.tolist(),
        "lens": intrinsics and intrinsics.lens and asdict(intrinsics.lens),
        "fit": choice.fit,
        "hand_model": predictor.model.name,
        "method": choice.method or ("pdfnet" if choice.network else "landmarks"),
        "network": choice.network and _digest(choice.network),
        "person": choice.person,
    }


def _digest(network: Path) -> str:
    """Return the folder name with a digest of its weights, so that a changed network starts another run."""
    from hashlib import sha256

    content = b"".join(path.read_bytes() for path in sorted(network.iterdir()) if path.suffix in WEIGHTS)
    return f"{network} {sha256(content).hexdigest()[:16]}"


def _work(batch: BatchRun, overlays: bool, glb: bool) -> set[str]:
    """Process the frames of a run, and warn after the first ones already; return the codes of these warnings."""
    from twohands.batch import usual_findings
    from twohands.checks.examiner import FIRST_FRAMES

    first: list[Row] = []
    told: set[str] = set()
    for row in with_progress(batch.work(overlays, glb), batch.length):
        if len(first) == FIRST_FRAMES:
            continue
        first.append(row)
        if len(first) == FIRST_FRAMES:
            findings = usual_findings(first)
            tell(findings)
            told = {finding.code for finding in findings}
    return told
