"""`TensorRecord`: a frozen dataclass of arrays that is moved, mapped and stacked as one value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from array_api_compat import array_namespace, is_array_api_obj

if TYPE_CHECKING:
    Array: TypeAlias = Any  # a NumPy array in the product, a torch tensor in training
else:
    Array = Any


class TensorRecord:
    """Base of the frozen dataclasses in which data pass: fields are arrays, records, tuples of them or plain values."""

    NOT_STACKED: ClassVar[frozenset[str]] = frozenset()
    """Fields that a batch does not have; they get their default value."""

    def map(self, function: Callable[[Array], Array]) -> Self:
        """Return the record with `function` applied to every array in it."""
        return replace(self, **{f.name: _map(getattr(self, f.name), function) for f in fields(self)})  # type: ignore[type-var]

    def to(self, device: Any) -> Self:
        """Return the record on another device (torch tensors only)."""
        return self.map(lambda tensor: tensor.to(device))

    def pin_memory(self) -> Self:
        """Return the record in page-locked memory (torch tensors only)."""
        return self.map(lambda tensor: tensor.pin_memory())

    @classmethod
    def stack(cls, records: Sequence[Self]) -> Self:
        """Return one batch of single records: arrays gain a leading axis, other values must agree.

        Strings that differ become a tuple, fields of NOT_STACKED are dropped. Raises ValueError for other values
        that differ.
        """
        return _stack(records)


def _map(value: Any, function: Callable[[Array], Array]) -> Any:
    if isinstance(value, TensorRecord):
        return value.map(function)
    if isinstance(value, tuple):
        return tuple(_map(item, function) for item in value)
    return function(value) if is_array_api_obj(value) and getattr(value, "ndim", 0) > 0 else value


def _stack(values: Sequence[Any]) -> Any:
    first = values[0]
    if isinstance(first, TensorRecord):
        merged = {
            f.name: f.default if f.name in first.NOT_STACKED else _stack([getattr(value, f.name) for value in values])
            for f in fields(first)  # type: ignore[arg-type]
        }
        return replace(first, **merged)  # type: ignore[type-var]
    if isinstance(first, tuple) and first and (isinstance(first[0], TensorRecord) or is_array_api_obj(first[0])):
        return tuple(_stack(items) for items in zip(*values, strict=True))
    if is_array_api_obj(first):
        return array_namespace(first).stack(list(values))
    if all(value == first for value in values):
        return first
    if isinstance(first, str):
        return tuple(values)
    raise ValueError(f"records with different values cannot be stacked: {first!r} and {values[-1]!r}")
