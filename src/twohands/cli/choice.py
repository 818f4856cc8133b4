"""The options that choose the predictor, shared by `demo`, `predict`, `run`, `evaluate` and `submit`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from twohands.choices import DEFAULT_METHOD, HandModelName, Method, Person

if TYPE_CHECKING:
    from twohands.predictor import Predictor


@dataclass(frozen=True)
class Choice:
    """Choice of a predictor."""

    method: Method | None = None
    """Start of the fit: light (default), a network around each hand; landmarks; or pdfnet, a network on the frame."""
    network: Path | None = None
    """Folder of a network of your own: a checkpoint, for example RUN/final, or exported graphs."""
    hand_model: HandModelName | None = None
    """Hand model of the result; by default the free hand, or the network's own. mano needs its files."""
    fit: Annotated[bool, tyro.conf.arg(help_behavior_hint="(default: fit)")] = True
    """Do not fit the hand model to the measured points at the end."""
    person: Person | None = None
    """Whose hands are returned if several people are visible; by default the nearest person's."""

    def load(self, trusted: bool = False) -> Predictor:
        """Return the predictor, see `twohands.load`."""
        from twohands.predictor import load

        return load(self.method, self.network, self.hand_model, self.fit, trusted, self.person)

    @property
    def title(self) -> str:
        """Name of the method, or of the run for a network like RUN/final or RUN/best."""
        if self.network is None:
            return self.method or DEFAULT_METHOD
        folder = self.network.resolve()
        return folder.parent.name if folder.name in ("final", "best") else folder.name


DEFAULT = Choice()
Options = Annotated[Choice, tyro.conf.arg(name="")]
"""The choice as options without a prefix."""
