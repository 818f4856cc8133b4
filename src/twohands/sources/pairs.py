"""Pair the colour and depth images of a recording by their time stamps, in one pass with short queues."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

MOST_WAITING = 32
"""Number of images of one stream that are kept while the other one lags behind."""
DEFAULT_DELAY = 20_000_000
"""Largest difference of the stamps of a pair in ns where no frame rate is known."""


class Stamped(NamedTuple):
    """An image that is not decoded."""

    is_colour: bool
    stamp: int  # nanoseconds
    value: Any


@dataclass
class _Stream:
    """The waiting images of one stream, and its latest intervals."""

    waiting: deque[Stamped] = field(default_factory=deque)
    intervals: deque[int] = field(default_factory=lambda: deque(maxlen=31))
    latest: int | None = None

    def add(self, image: Stamped) -> None:
        if self.latest is not None and image.stamp > self.latest:
            self.intervals.append(image.stamp - self.latest)
        self.latest = image.stamp
        self.waiting.append(image)


class Pairs:
    """Pairs of colour and depth: each is the nearest to the other, within half a period of the slower stream.

    `left_out` counts the colour images without a partner so far, and `nearest` is the smallest difference in ns among
    images that were too far apart.
    """

    def __init__(self, largest_delay: int | None = None):
        """Take the largest difference of stamps in ns, by default half a period of the slower stream."""
        self._largest = largest_delay
        self.left_out, self.found, self.nearest = 0, 0, None

    def of(self, images: Iterable[Stamped]) -> Iterator[tuple[Stamped, Stamped]]:
        """Yield colour and depth in the order of time; the images of each stream must be in that order."""
        self._colour, self._depth = _Stream(), _Stream()
        for image in images:
            (self._colour if image.is_colour else self._depth).add(image)
            yield from self._decided(ended=False)
        yield from self._decided(ended=True)
        self.left_out += len(self._colour.waiting)

    @property
    def delay(self) -> int:
        """Largest difference of the stamps of a pair, ns."""
        if self._largest is not None:
            return self._largest
        periods = [median(stream.intervals) for stream in (self._colour, self._depth) if stream.intervals]
        return int(max(periods) / 2) if periods else DEFAULT_DELAY

    def _decided(self, ended: bool) -> Iterator[tuple[Stamped, Stamped]]:
        colours, depths = self._colour.waiting, self._depth.waiting
        while colours and depths:
            difference = depths[0].stamp - colours[0].stamp
            earlier, later = (colours, depths[0]) if difference >= 0 else (depths, colours[0])
            full = max(len(colours), len(depths)) > MOST_WAITING
            if difference and len(earlier) == 1 and not ended and not full:
                return  # the next image of the earlier stream may be nearer
            if len(earlier) > 1 and abs(earlier[1].stamp - later.stamp) <= abs(difference):
                self._drop(earlier)
            elif abs(difference) <= self.delay:
                self.found += 1
                yield colours.popleft(), depths.popleft()
            else:
                self.nearest = min(abs(difference), self.nearest or abs(difference))
                self._drop(earlier)
        for images in (colours, depths):
            while len(images) > MOST_WAITING:
                self._drop(images)

    def _drop(self, images: deque[Stamped]) -> None:
        self.left_out += images.popleft().is_colour
