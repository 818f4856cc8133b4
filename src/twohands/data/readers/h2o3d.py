"""H2O-3D v1 (Hampali et al. 2022): both hands with an object, in the layout of HO-3D.

Both hands share one shape. Public programs contradict each other on the left hand's shape basis, so the reader compares
their choices with the joints in the files. `ho3d` describes the samples of the split `test`.
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
"""Possible meanings of left hands [U], by name: convention and sign of the shape. Keypoint Transformer repairs the x
axis of MANO's basis, the data set's own tool negates all three axes, others use the basis of MANO's file."""
SHAPE_FRAMES = 10
"""Number of frames, spread over the split, that decide between LEFT_SHAPES."""
_log = logging.getLogger(__name__)


class H2O3D(Frames):
    """The frames of one split of a user's copy. A hand whose flags are not all set counts as not annotated.

    Validation is every seventh recording of train in alphabetical order, with all its cameras, which are numbered at
    the end of a sequence's name [U].
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
        """Return every seventh recording."""
        return recordings[::7]

    def mesh_of(self, side: int, values: Values) -> PlacedHand | None:
        """Return the hand of a file's values in OpenCV's camera frame; None without MANO's files."""
        return _left_mesh(values, self.left_shape) if side == LEFT else super().mesh_of(side, values)

    @cached_property
    def left_shape(self) -> str:
        """The key of LEFT_SHAPES that puts MANO's joints nearest to the files' `leftHandJoints3D`; it is logged.

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
        nearest, means = nearest_of(distances)
        _log.info("%s: left hands are %r; distance of MANO's joints from the files': %s", self.name, nearest, means)
        return nearest

    def _some_left_hands(self) -> Iterator[Labels]:
        for frame in self.frames[:: max(len(self.frames) // SHAPE_FRAMES, 1)]:
            try:
                labels = self.annotation(*frame).labels[LEFT]
            except DamagedFileError:  # reported when the frame itself is read
                continue
            if labels is not None:
                yield labels


def _left_mesh(values: Values, left_shape: str) -> PlacedHand | None:
    convention, sign = LEFT_SHAPES[left_shape]
    hand = mano_hand_of(LEFT, replace(values, shape=sign * values.shape), convention)
    return None if hand is None else flipped(hand)
