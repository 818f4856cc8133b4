"""Shared parts of the readers: for any fault of a file, the error names the file and the fix."""

import json

import numpy as np
import pytest

from twohands.data.readers.common import DamagedFileError, numbers, reading
from twohands.data.readers.contents import array_of, named_numbers, read_json


@pytest.mark.parametrize("kind", [OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, SyntaxError])
def test_errors_of_reading_are_damage_of_the_file(tmp_path, kind):
    def read(path):
        raise kind("not so")

    with pytest.raises(DamagedFileError, match=r"a\.txt: .*not so.*; copy this file") as raised:
        reading(tmp_path / "a.txt", read)
    assert raised.value.path == tmp_path / "a.txt"


@pytest.mark.parametrize(("text", "fault"), [("1 2", "has 2 numbers"), ("1 2 inf", "all finite"), ("1 2 x", "'x'")])
def test_a_text_file_has_so_many_finite_numbers(tmp_path, text, fault):
    path = tmp_path / "a.txt"
    path.write_text("1 2\n3")
    np.testing.assert_array_equal(numbers(path, 3), [1, 2, 3])
    path.write_text(text)
    with pytest.raises(DamagedFileError, match=rf"a\.txt.*{fault}"):
        numbers(path, 3)


def test_named_numbers_are_of_any_shape_and_finite_unless_told():
    np.testing.assert_array_equal(named_numbers({"a": [[1], [2]]}, "a", 2), [1, 2])
    np.testing.assert_array_equal(named_numbers({"a": [None, 2]}, "a", 2, finite=False), [np.nan, 2])
    with pytest.raises(ValueError, match=r"a has 3 numbers, expected 2$"):
        named_numbers({"a": [1, 2, 3]}, "a", 2, finite=False)
    with pytest.raises(ValueError, match="a has 2 numbers, expected 2, all finite"):
        named_numbers({"a": [1, np.inf]}, "a", 2)
    for found in ({}, [1], None, {"a": {}}, {"a": "text"}, {"a": [[1], [2, 3]]}):
        with pytest.raises(ValueError, match="there are no numbers a"):
            named_numbers(found, "a", 2)


def test_arrays_of_json_have_a_shape(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([[1, 2], [3, 4]]))
    np.testing.assert_array_equal(read_json(path, lambda found: array_of(found, None, 2)), [[1, 2], [3, 4]])
    with pytest.raises(DamagedFileError, match=r"a\.json: numbers of shape \(2, 2\), expected \(3, 2\), all finite"):
        read_json(path, lambda found: array_of(found, 3, 2))
