"""The command `run`: reconstruct both hands in every frame of a recording, or of many."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from tyro.conf import Positional

from twohands.choices import DEFAULT_METHOD, Executor
from twohands.cli.choice import DEFAULT, Choice, Options
from twohands.cli.common import FINE, INTERRUPTED, SOME_FAILED, check_folder, tell
from twohands.cli.reading import SOURCE, OfSource, check_live, opened, with_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from twohands.batch import BatchRun, Orders
    from twohands.batch.recordings import Unit
    from twohands.batch.unit import Outcome

WEIGHTS = (".onnx", ".safetensors")
"""Suffixes of files with the weights of a network."""
NAMED = 10
"""Largest number of failed recordings that are named."""


def run(
    recordings: Positional[tuple[str, ...]],
    out: Path,
    reading: OfSource = SOURCE,
    first: Annotated[int, tyro.conf.arg(name="from")] = 0,
    last: Annotated[int | None, tyro.conf.arg(name="to")] = None,
    every: int = 1,
    choice: Options = DEFAULT,
    tracking: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: tracking)")] = True,
    smooth: float = 0.5,
    two_pass: bool = False,
    workers: int | None = None,
    shard: str | None = None,
    executor: Executor = "local",
    ray_address: str | None = None,
    vertices: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: stored)")] = True,
    overlays: bool = False,
    glb: bool = False,
    parquet: bool = False,
    timings: bool = False,
    strict: bool = False,
) -> int:
    """Reconstruct both hands in every frame of one or more recordings, or of a connected camera.

    Hands are tracked and their motion is smoothed if frames have time stamps or are numbered. The same command resumes
    an interrupted run and processes frames again whose files have changed. If one of several recordings fails, the
    others are still processed.

    Args:
        recordings: File or folder of a recording; its content determines its kind. Read are folders with rgb/, depth/
            and cam_K.txt, 3D Scanner App, Polycam, BOP, TUM, .npz, .npy and pickled arrays; with the extra ros ROS 1
            and 2 bags, MCAP, RealSense .bag and .db3; with video Azure Kinect and Stray Scanner; with iphone Record3D;
            with lerobot LeRobot data sets; and the cameras realsense and orbbec (extras of these names). See
            docs/recordings.md. For several recordings give several paths, a pattern in quotes ("recordings/*.bag"), or
            a .txt file with one per line. URLs such as s3:// need the extra fsspec.
        out: Folder for the results: parts/ and summary.json, and for up to 2,000 frames hands.npz and hands.json. Each
            of several recordings gets a folder of its own in it.
        first: Number of the first frame to process, counted from 0.
        last: Number of the frame before which to stop; by default all frames are processed.
        every: Process every N-th frame.
        tracking: Process every frame on its own, without tracking.
        smooth: Strength of the smoothing of tracked hands, from 0 (none) to 1.
        two_pass: Also use later frames for smoothing, which removes the lag.
        workers: Number of processes, each with its own networks; the result does not depend on it. The default is 1,
            or one per CPU with ray. Each process takes a part of a single recording, or a whole one of several.
        shard: I/N: process every N-th recording from the I-th on, for the tasks of a Slurm array.
        executor: Where several recordings are processed: on this machine, or on a Ray cluster (needs the extra ray).
        ray_address: Address of the Ray cluster; by default RAY_ADDRESS, otherwise a cluster on this machine.
        vertices: Do not store the vertices of the meshes, which can be recomputed from the parameters.
        overlays: Draw the hands over every frame (overlays/) and on a contact sheet (overlays.jpg).
        glb: Write the meshes of every frame (glb/).
        parquet: Also write the result of each recording as one file, hands.parquet (needs the extra parquet).
        timings: Print the total time of each step.
        strict: End with exit code 1 if there is a warning.
    """
    from twohands.batch import Orders, Selection, Tracking
    from twohands.batch.recordings import find_units, is_one, shard_of
    from twohands.results.parquet import pyarrow

    check_folder(out)
    for name, number, least in (("every", every, 1), ("workers", workers, 1), ("from", first, 0), ("to", last, 1)):
        if number is not None and number < least:
            raise ValueError(f"--{name} must be at least {least}; got {number}")
    if not 0 <= smooth <= 1:
        raise ValueError(f"--smooth must lie between 0 and 1; got {smooth:g}")
    if ray_address is not None and executor != "ray":
        raise ValueError("--ray-address needs --executor ray")
    if parquet:
        pyarrow()  # a missing package is said before the work, not after it
    selection, steady = Selection(first, last, every), Tracking(smooth, two_pass) if tracking else None
    orders = Orders(choice.load, _named(choice), reading, selection, steady, vertices, overlays, glb, parquet)
    if is_one(recordings):
        if shard is not None or executor == "ray":
            raise ValueError(
                "--shard and --executor ray divide several recordings; give several, a pattern or a list (--workers "
                "divides one)"
            )
        twice = {"--overlays": overlays, "--glb": glb, "--workers": (workers or 1) > 1}
        check_live(Path(recordings[0]), reading, out, *(option for option, given in twice.items() if given))
        return _run_one(recordings[0], out, orders, workers or 1, timings, strict)
    if (out / "run.json").exists():
        raise ValueError(f"{out} holds the results of one recording; give another --out")
    choice.load()  # wrong choices are refused before any process begins
    units = find_units(recordings, out)
    if executor == "ray":
        from twohands.batch.ray_cluster import by_ray

        execute = partial(by_ray, workers=workers, address=ray_address)
    else:
        from twohands.batch.executors import by_processes

        execute = partial(by_processes, workers=workers or 1)
    chosen = units if shard is None else shard_of(units, shard)
    return _run_many(chosen, out, shard, partial(execute, orders), timings, strict)


def _run_one(recording: str, out: Path, orders: Orders, workers: int, timings: bool, strict: bool) -> int:
    """Do the work on one recording and return the exit code."""
    from twohands.predictor import Stopwatch
    from twohands.sources.remote import staged

    watch = Stopwatch()
    with staged(recording) as path:
        source = opened(path, orders.reading, recording)
        with watch("load"):
            predictor = orders.load()
        batch = orders.begin(source, recording, path, out, predictor, watch, workers)
        tell(batch.notes)
        told = {note.code for note in batch.notes}
        interrupted = False
        try:
            told |= _work(batch)
        except KeyboardInterrupt:
            interrupted = True
        account = batch.finish(orders.overlays, orders.glb, orders.parquet, not interrupted)
        notes = batch.notes
    if interrupted:
        of = "" if batch.length is None else f" of {batch.length}"
        print(f"interrupted: {account.frames}{of} frames done; the same command resumes from here")
        return INTERRUPTED
    account.raise_if_unusable(recording)
    for name, error in account.failed:
        print(f"twohands: {name}: {error}", file=sys.stderr)
    before = f"; {batch.reused} rows were there before" if batch.reused else ""
    print(f"{account.line()}{before}; wrote {batch.store.written}")
    if timings:
        print(watch.table())
    code = tell([*notes, *batch.findings], strict, told)
    return SOME_FAILED if account.failures else code


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


def _run_many(
    units: Sequence[Unit],
    out: Path,
    shard: str | None,
    execute: Callable[[Sequence[Unit]], Generator[Outcome]],
    timings: bool,
    strict: bool,
) -> int:
    """Do the work on many recordings and return the exit code."""
    from twohands.batch.overview import Overview, path_of

    overview, interrupted = Overview(units), False
    try:
        with closing(execute(units)) as outcomes:
            for outcome in with_progress(outcomes, len(units), "recordings", lambda outcome: not outcome.was_there):
                overview.add(outcome)
    except KeyboardInterrupt:
        interrupted = True
    path = path_of(out, shard)
    overview.write(path)
    if interrupted:
        print(f"interrupted: {overview.line()}; the same command resumes from here")
        return INTERRUPTED
    failed = overview.failed
    if units and len(failed) == len(units):
        raise ValueError(f"no recording could be used; the first: {next(iter(failed.values()))}")
    for name, error in list(failed.items())[:NAMED]:
        print(f"twohands: {name}: {error}", file=sys.stderr)
    if len(failed) > NAMED:
        print(f"twohands: {len(failed) - NAMED} more have failed, see {path}", file=sys.stderr)
    print(f"{overview.line()}; wrote {out}{os.sep}")
    if timings:
        print(overview.watch.table())
    code = tell(overview.findings(), strict)
    return (code if overview.is_whole else SOME_FAILED) if units else FINE


def _named(choice: Choice) -> dict[str, object]:
    """Return the settings of the predictor that change the rows of a run."""
    return {
        "fit": choice.fit,
        "hand_model": choice.hand_model,
        "method": choice.method or (None if choice.network else DEFAULT_METHOD),
        "network": choice.network and _digest(choice.network),
        "person": choice.person,
    }


def _digest(network: Path) -> str:
    """Return the folder name with a digest of its weights, so that a changed network starts another run."""
    from hashlib import sha256

    content = b"".join(path.read_bytes() for path in sorted(network.iterdir()) if path.suffix in WEIGHTS)
    return f"{network} {sha256(content).hexdigest()[:16]}"
