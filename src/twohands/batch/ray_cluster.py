"""Actors of a Ray cluster (extra `ray`) that work on many recordings, with networks that are loaded once."""

from __future__ import annotations

import importlib
import os
import socket
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from types import ModuleType
from typing import Any

from twohands.batch.orders import Orders
from twohands.batch.processes import MOST_DEATHS
from twohands.batch.recordings import Unit
from twohands.batch.unit import DEADLY, Outcome, UnitWork

PATIENCE = 10
"""Seconds in which a cluster must answer."""
STORE = 100 << 20
"""Bytes of the object store of a local Ray cluster: only addresses and outcomes go through it."""


def by_ray(orders: Orders, units: Sequence[Unit], workers: int | None, address: str | None) -> Generator[Outcome]:
    """Yield the outcomes of recordings as the actors of a Ray cluster finish them.

    Without an address (or the environment variable RAY_ADDRESS) the cluster is this machine. There is one actor for
    each CPU unless `workers` is given. An actor that is lost with its process or machine is replaced, and its recording
    begun again. Recordings, results and networks must have the same paths everywhere. Raise ValueError when there is no
    such cluster, and NotWrittenError when results cannot be stored.
    """
    ray = _connected(workers, address)
    try:
        count = min(workers or int(ray.cluster_resources()["CPU"]), len(units))
        kind = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=MOST_DEATHS - 1)(_Actor)
        yield from _shared_out(ray, [kind.remote(orders, os.getcwd()) for _ in range(count)], units)
    finally:
        ray.shutdown()


class _Actor:
    """A process of the cluster with networks that are loaded once."""

    def __init__(self, orders: Orders, folder: str):
        with suppress(OSError):  # options may have relative paths
            os.chdir(folder)
        self._work = UnitWork(orders)

    def ready(self) -> None:
        """Return as soon as the cluster has a place for this process."""

    def outcome(self, unit: Unit) -> Outcome:
        return self._work.outcome(unit)


def _shared_out(ray: ModuleType, actors: Sequence[Any], units: Sequence[Unit]) -> Generator[Outcome]:
    """Give the next recording to an actor that is ready, and yield the outcomes."""
    rest, left = deque(units), len(units)
    waiting: dict[Any, tuple[Any, Unit | None]] = {actor.ready.remote(): (actor, None) for actor in actors}
    while left:
        (done,), _ = ray.wait(list(waiting))
        actor, unit = waiting.pop(done)
        try:
            outcome = ray.get(done)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except ray.exceptions.RayActorError as error:
            if unit is None:
                raise ValueError(f"a process of the Ray cluster cannot be started: {error}") from None
            outcome = Outcome(unit.name, DEADLY)
        if unit is not None:
            left -= 1
            yield outcome
        if rest:
            unit = rest.popleft()
            waiting[actor.outcome.remote(unit)] = actor, unit


def _connected(workers: int | None, address: str | None) -> ModuleType:
    """Return the package ray, connected to a cluster."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise ValueError(
            f"--executor ray needs the package ray, which cannot be imported ({error}); install it with: "
            "pip install 'twohands[ray]'"
        ) from None
    address = address or os.environ.get("RAY_ADDRESS")
    try:
        _call(address)
        if address is None:
            own = {"num_cpus": workers, "object_store_memory": STORE, "include_dashboard": False}
            ray.init("local", logging_level="WARNING", **own)
        else:
            ray.init(address, logging_level="WARNING")
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"no Ray cluster at {address or 'this machine'} ({error}); check --ray-address") from None
    return ray


def _call(address: str | None) -> None:
    """Raise OSError when nobody answers at an address HOST:PORT; Ray itself would try for many minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), PATIENCE).close()
