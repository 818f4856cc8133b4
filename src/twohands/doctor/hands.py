"""Find the hands of a recording whose depth is in doubt."""

from __future__ import annotations

from twohands.checks.examiner import Examiner
from twohands.predictor import Predictor, Stopwatch, load
from twohands.types import RGBDFrame, TwoHands


class CarefulPredictor(Predictor):
    """The hands of a frame by colour and depth together where the fit confirms all of them, else by colour alone.

    Depth that is wrong leads method 'light' astray; method 'landmarks' does not need it, but sees hands in shadows.
    """

    def __init__(self) -> None:
        self.with_depth, self.by_colour = load("light", trusted=True), load("landmarks", trusted=True)
        self.model = self.by_colour.model
        self.examiner = Examiner(self.reconstruct)

    def reconstruct(self, frame: RGBDFrame, watch: Stopwatch | None = None) -> TwoHands:
        """Return the two hands of `frame`, see `Predictor.reconstruct`."""
        try:
            hands = self.with_depth.reconstruct(frame, watch)
        except ValueError:
            return self.by_colour.reconstruct(frame, watch)  # which is refused as well, or better
        is_confirmed = bool(hands.present_sides) and not hands.doubtful.any()
        return hands if is_confirmed else self.by_colour.reconstruct(frame, watch)
