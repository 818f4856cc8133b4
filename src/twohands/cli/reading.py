"""The options that say how frames are read, shared by `predict`, `run`, `convert` and `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import tyro

from twohands.sources.options import FrameOptions, SourceOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TypeVar

    Item = TypeVar("Item")

FRAME, SOURCE = FrameOptions(), SourceOptions()
OfFrame = Annotated[FrameOptions, tyro.conf.arg(name="")]
OfSource = Annotated[SourceOptions, tyro.conf.arg(name="")]
"""The choices as options without a prefix."""
LOWEST = 0.1
"""Rate a second below which the rate an hour is shown."""


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
