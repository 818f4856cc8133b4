"""The command `demo`: reconstruct both hands of the packaged frame."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

from twohands.cli.choice import DEFAULT, Options
from twohands.cli.common import check_results, describe, tell, write_frame


def demo(
    out: Path = Path("out/demo"),
    choice: Options = DEFAULT,
    timings: bool = False,
    strict: bool = False,
) -> int:
    """Reconstruct both hands in the packaged frame; write meshes, an overlay and a 3D view for the browser.

    Args:
        out: Folder for the results.
        timings: Print the time of each step.
        strict: End with exit code 1 if there is a warning.
    """
    from importlib.resources import as_file, files

    from twohands.predictor import Stopwatch
    from twohands.sources.folder import open_frame

    check_results(out, ())
    folder = files("twohands") / "demo"
    colour = [item for item in folder.iterdir() if item.name.startswith("color.")] if folder.is_dir() else []
    if not colour:
        raise FileNotFoundError("this installation has no demo frame; install twohands again")
    watch = Stopwatch()
    with ExitStack() as stack, watch("decode"):
        names = (colour[0].name, "depth.png", "cam_K.txt")
        rgb, depth, intrinsics = (stack.enter_context(as_file(folder / name)) for name in names)
        frame = open_frame(rgb, depth, intrinsics)
    print(f"read the packaged frame: {frame.camera.width}x{frame.camera.height} colour and depth")
    with watch("load"):
        predictor = choice.load()
    started = perf_counter()
    hands = predictor(frame, watch)
    print(f"found and fitted the hands in {perf_counter() - started:.2f} s: {describe(hands)}")
    with watch("write"):
        written = write_frame(out, "demo", frame, hands, predictor, view=True, skeleton=False)
    for path in written:
        print(f"wrote {path}")
    if timings:
        print(watch.table())
    return tell(hands.findings, strict)
