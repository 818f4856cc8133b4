"""The command `predict`: reconstruct both hands of one frame."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from twohands.cli.choice import DEFAULT, Options
from twohands.cli.common import check_results, describe, tell, write_frame
from twohands.cli.reading import FRAME, OfFrame


def predict(
    rgb: Path,
    depth: Path,
    intrinsics: str,
    out: Path,
    reading: OfFrame = FRAME,
    choice: Options = DEFAULT,
    view: bool = False,
    skeleton: bool = False,
    timings: bool = False,
    strict: bool = False,
) -> int:
    """Reconstruct both hands in one frame; write hands.npz, hands.json, hands.glb and overlay.png.

    Args:
        rgb: Colour image, PNG or JPEG.
        depth: Depth image registered to the colour image: 16-bit PNG, TIFF, .npy or .npz.
        intrinsics: Intrinsics of the colour camera: "fx,fy,cx,cy", a text file with the 3x3 matrix, or a file of
            Open3D, RealSense, ROS, OpenCV or Record3D.
        out: Folder for the results. Results of an earlier frame are replaced; other files are never overwritten.
        view: Also write view.html, an interactive 3D view of point cloud and meshes for the browser.
        skeleton: Draw the joints on the overlay.
        timings: Print the time of each step.
        strict: End with exit code 1 if there is a warning.
    """
    from twohands.checks.frame import advising_unit
    from twohands.predictor import Stopwatch
    from twohands.sources.folder import open_frame

    check_results(out, (rgb, depth, Path(intrinsics)))
    watch = Stopwatch()
    with watch("decode"):
        frame = open_frame(rgb, depth, intrinsics, **asdict(reading))
    with watch("load"):
        predictor = choice.load()
    with advising_unit(frame.depth_unit):
        hands = predictor(frame, watch)
    with watch("write"):
        write_frame(out, rgb.stem, frame, hands, predictor, view, skeleton)
    print(f"{rgb.stem}: {describe(hands)}; wrote {out}/")
    if timings:
        print(watch.table())
    return tell(hands.findings, strict)
