"""The command `run`: reconstruct both hands in every frame of a recording."""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from twohands.cli.choice import DEFAULT, Choice, Options
from twohands.cli.common import INTERRUPTED, SOME_FAILED, check_folder, tell
from twohands.cli.reading import SOURCE, OfSource, check_live, opened, with_progress

if TYPE_CHECKING:
    from twohands.batch import BatchRun
    from twohands.predictor import Predictor
    from twohands.sources.options import SourceOptions
    from twohands.sources.source import Source

WEIGHTS = (".onnx", ".safetensors")
"""Suffixes of files with the weights of a network."""


def run(
    recording: Positional[Path],
    out: Path,
    reading: OfSource = SOURCE,
    first: Annotated[int, tyro.conf.arg(name="from")] = 0,
    last: Annotated[int | None, tyro.conf.arg(name="to")] = None,
    every: int = 1,
    choice: Options = DEFAULT,
    tracking: bool = True,
    smooth: float = 0.5,
    two_pass: bool = False,
    workers: int = 1,
    vertices: bool = True,
    overlays: bool = False,
    glb: bool = False,
    timings: bool = False,
    strict: bool = False,
) -> int:
    """Reconstruct both hands in every frame of a recording.

    Folders with rgb/, depth/ and cam_K.txt (see README for other names), ROS 1 and 2 bags, MCAP, RealSense .bag and
    .db3 (needs the extra ros), Azure Kinect .mkv and Stray Scanner (video), Record3D .r3d (iphone), LeRobot data sets
    (lerobot), 3D Scanner App, Polycam, .npz, .npy and pickled arrays, BOP scenes; connected cameras by the names
    realsense and orbbec (extras of these names). docs/recordings.md has a table of all of them. The same command
    resumes an interrupted run; frames whose files have changed are processed again. In frames with times, or numbered
    in order, hands are followed and their motion is made steady.

    Args:
        recording: File or folder of the recording; its content tells its kind. Or a camera: realsense, orbbec.
        out: Folder for the results, one row per frame: parts/, summary.json, and up to 2,000 frames hands.npz and
            hands.json.
        first: Number of the first frame that is taken; the recording's first is 0.
        last: Number of the frame before which to stop; by default all are taken.
        every: Take every N-th frame.
        tracking: Follow the hands from frame to frame, unless --no-tracking is given.
        smooth: Strength of the smoothing of followed hands in [0, 1]; 0 = none.
        two_pass: Smooth with what comes later as well: no lag.
        workers: Number of processes, each with its own networks; the result does not depend on it.
        vertices: Store the vertices of the meshes, unless --no-vertices is given; the parameters give them as well.
        overlays: Draw the hands over every frame (overlays/) and a contact sheet (overlays.jpg).
        glb: Write the meshes of every frame (glb/).
        timings: Print the time of each step, over all frames.
        strict: End with exit code 1 if there is a warning.
    """
    from twohands.batch import BatchRun, Parallel, Selection, Tracking
    from twohands.predictor import Stopwatch
    from twohands.sources.opening import open_source

    check_folder(out)
    for name, number, least in (("every", every, 1), ("workers", workers, 1), ("from", first, 0), ("to", last, 1)):
        if number is not None and number < least:
            raise ValueError(f"--{name} must be at least {least}; got {number}")
    if not 0 <= smooth <= 1:
        raise ValueError(f"--smooth must lie between 0 and 1; got {smooth:g}")
    twice = {"--overlays": overlays, "--glb": glb, "--workers": workers > 1}
    check_live(recording, reading, out, *(option for option, given in twice.items() if given))
    source = opened(recording, reading)
    watch = Stopwatch()
    with watch("load"):
        predictor = choice.load()
    tracked = Tracking(smooth, two_pass) if tracking and _is_in_order(source, predictor) else None
    settings = _settings(source, reading, choice, predictor)
    selection = Selection(first, last, every)
    parallel = Parallel(workers, partial(open_source, recording, reading), choice.load) if workers > 1 else None
    batch = BatchRun(source, recording, predictor, out, settings, watch, selection, tracked, vertices, parallel)
    interrupted, told = False, set[str]()
    try:
        told = _work(batch)
    except KeyboardInterrupt:
        interrupted = True
    account = batch.finish(overlays, glb, not interrupted)
    if interrupted:
        of = "" if batch.length is None else f" of {batch.length}"
        print(f"interrupted: {account.frames}{of} frames done; the same command resumes from here")
        return INTERRUPTED
    if account.failures == account.frames:
        reason = account.failed[0][1] if account.failed else "it has no frame with colour and depth"
        raise ValueError(f"no frame of {recording} could be used; the first: {reason}")
    for name, error in account.failed:
        print(f"twohands: {name}: {error}", file=sys.stderr)
    before = f"; {batch.reused} rows were there already" if batch.reused else ""
    print(f"{account.line()}{before}; wrote {batch.store.written}")
    if timings:
        print(watch.table())
    if batch.is_unrelated:
        print(
            "twohands: note: the hands of most pictures are further from those of the picture before than hands move, "
            "so these pictures are no recording and every one stands for itself; pass --no-tracking",
            file=sys.stderr,
        )
    code = tell(batch.findings, strict, told)
    return SOME_FAILED if account.failures else code


def _is_in_order(source: Source, predictor: Predictor) -> bool:
    """Return whether hands can be followed through a recording; say which times are assumed where it has none."""
    from twohands.batch.motion import has_times, is_numbered
    from twohands.tracking import FPS, can_follow

    if not can_follow(predictor):
        return False
    if has_times(source):
        return True
    if not is_numbered(source):
        return False
    print(
        f"twohands: note: the frames have no times; to follow the hands, {FPS:g} frames a second are assumed; give "
        "--fps, or --no-tracking for frames that stand for themselves",
        file=sys.stderr,
    )
    return True


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


def _work(batch: BatchRun) -> set[str]:
    """Process the frames of a run, and warn after the first ones already; return the codes of these warnings."""
    from twohands.batch import Account
    from twohands.checks.examiner import FIRST_FRAMES

    first, told = Account(batch.predictor.model), set[str]()
    with closing(batch.work()) as frames:
        for done in with_progress(frames, batch.length, is_work=lambda done: not done.reused):
            if first.frames == FIRST_FRAMES:
                continue
            first.add(done.row)
            if first.frames == FIRST_FRAMES:
                findings = first.usual_findings()
                tell(findings)
                told = {finding.code for finding in findings}
    return told
