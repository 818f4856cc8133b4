"""The command line: `twohands demo | predict | run | info | synth`.

Heavy imports stand inside the commands, so that `--help` and `--version` answer at once. Exit codes: 0 all fine, 2 bad
arguments or nothing usable, 3 some frames failed, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from twohands import __version__

if TYPE_CHECKING:
    from twohands.batch import BatchRun
    from twohands.hands import HandModel
    from twohands.predictor import Stopwatch, TwoHandPredictor
    from twohands.types import RGBDFrame, TwoHands

FINE, BAD, SOME_FAILED, INTERRUPTED = 0, 2, 3, 130
EXTRA_OF = {"numba": "synth", "torch": "train"}
"""The extra that installs an optional dependency."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        print(f"twohands {__version__}")
        return FINE
    try:
        return _command(arguments)
    except KeyboardInterrupt:
        print("twohands: interrupted", file=sys.stderr)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if error.name not in EXTRA_OF:
            raise
        return _complain(f"this command needs {error.name}; run pip install 'twohands[{EXTRA_OF[error.name]}]'")
    except BrokenPipeError:  # the reader of our output, for example `head`, has seen enough
        sys.stdout = None
        return FINE
    except (ValueError, OSError) as error:
        return _complain(str(error))


def _complain(message: str) -> int:
    print(f"twohands: error: {message}", file=sys.stderr)
    return BAD


def _command(arguments: list[str]) -> int:
    import tyro

    app = tyro.extras.SubcommandApp()
    for command in (demo, predict, run, info, synth):
        app.command(command)
    try:
        return app.cli(
            prog="twohands",
            description="Both hands as metric meshes from RGB-D frames.",
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except SystemExit as leaving:  # tyro has printed its help or its complaint
        return leaving.code if isinstance(leaving.code, int) else FINE


def predict(
    rgb: Path,
    depth: Path,
    intrinsics: str,
    out: Path,
    depth_unit: float | None = None,
    view: bool = False,
    skeleton: bool = False,
    timings: bool = False,
) -> int:
    """Reconstruct both hands of one frame: hands.npz, hands.json, hands.glb and overlay.png.

    Args:
        rgb: Colour image, PNG or JPEG.
        depth: Depth image registered to it: 16-bit PNG, TIFF, or .npy.
        intrinsics: Text file with the 3x3 matrix or fx fy cx cy, Open3D's JSON, or "fx,fy,cx,cy".
        out: Folder for the results.
        depth_unit: Metres of one depth step; 0.001 for integers and 1 for floats unless given.
        view: Write view.html as well: cloud and meshes to be turned in a browser.
        skeleton: Draw the joints on the overlay.
        timings: Print how long each step took.
    """
    from twohands.predictor import Stopwatch
    from twohands.sources.folder import open_frame

    _check_folder(out)
    watch = Stopwatch()
    with watch("decode"):
        frame, unit = open_frame(rgb, depth, intrinsics, depth_unit)
    hands = (predictor := _load(watch))(frame, unit, watch)
    with watch("write"):
        _write_frame(out, rgb.stem, frame, hands, predictor, view, skeleton)
    print(f"{rgb.stem}: {_describe(hands)}; wrote {out}/")
    if timings:
        print(watch.table())
    return FINE


def demo(out: Path = Path("out/demo"), timings: bool = False) -> int:
    """Reconstruct both hands of the packaged frame: overlay, meshes and a page to turn them in a browser.

    Args:
        out: Folder for the results.
        timings: Print how long each step took.
    """
    from importlib.resources import as_file, files

    from twohands.predictor import Stopwatch
    from twohands.sources.folder import open_frame

    _check_folder(out)
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
    predictor = _load(watch)
    hands = predictor(frame, unit, watch)
    print(f"found and fitted the hands in {watch.wall['locate'] + watch.wall['fit']:.2f} s: {_describe(hands)}")
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
    overlays: bool = False,
    glb: bool = False,
    timings: bool = False,
) -> int:
    """Reconstruct both hands in every frame of a folder with rgb/, depth/ and cam_K.txt.

    An interrupted run goes on where it stopped when the same command is given again.

    Args:
        folder: Folder with rgb/*, depth/* (paired by file stem) and cam_K.txt.
        out: Folder for the results: hands.npz and hands.json, one row per colour image.
        depth_unit: Metres of one depth step; 0.001 for integers and 1 for floats unless given.
        intrinsics: Intrinsics to use instead of the folder's.
        every: Take every N-th frame.
        overlays: Draw the hands over every frame (overlays/) and a contact sheet (overlays.jpg).
        glb: Write the meshes of every frame (glb/).
        timings: Print how long each step took, over all frames.
    """
    from twohands.batch import BatchRun, summary
    from twohands.predictor import Stopwatch
    from twohands.sources.folder import FolderRecording

    _check_folder(out)
    if every < 1:
        raise ValueError(f"--every must be at least 1; got {every}")
    recording = FolderRecording(folder, depth_unit, intrinsics)
    watch = Stopwatch()
    batch = BatchRun(recording, recording.ids[::every], _load(watch), out, {"every": every}, watch)
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
    print(f"{summary(rows)}; wrote {batch.store.final}")
    if timings:
        print(watch.table())
    return SOME_FAILED if failed else FINE


def info(topic: Positional[Literal["hand"]], out: Path = Path("out/info")) -> int:
    """Print what the hand model is, and write a picture sheet of its poses and shapes.

    Args:
        topic: What to tell about.
        out: Folder for the picture.
    """
    from PIL import Image

    from twohands.files import write_atomically
    from twohands.hands import free_hand
    from twohands.hands.free import MESH_LEVELS, free_hand_arrays, pose_prior
    from twohands.overlay import picture_sheet

    _check_folder(out)
    model, arrays, prior = free_hand(), free_hand_arrays(), pose_prior()
    length, breadth = _hand_size(model)
    print(f"the {model.name} hand: {len(model.rest_vertices)} vertices, {len(model.right_faces)} faces, 21 joints")
    print(
        f"  size      {length * 1e3:.0f} mm from wrist to middle finger tip, {breadth * 1e3:.0f} mm over the knuckles"
    )
    print(f"  levels    {', '.join(map(str, MESH_LEVELS))} vertices")
    print(
        f"  pose      15 joints, anatomical limits, {len(prior.names)} named poses, {len(prior.components)} components"
    )
    print(f"  shape     {model.num_shape} components, in standard deviations")
    print(f"  source    {arrays['source']}")
    print(f"  licence   {arrays['license']}")
    with write_atomically(out / f"{topic}.png") as temporary:
        Image.fromarray(picture_sheet(model)).save(temporary)
    print(f"wrote {out / f'{topic}.png'}")
    return FINE


def synth(
    out: Path,
    count: int = 100,
    seed: int = 0,
    workers: int = 1,
    split: str = "train",
    preview: bool = False,
) -> int:
    """Render synthetic frames of two hands with their truth into shards; an interrupted run can be continued.

    Args:
        out: Folder for the shards.
        count: Number of frames.
        seed: Seed of the frames; a frame is a function of split, seed and index alone.
        workers: Processes that render.
        split: train, validation or test: disjoint hand shapes.
        preview: Write a contact sheet of the first frames as well.
    """
    from twohands.synth.engine import SyntheticHands
    from twohands.synth.preview import mix_report, write_preview
    from twohands.synth.shards import SyntheticShards, write_shards

    _check_folder(out)
    dataset = SyntheticHands(seed, split, count=count)
    write_shards(dataset, count, out, workers)
    print(mix_report(dataset, min(count, 500)))
    print(f"wrote {count} frames to {out}/")
    if preview:
        print(f"wrote {write_preview(SyntheticShards(out), out / 'preview.png', min(count, 12))}")
    return FINE


def _load(watch: Stopwatch) -> TwoHandPredictor:
    """The predictor; loading the networks is timed on its own."""
    with watch("load"):
        from twohands.predictor import TwoHandPredictor

        return TwoHandPredictor()


def _check_folder(out: Path) -> None:
    """Raises ValueError when results cannot go to a folder."""
    for path in (out, *out.parents):
        if path.exists() and not path.is_dir():
            raise ValueError(f"--out {out} is not possible: {path} is a file; give a folder")


def _write_frame(
    out: Path, stem: str, frame: RGBDFrame, hands: TwoHands, predictor: TwoHandPredictor, view: bool, skeleton: bool
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
    names = ("overlay.png", "hands.glb", "hands.npz", "hands.json", "view.html")
    overlay, glb, npz, text, page = (out / name for name in names)
    with write_atomically(overlay) as temporary:
        picture.save(temporary, compress_level=3)
    written = [overlay]
    if write_glb(glb, hands, faces):
        written.append(glb)
    write_npz(npz, rows, faces)
    write_json(text, rows)
    written += [npz, text]
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
        if hands.present[side] < 0.5 or hands.quality is None:
            parts.append(f"{name} not found")
            continue
        residual, support = float(hands.quality.depth_residual[side]), float(hands.quality.depth_support[side])
        fitted = "" if hands.quality.fitted[side] else ", landmarks only"
        parts.append(f"{name} found (depth residual {residual * 1e3:.1f} mm, support {support:.0%}{fitted})")
    return ", ".join(parts)


def _hand_size(model: HandModel) -> tuple[float, float]:
    """Metres from wrist along the middle finger to its tip, and over the knuckles, of the mean right hand."""
    from math import dist

    joints = model(model.neutral()).joints[1].tolist()
    return sum(dist(joints[a], joints[a + 1]) for a in (9, 10, 11)) + dist(*joints[:10:9]), dist(*joints[5:18:12])


if __name__ == "__main__":
    sys.exit(main())
