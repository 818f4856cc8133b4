"""Process many recordings with several processes of this machine.

A process gets whole recordings. A part of a recording is no unit here: to come to it, most recordings must be read from
their beginning.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import partial

from twohands.batch.orders import Orders
from twohands.batch.processes import Death, share_out
from twohands.batch.recordings import Unit
from twohands.batch.unit import DEADLY, Outcome, UnitWork


def by_processes(orders: Orders, units: Sequence[Unit], workers: int) -> Generator[Outcome]:
    """Yield the outcomes of recordings as processes of this machine finish them.

    A process that dies is replaced. Raise NotWrittenError when results cannot be stored.
    """
    with closing(share_out(partial(UnitWork, orders), iter(units), workers)) as messages:
        for unit, message in messages:
            if isinstance(message, Outcome):
                yield message
            elif message is Death.LAST:
                yield Outcome(unit.name, DEADLY)
