"""Names of the entries of a benchmark, from the lists that come with its data."""

from __future__ import annotations

from pathlib import Path

H2OName = tuple[int, str]
"""Number of the action and file name of the frame: (1, "000000.txt")."""
HOT3DName = tuple[str, int, int]
"""Sequence, frame, hand: 0 left, 1 right."""


def h2o_names(actions: str | Path) -> list[H2OName]:
    """Return every frame of every action of H2O's action_test.txt, 242 actions in the order of the list.

    The frames are those from `start_act` to `end_act`, both included [U]. Raise ValueError for another list.
    """
    lines = Path(actions).read_text(encoding="utf-8").splitlines()
    columns = lines[0].split() if lines else []
    if not {"id", "start_act", "end_act"} <= set(columns):
        raise ValueError(f"{actions} has no columns id, start_act and end_act; give H2O's action_test.txt")
    names = []
    for line in filter(str.strip, lines[1:]):
        row = dict(zip(columns, line.split(), strict=True))
        frames = range(int(row["start_act"]), int(row["end_act"]) + 1)
        names += [(int(row["id"]), f"{frame:06d}.txt") for frame in frames]
    return names
