"""Fit both hands of a frame: landmarks and depth in, two posed hand models out."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np

from twohands.findings import Finding
from twohands.fitting.articulation import RightHand
from twohands.fitting.evidence import HandEvidence, gather
from twohands.fitting.observation import observe
from twohands.fitting.quality import compare
from twohands.fitting.solver import FitConfig, FoundHand, HandSolver
from twohands.fitting.trust import Judge, shipped_trust
from twohands.geometry.transforms import axis_angle_from_matrix
from twohands.hands.free import pose_prior
from twohands.hands.model import HandModel
from twohands.types import LEFT, RIGHT, SIDE_NAMES, LocatedHands, OneSide, Quality, RGBDFrame, TwoHands

SURE_SIDE = 6.0
"""Log-odds of the sides from the colour image above which the depth is not consulted."""
IMAGE_WEIGHT, DEPTH_WEIGHT, LARGEST_GAIN = 0.9, 0.024, 400.0
"""Weight of the image's log-odds, log-odds per unit of depth energy (both from a logistic regression on the validation
frames), and the largest difference of energies that is used."""
UNDECIDED = 1.1
"""Log-odds of the sides, from image and depth together, below which they are said to be undecided: 3 to 1."""
ONE_SIDE, LARGEST_ONE_GAIN = -0.5, 100.0
"""Smallest log-odds of each of two hands of one side, and the largest difference of energies that is used for one."""
EXPLAINED_DEPTH = 120.0
"""Largest energy of the depth points of each of two hands of one side."""


class HandFitter:
    """Fit of a hand model to both hands of a frame; `energy` defines the minimised function."""

    def __init__(self, model: HandModel, config: FitConfig | None = None, trust: Judge | None = None):
        """Fit `model`; `trust` gives the hands their confidence and sigma, by default those of method 'landmarks'."""
        self.model = model
        self.trust = trust or shipped_trust("landmarks", fit=config is None or config.point_rounds > 0)
        offsets = np.load(str(files("twohands.fitting") / "landmark_offsets.npy"))
        self.solver = HandSolver(RightHand(model, pose_prior(), offsets), config or FitConfig())
        self._measures = False

    def measuring(self) -> HandFitter:
        """Return a fitter whose hands have the shapes that their depth points measure, see `solver.measured`.

        These have less bias, which counts where the shapes of many frames come together. Sides are decided as before.
        """
        fitter = copy.copy(self)
        fitter._measures = True
        return fitter

    def __call__(
        self, frame: RGBDFrame, located: LocatedHands, step: Callable[[str], AbstractContextManager[Any]] = nullcontext
    ) -> TwoHands:
        """Return two hands in the camera frame, with parameters and quality; `step` is entered around each named step.

        An absent hand (see `TwoHands.is_present`) is skipped and returned in the rest pose. Where the side odds of
        landmarks leave a doubt, the hands are fitted on the other sides as well, and image and depth decide together.
        """
        with step("lift"):
            evidence = {side: _evidence(frame, located, side, side) for side in located.present_sides}
        with step("fit"):
            return self._settled(frame, located, evidence)

    def _settled(self, frame: RGBDFrame, located: LocatedHands, evidence: dict[int, HandEvidence]) -> TwoHands:
        """Return the fitted hands, on exchanged sides or without one of them where image and depth together say so."""
        present, findings = np.asarray(located.present), located.findings
        hands = self._fit(evidence)
        odds, gain = float(np.sum(located.side_odds[list(hands)])), np.nan
        suspicion, is_one_side = located.one_side, False
        if located.joints is not None:
            # joints that were read as those of one side say nothing when they are fitted as those of the other
            is_one_side = suspicion is not None and suspicion.is_sure
            if hands and not is_one_side and IMAGE_WEIGHT * odds < UNDECIDED:
                findings = (*findings, _undecided(list(hands), IMAGE_WEIGHT * odds))
        elif hands and odds < SURE_SIDE:
            others = self._fit({1 - side: _evidence(frame, located, side, 1 - side) for side in hands})
            gain = sum(hand.depth_energy for hand in others.values()) - sum(h.depth_energy for h in hands.values())
            is_one_side = suspicion is not None and _are_of_one_side(suspicion, hands, others)
            if not is_one_side:
                both = IMAGE_WEIGHT * odds + DEPTH_WEIGHT * float(np.clip(gain, -LARGEST_GAIN, LARGEST_GAIN))
                if both < 0:
                    hands, present, odds, gain = others, present[::-1], -odds, -gain
                if abs(both) < UNDECIDED:
                    findings = (*findings, _undecided(list(hands), abs(both)))
        if is_one_side:
            assert suspicion is not None
            kept, side = suspicion.kept, suspicion.side
            hands = self._fit({side: _evidence(frame, located, kept, side)})  # without the other person's hand
            present = np.where(np.arange(2) == side, present[kept], 0)
            odds, gain = float(suspicion.odds[kept]), np.nan
            findings = (*findings, suspicion.finding)
        return replace(self._assemble(frame, present, hands, odds, gain), findings=findings)

    def _fit(self, evidence: dict[int, HandEvidence]) -> dict[int, FoundHand]:
        """Run both stages; in every round of the second each hand is given the other hand's surface and shape."""
        hands = {}
        for side, measured in evidence.items():
            solved = self.solver.solve(measured)
            hands[side] = FoundHand(measured, solved, solved.energy)
        for _ in range(self.solver.config.point_rounds):
            refined = {}
            for side, hand in hands.items():
                other = hands[1 - side].solved if 1 - side in hands else None
                # a left hand is fitted in a mirrored camera, so the other hand always appears mirrored
                surface = np.zeros((0, 3)) if other is None else other.vertices * [-1, 1, 1]
                shape = other.rig.state.shape if other is not None and other.cloud else None
                refined[side] = replace(hand, solved=self.solver.refine(hand.evidence, hand.solved, surface, shape))
            hands = refined
        return hands

    def _assemble(
        self, frame: RGBDFrame, present: np.ndarray, found: dict[int, FoundHand], odds: float, gain: float
    ) -> TwoHands:
        """Return the hands with their quality; `odds` and `gain` are those of their sides, see `Observation`."""
        parameters = self.model.neutral()
        fitted, energy = np.zeros(2, dtype=bool), np.full(2, np.nan, dtype=np.float32)
        for side, hand in ((side, hand.solved) for side, hand in found.items()):
            state, fitted[side], energy[side] = hand.rig.state, hand.cloud is not None, hand.energy
            if self._measures and hand.measured is not None:
                state = hand.measured
            points = np.array([-1.0, 1.0, 1.0]) if side == LEFT else np.ones(3)
            axes = points * points[0]  # the mirror image of a rotation keeps x of its axis and negates y and z
            parameters.pose[side] = self.solver.hand.axis_angles(state.angles) * axes
            parameters.shape[side] = state.shape
            parameters.rotation[side] = axis_angle_from_matrix(state.rotation) * axes
            parameters.translation[side] = state.translation * points
        hands = replace(self.model(parameters), present=present)
        assert hands.vertices is not None
        comparison = compare(hands.vertices, self.model.faces, present, frame)
        confidence, sigma = self.trust(observe(frame.camera, hands, comparison, found, self.solver, odds, gain))
        quality = Quality(comparison.residual, comparison.support, fitted, energy, confidence, sigma)
        return replace(hands, quality=quality)


def _undecided(sides: list[int], odds: float) -> Finding:
    """Return the finding that the given sides may be the other ones; `odds` are their log-odds."""
    probability = float(1 / (1 + np.exp(-odds)))
    what = f"the side of the {SIDE_NAMES[sides[0]]} hand is" if len(sides) == 1 else "the sides of both hands are"
    sentence = (
        f"{what} correct with a probability of only {100 * probability:.0f} %, because too little is visible; in a "
        "recording, neighbouring frames decide (twohands run)"
    )
    return Finding("side_undecided", "note", sentence, {"probability": probability})


def _are_of_one_side(suspicion: OneSide, hands: dict[int, FoundHand], others: dict[int, FoundHand]) -> bool:
    """Return whether both located hands are of one side, from their fits on the given sides and on the others.

    Each must look like a hand of this side in image and depth together, and be one that the model explains well: a
    wrong side is often seen on a hand that is hidden, or on no hand.
    """
    for place in (LEFT, RIGHT):
        fits = {place: hands[place], 1 - place: others[1 - place]}
        this, other = fits[suspicion.side], fits[1 - suspicion.side]
        gain = float(np.clip(other.depth_energy - this.depth_energy, -LARGEST_ONE_GAIN, LARGEST_ONE_GAIN))
        if suspicion.odds[place] + DEPTH_WEIGHT * gain < ONE_SIDE or this.depth_energy > EXPLAINED_DEPTH:
            return False
    return True


def _evidence(frame: RGBDFrame, located: LocatedHands, index: int, side: int) -> HandEvidence:
    """Return the evidence for located hand `index`, read as a hand of `side`."""
    pixels, relative = np.asarray(located.pixels[index], float), np.asarray(located.relative[index], float)
    if located.joints is None or located.sigma is None:
        return gather(frame, side, pixels, relative)
    joints, sigma = np.asarray(located.joints[index], float), np.asarray(located.sigma[index], float)
    clear = 0.0 if located.clear is None else float(located.clear[index])
    return gather(frame, side, pixels, relative, joints, sigma, clear)
