"""Checks of hands in a submitted file; each raises ValueError and names the entry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from twohands.data.hand_checks import SHORTER, bone_lengths
from twohands.hands.skeleton import JOINT_ORDERS, NUM_JOINTS, WRIST

SIZES = (0.04, 0.40)
"""Smallest and largest plausible distance from the wrist to the farthest joint, metres."""
ROOM = 20.0
"""Largest plausible distance of a hand from the origin, metres."""
ORDERS = {"standard": tuple(range(NUM_JOINTS)), **JOINT_ORDERS}


def check_names(path: Any, found: Sequence[Any], expected: Sequence[Any]) -> None:
    """Check that the entries are the expected ones in the same order."""
    found, expected = list(found), list(expected)
    if found == expected:
        return
    for name, count in Counter(found).items():
        if count > 1 and expected.count(name) < count:
            raise ValueError(f"{path} has entry {name} {count} times; write it once")
    known, there = set(expected), set(found)
    missing = next((name for name in expected if name not in there), None)
    if missing is not None:
        raise ValueError(f"{path} has {len(found)} entries, expected {len(expected)}; {missing} is missing")
    unknown = next((name for name in found if name not in known), None)
    if unknown is not None:
        raise ValueError(f"{path} has {len(found)} entries, expected {len(expected)}; {unknown} is not one of them")
    place = next(i for i, (one, other) in enumerate(zip(found, expected, strict=True)) if one != other)
    raise ValueError(
        f"{path} has {found[place]} where {expected[place]} belongs (entry {place}); keep the list's order"
    )


def check_count(path: Any, found: int, expected: Sequence[Any], what: str) -> None:
    """Check that there are as many entries as names."""
    if found != len(expected):
        place = "" if found > len(expected) else f"; nothing is there for {expected[found]} and what follows it"
        raise ValueError(f"{path} has {found} entries of {what}, expected {len(expected)}{place}")


def array(path: Any, name: Any, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return the numbers of an entry, float64; they must have that shape and be finite."""
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{path}, entry {name}: these are not numbers of shape {shape}") from None
    if numbers.shape != shape:
        raise ValueError(f"{path}, entry {name}: the shape is {numbers.shape}, expected {shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"{path}, entry {name}: there are numbers that are not finite")
    return numbers


def check_size(path: Any, name: Any, joints: np.ndarray, unit: str = "metres") -> None:
    """Check that joints (21, 3), the wrist first, have the size of a hand in that unit."""
    metre = {"metres": 1.0, "millimetres": 1e3}[unit]
    size = np.linalg.norm(joints - joints[WRIST], axis=-1).max()
    low, high = (bound * metre for bound in SIZES)
    if low <= size <= high:
        return
    other, factor = ("millimetres", 1e-3) if unit == "metres" else ("metres", 1e3)
    likely = f"these look like {other}" if low <= size * factor <= high else "this is no hand"
    raise ValueError(
        f"{path}, entry {name}: the hand reaches {size:.4g} from its wrist, expected {low:g} to {high:g} {unit}; "
        f"{likely}"
    )


def check_side_of_camera(path: Any, name: Any, points: np.ndarray, sign: int) -> None:
    """Check that points (..., 3) are in front of the camera: sign 1 for OpenCV, -1 for OpenGL."""
    depth = points[..., 2] * sign
    if depth.mean() <= 0:
        axes, rule = ("OpenCV", "positive") if sign > 0 else ("OpenGL", "negative")
        raise ValueError(
            f"{path}, entry {name}: z is {points[..., 2].mean():.4g} on average, expected {rule} values of an {axes} "
            "camera; multiply y and z by -1"
        )


def check_joint_order(path: Any, hands: np.ndarray, order: str) -> None:
    """Check that joints (N, 21, 3) are in the named order: no other order makes the bones shorter."""
    if not len(hands):
        return
    lengths = {name: bone_lengths(hands[:, list(entries)]).sum() for name, entries in ORDERS.items()}
    shortest = min(lengths, key=lambda name: lengths[name])
    if lengths[shortest] < SHORTER * lengths[order]:
        raise ValueError(
            f"{path} has the joints in the order {shortest!r}, expected {order!r}; see skeleton.JOINT_ORDERS"
        )
