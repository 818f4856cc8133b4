"""The orders for a recording: everything that a process must know to work on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from twohands import __version__
from twohands.batch.motion import has_times, is_numbered
from twohands.batch.part import Selection
from twohands.batch.run import BatchRun, Parallel, Tracking
from twohands.predictor import Predictor, Stopwatch
from twohands.sources.opening import open_source
from twohands.sources.options import SourceOptions
from twohands.sources.remote import is_remote
from twohands.sources.source import Source
from twohands.tracking import can_follow


@dataclass(frozen=True)
class Orders:
    """Everything that changes the result of a recording, with what finds the hands; it can be sent to processes."""

    load: Callable[[], Predictor]
    """Function of a module that returns the predictor."""
    choice: Mapping[str, object]
    """Settings that `load` depends on, by name."""
    reading: SourceOptions = field(default_factory=SourceOptions)
    selection: Selection = field(default_factory=Selection)
    tracking: Tracking | None = field(default_factory=Tracking)
    """Options of tracking; frames that are in no order are not tracked all the same."""
    vertices: bool = True
    overlays: bool = False
    glb: bool = False
    parquet: bool = False

    def begin(
        self,
        source: Source,
        address: str,
        path: Path,
        out: Path,
        predictor: Predictor,
        watch: Stopwatch,
        workers: int = 1,
    ) -> BatchRun:
        """Return the run over the open recording of `address`, whose local path is `path`, with results in `out`."""
        is_tracked = self.tracking is not None and can_follow(predictor) and (has_times(source) or is_numbered(source))
        parallel = Parallel(workers, partial(open_source, path, self.reading), self.load) if workers > 1 else None
        settings = self._settings(source, predictor)
        if is_remote(address):
            settings["recording"] = address
        steady = self.tracking if is_tracked else None
        return BatchRun(source, path, predictor, out, settings, watch, self.selection, steady, self.vertices, parallel)

    def as_json(self) -> dict[str, object]:
        """Return all settings as one dictionary."""
        how = {"vertices": self.vertices, "overlays": self.overlays, "glb": self.glb, "parquet": self.parquet}
        tracking = None if self.tracking is None else self.tracking._asdict()
        own = {"version": __version__, **self.selection._asdict(), "tracking": tracking, **how}
        return {**own, **asdict(self.reading), **self.choice}

    def _settings(self, source: Source, predictor: Predictor) -> dict[str, object]:
        """Return what changes the rows of a run, beside the recording and the choice of frames."""
        intrinsics = source.intrinsics
        return {
            **asdict(self.reading),
            "depth_unit": self.reading.depth_unit or (intrinsics and intrinsics.depth_unit),
            "intrinsics": intrinsics and intrinsics.matrix.tolist(),
            "lens": intrinsics and intrinsics.lens and asdict(intrinsics.lens),
            **self.choice,
            "hand_model": predictor.model.name,
        }
