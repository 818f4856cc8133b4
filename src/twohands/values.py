"""Read numbers and named values from files that people and programs write: text, JSON, YAML, XML, .npy, .npz.

Every reader raises ValueError with one sentence that names the file and the fix.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from zipfile import BadZipFile

import numpy as np

from twohands.files import load_array

_COMMENT = re.compile(r"#.*|%.*|(?<!:)//.*")
_NUMPY = re.compile(r"(?:\b(?:np|numpy)\.)?\barray\(|\bdtype=[\w.]+")
"""Text that NumPy prints around the numbers of an array."""
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:[\s,;()\[\]]+{_NUMBER})*")
_PAIR = re.compile(
    r"(?P<name>[A-Za-z_][\w.]*(?: [A-Za-z_]\w*)*)[\"']?"
    rf"(?:\s*[:=,]\s*|\s+)[\s\[(]*(?P<numbers>{_NUMBERS.pattern})(?![\w.])"
)
"""A name and its numbers, as in `fx = 600`, `fx: 600, fy: 600`, `K = [[600, 0, 320], ...`."""
_SECTION = re.compile(r"\[\s*([A-Za-z_][^\]=]*?)\s*\]")
_TEXT = re.compile(r"(?P<name>[A-Za-z_][\w. ]*?)\s*[:=]\s*(?P<text>.*?)[\s,;]*")
_BINARY = re.compile(r"[\x00-\x08\x0e-\x1f]")
_YAML = (".yaml", ".yml")
_PINHOLE, _ONE_FOCAL = ("fx", "fy", "cx", "cy"), ("focal", "cx", "cy")
_COLMAP = {
    "PINHOLE": _PINHOLE,
    "SIMPLE_PINHOLE": _ONE_FOCAL,
    "OPENCV": (*_PINHOLE, "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": (*_PINHOLE, "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "OPENCV_FISHEYE": (*_PINHOLE, "k1", "k2", "k3", "k4"),
    "SIMPLE_RADIAL": (*_ONE_FOCAL, "k1"),
    "RADIAL": (*_ONE_FOCAL, "k1", "k2"),
    "SIMPLE_RADIAL_FISHEYE": (*_ONE_FOCAL, "k1"),
    "RADIAL_FISHEYE": (*_ONE_FOCAL, "k1", "k2"),
    "FOV": (*_PINHOLE, "D"),
}
"""Parameters of COLMAP's models in their order."""


def read_values(path: Path, instead: str) -> Any:
    """Return the content of a text, JSON, YAML, XML, .npy or .npz file: numbers, or dictionaries of named values.

    `instead` goes into the errors: what to give if the file cannot be read.
    """
    if path.suffix.lower() == ".npy":
        return load_array(path)
    if path.suffix.lower() == ".npz":
        return _archive_values(path)
    text = read_text(path, instead)
    if (numbers := numbers_in(text)) is not None:
        return numbers
    if (cameras := _colmap_values(text)) is not None:
        return cameras
    if text.lstrip().startswith("<"):
        return _xml_values(text, path, instead)
    if path.suffix.lower() == ".json" or text.lstrip().startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            values = _yaml_values(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
            if isinstance(values, Mapping):  # with comments, or a comma too many
                return values
            raise ValueError(f"{path} is not valid JSON ({error}); {instead}") from None
    values = _yaml_values(text)
    if isinstance(values, Mapping) or (isinstance(values, list) and not all(isinstance(part, str) for part in values)):
        return values
    if path.suffix.lower() not in _YAML or not isinstance(values, Exception):
        values = _table(text) or named_values(text) or values
    if isinstance(values, Exception):
        mark = getattr(values, "problem_mark", None)
        place = f" (line {mark.line + 1})" if mark else ""
        raise ValueError(f"{path} does not hold numbers only and is not valid YAML{place}; {instead}")
    if not isinstance(values, Mapping | list):
        raise ValueError(f"{path} does not hold numbers only; {instead}")
    return values


def numbers_in(text: str) -> np.ndarray | None:
    """Return the numbers of a text without comments, (rows, columns) if they form a table; None if it has words."""
    text = re.sub(r"[,;()\[\]]", " ", _NUMPY.sub(" ", _COMMENT.sub("", text)))
    lines = [line.split() for line in text.splitlines()]
    try:
        rows = [[float(word) for word in line] for line in lines if line]
    except ValueError:
        return None
    if len({len(row) for row in rows}) == 1 and len(rows[0]) > 1 and len(rows) > 1:
        return np.array(rows)  # a matrix keeps its shape
    return np.array([value for row in rows for value in row])


def _colmap_values(text: str) -> dict[str, Any] | None:
    """Return the cameras of COLMAP's `cameras.txt` by their numbers, None if the text is none.

    A line has number, model, width, height and parameters. COLMAP counts pixels from the image's corner.
    """
    cameras: dict[str, Any] = {}
    for line in filter(str.strip, _COMMENT.sub("", text).splitlines()):
        number, model, *numbers = (*line.split(), "")
        names, values = ("width", "height", *_COLMAP.get(model, ())), numbers_in(" ".join(numbers))
        if model not in _COLMAP or values is None or len(values) != len(names):
            return None
        camera = dict(zip(names, values.tolist(), strict=True))
        kind = "fisheye" if model.endswith("FISHEYE") else model if model == "FOV" else "brown"
        camera |= {"cx": camera["cx"] - 0.5, "cy": camera["cy"] - 0.5}
        cameras[number] = camera | {"distortion_model": kind}
    return cameras or None


def named_values(text: str) -> dict[str, Any]:
    """Return the named numbers and texts of lines such as `fx = 600`, in dictionaries for the sections they are in.

    A section begins with `[name]`, or with a line of words above names; words above numbers alone are their name.
    """
    found: dict[str, Any] = {}
    section, heading, numbers = found, "", None
    for line in _COMMENT.sub("", _NUMPY.sub("", text)).splitlines():
        line = line.strip().strip("{}").strip()
        pairs = list(_PAIR.finditer(line))
        if not line:
            continue
        if name := _SECTION.fullmatch(line):
            section, heading, numbers = _section(found, name[1]), "", None
        elif (plain := numbers_in(line)) is not None:
            if heading:
                numbers, heading = section.setdefault(heading, []), ""
            if numbers is not None:
                numbers += plain.ravel().tolist()
        elif pairs:
            if heading:
                section, heading = _section(found, heading), ""
            for pair in pairs:
                numbers = section[pair["name"]] = [float(word) for word in re.findall(_NUMBER, pair["numbers"])]
        elif (named := _TEXT.fullmatch(line)) and named["text"].strip(" [({"):
            section[named["name"]] = named["text"]
        else:
            heading = " ".join(re.findall(r"[\w.]+", re.sub(r"\{.*", "", line)))
    return _unpacked(found)


def _section(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a new section, of which there may be several with one name."""
    while name in values:
        name += "_"
    return values.setdefault(name, {})


def _unpacked(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with single numbers in place of lists that have only one."""
    return {
        name: _unpacked(value)
        if isinstance(value, dict)
        else value[0]
        if isinstance(value, list) and len(value) == 1
        else value
        for name, value in values.items()
    }


def read_text(path: Path, instead: str) -> str:
    """Return the content of a text file of any usual encoding; raise ValueError with `instead` if it is none."""
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as PowerShell redirects output
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if _BINARY.search(text):
        raise ValueError(f"{path} is not a text file; {instead}")
    return text


def _archive_values(path: Path) -> Any:
    """Return the only array of a .npz file, or the dictionary of its arrays."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (ValueError, TypeError, EOFError, OSError, BadZipFile) as error:
        raise ValueError(f"{path} is not a readable .npz archive ({error}); save K with numpy.savez") from None
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def _yaml_values(text: str) -> Any:
    """Return the first document of YAML, also as `rostopic echo` (with ---) and OpenCV (with its own tags) print it.

    Return the error if it is none.
    """
    import yaml

    text = re.sub(r"^%YAML.*$|!!opencv-[\w-]+|!!python/tuple", "", text, flags=re.MULTILINE)
    try:
        return next((document for document in yaml.safe_load_all(text) if document), None)
    except (yaml.YAMLError, ValueError) as error:
        return error


def _xml_values(text: str, path: Path, instead: str) -> dict[str, Any]:
    """Return the elements of an XML file by their names, as OpenCV writes it."""
    try:
        return _elements(ElementTree.fromstring(text.encode()))
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(f"{path} is not valid XML ({error}); {instead}") from None


def _elements(parent: ElementTree.Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in parent:
        content = part.text or ""
        numbers = numbers_in(content)
        found[part.tag] = _elements(part) if len(part) else content if numbers is None else numbers.ravel().tolist()
    return _unpacked(found)


def _table(text: str) -> list[dict[str, str]] | None:
    """Return the rows of a table whose first line has the names of its columns, None if the text is none."""
    lines = [line for line in _COMMENT.sub("", text).splitlines() if line.strip()]
    for sign in ",;\t":
        rows = list(csv.reader(StringIO("\n".join(lines)), delimiter=sign, skipinitialspace=True))
        names = [cell.strip() for cell in rows[0]] if len(rows) > 1 else []
        if len(names) > 2 and all(re.fullmatch(r"[A-Za-z_][\w. ]*", name) for name in names):
            return [dict(zip(names, row, strict=True)) for row in rows[1:] if len(row) == len(names)]
    return None
