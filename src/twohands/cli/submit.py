"""The command that writes what benchmark servers take: `submit`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from twohands.cli.common import FINE, check_folder


def submit(
    name: Positional[Literal["ho3d", "h2o3d", "dexycb", "dexycb_s1", "dexycb_s2", "dexycb_s3"]],
    root: Positional[Path],
    out: Path,
    checkpoint: Path | None = None,
    fit: bool = False,
) -> int:
    """Predict the test frames of a public data set and write the file that its benchmark scores; it is checked.

    Every benchmark scores every frame: a hand that is not found, or whose frame is refused, is the one of the nearest
    frame of its recording. HO-3D scores meshes of MANO, so that it takes a network with --network.hand-model mano;
    H2O-3D takes meshes of MANO, and of other networks the joints alone.

    Args:
        name: The data set.
        root: Folder of your copy.
        out: The file: .zip or .json of HO-3D and H2O-3D, .txt of DexYCB.
        checkpoint: Folder of a trained network; without it image landmarks and the free hand are used.
        fit: Fit the hand model to the measured points at the end; image landmarks do so anyway.
    """
    from dataclasses import replace

    from twohands.cli.measure import load_method, load_trained, tracked
    from twohands.data.dataset import open_dataset
    from twohands.evaluation import Forgiving
    from twohands.submissions import fill_missing, submission_of

    check_folder(out.parent)
    dataset = open_dataset(f"{name}:test={root}")
    predictor = load_method("landmarks", True, None) if checkpoint is None else load_trained(checkpoint, fit)
    submission = submission_of(dataset)
    submission.check_model(predictor.model.name)
    predict = Forgiving(predictor)
    found = [predict(dataset[index]) for index in tracked(range(len(dataset)), "frames")]
    if predictor.model.name != "mano":  # whose vertices mean nothing to a benchmark
        found = [replace(hands, vertices=None) for hands in found]
    predictions, filled = fill_missing(found, submission.recordings, submission.sides)
    submission.write(out, predictions)
    if predict.refused:
        print(f"{predict.refused:,} frames were refused: see the warnings; their hands are filled in")
    print(
        f"wrote {out}: {len(predictions):,} frames, {filled:,} hands filled in from frames beside theirs; it is checked"
    )
    return FINE
