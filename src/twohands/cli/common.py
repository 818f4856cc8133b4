"""Exit codes and functions that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twohands.findings import Finding
    from twohands.predictor import Predictor
    from twohands.types import RGBDFrame, TwoHands

FINE, FINDINGS, BAD, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 130
RESULTS = ("hands.npz", "hands.json", "overlay.png", "hands.glb", "view.html")
"""Files of `predict` and `demo`."""


def check_folder(out: Path) -> None:
    """Raise ValueError when results cannot go to a folder, which need not exist and is not created."""
    there = next(path for path in (out, *out.parents) if os.path.exists(path))
    if not there.is_dir():
        raise ValueError(f"--out {out} is not possible: {there} is a file; give a folder")
    try:
        TemporaryDirectory(prefix=".twohands-", dir=there).cleanup()
    except OSError as error:
        raise ValueError(f"--out {out} is not possible ({there}: {error.strerror}); give another folder") from None


def check_results(out: Path, inputs: Sequence[Path]) -> None:
    """Raise ValueError when results of one frame cannot go to a folder, or would replace anything but such results."""
    from twohands.results import holds_one_frame

    check_folder(out)
    if (out / "run.json").exists():
        raise ValueError(f"{out} holds the results of `twohands run`; give another --out")
    taken = [out / name for name in RESULTS if (out / name).exists()]
    for path in taken:
        if path.resolve() in [given.resolve() for given in inputs]:
            raise ValueError(f"{path} is an input and would be overwritten; give another --out")
    if taken and not holds_one_frame(out / "hands.npz"):
        raise ValueError(
            f"{taken[0]} would be overwritten and is not a result of twohands; give another --out or remove it"
        )


def write_frame(
    out: Path,
    stem: str,
    frame: RGBDFrame,
    hands: TwoHands,
    predictor: Predictor,
    view: bool,
    skeleton: bool,
) -> list[Path]:
    """Write everything about one frame; remove files of an earlier frame that are not written now."""
    import numpy as np
    from PIL import Image

    from twohands.export import write_glb, write_view
    from twohands.files import write_atomically
    from twohands.overlay import draw_report
    from twohands.results import make_row, write_json, write_npz
    from twohands.views import LONGEST, view_within

    faces, hand_model = np.asarray(predictor.model.faces), predictor.model.name
    rows = [make_row(stem, hands, frame.camera.K)]
    frame = view_within(frame, LONGEST)  # once for both pictures
    picture = Image.fromarray(draw_report(frame, hands, faces, skeleton))
    npz, text, overlay, glb, page = (out / name for name in RESULTS)
    write_npz(npz, rows, faces, hand_model)  # first, since it marks the other files as results of this package
    write_json(text, rows, hand_model)
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


def tell(findings: Iterable[Finding], strict: bool = False, told: Collection[str] = ()) -> int:
    """Print findings on stderr and return the exit code: FINDINGS for a warning if `strict`, otherwise FINE.

    Findings whose codes were `told` before are not printed again.
    """
    warned = False
    for finding in findings:
        if finding.code not in told:
            print(f"twohands: {finding.severity}: {finding}", file=sys.stderr)
        warned |= finding.severity == "warning"
    return FINDINGS if warned and strict else FINE


def describe(hands: TwoHands) -> str:
    """Return one line: hands found, depth residual and support."""
    parts = []
    for side, name in enumerate(("left", "right")):
        if not hands.is_present[side] or hands.quality is None:
            parts.append(f"{name} not found")
            continue
        residual, support = float(hands.quality.depth_residual[side]), float(hands.quality.depth_support[side])
        doubt = ", doubtful" if hands.doubtful[side] else ""
        fitted = "" if hands.quality.fitted[side] else ", landmarks only"
        parts.append(f"{name} found (depth residual {residual * 1e3:.1f} mm, support {support:.0%}{fitted}{doubt})")
    return ", ".join(parts)
