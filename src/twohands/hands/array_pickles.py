"""Read pickles of arrays that other programs wrote. Nothing of a pickle is executed, and no old package is needed.

A pickle is a program for a small machine: its operations build values, ask for constructors by name, call them, and
hand states to what they made. The machine of this module has only the operations and constructors that arrays, plain
values and inert stand-ins for other objects are made of. The constructors are its own, since NumPy's would take states
that describe an array beyond its memory. Whatever else a file asks for is refused by name.
"""

from __future__ import annotations

import math
import operator
import pickle
import pickletools
import re
import struct
import sys
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, BinaryIO

import numpy as np

_DEEPEST, _MOST, _GROWTH = 50, 10_000_000, 16
"""Limits that real files stay far below: levels of containers; objects, counted as often as one meets them; bytes that
constructors make of each byte of the file."""
_PLAIN = (
    "PROTO FRAME STOP MARK POP POP_MARK GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE PERSID BINPERSID "
    "NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING "
    "SHORT_BINSTRING UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 "
    "EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT ADDITEMS GLOBAL STACK_GLOBAL"
)
"""Operations taken over from Python's own machine: they build plain values and call nothing that a file chooses."""
_SPELLING = re.compile(r"[biufcSU][1-9]\d{0,8}|O[48]")
"""Types of arrays as pickles spell them, kind and size. O4, for objects, comes from machines of 32 bits."""
_KEYS = (str, int, float, bytes, np.generic, type(None))
"""Types of dictionary keys. The hash of nested tuples could take forever, or exhaust the stack."""


class _RefusedError(Exception):
    """A pickle asks for something that no file of arrays needs."""


_DAMAGE = (
    *(EOFError, AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError, MemoryError),
    *(struct.error, pickle.UnpicklingError),
)


class Inert:
    """Object whose class is not needed, a set among them. It keeps nothing but its state."""

    def __init__(self, *_: Any):
        self.state: Any = None

    def add(self, _: Any) -> None:
        """Forget a member of a set."""


class _Type:
    """Type of an array: its kind and size come first, its byte order later, as a state."""

    def __init__(self, spelling: str, *_: Any):
        if not _SPELLING.fullmatch(spelling):
            raise _RefusedError(f"an array of type {spelling}")
        self.dtype = np.dtype("O" if spelling[0] == "O" else spelling)

    def set_order(self, _version: int, order: str, *_: Any) -> None:
        if order not in ("<", ">", "=", "|"):
            raise ValueError("unknown byte order")
        self.dtype = self.dtype.newbyteorder(order)


def _refusing(name: str) -> Callable[[Any], None]:
    def refuse(_: Any) -> None:
        raise _RefusedError(f"the operation {name}")

    return refuse


_OPERATIONS = {
    ord(known.code): pickle._Unpickler.dispatch[ord(known.code)]
    if known.name in _PLAIN.split()
    else _refusing(known.name)
    for known in pickletools.opcodes
}


class ArrayUnpickler(pickle._Unpickler):
    """Machine that builds arrays, plain values and inert stand-ins, and refuses everything else."""

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, stream: BytesIO):
        super().__init__(stream, encoding="latin1")  # Python 2 wrote texts and bytes alike
        self._room = _GROWTH * stream.getbuffer().nbytes

    def find_class(self, module: str, name: str) -> Any:
        """Return the constructor that a pickle names. Raises _RefusedError unless it only makes arrays."""
        if (module, name) in _CONSTRUCTORS:
            return _CONSTRUCTORS[module, name]
        if module.startswith(("chumpy.", "scipy.sparse")):  # MANO; its modules have other names in newer SciPys
            return Inert
        raise _RefusedError(f"{module}.{name}")

    def _reduce(self) -> None:
        arguments, constructor = self.stack.pop(), self.stack.pop()
        self.stack.append(constructor(*arguments))
        self._charge(self.stack[-1])

    def _new_object(self) -> None:
        _, kind = self.stack.pop(), self.stack.pop()
        if kind is not Inert:
            raise _RefusedError("an object of what is no class")
        self.stack.append(Inert())

    def _build(self) -> None:
        state, made = self.stack.pop(), self.stack[-1]
        if isinstance(made, Inert):
            made.state = state
        elif isinstance(made, _Type):
            made.set_order(*state)
        elif isinstance(made, np.ndarray):
            _fill(made, *state)
            self._charge(made)
        else:
            raise _RefusedError(f"a state for a {type(made).__name__}")

    def _charge(self, made: Any) -> None:
        """Take the size of what was made from the room: a small file could have its bytes copied over and over."""
        self._room -= made.nbytes if isinstance(made, np.ndarray) else sys.getsizeof(made)
        if self._room < 0:
            raise _RefusedError(f"more than {_GROWTH} times its size in memory")

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _put(self.stack[-1], [(key, value)])

    def _set_items(self) -> None:
        items = self.pop_mark()
        _put(self.stack[-1], zip(items[::2], items[1::2], strict=True))

    def _dictionary_of_items(self) -> None:
        items = self.pop_mark()
        self.stack.append(_dictionary(zip(items[::2], items[1::2], strict=True)))

    def _empty_set(self) -> None:
        self.stack.append(Inert())

    dispatch = _OPERATIONS | {
        pickle.REDUCE[0]: _reduce,
        pickle.NEWOBJ[0]: _new_object,
        pickle.BUILD[0]: _build,
        pickle.SETITEM[0]: _set_item,
        pickle.SETITEMS[0]: _set_items,
        pickle.DICT[0]: _dictionary_of_items,
        pickle.EMPTY_SET[0]: _empty_set,
        # Python's own operation makes room for as many bytes as the file announces, whether it has them or not.
        pickle.BYTEARRAY8[0]: _OPERATIONS[pickle.BINBYTES8[0]],
    }


def read_pickle(
    stream: BinaryIO,
    name: str,
    unpickler: type[ArrayUnpickler] = ArrayUnpickler,
    fix: str = "download the file again",
) -> Any:
    """Return what a pickle of arrays holds; objects of chumpy and SciPy, and sets, are `Inert`.

    Raises ValueError, naming the file and the fix, for a damaged pickle and for one that asks for anything but arrays,
    or what else `unpickler` knows.
    """
    try:
        found = unpickler(BytesIO(stream.read())).load()
        _measure(found, {})
    except _RefusedError as error:
        raise ValueError(
            f"{name} asks for {error}, which no file of arrays needs; it was not executed; {fix}"
        ) from error
    except _DAMAGE as error:
        raise ValueError(f"{name} is damaged or not a pickle of arrays ({error}); {fix}") from error
    return found


def _measure(value: Any, measured: dict[int, tuple[int, int]], depth: int = 0) -> tuple[int, int]:
    """Return how many objects a value has, each counted as often as one meets it, and its levels of containers.

    Raises _RefusedError above the limits: a few bytes can describe lists that no program ever reaches the end of.
    """
    if isinstance(value, list | tuple):
        parts = value
    elif isinstance(value, dict):
        parts = value.values()
    elif isinstance(value, Inert):
        parts = [value.state]
    elif isinstance(value, np.ndarray) and value.dtype.hasobject:
        parts = value.reshape(-1).tolist()
    else:
        return 1, 0
    if id(value) not in measured:
        measured[id(value)] = 1, _DEEPEST  # until it is known: what contains itself has no last level
        inner = [_measure(part, measured, depth + 1) for part in parts] if depth < _DEEPEST else [(1, _DEEPEST)]
        measured[id(value)] = 1 + sum(count for count, _ in inner), 1 + max((levels for _, levels in inner), default=0)
    count, levels = measured[id(value)]
    if levels > _DEEPEST:
        raise _RefusedError(f"more than {_DEEPEST} levels of containers")
    if count > _MOST:
        raise _RefusedError(f"more than {_MOST} objects")
    return count, levels


def _put(target: Any, items: Iterable[tuple[Any, Any]]) -> None:
    if not isinstance(target, dict):
        raise _RefusedError(f"items of a {type(target).__name__}")
    target.update(_dictionary(items))


def _dictionary(items: Iterable[tuple[Any, Any]] = ()) -> dict[Any, Any]:
    made = {}
    for key, value in items:
        if not isinstance(key, _KEYS):
            raise _RefusedError(f"a {type(key).__name__} for a key")
        made[key] = value
    return made


def _array(*_: Any) -> np.ndarray:
    """Return the array that a state will fill."""
    return np.empty(0)


def _fill(array: np.ndarray, _version: int, shape: Iterable[int], kind: _Type, fortran: bool, content: Any) -> None:
    """Give an array its state; the content is a list of objects or the numbers' bytes, in Fortran's order or C's."""
    sizes = tuple(map(operator.index, shape))
    if isinstance(content, str):  # Python 2's bytes
        content = content.encode("latin1")
    wanted, per_entry = (list, 1) if kind.dtype.hasobject else (bytes, kind.dtype.itemsize)
    fits = isinstance(content, wanted) and len(content) == math.prod(sizes) * per_entry
    if not fits or min(sizes, default=0) < 0:
        raise ValueError(f"an array has other contents than its shape {sizes} and type {kind.dtype} tell")
    array.__setstate__((1, sizes, kind.dtype, bool(fortran), content))  # type: ignore[arg-type]


def _scalar(kind: _Type, content: Any) -> Any:
    if kind.dtype.hasobject:
        raise _RefusedError("a number that is an object")
    array = _array()
    _fill(array, 1, (), kind, False, content)
    return array[()]


def _array_of_buffer(content: bytes, kind: _Type, shape: Iterable[int], order: str, axes: Any = None) -> np.ndarray:
    """Return the array of a buffer in Fortran's order (F) or in C's; `axes` permute its axes."""
    array = _array()
    _fill(array, 1, shape, kind, order == "F", content)
    return array if axes is None else array.transpose(axes)


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _RefusedError(f"_codecs.encode with {encoding}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


_CONSTRUCTORS: dict[tuple[str, str], Any] = {
    # NumPy's arrays, their types and its numbers; NumPy 2 renamed the module `core`.
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_of_buffer for core in ("core", "_core")},  # protocol 5
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): Inert,  # named as what is to be reconstructed
    # Python 3 writes bytes so for Python 2, protocols 0 to 2.
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    # Sets, in what chumpy wrote, before protocol 4; objects under the protocols 0 and 1.
    **{(builtins, name): Inert for builtins in ("__builtin__", "builtins") for name in ("set", "object")},
    **{(module, "_reconstructor"): Inert for module in ("copy_reg", "copyreg")},
    # Dictionaries that keep an order, which all do today; PyTorch adds an empty one to each tensor.
    ("collections", "OrderedDict"): _dictionary,
}
