"""Write pickles as other programs did: under Python 2 or 3, with old or new NumPy, whatever is installed here."""

import io
import pickle
import re
import struct
from collections import OrderedDict
from types import FunctionType

import numpy as np

from twohands.hands.array_pickles import ArrayUnpickler, read_pickle

WRITERS = [
    *(("python2", protocol) for protocol in (0, 1, 2)),  # with its NumPy, up to 1.16
    *(("numpy1", protocol) for protocol in (2, 3, 4, 5)),  # Python 3 with NumPy 1
    *(("numpy2", protocol) for protocol in (2, 3, 4, 5)),  # Python 3 with NumPy 2
]


class _Pickler(pickle._Pickler):
    """Pickler that names modules as its writer did."""

    def __init__(self, stream, writer, protocol):
        super().__init__(stream, protocol)
        self.renamed = {"builtins": "__builtin__", "copyreg": "copy_reg"} if protocol <= 2 else {}
        self.core = "numpy._core" if writer == "numpy2" else "numpy.core"

    def save_global(self, obj, name=None):
        name = name or obj.__qualname__
        module = re.sub(r"^numpy\._?core", self.core, self.renamed.get(obj.__module__, obj.__module__))
        if self.proto < 4:
            self.write(pickle.GLOBAL + f"{module}\n{name}\n".encode())
        else:
            self.save(module)
            self.save(name)
            self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)

    dispatch = pickle._Pickler.dispatch | {FunctionType: save_global}


class _Python2Pickler(_Pickler):
    """Pickler that writes texts and bytes alike, as the strings of Python 2."""

    def save_string(self, obj):
        content = obj.encode("latin1") if isinstance(obj, str) else obj
        if self.proto == 0:
            self.write(pickle.STRING + repr(content)[1:].encode() + b"\n")
        elif len(content) < 256:
            self.write(pickle.SHORT_BINSTRING + bytes([len(content)]) + content)
        else:
            self.write(pickle.BINSTRING + struct.pack("<i", len(content)) + content)
        self.memoize(obj)

    def save_ordered(self, obj):
        self.save_reduce(OrderedDict, ([list(item) for item in obj.items()],), obj=obj)

    dispatch = _Pickler.dispatch | {str: save_string, bytes: save_string, OrderedDict: save_ordered}


def dumps(content, writer, protocol):
    """Return the bytes of a pickle that one of WRITERS would have written."""
    stream = io.BytesIO()
    (_Python2Pickler if writer == "python2" else _Pickler)(stream, writer, protocol).dump(content)
    return stream.getvalue()


def loads(content):
    """Return what such a pickle holds."""
    return read_pickle(io.BytesIO(content), "a pickle of a test")


def globals_of(content):
    """Return the names that a pickle asks for."""
    asked = set()

    class Listening(ArrayUnpickler):
        def find_class(self, module, name):
            asked.add(f"{module} {name}")
            return super().find_class(module, name)

    read_pickle(io.BytesIO(content), "a pickle of a test", Listening)
    return asked


def save_object(path, content, writer, protocol):
    """Write an .npy file with one object, as np.save did."""
    array = np.array(content, dtype=object)
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
        stream.write(dumps(array, writer, protocol))
