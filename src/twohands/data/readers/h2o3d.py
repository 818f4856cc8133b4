"""H2O-3D v1 (Hampali et al. 2022): both hands with an object, in the layout of HO-3D.

Both hands share one shape. Public programs contradict each other on how the left one is meant, so the reader compares
them with the joints in the files. See `ho3d` for what samples of the split `test` hold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from twohands.data.readers.common import DamagedFileError, mano_hand_of, nearest_of
from twohands.data.readers.ho3d import CONVENTION, Frames, HandKeys, Labels, flipped
from twohands.hands.mano import Convention, PlacedHand, Values
from twohands.types import LEFT

LEFT_SHAPES: dict[str, tuple[Convention, float]] = {
    "flip_x": (CONVENTION, 1.0),
    "raw": (replace(CONVENTION, left_shape="raw"), 1.0),
    "negated": (replace(CONVENTION, left_shape="raw"), -1.0),
}
"""Name -> convention and sign of the shape, of what left hands may be meant to be [U]: Keypoint Transformer repairs the
x axis of MANO's basis, the data set's own tool negates all three axes, others take it as it is in MANO's file."""
SHAPE_FRAMES = 10
"""Frames, spread over the split, that decide between LEFT_SHAPES."""
_log = logging.getLogger(__name__)


class H2O3D(Frames):
    """The frames of one split of a user's copy. A hand whose flags are not all set counts as not annotated.

    Validation is every seventh recording of train in alphabetical order, from all its cameras, which the digits at the
    end of a sequence's name tell apart [U].
    """

    name = "H2O-3D"
    unpacked = ("H2O3D_v1", "h2o3d_v1", "H2O3D")
    keys = (
        HandKeys(
            joints="leftHandJoints3D",
            pose="leftHandPose",
            translation="leftHandTrans",
            flags=("jointValidLeft", "poseValidLeft"),
        ),
        HandKeys(
            joints="rightHandJoints3D",
            pose="rightHandPose",
            translation="rightHandTrans",
            flags=("jointValidRight", "poseValidRight"),
        ),
    )

    def held_out(self, recordings: Sequence[str]) -> Sequence[str]:
        """Every seventh."""
        return recordings[::7]

    def mesh_of(self, side: int, values: Values) -> PlacedHand | None:
        """The hand of a file's values in OpenCV's camera frame; None without MANO's files."""
        return _left_mesh(values, self.left_shape) if side == LEFT else super().mesh_of(side, values)

    @cached_property
    def left_shape(self) -> str:
        """That one of LEFT_SHAPES which puts MANO's joints nearest to the files' `leftHandJoints3D`; it is logged.

        "flip_x" where nothing can be measured: without MANO's files, and in the split `test`.
        """
        distances: dict[str, list[float]] = {name: [] for name in LEFT_SHAPES}
        for labels in self._some_left_hands():
            for name in LEFT_SHAPES:
                mesh = _left_mesh(labels.values, name)
                if mesh is None:
                    return "flip_x"
                distances[name].append(float(np.linalg.norm(mesh.joints - labels.joints, axis=1).mean()))
        if not distances["flip_x"]:
            return "flip_x"
        nearest, said = nearest_of(distances)
        _log.info("%s: left hands are %r; distance of MANO's joints from the files': %s", self.name, nearest, said)
        return nearest

    def _some_left_hands(self) -> Iterator[Labels]:
        for frame in self.frames[:: max(len(self.frames) // SHAPE_FRAMES, 1)]:
            try:
                labels = self.annotation(*frame).labels[LEFT]
            except DamagedFileError:  # reported when its own turn comes
                continue
            if labels is not None:
                yield labels


def _left_mesh(values: Values, left_shape: str) -> PlacedHand | None:
    convention, sign = LEFT_SHAPES[left_shape]
    hand = mano_hand_of(LEFT, replace(values, shape=sign * values.shape), convention)
    return None if hand is None else flipped(hand)
