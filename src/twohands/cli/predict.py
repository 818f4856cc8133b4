"""The command `predict`: reconstruct both hands of one frame."""

from __future__ import annotations

from pathlib import Path

from twohands.choices import HandModelName, Method
from twohands.cli.common import FINE, check_results, describe, load_timed, write_frame


def predict(
    rgb: Path,
    depth: Path,
    intrinsics: str,
    out: Path,
    depth_unit: float | None = None,
    method: Method | None = None,
    network: Path | None = None,
    hand_model: HandModelName | None = None,
    fit: bool = True,
    view: bool = False,
    skeleton: bool = False,
    timings: bool = False,
) -> int:
    """Reconstruct both hands of one frame: hands.npz, hands.json, hands.glb and overlay.png.

    Args:
        rgb: Colour image, PNG or JPEG.
        depth: Depth image registered to it: 16-bit PNG, TIFF, .npy or .npz.
        intrinsics: Text file with the 3x3 matrix or fx fy cx cy, JSON of Open3D, RealSense or ROS, or "fx,fy,cx,cy".
        out: Folder for the results. Results of an earlier frame are replaced; other files are never overwritten.
        depth_unit: Metres of one depth step; 0.001 for integers and 1 for floats unless given.
        method: Start of the fit: image landmarks (the default), or a network on colour and depth.
        network: Folder of a network of your own: a checkpoint, for example RUN/final, or exported graphs.
        hand_model: Hand model of the result; by default the free hand, or the network's own. mano needs its files.
        fit: The hand model is fitted to the measured points at the end, unless --no-fit is given.
        view: Write view.html as well: cloud and meshes to turn in a browser.
        skeleton: Draw the joints on the overlay.
        timings: Print the time of each step.
    """
    from twohands.frame_checks import advising_unit
    from twohands.predictor import Stopwatch
    from twohands.sources.folder import open_frame

    check_results(out, (rgb, depth, Path(intrinsics)))
    watch = Stopwatch()
    with watch("decode"):
        frame, unit = open_frame(rgb, depth, intrinsics, depth_unit)
    predictor = load_timed(watch, method, network, hand_model, fit)
    with advising_unit(unit):
        hands = predictor(frame, watch)
    with watch("write"):
        write_frame(out, rgb.stem, frame, hands, predictor, view, skeleton)
    print(f"{rgb.stem}: {describe(hands)}; wrote {out}/")
    if timings:
        print(watch.table())
    return FINE
