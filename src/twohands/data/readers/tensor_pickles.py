"""Read pickles with PyTorch tensors as arrays. No code in them is executed, and PyTorch is not needed.

A pickled tensor names its storage, and the storage is five pickles and raw numbers, the format of `torch.save` before
its archives: magic number, version, description of the machine, name and type of the storage, list of the names.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from twohands.hands.array_pickles import ArrayUnpickler, read_pickle

_MAGIC, _VERSION = 0x1950A86A20F9469CFC6C, 1001
_STORAGES = {
    "HalfStorage": np.dtype("<f2"),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "IntStorage": np.dtype("<i4"),
    "LongStorage": np.dtype("<i8"),
}


def read_tensors(path: Path) -> Any:
    """Return the content of a pickle of arrays and tensors, tensors as arrays.

    Raises ValueError, naming the file, for a damaged pickle and for one that contains anything else.
    """
    with path.open("rb") as stream:
        return read_pickle(stream, str(path), _TensorUnpickler)


class _StorageUnpickler(ArrayUnpickler):
    """Unpickler that resolves storage types by name, and storages by (kind, type, name, device, count, view)."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> tuple[np.dtype, int]:
        kind, numbers, _, _, count, view = pid
        if kind != "storage" or view is not None or not isinstance(numbers, np.dtype):
            raise ValueError("a tensor is not kept in a whole storage")
        return numbers, operator.index(count)


class _TensorUnpickler(ArrayUnpickler):
    """Unpickler that also builds arrays from tensors; it refuses everything else that its base class refuses."""

    def find_class(self, module: str, name: str) -> Any:
        return _CONSTRUCTORS[module, name] if (module, name) in _CONSTRUCTORS else super().find_class(module, name)


def _storage(content: bytes) -> np.ndarray:
    """Return the (N,) numbers of a storage."""
    stream = BytesIO(content)
    magic, version, machine, (numbers, count), names = (_StorageUnpickler(stream).load() for _ in range(5))
    if (magic, version) != (_MAGIC, _VERSION) or not machine["little_endian"] or len(names) != 1:
        raise ValueError("a tensor is not stored as torch.save did it")
    stored = int.from_bytes(stream.read(8), "little")
    values = np.frombuffer(stream.read(), dtype=numbers)
    if not stored == count == len(values):
        raise ValueError(f"a tensor has {len(values)} numbers, expected {count}")
    return values


def _tensor(storage: np.ndarray, offset: int, size: Sequence[int], stride: Sequence[int], *_: Any) -> np.ndarray:
    """Return an array of `size`; offset and stride count numbers."""
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise ValueError("a tensor has no storage")
    # Python's integers do not overflow below; NumPy's could, and the tensor would reach beyond its storage
    start, sizes, steps = operator.index(offset), tuple(map(operator.index, size)), tuple(map(operator.index, stride))
    count, last = math.prod(sizes), start + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True))
    if min((start, *sizes, *steps)) < 0 or count > len(storage) or (count and last >= len(storage)):
        raise ValueError(f"a tensor of size {sizes} does not fit into its {len(storage)} numbers")
    strides = [step * storage.itemsize for step in steps]
    return np.lib.stride_tricks.as_strided(storage[start:], sizes, strides).copy()


def _parameter(values: np.ndarray, *_: Any) -> np.ndarray:
    return values


_CONSTRUCTORS = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch.storage", "_load_from_bytes"): _storage,
}
