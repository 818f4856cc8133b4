"""The command `submit`: write the file that a benchmark server scores."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from twohands.choices import SubmissionName
from twohands.cli.choice import DEFAULT, Options
from twohands.cli.common import FINE, check_folder


def submit(
    name: Positional[SubmissionName],
    root: Positional[Path],
    out: Path,
    choice: Options = DEFAULT,
) -> int:
    """Predict the test frames of a public data set; write and validate the submission file of its benchmark.

    The benchmarks score every frame, so a hand that is not found is copied from the nearest frame of its recording.
    HO-3D requires MANO meshes: give --hand-model mano, or a network with that hand model. H2O-3D accepts MANO meshes;
    for the free hand only the joints are written.

    Args:
        name: The data set.
        root: Folder of your copy.
        out: The file to write: .zip or .json for HO-3D and H2O-3D, .txt for DexYCB.
    """
    from dataclasses import replace

    from twohands.data.dataset import open_dataset
    from twohands.evaluation.evaluate import tracked
    from twohands.evaluation.scoring import Forgiving
    from twohands.evaluation.submissions import fill_missing, submission_of
    from twohands.types import no_hands

    check_folder(out.parent)
    dataset = open_dataset(f"{name}:test={root}")
    predictor = choice.load(trusted=True)
    submission = submission_of(dataset)
    submission.check_model(predictor.model.name)
    predict = Forgiving(predictor)
    found = [predict(dataset[index]) or no_hands() for index in tracked(range(len(dataset)), "frames")]
    if predictor.model.name != "mano":  # benchmarks cannot score vertices of the free hand
        found = [replace(hands, vertices=None) for hands in found]
    predictions, filled = fill_missing(found, submission.recordings, submission.sides)
    submission.write(out, predictions)
    if predict.refused:
        print(f"{predict.refused:,} frames were refused: see the warnings; their hands are filled in")
    print(f"wrote {out}: {len(predictions):,} frames, {filled:,} hands filled in from nearby frames; the file is valid")
    return FINE
