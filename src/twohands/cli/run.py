"""The command `run`: reconstruct both hands in every frame of a recording."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from twohands.cli.choice import DEFAULT, Options
from twohands.cli.common import INTERRUPTED, SOME_FAILED, check_folder, tell

if TYPE_CHECKING:
    from twohands.batch import BatchRun

WEIGHTS = (".onnx", ".safetensors")
"""Suffixes of files with the weights of a network."""


def run(
    folder: Positional[Path],
    out: Path,
    depth_unit: float | None = None,
    depth_registered: bool = False,
    mirrored: bool = False,
    intrinsics: str | None = None,
    every: int = 1,
    choice: Options = DEFAULT,
    overlays: bool = False,
    glb: bool = False,
    timings: bool = False,
    strict: bool = False,
) -> int:
    """Reconstruct both hands in every frame of a folder with rgb/, depth/ and cam_K.txt.

    The same command resumes an interrupted run; frames whose files have changed are processed again.

    Args:
        folder: Folder with rgb/*, depth/* (paired by name or time stamp) and cam_K.txt; see README for other names.
        out: Folder for the results: hands.npz and hands.json, one row per colour image.
        depth_unit: Metres of one depth step; default 1 for floats, for integers depth_scale of the intrinsics or 0.001.
        depth_registered: Depth of another size shows the view of colour (phones with LiDAR): scale it to colour's size.
        mirrored: Colour, depth and intrinsics are of a mirrored image: undo it. A frame that is mirrored as a whole
            cannot be told from one of the other hands, so nothing warns of it.
        intrinsics: Intrinsics to use instead of the folder's.
        every: Take every N-th frame.
        overlays: Draw the hands over every frame (overlays/) and a contact sheet (overlays.jpg).
        glb: Write the meshes of every frame (glb/).
        timings: Print the time of each step, over all frames.
        strict: End with exit code 1 if there is a warning.
    """
    from twohands.batch import BatchRun, summary, usual_findings
    from twohands.predictor import Stopwatch
    from twohands.sources.folder import FolderRecording

    check_folder(out)
    if every < 1:
        raise ValueError(f"--every must be at least 1; got {every}")
    recording = FolderRecording(folder, depth_unit, intrinsics, depth_registered, mirrored)
    watch = Stopwatch()
    with watch("load"):
        predictor = choice.load()
    settings: dict[str, object] = {"every": every, "fit": choice.fit, "hand_model": predictor.model.name}
    settings |= {"method": choice.method or ("pdfnet" if choice.network else "landmarks")}
    settings |= {"network": choice.network and _digest(choice.network)}
    settings |= {"depth_registered": depth_registered, "mirrored": mirrored}
    settings |= {"lens": recording.intrinsics.lens and asdict(recording.intrinsics.lens)}
    batch = BatchRun(recording, recording.ids[::every], predictor, out, settings, watch)
    interrupted = False
    try:
        _with_progress(batch, overlays, glb)
    except KeyboardInterrupt:
        interrupted = True
    rows = batch.finish(overlays)
    if interrupted:
        print(f"interrupted: {len(rows)} of {len(batch.frame_ids)} frames done; the same command resumes from here")
        return INTERRUPTED
    failed = [row for row in rows if str(row["error"])]
    if len(failed) == len(rows):
        raise ValueError(f"no frame of {folder} could be used; the first: {failed[0]['error']}")
    for row in failed[:10]:
        print(f"twohands: {row['frame_id']}: {row['error']}", file=sys.stderr)
    before = f"; {batch.reused} rows were there already" if batch.reused else ""
    print(f"{summary(rows)}{before}; wrote {batch.store.final}")
    if timings:
        print(watch.table())
    told = tell(usual_findings(rows), strict)
    return SOME_FAILED if failed else told


def _digest(network: Path) -> str:
    """Return the folder name with a digest of its weights, so that a changed network starts another run."""
    from hashlib import sha256

    content = b"".join(path.read_bytes() for path in sorted(network.iterdir()) if path.suffix in WEIGHTS)
    return f"{network} {sha256(content).hexdigest()[:16]}"


def _with_progress(batch: BatchRun, overlays: bool, glb: bool) -> None:
    """Process the frames of a run with a bar, the rate and the time left on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("frames", total=len(batch.frame_ids), rate="")
        for _ in batch.work(overlays, glb):
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:.1f} frames/s" if speed else "")
