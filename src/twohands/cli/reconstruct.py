"""The commands that reconstruct hands: `predict`, `demo`, `run`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from twohands.cli.common import FINE, INTERRUPTED, SOME_FAILED, check_folder

if TYPE_CHECKING:
    from twohands.batch import BatchRun
    from twohands.predictor import Predictor, Stopwatch
    from twohands.types import RGBDFrame, TwoHands

RESULTS = ("hands.npz", "hands.json", "overlay.png", "hands.glb", "view.html")
"""What `predict` and `demo` write."""


def predict(
    rgb: Path,
    depth: Path,
    intrinsics: str,
    out: Path,
    depth_unit: float | None = None,
    method: Literal["landmarks", "pdfnet"] = "landmarks",
    fit: bool = True,
    weights: Path | None = None,
    view: bool = False,
    skeleton: bool = False,
    timings: bool = False,
) -> int:
    """Reconstruct both hands of one frame: hands.npz, hands.json, hands.glb and overlay.png.

    Args:
        rgb: Colour image, PNG or JPEG.
        depth: Depth image registered to it: 16-bit PNG, TIFF, .npy or .npz.
        intrinsics: Text file with the 3x3 matrix or fx fy cx cy, JSON of Open3D, RealSense or ROS, or "fx,fy,cx,cy".
        out: Folder for the results; those of an earlier frame in it are replaced, anything else is not.
        depth_unit: Metres of one depth step; 0.001 for integers and 1 for floats unless given.
        method: Where the fit starts: image landmarks, or our own network on colour and depth.
        fit: The hand model is fitted to the measured points at the end, unless --no-fit is given.
        weights: Folder written by `twohands export`, in place of the shipped network of pdfnet.
        view: Write view.html as well: cloud and meshes to be turned in a browser.
        skeleton: Draw the joints on the overlay.
        timings: Print how long each step took.
    """
    from twohands.predictor import Stopwatch
    from twohands.sources.folder import open_frame

    _check_results(out, (rgb, depth, Path(intrinsics)))
    watch = Stopwatch()
    with watch("decode"):
        frame, unit = open_frame(rgb, depth, intrinsics, depth_unit)
    hands = (predictor := _load(watch, method, fit, weights))(frame, unit, watch)
    with watch("write"):
        _write_frame(out, rgb.stem, frame, hands, predictor, view, skeleton)
    print(f"{rgb.stem}: {_describe(hands)}; wrote {out}/")
    if timings:
        print(watch.table())
    return FINE


def demo(
    out: Path = Path("out/demo"),
    method: Literal["landmarks", "pdfnet"] = "landmarks",
    fit: bool = True,
    weights: Path | None = None,
    timings: bool = False,
) -> int:
    """Reconstruct both hands of the packaged frame: overlay, meshes and a page to turn them in a browser.

    Args:
        out: Folder for the results.
        method: Where the fit starts: image landmarks, or our own network on colour and depth.
        fit: The hand model is fitted to the measured points at the end, unless --no-fit is given.
        weights: Folder written by `twohands export`, in place of the shipped network of pdfnet.
        timings: Print how long each step took.
    """
    from importlib.resources import as_file, files

    from twohands.predictor import Stopwatch
    from twohands.sources.folder import open_frame

    _check_results(out, ())
    folder = files("twohands") / "demo"
    colour = [item for item in folder.iterdir() if item.name.startswith("color.")] if folder.is_dir() else []
    if not colour:
        raise FileNotFoundError("this installation has no demo frame; install twohands again")
    watch = Stopwatch()
    with ExitStack() as stack, watch("decode"):
        names = (colour[0].name, "depth.png", "cam_K.txt")
        rgb, depth, intrinsics = (stack.enter_context(as_file(folder / name)) for name in names)
        frame, unit = open_frame(rgb, depth, intrinsics)
    print(f"read the packaged frame: {frame.camera.width}x{frame.camera.height} colour and depth")
    predictor = _load(watch, method, fit, weights)
    started = perf_counter()
    hands = predictor(frame, unit, watch)
    print(f"found and fitted the hands in {perf_counter() - started:.2f} s: {_describe(hands)}")
    with watch("write"):
        written = _write_frame(out, "demo", frame, hands, predictor, view=True, skeleton=False)
    for path in written:
        print(f"wrote {path}")
    if timings:
        print(watch.table())
    return FINE


def run(
    folder: Positional[Path],
    out: Path,
    depth_unit: float | None = None,
    intrinsics: str | None = None,
    every: int = 1,
    method: Literal["landmarks", "pdfnet"] = "landmarks",
    fit: bool = True,
    weights: Path | None = None,
    overlays: bool = False,
    glb: bool = False,
    timings: bool = False,
) -> int:
    """Reconstruct both hands in every frame of a folder with rgb/, depth/ and cam_K.txt.

    An interrupted run goes on where it stopped when the same command is given again; frames whose files have changed
    are done anew.

    Args:
        folder: Folder with rgb/*, depth/* (paired by file stem) and cam_K.txt.
        out: Folder for the results: hands.npz and hands.json, one row per colour image.
        depth_unit: Metres of one depth step; 0.001 for integers and 1 for floats unless given.
        intrinsics: Intrinsics to use instead of the folder's.
        every: Take every N-th frame.
        method: Where the fit starts: image landmarks, or our own network on colour and depth.
        fit: The hand model is fitted to the measured points at the end, unless --no-fit is given.
        weights: Folder written by `twohands export`, in place of the shipped network of pdfnet.
        overlays: Draw the hands over every frame (overlays/) and a contact sheet (overlays.jpg).
        glb: Write the meshes of every frame (glb/).
        timings: Print how long each step took, over all frames.
    """
    from twohands.batch import BatchRun, summary
    from twohands.predictor import Stopwatch
    from twohands.sources.folder import FolderRecording

    check_folder(out)
    if every < 1:
        raise ValueError(f"--every must be at least 1; got {every}")
    recording = FolderRecording(folder, depth_unit, intrinsics)
    watch = Stopwatch()
    settings = {"every": every, "method": method, "fit": fit, "weights": None if weights is None else _digest(weights)}
    batch = BatchRun(recording, recording.ids[::every], _load(watch, method, fit, weights), out, settings, watch)
    interrupted = False
    try:
        _with_progress(batch, overlays, glb)
    except KeyboardInterrupt:
        interrupted = True
    rows = batch.finish(overlays)
    if interrupted:
        print(f"interrupted: {len(rows)} of {len(batch.frame_ids)} frames done; the same command goes on from here")
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
    return SOME_FAILED if failed else FINE


def _digest(weights: Path) -> str:
    """The folder with what its graphs hold: another network in the same place is another run."""
    from hashlib import sha256

    content = b"".join(path.read_bytes() for path in sorted(weights.glob("*.onnx")))
    return f"{weights} {sha256(content).hexdigest()[:16]}"


def _load(watch: Stopwatch, method: str, fit: bool, weights: Path | None) -> Predictor:
    """The predictor; loading the networks is timed on its own."""
    with watch("load"):
        from twohands.predictor import load

        return load(method, fit, weights)


def _check_results(out: Path, inputs: Sequence[Path]) -> None:
    """Raises ValueError when results of one frame cannot go to a folder, or would replace anything but such results."""
    from twohands.rows import holds_one_frame

    check_folder(out)
    if (out / "run.json").exists():
        raise ValueError(f"{out} holds the results of `twohands run`; give another --out")
    taken = [out / name for name in RESULTS if (out / name).exists()]
    for path in taken:
        if path.resolve() in [given.resolve() for given in inputs]:
            raise ValueError(f"{path} would be overwritten, but it is to be read; give another --out")
    if taken and not holds_one_frame(out / "hands.npz"):
        raise ValueError(f"{taken[0]} would be overwritten and is none of our results; give another --out or remove it")


def _write_frame(
    out: Path,
    stem: str,
    frame: RGBDFrame,
    hands: TwoHands,
    predictor: Predictor,
    view: bool,
    skeleton: bool,
) -> list[Path]:
    """Writes everything about one frame, and removes what an earlier run left of files that are not written now."""
    import numpy as np
    from PIL import Image

    from twohands.export import write_glb, write_view
    from twohands.files import write_atomically
    from twohands.overlay import draw_report
    from twohands.rows import make_row, write_json, write_npz

    faces = np.asarray(predictor.model.faces)
    picture = Image.fromarray(draw_report(frame, hands, faces, skeleton))
    rows = [make_row(stem, hands, frame.camera.K)]
    npz, text, overlay, glb, page = (out / name for name in RESULTS)
    write_npz(npz, rows, faces)  # the first, for by it the others are known as ours
    write_json(text, rows)
    with write_atomically(overlay) as temporary:
        picture.save(temporary, compress_level=3)
    written = [npz, text, overlay]
    if write_glb(glb, hands, faces):
        written.append(glb)
    if view:
        write_view(page, frame, hands, faces)
        written.append(page)
    for path in {glb, page} - set(written):
        path.unlink(missing_ok=True)
    return written


def _with_progress(batch: BatchRun, overlays: bool, glb: bool) -> None:
    """Works through the frames of a run with a bar, the rate and the time left on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("frames"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("frames", total=len(batch.frame_ids), rate="")
        for _ in batch.work(overlays, glb):
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:.1f} frames/s" if speed else "")


def _describe(hands: TwoHands) -> str:
    """One line: found left / right, residual and support."""
    parts = []
    for side, name in enumerate(("left", "right")):
        if not hands.is_present[side] or hands.quality is None:
            parts.append(f"{name} not found")
            continue
        residual, support = float(hands.quality.depth_residual[side]), float(hands.quality.depth_support[side])
        fitted = "" if hands.quality.fitted[side] else ", landmarks only"
        parts.append(f"{name} found (depth residual {residual * 1e3:.1f} mm, support {support:.0%}{fitted})")
    return ", ".join(parts)
