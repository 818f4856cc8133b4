"""Pickles of arrays and tensors are read whatever wrote them, without PyTorch, and nothing in them is executed."""

import codecs
import collections
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
import torch

import old_pickles
from twohands.data.readers.hoi4d import read_values
from twohands.data.readers.tensor_pickles import read_tensors
from twohands.hands.array_pickles import Inert

# What a file of arrays and plain values asks for, by (Python and NumPy, protocols).
ASKED = {
    ("python2", (0, 1, 2)): "numpy.core.multiarray _reconstruct, numpy.core.multiarray scalar",
    ("numpy1", (2,)): "numpy.core.multiarray _reconstruct, numpy.core.multiarray scalar, _codecs encode, "
    "__builtin__ bytes",
    ("numpy1", (3, 4)): "numpy.core.multiarray _reconstruct, numpy.core.multiarray scalar",
    ("numpy1", (5,)): "numpy.core.multiarray _reconstruct, numpy.core.multiarray scalar, "
    "numpy.core.numeric _frombuffer",
    ("numpy2", (2,)): "numpy._core.multiarray _reconstruct, numpy._core.multiarray scalar, _codecs encode, "
    "__builtin__ bytes",
    ("numpy2", (3, 4)): "numpy._core.multiarray _reconstruct, numpy._core.multiarray scalar",
    ("numpy2", (5,)): "numpy._core.multiarray _reconstruct, numpy._core.multiarray scalar, "
    "numpy._core.numeric _frombuffer",
}
VALUES = {
    "plain": [1, -(2**40), 2.5, True, None, ("a", ("b",)), {"c": [0, 300, 70000]}],
    "ordered": collections.OrderedDict(a=1, b=np.arange(2)),
    "objects": np.array([None, "text", {"a": 1.0}], dtype=object),
    "number": np.array(3.0),
    "scalars": [np.float64(1.5), np.float32(0.1), np.int64(-3), np.bool_(True), np.uint8(200)],
    "text": np.array(["ab", "c"]),
    "text scalar": np.str_("ab"),
    "empty": np.zeros((0, 3)),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "turned": np.arange(24.0).reshape(2, 3, 4).transpose(1, 0, 2),
    "strided": np.arange(10)[::3],
    **{
        kind: np.arange(4).astype(kind)
        for kind in ("?", "<i1", ">i2", "<i4", ">i8", "<u4", "<f2", ">f4", ">f8", "<c16")
    },
}


def storage_of(tensor):
    return tensor.__reduce_ex__(2)[1][0]


def dumped(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int32, torch.int64])
def test_tensors_come_back_as_arrays(tmp_path, dtype, protocol):
    whole = torch.arange(24).to(dtype).reshape(4, 6)
    content = {"whole": whole, "row": whole[2], "turned": whole.T[1:, ::2], "none": whole[:0], "number": whole[1, 3]}
    found = read_tensors(dumped(tmp_path / "a.pkl", content, protocol))
    assert list(found) == list(content)
    for name, tensor in content.items():
        assert found[name].dtype == tensor.numpy().dtype
        np.testing.assert_array_equal(found[name], tensor.numpy())


def test_parameters_arrays_and_plain_values_come_back_as_well(tmp_path):
    content = {"00001": {"p": torch.nn.Parameter(torch.ones(3)), "a": np.arange(3), "n": [1, "x"]}}
    found = read_tensors(dumped(tmp_path / "a.pkl", content))["00001"]
    np.testing.assert_array_equal(found["p"], np.ones(3, dtype=np.float32))
    np.testing.assert_array_equal(found["a"], np.arange(3))
    assert found["n"] == [1, "x"]


@pytest.mark.parametrize(("writer", "protocol"), old_pickles.WRITERS)
def test_arrays_are_read_whatever_wrote_them(writer, protocol):
    content = old_pickles.dumps(VALUES, writer, protocol)
    found = old_pickles.loads(content)
    np.testing.assert_equal(found, {**VALUES, "ordered": dict(VALUES["ordered"])})
    for name, value in VALUES.items():
        if isinstance(value, np.ndarray | np.generic):
            assert (type(found[name]), found[name].dtype) == (type(value), value.dtype.newbyteorder("="))
    asked = next(names for (name, protocols), names in ASKED.items() if name == writer and protocol in protocols)
    others = {"numpy dtype", "numpy ndarray", "collections OrderedDict"}
    assert old_pickles.globals_of(content) == {*asked.split(", ")} | others


@pytest.mark.parametrize(("writer", "protocol"), old_pickles.WRITERS)
def test_sets_and_objects_of_old_packages_are_inert(writer, protocol):
    found = old_pickles.loads(old_pickles.dumps([set(), {1, "a"}, {(1, (2, 3))}], writer, protocol))
    assert [type(value) for value in found] == [Inert] * 3


@pytest.mark.parametrize(("writer", "protocol"), old_pickles.WRITERS)
def test_values_of_hoi4d_are_read_whatever_wrote_them(tmp_path, writer, protocol):
    content = {"poseCoeff": np.arange(48.0), "beta": np.arange(10.0), "trans": np.ones(3), "kps2D": np.ones((21, 2))}
    path = tmp_path / "0.pickle"
    path.write_bytes(old_pickles.dumps(content, writer, protocol))
    values = read_values(path)
    np.testing.assert_array_equal(np.concatenate([values.orientation, values.pose]), content["poseCoeff"])
    np.testing.assert_array_equal(values.shape, content["beta"])
    np.testing.assert_array_equal(values.translation, content["trans"])


@pytest.mark.parametrize(("writer", "protocol"), [writer for writer in old_pickles.WRITERS if writer[0] != "python2"])
def test_tensors_are_read_whatever_wrote_them(tmp_path, writer, protocol):
    path = tmp_path / "a.pkl"
    path.write_bytes(old_pickles.dumps({"t": torch.arange(6.0).reshape(2, 3), "a": np.arange(3)}, writer, protocol))
    found = read_tensors(path)
    np.testing.assert_array_equal(found["t"], np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(found["a"], np.arange(3))


class _Asks:
    """Object whose pickle calls something when it is loaded, and may give a state to what that made."""

    def __init__(self, function, *arguments, state=None):
        self.called = function, arguments, state

    def __reduce__(self):
        return self.called


def _nested(kind, levels, width=2):
    """Return a container of containers, each there `width` times: few bytes, and width ** levels objects."""
    value = kind()
    for _ in range(levels):
        value = kind([value] * width)
    return value


def _in_itself():
    value = []
    value.append([value])
    return value


def _objects(value):
    array = np.empty(1, dtype=object)
    array[0] = value
    return array


def _array(state):
    """Return an array that NumPy would give this state."""
    function, arguments = np.zeros(3).__reduce__()[:2]
    return _Asks(function, *arguments, state=state)


def _with_key(key):
    """Return pickles of a dictionary with this key, by each operation that makes one."""
    content = pickle.dumps(key, protocol=2)[2:-1]
    return [
        b"}" + content + b"K\x01s.",
        b"}(" + content + b"K\x01u.",
        b"(" + content + b"K\x01d.",
        b"ccollections\nOrderedDict\n((" + content + b"K\x01tt\x85R.",
    ]


MILLION = (1, (10**6,), np.dtype("i1"), False, b"a" * 10**6)
HOSTILE = {
    "a list in itself": (_in_itself(), "levels of containers"),
    "lists in lists": (_nested(list, 40), "objects"),
    "tuples in tuples": (_nested(tuple, 40), "objects"),
    "wide lists": (_nested(list, 8, 30), "objects"),
    "objects in objects": (_objects(_nested(list, 40)), "objects"),
    "deep lists": (b"]" * 100_000 + b"a" * 99_999 + b".", "levels of containers"),
    "deep tuples": (b")" + b"\x85" * 100_000 + b".", "levels of containers"),
    "a set of what acts": ({_Asks(exec, "1")}, "builtins?__.exec|builtins.exec"),
    "a subclass of a set": (b"cevil\nMembers\n]\x85R.", "evil.Members"),
    "a frozen set": (frozenset([1]), "FROZENSET|frozenset"),
    "an array called": (_Asks(np.frombuffer, b"12345678"), "frombuffer"),
    "a loader": (_Asks(np.load, "a.npy"), "numpy.load"),
    "records": (np.zeros(2, dtype=[("a", "f8"), ("b", "O")]), "type V16"),
    "dates": (np.zeros(2, dtype="M8[D]"), "type M8"),
    "an object as a scalar": (_Asks(np._core.multiarray.scalar, np.dtype("O"), 1), "an object"),
    "another encoding": (_Asks(codecs.encode, "x", "rot13"), "rot13"),
    "zeros": (b"c__builtin__\nbytes\n\x8a\x06\0\0\0\0\0\x01\x85R.", "damaged"),
    "a state for a constructor": (b"c_codecs\nencode\n}(X\x08\0\0\0__name__X\x01\0\0\0aub.", "a state for a function"),
    "a state for a class": (b"cnumpy\nndarray\nN}X\x03\0\0\0addK\x01s\x86b.", "a state for a type"),
    "a state for a dictionary": (b"}}X\x01\0\0\0aK\x01sb.", "a state for a dict"),
    "a new constructor": (b"cnumpy\ndtype\nX\x02\0\0\0f8\x85\x81.", "an object"),
    "items of a list": (b"](K\0K\x01u.", "items of a list"),
    "an old class": (b"(ios\nsystem\n.", "INST"),
    "an old object": (b"(cos\nsystem\no.", "os.system"),
    "an extension": (b"\x82\x01.", "EXT1"),
    "a twin": (b"]2a.", "DUP"),
    "a buffer elsewhere": (b"\x97.", "NEXT_BUFFER"),
    "a great buffer": (b"\x96" + struct.pack("<Q", 2**44) + b"a.", "damaged"),
    "a great text": (b"\x8d" + struct.pack("<Q", 2**44) + b"N.", "damaged"),
    **{
        f"an array of shape {shape} and type {dtype}": (
            _array((1, shape, np.dtype(dtype), False, content)),
            "damaged",
        )
        for shape, dtype, content in (
            ((4,), "f8", bytes(24)),
            ((-1, -3), "f8", bytes(24)),
            ((2**61, 8), "f8", b""),
            ((np.int8(100), np.int8(100)), "i1", bytes(16)),
            ((1.0,), "i1", b"1"),
            ((8,), "i1", 8),
            ((1,), "O", bytes(8)),
            ((2,), "O", [None]),
            ((1,), "f8", [1.0]),
        )
    },
    "copies of one array": ([_array(MILLION) for _ in range(30)], "16 times its size"),
    "copies of bytes": ([_Asks(codecs.encode, text, "latin1") for text in ["a" * 10**6] * 30], "16 times its size"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_hostile_pickles_are_refused_in_time(tmp_path, name, protocol):
    content, said = HOSTILE[name]
    path = tmp_path / "a.pkl"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    with pytest.raises(ValueError, match=rf"a\.pkl (asks for|is damaged).*({said})|a\.pkl is {said}"):
        read_tensors(path)


@pytest.mark.parametrize("key", [_nested(tuple, 40), (1, 2)], ids=["bomb", "tuple"])
@pytest.mark.parametrize("way", range(4))
def test_keys_that_take_forever_to_hash_are_refused(tmp_path, key, way):
    path = tmp_path / "a.pkl"
    path.write_bytes(_with_key(key)[way])
    with pytest.raises(ValueError, match=r"a\.pkl asks for a tuple for a key"):
        read_tensors(path)


def test_members_of_sets_are_not_hashed():
    for protocol in (2, 4):
        content = pickle.dumps({1}, protocol=protocol).replace(b"K\x01", pickle.dumps(_nested(tuple, 40), 2)[2:-1])
        if protocol == 4:  # its frame would end too early
            content = content[:2] + content[11:]
        assert isinstance(old_pickles.loads(content), Inert)


def test_a_state_cannot_make_records_of_numbers():
    fields = (3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 63)
    kind = _Asks(np.dtype, "f8", False, True, state=fields)
    found = old_pickles.loads(pickle.dumps(_array((1, (2,), kind, False, bytes(16))), protocol=2))
    assert found.dtype == np.float64
    assert not found.any()


def test_what_is_no_tensor_is_refused_and_not_executed(tmp_path):
    trace = tmp_path / "executed"
    storage = storage_of(torch.ones(3)).__reduce__()[1][0]
    inner = storage.replace(b"ctorch\nFloatStorage\n", b"cos\nmkdir\n")
    for asked in (_Asks(exec, f"open({str(trace)!r}, 'w')"), _Asks(torch.storage._load_from_bytes, inner)):
        with pytest.raises(ValueError, match=r"a\.pkl asks for (builtins\.exec|os\.mkdir)"):
            read_tensors(dumped(tmp_path / "a.pkl", asked))
    assert not trace.exists()


def test_tensors_that_reach_beyond_their_storage_are_refused(tmp_path):
    storage = storage_of(torch.ones(6))
    hooks = collections.OrderedDict()
    for offset, size, stride in (
        (4, (3,), (1,)),
        (0, (3, 3), (3, 1)),
        (0, (2,), (-1,)),
        (-1, (2,), (1,)),
        (0, (2,), ()),
        (0, (np.int8(100),), (np.int8(2),)),
        (np.int64(2**63 - 1), (2,), (2,)),
        (0, (10**6, 10**6), (0, 0)),
        (0, (1.5,), (1,)),
    ):
        asked = _Asks(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, hooks)
        with pytest.raises(ValueError, match=r"a\.pkl is damaged"):
            read_tensors(dumped(tmp_path / "a.pkl", asked))


@pytest.mark.parametrize("storage", [np.str_("abc"), np.zeros((3, 3)), np.array(1.0), [1.0], "abc", None])
def test_what_is_no_storage_holds_no_tensor(tmp_path, storage):
    asked = _Asks(torch._utils._rebuild_tensor_v2, storage, 0, (2,), (1,), False, collections.OrderedDict())
    with pytest.raises(ValueError, match=r"a\.pkl is damaged"):
        read_tensors(dumped(tmp_path / "a.pkl", asked))


@pytest.mark.parametrize("cut", [3, 150, 380, 395])
def test_a_truncated_storage_is_a_damaged_file(tmp_path, cut):
    storage = storage_of(torch.ones(64)).__reduce__()[1][0]
    assert cut < len(storage)
    with pytest.raises(ValueError, match=r"a\.pkl is damaged"):
        read_tensors(dumped(tmp_path / "a.pkl", _Asks(torch.storage._load_from_bytes, storage[:cut])))


def test_no_torch_is_needed(tmp_path):
    path = dumped(tmp_path / "a.pkl", {"t": torch.tensor([1.0, 2.0])})
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from twohands.data.readers.tensor_pickles import read_tensors\n"
        f"print(read_tensors(Path({str(path)!r}))['t'].tolist())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[1.0, 2.0]"
