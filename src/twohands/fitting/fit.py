"""Both hands of a frame: landmarks and depth in, two posed hand models out."""

from __future__ import annotations

from dataclasses import replace
from importlib.resources import files

import numpy as np

from twohands.fitting.articulation import RightHand
from twohands.fitting.evidence import HandEvidence, gather
from twohands.fitting.solver import FitConfig, HandSolver, SolvedHand
from twohands.geometry.transforms import axis_angle_from_matrix
from twohands.hands.free import pose_prior
from twohands.hands.model import HandModel
from twohands.quality import measure_quality
from twohands.types import LEFT, Quality, RGBDFrame, TwoHands


class HandFitter:
    """Fits a hand model to both hands of a frame; see `energy` for what is minimised."""

    def __init__(self, model: HandModel, config: FitConfig | None = None):
        self.model = model
        offsets = np.load(str(files("twohands.fitting") / "landmark_offsets.npy"))
        hand = RightHand(model, pose_prior(), offsets)
        self.solver = HandSolver(hand, config or FitConfig())

    def __call__(self, frame: RGBDFrame, present: np.ndarray, pixels: np.ndarray, relative: np.ndarray) -> TwoHands:
        """Two hands in the camera frame, with parameters and quality.

        present (2,) in [0, 1]; pixels (2, 21, 2) image landmarks; relative (2, 21, 3) metres, landmarks relative to any
        common point, in camera axes. A hand with present < 0.5 is not looked at and comes back as the rest pose.
        """
        present = np.asarray(present, dtype=np.float32)
        evidence: dict[int, HandEvidence] = {}
        solved: dict[int, SolvedHand] = {}
        for side in np.flatnonzero(present >= 0.5).tolist():
            evidence[side] = gather(frame, side, pixels[side].astype(np.float64), relative[side].astype(np.float64))
            solved[side] = self.solver.solve(evidence[side])
        for _ in range(self.solver.config.point_rounds):
            # a left hand lives in a mirrored camera, so the other hand always appears mirrored
            others = {side: solved[1 - side].vertices * [-1, 1, 1] for side in solved if 1 - side in solved}
            shapes = {side: solved[1 - side].rig.state.shape for side in others if solved[1 - side].fitted}
            solved = {
                side: self.solver.refine(evidence[side], hand, others.get(side, np.zeros((0, 3))), shapes.get(side))
                for side, hand in solved.items()
            }
        return self._assemble(frame, present, solved)

    def _assemble(self, frame: RGBDFrame, present: np.ndarray, solved: dict[int, SolvedHand]) -> TwoHands:
        parameters = self.model.neutral()
        fitted = np.zeros(2, dtype=bool)
        for side, hand in solved.items():
            state, fitted[side] = hand.rig.state, hand.fitted
            points = np.array([-1.0, 1.0, 1.0]) if side == LEFT else np.ones(3)
            axes = points * points[0]  # the mirror image of a rotation keeps x of its axis and negates y and z
            parameters.pose[side] = self.solver.hand.axis_angles(state.angles) * axes
            parameters.shape[side] = state.shape
            parameters.rotation[side] = axis_angle_from_matrix(state.rotation) * axes
            parameters.translation[side] = state.translation * points
        hands = self.model(parameters)
        assert hands.vertices is not None
        residual, support = measure_quality(hands.vertices, self.model.faces, present, frame)
        return replace(hands, present=present, quality=Quality(residual, support, fitted))
