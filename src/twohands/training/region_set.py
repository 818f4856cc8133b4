"""Training items of the region network by number: random views of random frames in folders of shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from twohands.shards import Shards
from twohands.training.region_items import Disturbance, RegionItem, RegionViews

INDEX, UNFINISHED = "index.json", ".part"
"""File of every folder of shards, and suffix of a folder that is still being rendered."""
LOOK_EVERY = 300
"""Items after which new folders are looked for."""
ECHOES, ECHO_STEPS = 3, 30
"""Number of batches in which an item appears, and steps between them: making an item costs more than learning from it,
and the network learns as much from it when it comes back (Choi et al., Faster Neural Network Training with Data
Echoing, 2019)."""
KEPT = 512
"""Number of items that are remembered for their next batch."""


class RegionSet(RegionViews):
    """Items by number: `items[n]` is a random view of a random frame. The last ones are remembered.

    A folder holds shards, or folders of shards, to which a renderer may add while this set is read.
    """

    def __init__(self, folders: Sequence[Path], seed: int, disturbance: Disturbance | None = None):
        super().__init__(disturbance)
        self.folders, self.seed = [Path(f) for f in folders], seed
        self.shards: dict[Path, Shards] = {}
        self.reads = 0
        self.recent: dict[int, RegionItem] = {}
        self._look()

    def __getitem__(self, number: int) -> RegionItem:
        if number not in self.recent:
            self.recent[number] = self._drawn(number)
            while len(self.recent) > KEPT:
                del self.recent[next(iter(self.recent))]
        return self.recent[number]

    def _drawn(self, number: int) -> RegionItem:
        self.reads += 1
        if self.reads % LOOK_EVERY == 0:
            self._look()
        rng = np.random.default_rng([self.seed, number])
        index = int(rng.integers(self.bounds[-1]))
        folder = int(np.searchsorted(self.bounds, index, side="right"))
        shards = list(self.shards.values())[folder]
        return self.item(shards[index - int(self.bounds[folder - 1] if folder else 0)], rng)

    def _look(self) -> None:
        """Open the folders of shards that are complete."""
        for folder in self.folders:
            for found in sorted([folder, *folder.glob("*")]):
                if found not in self.shards and (found / INDEX).exists() and found.suffix != UNFINISHED:
                    self.shards[found] = _checked(Shards(found))
        if not self.shards:
            raise ValueError(f"{', '.join(map(str, self.folders))} has no shards; render them with `twohands synth`")
        self.bounds = np.cumsum([len(shards) for shards in self.shards.values()])


def _checked(shards: Shards) -> Shards:
    """Return shards of frames with all that is learned from. Raise ValueError for others."""
    first = shards[0]
    if first.hand_model != "free" or first.masks is None or first.visible_fraction is None:
        raise ValueError(
            f"{shards.folder} lacks meshes of the free hand, masks or visible fractions of the hands, from which "
            "preset 'light' learns; render frames with `twohands synth`"
        )
    return shards


def echoed(first: int, count: int, steps: int, batch: int) -> list[int]:
    """Return the numbers of the items of `count` batches from step `steps` on, one after the other.

    Items are counted from `first`. Every item comes in ECHOES batches that are ECHO_STEPS apart.
    """
    new = -(-batch // ECHOES)
    numbers = []
    for step in range(steps, steps + count):
        blocks = [step + ECHO_STEPS * echo for echo in range(ECHOES)]
        numbers += [first + new * block + item for block in blocks for item in range(new)][:batch]
    return numbers
