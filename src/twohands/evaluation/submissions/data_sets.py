"""Submissions for the test frames of a reader: names, recordings, scored hands and the writer of the file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from twohands.data.readers.dexycb import DexYCB
from twohands.data.readers.h2o3d import H2O3D
from twohands.data.readers.ho3d import HO3D
from twohands.evaluation.submissions.validate import validate
from twohands.evaluation.submissions.writers import write_dexycb, write_h2o3d, write_ho3d
from twohands.hands.mano import with_tips
from twohands.types import LEFT, RIGHT, SIDE_NAMES, Dataset, TwoHands


@dataclass(frozen=True)
class Submission:
    """The requirements of a benchmark for the frames of a data set, in order."""

    kind: str  # one of validate.KINDS
    names: Sequence[Any]
    recordings: Sequence[str]
    sides: Sequence[tuple[int, ...]]  # scored hands of each frame
    writer: Callable[[Path, Sequence[TwoHands]], None]
    hand_model: str | None = None  # required for scored vertices
    wrists: np.ndarray | None = None  # (N, 3) metres, OpenCV camera

    def check_model(self, hand_model: str) -> None:
        """Raise ValueError when predictions of this hand model cannot be scored."""
        if self.hand_model not in (None, hand_model):
            raise ValueError(
                f"{self.kind} scores vertices of the hand model {self.hand_model!r}, the predictions have those of "
                f"{hand_model!r}; add --hand-model {self.hand_model}"
            )

    def write(self, path: Path, predictions: Sequence[TwoHands]) -> None:
        """Write the file and check it; any predicted meshes must be MANO's.

        Raise ValueError when the file would be refused.
        """
        self.writer(path, predictions)
        validate(path, self.kind, self.names, self.wrists)


def submission_of(dataset: Dataset) -> Submission:
    """Return the submission for a reader's test frames. Raise ValueError for data sets without one here."""
    if isinstance(dataset, DexYCB):
        names, sides = range(len(dataset)), [dataset.side(index) for index in range(len(dataset))]
        return Submission(
            "dexycb", names, [dataset.recording(index) for index in names], [(side,) for side in sides],
            lambda path, predictions: write_dexycb(path, names, [with_tips(p, "mano") for p in predictions], sides),
        )  # fmt: skip
    if not isinstance(dataset, HO3D | H2O3D):
        raise ValueError(f"there is no submission for {type(dataset).__name__}; choose HO-3D, H2O-3D or DexYCB")
    named = [f"{sequence}/{number}" for sequence, number in dataset.frames]
    recordings = [sequence for sequence, _ in dataset.frames]
    if isinstance(dataset, H2O3D):
        return Submission(
            "h2o3d", named, recordings, [(LEFT, RIGHT)] * len(named),
            lambda path, predictions: write_h2o3d(path, named, predictions),
        )  # fmt: skip
    return Submission(
        "ho3d", named, recordings, [(RIGHT,)] * len(named),
        lambda path, predictions: write_ho3d(path, named, predictions),
        hand_model="mano",
        wrists=np.stack([dataset.root(index)[RIGHT] for index in range(len(dataset))]),
    )  # fmt: skip


def fill_missing(
    predictions: Sequence[TwoHands], recordings: Sequence[str], sides: Sequence[tuple[int, ...]]
) -> tuple[list[TwoHands], int]:
    """Return the predictions with every scored hand, and the number of hands filled in.

    Missing hands are copied from the nearest frame of the recording. Raise ValueError for a recording without any.
    """
    found: dict[tuple[str, int], list[int]] = {}
    for index, (hands, recording) in enumerate(zip(predictions, recordings, strict=True)):
        for side in hands.present_sides:
            found.setdefault((recording, side), []).append(index)
    filled, count = list(predictions), 0
    for index, recording in enumerate(recordings):
        for side in sides[index]:
            if side in predictions[index].present_sides:
                continue
            others = np.array(found.get((recording, side), []))
            if not len(others):
                raise ValueError(
                    f"the {SIDE_NAMES[side]} hand is found in no frame of {recording}, but all are scored; look at "
                    "the frames with `twohands predict`, or take another network"
                )
            nearest = predictions[others[np.abs(others - index).argmin()]]
            filled[index] = _with_side(filled[index], nearest, side)
            count += 1
    return filled, count


def _with_side(hands: TwoHands, other: TwoHands, side: int) -> TwoHands:
    """Return the hands with one side from another frame, without parameters and quality."""
    if not hands.present_sides:  # a refused frame has no meshes to put it into
        hands = replace(other, present=np.zeros_like(other.present))

    def taken(one: Any, two: Any) -> Any:
        result = np.array(one)
        result[side] = two[side]
        return result

    vertices = None if hands.vertices is None or other.vertices is None else taken(hands.vertices, other.vertices)
    joints, present = taken(hands.joints, other.joints), taken(hands.present, other.present)
    return replace(hands, vertices=vertices, joints=joints, present=present, parameters=None, quality=None)
