"""Pickles of tensors are read without PyTorch, and nothing in them is executed."""

import collections
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from twohands.data.readers.tensor_pickles import read_tensors


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


class _Asks:
    """A pickle that calls something when it is loaded."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


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
    ):
        asked = _Asks(torch._utils._rebuild_tensor_v2, storage, offset, size, stride, False, hooks)
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
