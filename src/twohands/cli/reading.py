"""The options that say how frames are read, shared by `predict`, `run`, `convert` and `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import tyro

from twohands.sources.options import FrameOptions, SourceOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TypeVar

    from twohands.sources.source import Source

    Item = TypeVar("Item")

FRAME, SOURCE = FrameOptions(), SourceOptions()
OfFrame = Annotated[FrameOptions, tyro.conf.arg(name="")]
OfSource = Annotated[SourceOptions, tyro.conf.arg(name="")]
"""The choices as options without a prefix."""
LOWEST = 0.1
"""Rate a second below which the rate an hour is shown."""


def check_live(recording: Path, reading: SourceOptions, out: Path, *impossible: str) -> None:
    """Raise ValueError when a camera stands in place of a recording and results of another time are in `out`, or one of
    the options was given that need frames twice. Do nothing for recordings.
    """
    from twohands.sources.opening import live_kind

    kind = live_kind(recording, reading)
    if kind is None:
        return
    if impossible:
        raise ValueError(
            f"{impossible[0]} is not possible with a camera, whose frames are seen once; record them first with: "
            f"twohands convert {kind} FOLDER"
        )
    if out.is_dir() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty, and a camera recording cannot be resumed; give a new folder")


def opened(recording: Path, reading: SourceOptions, name: object = None) -> Source:
    """Return an open recording, and print what it is; `name` is what to call it, by default its path.

    Where the depth unit is in no file, the error names the one with which the hands have a plausible size.
    """
    from twohands.sources.folder import DepthUnitError
    from twohands.sources.opening import open_source

    try:
        source = open_source(recording, reading)
    except DepthUnitError as error:
        from twohands.doctor.unit import guessed_unit
        from twohands.predictor import TwoHandPredictor, load

        predictor = load("landmarks")
        unit = guessed_unit(recording, reading, predictor.locate) if isinstance(predictor, TwoHandPredictor) else None
        if unit is None:
            raise
        raise ValueError(f"{error}; with --depth-unit {unit:g} the hands in it have a plausible size") from None
    print(f"{name or recording}: {source.about}")
    return source


def with_progress(
    items: Iterable[Item], total: int | None, what: str = "frames", is_work: Callable[[Item], bool] = lambda _: True
) -> Iterator[Item]:
    """Yield items with a bar, their number, the rate and the time left on stderr; `total` is None where unknown.

    Items that are no work, because they were there already, are not counted.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task(what, total=total, rate="")
        for item in items:
            yield item
            if not is_work(item):
                total = None if total is None else total - 1
                progress.update(task, total=total)
                continue
            speed = progress.tasks[0].finished_speed or progress.tasks[0].speed
            progress.update(task, advance=1, rate=_rate(speed, what) if speed else "")


def _rate(speed: float, what: str) -> str:
    return f"{speed:.1f} {what}/s" if speed >= LOWEST else f"{3600 * speed:.1f} {what}/h"
